//! Samples as they are: silence, loudness, ends.

/// Zeros for this long.
pub fn silence(seconds: f64, rate: u32) -> Vec<f32> {
    let samples = (seconds * f64::from(rate)).max(0.0);
    vec![0.0; samples as usize]
}

/// Makes the loudest sample full scale, as Style-Bert-VITS2 does with a whole
/// answer. Silence stays silence.
pub fn normalize_peak(samples: &mut [f32]) {
    let peak = peak(&*samples);
    normalize_to(samples, peak);
}

/// The loudest of samples that may come in pieces.
pub fn peak<'s>(samples: impl IntoIterator<Item = &'s f32>) -> f32 {
    let loud = samples.into_iter().map(|sample| finite(*sample).abs());
    loud.fold(0.0, f32::max)
}

/// Makes this peak full scale.
pub fn normalize_to(samples: &mut [f32], peak: f32) {
    if peak > 0.0 {
        for sample in samples {
            *sample = finite(*sample) / peak;
        }
    }
}

/// The middle of the quietest stretch of `width` samples: where sound may be
/// cut.
pub fn quietest(samples: &[f32], width: usize) -> usize {
    let power = |sample: f32| f64::from(finite(sample)).powi(2);
    let width = width.clamp(1, samples.len().max(1));
    let mut sum = samples.iter().take(width).map(|it| power(*it)).sum::<f64>();
    let (mut least, mut start) = (sum, 0);
    for (place, (gone, come)) in samples.iter().zip(samples.iter().skip(width)).enumerate() {
        sum += power(*come) - power(*gone);
        if sum < least {
            (least, start) = (sum, place + 1);
        }
    }
    start + width / 2
}

/// Without the samples at both ends that are no louder than the threshold.
pub fn trim(samples: &[f32], threshold: f32) -> &[f32] {
    let loud = |sample: &f32| sample.abs() > threshold;
    match (
        samples.iter().position(loud),
        samples.iter().rposition(loud),
    ) {
        (Some(first), Some(last)) => &samples[first..=last],
        _ => &[],
    }
}

/// What is not a number is silent.
pub(crate) fn finite(sample: f32) -> f32 {
    if sample.is_finite() { sample } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loudest_sample_becomes_full_scale() {
        let mut samples = [0.1, -0.5, 0.25];
        normalize_peak(&mut samples);
        assert_eq!(samples, [0.2, -1.0, 0.5]);
        let mut silent = [0.0; 3];
        normalize_peak(&mut silent);
        assert_eq!(silent, [0.0; 3]);
    }

    #[test]
    fn what_is_not_a_number_makes_nothing_loud() {
        let mut samples = [f32::NAN, 0.5, f32::INFINITY];
        normalize_peak(&mut samples);
        assert_eq!(samples, [0.0, 1.0, 0.0]);
    }

    #[test]
    fn silence_lasts_as_long_as_it_should() {
        assert_eq!(silence(0.5, 44_100).len(), 22_050);
        assert_eq!(silence(-1.0, 44_100).len(), 0);
        assert_eq!(silence(f64::NAN, 44_100).len(), 0);
    }

    #[test]
    fn the_quietest_stretch_is_found() {
        assert_eq!(quietest(&[1.0, 1.0, 0.5, 0.1, 0.2, 1.0], 2), 4);
        assert_eq!(quietest(&[0.0; 8], 2), 1);
        assert_eq!(quietest(&[], 2), 0);
    }

    #[test]
    fn only_the_ends_are_trimmed() {
        let samples = [0.0, 0.01, -0.5, 0.0, 0.5, -0.01];
        assert_eq!(trim(&samples, 0.01), [-0.5, 0.0, 0.5]);
        assert_eq!(trim(&samples, 1.0), [0.0; 0]);
        assert_eq!(trim(&[], 0.0), [0.0; 0]);
    }
}
