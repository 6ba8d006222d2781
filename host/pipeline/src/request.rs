//! What a caller wants, and what it gets: the one shape behind every dialect.

use std::num::NonZeroU64;

use serde::Deserialize;
use speech::moras::Given;

/// One text to be spoken. What is `None` the pipeline decides.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub text: String,
    /// `voice` or `voice/speaker`; empty means the only voice there is.
    pub voice: String,
    pub pipeline: Option<String>,
    pub language: Option<String>,
    pub split: Option<Split>,
    /// Phonemes and tones instead of the frontend's own; the text is one run
    /// then.
    pub given: Option<Given>,
    pub assist: Option<Assist>,
    /// How much BERT's features say; 1 is as trained, less lets given tones
    /// win.
    pub bert_strength: Option<f32>,
    pub delivery: Delivery,
    pub format: Format,
}

/// A text whose mood colours the one that is spoken.
#[derive(Clone, Debug, PartialEq)]
pub struct Assist {
    /// Read as it is, without normalization, as Style-Bert-VITS2 does.
    pub text: String,
    /// 0 changes nothing, 1 leaves nothing of the text's own features.
    pub weight: f32,
}

/// How it is spoken: the scalars of the synthesis graph and the style.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    pub style: Option<String>,
    /// 0 is the mean style, 1 the style as recorded, more exaggerates.
    pub style_weight: Option<f32>,
    /// Speech rate; the graph's `length_scale` is its inverse.
    pub speed: Option<f32>,
    /// Share of the stochastic duration predictor, 0 to 1.
    pub sdp_ratio: Option<f32>,
    /// `noise_scale`: variation of the voice.
    pub noise: Option<f32>,
    /// `noise_scale_w`: variation of the durations.
    pub noise_w: Option<f32>,
}

/// Where a text is cut before it is spoken. The flow's attention is quadratic
/// in length, so short pieces cost less time and less memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// At line ends and at the ends of sentences.
    Sentence,
    /// At line ends only, as SBV2 does.
    Line,
    /// Nowhere: one run for the whole text.
    None,
}

/// Containers we write. Samples are 16-bit, mono, at the voice's own rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Wav,
    /// Raw little-endian samples.
    Pcm,
}

/// A finished answer.
#[derive(Clone, Debug)]
pub struct Audio {
    pub bytes: Vec<u8>,
    pub format: Format,
    /// Samples per second.
    pub sampling_rate: u32,
    pub samples: usize,
    /// The generation that made all of it.
    pub generation: NonZeroU64,
    /// What was dropped, guessed or skipped on the way.
    pub warnings: Vec<String>,
}
