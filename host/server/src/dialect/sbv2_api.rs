//! sbv2-api's HTTP: `/synthesize` and `/models`, floats at the model's own
//! level.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use pipeline::range;
use pipeline::{
    Delivery, Format, Generation, Loudness, Pauses, Request, Sound, Speaker, Split, VoiceRef,
    VoiceSettings,
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::http::answer::{self, Answer};
use crate::http::described::{self, Entering, Pinning, Taking, Working};
use crate::http::fault::Fault;
use crate::http::parts::Part;
use crate::http::route::{Call, Route, routes};
use crate::speak;

pub(crate) fn routes() -> Vec<Route> {
    routes![Part::Sbv2Api;
        Key "sbv2-api-models" => self::models;
        Key "synthesize" => self::synthesize;
    ]
}

/// The names of the voices.
#[utoipa::path(get, path = "/models", responses(
    (status = 200, description = "What `ident` may be", body = Vec<String>),
    Pinning,
))]
pub(crate) async fn models(call: Call) -> Result<Answer, Fault> {
    let generation = call.app.pin()?;
    Ok(answer::json(
        &generation.voices().keys().collect::<Vec<_>>(),
    ))
}

/// What `/synthesize` takes, with sbv2-api's defaults.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(examples(json!({"text": "こんにちは", "ident": "demo"})))]
struct Synthesize {
    #[schema(min_length = 1)]
    text: String,
    /// Name of the voice.
    ident: String,
    /// Share of the stochastic duration predictor; 0 without one.
    #[schema(minimum = 0.0, maximum = 1.0)]
    sdp_ratio: Option<f32>,
    /// More is slower; 1 without one.
    #[schema(minimum = 0.1, maximum = 10.0)]
    length_scale: Option<f32>,
    /// 0 without one.
    style_id: Option<u32>,
    /// 0 without one.
    speaker_id: Option<i64>,
}

/// Speaks a text at the model's own level.
#[utoipa::path(post, path = "/synthesize", request_body = Synthesize, responses(
    described::WavFloat,
    Taking,
    Entering,
    Working,
    (status = 400, description = "The text cannot be spoken, or the body broke off"),
    (status = 404, description = "There is no such voice"),
    (status = 415, description = "The body is no JSON and is not called so"),
    (status = 422, description = "The body is not as documented, or names no such style or speaker"),
))]
pub(crate) async fn synthesize(mut call: Call) -> Result<Answer, Fault> {
    let place = call.enter()?;
    let body = call.body();
    let asked: Synthesize =
        serde_json::from_slice(&body).map_err(|e| refused(&e, call.headers()))?;
    let generation = call.app.pin()?;
    let mut request = asked.request(&generation)?;
    request
        .pipeline
        .clone_from(&call.app.dialects.sbv2_api.pipeline);
    let spoken = speak::speak(&call.app, generation, place, request, &call.id).await?;
    Ok(spoken.answer())
}

pub(crate) fn reads(body: &[u8]) -> bool {
    serde_json::from_slice::<Synthesize>(body).is_ok()
}

/// What sbv2-api's framework says of a body. JSON is taken whatever it is
/// called.
fn refused(error: &serde_json::Error, headers: &HeaderMap) -> Fault {
    let content_type = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let status = match content_type.is_some_and(|it| it.contains("json")) {
        _ if error.is_data() => StatusCode::UNPROCESSABLE_ENTITY,
        true => StatusCode::BAD_REQUEST,
        false => StatusCode::UNSUPPORTED_MEDIA_TYPE,
    };
    Fault::caller(
        status,
        format!("the body is not JSON as documented: {error}"),
    )
}

impl Synthesize {
    fn request(self, generation: &Generation) -> Result<Request, Fault> {
        let wrong = |detail: String| Fault::caller(StatusCode::UNPROCESSABLE_ENTITY, detail);
        let voice = generation.voices().get(&self.ident).ok_or_else(|| {
            let detail = format!("there is no model `{}`; see /models", self.ident);
            Fault::caller(StatusCode::NOT_FOUND, detail)
        })?;
        let package = voice.package();
        let mut styles = package.style_ids();
        let style_id = self.style_id.unwrap_or(0);
        let style = styles.find(|(_, id)| *id == style_id);
        let (style, _) = style.ok_or_else(|| wrong(format!("there is no style {style_id}")))?;
        let speaker = self.speaker_id.unwrap_or(0);
        if package.speaker_ids().all(|(_, id)| id != speaker) {
            return Err(wrong(format!("there is no speaker {speaker}")));
        }
        let length = self.length_scale.unwrap_or(1.0);
        if !range::LENGTH_SCALE.has(length) {
            return Err(wrong(format!(
                "`length_scale` is {length}; it lies between {}",
                range::LENGTH_SCALE
            )));
        }
        Ok(Request {
            text: self.text,
            voice: VoiceRef {
                name: self.ident,
                speaker: Speaker::Numbered(speaker),
            },
            split: Some(Split::Line),
            settings: VoiceSettings {
                style: Some(style.to_owned()),
                style_weight: Some(1.0),
                speed: Some(1.0 / length),
                sdp_ratio: Some(self.sdp_ratio.unwrap_or(0.0)),
                noise: Some(0.677),
                noise_w: Some(0.8),
                ..VoiceSettings::default()
            },
            pauses: Pauses {
                lines: Some(Duration::from_millis(500)),
                sentences: None,
            },
            sound: Sound {
                format: Format::WavFloat,
                loudness: Some(Loudness::None),
                ..Sound::default()
            },
            delivery: Delivery::Whole,
            ..Request::default()
        })
    }
}

/// Plain text, with a status that says who can act.
pub(crate) fn tell(fault: &Fault) -> Answer {
    fault.dress(answer::text(fault.detail.clone()))
}
