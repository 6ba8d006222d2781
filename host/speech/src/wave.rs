//! Samples: silence, loudness, and the bytes of an answer.

/// Zeros for this long.
pub fn silence(seconds: f64, sampling_rate: u32) -> Vec<f32> {
    let samples = (seconds * f64::from(sampling_rate)).max(0.0);
    vec![0.0; samples as usize]
}

/// Makes the loudest sample full scale, as Style-Bert-VITS2 does with a whole
/// answer. Silence stays silence.
pub fn normalize_peak(samples: &mut [f32]) {
    let peak = samples
        .iter()
        .map(|sample| sample.abs())
        .fold(0.0, f32::max);
    if peak > 0.0 {
        for sample in samples {
            *sample /= peak;
        }
    }
}

/// Signed 16-bit little-endian samples; what is beyond full scale is clipped.
pub fn pcm_s16(samples: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(samples.len() * 2);
    append_s16(samples, &mut bytes);
    bytes
}

/// A whole WAV file: RIFF, PCM, mono, 16 bit.
pub fn wav_s16(samples: &[f32], sampling_rate: u32) -> Vec<u8> {
    const HEADER: u32 = 44;
    const BYTES: u16 = 2;
    let data = u32::try_from(samples.len() * usize::from(BYTES)).unwrap_or(u32::MAX - HEADER);
    let mut bytes = Vec::with_capacity(HEADER as usize + data as usize);
    bytes.extend(b"RIFF");
    bytes.extend((HEADER - 8 + data).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16u32.to_le_bytes());
    bytes.extend(1u16.to_le_bytes()); // PCM
    bytes.extend(1u16.to_le_bytes()); // mono
    bytes.extend(sampling_rate.to_le_bytes());
    bytes.extend((sampling_rate * u32::from(BYTES)).to_le_bytes());
    bytes.extend(BYTES.to_le_bytes());
    bytes.extend((BYTES * 8).to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(data.to_le_bytes());
    append_s16(samples, &mut bytes);
    bytes
}

fn append_s16(samples: &[f32], bytes: &mut Vec<u8>) {
    for sample in samples {
        // Truncated, not rounded, as Style-Bert-VITS2 converts.
        let value = (sample * 32_767.0).clamp(-32_767.0, 32_767.0) as i16;
        bytes.extend(value.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loudest_sample_becomes_full_scale() {
        let mut samples = [0.1, -0.5, 0.25];
        normalize_peak(&mut samples);
        assert_eq!(
            pcm_s16(&samples),
            [6553i16, -32_767, 16_383].map(i16::to_le_bytes).concat()
        );
        let mut silent = [0.0; 3];
        normalize_peak(&mut silent);
        assert_eq!(silent, [0.0; 3]);
    }

    #[test]
    fn a_wav_header_counts_its_bytes() {
        let wav = wav_s16(&[0.0, 1.0], 44_100);
        assert_eq!(wav.len(), 48);
        assert_eq!(wav[4..8], 40u32.to_le_bytes());
        assert_eq!(wav[24..28], 44_100u32.to_le_bytes());
        assert_eq!(wav[28..32], 88_200u32.to_le_bytes());
        assert_eq!(wav[40..44], 4u32.to_le_bytes());
    }

    #[test]
    fn silence_lasts_as_long_as_it_should() {
        assert_eq!(silence(0.5, 44_100).len(), 22_050);
        assert_eq!(silence(-1.0, 44_100).len(), 0);
    }
}
