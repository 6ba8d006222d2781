//! Where the files of a voice gather, and how they take their place.
//!
//! In `INTO/.pull/NAME`, on the file system of the place itself: `lock`, held
//! while somebody is at work; `part`, files on their way and notes about them;
//! `new`, files that are whole; `old`, what lay in the place before; `gone`,
//! what is being deleted. Folders are moved and never copied, so that a reader
//! sees one voice or the other; whatever breaks off in between is put right by
//! the next one at work.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::foreign::Foreign;
use crate::record::Record;
use crate::transfer::PartOf;

/// The folder beside the voices; hidden, so that nobody takes it for one.
const WORKSHOP: &str = ".pull";
/// Bytes of a note.
const NOTE_MAX: u64 = 64 << 10;

/// Held by one at a time; what is worth keeping stays when it is let go.
pub(crate) struct Staging {
    into: PathBuf,
    name: String,
    home: PathBuf,
    /// Released when it is closed.
    _lock: File,
}

impl Staging {
    /// Of a name that was checked. What an earlier one left half done is put
    /// right.
    pub(crate) fn open(into: &Path, name: &str) -> Result<Self, Error> {
        let home = into.join(WORKSHOP).join(name);
        let staging = Self {
            _lock: lock(&home, name)?,
            into: into.to_owned(),
            name: name.to_owned(),
            home,
        };
        staging.repair()?;
        for folder in [staging.home.join("part"), staging.home.join("new")] {
            std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        }
        Ok(staging)
    }

    /// Where the voice is to lie.
    pub(crate) fn place(&self) -> PathBuf {
        self.into.join(&self.name)
    }

    /// Where a file lies once it is whole.
    pub(crate) fn whole(&self, file: &str) -> PathBuf {
        self.home.join("new").join(file)
    }

    /// Where it lies until then.
    pub(crate) fn part(&self, file: &str) -> PathBuf {
        self.home.join("part").join(format!("{file}.part"))
    }

    fn note(&self, file: &str) -> PathBuf {
        self.home.join("part").join(format!("{file}.of"))
    }

    pub(crate) fn noted(&self, file: &str) -> Option<PartOf> {
        let mut note = Vec::new();
        let opened = File::open(self.note(file)).ok()?;
        opened.take(NOTE_MAX).read_to_end(&mut note).ok()?;
        serde_json::from_slice(&note).ok()
    }

    pub(crate) fn note_part(&self, file: &str, of: &PartOf) -> Result<(), Error> {
        let path = self.note(file);
        let note = serde_json::to_vec(of).expect("texts and numbers are JSON");
        std::fs::write(&path, note).map_err(Error::io(&path))
    }

    pub(crate) fn drop_part(&self, file: &str) -> Result<(), Error> {
        for path in [self.part(file), self.note(file)] {
            absent(std::fs::remove_file(&path)).map_err(Error::io(&path))?;
        }
        Ok(())
    }

    /// The part is whole.
    pub(crate) fn keep_part(&self, file: &str) -> Result<(), Error> {
        let part = self.part(file);
        std::fs::rename(&part, self.whole(file)).map_err(Error::io(&part))
    }

    /// Nothing of what has gathered is wanted.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        for folder in ["part", "new"] {
            self.discard(&self.home.join(folder))?;
        }
        Ok(())
    }

    /// With its record, what is whole takes its place at once. What lay there
    /// goes, whatever it was.
    pub(crate) fn install(self, record: &Record) -> Result<PathBuf, Error> {
        let (new, place) = (self.home.join("new"), self.place());
        self.sweep(&new, record)?;
        let path = new.join(Record::FILE);
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(&record.to_json())?;
            file.sync_all()
        });
        written.map_err(Error::io(&path))?;
        // Else a power cut could leave the place with nothing in it.
        sync(&new);
        let old = self.home.join("old");
        if is_there(&place) {
            std::fs::rename(&place, &old).map_err(Error::io(&place))?;
        }
        std::fs::rename(&new, &place).map_err(|cause| {
            // Best effort: if this fails too, the next one at work repairs it.
            let _ = std::fs::rename(&old, &place);
            Error::io(&place)(cause)
        })?;
        sync(&self.into);
        self.discard(&old)?;
        self.discard(&self.home.join("part"))?;
        Ok(place)
    }

    /// Whether an earlier one has left something for this name.
    pub(crate) fn has_gathered(into: &Path, name: &str) -> bool {
        is_there(&into.join(WORKSHOP).join(name))
    }

    /// The voice goes, and what has gathered for it.
    pub(crate) fn remove(self) -> Result<(), Error> {
        self.discard(&self.place())?;
        sync(&self.into);
        self.clear()
    }

    /// Of another choice of files something may have stayed.
    fn sweep(&self, new: &Path, record: &Record) -> Result<(), Error> {
        for entry in std::fs::read_dir(new).map_err(Error::io(new))? {
            let entry = entry.map_err(Error::io(new))?;
            let name = entry.file_name();
            if !record.files.iter().any(|file| name == file.name.as_str()) {
                self.discard(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Where somebody was stopped between two moves, the voice that lay there
    /// comes back; the new one is whole, and takes its place again.
    fn repair(&self) -> Result<(), Error> {
        let (old, place) = (self.home.join("old"), self.place());
        if is_there(&old) && !is_there(&place) {
            std::fs::rename(&old, &place).map_err(Error::io(&old))?;
        }
        self.discard(&old)?;
        self.discard(&self.home.join("gone"))
    }

    /// Moves it out of sight first: what is half deleted is never found.
    fn discard(&self, path: &Path) -> Result<(), Error> {
        let gone = self.home.join("gone");
        if *path != gone {
            absent(delete(&gone)).map_err(Error::io(&gone))?;
            absent(std::fs::rename(path, &gone)).map_err(Error::io(path))?;
        }
        absent(delete(&gone)).map_err(Error::io(&gone))
    }
}

/// What holds nothing goes, the lock last but for the folders around it: who
/// comes then makes a new one.
impl Drop for Staging {
    fn drop(&mut self) {
        // Best effort, all of it: a folder that holds something stays.
        for folder in ["part", "new"] {
            let _ = std::fs::remove_dir(self.home.join(folder));
        }
        let _ = std::fs::remove_file(self.home.join("lock"));
        let _ = std::fs::remove_dir(&self.home);
        let _ = std::fs::remove_dir(self.into.join(WORKSHOP));
    }
}

/// Folders that vanish and locks that are let go, while we ask.
const TRIES: u32 = 16;

fn lock(home: &Path, name: &str) -> Result<File, Error> {
    let at_work = || Error::AtWork {
        name: Foreign::new(name),
    };
    let path = home.join("lock");
    for _ in 0..TRIES {
        std::fs::create_dir_all(home).map_err(Error::io(home))?;
        let options = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .to_owned();
        let file = match options.open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            opened => opened.map_err(Error::io(&path))?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(at_work()),
            Err(TryLockError::Error(cause)) => return Err(Error::Io { path, cause }),
        }
        // It may be one that was let go and removed since it was opened.
        let ours = file.metadata().map_err(Error::io(&path))?.ino();
        if path.metadata().is_ok_and(|meta| meta.ino() == ours) {
            return Ok(file);
        }
    }
    Err(at_work())
}

fn delete(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path)?.is_dir() {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    }
}

/// Of whatever kind, a link that leads nowhere too.
fn is_there(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// That it is not there is as good.
fn absent(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// Not every file system can; the files themselves are safe by then.
fn sync(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}
