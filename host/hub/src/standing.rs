//! Whether what was asked for may take its place: decided from what lies there
//! and from what the caller allows, before anything is fetched.

use std::path::Path;

use crate::digest::{Commit, Sha256};
use crate::error::Error;
use crate::faults::RecordFault;
use crate::foreign::Foreign;
use crate::record::Record;
use crate::source::Source;

/// What a pull may do to what lies there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: what was pulled is held to its record, and put right where it
    /// lacks something.
    #[default]
    Keep,
    /// Take what the same source has now.
    Update,
    /// Take its place, whatever it is.
    Replace,
}

/// How closely files that are there are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// Whether they have their sizes.
    #[default]
    Sizes,
    /// All their bytes.
    Digests,
}

/// What lies in the place.
#[derive(Debug)]
pub(crate) enum Existing {
    Nothing,
    /// It was not pulled.
    Strange,
    Unreadable(RecordFault),
    Ours(Box<Record>),
}

impl Existing {
    pub(crate) fn at(place: &Path) -> Self {
        match std::fs::symlink_metadata(place) {
            Err(_) => Self::Nothing,
            Ok(meta) if !meta.is_dir() => Self::Strange,
            Ok(_) => match Record::read(place) {
                Ok(Some(record)) => Self::Ours(Box::new(record)),
                Ok(None) => Self::Strange,
                Err(fault) => Self::Unreadable(fault),
            },
        }
    }

    /// The record that the source is held to, if it is this source's and the
    /// caller does not want it gone.
    pub(crate) fn ours(
        self,
        name: &str,
        source: &Source,
        file: Option<&str>,
        standing: Standing,
    ) -> Result<Option<Record>, Error> {
        let name = || Foreign::new(name);
        let replace = standing == Standing::Replace;
        match self {
            Self::Nothing => Ok(None),
            Self::Ours(record) if is_same(&record, source, file) => Ok(Some(*record)),
            _ if replace => Ok(None),
            Self::Strange => Err(Error::NotOurs { name: name() }),
            Self::Unreadable(fault) => Err(Error::Record {
                name: name(),
                fault,
            }),
            Self::Ours(record) => Err(Error::Elsewhere {
                name: name(),
                was: Foreign::new(&match &record.file {
                    Some(file) => format!("{} with the file {file}", record.source),
                    None => record.source.clone(),
                }),
            }),
        }
    }
}

fn is_same(record: &Record, source: &Source, file: Option<&str>) -> bool {
    let was = Source::parse(&record.source);
    was.is_ok_and(|was| was.is_same_place(source)) && record.file.as_deref() == file
}

/// Whether a file is what was recorded of it; one that was not recorded is.
pub(crate) fn unchanged(
    record: &Record,
    name: &str,
    file: &str,
    found: &Sha256,
    cure: &'static str,
) -> Result<(), Error> {
    match record.file(file) {
        Some(recorded) if recorded.sha256 != *found => Err(Error::Changed {
            name: Foreign::new(name),
            file: Foreign::new(file),
            recorded: recorded.sha256.to_string(),
            found: found.to_string(),
            cure,
        }),
        _ => Ok(()),
    }
}

/// What is to be done about a source that was pulled before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// It has the commit that was recorded.
    Hold,
    /// It has another one, which is not asked for.
    Keep,
    /// It has another one, which is.
    Move,
}

impl Course {
    /// `revision` is what the caller asked for by name.
    pub(crate) fn of(
        record: &Record,
        commit: &Commit,
        revision: Option<&str>,
        standing: Standing,
    ) -> Self {
        let Some(origin) = &record.origin else {
            return Self::Move;
        };
        let asked = revision.is_some_and(|revision| revision != origin.revision);
        if origin.commit == *commit {
            Self::Hold
        } else if asked || standing != Standing::Keep {
            Self::Move
        } else {
            Self::Keep
        }
    }
}
