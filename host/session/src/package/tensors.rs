//! The header of a `.safetensors` file: names, shapes and places of tensors,
//! and what else it says of itself. The tensors are read where they are wanted.
//!
//! Format: Hugging Face's safetensors: eight bytes with the header's length, a
//! JSON object, the tensors' bytes. An `.aivm` is one whose
//! metadata has a manifest (aivmlib); its tensors may begin at any address.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use vits::External;
use vits::field::element;

use super::defect::TensorsFault;
use crate::files::Held;

/// With the pictures and samples of speech that an `.aivm` has in it.
const HEADER_BYTES_MAX: u64 = 100 << 20;
/// The largest voices have 1,200.
const TENSORS_MAX: usize = 20_000;
const AXES_MAX: usize = 8;
const KEY_MAX: usize = 256;

/// Names, shapes and places.
#[derive(Debug, Default)]
pub(crate) struct Tensors {
    by_key: BTreeMap<String, Tensor>,
    /// Base64 and JSON, as they lie there; only those that a voice has.
    pub(crate) metadata: Metadata,
}

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tensor {
    pub(crate) element: Stored,
    pub(crate) shape: Vec<usize>,
    /// In the file.
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// How a tensor's numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    Float,
    Half,
    BFloat,
    /// Whatever no graph reads, such as the number of the last step.
    Other,
}

/// What an `.aivm` says of itself.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    pub(crate) manifest: Option<String>,
    pub(crate) config: Option<String>,
    pub(crate) vectors: Option<String>,
}

impl Stored {
    fn named(name: &str) -> Option<(Self, u64)> {
        Some(match name {
            "F32" => (Self::Float, 4),
            "F16" => (Self::Half, 2),
            "BF16" => (Self::BFloat, 2),
            "F64" | "I64" | "U64" => (Self::Other, 8),
            "I32" | "U32" => (Self::Other, 4),
            "I16" | "U16" => (Self::Other, 2),
            "I8" | "U8" | "BOOL" | "F8_E4M3" | "F8_E5M2" => (Self::Other, 1),
            _ => return None,
        })
    }

    /// Bytes of one number, of those that graphs read.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Float => 4,
            Self::Half | Self::BFloat | Self::Other => 2,
        }
    }

    /// ONNX's number of it.
    pub(crate) fn data_type(self) -> u64 {
        match self {
            Self::Float | Self::Other => element::FLOAT,
            Self::Half => element::HALF,
            Self::BFloat => element::BFLOAT16,
        }
    }
}

/// By this name a graph of ours knows the file that its tensors lie in.
pub(crate) const TENSORS: &str = "tensors";

impl Tensor {
    /// Where it lies, for a graph of ours.
    pub(crate) fn external(&self) -> External {
        External {
            location: TENSORS.to_owned(),
            offset: self.offset,
            bytes: self.bytes,
            data_type: self.element.data_type(),
        }
    }
}

impl Tensors {
    pub(super) fn new(by_key: BTreeMap<String, Tensor>, metadata: Metadata) -> Self {
        Self { by_key, metadata }
    }

    /// Reads the header of a file.
    pub(crate) fn read(held: &Held) -> Result<Self, TensorsFault> {
        let mut length = [0; 8];
        if held.bytes() < 8 {
            return Err(TensorsFault::CutOff);
        }
        held.read_at(0, &mut length)?;
        // A clone without its large files leaves their names and digests.
        if &length == b"version " {
            return Err(TensorsFault::LfsPointer);
        }
        let length = u64::from_le_bytes(length);
        if length > HEADER_BYTES_MAX {
            return Err(TensorsFault::NoHeader);
        }
        if length > held.bytes() - 8 {
            return Err(TensorsFault::CutOff);
        }
        let mut json = vec![0; length as usize];
        held.read_at(8, &mut json)?;
        Self::parse(&json, held.bytes())
    }

    /// `bytes` are those of the whole file.
    pub(crate) fn parse(json: &[u8], bytes: u64) -> Result<Self, TensorsFault> {
        let header: Header = serde_json::from_slice(json)?;
        let start = 8 + json.len() as u64;
        let mut by_key = BTreeMap::new();
        for (key, entry) in header.tensors {
            let (element, size) =
                Stored::named(&entry.dtype).ok_or_else(|| TensorsFault::Element {
                    key: key.clone(),
                    element: entry.dtype.clone(),
                })?;
            let [from, to] = entry.data_offsets;
            let count = entry
                .shape
                .iter()
                .try_fold(size, |bytes, dim| bytes.checked_mul(*dim));
            let there = to.checked_sub(from).filter(|there| Some(*there) == count);
            let Some(there) = there else {
                return Err(TensorsFault::Place(key));
            };
            let end = start.checked_add(to).filter(|end| *end <= bytes);
            if end.is_none() {
                return Err(TensorsFault::CutOff);
            }
            let shape = entry.shape.iter().map(|dim| *dim as usize).collect();
            let tensor = Tensor {
                element,
                shape,
                offset: start + from,
                bytes: there,
            };
            by_key.insert(key, tensor);
        }
        Ok(Self::new(by_key, header.metadata))
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Tensor> {
        self.by_key.get(key)
    }

    /// One with numbers that graphs can read.
    pub(crate) fn readable(&self, key: &str) -> Option<&Tensor> {
        self.get(key).filter(|it| it.element != Stored::Other)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.by_key.keys().map(String::as_str)
    }

    /// Of a tensor with numbers that graphs can read.
    pub(crate) fn shape(&self, key: &str) -> Option<Vec<usize>> {
        self.readable(key).map(|tensor| tensor.shape.clone())
    }
}

struct Header {
    metadata: Metadata,
    tensors: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    #[serde(deserialize_with = "axes")]
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

fn axes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    let axes = super::bounds::list::<D, u64, AXES_MAX>(deserializer)?;
    Ok(axes.unwrap_or_default())
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OfHeader)
    }
}

struct OfHeader;

impl<'de> Visitor<'de> for OfHeader {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a header of at most {TENSORS_MAX} tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Header, A::Error> {
        let mut header = Header {
            metadata: Metadata::default(),
            tensors: BTreeMap::new(),
        };
        while let Some(key) = pairs.next_key::<String>()? {
            if key == "__metadata__" {
                header.metadata = pairs.next_value()?;
                continue;
            }
            if key.len() > KEY_MAX || header.tensors.len() == TENSORS_MAX {
                return Err(A::Error::custom(format!(
                    "more than {TENSORS_MAX} tensors, or a key of more than {KEY_MAX} bytes"
                )));
            }
            header.tensors.insert(key, pairs.next_value()?);
        }
        Ok(header)
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OfMetadata)
    }
}

struct OfMetadata;

impl<'de> Visitor<'de> for OfMetadata {
    type Value = Metadata;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("texts by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Metadata, A::Error> {
        let mut metadata = Metadata::default();
        while let Some(key) = pairs.next_key::<String>()? {
            let place = match key.as_str() {
                "aivm_manifest" => &mut metadata.manifest,
                "aivm_hyper_parameters" => &mut metadata.config,
                "aivm_style_vectors" => &mut metadata.vectors,
                _ => {
                    pairs.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *place = Some(pairs.next_value()?);
        }
        Ok(metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str, bytes: u64) -> String {
        let read = Tensors::parse(json.as_bytes(), bytes);
        read.expect_err("refused").to_string()
    }

    #[test]
    fn places_are_within_the_file_and_as_long_as_their_shapes() {
        let header = |shape: &str, to: &str| {
            format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{to}]}}}}"#)
        };
        let good = header("[2,3]", "24");
        let bytes = 8 + good.len() as u64 + 24;
        let tensors = Tensors::parse(good.as_bytes(), bytes).expect("good");
        let tensor = tensors.get("a").expect("it is there");
        assert_eq!(tensor.shape, [2, 3]);
        assert_eq!(tensor.offset + tensor.bytes, bytes);
        assert!(refused(&good, bytes - 1).contains("cut off"));
        assert!(refused(&header("[2,4]", "24"), 100).contains("`a`"));
        assert!(refused(&header("[4294967296,4294967296]", "24"), 100).contains("`a`"));
        assert!(refused(&header("[1,1,1,1,1,1,1,1,1]", "4"), 100).contains("more than 8"));
        assert!(refused(&good.replace("F32", "F99"), 100).contains("F99"));
        assert!(refused("[]", 100).contains("a header"));
    }
}
