//! Each parser of bytes from outside by itself, for those who try what breaks
//! it: an answer or an error, whatever it is given.

use pipeline::document::Document;

use crate::admin::dictionary;
use crate::config;
use crate::dialect::{openai, sbv2_api, voicevox};
use crate::read;

/// koemasu.toml, as far as it is read before anything it names.
pub fn settings(toml: &str) -> bool {
    config::reads(&Document::unnamed(toml))
}

/// The body of `/v1/audio/speech`, to the request it asks for.
pub fn speech(body: &[u8]) -> bool {
    openai::reads(body)
}

/// The body of sbv2-api's `/synthesize`.
pub fn synthesize(body: &[u8]) -> bool {
    sbv2_api::reads(body)
}

/// The body of `/synthesis`, to the phrases it asks for.
pub fn audio_query(body: &[u8]) -> bool {
    voicevox::parse::audio_query(body)
}

/// The body of `/mora_data`.
pub fn accent_phrases(body: &[u8]) -> bool {
    voicevox::parse::accent_phrases(body)
}

/// The body of `/connect_waves`: WAV files in base64.
pub fn waves(body: &[u8]) -> bool {
    voicevox::parse::waves(body)
}

/// The body of `/import_user_dict`.
pub fn imported_words(body: &[u8]) -> bool {
    voicevox::parse::imported_words(body)
}

/// The body of `/add_preset`.
pub fn preset(body: &[u8]) -> bool {
    voicevox::parse::preset(body)
}

/// The file of the presets.
pub fn presets(toml: &str) -> bool {
    voicevox::parse::presets(&Document::unnamed(toml))
}

/// The body of `/admin/dictionary`.
pub fn word(body: &[u8]) -> bool {
    dictionary::reads(body)
}

/// The body of `/v1/g2p`.
pub fn g2p(body: &[u8]) -> bool {
    read::reads(body)
}
