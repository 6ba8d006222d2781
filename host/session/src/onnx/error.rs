//! Why a file cannot be taken apart. Whoever has the file can act: another one,
//! or another export of it.

use std::path::PathBuf;

/// A model that is no ONNX file, or has what no voice needs. In sentences,
/// "it" is the file.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    #[error("the file is cut off or no ONNX file")]
    Wire,
    #[error("a packed field is cut off")]
    Packed,
    #[error("a name is no UTF-8")]
    Name,
    #[error("it has {0}")]
    Has(&'static str),
    #[error("it has no output `{0}`")]
    NoOutput(String),
    #[error("it has more than {most} {what}")]
    TooMany { what: &'static str, most: usize },
    #[error("it has graphs inside of graphs, more than {0} deep")]
    Deep(usize),
    #[error("it holds text, which no voice needs")]
    HoldsText,
    /// By the operator.
    #[error("`{0}` makes text, which no voice needs")]
    MakesText(String),
    #[error("the weight `{name}` {fault}")]
    Weight { name: String, fault: WeightFault },
    #[error(transparent)]
    Outside(#[from] Outside),
}

/// What is wrong with one weight.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeightFault {
    #[error("has an impossible shape")]
    Shape,
    #[error("has {found} bytes, its shape {dims:?} says {expected}")]
    Bytes {
        found: usize,
        dims: Vec<i64>,
        expected: usize,
    },
    #[error("lies too far")]
    TooFar,
    #[error("is too long")]
    TooLong,
    #[error("is in another file and has no number as its {0}")]
    NoNumber(&'static str),
    #[error("is in another file and names none")]
    NoFile,
}

/// A file beside the graph that its weights are in.
#[derive(Debug, thiserror::Error)]
pub enum Outside {
    #[error("its weights are at `{0}`, outside of its folder")]
    Elsewhere(String),
    #[error("its weights are in another file, `{0}`, which an archive cannot have")]
    InArchive(String),
    #[error("{}: {cause}", path.display())]
    Unreadable {
        path: PathBuf,
        cause: std::io::Error,
    },
    #[error("{0} is too short")]
    Short(String),
    #[error("a constant in {file} has more than {most} bytes")]
    Large { file: String, most: u64 },
    #[error("a weight lies beyond the end of its file")]
    Beyond,
}

/// A graph that runs whole, since it does not fall into two where its decoder
/// begins. In sentences, "it" is the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Uncut {
    #[error("it has graphs inside its nodes")]
    Nested,
    #[error("no nodes called `/dec/…` make its output")]
    NoDecoder,
    #[error("its decoder feeds what comes before it")]
    Feeds,
    #[error("its decoder takes more than a latent and a condition")]
    TakesMore,
    #[error("its decoder takes two latents")]
    TwoLatents,
    #[error("its decoder takes one value as both")]
    OneAsBoth,
    #[error("its decoder takes no latent and condition")]
    NoLatent,
}
