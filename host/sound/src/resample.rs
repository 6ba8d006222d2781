//! Another sampling rate for the same sound.
//!
//! Comes out as long as it went in and at the same moments: the filter's delay
//! is cut off at the start and fetched at the end.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};

use crate::error::SoundError;
use crate::format;
use crate::samples::finite;

/// What comes out follows what went in by a block and a half at most: 40 ms at
/// the usual rates.
pub struct Resampler {
    /// None where the rates are the same.
    filter: Option<Filter>,
}

struct Filter {
    fft: Fft<f32>,
    from: u64,
    to: u64,
    /// Input that waits for a block to fill.
    waiting: Vec<f32>,
    block: Vec<f32>,
    /// Output still to be dropped at the start.
    delay: usize,
    heard: u64,
    written: u64,
}

/// Input samples of a block, about. The filter is as long: a longer block
/// reaches higher before it falls, and answers later.
const BLOCK: usize = 1_024;

impl Resampler {
    pub fn new(from: u32, to: u32) -> Result<Self, SoundError> {
        format::check_rate(from)?;
        format::check_rate(to)?;
        let filter = (from != to).then(|| Filter::new(from, to));
        Ok(Self { filter })
    }

    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        match &mut self.filter {
            None => out.extend(samples.iter().copied().map(finite)),
            Some(filter) => filter.push(samples, out),
        }
    }

    pub fn finish(self, out: &mut Vec<f32>) {
        if let Some(filter) = self.filter {
            filter.finish(out);
        }
    }
}

impl Filter {
    fn new(from: u32, to: u32) -> Self {
        // Whole periods of both rates, and an even number of them: half a
        // block is the delay, and it must be whole.
        let period = (from / gcd(from, to)) as usize;
        let block = BLOCK.min(BLOCK * from as usize / to as usize).max(2);
        let periods = block.div_ceil(period).next_multiple_of(2);
        let fft = Fft::new_custom(
            from as usize,
            to as usize,
            period * periods,
            1,
            1,
            WindowFunction::BlackmanHarris2,
            FixedSync::Both,
        )
        .expect("rates and block are above 0");
        Self {
            delay: fft.output_delay(),
            waiting: Vec::with_capacity(fft.input_frames_max()),
            block: vec![0.0; fft.output_frames_max()],
            fft,
            from: from.into(),
            to: to.into(),
            heard: 0,
            written: 0,
        }
    }

    fn push(&mut self, mut samples: &[f32], out: &mut Vec<f32>) {
        self.heard += samples.len() as u64;
        let size = self.fft.input_frames_max();
        while !samples.is_empty() {
            let (now, later) = samples.split_at(samples.len().min(size - self.waiting.len()));
            samples = later;
            self.waiting.extend(now.iter().copied().map(finite));
            if self.waiting.len() == size {
                self.write(out);
            }
        }
    }

    fn finish(mut self, out: &mut Vec<f32>) {
        let wanted = (self.heard * self.to + self.from / 2) / self.from;
        while self.written < wanted {
            self.waiting.resize(self.fft.input_frames_max(), 0.0);
            self.write(out);
        }
        let beyond = (self.written - wanted) as usize;
        out.truncate(out.len() - beyond);
    }

    /// One block of all that waits.
    fn write(&mut self, out: &mut Vec<f32>) {
        const FITS: &str = "the buffers have the sizes that the filter names";
        let input = InterleavedSlice::new(&self.waiting, 1, self.waiting.len()).expect(FITS);
        let frames = self.block.len();
        let mut output = InterleavedSlice::new_mut(&mut self.block, 1, frames).expect(FITS);
        self.fft
            .process_into_buffer(&input, &mut output, None)
            .expect(FITS);
        self.waiting.clear();
        let dropped = self.delay.min(frames);
        self.delay -= dropped;
        out.extend(&self.block[dropped..]);
        self.written += (frames - dropped) as u64;
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resample(chunks: &[&[f32]], from: u32, to: u32) -> Vec<f32> {
        let mut resampler = Resampler::new(from, to).expect("a rate");
        let mut out = Vec::new();
        for chunk in chunks {
            resampler.push(chunk, &mut out);
        }
        resampler.finish(&mut out);
        out
    }

    fn sine(hertz: f64, rate: u32, samples: usize) -> Vec<f32> {
        let step = std::f64::consts::TAU * hertz / f64::from(rate);
        (0..samples)
            .map(|index| (step * index as f64).sin() as f32)
            .collect()
    }

    fn decibels(of: &[f32], against: f64) -> f64 {
        let power = of.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / of.len() as f64;
        10.0 * (power.max(1e-30) / against).log10()
    }

    /// Far enough from both ends that they do not ring in it.
    fn middle(samples: &[f32]) -> &[f32] {
        &samples[samples.len() / 4..samples.len() * 3 / 4]
    }

    const RATES: [(u32, u32); 8] = [
        (44_100, 24_000),
        (44_100, 48_000),
        (44_100, 22_050),
        (44_100, 16_000),
        (44_100, 8_000),
        (48_000, 44_100),
        (24_000, 48_000),
        (16_000, 44_100),
    ];

    #[test]
    fn what_fits_comes_through_at_the_same_moment() {
        for (from, to) in RATES {
            let narrow = f64::from(from.min(to)) / 2.0;
            for part in [0.01, 0.1, 0.5, 0.85] {
                let hertz = narrow * part;
                let heard = resample(&[&sine(hertz, from, from as usize)], from, to);
                let wanted = sine(hertz, to, to as usize);
                assert_eq!(heard.len(), wanted.len());
                let difference: Vec<_> = heard.iter().zip(&wanted).map(|(a, b)| a - b).collect();
                let error = decibels(middle(&difference), 0.5);
                assert!(error < -80.0, "{from} to {to}, {hertz} Hz: {error} dB");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_gone() {
        for (from, to) in RATES.into_iter().filter(|(from, to)| from > to) {
            for part in [1.001, 1.05, 1.2, 1.5, 1.8] {
                let hertz = f64::from(to) / 2.0 * part;
                if hertz > f64::from(from) / 2.0 {
                    continue;
                }
                let heard = resample(&[&sine(hertz, from, from as usize)], from, to);
                let left = decibels(middle(&heard), 0.5);
                assert!(left < -80.0, "{from} to {to}, {hertz} Hz: {left} dB");
            }
        }
    }

    #[test]
    fn the_same_rate_changes_nothing() {
        let samples = sine(440.0, 44_100, 1_000);
        assert_eq!(resample(&[&samples], 44_100, 44_100), samples);
    }

    #[test]
    fn rates_nobody_means_are_refused() {
        assert!(Resampler::new(0, 44_100).is_err());
        assert!(Resampler::new(44_100, u32::MAX).is_err());
        assert_eq!(resample(&[&[0.5; 10]], 191_999, 1_000).len(), 0);
        assert_eq!(resample(&[&[0.5; 10]], 1_000, 191_999).len(), 1_920);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_cut_changes_nothing(
            samples in prop::collection::vec(-1.0f32..1.0, 0..4_000),
            cut in 0.0f64..=1.0,
            rates in prop::sample::select(RATES.to_vec()),
        ) {
            let (from, to) = rates;
            let whole = resample(&[&samples], from, to);
            let (left, right) = samples.split_at((samples.len() as f64 * cut) as usize);
            prop_assert_eq!(&whole, &resample(&[left, right], from, to));
            let twice = 2 * samples.len() * to as usize / from as usize;
            prop_assert_eq!(whole.len(), twice.div_ceil(2));
        }
    }
}
