//! The HTTP of VOICEVOX's engine as AivisSpeech speaks it: a text becomes a
//! query, the client edits its accents and scales, the query becomes sound.
//!
//! Styles have one number over all voices, made as AivisSpeech makes it, so
//! that what clients have kept stays right. Fields that SBV2's models know
//! nothing of (pitch and length of a mora, pauses) are taken and change
//! nothing; songs and morphing are refused.
//!
//! Never: install or delete voices, change settings. Those are the operator's.
//!
//! Sources: the published OpenAPI documents of AivisSpeech Engine and VOICEVOX
//! Engine.

mod body;
mod catalog;
mod engine;
mod models;
pub(crate) mod parse;
mod preset_routes;
pub(crate) mod presets;
mod query;
mod speakers;
mod synthesis;
mod waves;
mod words;

use hyper::StatusCode;

use crate::http::fault::Fault;
use crate::http::parts::Part;
use crate::http::query::Query;
use crate::http::route::{Call, Route, routes};

pub(crate) fn routes() -> Vec<Route> {
    routes![Part::Voicevox;
        Key "audio-query" => query::audio_query;
        Key "audio-query" => query::from_preset;
        Key "accent-phrases" => query::accent_phrases;
        Key "mora-data" => query::mora_data [query::QUERY_BYTES] also POST "/mora_length", POST "/mora_pitch";
        Key "validate-kana" => query::validate_kana;

        Key "synthesis" => synthesis::synthesis [query::QUERY_BYTES] also POST "/cancellable_synthesis";
        Key "streaming-synthesis" => synthesis::streaming [query::QUERY_BYTES];
        Key "multi-synthesis" => synthesis::multi [synthesis::MANY_BYTES];
        Key "connect-waves" => waves::connect [waves::BODY_MAX];

        Key "speakers" => speakers::list;
        Key "speaker-info" => speakers::info;
        Key "resource" => speakers::icon;
        Key "resource" => speakers::style_icon;
        Key "resource" => speakers::sample;
        Key "initialize-speaker" => speakers::initialize;
        Key "is-initialized-speaker" => speakers::is_initialized;
        Key "morphable-targets" => speakers::morphable_targets;
        Key "unsupported" => engine::no_morphing;
        Key "unsupported" => engine::no_songs also GET "/singer_info", POST "/sing_frame_audio_query", POST "/sing_frame_f0", POST "/sing_frame_volume", POST "/frame_synthesis";

        Key "presets" => preset_routes::list;
        Key "presets" => preset_routes::add;
        Key "presets" => preset_routes::update;
        Key "presets" => preset_routes::delete;

        Key "user-dict" => words::list;
        Key "user-dict" => words::add;
        Key "user-dict" => words::change;
        Key "user-dict" => words::remove;
        Key "user-dict" => words::import [words::IMPORT_MAX];

        Key "aivm-models" => models::list;
        Key "unsupported" => models::install;
        Key "aivm-models" => models::one;
        Key "aivm-models" => models::load;
        Key "unsupported" => models::unload;
        Key "unsupported" => models::update;
        Key "unsupported" => models::uninstall;

        Key "engine" => engine::page;
        Key "engine" => engine::version;
        Key "engine" => engine::core_versions;
        Key "engine" => engine::manifest;
        Key "engine" => engine::devices;
        Key "engine" => engine::setting;
        Key "engine" => engine::set;
    ]
}

/// The number of the style that a request names.
fn style_id(query: &Query<'_>) -> Result<i64, Fault> {
    query.needed("speaker")?;
    Ok(query.number("speaker")?.unwrap_or_default())
}

/// Refuses a change where the operator wants none.
fn may_change(call: &Call) -> Result<(), Fault> {
    match call.app.dialects.voicevox.read_only {
        false => Ok(()),
        true => Err(Fault::caller(
            StatusCode::FORBIDDEN,
            "presets and words are not changed over this API; the operator can allow it by `dialects.voicevox.read_only = false`",
        )),
    }
}
