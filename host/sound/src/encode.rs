//! An answer's bytes, chunk by chunk. Never resamples and never levels: what
//! is pushed is what is written.

mod flac;
#[cfg(feature = "mp3")]
mod mp3;
mod opus;
mod raw;
mod riff;

use crate::error::SoundError;
use crate::format::{self, Format, Shape};
use raw::Depth;

/// Writes one answer.
pub struct Encoder {
    writer: Box<dyn Writer + Send>,
    /// Samples per channel so far.
    given: u64,
    promised: Option<u64>,
}

/// What every format does.
trait Writer {
    fn push(&mut self, samples: &[f32], out: &mut Vec<u8>) -> Result<(), SoundError>;

    fn finish(self: Box<Self>, out: &mut Vec<u8>) -> Result<(), SoundError>;
}

impl Encoder {
    /// `length`: samples per channel if known beforehand; None for a stream of
    /// unknown length.
    pub fn new(format: Format, shape: Shape, length: Option<u64>) -> Result<Self, SoundError> {
        format::check_rate(shape.rate)?;
        let wanted = format.rate_for(shape.rate);
        if wanted != shape.rate {
            return Err(SoundError::FormatRate {
                format,
                rate: shape.rate,
                wanted,
            });
        }
        let wav = |depth| raw::Writer::new(riff::header(shape, depth, length), depth, shape);
        let pcm = |depth| raw::Writer::new(Vec::new(), depth, shape);
        let writer: Box<dyn Writer + Send> = match format {
            Format::Wav => Box::new(wav(Depth::S16)),
            Format::WavFloat => Box::new(wav(Depth::F32)),
            Format::Pcm => Box::new(pcm(Depth::S16)),
            Format::PcmFloat => Box::new(pcm(Depth::F32)),
            Format::Flac => Box::new(flac::Writer::new(shape, length)?),
            Format::Opus => Box::new(opus::Writer::new(shape)?),
            #[cfg(feature = "mp3")]
            Format::Mp3 => Box::new(mp3::Writer::new(shape)?),
            #[cfg(not(feature = "mp3"))]
            Format::Mp3 => return Err(SoundError::NotOffered(format)),
        };
        Ok(Self {
            writer,
            given: 0,
            promised: length,
        })
    }

    /// Appends the bytes that are ready. The header comes with the first bytes.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<u8>) -> Result<(), SoundError> {
        let given = self.given + samples.len() as u64;
        if let Some(promised) = self.promised.filter(|promised| given > *promised) {
            return Err(SoundError::Length { promised, given });
        }
        self.given = given;
        self.writer.push(samples, out)
    }

    /// Appends what is left. Without it an answer is cut short.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), SoundError> {
        let given = self.given;
        if let Some(promised) = self.promised.filter(|promised| given < *promised) {
            return Err(SoundError::Length { promised, given });
        }
        // The header, in case nothing was ever pushed.
        self.writer.push(&[], out)?;
        self.writer.finish(out)
    }
}
