//! From samples to the bytes of an answer: loudness, silence, rate, format.
//!
//! Takes what it is given in any pieces; what comes out does not depend on
//! where they were cut.

use std::time::Duration;

use sound::{Encoder, Leveller, Resampler, Shape, SoundError};

use crate::error::Error;
use crate::request::{Answer, Head, Loudness, Sound};
use crate::stream::Chunk;

/// Quieter than this counts as silence where silence is dropped: the step of
/// AivisSpeech's own trimming.
const QUIET: f32 = 0.000_4;

pub(crate) struct Master {
    way: Way,
    /// Of the voice.
    sampling_rate: u32,
}

enum Way {
    /// Everything is kept until the end.
    Hold {
        samples: Vec<f32>,
        finish: Finish,
    },
    Flow(Box<Flow>),
}

/// What is to be made, with nothing begun.
#[derive(Clone, Copy)]
struct Finish {
    sound: Sound,
    loudness: Loudness,
    voice_rate: u32,
    rate: u32,
}

/// Stages through which samples flow.
struct Flow {
    trim: Option<Trim>,
    leveller: Option<Leveller>,
    volume: f32,
    /// Silence still to come before the first sample.
    leading: usize,
    trailing: usize,
    resampler: Option<Resampler>,
    encoder: Encoder,
}

impl Master {
    /// `voice_rate` in samples per second, of what comes in.
    pub(crate) fn new(sound: Sound, head: &Head, voice_rate: u32) -> Result<Self, Error> {
        let finish = Finish {
            sound,
            loudness: head.loudness,
            voice_rate,
            rate: head.sampling_rate,
        };
        let way = match head.answer {
            Answer::Whole => Way::Hold {
                samples: Vec::new(),
                finish,
            },
            Answer::Stream => Way::Flow(Box::new(finish.flow(None)?)),
        };
        Ok(Self {
            way,
            sampling_rate: voice_rate,
        })
    }

    /// Silence between two pieces.
    pub(crate) fn pause(&mut self, pause: Duration) -> Result<Chunk, Error> {
        self.push(sound::silence(pause.as_secs_f64(), self.sampling_rate))
    }

    pub(crate) fn push(&mut self, heard: Vec<f32>) -> Result<Chunk, Error> {
        match &mut self.way {
            Way::Hold { samples, .. } => {
                samples.extend(heard);
                Ok(Chunk::empty())
            }
            Way::Flow(flow) => flow.push(heard),
        }
    }

    pub(crate) fn finish(self) -> Result<Chunk, Error> {
        match self.way {
            Way::Flow(flow) => flow.finish(Chunk::empty()),
            Way::Hold { samples, finish } => finish.whole(samples),
        }
    }
}

impl Finish {
    fn flow(self, length: Option<u64>) -> Result<Flow, Error> {
        let shape = Shape {
            rate: self.rate,
            channels: self.sound.channels,
        };
        Ok(Flow {
            trim: self.sound.trim.then(Trim::default),
            leveller: match self.loudness {
                Loudness::Running => Some(Leveller::new(self.voice_rate)),
                // Whoever sets the level of the whole does it beforehand.
                Loudness::Whole | Loudness::None => None,
            },
            volume: self.sound.volume,
            leading: self.samples(self.sound.leading),
            trailing: self.samples(self.sound.trailing),
            resampler: match self.rate == self.voice_rate {
                true => None,
                false => Some(Resampler::new(self.voice_rate, self.rate).map_err(failed)?),
            },
            encoder: Encoder::new(self.sound.format, shape, length).map_err(failed)?,
        })
    }

    fn whole(mut self, mut samples: Vec<f32>) -> Result<Chunk, Error> {
        if self.loudness == Loudness::Whole {
            sound::normalize_peak(&mut samples);
        }
        // Here and not in the flow, since the length must be known before it.
        if std::mem::take(&mut self.sound.trim) {
            samples = sound::trim(&samples, QUIET).to_vec();
        }
        let silence = self.samples(self.sound.leading) + self.samples(self.sound.trailing);
        let length = (samples.len() + silence) as f64 * f64::from(self.rate);
        let length = (length / f64::from(self.voice_rate)).round() as u64;
        let mut flow = self.flow(Some(length))?;
        let chunk = flow.push(samples)?;
        flow.finish(chunk)
    }

    fn samples(self, silence: Duration) -> usize {
        (silence.as_secs_f64() * f64::from(self.voice_rate)) as usize
    }
}

impl Flow {
    fn push(&mut self, mut samples: Vec<f32>) -> Result<Chunk, Error> {
        if let Some(trim) = &mut self.trim {
            let mut kept = Vec::with_capacity(samples.len());
            trim.push(&samples, &mut kept);
            samples = kept;
        }
        if let Some(leveller) = &mut self.leveller {
            let mut levelled = Vec::with_capacity(samples.len());
            leveller.push(&samples, &mut levelled);
            samples = levelled;
        }
        self.write(samples, Chunk::empty())
    }

    fn finish(mut self, mut chunk: Chunk) -> Result<Chunk, Error> {
        if let Some(leveller) = self.leveller.take() {
            let mut rest = Vec::new();
            leveller.finish(&mut rest);
            chunk = self.write(rest, chunk)?;
        }
        let trailing = vec![0.0; self.trailing];
        chunk = self.write(trailing, chunk)?;
        if let Some(resampler) = self.resampler.take() {
            let mut rest = Vec::new();
            resampler.finish(&mut rest);
            self.encode(&rest, &mut chunk)?;
        }
        self.encoder.finish(&mut chunk.bytes).map_err(failed)?;
        chunk.last = true;
        Ok(chunk)
    }

    /// Volume, the silence before, rate, format.
    fn write(&mut self, mut samples: Vec<f32>, mut chunk: Chunk) -> Result<Chunk, Error> {
        if self.volume != 1.0 {
            samples.iter_mut().for_each(|it| *it *= self.volume);
        }
        if self.leading > 0 {
            let mut after = vec![0.0; std::mem::take(&mut self.leading)];
            after.extend(samples);
            samples = after;
        }
        match &mut self.resampler {
            Some(resampler) => {
                let mut resampled = Vec::new();
                resampler.push(&samples, &mut resampled);
                self.encode(&resampled, &mut chunk)?;
            }
            None => self.encode(&samples, &mut chunk)?,
        }
        Ok(chunk)
    }

    fn encode(&mut self, samples: &[f32], chunk: &mut Chunk) -> Result<(), Error> {
        chunk.samples += samples.len() as u64;
        self.encoder.push(samples, &mut chunk.bytes).map_err(failed)
    }
}

/// Drops the silence at both ends of what flows by.
#[derive(Default)]
struct Trim {
    begun: bool,
    /// Silent samples since the last loud one: the end, perhaps.
    quiet: Vec<f32>,
}

impl Trim {
    fn push(&mut self, heard: &[f32], kept: &mut Vec<f32>) {
        for sample in heard {
            if sample.abs() > QUIET {
                self.begun = true;
                kept.append(&mut self.quiet);
                kept.push(*sample);
            } else if self.begun {
                self.quiet.push(*sample);
            }
        }
    }
}

impl Chunk {
    pub(crate) fn empty() -> Self {
        Self {
            bytes: Vec::new(),
            samples: 0,
            last: false,
        }
    }
}

fn failed(cause: SoundError) -> Error {
    Error::Request(cause.to_string())
}
