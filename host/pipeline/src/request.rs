//! What a caller wants, and what it gets: the one shape behind every dialect.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sound::{Channels, Format};
use speech::moras::Given;

use crate::mix::MixShare;

/// One text to be spoken. What is `None` the pipeline decides.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// As the caller wrote it, before any normalization.
    pub text: String,
    /// The voice that speaks all of it, and which of its speakers.
    pub voice: VoiceRef,
    /// Voices that are mixed to speak it, in place of one; `voice` names the
    /// speaker alone then.
    pub mix: Vec<MixShare>,
    /// By name; None is the default one.
    pub pipeline: Option<String>,
    /// A BCP 47 tag; another language than the pipeline's is refused.
    pub language: Option<String>,
    /// Where the text is cut into pieces, each of which is one run.
    pub split: Option<Split>,
    /// Phonemes and tones instead of the frontend's own; the text is one run
    /// then.
    pub given: Option<Given>,
    /// None colours the voice by the text's own mood alone.
    pub assist: Option<Assist>,
    /// How much BERT's features say; 1 is as trained, less lets given tones
    /// win.
    pub bert_strength: Option<f32>,
    /// Style, rate, pitch and noise.
    pub settings: VoiceSettings,
    /// Silence between the pieces, beside what the voice itself makes.
    pub pauses: Pauses,
    /// Format, rate, level and silence of the answer.
    pub sound: Sound,
    /// Whether the answer comes in one piece.
    pub delivery: Delivery,
    /// Who goes first where others wait too.
    pub priority: Priority,
    /// The time the caller gives it; never more than the pipeline's own.
    pub deadline: Option<Duration>,
    /// A word of a generation that serves nobody yet: it stands in no queue of
    /// theirs, so that load keeps no reload from coming.
    pub rehearsal: bool,
}

/// Who speaks: a voice, and which of its speakers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VoiceRef {
    /// Empty means the only voice there is.
    pub name: String,
    /// Most voices have one speaker.
    pub speaker: Speaker,
}

/// One of a voice's speakers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Speaker {
    /// The one with the lowest number.
    #[default]
    First,
    /// As people write it: by name, else by number.
    Written(String),
    /// By the graph's own number, whatever others are called.
    Numbered(i64),
}

impl VoiceRef {
    /// `voice` or `voice/speaker`, as people write it.
    pub fn written(text: &str) -> Self {
        match text.split_once('/') {
            Some((name, speaker)) => Self {
                name: name.to_owned(),
                speaker: Speaker::Written(speaker.to_owned()),
            },
            None => Self::named(text),
        }
    }

    /// A voice and its first speaker.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            speaker: Speaker::First,
        }
    }
}

impl fmt::Display for VoiceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.speaker {
            Speaker::First => Ok(()),
            Speaker::Written(speaker) => write!(f, "/{speaker}"),
            Speaker::Numbered(number) => write!(f, "/{number}"),
        }
    }
}

/// Whether the sound leaves as it is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// In one piece, with its length in the header.
    #[default]
    Whole,
    /// Window by window.
    Stream,
}

/// Who goes first where requests wait for the models.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Deserialize,
    Serialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// After all others: for work that nobody waits for.
    Low,
    /// In the order of coming, beside most requests.
    #[default]
    Normal,
    /// Before all others.
    High,
}

/// Silence between the pieces a text is cut into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pauses {
    /// After a line's end; None leaves it to the pipeline.
    pub lines: Option<Duration>,
    /// After a sentence within a line; None leaves it to the pipeline.
    pub sentences: Option<Duration>,
}

/// What is made of the samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sound {
    /// Also decides the media type, and whether samples are packed.
    pub format: Format,
    /// Samples per second; none keeps the voice's own.
    pub sampling_rate: Option<u32>,
    /// Voices speak in one; stereo has it twice.
    pub channels: Channels,
    /// How the level is set; None leaves it to the pipeline.
    pub loudness: Option<Loudness>,
    /// A factor, after the loudness is set; 1 keeps it.
    pub volume: f32,
    /// Drops the voice's own silence before and after.
    pub trim: bool,
    /// Silence before and after.
    pub leading: Duration,
    /// Silence after the last sample.
    pub trailing: Duration,
}

impl Sound {
    /// Bytes of so many samples of one channel, where they are written as they
    /// are; none where they are packed.
    pub(crate) fn raw_bytes(&self, samples: u64) -> u64 {
        let bytes = self.format.sample_bytes() * u64::from(self.channels.count());
        samples.saturating_mul(bytes)
    }
}

impl Default for Sound {
    fn default() -> Self {
        Self {
            format: Format::default(),
            sampling_rate: None,
            channels: Channels::Mono,
            loudness: None,
            volume: 1.0,
            trim: false,
            leading: Duration::ZERO,
            trailing: Duration::ZERO,
        }
    }
}

/// How the level of an answer is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Loudness {
    /// The loudest sample of the whole answer becomes full scale, as in SBV2;
    /// nothing leaves before the last sample is made.
    #[serde(alias = "peak")]
    Whole,
    /// The loudest sample heard so far becomes full scale, by a limiter that
    /// looks ahead.
    Running,
    /// The model's own level.
    None,
}

impl Loudness {
    /// Requests and configuration call it so.
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Running => "running",
            Self::None => "none",
        }
    }
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
pub struct VoiceSettings {
    /// By its name in the voice; None is the pipeline's, else the voice's
    /// first.
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
    /// Of the noise: the same gives the same samples, where the voice allows it.
    pub seed: Option<u64>,
    /// Factor of the mean pitch.
    pub pitch: Option<f32>,
    /// Factor of the pitch's distance from its mean; 0 is a monotone.
    pub intonation: Option<f32>,
}

/// Where a text is cut before it is spoken. The flow's attention is quadratic
/// in length, so short pieces cost less time and less memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// At line ends and at the ends of sentences.
    Sentence,
    /// At line ends only, as SBV2 does.
    Line,
    /// Nowhere: one run for the whole text.
    None,
}

/// A finished answer.
#[derive(Clone, Debug)]
pub struct Audio {
    /// What was known before the rest was made.
    pub head: Head,
    /// All of it in the format of the head, headers included.
    pub bytes: Vec<u8>,
    /// Samples of one channel.
    pub samples: u64,
}

/// What is known of an answer when its first sound is there.
#[derive(Clone, Debug)]
pub struct Head {
    /// As it was asked for; it decides the media type.
    pub format: Format,
    /// Samples per second.
    pub sampling_rate: u32,
    /// Samples of one frame: one or two, which are the same.
    pub channels: Channels,
    /// How the level was set.
    pub loudness: Loudness,
    /// Whether it comes in one piece.
    pub delivery: Delivery,
    /// The generation that made all of it.
    pub generation: NonZeroU64,
    /// What was dropped, guessed or skipped on the way.
    pub warnings: Vec<String>,
}
