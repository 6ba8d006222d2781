//! OpenAI's speech API: `POST /v1/audio/speech` in full, and the lists that
//! its clients and proxies ask for.
//!
//! Source: OpenAI's API reference, "Create speech" and "Speech stream events".
//! What its fields cannot say stands in one object of our own, `koemasu`.

use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::Response;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use pipeline::{
    Answer as Way, Assist, Channels, Delivery, Format, Loudness, Pauses, Priority, Request, Sound,
    Split,
};
use serde::Deserialize;
use serde_json::{Value, json};
use speech::moras::{Given, Mora};

use crate::answer::{self, Answer, Body, Cut, Flow};
use crate::dialect::Part;
use crate::fault::Fault;
use crate::route::{Call, Route, Who, routes};
use crate::speak::{self, Speech as Spoken};

pub(crate) fn routes() -> Vec<Route> {
    use hyper::Method;
    routes![
        POST "/v1/audio/speech" "speech" Key Part::OpenAi => speech;
        GET "/v1/audio/voices" "voices" Key Part::OpenAi => voices;
        GET "/v1/models" "models" Key Part::OpenAi => models;
    ]
}

/// `POST /v1/audio/speech`.
pub(crate) async fn speech(mut call: Call) -> Result<Answer, Fault> {
    let place = call.enter()?;
    let body = call.body().await?;
    let asked = parse(&body)?;
    let stream_format = asked.stream_format.unwrap_or_default();
    let mut request = asked.request()?;
    let dialect = &call.app.dialects.openai;
    if let Some(other) = dialect.voices.get(&request.voice) {
        request.voice.clone_from(other);
    }
    let pipelines = call.app.pin()?;
    let named = |name: &String| pipelines.pipelines().contains(&name.as_str());
    // `model` names a pipeline where there is one of that name.
    request.pipeline = request
        .pipeline
        .or_else(|| asked.model.clone().filter(named))
        .or_else(|| dialect.pipeline.clone());
    drop(pipelines);
    let spoken = speak::speak(&call.app, place, request, &call.id).await;
    let spoken = spoken.map_err(bad_request)?;
    Ok(match stream_format {
        StreamFormat::Audio => spoken.answer(),
        StreamFormat::Sse => events(spoken, &asked),
    })
}

/// A name in the body that nothing has is a wrong body: OpenAI keeps 404 for
/// what an address does not find.
fn bad_request(fault: Fault) -> Fault {
    if fault.status != StatusCode::NOT_FOUND {
        return fault;
    }
    let field = fault.field.map(|field| match field.as_str() {
        "voice" | "speaker" => "voice".to_owned(),
        own => format!("koemasu.{own}"),
    });
    Fault {
        status: StatusCode::BAD_REQUEST,
        field,
        ..fault
    }
}

/// `GET /v1/audio/voices`: not OpenAI's, but what its compatible servers have.
pub(crate) async fn voices(call: Call) -> Result<Answer, Fault> {
    let generation = call.app.pin()?;
    let voices: Vec<_> = generation
        .voices()
        .iter()
        .map(|(name, voice)| {
            let package = voice.package();
            json!({
                "name": name,
                "title": package.name(),
                "speakers": package.speakers().collect::<Vec<_>>(),
                "styles": package.styles().collect::<Vec<_>>(),
                "sampling_rate": package.sampling_rate(),
                "licence": package.licence(),
            })
        })
        .collect();
    Ok(answer::json(&json!({
        "voices": voices,
        "pipelines": generation.pipelines(),
        "generation": generation.number(),
    })))
}

/// `GET /v1/models`: the pipelines, which are what `model` may name.
pub(crate) async fn models(call: Call) -> Result<Answer, Fault> {
    let generation = call.app.pin()?;
    let model =
        |name: &&str| json!({"id": name, "object": "model", "created": 0, "owned_by": "koemasu"});
    let models: Vec<_> = generation.pipelines().iter().map(model).collect();
    Ok(answer::json(&json!({"object": "list", "data": models})))
}

/// OpenAI's error object.
pub(crate) fn tell(fault: &Fault) -> Answer {
    let (kind, code) = match fault.status {
        StatusCode::UNAUTHORIZED => ("invalid_request_error", Some("invalid_api_key")),
        StatusCode::TOO_MANY_REQUESTS => ("requests", Some("rate_limit_exceeded")),
        StatusCode::SERVICE_UNAVAILABLE => ("server_error", Some("overloaded")),
        status if status.is_client_error() => ("invalid_request_error", None),
        _ => ("server_error", None),
    };
    fault.dress(answer::json(&json!({ "error": {
        "message": fault.detail,
        "type": kind,
        "param": fault.field,
        "code": code,
    }})))
}

/// OpenAI's fields, and our own under `koemasu`. `instructions` are taken and
/// change nothing: the models know no such thing. Clients send fields of other
/// servers too, and null for what they leave open.
#[derive(Debug, Deserialize)]
struct Speech {
    input: String,
    model: Option<String>,
    voice: Option<VoiceName>,
    instructions: Option<String>,
    response_format: Option<ResponseFormat>,
    speed: Option<f32>,
    stream_format: Option<StreamFormat>,
    koemasu: Option<Own>,
}

/// A name, or an object with an `id`, as OpenAI allows.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "`voice` is a name, or an object with the name as its `id`"
)]
enum VoiceName {
    Name(String),
    Object { id: String },
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ResponseFormat {
    Mp3,
    Opus,
    Aac,
    Flac,
    Wav,
    Pcm,
    /// Ours: 32-bit floats.
    WavFloat,
    PcmFloat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StreamFormat {
    #[default]
    Audio,
    Sse,
}

/// What OpenAI's fields cannot say. Everything is optional.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Own {
    pipeline: Option<String>,
    language: Option<String>,
    style: Option<String>,
    style_weight: Option<f32>,
    sdp_ratio: Option<f32>,
    noise: Option<f32>,
    noise_w: Option<f32>,
    seed: Option<u64>,
    pitch: Option<f32>,
    intonation: Option<f32>,
    split: Option<Split>,
    /// `[["コ", 0], ["エ", 1]]`: kana and tones instead of the frontend's.
    moras: Option<Vec<(String, u8)>>,
    phonemes: Option<Vec<String>>,
    tones: Option<Vec<u8>>,
    assist_text: Option<String>,
    assist_weight: Option<f32>,
    bert_strength: Option<f32>,
    /// False: in one piece, with its length in the header. Only FLAC comes so
    /// unless this is true.
    stream: Option<bool>,
    loudness: Option<Loudness>,
    sampling_rate: Option<u32>,
    /// 1 or 2.
    channels: Option<u8>,
    volume: Option<f32>,
    /// Seconds, all of them.
    leading_silence: Option<f32>,
    trailing_silence: Option<f32>,
    sentence_pause: Option<f32>,
    line_pause: Option<f32>,
    deadline: Option<f32>,
    priority: Option<Priority>,
}

impl Own {
    fn given(&mut self) -> Result<Option<Given>, Fault> {
        let refused = |detail: &str| Err(Fault::caller(StatusCode::BAD_REQUEST, detail));
        let phonemes = (self.phonemes.take(), self.tones.take());
        Ok(match (self.moras.take(), phonemes) {
            (None, (None, None)) => None,
            (Some(moras), (None, None)) => {
                let mora = |(kana, tone)| Mora { kana, tone };
                Some(Given::Moras(moras.into_iter().map(mora).collect()))
            }
            (None, (Some(phonemes), Some(tones))) => Some(Given::Phonemes { phonemes, tones }),
            (None, (None, Some(tones))) => Some(Given::Tones(tones)),
            (None, (Some(_), None)) => {
                return refused("`phonemes` come with `tones`, one for each");
            }
            (Some(_), _) => {
                return refused(
                    "`moras` have their tones with them; `phonemes` and `tones` are another way to say the same",
                );
            }
        })
    }

    fn sound(&self, format: Format) -> Result<Sound, Fault> {
        let usual = Sound::default();
        Ok(Sound {
            format,
            sampling_rate: self.sampling_rate.or(match format {
                // What OpenAI's players play raw samples at.
                Format::Pcm => Some(PCM_RATE),
                _ => None,
            }),
            channels: match self.channels {
                None | Some(1) => Channels::Mono,
                Some(2) => Channels::Stereo,
                Some(other) => {
                    return Err(wrong(
                        "koemasu.channels",
                        format!("`channels` is {other}; it is 1 or 2"),
                    ));
                }
            },
            loudness: self.loudness,
            volume: self.volume.unwrap_or(usual.volume),
            trim: false,
            leading: seconds("leading_silence", self.leading_silence)?.unwrap_or_default(),
            trailing: seconds("trailing_silence", self.trailing_silence)?.unwrap_or_default(),
        })
    }
}

/// Samples per second of OpenAI's `pcm`.
const PCM_RATE: u32 = 24_000;

/// Most characters that OpenAI takes.
const INPUT_MAX: usize = 4_096;

/// A span that a caller gives in seconds.
fn seconds(name: &str, given: Option<f32>) -> Result<Option<Duration>, Fault> {
    let Some(given) = given else {
        return Ok(None);
    };
    match (0.0..=3_600.0).contains(&given) {
        true => Ok(Some(Duration::from_secs_f32(given))),
        false => Err(wrong(
            &format!("koemasu.{name}"),
            format!("`{name}` is {given} seconds; it lies between 0 and 3600"),
        )),
    }
}

fn wrong(field: &str, detail: impl Into<String>) -> Fault {
    Fault::field(StatusCode::BAD_REQUEST, field, detail)
}

fn parse(body: &[u8]) -> Result<Speech, Fault> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let speech: Result<Speech, _> = serde_path_to_error::deserialize(&mut reader);
    let speech = speech.map_err(|e| {
        let path = e.path().to_string();
        let detail = format!("the body is not as documented: {}", e.inner());
        match path.as_str() {
            "." => Fault::caller(StatusCode::BAD_REQUEST, detail),
            path => wrong(path, format!("{detail} (in `{path}`)")),
        }
    })?;
    let trailing = reader.end();
    trailing.map_err(|e| {
        Fault::caller(
            StatusCode::BAD_REQUEST,
            format!("the body is not as documented: {e}"),
        )
    })?;
    Ok(speech)
}

impl Speech {
    fn request(&self) -> Result<Request, Fault> {
        if let Some(speed) = self.speed
            && !(0.25..=4.0).contains(&speed)
        {
            let detail = format!("`speed` is {speed}; it lies between 0.25 and 4");
            return Err(wrong("speed", detail));
        }
        if self.input.is_empty() {
            return Err(wrong("input", "the text is empty"));
        }
        for (name, text) in [
            ("input", Some(&self.input)),
            ("instructions", self.instructions.as_ref()),
        ] {
            let characters = text.map_or(0, |text| text.chars().count());
            if characters > INPUT_MAX {
                let detail =
                    format!("`{name}` has {characters} characters, the most is {INPUT_MAX}");
                return Err(wrong(name, detail));
            }
        }
        let mut own = self.koemasu.clone().unwrap_or_default();
        let sound = own.sound(self.format()?)?;
        let given = own.given()?;
        Ok(Request {
            text: self.input.clone(),
            voice: match &self.voice {
                Some(VoiceName::Name(name) | VoiceName::Object { id: name }) => name.clone(),
                None => String::new(),
            },
            pipeline: own.pipeline,
            language: own.language,
            split: own.split,
            given,
            assist: own.assist_text.map(|text| Assist {
                text,
                // Style-Bert-VITS2's own default.
                weight: own.assist_weight.unwrap_or(1.0),
            }),
            bert_strength: own.bert_strength,
            delivery: Delivery {
                style: own.style,
                style_weight: own.style_weight,
                speed: self.speed,
                sdp_ratio: own.sdp_ratio,
                noise: own.noise,
                noise_w: own.noise_w,
                seed: own.seed,
                pitch: own.pitch,
                intonation: own.intonation,
            },
            pauses: Pauses {
                lines: seconds("line_pause", own.line_pause)?,
                sentences: seconds("sentence_pause", own.sentence_pause)?,
            },
            sound,
            answer: match own.stream {
                Some(false) => Way::Whole,
                // Without its length in its head, FLAC is no file to libsndfile.
                None if sound.format == Format::Flac => Way::Whole,
                Some(true) | None => Way::Stream,
            },
            priority: own.priority.unwrap_or_default(),
            deadline: seconds("deadline", own.deadline)?,
        })
    }

    fn format(&self) -> Result<Format, Fault> {
        Ok(match self.response_format {
            Some(ResponseFormat::Wav) => Format::Wav,
            Some(ResponseFormat::WavFloat) => Format::WavFloat,
            Some(ResponseFormat::Pcm) => Format::Pcm,
            Some(ResponseFormat::PcmFloat) => Format::PcmFloat,
            Some(ResponseFormat::Flac) => Format::Flac,
            Some(ResponseFormat::Opus) => Format::Opus,
            // OpenAI's own default; where no encoder is built in, what every
            // player takes.
            None if Format::Mp3.offered() => Format::Mp3,
            None => Format::Wav,
            Some(ResponseFormat::Mp3) if Format::Mp3.offered() => Format::Mp3,
            Some(ResponseFormat::Mp3) => {
                return Err(wrong(
                    "response_format",
                    "`mp3` is not built into this server (its encoder is LGPL; the operator can build with `--features mp3`); it offers `wav`, `flac`, `opus` and `pcm`",
                ));
            }
            Some(ResponseFormat::Aac) => {
                return Err(wrong(
                    "response_format",
                    "`aac` is not offered; `opus` is as small, and `wav`, `flac` and `pcm` are there",
                ));
            }
        })
    }
}

/// The sound as server-sent events.
fn events(spoken: Spoken, asked: &Speech) -> Answer {
    let headers = speak::told(spoken.head());
    let flow = Events {
        sound: spoken.body(),
        state: Told::Sound,
        characters: asked.input.chars().count(),
        bytes: 0,
    };
    let mut answer = Response::new(Body::Flow(Box::new(flow)));
    let all = answer.headers_mut();
    all.extend(headers);
    all.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    all.insert("cache-control", HeaderValue::from_static("no-cache"));
    answer
}

struct Events {
    sound: Body,
    state: Told,
    characters: usize,
    bytes: usize,
}

#[derive(Clone, Copy)]
enum Told {
    Sound,
    Done,
}

impl Flow for Events {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        use hyper::body::Body as _;
        if matches!(self.state, Told::Done) {
            return Poll::Ready(None);
        }
        let frame = std::task::ready!(std::pin::Pin::new(&mut self.sound).poll_frame(context));
        let event = match frame.map(|frame| frame.map(|it| it.into_data().unwrap_or_default())) {
            Some(Ok(bytes)) => {
                self.bytes += bytes.len();
                json!({"type": "speech.audio.delta", "audio": STANDARD.encode(&bytes)})
            }
            Some(Err(cut)) => {
                self.state = Told::Done;
                json!({"type": "error", "error": {"type": "server_error", "message": cut.to_string()}})
            }
            None => {
                self.state = Told::Done;
                // Characters and bytes stand for tokens, which we do not count in.
                let (input, output) = (self.characters, self.bytes);
                json!({"type": "speech.audio.done", "usage": {
                    "input_tokens": input,
                    "output_tokens": output,
                    "total_tokens": input + output,
                }})
            }
        };
        Poll::Ready(Some(Ok(event_bytes(&event))))
    }
}

fn event_bytes(event: &Value) -> Bytes {
    Bytes::from(format!("data: {event}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body: &str) -> Result<Request, Fault> {
        parse(body.as_bytes()).and_then(|speech| speech.request())
    }

    fn refused(body: &str) -> (String, Option<String>) {
        let fault = request(body).expect_err("refused");
        (fault.detail, fault.field)
    }

    #[test]
    fn openai_fields_and_our_own_become_one_request() {
        let body = r#"{"model": "tts-1", "input": "やあ", "voice": {"id": "haru/a"}, "speed": 1.5,
            "response_format": "pcm", "koemasu": {"style": "Happy", "noise": 0, "split": "line",
            "sentence_pause": 0.25, "priority": "low", "channels": 2}}"#;
        let request = request(body).expect("a request");
        assert_eq!(request.voice, "haru/a");
        assert_eq!(request.sound.format, Format::Pcm);
        assert_eq!(request.sound.sampling_rate, Some(24_000));
        assert_eq!(request.sound.channels, Channels::Stereo);
        assert_eq!(request.split, Some(Split::Line));
        assert_eq!(request.delivery.speed, Some(1.5));
        assert_eq!(request.delivery.style.as_deref(), Some("Happy"));
        assert_eq!(request.delivery.noise, Some(0.0));
        assert_eq!(request.pauses.sentences, Some(Duration::from_millis(250)));
        assert_eq!(request.priority, Priority::Low);
        assert_eq!(request.answer, Way::Stream);
    }

    #[test]
    fn null_is_as_good_as_nothing() {
        let body = r#"{"model": null, "input": "やあ", "voice": null, "instructions": null,
            "response_format": null, "speed": null, "stream_format": null, "koemasu": null,
            "lang_code": "j", "normalization_options": {}}"#;
        let nothing = request(r#"{"input": "やあ"}"#).expect("a request");
        assert_eq!(
            format!("{:?}", request(body).expect("a request")),
            format!("{nothing:?}")
        );
    }

    #[test]
    fn a_wrong_body_is_told_what_would_be_right() {
        let (detail, _) = refused(r#"{"voice": "a"}"#);
        assert!(detail.contains("missing field `input`"), "{detail}");
        let (detail, field) = refused(r#"{"input": "a", "speed": 9}"#);
        assert!(detail.contains("between 0.25 and 4"), "{detail}");
        assert_eq!(field.as_deref(), Some("speed"));
        let (detail, field) = refused(r#"{"input": "a", "response_format": "ogg"}"#);
        assert!(detail.contains("`opus`"), "{detail}");
        assert_eq!(field.as_deref(), Some("response_format"));
        let (detail, field) = refused(r#"{"input": "a", "koemasu": {"stlye": "x"}}"#);
        assert!(detail.contains("unknown field `stlye`"), "{detail}");
        assert!(detail.contains("`style`"), "{detail}");
        assert_eq!(field.as_deref(), Some("koemasu.stlye"));
        let (detail, field) = refused(r#"{"input": "a", "voice": 1}"#);
        assert!(detail.contains("an object with the name"), "{detail}");
        assert_eq!(field.as_deref(), Some("voice"));
        let (detail, _) = refused(r#"{"input": "a", "koemasu": {"deadline": -1}}"#);
        assert!(detail.contains("between 0 and 3600"), "{detail}");
        let long = format!(r#"{{"input": "{}"}}"#, "あ".repeat(4_097));
        assert!(refused(&long).0.contains("4097 characters"));
        assert!(refused(r#"{"input": "a"} x"#).0.contains("trailing"));
    }
}
