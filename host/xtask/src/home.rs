//! Where set-up puts things, and how it puts them there whole.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// The folder of everything that is fetched or built outside of the
/// repository.
pub(crate) struct Home {
    pub(crate) root: PathBuf,
}

impl Home {
    /// KOEMASU_HOME, else the user's cache folder; the server looks in the same
    /// places.
    pub(crate) fn find() -> Result<Self> {
        let variable = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let root = variable("KOEMASU_HOME")
            .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("koemasu")))
            .or_else(|| variable("HOME").map(|home| home.join(".cache/koemasu")))
            .context("neither KOEMASU_HOME nor HOME is set")?;
        std::fs::create_dir_all(&root)
            .with_context(|| format!("cannot make {}", root.display()))?;
        let root = root.canonicalize()?;
        Ok(Self { root })
    }

    /// Held while something is set up; a second set-up waits for the first.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.root.join("setup.lock");
        let file =
            File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        file.lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(file)
    }

    /// Makes `folder` by filling another one beside it and moving that there:
    /// it is whole or not there, however this ends.
    pub(crate) fn fill(&self, folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let part = self.root.join(format!("part-{}", std::process::id()));
        // Left over by one that was interrupted, under a number used again.
        let _ = std::fs::remove_dir_all(&part);
        std::fs::create_dir_all(&part)?;
        let filled = fill(&part).and_then(|()| {
            if let Some(parent) = folder.parent() {
                std::fs::create_dir_all(parent)?;
            }
            // Something incomplete by hand would be in the way.
            let _ = std::fs::remove_dir_all(folder);
            std::fs::rename(&part, folder)
                .with_context(|| format!("cannot make {}", folder.display()))
        });
        let _ = std::fs::remove_dir_all(&part);
        filled
    }
}

/// Writes a file whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = path.with_extension("part");
    std::fs::write(&part, bytes)
        .and_then(|()| std::fs::rename(&part, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Paths of all tracked files, from the top of the repository.
pub(crate) fn tracked() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(repository()).arg("ls-files");
    let listed = process::run_quietly(&mut git)?;
    Ok(listed.lines().map(str::to_owned).collect())
}

/// The top of the repository.
pub(crate) fn repository() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest
        .ancestors()
        .nth(2)
        .map_or_else(|| manifest.to_owned(), Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_whole_or_not_there() {
        let root = tempfile::tempdir().expect("a folder");
        let home = Home {
            root: root.path().to_owned(),
        };
        let folder = root.path().join("thing");
        let failed = home.fill(&folder, |part| {
            std::fs::write(part.join("half"), b"half")?;
            anyhow::bail!("interrupted")
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read_dir(root.path()).expect("a folder").count(), 0);

        home.fill(&folder, |part| {
            Ok(std::fs::write(part.join("all"), b"all")?)
        })
        .expect("filled");
        assert_eq!(std::fs::read(folder.join("all")).expect("a file"), b"all");
    }
}
