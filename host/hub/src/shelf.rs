//! What was pulled into a folder, and its removal.

use std::io::ErrorKind;
use std::path::Path;

use crate::error::Error;
use crate::faults::RecordFault;
use crate::foreign::Foreign;
use crate::names;
use crate::record::Record;
use crate::staging::Staging;
use crate::standing::Existing;

/// One voice that was pulled.
#[derive(Debug)]
pub struct Shelved {
    /// That of its folder.
    pub name: String,
    /// Where it came from, or why nobody can say.
    pub record: Result<Record, RecordFault>,
}

/// Everything in this folder that was pulled, by name; what was not is left
/// out. A folder that is not there has nothing.
pub fn pulled(into: &Path) -> Result<Vec<Shelved>, Error> {
    let entries = match std::fs::read_dir(into) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::io(into))?,
    };
    let mut shelved = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io(into))?;
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if !is_folder || name.starts_with('.') {
            continue;
        }
        if let Some(record) = Record::read(&entry.path()).transpose() {
            shelved.push(Shelved { name, record });
        }
    }
    shelved.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(shelved)
}

/// What was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A voice, with what had gathered for another pull of it.
    Voice(Box<Record>),
    /// Only what had gathered for a pull that never came to its end.
    Parts,
}

/// Deletes what was pulled into a folder under this name, and nothing else.
pub fn remove(into: &Path, name: &str) -> Result<Removed, Error> {
    names::check_voice(name)?;
    let place = into.join(name);
    let is_there = std::fs::symlink_metadata(&place).is_ok();
    let name_ = Foreign::new(name);
    if !is_there && !Staging::has_gathered(into, name) {
        return Err(Error::NoSuch { name: name_ });
    }
    let staging = Staging::open(into, name)?;
    match Existing::at(&place) {
        Existing::Ours(record) => {
            staging.remove()?;
            Ok(Removed::Voice(record))
        }
        Existing::Nothing => {
            staging.clear()?;
            Ok(Removed::Parts)
        }
        Existing::Strange => Err(Error::NotPulled { name: name_ }),
        Existing::Unreadable(fault) => Err(Error::Record { name: name_, fault }),
    }
}
