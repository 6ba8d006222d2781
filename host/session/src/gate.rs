//! May this template change its voice by copying bytes? Decided by trying.
//!
//! A session that aliases its weights may still hold something computed from
//! those it was opened with: a packed copy, a folded constant. So two voices
//! are spoken, A, B and A again, each against a fresh ordinary session of the
//! whole graph. The same trial proves the cut at the decoder and its windows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::events;
use crate::native::tensors::Block;
use crate::onnx::{Part, Template};
use crate::placement::Placement;
use crate::runtime::Runtime;
use crate::settings::Settings;
use crate::source::hex;
use crate::stop::Stop;
use crate::voice::{FEATURE_WIDTH, Pace, STYLE_WIDTH, VoiceInput, VoiceSession};
use crate::weights::Weights;

/// Float noise of another order of the same sums is 1e-6; a stale weight is
/// heard at 1e-2 and more, and changes the length.
const TOLERANCE: f32 = 1e-4;

/// Verdicts in the cache.
const KEPT_MAX: usize = 4_096;

/// A graph that has not said forty phonemes by then never will.
const TIME: Duration = Duration::from_secs(120);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Swappable {
        /// The largest difference of a sample to a fresh session.
        difference: f32,
    },
    /// Each voice of this template gets a session of its own.
    NotSwappable { why: String },
}

/// The verdict, from the cache or by trying. `session` aliases `block`, whose
/// bytes are lost.
pub(crate) fn verdict(
    runtime: &Runtime,
    template: &Template,
    weights: &Weights,
    settings: &Settings,
    session: &mut VoiceSession,
    block: &mut Block,
    cache: Option<&Path>,
) -> Result<Verdict, Error> {
    let place = cache.map(|cache| place(cache, runtime, template, settings));
    if let Some(known) = place.as_deref().and_then(read) {
        return Ok(known);
    }
    let start = std::time::Instant::now();
    let stop = Stop::default();
    let trial = Trial {
        runtime,
        template,
        settings,
        stop: &stop,
    };
    let tried = stop.within(TIME, || trial.run(weights, session, block));
    let verdict = tried.map_err(|error| match error {
        Error::Cancelled => Error::Open(format!(
            "the graph has not said a word in {} s",
            TIME.as_secs()
        )),
        error => error,
    })?;
    events::template_tried(&template.digest, &verdict, start.elapsed());
    if let Some(place) = place {
        write(&place, &verdict);
    }
    Ok(verdict)
}

struct Trial<'a> {
    runtime: &'a Runtime,
    template: &'a Template,
    settings: &'a Settings,
    stop: &'a Stop,
}

impl Trial<'_> {
    fn run(
        &self,
        a: &Weights,
        session: &mut VoiceSession,
        block: &mut Block,
    ) -> Result<Verdict, Error> {
        let mut speak = |weights: &Weights| {
            weights.fill(self.template, block)?;
            session.collect(sample(), self.stop)
        };
        let first = speak(a)?;
        let b = a.altered(self.template)?;
        let other = speak(&b)?;
        let again = speak(a)?;
        // What a fresh session says is asked last, so that its memory is not
        // held together with anything else's.
        let fresh_other = self.fresh(&b)?;
        drop(b);
        let fresh = self.fresh(a)?;
        Ok(judge(&first, &other, &again, &fresh, &fresh_other))
    }

    /// What an ordinary session with these weights says, in memory of its own.
    fn fresh(&self, weights: &Weights) -> Result<Vec<f32>, Error> {
        let model = weights.model(self.template, Part::Whole)?;
        let mut session = VoiceSession::whole(
            self.runtime,
            "trial",
            &model,
            self.settings,
            &Placement::Arena,
        )?;
        drop(model);
        session.collect(sample(), self.stop)
    }
}

fn judge(
    first: &[f32],
    other: &[f32],
    again: &[f32],
    fresh: &[f32],
    fresh_other: &[f32],
) -> Verdict {
    let no = |why: String| Verdict::NotSwappable { why };
    if first != again {
        return no("after another voice the first one does not come back".to_owned());
    }
    if first == other {
        return no("another voice's weights change nothing".to_owned());
    }
    let mut largest = 0.0_f32;
    for (said, expected) in [(first, fresh), (other, fresh_other)] {
        if said.len() != expected.len() {
            return no(format!(
                "a voice speaks {} samples, a fresh session {}",
                said.len(),
                expected.len()
            ));
        }
        for (said, expected) in said.iter().zip(expected) {
            let difference = (said - expected).abs();
            // `max` would pass over what is no number.
            if difference.is_nan() || difference > largest {
                largest = difference;
            }
        }
    }
    if largest.is_nan() || largest > TOLERANCE {
        return no(format!(
            "a voice differs from a fresh session by {largest:e}"
        ));
    }
    Verdict::Swappable {
        difference: largest,
    }
}

/// Forty phonemes: longer than a decoder window, so that windows are tried as
/// well.
fn sample() -> VoiceInput {
    const PHONEMES: usize = 40;
    VoiceInput::sample(2 * PHONEMES + 1)
}

impl VoiceInput {
    /// Something to say of so many tokens, without noise.
    pub(crate) fn sample(length: usize) -> Self {
        let row = |value: fn(usize) -> i64| {
            let at = |i| if i % 2 == 1 { value(i) } else { 0 };
            (0..length).map(at).collect::<Vec<i64>>()
        };
        let feature = |i: usize| {
            let (channel, place) = (i / length, i % length);
            ((channel * 31 + place * 17) % 101) as f32 / 50.0 - 1.0
        };
        Self {
            // Japanese vowels and consonants lie between these symbols.
            tokens: row(|i| [8, 57, 40, 82, 26, 65, 76, 62][i / 2 % 8]),
            tones: row(|i| 6 + (i as i64 / 4) % 2),
            languages: row(|_| 1),
            true_length: length,
            features: (0..FEATURE_WIDTH * length).map(feature).collect(),
            style_vector: vec![0.05; STYLE_WIDTH],
            speaker: 0,
            length_scale: 1.0,
            sdp_ratio: 0.0,
            noise_scale: 0.0,
            noise_scale_w: 0.0,
            seed: None,
            pace: Pace::Even,
        }
    }
}

/// Named by everything the verdict depends on.
fn place(cache: &Path, runtime: &Runtime, template: &Template, settings: &Settings) -> PathBuf {
    let library = runtime.library();
    let meta = std::fs::metadata(library).ok();
    let key = format!(
        "1 {} {} {:?} {:?} {} {:?}",
        template.digest,
        library.display(),
        meta.as_ref().map(std::fs::Metadata::len),
        meta.and_then(|meta| meta.modified().ok()),
        settings.window,
        (settings.device, settings.optimization),
    );
    let name = hex(&Sha256::digest(key.as_bytes())[..16]);
    cache.join(format!("{name}.json"))
}

fn read(place: &Path) -> Option<Verdict> {
    serde_json::from_slice(&crate::files::read(place, 64 << 10).ok()?).ok()
}

/// Best effort: without it the trial is made again at the next start.
fn write(place: &Path, verdict: &Verdict) {
    if let Ok(json) = serde_json::to_vec(verdict) {
        let _ = crate::whole::keep(place, &json, KEPT_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        first: &[f32],
        other: &[f32],
        again: &[f32],
        fresh: &[f32],
        other_fresh: &[f32],
    ) -> bool {
        let verdict = judge(first, other, again, fresh, other_fresh);
        matches!(verdict, Verdict::Swappable { .. })
    }

    #[test]
    fn only_two_voices_that_both_sound_right_pass() {
        let (a, b) = ([0.1, 0.2], [0.3, 0.4, 0.5]);
        assert!(check(&a, &b, &a, &a, &b));
        assert!(check(&a, &b, &a, &[0.100_01, 0.2], &b), "noise is allowed");
        assert!(!check(&a, &b, &[0.1, 0.3], &a, &b), "does not come back");
        assert!(!check(&a, &a, &a, &a, &a), "nothing changed at all");
        assert!(!check(&a, &b, &a, &a, &[0.3, 0.4]), "another length");
        assert!(!check(&a, &b, &a, &a, &[0.3, 0.4, 0.6]), "a stale weight");
        assert!(!check(&a, &[f32::NAN], &a, &a, &[f32::NAN]), "no number");
    }
}
