//! A package at an address: nobody lists it, so nothing but its own record says
//! what it should be.

use crate::address::Address;
use crate::client::Sender;
use crate::error::Error;
use crate::foreign::Foreign;
use crate::names;
use crate::progress::Teller;
use crate::pull::{Hub, Outcome, Pull, Pulled};
use crate::record::{Record, RecordedFile};
use crate::refusal;
use crate::staging::Staging;
use crate::standing::{self, Existing, Standing};
use crate::transfer::{Transfer, Wanted};

const CURE: &str = "--update takes the new one";

pub(crate) fn pull(
    hub: &Hub,
    pull: &Pull,
    address: &Address,
    teller: &mut Teller<'_>,
) -> Result<Pulled, Error> {
    if pull.file.is_some() {
        return Err(Error::NoChoice {
            from: Foreign::new(&pull.source.to_string()),
        });
    }
    let file = address.file_name();
    // A source of this kind ends in one of two endings.
    let (stem, extension) = file.rsplit_once('.').unwrap_or((&file, ""));
    let name = pull.name.as_deref().unwrap_or(stem);
    names::check_voice(name)?;
    let staging = Staging::open(&pull.into, name)?;
    let place = staging.place();
    let ours = Existing::at(&place).ours(name, &pull.source, None, pull.standing)?;
    let held = ours.as_ref().filter(|it| it.holds(&place, pull.check));
    let wanted = wanted(
        address,
        format!("{name}.{}", extension.to_ascii_lowercase()),
    );
    let came = Transfer {
        client: hub.client(),
        staging: &staging,
        teller,
        wanted: &wanted,
        most: hub.limit(),
        known: held.and_then(|record| record.files.first()?.etag.as_deref()),
    }
    .run()?;
    let up_to_date = |record: &Record| {
        Ok(Pulled::new(
            name,
            place.clone(),
            record.clone(),
            Outcome::UpToDate,
        ))
    };
    let Some(got) = came else {
        let nobody_asked = || {
            let host = Foreign::new(address.host());
            refusal::unasked(host, &Foreign::from(address), 304)
        };
        return held.map_or_else(|| Err(nobody_asked()), up_to_date);
    };
    if let (Some(ours), Standing::Keep) = (&ours, pull.standing) {
        let unchanged = standing::unchanged(ours, name, &wanted.name, &got.sums.sha256, CURE);
        // It is whole and not wanted; the next one asks anew.
        unchanged.or_else(|error| staging.clear().and(Err(error)))?;
    }
    let file = RecordedFile::new(&wanted.name, &got.sums, None, got.etag);
    if let Some(held) = held.filter(|held| held.files.iter().any(|it| it.is_same_as(&file))) {
        staging.clear()?;
        return up_to_date(held);
    }
    let record = Record {
        format: Record::FORMAT,
        kind: pull.source.kind(),
        source: pull.source.to_string(),
        file: None,
        origin: None,
        licence: None,
        files: vec![file],
    };
    let folder = staging.install(&record)?;
    Ok(Pulled::new(name, folder, record, Outcome::Fetched))
}

fn wanted(address: &Address, name: String) -> Wanted {
    Wanted {
        name,
        address: address.clone(),
        // Whoever serves it is not the hub.
        sender: Sender::Nameless,
        page: Foreign::from(address),
        version: address.to_string(),
        bytes: None,
        digest: None,
    }
}
