//! `.aivmx`: an ONNX file that carries its manifest, config and style vectors
//! as metadata.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::Package;
use super::config::HyperParameters;
use super::styles::Vectors;
use crate::native::Mapped;
use crate::onnx::wire::{self, Value};
use crate::source::Graph;

/// ModelProto.metadata_props, and key and value of its entries.
const METADATA: u64 = 14;
const KEY: u64 = 1;
const VALUE: u64 = 2;

/// What we show of the manifest; it also holds icons and samples of speech.
#[derive(Debug, Deserialize)]
struct Manifest {
    name: String,
    license: Option<String>,
}

pub(super) fn open(path: &Path) -> Result<Package, String> {
    let mapped = Mapped::open(path).map_err(|e| e.to_string())?;
    read(mapped.as_ref(), Graph::File(path.to_owned()))
}

pub(super) fn read(model: &[u8], graph: Graph) -> Result<Package, String> {
    let metadata = metadata(model)?;
    let get = |key: &str| {
        metadata.get(key).copied().ok_or_else(|| {
            format!("its metadata has no `{key}`: an .aivmx is made by AIVM Generator or aivmlib")
        })
    };
    let manifest: Manifest =
        serde_json::from_slice(get("aivm_manifest")?).map_err(|e| format!("its manifest: {e}"))?;
    let config = HyperParameters::parse(get("aivm_hyper_parameters")?)?;
    let npy = STANDARD
        .decode(get("aivm_style_vectors")?)
        .map_err(|e| format!("its style vectors: {e}"))?;
    let mut package = Package::from_config(&config, Vectors::from_npy(&npy)?, graph)?;
    package.name = manifest.name;
    package.licence = manifest.license;
    Ok(package)
}

fn metadata(model: &[u8]) -> Result<BTreeMap<String, &[u8]>, String> {
    let mut metadata = BTreeMap::new();
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
        metadata.insert(String::from_utf8_lossy(key).into_owned(), value);
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_onnx_file_is_an_error() {
        assert!(metadata(b"RIFF....").is_err());
        assert!(metadata(&[0x72, 0xff]).is_err());
        let error = read(&[], Graph::Embedded(&[])).expect_err("empty");
        assert!(error.contains("no `aivm_manifest`"), "{error}");
    }
}
