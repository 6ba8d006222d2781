//! May this template change its voice by copying bytes? Decided by trying.
//!
//! A session that aliases its weights may still hold something computed from
//! those it was opened with: a packed copy, a folded constant. So two voices
//! are spoken, A, B and A again, each against a fresh ordinary session of the
//! whole graph. The same trial proves the cut at the decoder and its windows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::device::Device;
use crate::error::Error;
use crate::events;
use crate::family::{FEATURE_WIDTH, STYLE_WIDTH};
use crate::finding;
use crate::native::tensors::Block;
use crate::onnx::{Inside, Part, Template};
use crate::placement::Placement;
use crate::runtime::Runtime;
use crate::settings::Settings;
use crate::stop::Stop;
use crate::synthesis::{Dice, Pace, VoiceInput, VoiceSession};
use crate::weights::Weights;

/// How far two runs of the same voice may be apart. A stale weight is heard at
/// 1e-2 and more, and changes the length.
#[derive(Clone, Copy, Debug)]
struct Tolerance {
    /// To a fresh session.
    fresh: f32,
    /// To the same session with the same weights.
    again: f32,
}

impl Tolerance {
    /// Float noise of another order of the same sums is 1e-6 on a processor,
    /// which also repeats itself to the bit. A GPU adds in an order that nobody
    /// fixes, takes other kernels for other fusions, and rounds to ten bits
    /// where it may.
    fn of(settings: &Settings) -> Self {
        match settings.device {
            Device::Cpu => Self {
                fresh: 1e-4,
                again: 0.0,
            },
            Device::Cuda(_) if settings.tf32 => Self {
                fresh: 5e-3,
                again: 1e-4,
            },
            Device::Cuda(_) => Self {
                fresh: 1e-3,
                again: 1e-5,
            },
        }
    }
}

/// Verdicts in the cache.
const KEPT_MAX: usize = 4_096;

/// A graph that has not said forty phonemes by then never will.
const TIME: Duration = Duration::from_secs(120);

/// Whether voices of a template may share slots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Voices of this template speak from slots that all of them share.
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
    let known = |place: &PathBuf| finding::read(place, 64 << 10);
    if let Some(known) = place.as_ref().and_then(known) {
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
    let found = match &verdict {
        Verdict::Swappable { difference } => Ok(*difference),
        Verdict::NotSwappable { why } => Err(why.as_str()),
    };
    events::template_tried(&template.digest, found, start.elapsed());
    if let Some(place) = place {
        finding::keep(&place, &verdict, KEPT_MAX);
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
        let heard = [&first, &other, &again, &fresh, &fresh_other];
        let heard = heard.map(Vec::as_slice);
        Ok(judge(heard, Tolerance::of(self.settings)))
    }

    /// What an ordinary session with these weights says, in memory of its own.
    /// It adds in the order in which the one that is tried does: some graphs
    /// make much of the last bit, such as those that sum up a phase.
    fn fresh(&self, weights: &Weights) -> Result<Vec<f32>, Error> {
        let model = weights.model(self.template, Part::Whole, Inside::Variable)?;
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

fn judge([first, other, again, fresh, fresh_other]: [&[f32]; 5], within: Tolerance) -> Verdict {
    let no = |why: String| Verdict::NotSwappable { why };
    if difference(first, again).is_none_or(|it| it > within.again) {
        return no("after another voice the first one does not come back".to_owned());
    }
    // As unlike as two voices are, not two runs of one.
    let apart = difference(first, other);
    if first == other || apart.is_some_and(|it| it <= within.again.max(within.fresh / 10.0)) {
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
        largest = match difference(said, expected) {
            Some(difference) => largest.max(difference),
            None => return no("a voice speaks what is no number".to_owned()),
        };
    }
    if largest > within.fresh {
        return no(format!(
            "a voice differs from a fresh session by {largest:e}"
        ));
    }
    Verdict::Swappable {
        difference: largest,
    }
}

/// The largest of a sample; none if they are not as long, or no numbers.
fn difference(one: &[f32], two: &[f32]) -> Option<f32> {
    let apart = one.iter().zip(two).map(|(one, two)| (one - two).abs());
    let fits = one.len() == two.len() && apart.clone().all(|it| !it.is_nan());
    fits.then(|| apart.fold(0.0, f32::max))
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
            dice: Dice::Fresh,
            pace: Pace::Even,
        }
    }
}

/// Named by everything the verdict depends on.
fn place(cache: &Path, runtime: &Runtime, template: &Template, settings: &Settings) -> PathBuf {
    let key = format!(
        "4 {} {} {} {:?} {:?}",
        template.kind(),
        crate::files::identity(runtime.library()),
        settings.window,
        (settings.device, settings.optimization, settings.tf32),
        settings.pointwise,
    );
    finding::place(cache, &key)
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
        let heard = [first, other, again, fresh, other_fresh];
        matches!(on(Device::Cpu, heard), Verdict::Swappable { .. })
    }

    fn on(device: Device, heard: [&[f32]; 5]) -> Verdict {
        let settings = Settings {
            device,
            ..Settings::default()
        };
        judge(heard, Tolerance::of(&settings))
    }

    #[test]
    fn a_gpu_may_round_and_reorder_but_not_keep_a_weight() {
        let (a, b) = ([0.1, 0.2], [0.3, 0.4]);
        let near = [0.100_001, 0.2];
        let rounded = [0.100_5, 0.2];
        let stale = [0.11, 0.2];
        let gpu = |heard| matches!(on(Device::Cuda(0), heard), Verdict::Swappable { .. });
        assert!(gpu([&a, &b, &near, &rounded, &b]));
        assert!(!gpu([&a, &b, &rounded, &a, &b]), "it does not come back");
        assert!(!gpu([&a, &b, &a, &stale, &b]), "a stale weight");
        assert!(!gpu([&a, &near, &a, &a, &near]), "nothing changed");
        let processor = |heard| matches!(on(Device::Cpu, heard), Verdict::Swappable { .. });
        assert!(!processor([&a, &b, &near, &a, &b]), "it repeats itself");
        assert!(!processor([&a, &b, &a, &rounded, &b]));
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
