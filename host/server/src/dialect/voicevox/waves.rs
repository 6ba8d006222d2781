//! Many WAV files joined to one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pipeline::{Answers, Hold, Wanted};
use serde::Deserialize;
use sound::Resampler;
use sound::wav::{self, Wav};
use tokio::sync::Semaphore;

use super::body::{self, Loc};
use crate::http::answer::{self, Answer};
use crate::http::described::{self, Asking, Entering, Taking};
use crate::http::fault::Fault;
use crate::http::route::Call;

pub(super) const BODY_MAX: usize = 64 << 20;

/// Each costs a block of a filter, however short it is.
const FILES_MAX: usize = 4_096;
/// Each needs a filter.
const RATES_MAX: usize = 8;
/// What a resampler takes.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=192_000;

/// Bodies are large: so many at a time, and the next waits so long, which is
/// short since it holds a place of the server.
static TURNS: Semaphore = Semaphore::const_new(2);
const WAIT: Duration = Duration::from_secs(1);

/// WAV files in base64, one after the other, in the highest of their rates.
#[utoipa::path(post, path = "/connect_waves",
    request_body = Vec<String>,
    responses(
        (status = 200, description = "WAV, 16 bit", body = described::Sound, content_type = "audio/wav"),
        Taking,
        Entering,
        (status = 413, description = "The body or the sound is larger than this server takes or gives"),
        Asking,
        (status = 500, description = "Work was lost; the log says why"),
        (status = 504, description = "The request's time was over"),
    ),
)]
pub(crate) async fn connect(mut call: Call) -> Result<Answer, Fault> {
    let body = call.body();
    let place = call.enter()?;
    let Ok(Ok(turn)) = tokio::time::timeout(WAIT, TURNS.acquire()).await else {
        return Err(Fault::later("many files are being joined already", 5));
    };
    let generation = call.app.pin()?;
    let pipeline = call.app.dialects.voicevox.pipeline.as_deref();
    let limit = generation.plan(pipeline)?.deadline();
    let mut join = Join {
        answers: generation.answers(),
        hold: generation.hold(),
    };
    let joined = pipeline::wanted(limit, move |wanted| {
        // Theirs until the work has ended, whoever still waits for it.
        let (_place, _turn) = (place, turn);
        let joined = join.all(&body, wanted)?;
        Ok::<_, Fault>(join.hold.keep(joined))
    });
    Ok(answer::with_type("audio/wav", joined.await?))
}

/// Lies in the body until it is its turn.
#[derive(Deserialize)]
#[serde(transparent)]
struct Encoded<'a>(#[serde(borrow)] Cow<'a, str>);

/// Whether all of them can be read.
pub(super) fn reads(body: &[u8]) -> bool {
    let Ok(files) = body::parse_borrowed::<Vec<Encoded<'_>>>(body) else {
        return false;
    };
    files.iter().take(FILES_MAX).all(|file| {
        let bytes = STANDARD.decode(file.0.as_bytes());
        bytes.is_ok_and(|bytes| wav::read(&bytes).is_ok())
    })
}

struct Join {
    answers: Answers,
    hold: Hold,
}

/// What the files become.
#[derive(Clone, Copy, Default)]
struct Shape {
    rate: u32,
    channels: u16,
}

impl Join {
    /// One file after the other is in memory, twice: before the first sample is
    /// made, their sum is known.
    fn all(&mut self, body: &[u8], wanted: &Wanted) -> Result<Vec<u8>, Fault> {
        let loc = Loc::body();
        let files: Vec<Encoded<'_>> = body::parse_borrowed(body)?;
        if files.is_empty() {
            return Err(loc.wrong("there is at least one WAV file"));
        }
        if files.len() > FILES_MAX {
            let cause = format!("{} files are given, the most is {FILES_MAX}", files.len());
            return Err(loc.wrong(cause));
        }
        let (shape, bytes) = self.measure(&files, wanted)?;
        self.hold.grow(bytes)?;
        let mut out = Vec::with_capacity(bytes);
        out.resize(HEAD, 0);
        let mut resamplers = BTreeMap::new();
        for (number, file) in files.iter().enumerate() {
            let loc = loc.at(number);
            let (wave, _kept) = self.open(file, &loc)?;
            let resampler = match resamplers.entry(wave.rate) {
                std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::btree_map::Entry::Vacant(new) => {
                    let made = Resampler::new(wave.rate, shape.rate);
                    new.insert(made.map_err(|e| loc.wrong(e.to_string()))?)
                }
            };
            let start = out.len();
            for channel in 0..usize::from(shape.channels) {
                let mut place = start + channel * 2;
                let channel = channel.min(usize::from(wave.channels) - 1);
                let mut write = |samples: &mut Vec<f32>| {
                    for sample in samples.drain(..) {
                        if out.len() < place + 2 {
                            out.resize(place + 2, 0);
                        }
                        out[place..place + 2].copy_from_slice(&s16(sample));
                        place += usize::from(shape.channels) * 2;
                    }
                };
                let mut resampled = Vec::new();
                let piece = STEP * usize::from(wave.channels);
                for frames in wave.samples.chunks(piece) {
                    wanted.check()?;
                    let samples = frames.iter().skip(channel);
                    let samples = samples.step_by(wave.channels.into());
                    let samples: Vec<_> = samples.copied().collect();
                    resampler.push(&samples, &mut resampled);
                    write(&mut resampled);
                }
                resampler.end(&mut resampled);
                write(&mut resampled);
            }
        }
        write_head(&mut out, shape.rate, shape.channels);
        Ok(out)
    }

    /// What the files are together, and the bytes they become.
    fn measure(&mut self, files: &[Encoded<'_>], wanted: &Wanted) -> Result<(Shape, usize), Fault> {
        let loc = Loc::body();
        let mut shape = Shape::default();
        let mut frames: BTreeMap<u32, u64> = BTreeMap::new();
        for (number, file) in files.iter().enumerate() {
            wanted.check()?;
            let loc = loc.at(number);
            let (wave, _kept) = self.open(file, &loc)?;
            if wave.channels > 2 {
                let cause = format!("it has {} channels; 1 or 2 can be joined", wave.channels);
                return Err(loc.wrong(cause));
            }
            if !RATES.contains(&wave.rate) {
                return Err(loc.wrong(format!(
                    "its rate is {} Hz; it lies between {} and {}",
                    wave.rate,
                    RATES.start(),
                    RATES.end()
                )));
            }
            shape.rate = shape.rate.max(wave.rate);
            shape.channels = shape.channels.max(wave.channels);
            let of_rate = frames.entry(wave.rate).or_default();
            *of_rate += wave.samples.len() as u64 / u64::from(wave.channels);
            if frames.len() > RATES_MAX {
                let cause = format!("the files have more than {RATES_MAX} different rates");
                return Err(loc.wrong(cause));
            }
        }
        let seconds = |(rate, frames): (&u32, &u64)| *frames as f64 / f64::from(*rate);
        let seconds: f64 = frames.iter().map(seconds).sum();
        self.answers.sound(Duration::from_secs_f64(seconds))?;
        // Each file may end with half a sample more.
        let samples = (seconds * f64::from(shape.rate)) as u64 + files.len() as u64;
        let bytes = HEAD as u64 + samples * 2 * u64::from(shape.channels);
        self.answers.bytes(bytes)?;
        Ok((shape, usize::try_from(bytes).unwrap_or(usize::MAX)))
    }

    /// With the right to the memory it takes.
    fn open(&self, file: &Encoded<'_>, loc: &Loc) -> Result<(Wav, Hold), Fault> {
        let mut kept = self.hold.another();
        // Its bytes, and four for each sample of one byte at the least.
        kept.grow(file.0.len() / 4 * 3 * 5)?;
        let bytes = STANDARD.decode(file.0.as_bytes());
        let bytes = bytes.map_err(|e| loc.wrong(format!("it is no base64: {e}")))?;
        let wave = wav::read(&bytes).map_err(|e| loc.wrong(e.to_string()))?;
        Ok((wave, kept))
    }
}

/// Frames between two questions whether anybody still waits.
const STEP: usize = 1 << 16;

/// The same number again for what was read from 16 bits.
fn s16(sample: f32) -> [u8; 2] {
    ((sample * 32_768.0).round() as i16).to_le_bytes()
}

const HEAD: usize = 44;

fn write_head(wav: &mut [u8], rate: u32, channels: u16) {
    let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let frame = channels * 2;
    let mut head = Vec::with_capacity(HEAD);
    head.extend(b"RIFF");
    head.extend(size(wav.len() - 8));
    head.extend(b"WAVEfmt ");
    head.extend(16_u32.to_le_bytes());
    head.extend(1_u16.to_le_bytes());
    head.extend(channels.to_le_bytes());
    head.extend(rate.to_le_bytes());
    head.extend((rate * u32::from(frame)).to_le_bytes());
    head.extend(frame.to_le_bytes());
    head.extend(16_u16.to_le_bytes());
    head.extend(b"data");
    head.extend(size(wav.len() - HEAD));
    wav[..HEAD].copy_from_slice(&head);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn file(rate: u32, channels: u16, samples: &[i16]) -> String {
        let mut wav = vec![0; HEAD];
        wav.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        write_head(&mut wav, rate, channels);
        STANDARD.encode(wav)
    }

    fn join(body: &serde_json::Value) -> Result<Vec<u8>, Fault> {
        let mut join = Join {
            answers: Answers::default(),
            hold: Hold::of(&Answers::default()),
        };
        let body = body.to_string();
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.build().expect("a runtime");
        let limit = Duration::from_secs(60);
        runtime.block_on(pipeline::wanted(limit, move |wanted| {
            join.all(body.as_bytes(), wanted)
        }))
    }

    fn joined(files: &[String]) -> Wav {
        let wav = join(&json!(files)).expect("joined");
        wav::read(&wav).expect("a WAV file")
    }

    #[test]
    fn files_of_one_kind_keep_every_sample() {
        let joined = joined(&[file(24_000, 1, &[1, -32_768]), file(24_000, 1, &[32_767])]);
        assert_eq!((joined.rate, joined.channels), (24_000, 1));
        let samples: Vec<_> = joined.samples.iter().map(|it| it * 32_768.0).collect();
        assert_eq!(samples, [1.0, -32_768.0, 32_767.0]);
    }

    #[test]
    fn others_take_the_higher_rate_and_both_channels() {
        let joined = joined(&[file(24_000, 1, &[0; 240]), file(48_000, 2, &[5, 6, 7, 8])]);
        assert_eq!((joined.rate, joined.channels), (48_000, 2));
        assert_eq!(joined.samples.len(), 2 * (480 + 2));
        let last: Vec<_> = joined.samples[960..]
            .iter()
            .map(|it| it * 32_768.0)
            .collect();
        assert_eq!(last, [5.0, 6.0, 7.0, 8.0]);
    }

    #[test]
    fn what_would_be_too_much_is_refused_before_it_is_made() {
        let grows = json!([file(1_000, 1, &[0; 590_000]), file(192_000, 2, &[0; 2])]);
        let long = json!([file(1_000, 1, &[0; 601_000])]);
        for body in [grows, long] {
            let fault = join(&body).expect_err("refused");
            assert_eq!(fault.status, hyper::StatusCode::PAYLOAD_TOO_LARGE);
        }
    }

    #[test]
    fn what_cannot_be_joined_has_its_place() {
        for (body, loc) in [
            (json!([]), json!(["body"])),
            (json!(["AAAA"]), json!(["body", 0])),
            (json!([file(8_000, 1, &[0]), "?"]), json!(["body", 1])),
            (json!([file(8_000, 3, &[0; 3])]), json!(["body", 0])),
            (json!([file(999, 1, &[0])]), json!(["body", 0])),
            (
                json!([file(8_000, 1, &[0]), file(200_000, 1, &[0])]),
                json!(["body", 1]),
            ),
            (json!(vec![file(8_000, 1, &[0]); 4_097]), json!(["body"])),
            (
                json!(
                    (0..9)
                        .map(|it| file(8_000 + it, 1, &[0]))
                        .collect::<Vec<_>>()
                ),
                json!(["body", 8]),
            ),
            (json!(["AAAA", 1]), json!(["body", 1])),
        ] {
            let fault = join(&body).expect_err("refused");
            assert_eq!(
                fault.told.expect("a place")[0]["loc"],
                loc,
                "{}",
                fault.detail
            );
        }
    }
}
