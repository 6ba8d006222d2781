//! What this engine is and can do, and what it leaves to others.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use serde_json::json;
use session::device::Device;

use super::query::SAMPLING_RATE;
use crate::http::answer::{self, Answer};
use crate::http::described::{Free, Pinning};
use crate::http::fault::Fault;
use crate::http::route::Call;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// By which clients keep this engine apart from others. Made once, by chance.
const UUID: &str = "5c1d6a8e-3f0b-4d4c-9b57-2f1f6f6f0a3d";
const NAME: &str = "koemasu";
const TERMS: &str = "koemasu is under MIT OR Apache-2.0. Each voice has terms of its own: see `license` in GET /aivm_models.";

/// What this is.
#[utoipa::path(get, path = "/",
    responses(
        (status = 200, description = "A page", body = String, content_type = "text/html"),
    ),
)]
pub(crate) async fn page(_call: Call) -> Result<Answer, Fault> {
    Ok(html(format!(
        "<h1>{NAME} {VERSION}</h1><p>This is the HTTP of VOICEVOX and AivisSpeech. \
         <a href=\"/speakers\">Speakers</a>, <a href=\"/engine_manifest\">manifest</a>, \
         <a href=\"/setting\">settings</a>, <a href=\"/openapi.json\">all routes</a>.</p>"
    )))
}

/// The version.
#[utoipa::path(get, path = "/version",
    responses(
        (status = 200, description = "It", body = String, content_type = "application/json"),
    ),
)]
pub(crate) async fn version(_call: Call) -> Result<Answer, Fault> {
    Ok(answer::json(&VERSION))
}

/// There is one core, the engine itself.
#[utoipa::path(get, path = "/core_versions",
    responses((status = 200, description = "Its version", body = Vec<String>)),
)]
pub(crate) async fn core_versions(_call: Call) -> Result<Answer, Fault> {
    Ok(answer::json(&[VERSION]))
}

/// What the models may run on.
#[utoipa::path(get, path = "/supported_devices",
    params(("core_version" = Option<String>, Query, description = "Passed over")),
    responses((status = 200, description = "`cpu`, `cuda`, `dml`", body = Free), Pinning),
)]
pub(crate) async fn devices(call: Call) -> Result<Answer, Fault> {
    let device = call.app.pin()?.device();
    Ok(answer::json(&json!({
        "cpu": true,
        "cuda": matches!(device, Device::Cuda(_)),
        "dml": false,
    })))
}

/// What this engine is and can do.
#[utoipa::path(get, path = "/engine_manifest",
    responses((status = 200, description = "The manifest", body = Free)),
)]
pub(crate) async fn manifest(_call: Call) -> Result<Answer, Fault> {
    Ok(answer::json(&json!({
        "manifest_version": "0.13.1",
        "name": NAME,
        "brand_name": NAME,
        "uuid": UUID,
        "url": "",
        "icon": STANDARD.encode(&*ICON),
        "default_sampling_rate": SAMPLING_RATE,
        // A frame is 256 samples for clients of VOICEVOX, as in AivisSpeech.
        "frame_rate": f64::from(SAMPLING_RATE) / 256.0,
        "terms_of_service": TERMS,
        "update_infos": [],
        "dependency_licenses": [{
            "name": NAME,
            "version": VERSION,
            "license": "MIT OR Apache-2.0",
            "text": TERMS,
        }],
        "supported_vvlib_manifest_version": null,
        "supported_features": {
            "adjust_mora_pitch": false,
            "adjust_phoneme_length": false,
            "adjust_speed_scale": true,
            "adjust_pitch_scale": true,
            "adjust_intonation_scale": true,
            "adjust_volume_scale": true,
            "adjust_pause_length": false,
            "interrogative_upspeak": false,
            "synthesis_morphing": false,
            "streaming_synthesis": true,
            "sing": false,
            "manage_library": false,
            "return_resource_url": true,
            "apply_katakana_english": true,
        },
    })))
}

/// Which web pages may ask.
#[utoipa::path(get, path = "/setting",
    responses(
        (status = 200, description = "A page", body = String, content_type = "text/html"),
    ),
)]
pub(crate) async fn setting(call: Call) -> Result<Answer, Fault> {
    let access = call.app.access();
    let origins = access.cors.origins.join(", ");
    let origins = origins.replace('&', "&amp;").replace('<', "&lt;");
    Ok(html(format!(
        "<h1>Settings</h1><p>Web pages that may ask: {origins}</p>\
         <p>The operator sets it in koemasu.toml, as <code>cors.origins</code>.</p>"
    )))
}

/// Refused: the operator's file has the settings.
#[utoipa::path(post, path = "/setting",
    responses((status = 403, description = "Always")),
)]
pub(crate) async fn set(_call: Call) -> Result<Answer, Fault> {
    Err(Fault::caller(
        StatusCode::FORBIDDEN,
        "settings are not changed over this API; the operator's koemasu.toml has them, such as `cors.origins`",
    ))
}

/// Refused: the models do not sing.
#[utoipa::path(get, path = "/singers",
    responses((status = 501, description = "The models do not sing")),
)]
pub(crate) async fn no_songs(_call: Call) -> Result<Answer, Fault> {
    Err(Fault::caller(
        StatusCode::NOT_IMPLEMENTED,
        "voices of Style-Bert-VITS2 do not sing; use POST /audio_query and /synthesis",
    ))
}

/// Refused: no two styles can be morphed.
#[utoipa::path(post, path = "/synthesis_morphing",
    responses((status = 400, description = "Always")),
)]
pub(crate) async fn no_morphing(_call: Call) -> Result<Answer, Fault> {
    Err(Fault::caller(
        StatusCode::BAD_REQUEST,
        "no two styles can be morphed here: see POST /morphable_targets",
    ))
}

fn html(body: String) -> Answer {
    answer::with_type(
        "text/html; charset=utf-8",
        format!("<!doctype html><meta charset=\"utf-8\"><title>{NAME}</title>{body}"),
    )
}

/// A disc, for whoever has no picture. A PNG.
pub(super) static ICON: LazyLock<Vec<u8>> = LazyLock::new(|| {
    const SIZE: u32 = 64;
    let shade = |place: u32| {
        let from_middle = |at: u32| 2 * i64::from(at) + 1 - i64::from(SIZE);
        let (x, y) = (from_middle(place % SIZE), from_middle(place / SIZE));
        let inside = x * x + y * y < i64::from(SIZE * SIZE) * 3 / 4;
        if inside { 0x50 } else { 0xF0 }
    };
    let pixels: Vec<u8> = (0..SIZE * SIZE).map(shade).collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, SIZE, SIZE);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&pixels));
    match written {
        Ok(()) => bytes,
        // Into memory it cannot fail; without a picture all else still works.
        Err(_) => Vec::new(),
    }
});
