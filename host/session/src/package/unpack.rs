//! What an archive unpacks to: a file, never memory, and no more of it than an
//! archive of that size can be meant to hold.

use base16ct::lower::encode_string as encode_hex;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::defect::ArchiveFault;
use crate::files::Held;
use crate::source::Graph;

/// Where a model is unpacked, and how large it may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unpacking<'p> {
    /// Without one, or where it cannot be written, a file without a name.
    pub(crate) folder: Option<&'p Path>,
    pub(crate) bytes_max: u64,
}

impl Default for Unpacking<'_> {
    fn default() -> Self {
        Self {
            folder: None,
            bytes_max: u64::MAX,
        }
    }
}

/// Weights hardly compress: a tenth at most. An archive may unpack to so many
/// times of what was read of it, and to this much besides.
const RATIO_MAX: u64 = 64;
const FREE: u64 = 32 << 20;
const PIECE: usize = 256 << 10;

/// Counts what is read of an archive.
pub(super) struct Counted<R> {
    inner: R,
    read: Rc<Cell<u64>>,
}

/// A reader of what an archive unpacks to, which ends in an error, not in the
/// last byte of memory or disk.
pub(super) struct Bounded<R> {
    inner: R,
    packed: Rc<Cell<u64>>,
    unpacked: u64,
    most: u64,
}

/// `plain` unpacks what it is given.
pub(super) fn bounded<F: Read, R: Read>(
    file: F,
    most: u64,
    plain: impl FnOnce(Counted<F>) -> io::Result<R>,
) -> io::Result<Bounded<R>> {
    let packed = Rc::new(Cell::new(0));
    let counted = Counted {
        inner: file,
        read: Rc::clone(&packed),
    };
    Ok(Bounded {
        inner: plain(counted)?,
        packed,
        unpacked: 0,
        most,
    })
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read.set(self.read.get() + read as u64);
        Ok(read)
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.unpacked += read as u64;
        if self.unpacked > self.most {
            let said = format!("it unpacks to more than {} bytes", self.most);
            return Err(io::Error::other(said));
        }
        let packed = self.packed.get();
        if self.unpacked > FREE + RATIO_MAX * packed {
            let said = format!(
                "{packed} bytes of it unpack to {}: no model is packed so tightly",
                self.unpacked
            );
            return Err(io::Error::other(said));
        }
        Ok(read)
    }
}

/// Streams a model into a file, named by its digest where it has a folder.
pub(super) fn to_file(model: &mut dyn Read, folder: Option<&Path>) -> Result<Graph, ArchiveFault> {
    let place = ArchiveFault::Place;
    let Some(folder) = folder else {
        let mut file = tempfile::tempfile().map_err(place)?;
        copy(model, &mut file)?;
        let held = Held::of(file, PathBuf::from(UNNAMED)).map_err(place)?;
        return Ok(Graph::Unlinked(Arc::new(held)));
    };
    std::fs::create_dir_all(folder).map_err(place)?;
    forget_abandoned(folder);
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("model-").suffix(PART);
    // Gone unless it is moved to its place.
    let mut part = builder.tempfile_in(folder).map_err(place)?;
    let digest = copy(model, part.as_file_mut())?;
    let path = folder.join(format!("{digest}.onnx"));
    // Others may have the one that is there open.
    let known = Held::open(&path).ok();
    let held = match known.filter(|held| digest_of(held).is_ok_and(|known| known == digest)) {
        Some(held) => held,
        None => {
            let file = part.persist(&path).map_err(|e| place(e.error))?;
            Held::of(file, path).map_err(place)?
        }
    };
    Ok(Graph::File(Arc::new(held)))
}

/// What messages call a file without a name.
const UNNAMED: &str = "the model of an archive";

/// Gives the hex sha256 of what was copied.
fn copy(model: &mut dyn Read, file: &mut File) -> Result<String, ArchiveFault> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; PIECE];
    loop {
        let read = match model.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(ArchiveFault::Read(e)),
        };
        digest.update(&buffer[..read]);
        let written = file.write_all(&buffer[..read]);
        written.map_err(ArchiveFault::Place)?;
    }
    Ok(encode_hex(&digest.finalize()))
}

fn digest_of(held: &Held) -> io::Result<String> {
    let mut file = held.reader();
    let mut digest = Sha256::new();
    let mut buffer = vec![0; PIECE];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(encode_hex(&digest.finalize())),
            read => digest.update(&buffer[..read]),
        }
    }
}

const PART: &str = ".part";
/// Nobody unpacks for so long.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// Removes what a process that was killed has left half unpacked.
fn forget_abandoned(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let part = entry.file_name().to_string_lossy().ends_with(PART);
        let changed = entry.metadata().and_then(|meta| meta.modified());
        let age = changed.map(|changed| SystemTime::now().duration_since(changed));
        if part && matches!(age, Ok(Ok(age)) if age > ABANDONED) {
            // Best effort: it is in nobody's way but the disk's.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
