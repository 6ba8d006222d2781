//! From a query to sound: one answer, a stream, or a file for each of many.

use std::io::Write;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::StatusCode;
use pipeline::range;
use pipeline::{
    Answers, Channels, Delivery, Format, Generation, Hold, Loudness, Request, Sound, Split,
    VoiceSettings,
};
use sound::{Encoder, Shape};
use speech::moras::Given;
use speech::phrases::{self, Phrase};
use zip::CompressionMethod;
use zip::write::FileOptions;

use super::body::{self, Loc};
use super::catalog::Catalog;
use super::query::AudioQuery;
use super::style_id;
use crate::http::access::Place;
use crate::http::answer::{self, Answer, Body, Cut, Flow};
use crate::http::described::{self, Asking, Entering, Flag, Taking, Working};
use crate::http::fault::Fault;
use crate::http::query::{Query, wrong};
use crate::http::route::Call;
use crate::speak::{self, Speech};

/// Queries of one `/multi_synthesis`, and the bytes of its body.
const MANY: usize = 256;
pub(super) const MANY_BYTES: usize = 8 << 20;

/// Sound of a query without phrases, as AivisSpeech has it.
const SILENCE: f64 = 0.5;

/// From a query to sound, in one piece.
///
/// Whoever goes away cancels.
#[utoipa::path(post, path = "/synthesis",
    params(
        ("speaker" = i64, Query, description = "Number of a style, as GET /speakers has it"),
        ("enable_interrogative_upspeak" = inline(Option<Flag>), Query, description = "Whether questions rise; true without it"),
        ("core_version" = Option<String>, Query, description = "Passed over"),
    ),
    request_body = AudioQuery,
    responses(
        (status = 200, description = "WAV, 16 bit", body = described::Sound, content_type = "audio/wav"),
        Taking,
        Entering,
        Working,
        (status = 400, description = "It cannot be spoken, or the body broke off"),
        (status = 404, description = "There is no such style"),
        Asking,
    ),
)]
pub(crate) async fn synthesis(mut call: Call) -> Result<Answer, Fault> {
    let place = call.enter()?;
    let body = call.body();
    let asked = Asked::of(&call)?;
    let query: AudioQuery = body::parse(&body)?;
    let phrases = query.checked(&Loc::body(), asked.questions)?;
    match asked
        .speak(&call, place, &query, phrases, Delivery::Whole)
        .await?
    {
        Spoken::Speech(speech) => Ok(speech.answer()),
        Spoken::Silence(wav) => Ok(answer::with_type("audio/wav", wav)),
    }
}

/// The same as it is made.
///
/// A query as it was made is spoken sentence by sentence, an edited one in one run;
/// both leave window by window, and `segment_length` changes nothing.
#[utoipa::path(post, path = "/streaming_synthesis",
    params(
        ("speaker" = i64, Query, description = "Number of a style, as GET /speakers has it"),
        ("enable_interrogative_upspeak" = inline(Option<Flag>), Query, description = "Whether questions rise; true without it"),
        ("start_offset" = Option<f32>, Query, minimum = 0.0, description = "Seconds that are left out"),
        ("segment_length" = Option<f32>, Query, exclusive_minimum = 0.0),
        ("core_version" = Option<String>, Query, description = "Passed over"),
    ),
    request_body = AudioQuery,
    responses(
        (status = 200, description = "WAV, 16 bit", body = described::Sound, content_type = "audio/wav"),
        Taking,
        Entering,
        Working,
        (status = 400, description = "It cannot be spoken, or the offset lies beyond the end"),
        (status = 404, description = "There is no such style"),
        Asking,
    ),
)]
pub(crate) async fn streaming(mut call: Call) -> Result<Answer, Fault> {
    let place = call.enter()?;
    let body = call.body();
    let asked = Asked::of(&call)?;
    let parameters = Query::new(call.query());
    let start = parameters.float("start_offset")?.unwrap_or(0.0);
    if start < 0.0 {
        return Err(wrong("start_offset", "it is not negative"));
    }
    if parameters
        .float("segment_length")?
        .is_some_and(|it| it <= 0.0)
    {
        return Err(wrong("segment_length", "it is more than 0"));
    }
    let query: AudioQuery = body::parse(&body)?;
    let phrases = query.checked(&Loc::body(), asked.questions)?;
    let skipped = Skipped::new(start, &query);
    match asked
        .speak(&call, place, &query, phrases, Delivery::Stream)
        .await?
    {
        Spoken::Speech(speech) => {
            let headers = speak::told(speech.head());
            let flow = skipped.skip(speech.body()).await?;
            let mut answer = answer::with_type("audio/wav", Bytes::new());
            *answer.body_mut() = Body::Flow(Box::new(flow));
            answer.headers_mut().extend(headers);
            Ok(answer)
        }
        Spoken::Silence(wav) => {
            let flow = skipped.skip(Body::Whole(wav)).await?;
            let mut answer = answer::with_type("audio/wav", Bytes::new());
            *answer.body_mut() = Body::Flow(Box::new(flow));
            Ok(answer)
        }
    }
}

/// A WAV file for each query, in a ZIP.
#[utoipa::path(post, path = "/multi_synthesis",
    params(
        ("speaker" = i64, Query, description = "Number of a style, as GET /speakers has it"),
        ("enable_interrogative_upspeak" = inline(Option<Flag>), Query, description = "Whether questions rise; true without it"),
        ("core_version" = Option<String>, Query, description = "Passed over"),
    ),
    request_body = Vec<AudioQuery>,
    responses(
        (status = 200, description = "The files, by number", body = described::Sound, content_type = "application/zip"),
        Taking,
        Entering,
        Working,
        (status = 400, description = "One cannot be spoken, or the body broke off"),
        (status = 404, description = "There is no such style"),
        Asking,
    ),
)]
pub(crate) async fn multi(mut call: Call) -> Result<Answer, Fault> {
    let mut place = Some(call.enter()?);
    let body = call.body();
    let asked = Asked::of(&call)?;
    let queries: Vec<AudioQuery> = body::parse(&body)?;
    drop(body);
    let loc = Loc::body();
    let Some(first) = queries.first() else {
        return Err(loc.wrong("there is at least one query"));
    };
    if queries.len() > MANY {
        return Err(loc.wrong(format!(
            "{} queries are given, the most is {MANY}",
            queries.len()
        )));
    }
    let mut checked = Vec::with_capacity(queries.len());
    for (number, query) in queries.iter().enumerate() {
        let loc = loc.at(number);
        if query.sampling_rate != first.sampling_rate {
            return Err(loc.at("outputSamplingRate").wrong(format!(
                "it is {}, that of the first query {}; all have the same",
                query.sampling_rate, first.sampling_rate
            )));
        }
        checked.push(query.checked(&loc, asked.questions)?);
    }
    let mut archive = {
        let generation = call.app.pin()?;
        Archive::new(generation.answers(), generation.hold())
    };
    for (query, phrases) in queries.iter().zip(checked) {
        // The others wait in between, so each is let in by itself.
        let place = match place.take() {
            Some(place) => place,
            None => call.enter()?,
        };
        let wav = match asked
            .speak(&call, place, query, phrases, Delivery::Whole)
            .await?
        {
            Spoken::Speech(speech) => Bytes::from(speech.collect().await?),
            Spoken::Silence(wav) => wav,
        };
        archive.add(&wav)?;
    }
    Ok(answer::with_type("application/zip", archive.finish()?))
}

/// What the parameters say.
struct Asked {
    style: i64,
    /// Whether a question without a mark gets one.
    questions: bool,
}

enum Spoken {
    Speech(Speech),
    Silence(Bytes),
}

impl Asked {
    fn of(call: &Call) -> Result<Self, Fault> {
        let query = Query::new(call.query());
        Ok(Self {
            style: style_id(&query)?,
            questions: query.flag("enable_interrogative_upspeak")?.unwrap_or(true),
        })
    }

    async fn speak(
        &self,
        call: &Call,
        place: Place,
        query: &AudioQuery,
        phrases: Vec<Phrase>,
        delivery: Delivery,
    ) -> Result<Spoken, Fault> {
        let generation = call.app.pin()?;
        let request = {
            let catalog = Catalog::of(&generation);
            let (listed, style) = catalog.style(self.style)?;
            listed.cast(style)
        };
        if phrases.is_empty() {
            return Ok(Spoken::Silence(silence(query)?));
        }
        let pipeline = call.app.dialects.voicevox.pipeline.as_deref();
        let words = match (delivery, query.kana.as_deref()) {
            (Delivery::Stream, Some(kana))
                if is_read(&generation, pipeline, kana, &phrases).await =>
            {
                Words {
                    text: kana.to_owned(),
                    given: None,
                    split: Split::Sentence,
                }
            }
            _ => Words::given(&generation, pipeline, query, &phrases).await?,
        };
        let request = Request {
            text: words.text,
            given: words.given,
            split: Some(words.split),
            pipeline: pipeline.map(str::to_owned),
            settings: voice_settings(query, request.settings.style),
            sound: sound_of(query, delivery),
            delivery,
            ..request
        };
        let speech = speak::speak(&call.app, generation, place, request, &call.id).await;
        // The text is ours, made of what the body says.
        let speech = speech.map_err(|fault| Fault {
            field: fault.field.filter(|field| field != "text"),
            ..fault
        });
        Ok(Spoken::Speech(speech?))
    }
}

/// What is said, as the pipeline takes it.
struct Words {
    text: String,
    given: Option<Given>,
    split: Split,
}

impl Words {
    /// The phrases as they are, in one run. The models find their mood by the
    /// text that was asked for, or by what the phrases say, if they were edited
    /// so much that they no longer fit it.
    async fn given(
        generation: &Arc<Generation>,
        pipeline: Option<&str>,
        query: &AudioQuery,
        phrases: &[Phrase],
    ) -> Result<Self, Fault> {
        let given = Given::Moras(phrases::moras(phrases));
        let kana = query.kana.as_deref();
        let mut text = phrases::hiragana(phrases);
        if let Some(kana) = kana.filter(|kana| !kana.trim().is_empty())
            && pipeline::fits(generation, pipeline, kana, &given).await?
        {
            kana.clone_into(&mut text);
        }
        Ok(Self {
            text,
            given: Some(given),
            split: Split::None,
        })
    }
}

/// Whether the phrases are those of the text, so that a stream may begin with
/// its first sentence instead of waiting for one run over all of it.
async fn is_read(
    generation: &Arc<Generation>,
    pipeline: Option<&str>,
    kana: &str,
    phrases: &[Phrase],
) -> bool {
    let Ok(said) = pipeline::pronounce(generation, pipeline, kana).await else {
        return false;
    };
    // Grouped as the query was: it may lose a tone on the way.
    let own = phrases::of(&said.moras);
    own.is_ok_and(|own| phrases::moras(&own) == phrases::moras(phrases))
}

/// AivisSpeech's scales in the models' own.
fn voice_settings(query: &AudioQuery, style: Option<String>) -> VoiceSettings {
    VoiceSettings {
        style,
        style_weight: Some(match query.intonation {
            scale @ 0.0..=1.0 => scale,
            scale @ 1.0..=2.0 => 1.0 + (scale - 1.0) * 9.0,
            _ => 1.0,
        }),
        speed: Some(range::SPEED.clamp(query.speed)),
        sdp_ratio: Some(match query.tempo_dynamics {
            scale @ 0.0..=1.0 => scale * 0.2,
            scale @ 1.0..=2.0 => 0.2 + (scale - 1.0) * 0.8,
            _ => 0.2,
        }),
        noise: Some(0.6),
        noise_w: Some(0.8),
        pitch: Some(range::PITCH.clamp(1.0 + query.pitch)),
        intonation: None,
        seed: None,
    }
}

fn sound_of(query: &AudioQuery, delivery: Delivery) -> Sound {
    let silence =
        |seconds: f32| Duration::from_secs_f64(f64::from(seconds) / f64::from(query.speed));
    Sound {
        format: Format::Wav,
        sampling_rate: Some(rate(query)),
        channels: channels(query),
        loudness: Some(match delivery {
            Delivery::Whole => Loudness::Whole,
            Delivery::Stream => Loudness::Running,
        }),
        volume: query.volume.min(range::VOLUME.high),
        trim: true,
        leading: silence(query.leading),
        trailing: silence(query.trailing),
    }
}

fn rate(query: &AudioQuery) -> u32 {
    u32::try_from(query.sampling_rate).unwrap_or(super::query::SAMPLING_RATE)
}

fn channels(query: &AudioQuery) -> Channels {
    match query.stereo {
        true => Channels::Stereo,
        false => Channels::Mono,
    }
}

fn silence(query: &AudioQuery) -> Result<Bytes, Fault> {
    let shape = Shape {
        rate: rate(query),
        channels: channels(query),
    };
    let samples = sound::silence(SILENCE, shape.rate);
    let mut wav = Vec::new();
    let encode = |wav: &mut Vec<u8>| {
        let mut encoder = Encoder::new(Format::Wav, shape, Some(samples.len() as u64))?;
        encoder.push(&samples, wav)?;
        encoder.finish(wav)
    };
    encode(&mut wav).map_err(|e| Loc::body().wrong(e.to_string()))?;
    Ok(wav.into())
}

/// The first samples of a stream, which nobody wants.
struct Skipped {
    bytes: usize,
}

/// Of a WAV file of 16 bits.
const HEAD: usize = 44;

impl Skipped {
    fn new(start: f32, query: &AudioQuery) -> Self {
        let frame = match query.stereo {
            true => 4,
            false => 2,
        };
        let frames = (f64::from(start) * f64::from(rate(query))) as usize;
        Self {
            bytes: frames.saturating_mul(frame),
        }
    }

    /// Reads until something is left to be heard, so that an offset beyond the
    /// end still has a status of its own.
    async fn skip(self, mut sound: Body) -> Result<Rest, Fault> {
        let mut head: Vec<u8> = Vec::new();
        let mut left = self.bytes;
        loop {
            let Some(frame) = sound.frame().await else {
                break;
            };
            let frame = frame.map_err(|cut| Fault::later(cut.to_string(), 1))?;
            let mut bytes = frame.into_data().unwrap_or_default();
            let of_head = (HEAD - head.len()).min(bytes.len());
            head.extend_from_slice(&bytes.split_to(of_head));
            let skipped = left.min(bytes.len());
            let heard = bytes.split_off(skipped);
            left -= skipped;
            if !heard.is_empty() {
                head.extend_from_slice(&heard);
                return Ok(Rest {
                    first: Some(endless(head)),
                    sound,
                });
            }
        }
        Err(Fault::field(
            StatusCode::BAD_REQUEST,
            "start_offset",
            "it lies beyond the end of the sound",
        ))
    }
}

/// A head that does not say how much follows.
fn endless(mut wav: Vec<u8>) -> Bytes {
    for place in [4, 40] {
        if let Some(size) = wav.get_mut(place..place + 4) {
            size.copy_from_slice(&u32::MAX.to_le_bytes());
        }
    }
    wav.into()
}

struct Rest {
    first: Option<Bytes>,
    sound: Body,
}

impl Flow for Rest {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        use hyper::body::Body as _;
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let frame = std::pin::Pin::new(&mut self.sound).poll_frame(context);
        frame.map(|frame| frame.map(|it| it.map(|it| it.into_data().unwrap_or_default())))
    }
}

/// Files `001.wav`, `002.wav`, …, as they are: sound hardly shrinks.
struct Archive {
    zip: zip::ZipWriter<std::io::Cursor<Vec<u8>>>,
    files: usize,
    bytes: u64,
    answers: Answers,
    hold: Hold,
}

impl Archive {
    fn new(answers: Answers, hold: Hold) -> Self {
        Self {
            answers,
            hold,
            zip: zip::ZipWriter::new(std::io::Cursor::new(Vec::new())),
            files: 0,
            bytes: 0,
        }
    }

    fn add(&mut self, wav: &[u8]) -> Result<(), Fault> {
        self.files += 1;
        self.bytes += wav.len() as u64;
        self.answers.bytes(self.bytes)?;
        self.hold.grow(wav.len())?;
        let stored = FileOptions::default().compression_method(CompressionMethod::Stored);
        let name = format!("{:03}.wav", self.files);
        self.zip
            .start_file(name, stored)
            .map_err(|e| unwritten(&e))?;
        self.zip.write_all(wav).map_err(|e| unwritten(&e))
    }

    fn finish(mut self) -> Result<Bytes, Fault> {
        let archive = self.zip.finish().map_err(|e| unwritten(&e))?;
        Ok(self.hold.keep(archive.into_inner()))
    }
}

fn unwritten(error: &dyn std::fmt::Display) -> Fault {
    let detail = format!("the archive cannot be written: {error}");
    Fault::operator(StatusCode::INTERNAL_SERVER_ERROR, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(changes: serde_json::Value) -> AudioQuery {
        let mut query = serde_json::json!({
            "accent_phrases": [], "speedScale": 1.0, "intonationScale": 1.0, "pitchScale": 0.0,
            "volumeScale": 1.0, "prePhonemeLength": 0.1, "postPhonemeLength": 0.1,
            "outputSamplingRate": 44100, "outputStereo": false,
        });
        for (name, value) in changes.as_object().cloned().unwrap_or_default() {
            query[name] = value;
        }
        body::parse(query.to_string().as_bytes()).expect("a query")
    }

    #[test]
    fn the_scales_are_those_of_aivisspeech() {
        let near =
            |found: Option<f32>, wanted: f32| (found.unwrap_or(f32::NAN) - wanted).abs() < 1e-4;
        for (scale, weight, sdp) in [
            (0.0, 0.0, 0.0),
            (0.5, 0.5, 0.1),
            (1.0, 1.0, 0.2),
            (1.5, 5.5, 0.6),
            (2.0, 10.0, 1.0),
            (3.0, 1.0, 0.2),
        ] {
            let query =
                query(serde_json::json!({"intonationScale": scale, "tempoDynamicsScale": scale}));
            let delivery = voice_settings(&query, None);
            assert!(near(delivery.style_weight, weight), "{scale}");
            assert!(near(delivery.sdp_ratio, sdp), "{scale}");
        }
        for (speed, pitch, wanted) in [(0.01, -3.0, (0.1, 0.25)), (2.0, 0.15, (2.0, 1.15))] {
            let query = query(serde_json::json!({"speedScale": speed, "pitchScale": pitch}));
            let delivery = voice_settings(&query, None);
            assert!(near(delivery.speed, wanted.0) && near(delivery.pitch, wanted.1));
        }
    }

    #[test]
    fn silence_is_shorter_where_speech_is_faster() {
        let query = query(serde_json::json!({"speedScale": 2.0, "prePhonemeLength": 0.5}));
        assert_eq!(
            sound_of(&query, Delivery::Whole).leading,
            Duration::from_millis(250)
        );
        let wav = silence(&query).expect("silence");
        assert_eq!(wav.len(), HEAD + 22_050 * 2);
    }
}
