//! Digests: as the hub names them, and of what lies here.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::Digest as _;

/// So many hexadecimal digits, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hex<const DIGITS: usize>(String);

/// SHA-256 of a file.
pub type Sha256 = Hex<64>;
/// Git's own name of a small file: SHA-1 of its length and content.
pub type BlobId = Hex<40>;
/// Git's name of a state of a repository.
pub type Commit = Hex<40>;

/// Something that should have been a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {digits} hexadecimal digits")]
pub struct NoHex {
    digits: usize,
}

impl<const DIGITS: usize> Hex<DIGITS> {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const DIGITS: usize> TryFrom<String> for Hex<DIGITS> {
    type Error = NoHex;

    fn try_from(mut digits: String) -> Result<Self, NoHex> {
        if digits.len() != DIGITS || !digits.bytes().all(|it| it.is_ascii_hexdigit()) {
            return Err(NoHex { digits: DIGITS });
        }
        digits.make_ascii_lowercase();
        Ok(Self(digits))
    }
}

impl<const DIGITS: usize> From<Hex<DIGITS>> for String {
    fn from(hex: Hex<DIGITS>) -> Self {
        hex.0
    }
}

impl<const DIGITS: usize> fmt::Display for Hex<DIGITS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the hub says that a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Digest {
    /// Of a large file.
    Sha256(Sha256),
    /// Of one that lies in Git itself.
    Blob(BlobId),
}

impl Digest {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Sha256(sha256) => sha256.as_str(),
            Self::Blob(blob) => blob.as_str(),
        }
    }
}

/// What a file here is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) bytes: u64,
    pub(crate) sha256: Sha256,
    pub(crate) blob: BlobId,
}

impl Sums {
    /// Of all that lies in the file, whenever it came there.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut sha256 = sha2::Sha256::new();
        let mut blob = sha1::Sha1::new();
        blob.update(format!("blob {bytes}\0"));
        // Git keeps no model itself, and this sum would take the longest.
        let small = bytes <= BLOB_MAX;
        let mut piece = vec![0; 256 << 10];
        loop {
            let read = file.read(&mut piece)?;
            if read == 0 {
                break;
            }
            sha256.update(&piece[..read]);
            if small {
                blob.update(&piece[..read]);
            }
        }
        Ok(Self {
            bytes,
            sha256: hex(&sha256.finalize()),
            blob: hex(&blob.finalize()),
        })
    }

    pub(crate) fn are(&self, digest: &Digest) -> bool {
        match digest {
            Digest::Sha256(sha256) => self.sha256 == *sha256,
            Digest::Blob(blob) => self.blob == *blob,
        }
    }
}

/// Bytes of a file that lies in Git itself; the hub takes 10 MB.
pub(crate) const BLOB_MAX: u64 = 64 << 20;

fn hex<const DIGITS: usize>(bytes: &[u8]) -> Hex<DIGITS> {
    Hex(base16ct::lower::encode_string(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_sums_that_git_and_everybody_else_has() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "hello\n").expect("written");
        let sums = Sums::of(file.path()).expect("sums");
        assert_eq!(
            sums.blob.as_str(),
            "ce013625030ba8dba906f756967f9e9ca394464a"
        );
        assert_eq!(
            sums.sha256.as_str(),
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
        );
    }

    #[test]
    fn only_digits_of_the_right_number_are_a_digest() {
        assert!(Commit::try_from("A".repeat(40)).is_ok_and(|it| it.as_str() == "a".repeat(40)));
        for text in ["a".repeat(39), "g".repeat(40), "../".repeat(13) + "."] {
            assert!(Commit::try_from(text).is_err());
        }
    }
}
