//! What can go wrong with models, and who can act.

use std::path::PathBuf;
use std::time::Duration;

use memory::slab::NoRoom;

/// What went wrong with a model, a run or memory. Each variant says who can
/// act.
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

    /// The operator can act: a reload opens what the file is now.
    #[error("{}: the file changed while it was served; a reload opens it anew", path.display())]
    Changed { path: PathBuf },

    /// The operator can act: this graph is not what it is used as.
    #[error("the graph is no {kind}: {cause}")]
    Signature { kind: &'static str, cause: String },

    /// ONNX Runtime refused to open the graph.
    #[error("ONNX Runtime cannot open the graph: {0}")]
    Open(String),

    /// ONNX Runtime failed while it ran.
    #[error("the run failed: {0}")]
    Run(String),

    /// The operator can act: another file. It was tried in a process of its own.
    #[error("{cause}")]
    Unproven { cause: String },

    /// Time can act: other runs hold the activations this one needs.
    #[error(
        "a run needs {needed} bytes of workspace and {free} are free; none came free in {waited:?}"
    )]
    NoWorkspace {
        /// Bytes that the run asked for.
        needed: usize,
        /// Bytes of the workspace that were free when the wait ended.
        free: usize,
        /// The run stood in line for so long.
        waited: Duration,
    },

    /// The caller can act: a shorter sentence.
    #[error(
        "this run needs {needed} bytes of workspace; one request may take {most} (`memory.permits.request_max`)"
    )]
    TooLarge { needed: usize, most: usize },

    /// The caller can act: a shorter sentence.
    #[error("a run over {length} characters needs more workspace than there is")]
    TooLong { length: usize },

    /// The caller can act: a shorter sentence.
    #[error("{tokens} tokens at once are more than any voice is tried with ({most})")]
    Untried { tokens: usize, most: usize },

    /// The operator can act: a smaller model or a larger `memory.budget`.
    #[error("{} has no room for {} bytes (largest free {}, free {}); a larger `memory.budget` or fewer models would do", .0.zone.name(), .0.needed, .0.largest, .0.free)]
    NoRoom(NoRoom),

    /// The operator can act: a smaller model or a larger `memory.budget`. With
    /// everybody else gone it would not fit.
    #[error("it needs more than the {} bytes of {} that it could ever have (about {}); a larger `memory.budget` would do", .0.largest, .0.zone.name(), .0.needed)]
    NeverFits(NoRoom),

    /// A run went over what there is and was ended; the session is usable.
    #[error("the run needed {} bytes more than {} has (largest free {})", .0.needed, .0.zone.name(), .0.largest)]
    OutOfMemory(NoRoom),

    /// Whoever takes the samples has gone: the run was ended.
    #[error("nobody wants the samples any more")]
    Cancelled,

    /// The caller wants repeatable noise of a graph that throws its own dice.
    #[error(
        "its graph makes its own noise, which no seed can repeat; leave `seed` out, or set `noise` and `noise_w` to 0"
    )]
    NoSeed,

    /// ONNX Runtime refused the slab.
    #[error("the allocator could not be registered: {0}")]
    Memory(String),

    /// Ours to mend: the tensors do not fit together.
    #[error("the input does not fit: {0}")]
    Input(String),

    /// The operator can act: another `tokenizer.json`. This one cannot be read
    /// or cannot encode.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
}
