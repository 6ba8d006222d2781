//! What `torch.save` writes: a zip whose entries are stored as they are, with a
//! pickle that says which tensor lies in which of them. Read by a reader that
//! knows the names a state dict has and calls nothing.
//!
//! Format: PyTorch 1.6 and later (`torch/serialization.py`); the older one,
//! which is no zip, is refused by name.

mod pickle;
mod zip;

use std::collections::BTreeMap;

pub(crate) use pickle::PickleFault;
pub(crate) use zip::ZipFault;

use super::defect::TensorsFault;
use super::tensors::{Metadata, Tensor, Tensors};
use crate::files::Held;
use pickle::Placed;
use zip::Entry;

/// Of `data.pkl`. That of a BERT has 50 KB, that of a checkpoint with its
/// optimizer some megabytes.
const PICKLE_BYTES_MAX: u64 = 32 << 20;

/// Why a file is no archive of `torch.save`. In sentences, "it" is the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TorchFault {
    #[error(transparent)]
    Zip(#[from] ZipFault),
    #[error(transparent)]
    Pickle(#[from] PickleFault),
    #[error("it has no `data.pkl`: it was not written by `torch.save`")]
    NoPickle,
    #[error("its `data.pkl` has {0} bytes, more than any model's")]
    LargePickle(u64),
    #[error(
        "its tensor `{0}` does not lie in the file in the order of its axes; save it as .safetensors"
    )]
    Order(String),
    #[error("its numbers are big-endian; save it as .safetensors")]
    BigEndian,
}

/// Names, shapes and places of the tensors of the file's state dict.
pub(crate) fn read(held: &Held) -> Result<Tensors, TensorsFault> {
    let read = |offset: u64, into: &mut [u8]| held.read_at(offset, into);
    parse(held.bytes(), &read)
}

type ReadAt<'r> = dyn Fn(u64, &mut [u8]) -> std::io::Result<()> + 'r;

/// The same of anything that can be read at a place.
pub(super) fn parse(bytes: u64, read: &ReadAt<'_>) -> Result<Tensors, TensorsFault> {
    let entries = zip::entries(bytes, read)?;
    let named = |end: &str| entries.keys().find(|name| name.ends_with(end));
    let pickle = named("/data.pkl").ok_or(TorchFault::NoPickle)?;
    let root = pickle.strip_suffix("data.pkl").unwrap_or_default();
    if let Some(entry) = entries.get(&format!("{root}byteorder")) {
        let mut order = [0; 3];
        if entry.bytes == 3 {
            read(entry.offset, &mut order)?;
        }
        if &order == b"big" {
            return Err(TorchFault::BigEndian.into());
        }
    }
    let entry = &entries[pickle];
    if entry.bytes > PICKLE_BYTES_MAX {
        return Err(TorchFault::LargePickle(entry.bytes).into());
    }
    let mut code = vec![0; entry.bytes as usize];
    read(entry.offset, &mut code)?;
    let mut by_key = BTreeMap::new();
    for (key, placed) in pickle::state_dict(&code).map_err(TorchFault::from)? {
        let storage = entries.get(&format!("{root}data/{}", placed.storage));
        let tensor = tensor(&key, &placed, storage)?;
        by_key.insert(key, tensor);
    }
    Ok(Tensors::new(by_key, Metadata::default()))
}

fn tensor(key: &str, placed: &Placed, storage: Option<&Entry>) -> Result<Tensor, TensorsFault> {
    let misplaced = || TensorsFault::Place(key.to_owned());
    let storage = storage.ok_or_else(misplaced)?;
    let mut next = 1_u64;
    let mut bytes = placed.size;
    for (dim, stride) in placed.shape.iter().zip(&placed.strides).rev() {
        if *dim > 1 && *stride != next {
            return Err(TorchFault::Order(key.to_owned()).into());
        }
        next = next.checked_mul(*dim).ok_or_else(misplaced)?;
        bytes = bytes.checked_mul(*dim).ok_or_else(misplaced)?;
    }
    let from = placed.offset.checked_mul(placed.size);
    let end = from.and_then(|from| from.checked_add(bytes));
    match (from, end) {
        (Some(from), Some(end)) if end <= storage.bytes => Ok(Tensor {
            element: placed.element,
            shape: placed.shape.iter().map(|dim| *dim as usize).collect(),
            offset: storage.offset + from,
            bytes,
        }),
        _ => Err(misplaced()),
    }
}
