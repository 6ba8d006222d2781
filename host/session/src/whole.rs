//! Files are written whole or not at all: beside their place, then moved there.
//! Two who write the same one at a time both succeed, and readers see one of
//! the two.

use std::fs::{File, OpenOptions, Permissions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{Error, ErrorKind, Read, Result, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// In a folder that is made if it is not there. What failed leaves nothing
/// behind.
pub fn write(place: &Path, bytes: &[u8]) -> Result<()> {
    // A link stays one.
    let place = std::fs::canonicalize(place).unwrap_or_else(|_| place.to_owned());
    if let Some(folder) = place.parent() {
        std::fs::create_dir_all(folder)?;
    }
    sweep(&place);
    let part = beside(&place);
    let written = fill(&part, bytes, &place).and_then(|()| std::fs::rename(&part, &place));
    if written.is_err() {
        // Best effort: the reason is already on its way.
        let _ = std::fs::remove_file(&part);
    }
    written
}

/// The same in a cache, of which the oldest half goes when it has more than so
/// many files.
pub fn keep(place: &Path, bytes: &[u8], most: usize) -> Result<()> {
    write(place, bytes)?;
    prune(place, most)
}

/// The same for a file that somebody else has written beside its
/// place.
pub(crate) fn adopt(part: &Path, place: &Path, most: usize) -> Result<()> {
    File::open(part)?.sync_data()?;
    std::fs::rename(part, place)?;
    prune(place, most)
}

fn prune(place: &Path, most: usize) -> Result<()> {
    let Some(folder) = place.parent() else {
        return Ok(());
    };
    let entries = std::fs::read_dir(folder)?.flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    if paths.len() > most {
        let written = |path: &PathBuf| path.metadata().and_then(|meta| meta.modified()).ok();
        paths.sort_by_cached_key(written);
        for path in &paths[..paths.len() / 2] {
            // Best effort, and another process may have been first.
            let _ = std::fs::remove_file(path);
        }
    }
    Ok(())
}

/// A folder that is not there yet: what `fill` writes is there as a whole or
/// not at all.
pub fn folder(place: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if place.symlink_metadata().is_ok() {
        return Err(Error::from(ErrorKind::AlreadyExists));
    }
    let part = beside(place);
    std::fs::create_dir_all(&part)?;
    let filled = fill(&part).and_then(|()| std::fs::rename(&part, place));
    if filled.is_err() {
        // Best effort: the reason is already on its way.
        let _ = std::fs::remove_dir_all(&part);
    }
    filled
}

/// The same for a file that gets smaller, as when something is deleted from it
/// to make room: where no second one fits beside it, it is written in its
/// place, and brought back if that fails.
pub fn shrink(place: &Path, bytes: &[u8]) -> Result<()> {
    let full = match write(place, bytes) {
        // Beyond a limit on the size of files a place of its own helps nothing.
        Err(error) if is_full(&error) && error.kind() != ErrorKind::FileTooLarge => error,
        outcome => return outcome,
    };
    let mut file = OpenOptions::new().read(true).write(true).open(place)?;
    let mut old = Vec::new();
    file.read_to_end(&mut old)?;
    if bytes.len() > old.len() {
        return Err(full);
    }
    let mut put = |bytes: &[u8]| {
        file.rewind()?;
        file.write_all(bytes)?;
        file.set_len(bytes.len() as u64)?;
        file.sync_data()
    };
    put(bytes).inspect_err(|_| {
        let _ = put(&old);
    })
}

/// Whether there is no room, on the disk or by a limit.
pub fn is_full(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    )
}

/// Why nothing can be kept in this folder, if so.
pub fn probe(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let part = beside(&folder.join("probe"));
    let written = File::create_new(&part).and_then(|mut file| file.write_all(&[0; 4_096]));
    let removed = std::fs::remove_file(&part);
    written.and(removed)
}

fn fill(part: &Path, bytes: &[u8], place: &Path) -> Result<()> {
    let mut file = File::create_new(part)?;
    // Whoever may read the old one may read the new one; and we ourselves,
    // whatever the umask says.
    let old = std::fs::metadata(place).map(|meta| meta.permissions().mode() & 0o7777);
    let mode = match old {
        Ok(mode) => mode,
        Err(_) => file.metadata()?.permissions().mode() & 0o777 | 0o600,
    };
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    // Else a power cut could leave the new name with nothing behind it.
    file.sync_data()
}

/// Removes what a process left behind that was killed while it wrote this
/// file, and is nobody's any more.
fn sweep(place: &Path) {
    let (Some(folder), Some(name)) = (place.parent(), place.file_name()) else {
        return;
    };
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let is_part = |other: &std::ffi::OsStr| {
        let rest = other
            .as_encoded_bytes()
            .strip_prefix(name.as_encoded_bytes());
        let rest = rest.and_then(|rest| rest.strip_prefix(b"."));
        let digits = rest.and_then(|rest| rest.strip_suffix(b".part"));
        digits.is_some_and(|it| it.len() == 16 && it.iter().all(u8::is_ascii_hexdigit))
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| is_part(&entry.file_name())) {
        let written = entry.metadata().and_then(|meta| meta.modified()).ok();
        if written.is_some_and(|at| at.elapsed().is_ok_and(|age| age > ABANDONED)) {
            // Best effort: the next one tries again.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// No write takes so long.
const ABANDONED: Duration = Duration::from_secs(600);

/// Where a file may be written that is moved to this place: a name of nobody
/// else's, as containers that share a folder share process numbers as well.
pub(crate) fn beside(place: &Path) -> PathBuf {
    let random = RandomState::new().build_hasher().finish();
    let mut name = place.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{random:016x}.part"));
    place.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_with_its_rights_and_through_its_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("a/file"), folder.path().join("link"));
        write(&file, b"first").expect("written");
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("a mode");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        write(&link, b"second").expect("written");
        assert_eq!(std::fs::read(&file).expect("a file"), b"second");
        assert!(link.is_symlink());
        let mode = std::fs::metadata(&file).expect("a file").permissions();
        assert_eq!(mode.mode() & 0o777, 0o640);
    }

    #[test]
    fn a_cache_has_a_bound_and_keeps_what_is_new() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |number: usize| folder.path().join(number.to_string());
        for number in 0..30 {
            keep(&place(number), b"kept", 8).expect("written");
            let at = std::time::SystemTime::now() - Duration::from_secs(100 - number as u64);
            let file = File::options().write(true).open(place(number));
            file.expect("a file").set_modified(at).expect("a time");
            let files = std::fs::read_dir(folder.path()).expect("a folder").count();
            assert!(files <= 8, "{files}");
            assert!(place(number).exists() && (number == 0 || place(number - 1).exists()));
        }
    }

    #[test]
    fn what_a_killed_process_left_behind_goes_with_the_next_write() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        let aged = |name: &str, age: u64| {
            let path = folder.path().join(name);
            let left = File::create(&path).expect("a file");
            let at = std::time::SystemTime::now() - Duration::from_secs(age);
            left.set_modified(at).expect("a time");
            path
        };
        let left = aged("file.0123456789abcdef.part", 3_600);
        let kept = [
            aged("file.0123456789abcdee.part", 1),
            aged("other.0123456789abcdef.part", 3_600),
            aged("file.mine.part", 3_600),
        ];
        write(&file, b"whole").expect("written");
        assert!(!left.exists(), "it is left");
        assert!(kept.iter().all(|path| path.exists()), "it is another's");
    }

    #[test]
    fn what_fails_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let taken = folder.path().join("taken");
        std::fs::create_dir(&taken).expect("a folder");
        std::fs::write(taken.join("inside"), "").expect("a file");
        assert!(write(&taken, b"bytes").is_err(), "a folder is in the way");
        assert!(write(Path::new("/proc/no/such"), b"bytes").is_err());
        let left = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 1);
        assert!(probe(Path::new("/proc/no/such")).is_err());
        probe(folder.path()).expect("it can be written to");
        let left = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 1);
    }
}
