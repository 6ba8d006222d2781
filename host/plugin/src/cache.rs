//! Compiled plugins, kept from one start to the next.
//!
//! The folder is wasmtime's own cache (keyed by sha256 over the component, the
//! compiler's settings and version), which does not notice a flipped bit. What
//! lies there is run as native code, so each entry gets a seal of ours, the
//! SHA-256 of its bytes, and an entry without a right one goes before anybody
//! reads it. The seals lie beside wasmtime's folder and not in it: what it does
//! not know there it removes as litter, once an hour. Without the cache plugins
//! are compiled at each start: never a reason not to serve.

use base16ct::lower::encode_string as encode_hex;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::{Cache, CacheConfig};

/// An open folder of compiled plugins.
pub(crate) struct Compiled {
    pub(crate) cache: Cache,
    folder: PathBuf,
}

impl Compiled {
    /// Or why it cannot be used.
    pub(crate) fn open(folder: &Path) -> Result<Self, String> {
        let folder = own_folder(folder)?;
        sweep(&folder)?;
        let mut config = CacheConfig::new();
        config
            .with_directory(folder.join(CODE))
            // Packing an entry again would break its seal; it saves little.
            .with_optimized_compression_usage_counter_threshold(u64::MAX)
            .with_optimizing_compression_task_timeout(Duration::from_secs(60));
        let cache = Cache::new(config).map_err(|e| format!("{e:#}"))?;
        Ok(Self { cache, folder })
    }

    /// Seals what was compiled since. Best effort: what has no seal is
    /// compiled again at the next start.
    pub(crate) fn seal(&self) {
        for entry in entries(&self.folder) {
            let seal = seal_of(&self.folder, &entry);
            if seal.exists() {
                continue;
            }
            let Some(digest) = digest(&entry) else {
                continue;
            };
            let part = seal.with_extension(format!("{}.part", std::process::id()));
            let _ = std::fs::create_dir_all(self.folder.join(SEALS));
            let written =
                std::fs::write(&part, digest).and_then(|()| std::fs::rename(&part, &seal));
            if written.is_err() {
                let _ = std::fs::remove_file(&part);
            }
        }
        // What a full disk has cut short takes its last room.
        for unfinished in unfinished(&self.folder) {
            let _ = std::fs::remove_file(unfinished);
        }
    }
}

/// Wasmtime's own.
const CODE: &str = "code";
const SEALS: &str = "seals";

/// What lies in the folder is run as native code: it must be ours alone.
fn own_folder(folder: &Path) -> Result<PathBuf, String> {
    let said = |e: std::io::Error| e.to_string();
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(said)?;
    let folder = folder.canonicalize().map_err(said)?;
    let meta = folder.metadata().map_err(said)?;
    if meta.mode() & 0o022 != 0 {
        return Err(
            "others may write to it, and what lies there is run; `chmod 700` it".to_owned(),
        );
    }
    let own = Path::new("/proc/self").metadata();
    if own.is_ok_and(|own| own.uid() != meta.uid()) {
        return Err("it belongs to another user".to_owned());
    }
    Ok(folder)
}

/// Removes every entry that is not as it was sealed. What cannot be removed
/// would be run.
fn sweep(folder: &Path) -> Result<(), String> {
    for entry in entries(folder) {
        let seal = seal_of(folder, &entry);
        let sealed = std::fs::read_to_string(&seal).ok();
        if sealed.is_some() && sealed == digest(&entry) {
            continue;
        }
        let gone = match entry.is_dir() {
            true => std::fs::remove_dir_all(&entry),
            false => std::fs::remove_file(&entry),
        };
        match gone {
            // Another server may have been faster.
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(format!("{} is damaged and stays: {e}", entry.display()));
            }
            _ => {}
        }
        let _ = std::fs::remove_file(seal);
    }
    for seal in listed(&folder.join(SEALS)) {
        let living = entries(folder)
            .iter()
            .any(|entry| seal_of(folder, entry) == seal);
        if !living {
            let _ = std::fs::remove_file(seal);
        }
    }
    Ok(())
}

/// Compiled code, in a folder for each version of the compiler. What has an
/// extension is wasmtime's book-keeping.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let all = files(folder).into_iter();
    all.filter(|path| path.extension().is_none()).collect()
}

/// Files that were begun and not moved to their place.
fn unfinished(folder: &Path) -> Vec<PathBuf> {
    let begun = |path: &PathBuf| {
        let extension = path.extension().unwrap_or_default();
        extension.to_string_lossy().starts_with("wip-atomic-write")
    };
    files(folder).into_iter().filter(begun).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let versions = listed(&folder.join(CODE).join("modules")).into_iter();
    versions.flat_map(|version| listed(&version)).collect()
}

fn listed(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}

fn seal_of(folder: &Path, entry: &Path) -> PathBuf {
    let version = entry.parent().and_then(Path::file_name);
    let version = version.unwrap_or_default().to_string_lossy();
    let name = entry.file_name().unwrap_or_default().to_string_lossy();
    folder.join(SEALS).join(format!("{version}-{name}"))
}

fn digest(entry: &Path) -> Option<String> {
    Some(encode_hex(&Sha256::digest(std::fs::read(entry).ok()?)))
}
