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
    /// Unpacked from an archive into a file without a name.
    Unlinked(Arc<Unlinked>),
}

/// A file that is gone with its last user.
#[derive(Debug)]
pub(crate) struct Unlinked(std::fs::File);

impl Unlinked {
    pub(crate) fn new(file: std::fs::File) -> Self {
        Self(file)
    }

    /// By which this process opens it once more, as long as it is held.
    pub(crate) fn path(&self) -> PathBuf {
        use std::os::fd::AsRawFd;
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
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

    /// Whole, if it has no more than `most` bytes.
    pub(crate) fn read(&self, most: u64) -> Result<Vec<u8>, Error> {
        match self {
            Self::Path(path) => read_at_most(path, most).map_err(|e| unreadable(path, &e)),
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

/// A file's bytes, whole; more than `most` are an error and never in memory.
pub fn read_at_most(path: &std::path::Path, most: u64) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 <= most {
        true => Ok(bytes),
        false => Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            format!("it has more than {most} bytes"),
        )),
    }
}

/// The same for text.
pub fn read_text_at_most(path: &std::path::Path, most: u64) -> std::io::Result<String> {
    String::from_utf8(read_at_most(path, most)?)
        .map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidData, e.utf8_error()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
