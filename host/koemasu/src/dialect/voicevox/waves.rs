//! Many WAV files joined to one.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sound::Resampler;
use sound::wav::{self, Wav};
use tokio::sync::Semaphore;

use super::body::{self, Loc};
use crate::answer::{self, Answer};
use crate::fault::Fault;
use crate::openapi::{self, Entering, Taking};
use crate::route::Call;

/// Of a body, and of the samples it may become: a low rate beside a high one
/// grows.
pub(super) const BODY_MAX: usize = 64 << 20;
const SAMPLES_MAX: u64 = 128 << 20;

/// Bodies are large: so many at a time, and the next waits so long.
static TURNS: Semaphore = Semaphore::const_new(2);
const WAIT: Duration = Duration::from_secs(30);

/// WAV files in base64, one after the other, in the highest of their rates.
#[utoipa::path(post, path = "/connect_waves",
    request_body = Vec<String>,
    responses(
        (status = 200, description = "WAV, 16 bit", body = openapi::Sound, content_type = "audio/wav"),
        Taking,
        Entering,
        (status = 422, description = "A parameter or the body is wrong or missing"),
        (status = 500, description = "Work was lost; the log says why"),
    ),
)]
pub(crate) async fn connect(mut call: Call) -> Result<Answer, Fault> {
    let _place = call.enter()?;
    let turn = tokio::time::timeout(WAIT, TURNS.acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        return Err(Fault::later("many files are being joined already", 5));
    };
    let body = call.body();
    let joined = tokio::task::spawn_blocking(move || join(&body)).await;
    let wav = joined.map_err(|lost| pipeline::Error::Lost(lost.to_string()))??;
    Ok(answer::with_type("audio/wav", wav))
}

/// Lies in the body until it is its turn.
#[derive(Deserialize)]
#[serde(transparent)]
struct Encoded<'a>(#[serde(borrow)] Cow<'a, str>);

fn join(body: &[u8]) -> Result<Vec<u8>, Fault> {
    let loc = Loc::body();
    let files: Vec<Encoded<'_>> = body::parse_borrowed(body)?;
    if files.is_empty() {
        return Err(loc.wrong("there is at least one WAV file"));
    }
    let mut waves = Vec::with_capacity(files.len());
    for (number, file) in files.into_iter().enumerate() {
        let loc = loc.at(number);
        let bytes = STANDARD.decode(file.0.as_bytes());
        let bytes = bytes.map_err(|e| loc.wrong(format!("it is no base64: {e}")))?;
        let wave = wav::read(&bytes).map_err(|e| loc.wrong(e.to_string()))?;
        if wave.channels > 2 {
            let cause = format!("it has {} channels; 1 or 2 can be joined", wave.channels);
            return Err(loc.wrong(cause));
        }
        waves.push(wave);
    }
    let rate = waves.iter().map(|wave| wave.rate).max().unwrap_or(0);
    let channels = waves.iter().map(|wave| wave.channels).max().unwrap_or(1);
    let grown = |wave: &Wav| {
        let frames = wave.samples.len() as u64 / u64::from(wave.channels);
        frames.saturating_mul(rate.into()) / u64::from(wave.rate) * u64::from(channels)
    };
    let samples = waves.iter().map(grown).fold(0, u64::saturating_add);
    if samples > SAMPLES_MAX {
        let cause = format!("together they are {samples} samples, the most is {SAMPLES_MAX}");
        return Err(loc.wrong(cause));
    }
    let mut out = Vec::with_capacity(HEAD + samples as usize * 2);
    out.resize(HEAD, 0);
    for (number, wave) in waves.into_iter().enumerate() {
        let left = resampled(&wave, 0, rate);
        let right = match channels {
            2 => Some(resampled(&wave, usize::from(wave.channels) - 1, rate)),
            _ => None,
        };
        let left = left.map_err(|e| loc.at(number).wrong(e.to_string()))?;
        let right = right.transpose();
        let right = right.map_err(|e| loc.at(number).wrong(e.to_string()))?;
        for (place, sample) in left.into_iter().enumerate() {
            out.extend(s16(sample));
            if let Some(right) = &right {
                out.extend(s16(right.get(place).copied().unwrap_or_default()));
            }
        }
    }
    write_head(&mut out, rate, channels);
    Ok(out)
}

/// One channel in another rate.
fn resampled(wave: &Wav, channel: usize, rate: u32) -> Result<Vec<f32>, sound::SoundError> {
    let samples = wave.samples.iter().skip(channel);
    let samples: Vec<_> = samples.step_by(wave.channels.into()).copied().collect();
    if wave.rate == rate {
        return Ok(samples);
    }
    let mut resampler = Resampler::new(wave.rate, rate)?;
    let mut out = Vec::new();
    resampler.push(&samples, &mut out);
    resampler.finish(&mut out);
    Ok(out)
}

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

    fn joined(files: &[String]) -> Wav {
        let wav = join(json!(files).to_string().as_bytes()).expect("joined");
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
    fn what_cannot_be_joined_has_its_place() {
        for (body, loc) in [
            (json!([]), json!(["body"])),
            (json!(["AAAA"]), json!(["body", 0])),
            (json!([file(8_000, 1, &[0]), "?"]), json!(["body", 1])),
            (json!([file(8_000, 3, &[0; 3])]), json!(["body", 0])),
            (
                json!([file(1_000, 1, &[0; 2_000_000]), file(192_000, 1, &[0])]),
                json!(["body"]),
            ),
            (json!(["AAAA", 1]), json!(["body", 1])),
        ] {
            let fault = join(body.to_string().as_bytes()).expect_err("refused");
            assert_eq!(
                fault.told.expect("a place")[0]["loc"],
                loc,
                "{}",
                fault.detail
            );
        }
    }
}
