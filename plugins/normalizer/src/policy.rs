//! What a normalizer is, natively and as a component.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use crate::draft::Draft;
use crate::settings::{Setting, Values};

/// One normalizer.
pub trait Policy {
    const NAME: &'static str;
    const SETTINGS: &'static [Setting];

    fn normalize(draft: &mut Draft, settings: &Values, host: &dyn Host);
}

/// A word the host found, in characters of the text it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub at: Range<usize>,
    pub reading: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kana {
    pub text: String,
    pub guessed: bool,
}

/// What the host knows and is told.
pub trait Host {
    fn words(&self, text: &str) -> Vec<Entry>;
    fn english(&self, word: &str) -> Option<Kana>;
    fn unread(&self, text: &str) -> Vec<Range<usize>>;
    /// `at` is a stretch of the policy's input.
    fn guessed(&self, at: Range<usize>, reading: &str);
}

/// A host that knows nothing: for tests, and for policies that do not ask.
pub struct Nobody;

impl Host for Nobody {
    fn words(&self, _: &str) -> Vec<Entry> {
        Vec::new()
    }

    fn english(&self, _: &str) -> Option<Kana> {
        None
    }

    fn unread(&self, _: &str) -> Vec<Range<usize>> {
        Vec::new()
    }

    fn guessed(&self, _: Range<usize>, _: &str) {}
}

/// Runs a policy natively, with its default settings: how its tests see it.
pub fn read<P: Policy>(text: &str) -> String {
    read_with::<P>(text, &Values::defaults(P::SETTINGS), &Nobody)
}

pub fn read_with<P: Policy>(text: &str, settings: &Values, host: &dyn Host) -> String {
    let mut draft = Draft::new(text);
    P::normalize(&mut draft, settings, host);
    draft.text()
}
