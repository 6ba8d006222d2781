//! `.aivm`: a `.safetensors` whose metadata has a manifest, the configuration
//! and the style vectors (aivmlib).

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::config::HyperParameters;
use super::defect::Defect;
use super::merge::Ingredients;
use super::tensors::Tensors;
use super::{Parts, aivmx};
use crate::files::Held;

/// As aivmlib names what it knows.
const ARCHITECTURES: [&str; 2] = ["Style-Bert-VITS2", "Style-Bert-VITS2 (JP-Extra)"];

#[derive(Deserialize)]
struct Kind {
    model_architecture: Option<String>,
}

pub(super) fn parts(path: &Path) -> Result<Parts, Defect> {
    let held = Arc::new(Held::open(path)?);
    let tensors = Tensors::read(&held)?;
    let metadata = &tensors.metadata;
    let manifest = metadata.manifest.as_deref();
    let manifest = manifest.ok_or(Defect::NoAivmEntry("aivm_manifest"))?;
    let config = metadata.config.as_deref();
    let config = config.ok_or(Defect::NoAivmEntry("aivm_hyper_parameters"))?;
    let npy = metadata.vectors.as_deref();
    let npy = npy.ok_or(Defect::NoAivmEntry("aivm_style_vectors"))?;

    // Of an .aivmx nobody asks it: whatever stands there is passed over.
    let kind: Kind = aivmx::parse(manifest.as_bytes())?;
    if let Some(other) = kind.model_architecture
        && !ARCHITECTURES.contains(&other.as_str())
    {
        return Err(Defect::Architecture(other.chars().take(100).collect()));
    }
    let written = aivmx::named(manifest.as_bytes())?;
    let json = config.as_bytes().to_vec();
    let config = HyperParameters::parse(&json)?;
    let vectors = aivmx::vectors(npy.as_bytes())?;
    Ok(Parts {
        known_as: written.name.clone(),
        config,
        json,
        vectors,
        ingredients: Ingredients::one(held, tensors),
        written: Some(written),
    })
}
