//! Loudness of an answer that begins before its end is known.
//!
//! A whole answer is made as loud as its loudest sample allows. A stream has
//! not heard that sample yet, so it begins no louder than twice as loud and
//! becomes quieter, never louder, when something louder comes. Never clips and
//! never pumps.

use std::collections::VecDeque;

use crate::samples::finite;

/// The loudness mode "running".
pub struct Leveller {
    /// The loudest sample heard, or what is assumed at the start.
    peak: f32,
    /// Held back until what comes after them is heard.
    waiting: VecDeque<f32>,
    /// The gains that each held sample and what comes after it would allow.
    allowed: VecDeque<f64>,
    /// Of `allowed`.
    sum: f64,
    ahead: usize,
}

/// Speech hardly stays below; quieter beginnings than this are meant.
const EXPECTED_PEAK: f32 = 0.5;

const AHEAD_MS: u64 = 5;

impl Leveller {
    /// The look ahead is 5 ms at this rate, in Hz.
    pub fn new(rate: u32) -> Self {
        let ahead = (u64::from(rate) * AHEAD_MS / 1_000) as usize;
        Self {
            peak: EXPECTED_PEAK,
            waiting: VecDeque::new(),
            allowed: VecDeque::new(),
            sum: 0.0,
            ahead,
        }
    }

    /// Appends what is ready; the last 5 ms stay behind until more comes.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        out.reserve(samples.len());
        for sample in samples {
            self.hear(finite(*sample), out);
        }
    }

    /// Appends what was held back. In all as many samples come out as went in.
    pub fn finish(mut self, out: &mut Vec<f32>) {
        // Silence after the end lets out what is held and changes no gain.
        for _ in 0..self.ahead {
            self.hear(0.0, out);
        }
    }

    /// The gain of a sample is the mean of what it and all samples of the look
    /// ahead allow. None of them allows more than the sample itself does, since
    /// what is allowed only sinks; so the mean keeps it within full scale, and
    /// a sudden peak becomes a ramp before it.
    fn hear(&mut self, sample: f32, out: &mut Vec<f32>) {
        self.peak = self.peak.max(sample.abs());
        let allowed = 1.0 / f64::from(self.peak);
        self.waiting.push_back(sample);
        self.allowed.push_back(allowed);
        self.sum += allowed;
        if self.waiting.len() <= self.ahead {
            return;
        }
        let gain = self.sum / self.allowed.len() as f64;
        if let (Some(first), Some(gone)) = (self.waiting.pop_front(), self.allowed.pop_front()) {
            self.sum -= gone;
            // The sum carries rounding errors of the last bits.
            out.push(((f64::from(first) * gain) as f32).clamp(-1.0, 1.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn level(chunks: &[&[f32]], rate: u32) -> Vec<f32> {
        let mut leveller = Leveller::new(rate);
        let mut out = Vec::new();
        for chunk in chunks {
            leveller.push(chunk, &mut out);
        }
        leveller.finish(&mut out);
        out
    }

    #[test]
    fn a_quiet_beginning_is_at_most_doubled() {
        let out = level(&[&[0.1; 500]], 8_000);
        assert!(out.iter().all(|sample| (sample - 0.2).abs() < 1e-6));
    }

    #[test]
    fn a_peak_is_full_scale_and_what_follows_stays_as_quiet() {
        let mut samples = vec![0.25; 1_000];
        samples[500] = 2.0;
        let out = level(&[&samples], 8_000);
        assert!((out[500] - 1.0).abs() < 1e-6);
        assert!((out[459] - 0.5).abs() < 1e-6, "the ramp began early");
        assert!(
            out[501..]
                .iter()
                .all(|sample| (sample - 0.125).abs() < 1e-6)
        );
        // Five milliseconds are 40 samples here, and the ramp is straight.
        let ramp = &out[459..500];
        let step = (0.5 - 0.125) / 41.0;
        for pair in ramp.windows(2) {
            assert!((pair[0] - pair[1] - step).abs() < 1e-4, "{pair:?}");
        }
    }

    fn sample() -> impl Strategy<Value = f32> {
        prop_oneof![
            20 => -1.0f32..1.0,
            2 => -100.0f32..100.0,
            1 => Just(f32::NAN),
            1 => Just(f32::INFINITY),
        ]
    }

    proptest! {
        #[test]
        fn a_cut_changes_nothing(
            samples in prop::collection::vec(sample(), 0..600),
            cut in 0.0f64..=1.0,
        ) {
            let whole = level(&[&samples], 16_000);
            let (left, right) = samples.split_at((samples.len() as f64 * cut) as usize);
            prop_assert_eq!(&whole, &level(&[left, right], 16_000));
            prop_assert_eq!(whole.len(), samples.len());
            prop_assert!(whole.iter().all(|sample| sample.abs() <= 1.0));
        }

        #[test]
        fn the_gain_never_rises(samples in prop::collection::vec(0.01f32..3.0, 1..600)) {
            let out = level(&[&samples], 16_000);
            let gains: Vec<_> = out.iter().zip(&samples).map(|(out, sample)| out / sample).collect();
            for pair in gains.windows(2) {
                prop_assert!(pair[1] <= pair[0] * (1.0 + 1e-5), "{:?}", pair);
            }
        }
    }
}
