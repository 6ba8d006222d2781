//! What a sentence sounds like, in few numbers: band levels and pitch for each
//! 50 ms. Independent of loudness, nearly so of rounding; `reference.py` of the
//! demo voice's recipe computes the same.

use std::f64::consts::TAU;
use std::ops::Range;

const RATE: f64 = 44_100.0;
const HOP: usize = 2_205;
const WINDOW: usize = 1_024;
const EDGES: [f64; 8] = [100., 400., 800., 1_500., 2_500., 4_000., 6_000., 8_000.];
const FLOOR: f64 = -60.0;
const DECIMATION: usize = 4;
const STRETCH: usize = 384;
const LAGS: Range<usize> = 16..157;
const PERIODIC: f64 = 0.75;
const LOUD: f64 = -30.0;

pub(crate) struct Sound {
    pub(crate) samples: usize,
    /// dB below the loudest frame.
    pub(crate) bands: Vec<[f64; 7]>,
    /// Hz; 0 where there is none.
    pub(crate) pitch: Vec<f64>,
}

impl Sound {
    pub(crate) fn of(samples: &[i16]) -> Self {
        let samples: Vec<f64> = samples.iter().map(|s| f64::from(*s) / 32_768.0).collect();
        let bands = bands(&samples);
        let pitch = pitch(&samples, &bands);
        Self {
            samples: samples.len(),
            bands,
            pitch,
        }
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.samples as f64 / RATE
    }

    /// What differs from `other`, measured over their common length.
    pub(crate) fn differences(&self, other: &Self) -> Differences {
        let both = || self.pitch.iter().zip(&other.pitch);
        let voiced = both().filter(|(a, b)| **a > 0.0 && **b > 0.0);
        let mut cents: Vec<f64> = voiced
            .map(|(a, b)| 1_200.0 * (a / b).log2().abs())
            .collect();
        cents.sort_by(f64::total_cmp);
        let levels = self.bands.iter().zip(&other.bands);
        let decibels = levels.flat_map(|(a, b)| a.iter().zip(b).map(|(a, b)| (a - b).abs()));
        let flips = both().filter(|(a, b)| (**a > 0.0) != (**b > 0.0)).count();
        Differences {
            seconds: (self.seconds() - other.seconds()).abs(),
            decibels: mean(decibels),
            cents: cents.get(cents.len() / 2).copied().unwrap_or(0.0),
            voicing: flips as f64 / self.pitch.len().max(1) as f64,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Differences {
    pub(crate) seconds: f64,
    /// Mean over bands and frames.
    pub(crate) decibels: f64,
    /// Median of the frames that are voiced in both; 0 if there are none.
    pub(crate) cents: f64,
    /// Share of the frames that are voiced in one only.
    pub(crate) voicing: f64,
}

/// Above what rounding to 16 bits and another device make, far below what a
/// wrong phone, accent, speaker or style does.
impl Differences {
    pub(crate) fn small(&self) -> bool {
        self.seconds < 0.03 && self.decibels < 1.5 && self.cents < 25.0 && self.voicing < 0.06
    }
}

fn bands(samples: &[f64]) -> Vec<[f64; 7]> {
    let window: Vec<f64> = (0..WINDOW)
        .map(|n| 0.5 - 0.5 * (TAU * n as f64 / WINDOW as f64).cos())
        .collect();
    let circle: Vec<(f64, f64)> = (0..WINDOW)
        .map(|n| (TAU * n as f64 / WINDOW as f64).sin_cos())
        .collect();
    let power = |cut: &[f64], bin: usize| {
        let mut sum = (0.0, 0.0);
        for (n, sample) in cut.iter().enumerate() {
            let (sin, cos) = circle[bin * n % WINDOW];
            sum = (sum.0 + sample * sin, sum.1 + sample * cos);
        }
        sum.0 * sum.0 + sum.1 * sum.1
    };
    let bins = |low: f64, high: f64| {
        let bin = |hertz: f64| (hertz * WINDOW as f64 / RATE).ceil() as usize;
        bin(low)..bin(high)
    };
    let frames: Vec<[f64; 7]> = (HOP / 2..samples.len())
        .step_by(HOP)
        .map(|middle| {
            let mut cut = cut(samples, middle as isize - WINDOW as isize / 2, WINDOW);
            cut.iter_mut().zip(&window).for_each(|(s, w)| *s *= w);
            std::array::from_fn(|band| {
                bins(EDGES[band], EDGES[band + 1])
                    .map(|bin| power(&cut, bin))
                    .sum()
            })
        })
        .collect();
    let totals = frames.iter().map(|frame| frame.iter().sum());
    let loudest = totals.fold(0.0, f64::max);
    let level = |power: f64| (10.0 * (power / loudest + 1e-12).log10()).max(FLOOR);
    frames.iter().map(|frame| frame.map(level)).collect()
}

fn pitch(samples: &[f64], bands: &[[f64; 7]]) -> Vec<f64> {
    let slow: Vec<f64> = samples
        .chunks_exact(DECIMATION)
        .map(|four| four.iter().sum::<f64>() / DECIMATION as f64)
        .collect();
    let middles = (HOP / 2..samples.len()).step_by(HOP);
    let pitch = |(middle, bands): (usize, &[f64; 7])| {
        let level = 10.0
            * bands
                .iter()
                .map(|b| 10f64.powf(b / 10.0))
                .sum::<f64>()
                .log10();
        let start = (middle / DECIMATION) as isize - ((STRETCH + LAGS.end) / 2) as isize;
        let here = cut(&slow, start, STRETCH + LAGS.end + 1);
        if level > LOUD { period(&here) } else { None }
            .map_or(0.0, |lag| RATE / DECIMATION as f64 / lag)
    };
    middles.zip(bands).map(pitch).collect()
}

/// The shortest lag whose autocorrelation is nearly the best: twice the period
/// is a period too.
fn period(here: &[f64]) -> Option<f64> {
    let energy = |cut: &[f64]| cut.iter().map(|s| s * s).sum::<f64>();
    let first = &here[..STRETCH];
    let score: Vec<f64> = LAGS
        .map(|lag| {
            let later = &here[lag..lag + STRETCH];
            let product: f64 = first.iter().zip(later).map(|(a, b)| a * b).sum();
            product / (energy(first) * energy(later) + 1e-12).sqrt()
        })
        .collect();
    let best = score.iter().copied().fold(0.0, f64::max);
    let peak = score
        .windows(3)
        .position(|three| three[1] > 0.9 * best && three[1] >= three[0] && three[1] >= three[2])?;
    let [a, b, c] = [score[peak], score[peak + 1], score[peak + 2]];
    let curve = a - 2.0 * b + c;
    let shift = if curve == 0.0 {
        0.0
    } else {
        0.5 * (a - c) / curve
    };
    (best >= PERIODIC).then_some((LAGS.start + peak + 1) as f64 + shift)
}

/// With silence where there are no samples.
fn cut(samples: &[f64], start: isize, length: usize) -> Vec<f64> {
    let at = |n: isize| usize::try_from(n).ok().and_then(|n| samples.get(n));
    (start..start + length as isize)
        .map(|n| at(n).copied().unwrap_or(0.0))
        .collect()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = values.fold((0usize, 0.0), |(n, sum), v| (n + 1, sum + v));
    sum / count.max(1) as f64
}
