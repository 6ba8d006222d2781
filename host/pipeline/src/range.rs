//! What numbers of callers and of pipelines may be: the one table that every
//! dialect, every pipeline and the OpenAPI document go by.

use std::fmt;

/// Inclusive bounds of a number. NaN lies in none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The least that is taken.
    pub low: f32,
    /// The most that is taken.
    pub high: f32,
}

/// Speech rate, 1 as recorded: its inverse is the graph's `length_scale`.
pub const SPEED: Range = Range::new(0.1, 10.0);
/// The graph's `length_scale`.
pub const LENGTH_SCALE: Range = Range::new(0.1, 10.0);
/// Weight of a style against the mean one.
pub const STYLE_WEIGHT: Range = Range::new(-10.0, 50.0);
/// Share of the stochastic duration predictor.
pub const SDP_RATIO: Range = Range::new(0.0, 1.0);
/// The graph's `noise_scale`: variation of the voice.
pub const NOISE: Range = Range::new(0.0, 2.0);
/// The graph's `noise_scale_w`: variation of the durations.
pub const NOISE_W: Range = Range::new(0.0, 2.0);
/// Factor of the mean pitch.
pub const PITCH: Range = Range::new(0.25, 4.0);
/// Factor of the pitch's distance from its mean.
pub const INTONATION: Range = Range::new(0.0, 4.0);
/// Weight of an assisting text's features.
pub const ASSIST_WEIGHT: Range = Range::new(0.0, 1.0);
/// Factor of BERT's features.
pub const BERT_STRENGTH: Range = Range::new(0.0, 2.0);
/// Samples per second of an answer.
pub const SAMPLING_RATE: Range = Range::new(8_000.0, 192_000.0);
/// Factor of an answer's level.
pub const VOLUME: Range = Range::new(0.0, 10.0);
/// Seconds of silence before and after an answer.
pub const SILENCE: Range = Range::new(0.0, 60.0);
/// Seconds of silence between the sentences and lines of an answer.
pub const PAUSE: Range = Range::new(0.0, 600.0);

/// Weight of one voice of a mix, against those of the others.
pub const MIX_WEIGHT: Range = Range::new(0.0, 1_000.0);

impl Range {
    /// Both are taken themselves; `low` is not above `high`.
    pub const fn new(low: f32, high: f32) -> Self {
        Self { low, high }
    }

    /// The nearest that lies within.
    pub fn clamp(self, value: f32) -> f32 {
        value.clamp(self.low, self.high)
    }

    /// Both bounds lie within; NaN does not.
    pub fn has(self, value: f32) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// `0.1 and 10`, for "it lies between".
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {}", self.low, self.high)
    }
}
