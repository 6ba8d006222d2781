//! The directory of a zip whose entries are stored as they are. Format: PKWARE's
//! APPNOTE 6.3, sections 4.3 and 4.5.3.
//!
//! Readers of whole archives take the directory's word for how many entries
//! there are and make room for them; this one goes by the bytes there are.

use std::collections::BTreeMap;

use super::{ReadAt, TorchFault};
use crate::package::defect::TensorsFault;

/// Where one entry's bytes lie in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// Why a file is no such zip. In sentences, "it" is the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ZipFault {
    #[error("it is a pickle of PyTorch before 1.6, or no file of PyTorch; save it as .safetensors")]
    NoZip,
    #[error("its directory has {0} bytes, more than any model's")]
    Large(u64),
    #[error("its entry `{0}` is compressed or encrypted; `torch.save` stores entries as they are")]
    Compressed(String),
    #[error("it has two entries `{0}`")]
    Twice(String),
}

/// Twenty thousand tensors.
const DIRECTORY_MAX: u64 = 4 << 20;

const END: &[u8; 4] = b"PK\x05\x06";
const END_BYTES: u64 = 22;
const WIDE_END: &[u8; 4] = b"PK\x06\x06";
const WIDE_PLACE: &[u8; 4] = b"PK\x06\x07";
const CENTRAL: &[u8; 4] = b"PK\x01\x02";
const LOCAL: &[u8; 4] = b"PK\x03\x04";
/// A comment at the end, of which PyTorch writes none.
const COMMENT_MAX: u64 = 1 << 16;
const WIDE: u16 = 1;

/// Each by its name.
pub(super) fn entries(
    bytes: u64,
    read: &ReadAt<'_>,
) -> Result<BTreeMap<String, Entry>, TensorsFault> {
    let (from, length) = directory(bytes, read)?;
    if length > DIRECTORY_MAX {
        return Err(TorchFault::from(ZipFault::Large(length)).into());
    }
    if from.checked_add(length).is_none_or(|end| end > bytes) {
        return Err(TensorsFault::CutOff);
    }
    let mut directory = vec![0; length as usize];
    read(from, &mut directory)?;
    let mut rest = Bytes(&directory);
    let mut entries = BTreeMap::new();
    while !rest.0.is_empty() {
        let (name, entry) = central(&mut rest, bytes, read)?;
        if entries.contains_key(&name) {
            return Err(TorchFault::from(ZipFault::Twice(name)).into());
        }
        entries.insert(name, entry);
    }
    Ok(entries)
}

/// Where the directory lies, by what stands at the file's end.
fn directory(bytes: u64, read: &ReadAt<'_>) -> Result<(u64, u64), TensorsFault> {
    let mut first = [0; 4];
    if bytes < END_BYTES {
        return Err(TensorsFault::CutOff);
    }
    read(0, &mut first)?;
    if &first == b"vers" {
        return Err(TensorsFault::LfsPointer);
    }
    if &first != LOCAL {
        return Err(TorchFault::from(ZipFault::NoZip).into());
    }
    let tail_from = bytes.saturating_sub(END_BYTES + COMMENT_MAX);
    let mut tail = vec![0; (bytes - tail_from) as usize];
    read(tail_from, &mut tail)?;
    // The end is the last thing a download brings.
    let at = tail.windows(4).rposition(|window| window == END);
    let at = at.ok_or(TensorsFault::CutOff)?;
    let mut end = Bytes(&tail[at + 4..]);
    let _ = end.take(8)?;
    let (length, from) = (end.u32()?, end.u32()?);
    let place = at.checked_sub(20).map(|place| &tail[place..at]);
    match place {
        Some(place) if place.starts_with(WIDE_PLACE) => {
            let mut place = Bytes(&place[8..]);
            wide_directory(place.u64()?, bytes, read)
        }
        _ => Ok((u64::from(from), u64::from(length))),
    }
}

fn wide_directory(at: u64, bytes: u64, read: &ReadAt<'_>) -> Result<(u64, u64), TensorsFault> {
    let mut end = [0; 56];
    if at.checked_add(56).is_none_or(|end| end > bytes) {
        return Err(TensorsFault::CutOff);
    }
    read(at, &mut end)?;
    if !end.starts_with(WIDE_END) {
        return Err(TensorsFault::CutOff);
    }
    let mut rest = Bytes(&end[40..]);
    let (length, from) = (rest.u64()?, rest.u64()?);
    Ok((from, length))
}

/// One entry of the directory, and where its bytes begin.
fn central(
    rest: &mut Bytes<'_>,
    bytes: u64,
    read: &ReadAt<'_>,
) -> Result<(String, Entry), TensorsFault> {
    if rest.take(4)? != CENTRAL {
        return Err(TensorsFault::CutOff);
    }
    let _ = rest.take(4)?;
    let (flags, method) = (rest.u16()?, rest.u16()?);
    let _ = rest.take(8)?;
    let (packed, length) = (rest.u32()?, rest.u32()?);
    let (name, extra, comment) = (rest.u16()?, rest.u16()?, rest.u16()?);
    let _ = rest.take(8)?;
    let at = rest.u32()?;
    let name = String::from_utf8_lossy(rest.take(usize::from(name))?).into_owned();
    let extra = Bytes(rest.take(usize::from(extra))?);
    let _ = rest.take(usize::from(comment))?;
    if method != 0 || flags & 1 != 0 {
        return Err(TorchFault::from(ZipFault::Compressed(name)).into());
    }
    let [length, _, at] = widened(extra, [length, packed, at])?;
    let mut local = [0; 30];
    if at.checked_add(30).is_none_or(|end| end > bytes) {
        return Err(TensorsFault::CutOff);
    }
    read(at, &mut local)?;
    if !local.starts_with(LOCAL) {
        return Err(TensorsFault::CutOff);
    }
    let mut lengths = Bytes(&local[26..]);
    let before = u64::from(lengths.u16()?) + u64::from(lengths.u16()?);
    let offset = at + 30 + before;
    match offset.checked_add(length) {
        Some(end) if end <= bytes => Ok((
            name,
            Entry {
                offset,
                bytes: length,
            },
        )),
        _ => Err(TensorsFault::CutOff),
    }
}

/// Those of the three that stand in an extra field, since 32 bits are too few.
fn widened(mut extra: Bytes<'_>, narrow: [u32; 3]) -> Result<[u64; 3], TensorsFault> {
    let mut wide = Bytes(&[]);
    while extra.0.len() >= 4 {
        let (kind, length) = (extra.u16()?, extra.u16()?);
        let field = extra.take(usize::from(length))?;
        if kind == WIDE {
            wide = Bytes(field);
        }
    }
    let mut values = [0; 3];
    for (value, narrow) in values.iter_mut().zip(narrow) {
        *value = match narrow {
            u32::MAX => wide.u64()?,
            narrow => u64::from(narrow),
        };
    }
    Ok(values)
}

/// Little-endian numbers, one after the other.
struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    fn take(&mut self, count: usize) -> Result<&'b [u8], TensorsFault> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(TensorsFault::CutOff)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TensorsFault> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| TensorsFault::CutOff)
    }

    fn u16(&mut self) -> Result<u16, TensorsFault> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, TensorsFault> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, TensorsFault> {
        self.array().map(u64::from_le_bytes)
    }
}
