//! Reads a WAV file, whole and in memory. Never allocates by what a header
//! claims, only by the bytes that are there.

use crate::error::SoundError;

/// The samples of a file, between -1 and 1 where they were integers.
#[derive(Clone, Debug, PartialEq)]
pub struct Wav {
    /// Frames per second.
    pub rate: u32,
    /// Samples of one frame; at least 1.
    pub channels: u16,
    /// Interleaved.
    pub samples: Vec<f32>,
}

/// Chunks that are not needed are passed over; a data chunk without a size, as
/// streams have it, lasts until the end.
pub fn read(bytes: &[u8]) -> Result<Wav, SoundError> {
    let mut rest = bytes
        .strip_prefix(b"RIFF")
        .and_then(|rest| rest.split_at_checked(4))
        .and_then(|(_, rest)| rest.strip_prefix(b"WAVE"))
        .ok_or(SoundError::NotWav("it does not begin with RIFF and WAVE"))?;
    let mut description = None;
    while let Some((head, body)) = rest.split_first_chunk::<8>() {
        let [a, b, c, d, size @ ..] = *head;
        let size = u32::from_le_bytes(size) as usize;
        let name = [a, b, c, d];
        if name == *b"data" {
            let description: Description =
                description.ok_or(SoundError::NotWav("its samples come before their format"))?;
            let streamed = size == 0 || size > body.len();
            let data = if streamed { body } else { &body[..size] };
            return description.samples(data);
        }
        let Some((chunk, after)) = body.split_at_checked(size) else {
            break;
        };
        if name == *b"fmt " {
            description = Some(Description::parse(chunk)?);
        }
        // An odd chunk is followed by one byte that nobody counts.
        rest = after.get(size % 2..).unwrap_or_default();
    }
    Err(SoundError::NotWav("it has no samples"))
}

#[derive(Clone, Copy)]
struct Description {
    rate: u32,
    channels: u16,
    encoding: Encoding,
}

#[derive(Clone, Copy)]
enum Encoding {
    U8,
    S16,
    S24,
    S32,
    F32,
    F64,
}

impl Description {
    fn parse(chunk: &[u8]) -> Result<Self, SoundError> {
        const EXTENSIBLE: u16 = 0xFFFE;
        const SHORT: SoundError = SoundError::NotWav("its format is cut short");
        let u16_at = |at: usize| {
            let bytes = chunk.get(at..)?.first_chunk()?;
            Some(u16::from_le_bytes(*bytes))
        };
        let mut tag = u16_at(0).ok_or(SHORT)?;
        let channels = u16_at(2).ok_or(SHORT)?;
        let rate = chunk.get(4..).and_then(|rest| rest.first_chunk());
        let rate = u32::from_le_bytes(*rate.ok_or(SHORT)?);
        let bits = u16_at(14).ok_or(SHORT)?;
        if tag == EXTENSIBLE {
            tag = u16_at(24).ok_or(SHORT)?;
        }
        if channels == 0 || rate == 0 {
            return Err(SoundError::NotWav("it has no channels or no rate"));
        }
        let encoding = match (tag, bits) {
            (1, 8) => Encoding::U8,
            (1, 16) => Encoding::S16,
            (1, 24) => Encoding::S24,
            (1, 32) => Encoding::S32,
            (3, 32) => Encoding::F32,
            (3, 64) => Encoding::F64,
            (tag, bits) => return Err(SoundError::WavEncoding { tag, bits }),
        };
        Ok(Self {
            rate,
            channels,
            encoding,
        })
    }

    fn samples(self, data: &[u8]) -> Result<Wav, SoundError> {
        let mut samples = match self.encoding {
            Encoding::U8 => each(data, |[byte]| (f32::from(byte) - 128.0) / 128.0),
            Encoding::S16 => each(data, |bytes| {
                f32::from(i16::from_le_bytes(bytes)) / 32_768.0
            }),
            Encoding::S24 => each(data, |[a, b, c]| s32([0, a, b, c])),
            Encoding::S32 => each(data, s32),
            Encoding::F32 => each(data, f32::from_le_bytes),
            Encoding::F64 => each(data, |bytes| f64::from_le_bytes(bytes) as f32),
        };
        // A file that was cut may end within a frame.
        let channels = usize::from(self.channels);
        samples.truncate(samples.len() / channels * channels);
        Ok(Wav {
            rate: self.rate,
            channels: self.channels,
            samples,
        })
    }
}

fn s32(bytes: [u8; 4]) -> f32 {
    (f64::from(i32::from_le_bytes(bytes)) / 2_147_483_648.0) as f32
}

fn each<const N: usize>(data: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (chunks, _) = data.as_chunks::<N>();
    chunks
        .iter()
        .map(|bytes| crate::samples::finite(value(*bytes)))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Channels, Encoder, Format, Shape};

    fn file(tag: u16, bits: u16, channels: u16, size: Option<u32>, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"RIFF\xFF\xFF\xFF\xFFWAVE".to_vec();
        bytes.extend(b"LIST\x03\0\0\0abc\0");
        bytes.extend(b"fmt \x10\0\0\0");
        bytes.extend(tag.to_le_bytes());
        bytes.extend(channels.to_le_bytes());
        bytes.extend(44_100u32.to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend(bits.to_le_bytes());
        bytes.extend(b"data");
        bytes.extend(size.unwrap_or(data.len() as u32).to_le_bytes());
        bytes.extend(data);
        bytes
    }

    fn samples(bytes: &[u8]) -> Vec<f32> {
        read(bytes).expect("a WAV file").samples
    }

    #[test]
    fn every_depth_is_read() {
        assert_eq!(samples(&file(1, 8, 1, None, &[0, 128])), [-1.0, 0.0]);
        assert_eq!(
            samples(&file(1, 16, 1, None, &[0, 0x80, 0, 0x40])),
            [-1.0, 0.5]
        );
        assert_eq!(
            samples(&file(1, 24, 1, None, &[0, 0, 0x80, 0, 0, 0x40])),
            [-1.0, 0.5]
        );
        assert_eq!(samples(&file(1, 32, 1, None, &[0, 0, 0, 0x40])), [0.5]);
        assert_eq!(
            samples(&file(3, 32, 1, None, &0.25f32.to_le_bytes())),
            [0.25]
        );
        assert_eq!(
            samples(&file(3, 64, 1, None, &0.25f64.to_le_bytes())),
            [0.25]
        );
        assert_eq!(
            samples(&file(3, 32, 1, None, &f32::NAN.to_le_bytes())),
            [0.0]
        );
    }

    #[test]
    fn a_size_that_is_no_size_means_until_the_end() {
        for size in [0, u32::MAX, u32::MAX - 36, 5] {
            let bytes = file(1, 16, 1, Some(size), &[0, 0x40, 0, 0x40]);
            assert_eq!(samples(&bytes), [0.5, 0.5], "{size}");
        }
    }

    #[test]
    fn what_follows_the_samples_is_not_sound() {
        let mut bytes = file(1, 16, 1, Some(2), &[0, 0x40]);
        bytes.extend(b"LIST\x02\0\0\0ab");
        assert_eq!(samples(&bytes), [0.5]);
    }

    #[test]
    fn half_a_frame_is_dropped() {
        let bytes = file(1, 16, 2, None, &[0, 0x40, 0, 0x40, 0, 0x40, 0]);
        assert_eq!(samples(&bytes), [0.5, 0.5]);
    }

    #[test]
    fn what_is_no_wav_is_refused() {
        for bytes in [&b""[..], b"RIFF", b"RIFF\0\0\0\0WAVE", b"OggS"] {
            assert!(matches!(read(bytes), Err(SoundError::NotWav(_))));
        }
        assert!(matches!(
            read(&file(1, 16, 0, None, &[])),
            Err(SoundError::NotWav(_))
        ));
        assert_eq!(
            read(&file(6, 8, 1, None, &[])),
            Err(SoundError::WavEncoding { tag: 6, bits: 8 })
        );
    }

    #[test]
    fn what_we_write_we_read() {
        let shape = Shape {
            rate: 24_000,
            channels: Channels::Stereo,
        };
        for length in [None, Some(2)] {
            let mut bytes = Vec::new();
            let mut encoder = Encoder::new(Format::WavFloat, shape, length).expect("an encoder");
            encoder.push(&[0.5, -0.1], &mut bytes).expect("bytes");
            encoder.finish(&mut bytes).expect("an end");
            let wav = read(&bytes).expect("a WAV file");
            assert_eq!((wav.rate, wav.channels), (24_000, 2));
            assert_eq!(wav.samples, [0.5, 0.5, -0.1, -0.1]);
        }
    }

    proptest! {
        #[test]
        fn nothing_read_panics(
            mut bytes in prop::collection::vec(any::<u8>(), 0..80),
            whole in any::<bool>(),
        ) {
            if whole {
                bytes = file(1, 16, 1, None, &bytes);
            }
            let _ = read(&bytes);
        }

        #[test]
        fn a_spoilt_byte_does_not_panic(at in 0usize..60, value in any::<u8>()) {
            let mut bytes = file(1, 16, 2, None, &[0, 0x40, 0, 0x40]);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            let _ = read(&bytes);
        }
    }
}
