//! From an utterance to the tensors of one synthesis run: tokens with blanks,
//! features per token, all padded to the length the bucketing policy chose.

use session::bert::Features;
use session::voice::{Pace, VoiceInput};
use speech::align;
use speech::utterance::Utterance;

use crate::voice_settings::SynthesisSettings;

/// Pads with zeros; the graph masks by the true length, so that padding never
/// reaches the sound.
pub(crate) fn voice_input(
    utterance: &Utterance,
    tokens: align::Tokens,
    features: &Features,
    padded: usize,
    settings: &SynthesisSettings,
    pace: Pace,
) -> VoiceInput {
    let true_length = tokens.ids.len();
    let rows = align::Features {
        data: &features.data,
        rows: features.rows,
        width: features.width,
    };
    let pad = |mut row: Vec<i64>| {
        row.resize(padded, 0);
        row
    };
    VoiceInput {
        features: align::expand(&rows, utterance, padded),
        tokens: pad(tokens.ids),
        tones: pad(tokens.tones),
        languages: pad(tokens.languages),
        true_length,
        style_vector: settings.style_vector.clone(),
        speaker: settings.speaker,
        length_scale: settings.length_scale,
        sdp_ratio: settings.sdp_ratio,
        noise_scale: settings.noise_scale,
        noise_scale_w: settings.noise_scale_w,
        dice: settings.seed.into(),
        pace,
    }
}
