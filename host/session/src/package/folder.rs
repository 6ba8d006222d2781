//! A folder of Style-Bert-VITS2: `config.json`, `style_vectors.npy`, and
//! `*.safetensors` as training leaves them, an `*.onnx` or a `*.pth`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::bounds::CONFIG_BYTES_MAX;
use super::config::HyperParameters;
use super::defect::Defect;
use super::merge::Ingredients;
use super::npy;
use super::styles::Vectors;
use super::{Package, Parts};
use crate::files::{self, Held};
use crate::source::Graph;

/// What a folder has.
pub(super) enum Found {
    Graph(Box<Package>),
    Tensors(Box<Parts>),
}

pub(super) fn open(folder: &Path) -> Result<Found, Defect> {
    let read = |name: &str, most: usize| {
        files::read_inside(folder, name, most as u64).map_err(|cause| of_file(name, cause))
    };
    let json = read("config.json", CONFIG_BYTES_MAX)?;
    let config = HyperParameters::parse(&json)?;
    let vectors = Vectors::from_npy(&read("style_vectors.npy", npy::BYTES_MAX)?)?;
    let model = model(folder)?;
    let name = model.file_name().unwrap_or_default();
    let held = Held::open_inside(folder, Path::new(name));
    let held = Arc::new(held.map_err(|cause| of_file(&name.to_string_lossy(), cause))?);
    // Versions of one model share its name, but not their folder's.
    let known_as = folder.file_name().map(|name| name.to_string_lossy());
    let known_as = known_as.as_deref().unwrap_or(&config.model_name);
    if super::extension(&model) == Some("onnx") {
        let package = Package::from_config(known_as, &config, vectors, Graph::File(held))?;
        return Ok(Found::Graph(Box::new(package)));
    }
    let tensors = super::tensors_of(&held).map_err(|e| Defect::OfFile {
        file: name.to_string_lossy().into_owned(),
        defect: Box::new(e.into()),
    })?;
    Ok(Found::Tensors(Box::new(Parts {
        known_as: known_as.to_owned(),
        config,
        json,
        vectors,
        ingredients: Ingredients::one(held, tensors),
        written: None,
    })))
}

const SAFETENSORS: &str = "safetensors";

fn of_file(name: &str, cause: std::io::Error) -> Defect {
    Defect::File {
        file: name.to_owned(),
        cause,
    }
}

/// The folder's model: the newest `.onnx`, as Style-Bert-VITS2 chooses; without
/// one the `.safetensors` that was trained longest.
fn model(folder: &Path) -> Result<PathBuf, Defect> {
    let mut newest: Option<(SystemTime, PathBuf)> = None;
    let mut longest: Option<(Trained, PathBuf)> = None;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let changed = || path.metadata().and_then(|meta| meta.modified());
        match super::extension(&path) {
            Some("onnx") => {
                let changed = changed()?;
                if newest.as_ref().is_none_or(|(other, _)| changed > *other) {
                    newest = Some((changed, path));
                }
            }
            Some(extension @ (SAFETENSORS | "pth" | "pt")) if !only_trains(&path) => {
                let trained = Trained {
                    // A checkpoint has what only training needs besides.
                    finished: extension == SAFETENSORS,
                    step: step(&path),
                    changed: changed()?,
                };
                if longest.as_ref().is_none_or(|(other, _)| trained > *other) {
                    longest = Some((trained, path));
                }
            }
            _ => {}
        }
    }
    let found = newest.map(|(_, path)| path);
    let found = found.or(longest.map(|(_, path)| path));
    found.ok_or(Defect::NoModel)
}

/// How long a model was trained: by its name, `NAME_e100_s2000`, which copies
/// keep; times they do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Trained {
    finished: bool,
    step: Option<u64>,
    changed: SystemTime,
}

fn step(path: &Path) -> Option<u64> {
    let stem = path.file_stem()?.to_str()?;
    // A checkpoint within training.
    if let Some(step) = stem.strip_prefix("G_") {
        return step.parse().ok();
    }
    let (rest, step) = stem.rsplit_once("_s")?;
    let (_, epoch) = rest.rsplit_once("_e")?;
    epoch.parse::<u64>().ok()?;
    step.parse().ok()
}

/// What training judges a voice by, and no voice.
fn only_trains(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    [&b"D_"[..], b"WD_", b"DUR_"]
        .iter()
        .any(|it| name.starts_with(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_the_one_that_was_trained_longest_speaks() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let chosen = || {
            let path = model(folder).expect("a model");
            path.file_name().map(|it| it.to_string_lossy().into_owned())
        };
        let write = |name: &str| std::fs::write(folder.join(name), b"").expect("a file");
        assert!(matches!(model(folder), Err(Defect::NoModel)));
        write("DUR_9000.pth");
        assert!(matches!(model(folder), Err(Defect::NoModel)));
        write("G_3000.pth");
        write("G_2000.pth");
        assert_eq!(chosen().as_deref(), Some("G_3000.pth"));
        write("haru_e100_s20000.safetensors");
        write("haru_e50_s9000.safetensors");
        write("haru_best.safetensors");
        assert_eq!(chosen().as_deref(), Some("haru_e100_s20000.safetensors"));
        write("haru.onnx");
        assert_eq!(chosen().as_deref(), Some("haru.onnx"));
    }
}
