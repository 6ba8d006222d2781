//! Files of others, read so that nothing about them can hurt: what is no
//! regular file is refused without being opened for long, a size has a bound
//! before it has memory, nothing is mapped, and what is read is one version of
//! the file or an error.
//!
//! The one way in for every file from outside.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Of configuration, pipelines, dictionaries, presets: written by people.
pub const TEXT_MAX: u64 = 64 << 20;
/// Of one file of a compiled dictionary.
pub const DICTIONARY_MAX: u64 = 1 << 30;
/// Of one ONNX file: what protocol buffers can hold.
pub const MODEL_MAX: u64 = 2 << 30;

/// A file that was changed a moment ago may be changed again without its times
/// showing it.
const TICK: Duration = Duration::from_millis(20);
/// A file that is always being written is not worth waiting for.
const TRIES: u32 = 3;

/// What tells one version of a file from another. The time of the last change
/// of its inode cannot be set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    device: u64,
    inode: u64,
    bytes: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Mark {
    pub(crate) fn of(meta: &std::fs::Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            bytes: meta.len(),
            written: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Since the last change, of what lies before our clock.
    pub(crate) fn age(&self) -> Option<Duration> {
        let elapsed = |(seconds, nanos): (i64, i64)| {
            let since = Duration::new(seconds.try_into().ok()?, nanos.try_into().ok()?);
            (SystemTime::UNIX_EPOCH + since).elapsed().ok()
        };
        let ages = [self.written, self.changed].into_iter();
        ages.filter_map(elapsed).min()
    }

    /// Whether the content may have been written to. A file that was only
    /// renamed, linked or deleted is still what it was.
    fn rewritten(&self, other: &Self) -> bool {
        (self.bytes, self.written) != (other.bytes, other.written)
    }
}

/// A regular file, held open: it stays what it is when another one takes its
/// name or when it is deleted.
#[derive(Debug)]
pub struct Held {
    file: File,
    path: PathBuf,
    mark: Mark,
}

impl Held {
    /// Never blocks on what is no regular file, and never opens it.
    pub fn open(path: &Path) -> Result<Self> {
        regular(&path.metadata()?)?;
        let file = File::options()
            .read(true)
            // Between the question and the answer it may become a pipe.
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)?;
        Self::of(file, path.to_owned())
    }

    /// One that is open already; `path` is what it is called.
    pub(crate) fn of(file: File, path: PathBuf) -> Result<Self> {
        let mut meta = file.metadata()?;
        regular(&meta)?;
        if just_written(&meta) {
            std::thread::sleep(TICK);
            meta = file.metadata()?;
        }
        Ok(Self {
            file,
            path,
            mark: Mark::of(&meta),
        })
    }

    /// A file of a folder; a link that leads out of it is refused.
    pub fn open_inside(folder: &Path, name: &Path) -> Result<Self> {
        let path = folder.join(name);
        let (home, real) = (folder.canonicalize()?, path.canonicalize()?);
        if !real.starts_with(&home) {
            return Err(refused("is a link that leads out of its folder"));
        }
        let mut held = Self::open(&real)?;
        held.path = path;
        Ok(held)
    }

    /// The file was opened under this path; it may lie elsewhere by now.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's length as it was when it was opened.
    pub fn bytes(&self) -> u64 {
        self.mark.bytes
    }

    /// Whether nobody has written to it since it was opened, as far as its
    /// times tell.
    pub fn intact(&self) -> Result<bool> {
        Ok(!self.mark.rewritten(&Mark::of(&self.file.metadata()?)))
    }

    /// All of `into` or an error; a file that has become shorter is one.
    pub fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.file
            .read_exact_at(into, offset)
            .map_err(|e| match e.kind() {
                ErrorKind::UnexpectedEof => changed(),
                _ => e,
            })
    }

    /// From its start on, for what is read piece by piece; whoever does looks
    /// afterwards whether it is intact.
    pub fn reader(&self) -> impl std::io::Read + '_ {
        &self.file
    }

    /// The whole file, of at most `most` bytes, in one version.
    pub fn read(&self, most: u64) -> Result<Vec<u8>> {
        if self.bytes() > most {
            return Err(refused(&format!(
                "has {} bytes, the most is {most}",
                self.bytes()
            )));
        }
        let bytes = usize::try_from(self.bytes()).map_err(|_| refused("is too large"))?;
        let mut read = Vec::new();
        read.try_reserve_exact(bytes)
            .map_err(|_| Error::from(ErrorKind::OutOfMemory))?;
        read.resize(bytes, 0);
        self.read_at(0, &mut read)?;
        match self.intact()? {
            true => Ok(read),
            false => Err(changed()),
        }
    }
}

/// The whole file, of at most `most` bytes, in one version.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    again(|| Held::open(path)?.read(most))
}

/// The same of a file of a folder, where a link must not lead out of it.
pub fn read_inside(folder: &Path, name: &str, most: u64) -> Result<Vec<u8>> {
    again(|| Held::open_inside(folder, Path::new(name))?.read(most))
}

fn again<T>(mut read: impl FnMut() -> Result<T>) -> Result<T> {
    let mut tries = 1;
    loop {
        match read() {
            Err(e) if is_changed(&e) && tries < TRIES => tries += 1,
            done => return done,
        }
    }
}

/// The file was written to while it was read.
fn changed() -> Error {
    Error::new(ErrorKind::ResourceBusy, "is being written to")
}

fn is_changed(error: &Error) -> bool {
    error.kind() == ErrorKind::ResourceBusy
}

fn refused(why: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, why.to_owned())
}

/// Tells another file at this place from this one, without reading it.
pub(crate) fn identity(path: &Path) -> String {
    let meta = std::fs::metadata(path).ok();
    let bytes = meta.as_ref().map(std::fs::Metadata::len);
    let written = meta.and_then(|meta| meta.modified().ok());
    format!("{} {bytes:?} {written:?}", path.display())
}

fn regular(meta: &std::fs::Metadata) -> Result<()> {
    let kind = meta.file_type();
    let what = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "is a folder, not a file",
        () if kind.is_fifo() => "is a named pipe, not a file",
        () if kind.is_socket() => "is a socket, not a file",
        () => "is a device, not a file",
    };
    Err(refused(what))
}

fn just_written(meta: &std::fs::Metadata) -> bool {
    let written = meta.modified().ok();
    let age = written.and_then(|written| SystemTime::now().duration_since(written).ok());
    age.is_some_and(|age| age < TICK)
}

/// A sum over content, taken piece by piece: whether bytes read again are the
/// bytes that were read before. Fast and not cryptographic: it finds accidents,
/// not forgeries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sum([u64; 4]);

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Default for Sum {
    fn default() -> Self {
        Self([1, 2, 3, 4].map(|lane: u64| lane.wrapping_mul(ODD)))
    }
}

impl Sum {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        let mut blocks = bytes.chunks_exact(32);
        for block in &mut blocks {
            for (lane, word) in self.0.iter_mut().zip(block.chunks_exact(8)) {
                let word = word.try_into().map_or(0, u64::from_le_bytes);
                *lane = mix(*lane, word);
            }
        }
        for byte in blocks.remainder() {
            self.0[0] = mix(self.0[0], u64::from(*byte));
        }
        // So that pieces of other lengths are other pieces.
        self.0[1] = mix(self.0[1], bytes.len() as u64);
    }
}

fn mix(lane: u64, word: u64) -> u64 {
    (lane ^ word).wrapping_mul(ODD).rotate_left(29)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let pipe = std::ffi::CString::new(at("pipe").display().to_string()).expect("a name");
        make_pipe(&pipe);
        std::fs::create_dir(at("folder")).expect("a folder");
        std::os::unix::fs::symlink("/dev/zero", at("zero")).expect("a link");
        std::os::unix::fs::symlink("nowhere", at("dangling")).expect("a link");
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("a socket");
        for (name, says) in [
            ("pipe", "named pipe"),
            ("folder", "folder"),
            ("zero", "device"),
            ("socket", "socket"),
            ("dangling", "No such file"),
        ] {
            let error = read(&at(name), 1 << 20).expect_err(name).to_string();
            assert!(error.contains(says), "{name}: {error}");
        }
    }

    fn make_pipe(path: &std::ffi::CStr) {
        let made = std::process::Command::new("mkfifo")
            .arg(path.to_str().expect("a name"))
            .status();
        assert!(made.expect("mkfifo").success());
    }

    #[test]
    fn a_size_has_a_bound_and_a_link_an_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().join("voice");
        std::fs::create_dir(&home).expect("a folder");
        std::fs::write(folder.path().join("secret"), b"secret").expect("a file");
        std::fs::write(home.join("inside"), b"inside").expect("a file");
        let link = |to: &str, name: &str| {
            std::os::unix::fs::symlink(to, home.join(name)).expect("a link");
        };
        link("../secret", "out");
        link("inside", "in");
        assert_eq!(read_inside(&home, "in", 6).expect("inside"), b"inside");
        let out = read_inside(&home, "out", 6).expect_err("out").to_string();
        assert!(out.contains("leads out of its folder"), "{out}");
        let large = read_inside(&home, "inside", 5).expect_err("large");
        assert!(large.to_string().contains("the most is 5"), "{large}");
    }

    #[test]
    fn a_file_held_is_what_it_was_until_somebody_writes_to_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, b"first").expect("a file");
        let held = Held::open(&path).expect("a file");
        std::fs::write(folder.path().join("other"), b"other").expect("a file");
        std::fs::rename(folder.path().join("other"), &path).expect("a rename");
        assert!(held.intact().expect("open"));
        assert_eq!(held.read(10).expect("the old one"), b"first");
        let held = Held::open(&path).expect("a file");
        std::fs::write(&path, b"short").expect("a write in place");
        assert!(!held.intact().expect("open"));
        held.read(10).expect_err("another version");
        std::fs::write(&path, b"").expect("cut off");
        held.read_at(0, &mut [0; 5]).expect_err("too short");
    }

    #[test]
    fn a_sum_sees_every_bit_and_every_swap() {
        let sum = |bytes: &[u8]| {
            let mut sum = Sum::default();
            sum.add(bytes);
            sum
        };
        let bytes: Vec<u8> = (0..200_u8).collect();
        for place in 0..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 0x10;
            assert!(sum(&other) != sum(&bytes), "{place}");
        }
        let mut swapped = bytes.clone();
        swapped.swap(0, 32);
        assert!(sum(&swapped) != sum(&bytes));
    }
}
