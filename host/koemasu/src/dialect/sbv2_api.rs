//! sbv2-api's HTTP: `/synthesize` and `/models`, floats at the model's own
//! level.

use std::time::Duration;

use hyper::StatusCode;
use pipeline::{
    Answer as Way, Delivery, Format, Generation, Loudness, Pauses, Request, Sound, Split,
};
use serde::Deserialize;

use crate::answer::{self, Answer};
use crate::dialect::Part;
use crate::fault::Fault;
use crate::route::{Call, Route, Who, routes};
use crate::speak;

pub(crate) fn routes() -> Vec<Route> {
    use hyper::Method;
    routes![
        GET "/models" "sbv2-api-models" Key Part::Sbv2Api => models;
        POST "/synthesize" "synthesize" Key Part::Sbv2Api => synthesize;
    ]
}

/// `GET /models`: the names.
pub(crate) async fn models(call: Call) -> Result<Answer, Fault> {
    let generation = call.app.pin()?;
    Ok(answer::json(
        &generation.voices().keys().collect::<Vec<_>>(),
    ))
}

/// What `/synthesize` takes, with sbv2-api's defaults.
#[derive(Debug, Deserialize)]
struct Synthesize {
    text: String,
    /// Name of the voice.
    ident: String,
    #[serde(default)]
    sdp_ratio: f32,
    #[serde(default = "one")]
    length_scale: f32,
    #[serde(default)]
    style_id: u32,
    #[serde(default)]
    speaker_id: i64,
}

fn one() -> f32 {
    1.0
}

/// `POST /synthesize`.
pub(crate) async fn synthesize(mut call: Call) -> Result<Answer, Fault> {
    let place = call.enter()?;
    let body = call.body().await?;
    let asked: Synthesize = serde_json::from_slice(&body).map_err(|e| {
        Fault::caller(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("the body is not as documented: {e}"),
        )
    })?;
    let mut request = {
        let generation = call.app.pin()?;
        asked.request(&generation)?
    };
    request
        .pipeline
        .clone_from(&call.app.dialects.sbv2_api.pipeline);
    let spoken = speak::speak(&call.app, place, request, &call.id).await?;
    Ok(spoken.answer())
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
        let style = styles.find(|(_, id)| *id == self.style_id);
        let (style, _) =
            style.ok_or_else(|| wrong(format!("there is no style {}", self.style_id)))?;
        if package.speaker_ids().all(|(_, id)| id != self.speaker_id) {
            return Err(wrong(format!("there is no speaker {}", self.speaker_id)));
        }
        if self.length_scale.is_nan() || self.length_scale <= 0.0 {
            return Err(wrong("`length_scale` is more than 0".to_owned()));
        }
        Ok(Request {
            text: self.text,
            voice: format!("{}/{}", self.ident, self.speaker_id),
            split: Some(Split::Line),
            delivery: Delivery {
                style: Some(style.to_owned()),
                style_weight: Some(1.0),
                speed: Some(1.0 / self.length_scale),
                sdp_ratio: Some(self.sdp_ratio),
                noise: Some(0.677),
                noise_w: Some(0.8),
                ..Delivery::default()
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
            answer: Way::Whole,
            ..Request::default()
        })
    }
}

/// Plain text, with a status that says who can act.
pub(crate) fn tell(fault: &Fault) -> Answer {
    fault.dress(answer::text(fault.detail.clone()))
}
