//! From samples to the bytes of an answer: loudness, silence, rate, format.
//!
//! Takes what it is given in any pieces; what comes out does not depend on
//! where they were cut. Works in steps of a bounded size: silence is a number
//! until its step comes, however long it is, and who goes away or runs out of
//! time is noticed between two steps.

use std::collections::VecDeque;
use std::time::Duration;

use sound::{Encoder, Leveller, Resampler, Shape, SoundError};

use crate::answers::{Answers, Hold};
use crate::error::Error;
use crate::request::{Delivery, Head, Loudness, Sound};
use crate::stream::Chunk;

/// Quieter than this counts as silence where silence is dropped: the step of
/// AivisSpeech's own trimming.
const QUIET: f32 = 0.000_4;

/// Samples of one step: one and a half seconds, a window of the decoder's.
const STEP: usize = 1 << 16;

pub(crate) struct Master {
    buffering: Buffering,
    todo: VecDeque<Part>,
    finish: Finish,
    answers: Answers,
    /// What is kept, of all that requests may keep.
    hold: Hold,
    /// Bytes and samples that have come out.
    bytes: u64,
    samples: u64,
}

enum Buffering {
    /// Everything is kept until the end.
    Keep {
        kept: VecDeque<Part>,
        samples: u64,
    },
    Flow(Box<Flow>),
}

/// Work that waits for its step. Numbers are samples at the voice's rate.
enum Part {
    /// What was said, and how much of it is done.
    Sound(Vec<f32>, usize),
    /// Silence within what is said.
    Pause(usize),
    /// Silence before and after it.
    Silence(usize),
    /// What the leveller holds back.
    Rest,
    /// What resampler and encoder hold back, and no more.
    End,
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
    resampler: Option<Resampler>,
    encoder: Option<Encoder>,
}

impl Master {
    /// `voice_rate` in samples per second, of what comes in.
    pub(crate) fn new(
        sound: Sound,
        head: &Head,
        voice_rate: u32,
        answers: Answers,
        hold: Hold,
    ) -> Result<Self, Error> {
        let finish = Finish {
            sound,
            loudness: head.loudness,
            voice_rate,
            rate: head.sampling_rate,
        };
        let mut todo = VecDeque::new();
        let buffering = match head.delivery {
            Delivery::Whole => Buffering::Keep {
                kept: VecDeque::new(),
                samples: 0,
            },
            Delivery::Stream => {
                todo.push_back(Part::Silence(finish.samples(sound.leading)));
                Buffering::Flow(Box::new(finish.flow(None)?))
            }
        };
        Ok(Self {
            buffering,
            todo,
            finish,
            answers,
            hold,
            bytes: 0,
            samples: 0,
        })
    }

    /// Refuses silence that is more than an answer may be, before any of the
    /// rest is made.
    pub(crate) fn check_silence(&self, pauses: Duration) -> Result<(), Error> {
        let Finish { sound, rate, .. } = self.finish;
        let silence = pauses
            .saturating_add(sound.leading)
            .saturating_add(sound.trailing);
        self.answers.sound(silence)?;
        // What packs silence knows its bytes only afterwards.
        let samples = silence.as_secs_f64() * f64::from(rate);
        self.answers.bytes(sound.raw_bytes(samples as u64))
    }

    /// What was said.
    pub(crate) fn push(&mut self, heard: Vec<f32>) -> Result<(), Error> {
        self.take(Part::Sound(heard, 0))
    }

    /// Silence between two pieces.
    pub(crate) fn pause(&mut self, pause: Duration) -> Result<(), Error> {
        self.take(Part::Pause(self.finish.samples(pause)))
    }

    fn take(&mut self, part: Part) -> Result<(), Error> {
        let Buffering::Keep { kept, samples } = &mut self.buffering else {
            self.todo.push_back(part);
            return Ok(());
        };
        *samples += part.samples() as u64;
        let most = self.answers.sound_max.0.as_secs_f64() * f64::from(self.finish.voice_rate);
        if *samples as f64 > most {
            return Err(self.answers.too_long());
        }
        self.hold.grow(part.bytes())?;
        kept.push_back(part);
        Ok(())
    }

    /// Nothing more is said. Blocks for what looks at all of it.
    pub(crate) fn end(&mut self) -> Result<(), Error> {
        if let Buffering::Keep { kept, .. } = &mut self.buffering {
            let kept = std::mem::take(kept);
            self.end_whole(kept)?;
        }
        let trailing = self.finish.samples(self.finish.sound.trailing);
        self.todo
            .extend([Part::Rest, Part::Silence(trailing), Part::End]);
        Ok(())
    }

    /// The length is known now, and the loudest sample.
    fn end_whole(&mut self, mut kept: VecDeque<Part>) -> Result<(), Error> {
        let Finish {
            mut sound,
            loudness,
            ..
        } = self.finish;
        if loudness == Loudness::Whole {
            level(&mut kept);
        }
        // Here and not in the flow, since the length must be known before it.
        if std::mem::take(&mut sound.trim) {
            trim(&mut kept);
        }
        self.finish.sound = sound;
        let leading = self.finish.samples(sound.leading);
        let silence = leading + self.finish.samples(sound.trailing);
        let said = kept.iter().map(Part::samples).sum::<usize>();
        let Finish {
            rate, voice_rate, ..
        } = self.finish;
        let length = (said + silence) as f64 * f64::from(rate) / f64::from(voice_rate);
        let length = length.round() as u64;
        self.answers.bytes(sound.raw_bytes(length))?;
        self.buffering = Buffering::Flow(Box::new(self.finish.flow(Some(length))?));
        self.todo.push_back(Part::Silence(leading));
        self.todo.append(&mut kept);
        Ok(())
    }

    /// Whether there is no step to take.
    pub(crate) fn is_done(&self) -> bool {
        self.todo.is_empty()
    }

    /// One step of what is to be done.
    pub(crate) fn step(&mut self) -> Result<Chunk, Error> {
        let mut chunk = Chunk::empty();
        let Buffering::Flow(flow) = &mut self.buffering else {
            return Ok(chunk);
        };
        let mut left = STEP;
        while left > 0
            && let Some(part) = self.todo.pop_front()
        {
            let done = left.min(part.left());
            left -= done;
            match &part {
                Part::Sound(samples, from) => {
                    flow.hear(samples[*from..from + done].to_vec(), &mut chunk)?;
                }
                Part::Pause(_) => flow.hear(vec![0.0; done], &mut chunk)?,
                Part::Silence(_) => flow.write(vec![0.0; done], &mut chunk)?,
                Part::Rest => flow.rest(&mut chunk)?,
                Part::End => flow.end(&mut chunk)?,
            }
            match part.after(done) {
                Ok(rest) => self.todo.push_front(rest),
                Err(bytes) => self.hold.shrink(bytes),
            }
        }
        self.count(&chunk)?;
        Ok(chunk)
    }

    fn count(&mut self, chunk: &Chunk) -> Result<(), Error> {
        self.bytes += chunk.bytes.len() as u64;
        self.samples += chunk.samples;
        self.answers.bytes(self.bytes)?;
        let sound = self.samples as f64 / f64::from(self.finish.rate);
        self.answers.sound(Duration::from_secs_f64(sound))
    }

    /// What it keeps is somebody else's now.
    pub(crate) fn hold(&mut self) -> &mut Hold {
        &mut self.hold
    }

    pub(crate) fn into_hold(self) -> Hold {
        self.hold
    }
}

impl Part {
    fn samples(&self) -> usize {
        match self {
            Self::Sound(samples, _) => samples.len(),
            Self::Pause(samples) | Self::Silence(samples) => *samples,
            Self::Rest | Self::End => 0,
        }
    }

    fn left(&self) -> usize {
        match self {
            Self::Sound(samples, done) => samples.len() - done,
            _ => self.samples(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Sound(samples, _) => samples.len() * size_of::<f32>(),
            _ => 0,
        }
    }

    /// What is left of it after so many samples, or the bytes it held.
    fn after(self, done: usize) -> Result<Self, usize> {
        let bytes = self.bytes();
        match self {
            Self::Sound(samples, from) if from + done < samples.len() => {
                Ok(Self::Sound(samples, from + done))
            }
            Self::Pause(samples) if done < samples => Ok(Self::Pause(samples - done)),
            Self::Silence(samples) if done < samples => Ok(Self::Silence(samples - done)),
            _ => Err(bytes),
        }
    }
}

/// Makes the loudest sample of all parts full scale.
fn level(parts: &mut VecDeque<Part>) {
    let sounds = parts.iter().filter_map(|part| match part {
        Part::Sound(samples, _) => Some(samples.as_slice()),
        _ => None,
    });
    let peak = sound::peak(sounds.flatten());
    for part in parts {
        if let Part::Sound(samples, _) = part {
            sound::normalize_to(samples, peak);
        }
    }
}

/// Without the silence at both ends.
fn trim(parts: &mut VecDeque<Part>) {
    let loud = |sample: &f32| sample.abs() > QUIET;
    while let Some(first) = parts.front_mut() {
        if let Part::Sound(samples, _) = first
            && let Some(at) = samples.iter().position(loud)
        {
            samples.drain(..at);
            break;
        }
        parts.pop_front();
    }
    while let Some(last) = parts.back_mut() {
        if let Part::Sound(samples, _) = last
            && let Some(at) = samples.iter().rposition(loud)
        {
            samples.truncate(at + 1);
            break;
        }
        parts.pop_back();
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
            resampler: match self.rate == self.voice_rate {
                true => None,
                false => Some(Resampler::new(self.voice_rate, self.rate).map_err(failed)?),
            },
            encoder: Some(Encoder::new(self.sound.format, shape, length).map_err(failed)?),
        })
    }

    fn samples(self, silence: Duration) -> usize {
        (silence.as_secs_f64() * f64::from(self.voice_rate)) as usize
    }
}

impl Flow {
    fn hear(&mut self, mut samples: Vec<f32>, chunk: &mut Chunk) -> Result<(), Error> {
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
        self.write(samples, chunk)
    }

    /// Volume, rate, format.
    fn write(&mut self, mut samples: Vec<f32>, chunk: &mut Chunk) -> Result<(), Error> {
        if self.volume != 1.0 {
            samples.iter_mut().for_each(|it| *it *= self.volume);
        }
        match &mut self.resampler {
            Some(resampler) => {
                let mut resampled = Vec::new();
                resampler.push(&samples, &mut resampled);
                self.encode(&resampled, chunk)
            }
            None => self.encode(&samples, chunk),
        }
    }

    fn rest(&mut self, chunk: &mut Chunk) -> Result<(), Error> {
        let mut rest = Vec::new();
        if let Some(leveller) = self.leveller.take() {
            leveller.finish(&mut rest);
        }
        self.write(rest, chunk)
    }

    fn end(&mut self, chunk: &mut Chunk) -> Result<(), Error> {
        if let Some(resampler) = self.resampler.take() {
            let mut rest = Vec::new();
            resampler.finish(&mut rest);
            self.encode(&rest, chunk)?;
        }
        if let Some(encoder) = self.encoder.take() {
            encoder.finish(&mut chunk.bytes).map_err(failed)?;
        }
        chunk.last = true;
        Ok(())
    }

    fn encode(&mut self, samples: &[f32], chunk: &mut Chunk) -> Result<(), Error> {
        let Some(encoder) = &mut self.encoder else {
            return Ok(());
        };
        chunk.samples += samples.len() as u64;
        encoder.push(samples, &mut chunk.bytes).map_err(failed)
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
            hold: None,
        }
    }
}

fn failed(cause: SoundError) -> Error {
    Error::Request(cause.to_string())
}
