//! Where the bytes of a model are.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Error;

/// What a caller names: a file or folder, or bytes inside the program.
#[derive(Clone, Debug)]
pub enum Source {
    Path(PathBuf),
    Embedded(&'static [u8]),
}

/// A graph that sessions are opened from, as often as a pool needs one.
#[derive(Clone, Debug)]
pub(crate) enum Graph {
    /// By path, so that external data beside it is found.
    File(PathBuf),
    Embedded(&'static [u8]),
    /// Unpacked from an archive.
    Memory(Arc<[u8]>),
}

impl Source {
    /// Two sources with equal fingerprints hold the same bytes, so that an
    /// unchanged model is not opened again: for a file its place, size, time
    /// and inode, which every editor and copy changes; hashing gigabytes at
    /// each reload would cost seconds.
    pub fn fingerprint(&self) -> Result<String, Error> {
        match self {
            Self::Embedded(bytes) => Ok(format!("embedded:{:p}+{}", bytes.as_ptr(), bytes.len())),
            Self::Path(path) => {
                let mut marks = Vec::new();
                mark(path, &mut marks)?;
                if path.is_dir() {
                    for entry in std::fs::read_dir(path).map_err(|e| unreadable(path, &e))? {
                        let entry = entry.map_err(|e| unreadable(path, &e))?;
                        mark(&entry.path(), &mut marks)?;
                    }
                }
                marks.sort();
                Ok(marks.join(" "))
            }
        }
    }

    /// The same for a graph whose weights may lie in other files of its folder.
    pub fn fingerprint_with_neighbours(&self) -> Result<String, Error> {
        match self {
            Self::Path(path) if path.is_file() => {
                let folder = path.parent().unwrap_or(std::path::Path::new("."));
                let folder = Self::Path(folder.to_owned());
                Ok(format!(
                    "{} in {}",
                    self.fingerprint()?,
                    folder.fingerprint()?
                ))
            }
            _ => self.fingerprint(),
        }
    }

    pub(crate) fn graph(&self) -> Graph {
        match self {
            Self::Path(path) => Graph::File(path.clone()),
            Self::Embedded(bytes) => Graph::Embedded(bytes),
        }
    }

    pub(crate) fn read(&self) -> Result<Vec<u8>, Error> {
        match self {
            Self::Path(path) => std::fs::read(path).map_err(|e| unreadable(path, &e)),
            Self::Embedded(bytes) => Ok(bytes.to_vec()),
        }
    }
}

fn mark(path: &std::path::Path, marks: &mut Vec<String>) -> Result<(), Error> {
    use std::os::unix::fs::MetadataExt;
    let real = path.canonicalize().map_err(|e| unreadable(path, &e))?;
    let meta = real.metadata().map_err(|e| unreadable(path, &e))?;
    marks.push(format!(
        "{}:{}:{}.{}:{}",
        real.display(),
        meta.len(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ino()
    ));
    Ok(())
}

pub(crate) fn unreadable(path: &std::path::Path, error: &std::io::Error) -> Error {
    Error::Package {
        path: path.to_owned(),
        cause: error.to_string(),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
