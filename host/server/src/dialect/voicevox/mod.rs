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

use crate::dialect::sbv2;
use crate::http::fault::Fault;
use crate::http::parts::Part;
use crate::http::query::Query;
use crate::http::route::{Call, Route, routes};

#[derive(utoipa::OpenApi)]
#[openapi(
    paths(
        query::audio_query, query::from_preset, query::accent_phrases, query::mora_data,
        query::validate_kana, synthesis::synthesis, synthesis::streaming, synthesis::multi,
        waves::connect, speakers::list, speakers::info, speakers::icon, speakers::style_icon,
        speakers::sample, speakers::initialize, speakers::is_initialized,
        speakers::morphable_targets, engine::no_morphing, engine::no_songs, preset_routes::list,
        preset_routes::add, preset_routes::update, preset_routes::delete, words::list, words::add, words::change,
        words::remove, words::import, models::list, models::install, models::one, models::load,
        models::unload, models::update, models::uninstall, engine::page, engine::version,
        engine::core_versions, engine::manifest, engine::devices, engine::setting, engine::set,
    ),
    components(schemas(sbv2::Refusal<'_>)),
    modifiers(&Namesakes)
)]
pub(crate) struct Described;

/// Paths that do what another one does.
struct Namesakes;

impl utoipa::Modify for Namesakes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let paths = &mut document.paths.paths;
        for (path, of) in [
            ("/mora_length", "/mora_data"),
            ("/mora_pitch", "/mora_data"),
            ("/cancellable_synthesis", "/synthesis"),
            ("/singer_info", "/singers"),
        ] {
            if let Some(item) = paths.get(of).cloned() {
                paths.insert(path.to_owned(), item);
            }
        }
        for path in [
            "/sing_frame_audio_query",
            "/sing_frame_f0",
            "/sing_frame_volume",
            "/frame_synthesis",
        ] {
            if let Some(mut item) = paths.get("/singers").cloned() {
                item.post = item.get.take();
                paths.insert(path.to_owned(), item);
            }
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    routes![
        POST "/audio_query" "audio-query" Key Part::Voicevox => query::audio_query;
        POST "/audio_query_from_preset" "audio-query" Key Part::Voicevox => query::from_preset;
        POST "/accent_phrases" "accent-phrases" Key Part::Voicevox => query::accent_phrases;
        POST "/mora_data" "mora-data" Key Part::Voicevox => query::mora_data, query::QUERY_BYTES;
        POST "/mora_length" "mora-data" Key Part::Voicevox => query::mora_data, query::QUERY_BYTES;
        POST "/mora_pitch" "mora-data" Key Part::Voicevox => query::mora_data, query::QUERY_BYTES;
        POST "/validate_kana" "validate-kana" Key Part::Voicevox => query::validate_kana;

        POST "/synthesis" "synthesis" Key Part::Voicevox => synthesis::synthesis, query::QUERY_BYTES;
        POST "/cancellable_synthesis" "synthesis" Key Part::Voicevox => synthesis::synthesis, query::QUERY_BYTES;
        POST "/streaming_synthesis" "streaming-synthesis" Key Part::Voicevox => synthesis::streaming, query::QUERY_BYTES;
        POST "/multi_synthesis" "multi-synthesis" Key Part::Voicevox => synthesis::multi, synthesis::MANY_BYTES;
        POST "/connect_waves" "connect-waves" Key Part::Voicevox => waves::connect, waves::BODY_MAX;

        GET "/speakers" "speakers" Key Part::Voicevox => speakers::list;
        GET "/speaker_info" "speaker-info" Key Part::Voicevox => speakers::info;
        GET "/_resources/{speaker}/icon" "resource" Key Part::Voicevox => speakers::icon;
        GET "/_resources/{speaker}/{style}/icon" "resource" Key Part::Voicevox => speakers::style_icon;
        GET "/_resources/{speaker}/{style}/sample/{number}" "resource" Key Part::Voicevox => speakers::sample;
        POST "/initialize_speaker" "initialize-speaker" Key Part::Voicevox => speakers::initialize;
        GET "/is_initialized_speaker" "is-initialized-speaker" Key Part::Voicevox => speakers::is_initialized;
        POST "/morphable_targets" "morphable-targets" Key Part::Voicevox => speakers::morphable_targets;
        POST "/synthesis_morphing" "unsupported" Key Part::Voicevox => engine::no_morphing;
        GET "/singers" "unsupported" Key Part::Voicevox => engine::no_songs;
        GET "/singer_info" "unsupported" Key Part::Voicevox => engine::no_songs;
        POST "/sing_frame_audio_query" "unsupported" Key Part::Voicevox => engine::no_songs;
        POST "/sing_frame_f0" "unsupported" Key Part::Voicevox => engine::no_songs;
        POST "/sing_frame_volume" "unsupported" Key Part::Voicevox => engine::no_songs;
        POST "/frame_synthesis" "unsupported" Key Part::Voicevox => engine::no_songs;

        GET "/presets" "presets" Key Part::Voicevox => preset_routes::list;
        POST "/add_preset" "presets" Key Part::Voicevox => preset_routes::add;
        POST "/update_preset" "presets" Key Part::Voicevox => preset_routes::update;
        POST "/delete_preset" "presets" Key Part::Voicevox => preset_routes::delete;

        GET "/user_dict" "user-dict" Key Part::Voicevox => words::list;
        POST "/user_dict_word" "user-dict" Key Part::Voicevox => words::add;
        PUT "/user_dict_word/{word}" "user-dict" Key Part::Voicevox => words::change;
        DELETE "/user_dict_word/{word}" "user-dict" Key Part::Voicevox => words::remove;
        POST "/import_user_dict" "user-dict" Key Part::Voicevox => words::import, words::IMPORT_MAX;

        GET "/aivm_models" "aivm-models" Key Part::Voicevox => models::list;
        POST "/aivm_models/install" "unsupported" Key Part::Voicevox => models::install;
        GET "/aivm_models/{model}" "aivm-models" Key Part::Voicevox => models::one;
        POST "/aivm_models/{model}/load" "aivm-models" Key Part::Voicevox => models::load;
        POST "/aivm_models/{model}/unload" "unsupported" Key Part::Voicevox => models::unload;
        POST "/aivm_models/{model}/update" "unsupported" Key Part::Voicevox => models::update;
        DELETE "/aivm_models/{model}/uninstall" "unsupported" Key Part::Voicevox => models::uninstall;

        GET "/" "engine" Key Part::Voicevox => engine::page;
        GET "/version" "engine" Key Part::Voicevox => engine::version;
        GET "/core_versions" "engine" Key Part::Voicevox => engine::core_versions;
        GET "/engine_manifest" "engine" Key Part::Voicevox => engine::manifest;
        GET "/supported_devices" "engine" Key Part::Voicevox => engine::devices;
        GET "/setting" "engine" Key Part::Voicevox => engine::setting;
        POST "/setting" "engine" Key Part::Voicevox => engine::set;
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
