//! Where the bytes of a model are.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::derived::Derived;
use crate::error::Error;
use crate::files::{self, Held, Mark};
use crate::package::Recipe;

/// What a caller names: a file or folder, or bytes inside the program.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A file, or the folder of a voice. It may change while it is served.
    Path(PathBuf),
    /// A file inside the program, which never changes.
    Embedded(&'static [u8]),
    /// A voice that is made of others whenever it is read.
    Merged(Arc<Recipe>),
}

/// A graph that sessions are opened from, as often as a pool needs one.
#[derive(Clone, Debug)]
pub(crate) enum Graph {
    /// Held open: what its voice is made of is what was opened, whoever
    /// replaces the file.
    File(Arc<Held>),
    Embedded(&'static [u8]),
    /// Unpacked from an archive into a file without a name.
    Unlinked(Arc<Held>),
    /// Of ours, over tensors alone.
    Built(Arc<Built>),
}

/// A graph that was written for a file of tensors.
#[derive(Debug)]
pub(crate) struct Built {
    /// An ONNX model whose weights lie in the other two.
    pub(crate) model: Arc<[u8]>,
    pub(crate) tensors: Arc<Held>,
    pub(crate) derived: Arc<Derived>,
}

impl Source {
    /// Two sources with equal fingerprints hold the same bytes, so that an
    /// unchanged model is not opened again: for a file its place, size, times
    /// and inode, of which every write changes one, even where somebody sets
    /// the time back; hashing gigabytes at each reload would cost seconds.
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
            Self::Merged(recipe) => {
                let voices = recipe.voices.iter().map(Self::fingerprint);
                let voices: Vec<_> = voices.collect::<Result<_, _>>()?;
                Ok(format!("{recipe:?} of {}", voices.join(", ")))
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

    /// The [`fingerprint`](Self::fingerprint), once nobody has written for a
    /// moment: who writes over a file in pieces, as `rsync --inplace` does,
    /// leaves half of one voice and half of another between two of them.
    /// Waits, but not for ever.
    pub(crate) fn settled(&self) -> Result<String, Error> {
        let start = Instant::now();
        loop {
            let marked = self.fingerprint()?;
            let Some(rest) = self.age().and_then(|age| QUIET.checked_sub(age)) else {
                return Ok(marked);
            };
            if start.elapsed() > PATIENCE {
                return Err(self.unsteady());
            }
            std::thread::sleep(rest + Duration::from_millis(1));
        }
    }

    /// Since the last change of any of its files, where their times tell.
    fn age(&self) -> Option<Duration> {
        let path = match self {
            Self::Path(path) => path,
            Self::Embedded(_) => return None,
            Self::Merged(recipe) => return recipe.voices.iter().filter_map(Self::age).min(),
        };
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let files = entries.map(|entry| entry.path()).chain([path.clone()]);
        let metas = files.filter_map(|file| file.metadata().ok());
        let ages = metas.filter_map(|meta| Mark::of(&meta).age());
        ages.min()
    }

    /// It changed each time it was opened.
    pub(crate) fn unsteady(&self) -> Error {
        Error::Package {
            path: self.path().to_owned(),
            cause: "it changes while it is opened; is somebody still writing it?".to_owned(),
        }
    }

    pub(crate) fn graph(&self) -> Result<Graph, Error> {
        match self {
            Self::Path(path) => {
                let held = Held::open(path).map_err(|e| unreadable(path, &e))?;
                Ok(Graph::File(Arc::new(held)))
            }
            Self::Embedded(bytes) => Ok(Graph::Embedded(bytes)),
            Self::Merged(_) => Err(self.no_file()),
        }
    }

    /// Whole, if it has no more than `most` bytes.
    pub(crate) fn read(&self, most: u64) -> Result<Vec<u8>, Error> {
        match self {
            Self::Path(path) => files::read(path, most).map_err(|e| unreadable(path, &e)),
            Self::Embedded(bytes) => Ok(bytes.to_vec()),
            Self::Merged(_) => Err(self.no_file()),
        }
    }

    fn no_file(&self) -> Error {
        Error::Package {
            path: self.path().to_owned(),
            cause: "it is made of several voices, and no file".to_owned(),
        }
    }
}

/// Longer than a writer pauses between two pieces.
const QUIET: Duration = Duration::from_millis(500);
/// Whoever still writes then will be read when he has ended: the file watcher
/// sees it.
const PATIENCE: Duration = Duration::from_secs(10);

fn mark(path: &std::path::Path, marks: &mut Vec<String>) -> Result<(), Error> {
    let real = path.canonicalize().map_err(|e| unreadable(path, &e))?;
    let meta = real.metadata().map_err(|e| unreadable(path, &e))?;
    marks.push(format!("{}:{:?}", real.display(), Mark::of(&meta)));
    Ok(())
}

pub(crate) fn unreadable(path: &std::path::Path, error: &std::io::Error) -> Error {
    Error::Package {
        path: path.to_owned(),
        cause: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    #[test]
    fn a_file_written_in_pieces_is_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("voice.aivmx");
        std::fs::write(&path, [0; 800]).expect("a file");
        let source = Source::Path(path.clone());
        let (begun, has_begun) = std::sync::mpsc::channel();
        let writer = std::thread::spawn(move || {
            let mut file = std::fs::File::options()
                .write(true)
                .open(path)
                .expect("a file");
            for piece in 0..20 {
                file.seek(std::io::SeekFrom::Start(piece * 40))
                    .expect("a place");
                file.write_all(&[1; 40]).expect("a piece");
                let _ = begun.send(());
                std::thread::sleep(Duration::from_millis(40));
            }
        });
        has_begun.recv().expect("it writes");
        let settled = source.settled().expect("in the end");
        assert!(source.age().is_some_and(|age| age >= QUIET));
        assert_eq!(source.fingerprint().expect("marks"), settled);
        assert_eq!(
            source.read(800).expect("the file"),
            [1; 800],
            "half of another"
        );
        writer.join().expect("it has ended");
        let start = Instant::now();
        source.settled().expect("at once");
        assert!(start.elapsed() < QUIET, "what is quiet is not waited for");
    }
}
