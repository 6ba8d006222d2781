//! FLAC, 16 bit, frame by frame.

use flacenc::bitsink::ByteSink;
use flacenc::component::{BitRepr, StreamInfo};
use flacenc::config;
use flacenc::error::{Verified, Verify};
use flacenc::source::{Fill, FrameBuf};

use super::raw;
use crate::error::SoundError;
use crate::format::{Format, Shape};

/// Samples per channel of every frame but the last.
const FRAME: usize = 4_096;

pub(super) struct Writer {
    /// Not yet written.
    header: Vec<u8>,
    config: Verified<config::Encoder>,
    info: StreamInfo,
    frame: FrameBuf,
    /// Interleaved samples that wait for their frame to fill.
    waiting: Vec<i32>,
    channels: usize,
    written: usize,
}

impl Writer {
    pub(super) fn new(shape: Shape, length: Option<u64>) -> Result<Self, SoundError> {
        let channels = usize::from(shape.channels.count());
        let config = config::Encoder::default()
            .into_verified()
            .map_err(|(_, error)| failure(error))?;
        Ok(Self {
            header: header(shape, length),
            config,
            info: StreamInfo::new(shape.rate as usize, channels, 16).map_err(failure)?,
            frame: FrameBuf::with_size(channels, FRAME).map_err(failure)?,
            waiting: Vec::with_capacity(FRAME * channels),
            channels,
            written: 0,
        })
    }

    /// One frame of all that waits.
    fn write(&mut self, out: &mut Vec<u8>) -> Result<(), SoundError> {
        self.frame
            .fill_interleaved(&self.waiting)
            .map_err(failure)?;
        self.waiting.clear();
        let frame =
            flacenc::encode_fixed_size_frame(&self.config, &self.frame, self.written, &self.info)
                .map_err(failure)?;
        self.written += 1;
        let mut sink = ByteSink::new();
        frame.write(&mut sink).map_err(failure)?;
        out.extend(sink.as_slice());
        Ok(())
    }
}

impl super::Writer for Writer {
    fn push(&mut self, samples: &[f32], out: &mut Vec<u8>) -> Result<(), SoundError> {
        out.append(&mut self.header);
        for sample in samples {
            for _ in 0..self.channels {
                self.waiting.push(raw::s16(*sample).into());
            }
            if self.waiting.len() == FRAME * self.channels {
                self.write(out)?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, out: &mut Vec<u8>) -> Result<(), SoundError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.frame.resize(self.waiting.len() / self.channels);
        self.write(out)
    }
}

/// The marker and the one metadata block that every stream has. Its digest is
/// of the whole stream and its frame sizes are of all frames: at the start
/// both are unknown, which is written as 0.
fn header(shape: Shape, length: Option<u64>) -> Vec<u8> {
    const LAST_STREAM_INFO: u8 = 0x80;
    const SIZE: u8 = 34;
    let channels = u64::from(shape.channels.count() - 1);
    // 36 bits are there for the number of samples; 0 is unknown.
    let total = length.filter(|length| *length < 1 << 36).unwrap_or(0);

    let mut header = Vec::with_capacity(42);
    header.extend(b"fLaC");
    header.extend([LAST_STREAM_INFO, 0, 0, SIZE]);
    header.extend((FRAME as u16).to_be_bytes());
    header.extend((FRAME as u16).to_be_bytes());
    header.extend([0; 6]);
    let bits = 16 - 1;
    let packed = u64::from(shape.rate) << 44 | channels << 41 | bits << 36 | total;
    header.extend(packed.to_be_bytes());
    header.extend([0; 16]);
    header
}

fn failure(error: impl std::fmt::Display) -> SoundError {
    SoundError::Encoder {
        format: Format::Flac,
        reason: error.to_string(),
    }
}
