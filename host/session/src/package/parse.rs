//! The parsers of packages by themselves; see [`crate::parse`].

use std::path::Path;

use super::unpack::Unpacking;
use super::{config, manifest, npy as npy_file, portrait, sbv2, styles};
use crate::source::Source;

pub(crate) fn npy(bytes: &[u8]) -> bool {
    if let Ok(matrix) = npy_file::read(bytes) {
        assert_eq!(matrix.data.len(), matrix.rows * matrix.width);
    }
    styles::Vectors::from_npy(bytes).is_ok()
}

pub(crate) fn config(bytes: &[u8]) -> bool {
    config::HyperParameters::parse(bytes).is_ok()
}

pub(crate) fn style_vectors(bytes: &[u8]) -> bool {
    sbv2::parse(bytes).is_ok()
}

pub(crate) fn archive(bytes: &[u8], folder: &Path) -> bool {
    let unpacking = Unpacking {
        folder: Some(folder),
        bytes_max: 64 << 20,
    };
    sbv2::read(bytes, &unpacking).is_ok()
}

pub(crate) fn aivmx(bytes: &[u8]) -> bool {
    let read = super::aivmx::read(bytes, &Source::Embedded(&[]));
    read.is_ok_and(|package| {
        let uuids = package.manifest().speakers.iter().take(8);
        uuids.fold(true, |good, speaker| {
            good & portrait::find(bytes, &speaker.uuid).is_ok()
        })
    })
}

pub(crate) fn manifest(bytes: &[u8]) -> bool {
    serde_json::from_slice::<manifest::Written>(bytes).is_ok()
}
