//! How the sessions of one model are made.

use std::time::Duration;

use crate::device::Device;

/// Two models with equal settings and files are the same open model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The model runs here.
    pub device: Device,
    /// Sessions of this model that may run at the same time.
    pub lanes: usize,
    /// Threads of one run.
    pub threads: usize,
    /// How far ONNX Runtime rewrites the graph as it opens it.
    pub optimization: Optimization,
    /// Whether a GPU may round what it multiplies to ten bits of fraction.
    pub tf32: bool,
    /// How convolutions of kernel 1 are computed.
    pub pointwise: Pointwise,
    /// Whether decoders run in blocks of channels.
    pub layout: Layout,
    /// How a BERT's matrices are kept and multiplied with.
    pub precision: Precision,
    /// Fresh latent frames of a decoder window; 0 decodes whole.
    pub window: usize,
    /// Slots of a template: voices that speak without a copy. At least `lanes`.
    pub slots: usize,
    /// A session for each resident voice instead of slots that all share: its
    /// weights may then be packed for speed.
    pub prepack: bool,
    /// How long a model that is opened waits for runs that stand where it
    /// needs room.
    pub patience: Duration,
}

/// How much ONNX Runtime rewrites a graph when it opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimization {
    /// The graph runs as the file has it.
    None,
    /// Every rewriting that ONNX Runtime has.
    All,
}

/// How convolutions of kernel 1 are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pointwise {
    /// As the file has them.
    Conv,
    /// As matrix products, which need no plan for each new length.
    MatMul,
}

/// Whether decoders run in blocks of channels, which a processor's fastest
/// convolutions want; `models.layout`. The samples are the same to 1e-5.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Where that is faster, which the first start finds out.
    #[default]
    Auto,
    /// Wherever there are such kernels.
    Blocks,
    /// Never: as the voice's file has them.
    Rows,
}

/// How a BERT's matrices are kept and multiplied with;
/// `models.bert_precision`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As floats of 32 bits.
    #[default]
    Full,
    /// In 8 bits: a third of the memory and less than half of the time, and
    /// features that are a little off. On a processor only.
    Int8,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            device: Device::Cpu,
            lanes: 1,
            threads: 1,
            optimization: Optimization::All,
            tf32: false,
            pointwise: Pointwise::Conv,
            layout: Layout::Auto,
            precision: Precision::Full,
            // 1.5 s of speech: 82 MiB at its peak for the stock decoder, where
            // a whole utterance of 30 s takes 771.
            window: 128,
            slots: 2,
            prepack: false,
            patience: Duration::from_secs(20),
        }
    }
}
