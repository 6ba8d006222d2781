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
use pipeline::range::{self, Range};
use pipeline::{
    Assist, Channels, Delivery, Format, Loudness, MixShare, Pauses, Priority, Request, Sound,
    Split, VoiceRef, VoiceSettings,
};
use serde::{Deserialize, Serialize};
use speech::moras::{Given, Mora};
use utoipa::ToSchema;

use crate::http::answer::{self, Answer, Body, Cut, Flow};
use crate::http::described::{self, Entering, Pinning, Taking, Working};
use crate::http::fault::Fault;
use crate::http::parts::Part;
use crate::http::route::{Call, Route, routes};
use crate::speak::{self, Speech as Spoken};

pub(crate) fn routes() -> Vec<Route> {
    routes![Part::OpenAi;
        Key "speech" => self::speech;
        Key "voices" => self::voices;
        Key "models" => self::models;
    ]
}

/// Speaks a text.
///
/// OpenAI's "Create speech". The sound is sent as it is made, unless
/// `koemasu.stream` is false. With `stream_format` `sse` it comes in
/// server-sent events, each of them one `SpeechEvent` as JSON after `data: `.
#[utoipa::path(post, path = "/v1/audio/speech", request_body = Speech, responses(
    described::Spoken,
    Taking,
    Entering,
    Working,
    (status = 400, description = "The body is not as documented, or cannot be spoken"),
))]
pub(crate) async fn speech(mut call: Call) -> Result<Answer, Fault> {
    let place = call.enter()?;
    let body = call.body();
    let asked = parse(&body)?;
    let stream_format = asked.stream_format.unwrap_or_default();
    let mut request = asked.request()?;
    let dialect = &call.app.dialects.openai;
    let written = asked.voice.as_ref().map_or("", VoiceName::text);
    if let Some(other) = dialect.voices.get(written) {
        request.voice = VoiceRef::written(other);
    }
    let generation = call.app.pin()?;
    let named = |name: &String| generation.pipelines().contains(&name.as_str());
    // `model` names a pipeline where there is one of that name.
    request.pipeline = request
        .pipeline
        .or_else(|| asked.model.clone().filter(named))
        .or_else(|| dialect.pipeline.clone());
    let spoken = speak::speak(&call.app, generation, place, request, &call.id).await;
    let spoken = spoken.map_err(bad_request)?;
    Ok(match stream_format {
        StreamFormat::Audio => spoken.answer(),
        StreamFormat::Sse => events(spoken, &asked),
    })
}

/// A name in the body that nothing has is a wrong body: OpenAI keeps 404 for
/// what an address does not find.
fn bad_request(fault: Fault) -> Fault {
    let text = fault.field.as_deref() == Some("text");
    if fault.status != StatusCode::NOT_FOUND && !text {
        return fault;
    }
    let field = fault.field.map(|field| match field.as_str() {
        "voice" | "speaker" => "voice".to_owned(),
        "text" => "input".to_owned(),
        own => format!("koemasu.{own}"),
    });
    Fault {
        status: StatusCode::BAD_REQUEST,
        field,
        ..fault
    }
}

/// The voices there are.
///
/// Not OpenAI's, but what its compatible servers have.
#[utoipa::path(get, path = "/v1/audio/voices", responses(
    (status = 200, description = "Voices and pipelines", body = Voices<'_>),
    Pinning,
))]
pub(crate) async fn voices(call: Call) -> Result<Answer, Fault> {
    let generation = call.app.pin()?;
    let voices: Vec<_> = generation
        .voices()
        .iter()
        .map(|(name, voice)| {
            let package = voice.package();
            Voice {
                name,
                title: package.name(),
                speakers: package.speakers().collect(),
                styles: package.styles().collect(),
                sampling_rate: package.sampling_rate(),
                licence: package.licence(),
            }
        })
        .collect();
    Ok(answer::json(&Voices {
        voices,
        pipelines: generation.pipelines(),
        generation: generation.number().get(),
    }))
}

#[derive(Serialize, ToSchema)]
struct Voices<'a> {
    voices: Vec<Voice<'a>>,
    pipelines: Vec<&'a str>,
    generation: u64,
}

#[derive(Serialize, ToSchema)]
struct Voice<'a> {
    /// What `voice` names; `name/speaker` is one of its speakers.
    name: &'a str,
    /// As its package calls it.
    title: &'a str,
    speakers: Vec<&'a str>,
    styles: Vec<&'a str>,
    sampling_rate: u32,
    licence: Option<&'a str>,
}

/// The pipelines, which are what `model` may name.
#[utoipa::path(get, path = "/v1/models", responses(
    (status = 200, description = "OpenAI's list", body = Models<'_>),
    Pinning,
))]
pub(crate) async fn models(call: Call) -> Result<Answer, Fault> {
    let generation = call.app.pin()?;
    let pipelines = generation.pipelines();
    let model = |id| Model {
        id,
        object: "model",
        created: 0,
        owned_by: "koemasu",
    };
    Ok(answer::json(&Models {
        object: "list",
        data: pipelines.into_iter().map(model).collect(),
    }))
}

#[derive(Serialize, ToSchema)]
struct Models<'a> {
    object: &'a str,
    data: Vec<Model<'a>>,
}

#[derive(Serialize, ToSchema)]
struct Model<'a> {
    /// Name of the pipeline.
    id: &'a str,
    object: &'a str,
    /// Always 0: a pipeline has no date.
    created: u64,
    owned_by: &'a str,
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
    fault.dress(answer::json(&Refusal {
        error: Error {
            message: &fault.detail,
            r#type: kind,
            param: fault.field.as_deref(),
            code,
        },
    }))
}

/// OpenAI's error.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenAiError)]
pub(crate) struct Refusal<'a> {
    #[schema(inline)]
    error: Error<'a>,
}

#[derive(Serialize, ToSchema)]
struct Error<'a> {
    message: &'a str,
    r#type: &'a str,
    /// The field that is wrong.
    param: Option<&'a str>,
    code: Option<&'a str>,
}

/// OpenAI's fields, and our own under `koemasu`. `instructions` are taken and
/// change nothing: the models know no such thing. Clients send fields of other
/// servers too, and null for what they leave open.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(examples(json!({
    "input": "今日はいい天気ですね。", "voice": "demo", "response_format": "wav",
    "koemasu": {"style": "Happy", "sentence_pause": 0.3}
})))]
struct Speech {
    /// The text; the pipeline may take less.
    #[schema(min_length = 1, max_length = 4096)]
    input: String,
    /// Names a pipeline where there is one of that name; any other is taken and
    /// means nothing.
    model: Option<String>,
    /// `voice` or `voice/speaker`; without one the only voice there is.
    voice: Option<VoiceName>,
    /// Taken, and changes nothing.
    #[schema(max_length = 4096)]
    instructions: Option<String>,
    /// Without one MP3, or WAV where no MP3 encoder is built in. `aac` is
    /// refused.
    response_format: Option<ResponseFormat>,
    /// Speech rate; without one the pipeline's.
    #[schema(minimum = 0.25, maximum = 4.0)]
    speed: Option<f32>,
    stream_format: Option<StreamFormat>,
    koemasu: Option<Own>,
}

/// A name, or an object with an `id`, as OpenAI allows.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "`voice` is a name, or an object with the name as its `id`"
)]
enum VoiceName {
    Name(String),
    Object { id: String },
}

impl VoiceName {
    fn text(&self) -> &str {
        match self {
            Self::Name(name) | Self::Object { id: name } => name,
        }
    }
}

/// `pcm` is 16 bits, little-endian, at 24,000 samples per second unless
/// `koemasu.sampling_rate` says otherwise.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
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

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum StreamFormat {
    #[default]
    Audio,
    Sse,
}

/// What OpenAI's fields cannot say. Everything is optional; what is left open the
/// pipeline decides.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Koemasu)]
struct Own {
    pipeline: Option<String>,
    /// `[["haru", 0.6], ["aki", 0.4]]`: voices that are mixed by their weights,
    /// the first for its speakers too; in place of `voice`. As many as the
    /// server's settings allow, each once, with a weight of 0 to 1,000.
    mix: Option<Vec<(String, f32)>>,
    /// A tag such as `ja`, which the pipeline must speak.
    language: Option<String>,
    style: Option<String>,
    /// 0 is the mean style, 1 the style as recorded, more exaggerates.
    #[schema(minimum = -10.0, maximum = 50.0)]
    style_weight: Option<f32>,
    /// Share of the stochastic duration predictor.
    #[schema(minimum = 0.0, maximum = 1.0)]
    sdp_ratio: Option<f32>,
    /// Variation of the voice.
    #[schema(minimum = 0.0, maximum = 2.0)]
    noise: Option<f32>,
    /// Variation of the durations.
    #[schema(minimum = 0.0, maximum = 2.0)]
    noise_w: Option<f32>,
    /// The same seed, the same sound; without one no two are alike.
    seed: Option<u64>,
    /// Factor of the mean pitch.
    #[schema(minimum = 0.25, maximum = 4.0)]
    pitch: Option<f32>,
    /// Factor of the pitch's distance from its mean; 0 is a monotone.
    #[schema(minimum = 0.0, maximum = 4.0)]
    intonation: Option<f32>,
    split: Option<Split>,
    /// `[["コ", 0], ["エ", 1]]`: kana and tones instead of the frontend's.
    moras: Option<Vec<(String, u8)>>,
    /// With one of `tones` each.
    phonemes: Option<Vec<String>>,
    /// Alone they replace the frontend's own, one for each phoneme.
    tones: Option<Vec<u8>>,
    /// A text whose mood colours the one that is spoken.
    assist_text: Option<String>,
    /// 0 changes nothing, 1 leaves nothing of the text's own mood, which is what
    /// is meant without one.
    #[schema(minimum = 0.0, maximum = 1.0)]
    assist_weight: Option<f32>,
    /// How much BERT's features say; 1 is as trained, less lets given tones win.
    #[schema(minimum = 0.0, maximum = 2.0)]
    bert_strength: Option<f32>,
    /// False: in one piece, with its length in the header. Only FLAC comes so
    /// unless this is true.
    stream: Option<bool>,
    loudness: Option<Loudness>,
    /// Samples per second; without one the voice's own.
    #[schema(minimum = 8000, maximum = 192_000)]
    sampling_rate: Option<u32>,
    /// 1 or 2.
    #[schema(minimum = 1, maximum = 2)]
    channels: Option<u8>,
    /// A factor, after the loudness is set; 1 without one.
    #[schema(minimum = 0.0, maximum = 10.0)]
    volume: Option<f32>,
    /// Seconds, and so are the next four.
    #[schema(minimum = 0.0, maximum = 60.0)]
    leading_silence: Option<f32>,
    #[schema(minimum = 0.0, maximum = 60.0)]
    trailing_silence: Option<f32>,
    #[schema(minimum = 0.0, maximum = 600.0)]
    sentence_pause: Option<f32>,
    #[schema(minimum = 0.0, maximum = 600.0)]
    line_pause: Option<f32>,
    /// For all of the sound, without the time its reader takes; never more than
    /// the pipeline's own.
    #[schema(minimum = 0.0, maximum = 3600.0)]
    deadline: Option<f32>,
    priority: Option<Priority>,
}

fn mix(asked: Option<Vec<(String, f32)>>) -> Vec<MixShare> {
    let shares = asked.into_iter().flatten();
    shares
        .map(|(voice, weight)| MixShare { voice, weight })
        .collect()
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
            leading: seconds("leading_silence", self.leading_silence, range::SILENCE)?
                .unwrap_or_default(),
            trailing: seconds("trailing_silence", self.trailing_silence, range::SILENCE)?
                .unwrap_or_default(),
        })
    }
}

/// Samples per second of OpenAI's `pcm`.
const PCM_RATE: u32 = 24_000;

/// Most characters that OpenAI takes.
const INPUT_MAX: usize = 4_096;
/// OpenAI's `speed`.
const SPEED: Range = Range::new(0.25, 4.0);
/// Seconds.
const DEADLINE: Range = Range::new(0.0, 3_600.0);

/// A span that a caller gives in seconds.
fn seconds(name: &str, given: Option<f32>, range: Range) -> Result<Option<Duration>, Fault> {
    let Some(given) = given else {
        return Ok(None);
    };
    match range.has(given) {
        true => Ok(Some(Duration::from_secs_f32(given))),
        false => Err(wrong(
            &format!("koemasu.{name}"),
            format!("`{name}` is {given} seconds; it lies between {range}"),
        )),
    }
}

fn wrong(field: &str, detail: impl Into<String>) -> Fault {
    Fault::field(StatusCode::BAD_REQUEST, field, detail)
}

/// Whether it asks for something.
pub(crate) fn reads(body: &[u8]) -> bool {
    parse(body).is_ok_and(|speech| speech.request().is_ok())
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
            && !SPEED.has(speed)
        {
            let detail = format!("`speed` is {speed}; it lies between {SPEED}");
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
            voice: VoiceRef::written(self.voice.as_ref().map_or("", VoiceName::text)),
            mix: mix(own.mix),
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
            settings: VoiceSettings {
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
                lines: seconds("line_pause", own.line_pause, range::PAUSE)?,
                sentences: seconds("sentence_pause", own.sentence_pause, range::PAUSE)?,
            },
            sound,
            delivery: match own.stream {
                Some(false) => Delivery::Whole,
                // Without its length in its head, FLAC is no file to libsndfile.
                None if sound.format == Format::Flac => Delivery::Whole,
                Some(true) | None => Delivery::Stream,
            },
            priority: own.priority.unwrap_or_default(),
            deadline: seconds("deadline", own.deadline, DEADLINE)?,
            rehearsal: false,
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
                Event::Delta {
                    audio: STANDARD.encode(&bytes),
                }
            }
            Some(Err(cut)) => {
                self.state = Told::Done;
                Event::Error {
                    error: Broken {
                        r#type: "server_error",
                        message: cut.to_string(),
                    },
                }
            }
            None => {
                self.state = Told::Done;
                Event::Done {
                    usage: Usage {
                        input_tokens: self.characters,
                        output_tokens: self.bytes,
                        total_tokens: self.characters + self.bytes,
                    },
                }
            }
        };
        Poll::Ready(Some(Ok(event_bytes(&event))))
    }
}

/// What comes after `data: `.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type")]
#[schema(as = SpeechEvent)]
pub(super) enum Event<'a> {
    #[serde(rename = "speech.audio.delta")]
    Delta {
        /// The next bytes of the sound, in base64.
        audio: String,
    },
    #[serde(rename = "speech.audio.done")]
    Done { usage: Usage },
    /// The sound ends before its end.
    #[serde(rename = "error")]
    Error { error: Broken<'a> },
}

/// Characters and bytes stand for tokens, which we do not count in.
#[derive(Serialize, ToSchema)]
#[schema(as = SpeechUsage)]
pub(super) struct Usage {
    input_tokens: usize,
    output_tokens: usize,
    total_tokens: usize,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SpeechError)]
pub(super) struct Broken<'a> {
    r#type: &'a str,
    message: String,
}

fn event_bytes(event: &Event<'_>) -> Bytes {
    // Strings and numbers: it cannot fail.
    let event = serde_json::to_string(event).unwrap_or_default();
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
        assert_eq!(request.voice, VoiceRef::written("haru/a"));
        assert_eq!(request.sound.format, Format::Pcm);
        assert_eq!(request.sound.sampling_rate, Some(24_000));
        assert_eq!(request.sound.channels, Channels::Stereo);
        assert_eq!(request.split, Some(Split::Line));
        assert_eq!(request.settings.speed, Some(1.5));
        assert_eq!(request.settings.style.as_deref(), Some("Happy"));
        assert_eq!(request.settings.noise, Some(0.0));
        assert_eq!(request.pauses.sentences, Some(Duration::from_millis(250)));
        assert_eq!(request.priority, Priority::Low);
        assert_eq!(request.delivery, Delivery::Stream);
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
