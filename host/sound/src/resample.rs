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
///
/// A filter costs by its period, and that of odd rates would be as long as the
/// rates themselves. Theirs is the nearest short one: some 30 millionths
/// higher or lower, which nobody hears, and as long as it should be.
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
    /// Of what was heard, with the silence that ends it.
    filtered: u64,
    written: u64,
}

/// Input samples of a block, about. The filter is as long: a longer block
/// reaches higher before it falls, and answers later.
const BLOCK: usize = 1_024;

impl Resampler {
    /// Both rates are in Hz. One that no sound has is an error.
    pub fn new(from: u32, to: u32) -> Result<Self, SoundError> {
        format::check_rate(from)?;
        format::check_rate(to)?;
        let filter = (from != to).then(|| Filter::new(from, to));
        Ok(Self { filter })
    }

    /// Appends what is ready; up to a block and a half stays behind.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        match &mut self.filter {
            None => out.extend(samples.iter().copied().map(finite)),
            Some(filter) => filter.push(samples, out),
        }
    }

    /// Appends the rest. In all it is as long as what went in.
    pub fn finish(mut self, out: &mut Vec<f32>) {
        self.end(out);
    }

    /// The same, and what comes next is another sound: a filter costs more to
    /// make than to use.
    pub fn end(&mut self, out: &mut Vec<f32>) {
        if let Some(filter) = &mut self.filter {
            filter.finish(out);
            filter.reset();
        }
    }
}

impl Filter {
    fn new(from: u32, to: u32) -> Self {
        // Whole periods of both rates, and an even number of them: half a
        // block is the delay, and it must be whole.
        let (down, up) = ratio(from, to);
        let period = down as usize;
        let block = BLOCK.min(BLOCK * down as usize / up as usize).max(2);
        let periods = block.div_ceil(period).next_multiple_of(2);
        let fft = Fft::new_custom(
            down as usize,
            up as usize,
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
            filtered: 0,
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

    fn finish(&mut self, out: &mut Vec<f32>) {
        let wanted = (self.heard * self.to + self.from / 2) / self.from;
        while self.written < wanted {
            self.waiting.resize(self.fft.input_frames_max(), 0.0);
            self.write(out);
        }
        let beyond = (self.written - wanted) as usize;
        out.truncate(out.len() - beyond);
    }

    fn reset(&mut self) {
        self.fft.reset();
        self.waiting.clear();
        self.delay = self.fft.output_delay();
        (self.heard, self.filtered, self.written) = (0, 0, 0);
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
        let size = self.waiting.len();
        self.waiting.clear();
        let dropped = self.delay.min(frames);
        self.delay -= dropped;
        self.filtered += size as u64;
        // A period that is a little too fast must not run away.
        let room = self.filtered * self.to / self.from - self.written;
        let written = (frames - dropped).min(usize::try_from(room).unwrap_or(usize::MAX));
        out.extend(&self.block[dropped..dropped + written]);
        self.written += written as u64;
    }
}

/// Samples of the longest period. Rates that people use have 640 at most.
const PERIOD_MAX: u64 = 8_192;

/// Both rates in lowest terms, or the nearest ratio of short periods.
fn ratio(from: u32, to: u32) -> (u32, u32) {
    let (mut rest, mut by) = (u64::from(from), u64::from(to));
    let wanted = f64::from(from) / f64::from(to);
    let off = |(down, up): (u64, u64)| (down as f64 / up as f64 - wanted).abs();
    // The convergents of a continued fraction, the one before and the last.
    let (mut before, mut last) = ((0, 1), (1, 0));
    while by > 0 {
        let (whole, left) = (rest / by, rest % by);
        let step = |times: u64| (before.0 + times * last.0, before.1 + times * last.1);
        let fits = |(down, up): (u64, u64)| down <= PERIOD_MAX && up <= PERIOD_MAX;
        if !fits(step(whole)) {
            // The largest step that fits may be nearer than none.
            let most = (0..=whole.min(PERIOD_MAX)).rev().find(|it| fits(step(*it)));
            let part = most.map(step).filter(|(down, up)| *down > 0 && *up > 0);
            let usable = last.0 > 0 && last.1 > 0;
            if let Some(part) = part
                && (!usable || off(part) < off(last))
            {
                last = part;
            }
            break;
        }
        (before, last) = (last, step(whole));
        (rest, by) = (by, left);
    }
    let short = |samples: u64| u32::try_from(samples).unwrap_or(1).max(1);
    (short(last.0), short(last.1))
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
    fn odd_rates_have_short_periods_near_their_own() {
        assert_eq!(ratio(44_100, 48_000), (147, 160));
        assert_eq!(ratio(44_100, 192_000), (147, 640));
        assert_eq!(ratio(191_993, 192_000), (1, 1));
        for from in (1_000..192_000).step_by(997) {
            for to in [
                1_000, 8_001, 22_050, 44_099, 44_101, 47_993, 191_999, 192_000,
            ] {
                let (down, up) = ratio(from, to);
                assert!(u64::from(down.max(up)) <= PERIOD_MAX, "{from} {to}");
                let off = f64::from(down) / f64::from(up) * f64::from(to) / f64::from(from) - 1.0;
                let worst = 30e-6 * (f64::from(from.max(to)) / f64::from(from.min(to)));
                assert!(
                    off.abs() < worst,
                    "{from} {to}: {down}/{up} is off by {off}"
                );
            }
        }
    }

    #[test]
    fn odd_rates_keep_the_length_and_what_is_heard() {
        for (from, to) in [(44_099, 44_100), (44_100, 44_099), (47_993, 44_101)] {
            let seconds = 30;
            let samples = sine(440.0, from, from as usize * seconds);
            let cut = samples.chunks(10_007).collect::<Vec<_>>();
            let heard = resample(&cut, from, to);
            assert_eq!(heard.len(), to as usize * seconds);
            assert_eq!(heard, resample(&[&samples], from, to), "however it is cut");
            let loud = middle(&heard)
                .iter()
                .fold(0.0, |most: f32, it| most.max(it.abs()));
            assert!((0.99..1.01).contains(&loud), "{loud}");
        }
    }

    #[test]
    fn a_filter_may_be_used_again() {
        let samples = sine(440.0, 44_100, 5_000);
        let mut resampler = Resampler::new(44_100, 48_000).expect("a rate");
        let mut again = || {
            let mut out = Vec::new();
            resampler.push(&samples, &mut out);
            resampler.end(&mut out);
            out
        };
        assert_eq!(again(), again());
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
