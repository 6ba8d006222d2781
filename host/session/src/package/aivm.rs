//! `.aivm`: a `.safetensors` whose metadata has a manifest, the configuration
//! and the style vectors (aivmlib).

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
use super::tensors::Tensors;
use crate::files::Held;

/// As aivmlib names what it knows.
const ARCHITECTURES: [&str; 2] = ["Style-Bert-VITS2", "Style-Bert-VITS2 (JP-Extra)"];

#[derive(Deserialize)]
struct Kind {
    model_architecture: Option<String>,
}

pub(super) fn open(path: &Path) -> Result<Package, Defect> {
    let held = Arc::new(Held::open(path)?);
    let tensors = Tensors::read(&held)?;
    let metadata = &tensors.metadata;
    let manifest = metadata.manifest.as_deref();
    let manifest = manifest.ok_or(Defect::NoAivmEntry("aivm_manifest"))?;
    let config = metadata.config.as_deref();
    let config = config.ok_or(Defect::NoAivmEntry("aivm_hyper_parameters"))?;
    let npy = metadata.vectors.as_deref();
    let npy = npy.ok_or(Defect::NoAivmEntry("aivm_style_vectors"))?;

    let kind: Kind = parse(manifest)?;
    if let Some(other) = kind.model_architecture
        && !ARCHITECTURES.contains(&other.as_str())
    {
        return Err(Defect::Architecture(other.chars().take(100).collect()));
    }
    let written: Written = parse(manifest)?;
    bounds::short(&written.name).map_err(of_part("its manifest"))?;
    let config = HyperParameters::parse(config.as_bytes())?;
    let vectors = "its style vectors";
    // Four letters hold three bytes.
    let most = npy::BYTES_MAX / 3 * 4 + 4;
    let npy = bounds::sized(npy.as_bytes(), most).map_err(of_part(vectors))?;
    let npy = STANDARD.decode(npy).map_err(of_part(vectors))?;
    let vectors = Vectors::from_npy(&npy)?;
    let mut package = Package::from_tensors(&written.name, &config, vectors, held, &tensors)?;
    package.name = written.name.clone();
    package.licence = written.license.clone();
    package.manifest = Arc::new(written.over(&package.manifest));
    package.told = Some(package.graph.clone());
    Ok(package)
}

fn parse<'a, T: Deserialize<'a>>(manifest: &'a str) -> Result<T, Defect> {
    let part = "its manifest";
    let manifest = bounds::sized(manifest.as_bytes(), MANIFEST_BYTES_MAX).map_err(of_part(part))?;
    serde_json::from_slice(manifest).map_err(of_part(part))
}
