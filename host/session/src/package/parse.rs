//! The parsers of packages by themselves; see [`crate::parse`].

use std::path::Path;

use vits::sizes::{Configured, Sizes};
use vits::{External, Wanted, voice};

use super::unpack::Unpacking;
use super::{config, manifest, npy as npy_file, portrait, sbv2, styles, tensors, torch};
use crate::source::Graph;

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
    let read = super::aivmx::read(bytes, Graph::Embedded(&[]));
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

/// The header of a `.safetensors` with the tensors behind it, and the graph
/// that is written for their shapes.
pub(crate) fn tensors(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return false;
    };
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let read = rest.get(..length);
    let read = read.and_then(|json| tensors::Tensors::parse(json, bytes.len() as u64).ok());
    let Some(tensors) = read else {
        return false;
    };
    let shape = |key: &str| tensors.shape(key);
    let Ok(sizes) = Sizes::find(&shape, &Configured::default()) else {
        return false;
    };
    let mut somewhere = |_: &Wanted| {
        Ok::<_, std::convert::Infallible>(External {
            location: "tensors".to_owned(),
            offset: 0,
            bytes: 0,
            data_type: 1,
        })
    };
    voice::model(&sizes, sizes.speakers, &mut somewhere).is_ok()
}

/// What `torch.save` writes.
pub(crate) fn torch_file(bytes: &[u8]) -> bool {
    let read = |offset: u64, into: &mut [u8]| {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let there = bytes.get(from..).and_then(|rest| rest.get(..into.len()));
        let there = there.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(there);
        Ok(())
    };
    torch::parse(bytes.len() as u64, &read).is_ok()
}
