//! What can go wrong with models, and who can act.

use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Time can act.
    #[error("no session came free in {waited:?}")]
    Busy { waited: Duration },

    /// The operator can act: another library.
    #[error("ONNX Runtime library {}: {cause}", path.display())]
    Library { path: PathBuf, cause: String },

    /// The operator can act: a driver, the GPU build, or `device = "cpu"`.
    #[error("device: {0}")]
    Device(String),

    /// The operator can act: another file.
    #[error("{}: {cause}", path.display())]
    Package { path: PathBuf, cause: String },

    /// The operator can act: this graph is not what it is used as.
    #[error("the graph is no {kind}: {cause}")]
    Signature { kind: &'static str, cause: String },

    /// ONNX Runtime refused to open the graph.
    #[error("ONNX Runtime cannot open the graph: {0}")]
    Open(String),

    /// ONNX Runtime failed while it ran.
    #[error("the run failed: {0}")]
    Run(String),

    /// Ours to mend: the tensors do not fit together.
    #[error("the input does not fit: {0}")]
    Input(String),

    #[error("tokenizer: {0}")]
    Tokenizer(String),
}
