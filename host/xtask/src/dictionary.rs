//! The Japanese dictionary, unpacked from the repository and checked.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::home::{Home, repository};
use crate::setup::{found, step};

const NAME: &str = "naist-jdic-1.11";
const ARCHIVE: &str = "dictionary/naist-jdic-1.11.tar.zst";

/// Files as they are unpacked: name, length, sha256.
const FILES: [(&str, u64, &str); 5] = [
    (
        "sys.dic",
        103_073_776,
        "ca57d9029691a70a5dfb99afc2844180256161d7130da65b1a867510e129b9a6",
    ),
    (
        "matrix.bin",
        3_792_262,
        "62fd16b4f64c851d5dc352ef0d5740c5fc83ddc7c203b2b0b1fc5271969a14ce",
    ),
    (
        "char.bin",
        262_496,
        "888ee94c5a8a7a26d24ab3f1b7155441351954fd51ea06b4a2f78bd742492b2f",
    ),
    (
        "unk.dic",
        5_690,
        "ce97851ecda075914fa3ffe7294a1ab34ee4f6d56ba6bf9197d74143b5dffbfe",
    ),
    (
        "COPYING",
        3_191,
        "5f011bf0350d7f191e0da7c72cd3345568f1c9891800855c52b1b19dc035914d",
    ),
];

/// The folder of the unpacked dictionary.
pub(crate) fn ensure(home: &Home) -> Result<PathBuf> {
    let folder = home.root.join("dictionary").join(NAME);
    // Hashed when unpacked; afterwards a changed length is what disks and
    // people do to files.
    let whole = FILES.iter().all(|(name, length, _)| {
        let file = folder.join(name).metadata();
        file.is_ok_and(|file| file.len() == *length)
    });
    let what = format!("Japanese dictionary {NAME}");
    if whole {
        found(&what);
    } else {
        let archive = repository().join(ARCHIVE);
        step(&what, || home.fill(&folder, |part| unpack(&archive, part)))?;
    }
    Ok(folder)
}

fn unpack(archive: &Path, to: &Path) -> Result<()> {
    let file = File::open(archive)
        .with_context(|| format!("the packed dictionary {}", archive.display()))?;
    let mut archive = tar::Archive::new(zstd::Decoder::new(file)?);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some((name, length, sha256)) = FILES.iter().find(|(known, ..)| *known == name) else {
            continue;
        };
        let mut bytes = Vec::new();
        entry.by_ref().take(length + 1).read_to_end(&mut bytes)?;
        check(name, &bytes, sha256)?;
        std::fs::write(to.join(name), bytes)?;
    }
    for (name, ..) in FILES {
        if !to.join(name).is_file() {
            bail!("the packed dictionary has no {name}");
        }
    }
    Ok(())
}

/// In hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check(name: &str, bytes: &[u8], expected: &str) -> Result<()> {
    let digest = sha256(bytes);
    if digest != expected {
        bail!("{name} of the packed dictionary has sha256 {digest}, expected {expected}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_refused() {
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(check("x", b"abc", digest).is_ok());
        let error = check("x", b"abd", digest).expect_err("changed");
        assert!(error.to_string().contains("expected ba7816bf"), "{error}");
    }

    #[test]
    fn a_cut_archive_leaves_nothing() {
        let root = tempfile::tempdir().expect("a folder");
        let home = Home {
            root: root.path().to_owned(),
        };
        let whole = std::fs::read(repository().join(ARCHIVE)).expect("the archive");
        let cut = root.path().join("cut.tar.zst");
        std::fs::write(&cut, &whole[..1 << 20]).expect("a file");
        let folder = root.path().join("dictionary");
        assert!(home.fill(&folder, |part| unpack(&cut, part)).is_err());
        assert!(!folder.exists());
    }
}
