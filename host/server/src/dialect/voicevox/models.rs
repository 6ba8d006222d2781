//! Voices as AivisSpeech's clients list them. Which there are is the
//! operator's business, and which are in memory the server's.

use hyper::StatusCode;
use pipeline::Generation;
use serde_json::{Map, Value, json};
use session::package::{Manifest, Speaker};
use session::voice::Family;

use super::catalog::{Catalog, Listed};
use super::speakers::{self, Pictures};
use crate::http::answer::{self, Answer};
use crate::http::described::{Entering, Free, Pinning, Working};
use crate::http::fault::Fault;
use crate::http::route::Call;

/// The voices, by uuid.
///
/// Pictures and samples are addresses: all of them at once would be many megabytes.
#[utoipa::path(get, path = "/aivm_models",
    responses(
        (status = 200, description = "Models by uuid", body = BTreeMap<String, Free>),
        Pinning,
    ),
)]
pub(crate) async fn list(call: Call) -> Result<Answer, Fault> {
    let generation = call.app.pin()?;
    let catalog = Catalog::of(&generation);
    let models = catalog.models().into_iter();
    let models: Map<String, Value> = models
        .map(|(uuid, speakers)| (uuid.to_owned(), model(&call, &generation, &speakers)))
        .collect();
    Ok(answer::json(&models))
}

/// One voice.
#[utoipa::path(get, path = "/aivm_models/{model}",
    params(("model" = String, Path, description = "Uuid of the model")),
    responses(
        (status = 200, description = "The model", body = Free),
        Pinning,
        (status = 404, description = "There is no such model"),
    ),
)]
pub(crate) async fn one(call: Call) -> Result<Answer, Fault> {
    let generation = call.app.pin()?;
    let catalog = Catalog::of(&generation);
    let speakers = catalog.model(call.segment(0))?;
    Ok(answer::json(&model(&call, &generation, &speakers)))
}

/// Afterwards the voice is in memory.
#[utoipa::path(post, path = "/aivm_models/{model}/load",
    params(("model" = String, Path, description = "Uuid of the model")),
    responses(
        (status = 204, description = "It is done"),
        Entering,
        Working,
        (status = 404, description = "There is no such model"),
    ),
)]
pub(crate) async fn load(call: Call) -> Result<Answer, Fault> {
    let generation = call.app.pin()?;
    let (voice, request) = {
        let catalog = Catalog::of(&generation);
        let speakers = catalog.model(call.segment(0))?;
        let first = speakers
            .first()
            .and_then(|it| Some((it, it.styles.first()?)));
        let Some((listed, (_, style))) = first else {
            return Ok(answer::no_content());
        };
        (listed.voice.to_owned(), listed.cast(style))
    };
    if !speakers::is_resident(&call.app, &voice) {
        speakers::wake(&call, generation, request).await?;
    }
    Ok(answer::no_content())
}

/// Refused: a voice leaves memory when another needs the room.
#[utoipa::path(post, path = "/aivm_models/{model}/unload",
    params(("model" = String, Path, description = "Uuid of the model")),
    responses(
        Pinning,
        (status = 404, description = "There is no such model"),
        (status = 501, description = "Where there is the model"),
    ),
)]
pub(crate) async fn unload(call: Call) -> Result<Answer, Fault> {
    known(&call)?;
    Err(Fault::caller(
        StatusCode::NOT_IMPLEMENTED,
        "a voice leaves memory when another needs the room, as `[memory]` says; there is nothing to unload by hand",
    ))
}

/// Refused: the operator installs voices.
#[utoipa::path(post, path = "/aivm_models/install",
    responses((status = 403, description = "Always")),
)]
pub(crate) async fn install(_call: Call) -> Result<Answer, Fault> {
    Err(Fault::caller(
        StatusCode::FORBIDDEN,
        "voices are not installed over this API; put the .aivmx file into the folder that `voices.folder` names, and it is loaded by itself",
    ))
}

/// Refused: the operator updates voices.
#[utoipa::path(post, path = "/aivm_models/{model}/update",
    params(("model" = String, Path, description = "Uuid of the model")),
    responses((status = 403, description = "Always")),
)]
pub(crate) async fn update(call: Call) -> Result<Answer, Fault> {
    install(call).await
}

/// Refused: the operator deletes voices.
#[utoipa::path(delete, path = "/aivm_models/{model}/uninstall",
    params(("model" = String, Path, description = "Uuid of the model")),
    responses(
        Pinning,
        (status = 403, description = "Where there is the model"),
        (status = 404, description = "There is no such model"),
    ),
)]
pub(crate) async fn uninstall(call: Call) -> Result<Answer, Fault> {
    known(&call)?;
    Err(Fault::caller(
        StatusCode::FORBIDDEN,
        "voices are not deleted over this API; remove the file from the folder that `voices.folder` names, and it goes by itself",
    ))
}

fn known(call: &Call) -> Result<(), Fault> {
    let generation = call.app.pin()?;
    Catalog::of(&generation).model(call.segment(0)).map(drop)
}

fn model(call: &Call, generation: &Generation, speakers: &[&Listed<'_>]) -> Value {
    let Some(first) = speakers.first() else {
        return Value::Null;
    };
    let (manifest, voice) = (first.manifest(), first.voice);
    let pictures = Pictures::Addresses(speakers::base(call));
    let speaker = |listed: &&Listed<'_>| {
        json!({
            "speaker": speakers::speaker(listed),
            "speaker_info": speakers::speaker_info(listed, &pictures),
        })
    };
    json!({
        "is_loaded": speakers::is_resident(&call.app, voice),
        // Nobody is asked for newer ones.
        "is_update_available": false,
        "is_private_model": true,
        "is_default_model": generation.voices().keys().next().is_some_and(|it| it == voice),
        "latest_version": manifest.version,
        // Where files lie is nobody's business.
        "file_path": format!("{voice}.aivmx"),
        "file_size": speakers::bytes_of(&call.app, voice),
        "manifest": written(first, manifest, &pictures),
        "speakers": speakers.iter().map(speaker).collect::<Vec<_>>(),
    })
}

/// The manifest in the shape of AIVM's.
fn written(listed: &Listed<'_>, manifest: &Manifest, pictures: &Pictures<'_>) -> Value {
    let package = listed.opened.package();
    let speaker = |speaker: &Speaker| {
        let styles = speaker.styles.iter().map(|style| {
            json!({
                "name": style.name,
                "icon": null,
                "local_id": style.local_id,
                "voice_samples": [],
            })
        });
        json!({
            "name": speaker.name,
            "icon": pictures.icon(speaker),
            "supported_languages": speaker.languages,
            "uuid": speaker.uuid,
            "local_id": speaker.local_id,
            "styles": styles.collect::<Vec<_>>(),
        })
    };
    json!({
        "manifest_version": "1.0",
        "name": package.name(),
        "description": manifest.description,
        "creators": manifest.creators,
        "license": package.licence(),
        "model_architecture": match listed.opened.family() {
            Family::JpExtra => "Style-Bert-VITS2 (JP-Extra)",
            Family::Multilingual => "Style-Bert-VITS2",
        },
        "model_format": "ONNX",
        "training_epochs": manifest.training_epochs,
        "training_steps": manifest.training_steps,
        "uuid": manifest.uuid,
        "version": manifest.version,
        "speakers": manifest.speakers.iter().map(speaker).collect::<Vec<_>>(),
    })
}
