//! Who speaks, how they look and sound, and whether they are near.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use pipeline::{Pin, Request, Split};
use serde_json::{Map, Value, json};
use session::package::{Media, Portrait, Speaker};

use super::catalog::{Catalog, Listed};
use super::engine::ICON;
use super::{body, style_id};
use crate::app::App;
use crate::files;
use crate::http::answer::{self, Answer};
use crate::http::described::{self, Asking, Entering, Flag, Free, Pinning, Taking, Working};
use crate::http::fault::Fault;
use crate::http::query::{Query, wrong};
use crate::http::route::Call;
use crate::speak;

/// Targets that one question may name.
const TARGETS_MAX: usize = 1_000;

/// Who speaks, in which styles.
#[utoipa::path(get, path = "/speakers",
    params(("core_version" = Option<String>, Query, description = "Passed over")),
    responses(
        (status = 200, description = "Speakers with the numbers of their styles", body = Vec<Free>),
        Pinning,
    ),
)]
pub(crate) async fn list(call: Call) -> Result<Answer, Fault> {
    let generation = call.app.pin()?;
    let catalog = Catalog::of(&generation);
    let speakers: Vec<_> = catalog.speakers.iter().map(speaker).collect();
    Ok(answer::json(&speakers))
}

pub(super) fn speaker(listed: &Listed<'_>) -> Value {
    let style = |(id, style): &(u32, &session::package::Style)| json!({ "name": style.name, "id": id, "type": "talk" });
    json!({
        "name": listed.speaker.name,
        "speaker_uuid": listed.speaker.uuid,
        "styles": listed.styles.iter().map(style).collect::<Vec<_>>(),
        "version": listed.manifest().version,
        "supported_features": { "permitted_synthesis_morphing": "NOTHING" },
    })
}

/// How a speaker looks and sounds.
#[utoipa::path(get, path = "/speaker_info",
    params(
        ("speaker_uuid" = String, Query),
        ("resource_format" = Option<String>, Query, pattern = "^(base64|url)$", description = "`base64` without it"),
        ("core_version" = Option<String>, Query, description = "Passed over"),
    ),
    responses(
        (status = 200, description = "Pictures and samples", body = Free),
        Pinning,
        (status = 500, description = "The voice's file cannot be read"),
        (status = 404, description = "There is no such speaker"),
        Asking,
    ),
)]
pub(crate) async fn info(call: Call) -> Result<Answer, Fault> {
    let query = Query::new(call.query());
    let uuid = query.needed("speaker_uuid")?;
    let addresses = match query.text("resource_format") {
        None | Some("base64") => false,
        Some("url") => true,
        Some(other) => {
            let detail = format!("`{other}` is neither base64 nor url");
            return Err(wrong("resource_format", detail));
        }
    };
    let portrait = portrait(&call, uuid).await?;
    let generation = call.app.pin()?;
    let catalog = Catalog::of(&generation);
    let pictures = match addresses {
        true => Pictures::Both(&portrait, base(&call)),
        false => Pictures::Inside(&portrait),
    };
    Ok(answer::json(&speaker_info(
        catalog.speaker(uuid)?,
        &pictures,
    )))
}

/// How pictures and samples are told of.
pub(super) enum Pictures<'p> {
    /// As base64.
    Inside(&'p Portrait),
    /// As addresses of ours, which begin so.
    Addresses(String),
    /// As addresses, those of the samples too.
    Both(&'p Portrait, String),
}

impl Pictures<'_> {
    pub(super) fn icon(&self, speaker: &Speaker) -> String {
        match self {
            Self::Inside(portrait) => encoded(portrait.icon.as_ref()),
            Self::Addresses(base) | Self::Both(_, base) => format!("{base}/{}/icon", speaker.uuid),
        }
    }

    fn style_icon(&self, speaker: &Speaker, style: u32) -> String {
        match self {
            Self::Inside(portrait) => encoded(style_icon_of(portrait, style)),
            Self::Addresses(base) | Self::Both(_, base) => {
                format!("{base}/{}/{style}/icon", speaker.uuid)
            }
        }
    }

    /// Sound and words.
    fn samples(&self, speaker: &Speaker, style: u32) -> Vec<(String, &str)> {
        let (Self::Inside(portrait) | Self::Both(portrait, _)) = self else {
            return Vec::new();
        };
        let styles = portrait.styles.iter().filter(|it| it.local_id == style);
        let samples = styles.flat_map(|style| &style.samples).enumerate();
        let sample = |(number, sample): (usize, &'_ session::package::Sample)| match self {
            Self::Both(_, base) => format!("{base}/{}/{style}/sample/{number}", speaker.uuid),
            Self::Inside(_) | Self::Addresses(_) => STANDARD.encode(&sample.audio.bytes),
        };
        samples
            .map(|(number, it)| (sample((number, it)), it.transcript.as_str()))
            .collect()
    }
}

fn style_icon_of(portrait: &Portrait, style: u32) -> Option<&Media> {
    let mut styles = portrait.styles.iter();
    let own = styles.find(|it| it.local_id == style);
    own.and_then(|it| it.icon.as_ref())
        .or(portrait.icon.as_ref())
}

fn encoded(picture: Option<&Media>) -> String {
    STANDARD.encode(picture.map_or(ICON.as_slice(), |picture| &picture.bytes))
}

pub(super) fn speaker_info(listed: &Listed<'_>, pictures: &Pictures<'_>) -> Value {
    let package = listed.opened.package();
    let styles = listed.styles.iter().map(|(id, style)| {
        let (samples, words): (Vec<_>, Vec<_>) = pictures
            .samples(listed.speaker, style.local_id)
            .into_iter()
            .unzip();
        json!({
            "id": id,
            "icon": pictures.style_icon(listed.speaker, style.local_id),
            "portrait": null,
            "voice_samples": samples,
            "voice_sample_transcripts": words,
        })
    });
    json!({
        "policy": package.licence().unwrap_or_default(),
        "portrait": pictures.icon(listed.speaker),
        "style_infos": styles.collect::<Vec<_>>(),
    })
}

/// Where this server's resources are, as the caller reaches it.
pub(super) fn base(call: &Call) -> String {
    let host = call.headers().get(HOST).and_then(|host| host.to_str().ok());
    match host {
        Some(host) => format!("http://{host}/_resources"),
        None => "/_resources".to_owned(),
    }
}

/// A speaker's picture.
#[utoipa::path(get, path = "/_resources/{speaker}/icon",
    params(("speaker" = String, Path, description = "Uuid of the speaker")),
    responses(
        (status = 200, description = "A picture", content((described::Sound = "image/png"), (described::Sound = "image/jpeg"), (described::Sound = "application/octet-stream"))),
        Pinning,
        (status = 500, description = "The voice's file cannot be read"),
        (status = 404, description = "There is no such speaker, picture or sample"),
    ),
)]
pub(crate) async fn icon(call: Call) -> Result<Answer, Fault> {
    let portrait = portrait(&call, call.segment(0)).await?;
    Ok(picture(portrait.icon))
}

/// A style's picture.
#[utoipa::path(get, path = "/_resources/{speaker}/{style}/icon",
    params(
        ("speaker" = String, Path, description = "Uuid of the speaker"),
        ("style" = u64, Path, description = "Its number within the speaker"),
    ),
    responses(
        (status = 200, description = "A picture", content((described::Sound = "image/png"), (described::Sound = "image/jpeg"), (described::Sound = "application/octet-stream"))),
        Pinning,
        (status = 500, description = "The voice's file cannot be read"),
        (status = 404, description = "There is no such speaker, picture or sample"),
    ),
)]
pub(crate) async fn style_icon(call: Call) -> Result<Answer, Fault> {
    let portrait = portrait(&call, call.segment(0)).await?;
    let style = call.segment(1).parse().map_err(|_| no_resource())?;
    Ok(picture(style_icon_of(&portrait, style).cloned()))
}

/// A style's sample.
#[utoipa::path(get, path = "/_resources/{speaker}/{style}/sample/{number}",
    params(
        ("speaker" = String, Path, description = "Uuid of the speaker"),
        ("style" = u64, Path, description = "Its number within the speaker"),
        ("number" = u64, Path),
    ),
    responses(
        (status = 200, description = "Sound", content((described::Sound = "audio/wav"), (described::Sound = "audio/mp4"), (described::Sound = "application/octet-stream"))),
        Pinning,
        (status = 500, description = "The voice's file cannot be read"),
        (status = 404, description = "There is no such speaker, picture or sample"),
    ),
)]
pub(crate) async fn sample(call: Call) -> Result<Answer, Fault> {
    let portrait = portrait(&call, call.segment(0)).await?;
    let style: u32 = call.segment(1).parse().map_err(|_| no_resource())?;
    let number: usize = call.segment(2).parse().map_err(|_| no_resource())?;
    let mut styles = portrait.styles.into_iter();
    let style = styles
        .find(|it| it.local_id == style)
        .ok_or_else(no_resource)?;
    let sample = style.samples.into_iter().nth(number);
    Ok(media(sample.ok_or_else(no_resource)?.audio))
}

fn no_resource() -> Fault {
    Fault::caller(StatusCode::NOT_FOUND, "there is no such picture or sample")
}

fn picture(picture: Option<Media>) -> Answer {
    match picture {
        Some(picture) => media(picture),
        None => answer::with_type("image/png", ICON.clone()),
    }
}

/// A voice's file says what it is; nobody has to run it.
fn media(media: Media) -> Answer {
    let mut answer = answer::with_type("application/octet-stream", media.bytes);
    let harmless = media.kind.starts_with("image/") || media.kind.starts_with("audio/");
    let kind = HeaderValue::from_str(&media.kind).ok();
    let headers = answer.headers_mut();
    // A drawing in SVG may hold scripts.
    if let Some(kind) = kind.filter(|_| harmless && !media.kind.contains("svg")) {
        headers.insert(CONTENT_TYPE, kind);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

async fn portrait(call: &Call, uuid: &str) -> Result<Portrait, Fault> {
    let generation = call.app.pin()?;
    let (voice, uuid) = {
        let catalog = Catalog::of(&generation);
        let listed = catalog.speaker(uuid)?;
        (listed.voice.to_owned(), listed.speaker.uuid.clone())
    };
    // Its file may be large, and lie on a slow disk.
    let read = files::aside(move || {
        let voice = generation.voices().get(&voice);
        voice.map(|voice| voice.package().portrait(&uuid))
    });
    let read = read.await?;
    let failed =
        |e: session::Error| Fault::operator(StatusCode::INTERNAL_SERVER_ERROR, e.to_string());
    Ok(read.transpose().map_err(failed)?.unwrap_or_default())
}

/// Afterwards the voice is in memory.
#[utoipa::path(post, path = "/initialize_speaker",
    params(
        ("speaker" = i64, Query, description = "Number of a style, as GET /speakers has it"),
        ("skip_reinit" = inline(Option<Flag>), Query, description = "Whether one that is there stays as it is"),
        ("core_version" = Option<String>, Query, description = "Passed over"),
    ),
    responses(
        (status = 204, description = "It is done"),
        Entering,
        Working,
        (status = 404, description = "There is no such style"),
        Asking,
    ),
)]
pub(crate) async fn initialize(call: Call) -> Result<Answer, Fault> {
    let query = Query::new(call.query());
    let id = style_id(&query)?;
    let skip = query.flag("skip_reinit")?.unwrap_or(false);
    let generation = call.app.pin()?;
    let (voice, request) = {
        let catalog = Catalog::of(&generation);
        let (listed, style) = catalog.style(id)?;
        (listed.voice.to_owned(), listed.cast(style))
    };
    if !(skip && is_resident(&call.app, &voice)) {
        wake(&call, generation, request).await?;
    }
    Ok(answer::no_content())
}

/// Whether the voice is in memory.
#[utoipa::path(get, path = "/is_initialized_speaker",
    params(
        ("speaker" = i64, Query, description = "Number of a style, as GET /speakers has it"),
        ("core_version" = Option<String>, Query, description = "Passed over"),
    ),
    responses(
        (status = 200, description = "Whether it is", body = bool, content_type = "application/json"),
        Pinning,
        (status = 404, description = "There is no such style"),
        Asking,
    ),
)]
pub(crate) async fn is_initialized(call: Call) -> Result<Answer, Fault> {
    let id = style_id(&Query::new(call.query()))?;
    let generation = call.app.pin()?;
    let catalog = Catalog::of(&generation);
    let (listed, _) = catalog.style(id)?;
    Ok(answer::json(&is_resident(&call.app, listed.voice)))
}

/// Says one mora and throws it away: what it needs is there then.
pub(super) async fn wake(call: &Call, generation: Pin, request: Request) -> Result<(), Fault> {
    let request = Request {
        text: "あ".to_owned(),
        split: Some(Split::None),
        pipeline: call.app.dialects.voicevox.pipeline.clone(),
        ..request
    };
    let spoken = speak::speak(&call.app, generation, call.enter()?, request, &call.id).await?;
    spoken.collect().await.map(drop)
}

pub(super) fn is_resident(app: &App, voice: &str) -> bool {
    let report = app.live.residency().report();
    let mut voices = report.into_iter().flat_map(|it| it.library.voices);
    voices.any(|it| it.name == voice && matches!(it.tier, "device" | "slot"))
}

/// Of its weights.
pub(super) fn bytes_of(app: &App, voice: &str) -> usize {
    let report = app.live.residency().report();
    let mut voices = report.into_iter().flat_map(|it| it.library.voices);
    voices.find(|it| it.name == voice).map_or(0, |it| it.bytes)
}

/// What a style can be morphed with: nothing.
#[utoipa::path(post, path = "/morphable_targets",
    params(("core_version" = Option<String>, Query, description = "Passed over")),
    request_body = Vec<i64>,
    responses(
        (status = 200, description = "By number: `is_morphable`, always false", body = Vec<Free>),
        Taking,
        Pinning,
        (status = 404, description = "There is no such style"),
        Asking,
    ),
)]
pub(crate) async fn morphable_targets(mut call: Call) -> Result<Answer, Fault> {
    let body = call.body();
    let asked: Vec<i64> = body::parse(&body)?;
    if asked.len() > TARGETS_MAX {
        let detail = format!(
            "{} styles are named, the most is {TARGETS_MAX}",
            asked.len()
        );
        return Err(body::Loc::body().wrong(detail));
    }
    let generation = call.app.pin()?;
    let catalog = Catalog::of(&generation);
    for id in &asked {
        catalog.style(*id)?;
    }
    let styles = catalog.speakers.iter().flat_map(|it| &it.styles);
    let none: Map<_, _> = styles
        .map(|(id, _)| (id.to_string(), json!({ "is_morphable": false })))
        .collect();
    Ok(answer::json(&vec![none; asked.len()]))
}
