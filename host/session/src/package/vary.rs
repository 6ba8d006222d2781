//! Another voice out of one: the same package with other weights. For soaks
//! that need more voices than there are.

use std::path::Path;

use super::Package;
use crate::error::Error;
use crate::source::{Graph, Source};
use crate::weights::Weights;

/// Writes a copy into `folder` as `name`, with weights a few percent off; which
/// of them, the seed decides.
pub fn vary(source: &Source, folder: &Path, name: &str, seed: u64) -> Result<(), Error> {
    let package = Package::open(source)?;
    let graph = package.graph();
    let failed = |path: &Path, cause: String| Error::Package {
        path: path.to_owned(),
        cause,
    };
    let (_, weights) = Weights::split(graph)?;
    let varied = weights.vary(seed)?;
    let write = |path: &Path, bytes: &[u8]| {
        std::fs::write(path, bytes).map_err(|e| failed(path, e.to_string()))
    };
    match (source, graph) {
        (Source::Path(path), Graph::File(graph)) if path.is_dir() => {
            let target = folder.join(name);
            std::fs::create_dir_all(&target).map_err(|e| failed(&target, e.to_string()))?;
            for file in ["config.json", "style_vectors.npy"] {
                std::fs::copy(path.join(file), target.join(file))
                    .map_err(|e| failed(&path.join(file), e.to_string()))?;
            }
            write(
                &target.join(graph.path().file_name().unwrap_or_default()),
                &varied.graph,
            )?;
            for (file, bytes) in &varied.beside {
                write(&target.join(file), bytes)?;
            }
            Ok(())
        }
        (_, Graph::File(_) | Graph::Embedded(_)) => {
            write(&folder.join(format!("{name}.aivmx")), &varied.graph)
        }
        (_, Graph::Unlinked(_) | Graph::Built(_)) => {
            let cause = "only an .aivmx or a folder with an .onnx is varied";
            Err(failed(source.path(), cause.to_owned()))
        }
    }
}
