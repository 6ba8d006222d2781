//! What was found out and is kept in the cache, as JSON, by all that it depends
//! on.

use std::path::{Path, PathBuf};

use base16ct::lower::encode_string as encode_hex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::{files, whole};

/// Of a finding that depends on what `key` says.
pub(crate) fn place(folder: &Path, key: &str) -> PathBuf {
    folder.join(format!("{}.json", name(key)))
}

/// Short, and another one for another key.
pub(crate) fn name(key: &str) -> String {
    encode_hex(&Sha256::digest(key.as_bytes())[..16])
}

/// None if nothing is kept there, or nothing that makes sense in so many bytes.
pub(crate) fn read<T: DeserializeOwned>(place: &Path, bytes_max: u64) -> Option<T> {
    serde_json::from_slice(&files::read(place, bytes_max).ok()?).ok()
}

/// Best effort: without it, it is found out again next time. A folder keeps so
/// many at the most.
pub(crate) fn keep(place: &Path, found: &impl Serialize, most: usize) {
    if let Ok(json) = serde_json::to_vec(found) {
        let _ = whole::keep(place, &json, most);
    }
}
