//! What a pull is, and how it ends; the two ways that it goes are
//! `from_hub` and `from_url`.

use std::path::PathBuf;

use crate::client::Client;
use crate::digest::Commit;
use crate::error::Error;
use crate::progress::{Progress, Teller};
use crate::record::Record;
use crate::settings::Settings;
use crate::source::{Place, Source};
use crate::standing::{Check, Standing};
use crate::{from_hub, from_url};

/// Where voices are fetched from.
pub struct Hub {
    client: Client,
    limit: u64,
}

/// What is to be fetched, and what is to become of it.
#[derive(Clone, Debug)]
pub struct Pull {
    /// Where it lies.
    pub source: Source,
    /// The folder that the voice's own folder is to lie in; made if it is not
    /// there.
    pub into: PathBuf,
    /// Of the voice's folder; else it has the name of its source.
    pub name: Option<String>,
    /// The model to take, where a folder has several.
    pub file: Option<String>,
    /// What may happen to what lies there already.
    pub standing: Standing,
    /// How closely that is looked at.
    pub check: Check,
}

impl Pull {
    /// Under its own name, and nothing that lies there is touched.
    pub fn new(source: Source, into: impl Into<PathBuf>) -> Self {
        Self {
            source,
            into: into.into(),
            name: None,
            file: None,
            standing: Standing::default(),
            check: Check::default(),
        }
    }
}

/// What lies there behind a pull.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// That of the voice's folder.
    pub name: String,
    /// The voice's folder.
    pub folder: PathBuf,
    /// What lies in it.
    pub record: Record,
    /// How that came.
    pub outcome: Outcome,
}

/// How what lies there came to lie there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was fetched.
    Fetched,
    /// It is what the source has; nothing was fetched.
    UpToDate,
    /// It is what was pulled at first; the source has another commit by now,
    /// which [`Standing::Update`] would take.
    Kept {
        /// What the source has.
        newer: Commit,
    },
}

impl Hub {
    /// Asks nobody yet.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        Ok(Self {
            client: Client::new(settings)?,
            limit: settings.limit,
        })
    }

    /// Fetches what is asked for into a folder of its own, or finds that it is
    /// there already. Waits as long as that takes; what broke off goes on with
    /// the next call.
    pub fn pull(&self, pull: &Pull, tell: &mut dyn FnMut(Progress<'_>)) -> Result<Pulled, Error> {
        let mut teller = Teller::new(tell);
        match &pull.source.place {
            Place::Hub(on) => from_hub::pull(self, pull, on, &mut teller),
            Place::Url(address) => from_url::pull(self, pull, address, &mut teller),
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Bytes that one pull may bring.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }
}

impl Pulled {
    pub(crate) fn new(name: &str, folder: PathBuf, record: Record, outcome: Outcome) -> Self {
        Self {
            name: name.to_owned(),
            folder,
            record,
            outcome,
        }
    }
}
