//! Samples as little-endian numbers.

use crate::error::SoundError;
use crate::format::{Channels, Shape};
use crate::samples::finite;

pub(super) struct Writer {
    /// Not yet written.
    header: Vec<u8>,
    depth: Depth,
    channels: Channels,
}

impl Writer {
    pub(super) fn new(header: Vec<u8>, depth: Depth, shape: Shape) -> Self {
        Self {
            header,
            depth,
            channels: shape.channels,
        }
    }
}

impl super::Writer for Writer {
    fn push(&mut self, samples: &[f32], out: &mut Vec<u8>) -> Result<(), SoundError> {
        out.append(&mut self.header);
        self.depth.append(samples, self.channels, out);
        Ok(())
    }

    fn finish(self: Box<Self>, _out: &mut Vec<u8>) -> Result<(), SoundError> {
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    S16,
    F32,
}

impl Depth {
    /// Bytes per sample and channel.
    pub(super) fn bytes(self) -> u16 {
        match self {
            Self::S16 => 2,
            Self::F32 => 4,
        }
    }

    fn append(self, samples: &[f32], channels: Channels, out: &mut Vec<u8>) {
        let times = usize::from(channels.count());
        out.reserve(samples.len() * times * usize::from(self.bytes()));
        for sample in samples {
            for _ in 0..times {
                match self {
                    Self::S16 => out.extend(s16(*sample).to_le_bytes()),
                    Self::F32 => out.extend(finite(*sample).to_le_bytes()),
                }
            }
        }
    }
}

/// Truncated, not rounded, as Style-Bert-VITS2 converts; what is beyond full
/// scale is clipped.
pub(super) fn s16(sample: f32) -> i16 {
    (finite(sample) * 32_767.0).clamp(-32_767.0, 32_767.0) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_are_cut_not_rounded() {
        let samples = [0.2, -1.0, 0.5, 2.0, -2.0, f32::NAN, f32::NEG_INFINITY];
        assert_eq!(
            samples.map(s16),
            [6_553, -32_767, 16_383, 32_767, -32_767, 0, 0]
        );
    }

    #[test]
    fn floats_keep_what_is_beyond_full_scale() {
        let mut out = Vec::new();
        Depth::F32.append(&[1.5, f32::NAN], Channels::Stereo, &mut out);
        assert_eq!(out, [1.5f32, 1.5, 0.0, 0.0].map(f32::to_le_bytes).concat());
    }
}
