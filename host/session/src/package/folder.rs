//! A folder of Style-Bert-VITS2: `config.json`, `style_vectors.npy`, `*.onnx`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::Package;
use super::bounds::CONFIG_BYTES_MAX;
use super::config::HyperParameters;
use super::defect::Defect;
use super::npy;
use super::styles::Vectors;
use crate::files::{self, Held};
use crate::source::Graph;

pub(super) fn open(folder: &Path) -> Result<Package, Defect> {
    let read = |name: &str, most: usize| {
        files::read_inside(folder, name, most as u64).map_err(|cause| of_file(name, cause))
    };
    let config = HyperParameters::parse(&read("config.json", CONFIG_BYTES_MAX)?)?;
    let vectors = Vectors::from_npy(&read("style_vectors.npy", npy::BYTES_MAX)?)?;
    let graph = newest_graph(folder)?;
    let name = graph.file_name().unwrap_or_default();
    let held = Held::open_inside(folder, Path::new(name));
    let held = held.map_err(|cause| of_file(&name.to_string_lossy(), cause))?;
    let graph = Graph::File(Arc::new(held));
    // Versions of one model share its name, but not their folder's.
    let known_as = folder.file_name().map(|name| name.to_string_lossy());
    let known_as = known_as.as_deref().unwrap_or(&config.model_name);
    Package::from_config(known_as, &config, vectors, graph)
}

fn of_file(name: &str, cause: std::io::Error) -> Defect {
    Defect::File {
        file: name.to_owned(),
        cause,
    }
}

/// Of several graphs the newest, as Style-Bert-VITS2 chooses.
fn newest_graph(folder: &Path) -> Result<PathBuf, Defect> {
    let mut newest: Option<(SystemTime, PathBuf)> = None;
    let mut weights_only = false;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match super::extension(&path) {
            Some("onnx") => {}
            Some("safetensors" | "pth" | "pt" | "aivm") => {
                weights_only = true;
                continue;
            }
            _ => continue,
        }
        let changed = path.metadata()?.modified()?;
        if newest.as_ref().is_none_or(|(other, _)| changed > *other) {
            newest = Some((changed, path));
        }
    }
    match newest {
        Some((_, path)) => Ok(path),
        None if weights_only => Err(Defect::WeightsAlone),
        None => Err(Defect::NoGraph),
    }
}
