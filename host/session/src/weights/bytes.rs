//! Where the bytes of weights come from, and how they are read in parts.

use std::sync::{Arc, mpsc};

use crate::derived::Derived;
use crate::error::Error;
use crate::files::{self, Held};
use crate::onnx::Element;
use crate::source::unreadable;

/// Read at once: small enough to stay in the processor's cache on its way.
const CHUNK: usize = 512 << 10;

#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) offset: usize,
    pub(super) bytes: usize,
    /// As it is stored; the template may have wider ones.
    pub(super) element: Element,
}

impl Place {
    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.offset..self.offset + self.bytes]
    }
}

pub(super) enum Bytes {
    Held(Arc<Held>),
    Embedded(&'static [u8]),
    Memory(Arc<[u8]>),
    /// Made while it is read.
    Derived(Arc<Derived>),
}

impl Bytes {
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Held(held) => usize::try_from(held.bytes()).unwrap_or(usize::MAX),
            Self::Embedded(bytes) => bytes.len(),
            Self::Memory(bytes) => bytes.len(),
            Self::Derived(derived) => derived.bytes(),
        }
    }

    /// A file's whole content.
    pub(super) fn whole(&self) -> Result<Vec<u8>, Error> {
        match self {
            Self::Held(held) => read_whole(held),
            Self::Embedded(bytes) => Ok(bytes.to_vec()),
            Self::Memory(bytes) => Ok(bytes.to_vec()),
            // It is no file and has no content but its parts.
            Self::Derived(_) => Ok(Vec::new()),
        }
    }

    pub(super) fn read_at(&self, offset: usize, into: &mut [u8]) -> std::io::Result<()> {
        let bytes = match self {
            Self::Held(held) => return held.read_at(offset as u64, into),
            Self::Embedded(bytes) => bytes,
            Self::Memory(bytes) => &**bytes,
            Self::Derived(derived) => return derived.read_at(offset, into),
        };
        into.copy_from_slice(&bytes[offset..offset + into.len()]);
        Ok(())
    }
}

pub(super) fn read_whole(held: &Held) -> Result<Vec<u8>, Error> {
    let read = held.read(files::MODEL_MAX);
    read.map_err(|e| unreadable(held.path(), &e))
}

/// A stretch of a weight on its way from the reader.
pub(super) struct Stretch {
    pub(super) index: usize,
    pub(super) offset: usize,
    pub(super) bytes: Vec<u8>,
}

/// Ends early when nobody takes what it reads.
pub(super) fn read_parts(
    files: &[Bytes],
    places: &[Place],
    buffers: &mpsc::Receiver<Vec<u8>>,
    sender: &mpsc::SyncSender<std::io::Result<Stretch>>,
) {
    for (index, place) in places.iter().enumerate() {
        for offset in (0..place.bytes).step_by(CHUNK) {
            let Ok(mut bytes) = buffers.recv() else {
                return;
            };
            bytes.resize(CHUNK.min(place.bytes - offset), 0);
            let read = files[place.file].read_at(place.offset + offset, &mut bytes);
            let failed = read.is_err();
            let part = read.map(|()| Stretch {
                index,
                offset,
                bytes,
            });
            if sender.send(part).is_err() || failed {
                return;
            }
        }
    }
}

pub(super) fn held_by(files: &[Bytes]) -> Vec<Arc<Held>> {
    let mut held: Vec<Arc<Held>> = Vec::new();
    let mut add = |file: &Arc<Held>| {
        if !held.iter().any(|known| Arc::ptr_eq(known, file)) {
            held.push(Arc::clone(file));
        }
    };
    for file in files {
        match file {
            Bytes::Held(file) => add(file),
            Bytes::Derived(derived) => derived.files().for_each(&mut add),
            Bytes::Embedded(_) | Bytes::Memory(_) => {}
        }
    }
    held
}
