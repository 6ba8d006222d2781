//! Where a voice came from, kept in its folder: at the first pull its digests
//! are recorded, and from then on it is held to them.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::digest::{BlobId, Commit, Digest, Sha256, Sums};
use crate::faults::RecordFault;
use crate::names;
use crate::source::Kind;
use crate::standing::Check;

/// Bytes of a record.
const BYTES_MAX: u64 = 1 << 20;

/// What was pulled, and from where.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Record {
    /// Of this file: 1.
    pub format: u32,
    /// What it is.
    pub kind: Kind,
    /// The source as it was written, without a key behind a `?`.
    pub source: String,
    /// The model that was asked for by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Where on the hub it lay, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// As the repository's card names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// All files of the folder but the record.
    pub files: Vec<RecordedFile>,
}

/// A folder of a repository at one commit.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Origin {
    /// Who was asked.
    pub endpoint: String,
    /// `OWNER/REPO`.
    pub repository: String,
    /// As it was asked for.
    pub revision: String,
    /// What that was.
    pub commit: Commit,
    /// Within the repository; empty at its root.
    pub folder: String,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RecordedFile {
    /// In the folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Of all of it.
    pub sha256: Sha256,
    /// What Git calls it, where Git has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<BlobId>,
    /// What the server called this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

impl Record {
    /// Its name in the folder of a voice.
    pub const FILE: &'static str = "koemasu.pull.json";
    /// What this program writes, and reads.
    pub const FORMAT: u32 = 1;

    /// Of a folder; none if nothing was pulled there.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, RecordFault> {
        let path = folder.join(Self::FILE);
        match std::fs::symlink_metadata(&path) {
            // A pipe would keep us waiting, a link would lead elsewhere.
            Ok(meta) if meta.is_file() => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let mut bytes = Vec::new();
        File::open(&path)?
            .take(BYTES_MAX + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > BYTES_MAX {
            return Err(RecordFault::Large);
        }
        let record: Self = serde_json::from_slice(&bytes)?;
        if record.format != Self::FORMAT {
            return Err(RecordFault::Format(record.format));
        }
        for file in &record.files {
            names::check(&file.name)?;
        }
        Ok(Some(record))
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("texts and numbers are JSON");
        json.push(b'\n');
        json
    }

    /// Whether all files of it are there, as they were recorded.
    pub(crate) fn holds(&self, folder: &Path, check: Check) -> bool {
        self.files.iter().all(|file| file.holds(folder, check))
    }

    pub(crate) fn file(&self, name: &str) -> Option<&RecordedFile> {
        self.files.iter().find(|file| file.name == name)
    }
}

impl RecordedFile {
    pub(crate) fn new(
        name: &str,
        sums: &Sums,
        listed: Option<&Digest>,
        etag: Option<String>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            bytes: sums.bytes,
            sha256: sums.sha256.clone(),
            blob: match listed {
                Some(Digest::Blob(blob)) => Some(blob.clone()),
                _ => None,
            },
            etag,
        }
    }

    /// Whether a listing's digest says the same; one of another kind says
    /// nothing.
    pub(crate) fn agrees(&self, listed: &Digest) -> bool {
        match listed {
            Digest::Sha256(sha256) => self.sha256 == *sha256,
            Digest::Blob(blob) => self.blob.as_ref().is_none_or(|recorded| recorded == blob),
        }
    }

    /// What was recorded in place of such a digest.
    pub(crate) fn said(&self, listed: &Digest) -> String {
        match (listed, &self.blob) {
            (Digest::Blob(_), Some(blob)) => blob.to_string(),
            _ => self.sha256.to_string(),
        }
    }

    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.name == other.name && self.sha256 == other.sha256
    }

    fn holds(&self, folder: &Path, check: Check) -> bool {
        let path = folder.join(&self.name);
        let right_size = std::fs::symlink_metadata(&path)
            .is_ok_and(|meta| meta.is_file() && meta.len() == self.bytes);
        match check {
            Check::Sizes => right_size,
            Check::Digests => {
                right_size && Sums::of(&path).is_ok_and(|sums| sums.sha256 == self.sha256)
            }
        }
    }
}
