//! One speech request over HTTP: body → [`Request`] → audio.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use pipeline::{Assist, Audio, Delivery, Format, Request, Split, synthesize};
use serde::Deserialize;
use speech::moras::{Given, Mora};

use crate::app::App;
use crate::body::body;
use crate::events;
use crate::fault::Fault;
use crate::route::{Answer, json};

/// `POST /v1/audio/speech`.
pub async fn speech(
    app: &Arc<App>,
    request: hyper::Request<Incoming>,
    request_id: &str,
) -> Result<Answer, Fault> {
    let _place = app
        .admission
        .enter()
        .map_err(|full| Fault::later(format!("{} requests are already taken in", full.most), 1))?;
    let start = Instant::now();
    let limits = &app.settings;
    let body = body(request, limits.body_max.0 as usize, limits.body_timeout.0).await?;
    let request = parse(&body)?;
    let voice = request.voice.clone();

    let generation = app.pin()?; // for the whole life of this request
    let audio = synthesize(&generation, request).await?;

    events::spoken(&audio, &voice, request_id, start.elapsed());
    Ok(answer(audio))
}

/// `GET /v1/audio/voices`.
pub fn voices(app: &App) -> Result<Answer, Fault> {
    let generation = app.pin()?;
    let voices: Vec<_> = generation
        .voices()
        .iter()
        .map(|(name, voice)| {
            let package = voice.package();
            serde_json::json!({
                "name": name,
                "title": package.name(),
                "speakers": package.speakers().collect::<Vec<_>>(),
                "styles": package.styles().collect::<Vec<_>>(),
                "sampling_rate": package.sampling_rate(),
                "licence": package.licence(),
            })
        })
        .collect();
    Ok(json(&serde_json::json!({
        "voices": voices,
        "pipelines": generation.pipelines(),
        "generation": generation.number(),
    })))
}

/// OpenAI's fields, and our own under `koemasu`. Fields of OpenAI's that
/// change nothing here (`model`, `instructions`) are taken and ignored.
#[derive(Debug, Deserialize)]
struct Speech {
    input: String,
    #[serde(default)]
    voice: VoiceName,
    #[serde(default)]
    response_format: ResponseFormat,
    speed: Option<f32>,
    #[serde(default)]
    koemasu: Own,
}

/// A name, or an object with an `id`, as OpenAI allows.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum VoiceName {
    Name(String),
    Object { id: String },
}

impl Default for VoiceName {
    fn default() -> Self {
        Self::Name(String::new())
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ResponseFormat {
    /// OpenAI's default is mp3; ours is what every player takes without loss.
    #[default]
    Wav,
    Pcm,
}

/// What OpenAI's fields cannot say. Everything is optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    pipeline: Option<String>,
    language: Option<String>,
    style: Option<String>,
    style_weight: Option<f32>,
    sdp_ratio: Option<f32>,
    noise: Option<f32>,
    noise_w: Option<f32>,
    split: Option<Split>,
    /// `[["コ", 0], ["エ", 1]]`: kana and tones instead of the frontend's.
    moras: Option<Vec<(String, u8)>>,
    phonemes: Option<Vec<String>>,
    tones: Option<Vec<u8>>,
    assist_text: Option<String>,
    assist_weight: Option<f32>,
    bert_strength: Option<f32>,
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
}

fn parse(body: &[u8]) -> Result<Request, Fault> {
    let speech: Speech = serde_json::from_slice(body).map_err(|e| {
        Fault::caller(
            StatusCode::BAD_REQUEST,
            format!("the body is not as documented: {e}"),
        )
    })?;
    if let Some(speed) = speech.speed
        && !(0.25..=4.0).contains(&speed)
    {
        return Err(Fault::caller(
            StatusCode::BAD_REQUEST,
            format!("`speed` is {speed}; it lies between 0.25 and 4"),
        ));
    }
    let mut own = speech.koemasu;
    let given = own.given()?;
    Ok(Request {
        text: speech.input,
        voice: match speech.voice {
            VoiceName::Name(name) | VoiceName::Object { id: name } => name,
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
            speed: speech.speed,
            sdp_ratio: own.sdp_ratio,
            noise: own.noise,
            noise_w: own.noise_w,
        },
        format: match speech.response_format {
            ResponseFormat::Wav => Format::Wav,
            ResponseFormat::Pcm => Format::Pcm,
        },
    })
}

fn answer(audio: Audio) -> Answer {
    let content_type = match audio.format {
        Format::Wav => HeaderValue::from_static("audio/wav"),
        // RFC 2586 names the rate; its L16 is big-endian, ours is not.
        Format::Pcm => HeaderValue::from_static("audio/pcm"),
    };
    let mut answer = Response::new(Full::new(Bytes::from(audio.bytes)));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(
        "x-koemasu-generation",
        HeaderValue::from(audio.generation.get()),
    );
    headers.insert(
        "x-koemasu-sampling-rate",
        HeaderValue::from(audio.sampling_rate),
    );
    headers.insert(
        "x-koemasu-warnings",
        HeaderValue::from(audio.warnings.len()),
    );
    for warning in audio.warnings.iter().take(16) {
        // Warnings quote the text: percent-encode what a header cannot hold.
        if let Ok(value) = HeaderValue::from_str(&percent_encode(warning)) {
            headers.append("x-koemasu-warning", value);
        }
    }
    answer
}

fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> String {
        parse(body.as_bytes()).expect_err("refused").detail
    }

    #[test]
    fn openai_fields_and_our_own_become_one_request() {
        let body = r#"{"model": "tts-1", "input": "やあ", "voice": {"id": "haru/a"}, "speed": 1.5,
            "response_format": "pcm", "koemasu": {"style": "Happy", "noise": 0, "split": "line"}}"#;
        let request = parse(body.as_bytes()).expect("a request");
        assert_eq!(request.voice, "haru/a");
        assert_eq!(request.format, Format::Pcm);
        assert_eq!(request.split, Some(Split::Line));
        assert_eq!(request.delivery.speed, Some(1.5));
        assert_eq!(request.delivery.style.as_deref(), Some("Happy"));
        assert_eq!(request.delivery.noise, Some(0.0));
    }

    #[test]
    fn a_wrong_body_is_told_what_would_be_right() {
        assert!(refused(r#"{"voice": "a"}"#).contains("missing field `input`"));
        assert!(refused(r#"{"input": "a", "speed": 9}"#).contains("between 0.25 and 4"));
        assert!(refused(r#"{"input": "a", "response_format": "mp3"}"#).contains("`wav` or `pcm`"));
        let unknown = refused(r#"{"input": "a", "koemasu": {"stlye": "x"}}"#);
        assert!(
            unknown.contains("unknown field `stlye`") && unknown.contains("`style`"),
            "{unknown}"
        );
    }

    #[test]
    fn warnings_fit_into_a_header() {
        assert_eq!(percent_encode("a 100% é"), "a 100%25 %C3%A9");
    }
}
