//! Opus in Ogg (RFC 6716, RFC 7845).
//!
//! Two channels cost no bit more than one: the packets stay mono, and the
//! header tells players to let both channels hear them.

use opus_pure::{
    Application, Error, MAX_PACKET_BYTES, OggOpusWriter, OpusEncoder, OpusHead, Signal,
};

use crate::error::SoundError;
use crate::format::{Format, Shape};
use crate::samples::finite;

/// Samples of 20 ms.
const FRAME: usize = 960;

/// A page is written at least this often, whatever it holds: 200 ms.
const FRAMES_OF_A_PAGE: u32 = 10;

/// More than this no listener hears with one voice.
const BITS_PER_SECOND: i32 = 64_000;

pub(super) struct Writer {
    encoder: OpusEncoder,
    ogg: OggOpusWriter<Vec<u8>>,
    /// Samples that wait for their frame to fill.
    waiting: Vec<f32>,
    packet: Vec<u8>,
    /// Of the current page.
    frames: u32,
    /// The encoder answers this much later than it hears, and players skip it.
    delay: u64,
    heard: u64,
}

impl Writer {
    pub(super) fn new(shape: Shape) -> Result<Self, SoundError> {
        let mut encoder =
            OpusEncoder::new(shape.rate as i32, 1, Application::Audio).map_err(failure)?;
        encoder.bitrate_bps = BITS_PER_SECOND;
        encoder.signal_type = Some(Signal::Voice);
        let mut head = OpusHead::for_encoder(&encoder, shape.rate);
        head.channel_count = shape.channels.count() as u8;
        Ok(Self {
            delay: head.pre_skip.into(),
            ogg: OggOpusWriter::new(Vec::new(), head).map_err(failure)?,
            encoder,
            waiting: Vec::with_capacity(FRAME),
            packet: vec![0; MAX_PACKET_BYTES],
            frames: 0,
            heard: 0,
        })
    }

    /// One packet of the frame that waits.
    fn write(&mut self, last: bool) -> Result<(), SoundError> {
        let size = self
            .encoder
            .encode(&self.waiting, FRAME, &mut self.packet)
            .map_err(failure)?;
        self.waiting.clear();
        // The page before this packet is written out when it is long enough.
        let full = self.frames == FRAMES_OF_A_PAGE;
        self.frames = if full { 1 } else { self.frames + 1 };
        self.ogg.set_page_target(if full { 1 } else { usize::MAX });
        let packet = &self.packet[..size];
        if last {
            // The end is said by counting less than the packet holds.
            let left = self.delay + self.heard - self.ogg.granule() as u64;
            self.ogg.write_packet_with_duration(packet, left as u32)
        } else {
            self.ogg.write_packet(packet)
        }
        .map_err(failure)
    }

    fn take(&mut self, out: &mut Vec<u8>) {
        if let Some(bytes) = self.ogg.get_mut() {
            out.append(bytes);
        }
    }
}

impl super::Writer for Writer {
    fn push(&mut self, mut samples: &[f32], out: &mut Vec<u8>) -> Result<(), SoundError> {
        self.heard += samples.len() as u64;
        while !samples.is_empty() {
            let room = FRAME - self.waiting.len();
            let (now, later) = samples.split_at(samples.len().min(room));
            samples = later;
            self.waiting.extend(now.iter().copied().map(clipped));
            if self.waiting.len() == FRAME {
                self.write(false)?;
            }
        }
        self.take(out);
        Ok(())
    }

    fn finish(mut self: Box<Self>, out: &mut Vec<u8>) -> Result<(), SoundError> {
        let frames = (self.heard + self.delay).div_ceil(FRAME as u64);
        let mut written = self.heard / FRAME as u64;
        while written < frames {
            written += 1;
            self.waiting.resize(FRAME, 0.0);
            self.write(written == frames)?;
        }
        out.extend(self.ogg.finish().map_err(failure)?);
        Ok(())
    }
}

/// The encoder's filters do not forget a sample that is far beyond full scale.
fn clipped(sample: f32) -> f32 {
    finite(sample).clamp(-1.0, 1.0)
}

fn failure(error: Error) -> SoundError {
    SoundError::Encoder {
        format: Format::Opus,
        reason: error.to_string(),
    }
}
