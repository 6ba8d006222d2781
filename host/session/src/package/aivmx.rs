//! `.aivmx`: an ONNX file that carries its manifest, config and style vectors
//! as metadata.

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::Package;
use super::bounds::{self, MANIFEST_BYTES_MAX};
use super::config::HyperParameters;
use super::defect::{Defect, of_part};
use super::manifest::Written;
use super::npy;
use super::styles::Vectors;
use crate::files::Held;
use crate::onnx::wire::{self, Value};
use crate::skeleton::Skeleton;
use crate::source::Graph;

/// ModelProto.metadata_props, and key and value of its entries.
const METADATA: u64 = 14;
const KEY: u64 = 1;
const VALUE: u64 = 2;

const MANIFEST: &str = "aivm_manifest";
const CONFIG: &str = "aivm_hyper_parameters";
const VECTORS: &str = "aivm_style_vectors";
const ENTRIES: [&str; 3] = [MANIFEST, CONFIG, VECTORS];

pub(super) fn open(path: &Path) -> Result<Package, Defect> {
    let held = Arc::new(Held::open(path)?);
    let skeleton = Skeleton::read(&held)?;
    read(&skeleton, Graph::File(held))
}

/// Reads what a model tells of itself.
pub(super) fn read(model: &[u8], graph: Graph) -> Result<Package, Defect> {
    let metadata = Metadata::of(model)?;
    let written = named(metadata.entry(MANIFEST)?)?;
    let config = HyperParameters::parse(metadata.entry(CONFIG)?)?;
    let vectors = vectors(metadata.entry(VECTORS)?)?;
    let package = Package::from_config(&written.name, &config, vectors, graph)?;
    Ok(package.telling(written))
}

/// A manifest whose name can be shown.
pub(super) fn named(manifest: &[u8]) -> Result<Written, Defect> {
    let written: Written = parse(manifest)?;
    bounds::short(&written.name).map_err(of_part("its manifest"))?;
    Ok(written)
}

/// Style vectors as metadata has them: an .npy in Base64.
pub(super) fn vectors(base64: &[u8]) -> Result<Vectors, Defect> {
    let part = "its style vectors";
    // Four letters hold three bytes.
    let most = npy::BYTES_MAX / 3 * 4 + 4;
    let base64 = bounds::sized(base64, most).map_err(of_part(part))?;
    Vectors::from_npy(&STANDARD.decode(base64).map_err(of_part(part))?)
}

/// As much of a model's manifest as the type asks for.
pub(super) fn manifest<'a, T: Deserialize<'a>>(model: &'a [u8]) -> Result<T, Defect> {
    parse(Metadata::of(model)?.entry(MANIFEST)?)
}

/// A manifest, as much of it as the type asks for.
pub(super) fn parse<'a, T: Deserialize<'a>>(manifest: &'a [u8]) -> Result<T, Defect> {
    let part = "its manifest";
    let manifest = bounds::sized(manifest, MANIFEST_BYTES_MAX).map_err(of_part(part))?;
    serde_json::from_slice(manifest).map_err(of_part(part))
}

/// The entries that matter here; a model may have any number of others.
#[derive(Debug, Default)]
struct Metadata<'a>([Option<&'a [u8]>; 3]);

impl<'a> Metadata<'a> {
    fn of(model: &'a [u8]) -> Result<Self, Defect> {
        let mut metadata = Self::default();
        for field in wire::fields(model) {
            let (METADATA, Value::Bytes(entry)) = field? else {
                continue;
            };
            let (mut key, mut value) = (&[][..], &[][..]);
            for part in wire::fields(entry) {
                match part? {
                    (KEY, Value::Bytes(bytes)) => key = bytes,
                    (VALUE, Value::Bytes(bytes)) => value = bytes,
                    _ => {}
                }
            }
            if let Some(place) = ENTRIES.iter().position(|known| known.as_bytes() == key) {
                metadata.0[place] = Some(value);
            }
        }
        Ok(metadata)
    }

    fn entry(&self, key: &'static str) -> Result<&'a [u8], Defect> {
        let place = ENTRIES.iter().position(|known| *known == key);
        let found = place.and_then(|place| self.0[place]);
        found.ok_or(Defect::NoEntry(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_onnx_file_is_an_error() {
        assert!(Metadata::of(b"RIFF....").is_err());
        assert!(Metadata::of(&[0x72, 0xff]).is_err());
        let error = read(&[], Graph::Embedded(&[])).expect_err("empty");
        assert!(matches!(error, Defect::NoEntry("aivm_manifest")), "{error}");
    }
}
