//! `.aivmx`: an ONNX file that carries its manifest, config and style vectors
//! as metadata.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::Package;
use super::config::HyperParameters;
use super::manifest::Written;
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

pub(super) fn open(path: &Path) -> Result<Package, String> {
    let held = Arc::new(Held::open(path).map_err(|e| e.to_string())?);
    let skeleton = Skeleton::read(&held).map_err(|e| e.to_string())?;
    read(&skeleton, Graph::File(held))
}

/// Reads what a model tells of itself.
pub(super) fn read(model: &[u8], graph: Graph) -> Result<Package, String> {
    let metadata = metadata(model)?;
    let written: Written = parse(entry(&metadata, MANIFEST)?)?;
    let config = HyperParameters::parse(entry(&metadata, "aivm_hyper_parameters")?)?;
    let npy = STANDARD
        .decode(entry(&metadata, "aivm_style_vectors")?)
        .map_err(|e| format!("its style vectors: {e}"))?;
    let vectors = Vectors::from_npy(&npy)?;
    let mut package = Package::from_config(&written.name, &config, vectors, graph.clone())?;
    package.name = written.name.clone();
    package.licence = written.license.clone();
    package.manifest = Arc::new(written.over(&package.manifest));
    package.told = Some(graph);
    Ok(package)
}

/// As much of a model's manifest as the type asks for.
pub(super) fn manifest<'a, T: Deserialize<'a>>(model: &'a [u8]) -> Result<T, String> {
    parse(entry(&metadata(model)?, MANIFEST)?)
}

fn parse<'a, T: Deserialize<'a>>(manifest: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(manifest).map_err(|e| format!("its manifest: {e}"))
}

fn entry<'a>(metadata: &BTreeMap<String, &'a [u8]>, key: &str) -> Result<&'a [u8], String> {
    metadata.get(key).copied().ok_or_else(|| {
        format!("its metadata has no `{key}`: an .aivmx is made by AIVM Generator or aivmlib")
    })
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
