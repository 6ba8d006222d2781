//! Why a file cannot be taken apart. Whoever has the file can act: another one,
//! or another export of it.

use std::path::PathBuf;

/// A model that is no ONNX file, or has what no voice needs. In sentences,
/// "it" is the file.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// A Protocol Buffers field is cut off or has an impossible head.
    #[error("the file is cut off or no ONNX file")]
    Wire,
    /// A list of numbers in one field ends in the middle of a number.
    #[error("a packed field is cut off")]
    Packed,
    /// Some name or string that has to be text is none.
    #[error("a name is no UTF-8")]
    Name,
    /// What it has or lacks, such as `two graphs` or `no graph`.
    #[error("it has {0}")]
    Has(&'static str),
    /// The samples would come from an output of this name.
    #[error("it has no output `{0}`")]
    NoOutput(String),
    /// Nodes, values or the like are out of all proportion.
    #[error("it has more than {most} {what}")]
    TooMany { what: &'static str, most: usize },
    /// Graphs inside nodes, as in loops, are nested deeper than is followed.
    #[error("it has graphs inside of graphs, more than {0} deep")]
    Deep(usize),
    /// An initializer is of strings.
    #[error("it holds text, which no voice needs")]
    HoldsText,
    /// By the operator.
    #[error("`{0}` makes text, which no voice needs")]
    MakesText(String),
    /// This weight, by its name in the file, cannot be used.
    #[error("the weight `{name}` {fault}")]
    Weight { name: String, fault: WeightFault },
    /// The weights lie in another file, and something is wrong there.
    #[error(transparent)]
    Outside(#[from] Outside),
}

/// What is wrong with one weight.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeightFault {
    /// A dimension is negative, or all together are more than can be counted.
    #[error("has an impossible shape")]
    Shape,
    /// Its bytes are not as many as its shape and type need.
    #[error("has {found} bytes, its shape {dims:?} says {expected}")]
    Bytes {
        /// Bytes that are there.
        found: usize,
        /// Its shape.
        dims: Vec<i64>,
        /// Bytes that this shape needs.
        expected: usize,
    },
    /// Its offset in the other file is more than this machine can count.
    #[error("lies too far")]
    TooFar,
    /// Its length in the other file is more than this machine can count.
    #[error("is too long")]
    TooLong,
    /// `offset` or `length` of external data is not written as a number.
    #[error("is in another file and has no number as its {0}")]
    NoNumber(&'static str),
    /// External data has no `location`.
    #[error("is in another file and names none")]
    NoFile,
}

/// A file beside the graph that its weights are in.
#[derive(Debug, thiserror::Error)]
pub enum Outside {
    /// A path like this could read any file of the machine.
    #[error("its weights are at `{0}`, outside of its folder")]
    Elsewhere(String),
    /// An archive has one graph and nothing beside it.
    #[error("its weights are in another file, `{0}`, which an archive cannot have")]
    InArchive(String),
    /// The system refused to open or to read the file.
    #[error("{}: {cause}", path.display())]
    Unreadable {
        /// The other file.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// This file ends before the constant that should be in it.
    #[error("{0} is too short")]
    Short(String),
    /// Constants are copied, so that they have a bound in bytes.
    #[error("a constant in {file} has more than {most} bytes")]
    Large { file: String, most: u64 },
    /// By its offset and length a weight would end behind its file.
    #[error("a weight lies beyond the end of its file")]
    Beyond,
}

/// A graph that runs whole, since it does not fall into two where its decoder
/// begins. In sentences, "it" is the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Uncut {
    /// Names inside a loop or a branch may mean values outside of it.
    #[error("it has graphs inside its nodes")]
    Nested,
    /// The exporter did not name its modules, or the model has none called
    /// `dec`.
    #[error("no nodes called `/dec/…` make its output")]
    NoDecoder,
    /// Something before the decoder uses what the decoder makes.
    #[error("its decoder feeds what comes before it")]
    Feeds,
    /// Nodes other than `conv_pre` and `cond` read from outside the decoder.
    #[error("its decoder takes more than a latent and a condition")]
    TakesMore,
    /// `conv_pre` or `cond` reads two values.
    #[error("its decoder takes two latents")]
    TwoLatents,
    /// `conv_pre` and `cond` read the same value.
    #[error("its decoder takes one value as both")]
    OneAsBoth,
    /// `conv_pre` or `cond` is not there.
    #[error("its decoder takes no latent and condition")]
    NoLatent,
}
