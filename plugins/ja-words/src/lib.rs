//! The user dictionary on the text as it was written: words with signs,
//! letters, digits or emoji, before anything takes those away.
//!
//! Words of kana and kanji alone are found by the frontend itself, which
//! knows their accents and neighbours.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::vec::Vec;

use normalizer::draft::Draft;
use normalizer::policy::{Host, Policy};
use normalizer::settings::{Setting, Values};

pub struct Words;

#[cfg(target_arch = "wasm32")]
normalizer::component!(crate::Words);

impl Policy for Words {
    const NAME: &'static str = "ja-words";
    const SETTINGS: &'static [Setting] = &[];

    fn normalize(draft: &mut Draft, _: &Values, host: &dyn Host) {
        let words = host.words(&draft.text());
        let edits: Vec<_> = words
            .into_iter()
            .map(|entry| (entry.at, entry.reading))
            .collect();
        draft.replace(&edits);
    }
}
