//! Why a package is no voice. Whoever has it can act: another file, or another
//! export of it. In sentences, "it" is the package.

use std::io;

use super::torch::TorchFault;
use crate::onnx::Malformed;

/// Why a package is no voice.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Defect {
    #[error("not an .aivmx, an .sbv2 or a folder")]
    Kind,
    #[error(transparent)]
    Read(#[from] io::Error),
    /// One file of a folder.
    #[error("{file}: {cause}")]
    File { file: String, cause: io::Error },
    #[error("it has neither a .safetensors nor an .onnx")]
    NoModel,
    /// What one file of a folder is.
    #[error("{file}: {defect}")]
    OfFile { file: String, defect: Box<Defect> },
    #[error(transparent)]
    Tensors(#[from] TensorsFault),
    #[error(transparent)]
    Unfit(#[from] vits::sizes::Unfit),
    #[error("it has no tensor `{0}`: it is cut off, or no voice of Style-Bert-VITS2")]
    NoTensor(String),
    #[error("its tensor `{key}` is of another shape in {}, or not there; only voices of one architecture and size can be merged", other.display())]
    Unlike {
        key: String,
        other: std::path::PathBuf,
    },
    #[error("it takes {expected} voices, {found} are named")]
    Voices { expected: usize, found: usize },
    #[error("{}: it is no voice that is tensors alone; only those can be merged, a .safetensors folder or an .aivm", .0.display())]
    NotTensors(std::path::PathBuf),
    #[error("{}: {defect}", path.display())]
    OfVoice {
        path: std::path::PathBuf,
        defect: Box<Defect>,
    },
    #[error("it is to have two styles `{0}`")]
    TwoStyles(String),
    #[error("it has no style `{style}`, which `{name}` is to be made of")]
    NoStyle { style: String, name: String },
    #[error("its features are {bert} wide and its styles {style}, expected 1024 and 256")]
    Widths { bert: usize, style: usize },
    #[error("it has room for {0} speakers, more than any voice")]
    Speakers(usize),
    #[error("its speaker `{name}` is number {id}, but it has {speakers}")]
    SpeakerId {
        name: String,
        id: i64,
        speakers: usize,
    },
    #[error("its manifest names the architecture `{0}`, which this program does not speak")]
    Architecture(String),
    #[error("its metadata has no `{0}`: an .aivm is made by AIVM Generator or aivmlib")]
    NoAivmEntry(&'static str),
    #[error(transparent)]
    Model(#[from] Malformed),
    #[error("its metadata has no `{0}`: an .aivmx is made by AIVM Generator or aivmlib")]
    NoEntry(&'static str),
    /// In words: "its config", "its style vectors".
    #[error("{part}: {fault}")]
    Part { part: &'static str, fault: Fault },
    #[error("its config names no {0}")]
    NamesNo(&'static str),
    #[error("its config has the sampling rate {0}")]
    SamplingRate(u32),
    #[error("its speakers have {pairs} styles in all, the most is {most}")]
    Pairs { pairs: usize, most: usize },
    #[error("its style `{name}` is row {row}, but there are {rows} style vectors")]
    StyleRow {
        name: String,
        row: usize,
        rows: usize,
    },
    #[error("its style vectors are {rows} × {width}, expected any number × {expected}")]
    VectorShape {
        rows: usize,
        width: usize,
        expected: usize,
    },
    #[error("it has {rows} style vectors, the most is {most}")]
    VectorRows { rows: usize, most: usize },
    #[error("its style vectors hold values that are no numbers")]
    VectorValues,
    #[error(transparent)]
    Archive(#[from] ArchiveFault),
}

/// What is wrong with one part of a package.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Base64(#[from] base64::DecodeError),
    #[error(transparent)]
    Npy(#[from] NpyFault),
    #[error("{bytes} bytes, the most is {most}")]
    Large { bytes: usize, most: usize },
    #[error(transparent)]
    Name(#[from] LongName),
}

/// Why a file has no tensors that a graph could read. In sentences, "it"
/// is the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TensorsFault {
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error("the file is cut off: it is still being downloaded, or the download broke off")]
    CutOff,
    #[error("it is a pointer of Git LFS, not the file itself; `git lfs pull` fetches that")]
    LfsPointer,
    #[error("it has no header of a .safetensors")]
    NoHeader,
    #[error("its header: {0}")]
    Header(#[from] serde_json::Error),
    #[error("its tensor `{key}` has elements of the unknown kind `{element}`")]
    Element { key: String, element: String },
    #[error("its tensor `{0}` does not lie where its shape says")]
    Place(String),
    #[error(transparent)]
    Torch(#[from] TorchFault),
}

/// A name that cannot be shown.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a name has {bytes} bytes, the most is {most}")]
pub(crate) struct LongName {
    pub(crate) bytes: usize,
    pub(crate) most: usize,
}

/// Why bytes are no .npy that style vectors could be. In sentences, "it" is
/// the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NpyFault {
    #[error("the file is cut off or no .npy")]
    CutOff,
    #[error("version {0} of .npy is not known, only 1 to 3")]
    Version(u8),
    #[error("a header of {bytes} bytes, the most is {most}")]
    LongHeader { bytes: u32, most: usize },
    #[error("its header is no text")]
    NoText,
    #[error("its header has a key that no .npy has")]
    Key,
    #[error("its header says `{0}` twice")]
    Twice(String),
    #[error("its header does not say `{0}`")]
    Missing(&'static str),
    #[error("its header goes on after its end")]
    GoesOn,
    #[error(
        "its header has no `{0}` where one belongs; expected is such as {{'descr': '<f4', 'fortran_order': False, 'shape': (3, 256)}}"
    )]
    Sign(char),
    #[error("a text in its header has no end")]
    OpenText,
    #[error("`fortran_order` in its header is neither True nor False")]
    Order,
    #[error("it has more than {0} axes")]
    Axes(usize),
    #[error("an axis of its shape is no whole number that fits")]
    Axis,
    #[error("its numbers are no floats of 2, 4 or 8 bytes")]
    Element,
    #[error("its numbers do not say how their bytes are ordered")]
    Endian,
    #[error("shape {0}, expected two axes")]
    Rank(String),
    #[error("{rows} × {width} numbers, expected 1 to {rows_max} × {width_expected}")]
    Shape {
        rows: u64,
        width: u64,
        rows_max: usize,
        width_expected: usize,
    },
    #[error("the file has {found} bytes of numbers, its shape says {needed}")]
    Short { found: usize, needed: usize },
}

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveFault {
    #[error(transparent)]
    Open(io::Error),
    #[error("is being written to")]
    Unfinished,
    #[error("the archive: {0}")]
    Read(io::Error),
    #[error("the archive has more than {0} entries")]
    Entries(usize),
    #[error("its model has {bytes} bytes, the most is {most}")]
    Model { bytes: u64, most: u64 },
    #[error("an entry of the archive has more than {0} bytes")]
    Entry(u64),
    #[error("it has format version {found}, known is {known}")]
    Version { found: String, known: &'static str },
    #[error("the archive has two `{0}`")]
    Twice(String),
    #[error("the archive has no `{0}`")]
    Missing(&'static str),
    #[error(transparent)]
    Vectors(Box<Defect>),
    /// Not the archive's fault, but that of where it is unpacked.
    #[error("it cannot be unpacked: {0}")]
    Place(io::Error),
}

/// For [`Defect::Part`].
pub(crate) fn of_part<F: Into<Fault>>(part: &'static str) -> impl Fn(F) -> Defect {
    move |fault| Defect::Part {
        part,
        fault: fault.into(),
    }
}
