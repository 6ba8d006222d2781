//! A part of a repository of the hub: listed, chosen, and held to one commit.

use crate::choice;
use crate::client::{Client, Sender};
use crate::digest::Commit;
use crate::error::Error;
use crate::foreign::Foreign;
use crate::listing::{self, Listed};
use crate::names;
use crate::progress::Teller;
use crate::pull::{Hub, Outcome, Pull, Pulled};
use crate::record::{Origin, Record, RecordedFile};
use crate::refusal;
use crate::source::OnHub;
use crate::staging::Staging;
use crate::standing::{self, Course, Existing, Standing};
use crate::transfer::{Transfer, Wanted};

/// The branch that a repository's page shows.
const MAIN: &str = "main";

const CURE: &str = "--replace takes the new one, if you know why it changed";

/// Who is asked for what.
struct Way<'a> {
    hub: &'a Hub,
    pull: &'a Pull,
    on: &'a OnHub,
}

/// What a source means at one commit.
struct Found {
    commit: Commit,
    licence: Option<String>,
    /// Within the repository.
    folder: String,
    files: Vec<Listed>,
}

pub(crate) fn pull(
    hub: &Hub,
    pull: &Pull,
    on: &OnHub,
    teller: &mut Teller<'_>,
) -> Result<Pulled, Error> {
    let way = Way { hub, pull, on };
    let mut found = way.find(way.revision())?;
    let name = pull.name.clone().unwrap_or_else(|| found.name(on));
    names::check_voice(&name)?;
    let staging = Staging::open(&pull.into, &name)?;
    let place = staging.place();
    let file = pull.file.as_deref();
    let ours = Existing::at(&place).ours(&name, &pull.source, file, pull.standing)?;
    let ours = ours.filter(|record| way.course(record, &found) != Course::Move);
    if let Some(record) = &ours {
        let holds = record.holds(&place, pull.check);
        if let Some(outcome) = way.hold(record, holds, &name, &mut found)? {
            return Ok(Pulled::new(&name, place, record.clone(), outcome));
        }
    }
    let files = way.fetch(&found, &staging, teller)?;
    if let Some(record) = ours.as_ref().filter(|_| pull.standing != Standing::Replace) {
        // Where the listing names no digests, only now one can tell.
        for file in &files {
            standing::unchanged(record, &name, &file.name, &file.sha256, CURE)
                .or_else(|error| staging.clear().and(Err(error)))?;
        }
    }
    let record = way.record(found, files, ours);
    let folder = staging.install(&record)?;
    Ok(Pulled::new(&name, folder, record, Outcome::Fetched))
}

impl Way<'_> {
    fn client(&self) -> &Client {
        self.hub.client()
    }

    fn revision(&self) -> &str {
        self.on.revision.as_deref().unwrap_or(MAIN)
    }

    fn page(&self) -> String {
        format!("{}/{}", self.client().endpoint(), self.on.id())
    }

    fn find(&self, revision: &str) -> Result<Found, Error> {
        let listing = listing::fetch(self.client(), self.on, revision, &self.page())?;
        let file = self.pull.file.as_deref();
        let choice = choice::choose(&listing.files, self.on, file, &self.page())?;
        Ok(Found {
            folder: choice.folder,
            files: choice.files.into_iter().cloned().collect(),
            commit: listing.commit,
            licence: listing.licence,
        })
    }

    fn course(&self, record: &Record, found: &Found) -> Course {
        let asked = self.on.revision.as_deref();
        Course::of(record, &found.commit, asked, self.pull.standing)
    }

    /// If all that was recorded `holds`, there is nothing to do; else what was
    /// recorded is found, to be fetched again.
    fn hold(
        &self,
        record: &Record,
        holds: bool,
        name: &str,
        found: &mut Found,
    ) -> Result<Option<Outcome>, Error> {
        if let (Course::Keep, Some(origin)) = (self.course(record, found), &record.origin) {
            if holds {
                let newer = found.commit.clone();
                return Ok(Some(Outcome::Kept { newer }));
            }
            *found = self.find(origin.commit.as_str())?;
        }
        match found.agrees(record, name) {
            Err(_) if self.pull.standing == Standing::Replace => return Ok(None),
            outcome => outcome?,
        }
        let up_to_date = holds && found.is_all_in(record);
        Ok(up_to_date.then_some(Outcome::UpToDate))
    }

    fn fetch(
        &self,
        found: &Found,
        staging: &Staging,
        teller: &mut Teller<'_>,
    ) -> Result<Vec<RecordedFile>, Error> {
        let listed = found.files.iter().filter_map(|file| file.bytes);
        let bytes = listed.fold(0, u64::saturating_add);
        let mut most = self.hub.limit();
        if bytes > most {
            return Err(Error::TooLarge {
                what: Foreign::new(&format!("hf:{}", self.on.id())),
                bytes,
                at_least: false,
                limit: most,
            });
        }
        let mut files = Vec::with_capacity(found.files.len());
        for listed in &found.files {
            let wanted = self.wanted(&found.commit, listed)?;
            let came = Transfer {
                client: self.client(),
                staging,
                teller,
                wanted: &wanted,
                most,
                known: None,
            }
            .run()?;
            let got = came.ok_or_else(|| {
                let host = Foreign::new(wanted.address.host());
                refusal::unasked(host, &Foreign::new(&wanted.name), 304)
            })?;
            most = most.saturating_sub(got.sums.bytes);
            let digest = listed.digest.as_ref();
            files.push(RecordedFile::new(&wanted.name, &got.sums, digest, got.etag));
        }
        Ok(files)
    }

    fn wanted(&self, commit: &Commit, file: &Listed) -> Result<Wanted, Error> {
        let endpoint = self.client().endpoint();
        let (owner, repository) = (self.on.owner.as_str(), self.on.repository.as_str());
        let parts = [owner, repository, "resolve", commit.as_str()].into_iter();
        let address = endpoint.below(parts.chain(file.path.split('/')));
        let address = address.map_err(|fault| Error::Endpoint {
            text: Foreign::from(endpoint),
            fault,
        })?;
        Ok(Wanted {
            name: file.name().to_owned(),
            version: match &file.digest {
                Some(digest) => digest.as_str().to_owned(),
                None => address.to_string(),
            },
            address,
            sender: Sender::Known,
            page: Foreign::new(&self.page()),
            bytes: file.bytes,
            digest: file.digest.clone(),
        })
    }

    fn record(&self, found: Found, files: Vec<RecordedFile>, ours: Option<Record>) -> Record {
        // What was asked for at first is what the next pull is held to.
        let revision = ours.and_then(|record| Some(record.origin?.revision));
        Record {
            format: Record::FORMAT,
            kind: self.pull.source.kind(),
            source: self.pull.source.to_string(),
            file: self.pull.file.clone(),
            origin: Some(Origin {
                endpoint: self.client().endpoint().to_string(),
                repository: self.on.id(),
                revision: revision.unwrap_or_else(|| self.revision().to_owned()),
                commit: found.commit,
                folder: found.folder,
            }),
            licence: found.licence,
            files,
        }
    }
}

impl Found {
    fn name(&self, on: &OnHub) -> String {
        match names::split(&self.folder) {
            (_, "") => on.repository.clone(),
            (_, folder) => folder.to_owned(),
        }
    }

    /// A commit cannot change; where it has, somebody else answers.
    fn agrees(&self, record: &Record, name: &str) -> Result<(), Error> {
        for file in &self.files {
            let both = record.file(file.name()).zip(file.digest.as_ref());
            if let Some((recorded, digest)) = both.filter(|(it, digest)| !it.agrees(digest)) {
                return Err(Error::Changed {
                    name: Foreign::new(name),
                    file: Foreign::new(file.name()),
                    recorded: recorded.said(digest),
                    found: digest.as_str().to_owned(),
                    cure: CURE,
                });
            }
        }
        Ok(())
    }

    fn is_all_in(&self, record: &Record) -> bool {
        let mut files = self.files.iter();
        files.all(|file| record.file(file.name()).is_some())
    }
}
