//! The parsers of this dialect by themselves, for those who try what breaks
//! them.

use pipeline::document::Document;

use super::body::{self, Loc};
use super::presets::Preset;
use super::query::{AccentPhrase, AudioQuery};
use super::{presets, waves, words};

pub(crate) fn audio_query(body: &[u8]) -> bool {
    let query = body::parse::<AudioQuery>(body);
    query.is_ok_and(|query| query.checked(&Loc::body(), true).is_ok())
}

pub(crate) fn accent_phrases(body: &[u8]) -> bool {
    body::parse::<Vec<AccentPhrase>>(body).is_ok()
}

pub(crate) fn waves(body: &[u8]) -> bool {
    waves::reads(body)
}

pub(crate) fn imported_words(body: &[u8]) -> bool {
    words::read_imported(body).is_ok()
}

pub(crate) fn preset(body: &[u8]) -> bool {
    Preset::parse(body).is_ok()
}

pub(crate) fn presets(document: &Document) -> bool {
    presets::reads(document)
}
