//! Melody, measured with a tracker of our own.

use proptest::prelude::*;
use sound::prosody::{self, Change};

const RATE: u32 = 24_000;

/// A vowel: the harmonics of a gliding voice through three resonances.
fn vowel(seconds: f64, hertz: impl Fn(f64) -> f64) -> Vec<f32> {
    const FORMANTS: [(f64, f64); 3] = [(700.0, 90.0), (1_200.0, 110.0), (2_600.0, 160.0)];
    let mut phase = 0.0f64;
    (0..(seconds * f64::from(RATE)) as usize)
        .map(|index| {
            let f0 = hertz(index as f64 / f64::from(RATE));
            phase += f0 / f64::from(RATE);
            let harmonics = (1..).take_while(|harmonic| f64::from(*harmonic) * f0 < 5_000.0);
            let sum: f64 = harmonics
                .map(|harmonic| {
                    let at = f64::from(harmonic) * f0;
                    let gain: f64 = FORMANTS
                        .iter()
                        .map(|(centre, width)| 1.0 / (1.0 + ((at - centre) / width).powi(2)))
                        .sum();
                    (gain + 0.02) * (std::f64::consts::TAU * phase * f64::from(harmonic)).sin()
                })
                .sum();
            (sum * 0.1) as f32
        })
        .collect()
}

/// Hertz every 80 ms, by the highest autocorrelation.
fn track(samples: &[f32]) -> Vec<f64> {
    const WINDOW: usize = 1_200;
    let correlation = |window: &[f32], lag: usize| -> f64 {
        let (early, late) = (&window[..WINDOW], &window[lag..lag + WINDOW]);
        let dot =
            |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum() };
        dot(early, late) / (dot(early, early) * dot(late, late)).sqrt()
    };
    samples
        .windows(WINDOW + 300)
        .step_by(1_920)
        .map(|window| {
            let values: Vec<_> = (0..300).map(|lag| correlation(window, lag)).collect();
            let best = values[50..].iter().copied().fold(0.0, f64::max);
            // The first summit about as high as any: later ones are multiples.
            let lag = (51..299)
                .find(|lag| {
                    values[*lag] > best - 0.03
                        && values[*lag] >= values[lag - 1]
                        && values[*lag] >= values[lag + 1]
                })
                .unwrap_or(299);
            let (left, here, right) = (values[lag - 1], values[lag], values[(lag + 1).min(299)]);
            let between = (left - right) / (2.0 * (left - 2.0 * here + right));
            f64::from(RATE) / (lag as f64 + between)
        })
        .collect()
}

fn mean_and_deviation(contour: &[f64]) -> (f64, f64) {
    // The ends ring.
    let inner = &contour[2..contour.len() - 2];
    let mean = inner.iter().sum::<f64>() / inner.len() as f64;
    let square: f64 = inner.iter().map(|hertz| (hertz - mean).powi(2)).sum();
    (mean, (square / inner.len() as f64).sqrt())
}

fn changed(samples: &[f32], pitch: f32, intonation: f32) -> Vec<f32> {
    prosody::change(samples, RATE, Change { pitch, intonation }).expect("a change")
}

#[test]
fn the_voice_moves_as_far_as_it_was_told() {
    // Longer than one piece, so that a seam within the voice is heard too.
    let samples = vowel(6.0, |time| 180.0 + 25.0 * (time * 5.0).sin());
    let (mean, deviation) = mean_and_deviation(&track(&samples));
    assert!((mean - 180.0).abs() < 2.0, "the tracker works: {mean}");
    for (pitch, intonation) in [(1.3, 1.0), (0.8, 1.0), (1.0, 0.0), (1.0, 1.6), (1.2, 0.5)] {
        let out = changed(&samples, pitch, intonation);
        assert_eq!(out.len(), samples.len());
        let (new_mean, new_deviation) = mean_and_deviation(&track(&out));
        let reached = new_mean / mean / f64::from(pitch);
        assert!((reached - 1.0).abs() < 0.01, "{pitch}: {reached}");
        let wanted = deviation * f64::from(intonation);
        assert!(
            (new_deviation - wanted).abs() < 2.0,
            "{pitch}, {intonation}: {new_deviation} Hz for {wanted}"
        );
    }
}

#[test]
fn the_vowel_stays_the_same_vowel() {
    let samples = vowel(1.0, |_| 150.0);
    let out = changed(&samples, 1.3, 1.0);
    // By the harmonics of each that come nearest to the formants and between.
    let level = |of: &[f32], hertz: f64| -> f64 {
        let step = std::f64::consts::TAU * hertz / f64::from(RATE);
        let (mut re, mut im) = (0.0, 0.0);
        for (index, sample) in of[6_000..18_000].iter().enumerate() {
            re += f64::from(*sample) * (step * index as f64).cos();
            im += f64::from(*sample) * (step * index as f64).sin();
        }
        10.0 * (re * re + im * im).log10()
    };
    for (low, high) in [(750.0, 780.0), (1_200.0, 1_170.0), (2_550.0, 2_535.0)] {
        let valley = 1_950.0;
        let before = level(&samples, low) - level(&samples, valley);
        let after = level(&out, high) - level(&out, valley);
        assert!(
            (before - after).abs() < 5.0,
            "{low}: {before} and {after} dB"
        );
    }
}

#[test]
fn it_stays_as_loud() {
    let samples = vowel(1.0, |_| 150.0);
    let power = |of: &[f32]| of.iter().map(|x| x * x).sum::<f32>();
    let ratio = power(&changed(&samples, 1.5, 1.0)) / power(&samples);
    assert!((ratio - 1.0).abs() < 0.01, "{ratio}");
}

#[test]
fn no_change_changes_no_bit() {
    let samples = vowel(0.5, |_| 150.0);
    assert_eq!(changed(&samples, 1.0, 1.0), samples);
}

#[test]
fn what_has_no_voice_is_left_alone() {
    for samples in [vec![], vec![0.5], vec![0.1; 100], vec![0.0; 24_000]] {
        assert_eq!(changed(&samples, 1.5, 1.0), samples);
    }
}

#[test]
fn changes_nobody_means_are_refused() {
    for (pitch, intonation) in [(0.0, 1.0), (f32::NAN, 1.0), (1.0, -1.0), (100.0, 1.0)] {
        let change = Change { pitch, intonation };
        assert!(prosody::change(&[0.0; 9], RATE, change).is_err());
    }
    let change = Change {
        pitch: 1.5,
        intonation: 1.0,
    };
    assert!(prosody::change(&[0.0; 9], 100, change).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_sound_panics(
        samples in prop::collection::vec(prop_oneof![
            20 => -1.0f32..1.0,
            1 => Just(f32::NAN),
            1 => Just(f32::INFINITY),
            1 => Just(1e30f32),
        ], 0..8_000),
        hertz in 20.0f32..2_000.0,
        noise in 0.0f32..1.0,
        rate in prop::sample::select(vec![8_000u32, 11_025, 16_000, 22_050, 44_100, 96_000]),
        pitch in 0.25f32..=4.0,
        intonation in 0.0f32..=4.0,
    ) {
        let voice = |index: usize| (index as f32 * hertz / rate as f32 * std::f32::consts::TAU).sin();
        let mixed: Vec<f32> = samples
            .iter()
            .enumerate()
            .map(|(index, sample)| sample * noise + voice(index))
            .collect();
        let out = prosody::change(&mixed, rate, Change { pitch, intonation });
        let out = out.expect("a change");
        prop_assert_eq!(out.len(), mixed.len());
    }
}
