//! MP3 by LAME, at a constant rate, so that players can tell how far they are
//! in a stream without a length. An MP3 begins some 25 to 70 ms late and ends
//! with a padded frame: the format has no place to say otherwise in a stream.

use mp3lame_encoder::{
    Bitrate, Builder, DualPcm, Encoder, FlushGap, MonoPcm, Quality, VbrMode,
    max_required_buffer_size,
};

use crate::error::SoundError;
use crate::format::{Channels, Format, Shape};
use crate::samples::finite;

pub(super) struct Writer {
    encoder: Encoder,
    channels: Channels,
    clean: Vec<f32>,
}

/// Samples handed over at a time, so that the room for their bytes is bounded.
const PIECE: usize = 4_096;

impl Writer {
    pub(super) fn new(shape: Shape) -> Result<Self, SoundError> {
        // Two equal channels are one channel and an empty difference.
        let bitrate = match shape.rate {
            32_000.. => Bitrate::Kbps96,
            16_000.. => Bitrate::Kbps64,
            _ => Bitrate::Kbps32,
        };
        let count = shape.channels.count() as u8;
        let encoder = Builder::new()
            .ok_or_else(|| failure("there is no memory"))?
            .with_num_channels(count)
            .and_then(|builder| builder.with_sample_rate(shape.rate))
            // Or LAME would choose a rate by the bits.
            .and_then(|builder| builder.with_output_sample_rate(shape.rate.try_into().ok()))
            .and_then(|builder| builder.with_brate(bitrate))
            .and_then(|builder| builder.with_vbr_mode(VbrMode::Off))
            .and_then(|builder| builder.with_quality(Quality::VeryNice))
            // It would stand at the start and be known at the end.
            .and_then(|builder| builder.with_to_write_vbr_tag(false))
            .and_then(Builder::build)
            .map_err(failure)?;
        Ok(Self {
            encoder,
            channels: shape.channels,
            clean: Vec::new(),
        })
    }
}

impl super::Writer for Writer {
    fn push(&mut self, samples: &[f32], out: &mut Vec<u8>) -> Result<(), SoundError> {
        for piece in samples.chunks(PIECE) {
            self.clean.clear();
            let clipped = |sample: &f32| finite(*sample).clamp(-1.0, 1.0);
            self.clean.extend(piece.iter().map(clipped));
            out.reserve(max_required_buffer_size(self.clean.len()));
            match self.channels {
                Channels::Mono => self.encoder.encode_to_vec(MonoPcm(&self.clean), out),
                Channels::Stereo => {
                    let both = DualPcm {
                        left: &self.clean[..],
                        right: &self.clean[..],
                    };
                    self.encoder.encode_to_vec(both, out)
                }
            }
            .map_err(failure)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, out: &mut Vec<u8>) -> Result<(), SoundError> {
        out.reserve(max_required_buffer_size(0));
        self.encoder
            .flush_to_vec::<FlushGap>(out)
            .map_err(failure)?;
        Ok(())
    }
}

fn failure(error: impl std::fmt::Display) -> SoundError {
    SoundError::Encoder {
        format: Format::Mp3,
        reason: error.to_string(),
    }
}
