//! A folder of Style-Bert-VITS2: `config.json`, `style_vectors.npy`, `*.onnx`.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Package;
use super::bounds::CONFIG_BYTES_MAX;
use super::config::HyperParameters;
use super::npy;
use super::styles::Vectors;
use crate::source::{Graph, read_at_most};

pub(super) fn open(folder: &Path) -> Result<Package, String> {
    let read = |name: &str, most: usize| {
        read_at_most(&folder.join(name), most as u64).map_err(|e| format!("{name}: {e}"))
    };
    let config = HyperParameters::parse(&read("config.json", CONFIG_BYTES_MAX)?)?;
    let vectors = Vectors::from_npy(&read("style_vectors.npy", npy::BYTES_MAX)?)?;
    let graph = Graph::File(newest_graph(folder)?);
    // Versions of one model share its name, but not their folder's.
    let known_as = folder.file_name().map(|name| name.to_string_lossy());
    let known_as = known_as.as_deref().unwrap_or(&config.model_name);
    Package::from_config(known_as, &config, vectors, graph)
}

/// Of several graphs the newest, as Style-Bert-VITS2 chooses.
fn newest_graph(folder: &Path) -> Result<PathBuf, String> {
    let mut newest: Option<(SystemTime, PathBuf)> = None;
    let mut weights_only = false;
    for entry in std::fs::read_dir(folder).map_err(|e| e.to_string())? {
        let path = entry.map_err(|e| e.to_string())?.path();
        match super::extension(&path) {
            Some("onnx") => {}
            Some("safetensors" | "pth" | "pt" | "aivm") => {
                weights_only = true;
                continue;
            }
            _ => continue,
        }
        let changed = path
            .metadata()
            .and_then(|meta| meta.modified())
            .map_err(|e| e.to_string())?;
        if newest.as_ref().is_none_or(|(other, _)| changed > *other) {
            newest = Some((changed, path));
        }
    }
    match newest {
        Some((_, path)) => Ok(path),
        None if weights_only => Err(
            "it has weights but no .onnx; export one with Style-Bert-VITS2's convert_onnx.py"
                .to_owned(),
        ),
        None => Err("it has no .onnx".to_owned()),
    }
}
