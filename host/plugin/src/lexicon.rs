//! What a plugin may ask about words, and what it tells of its guesses.
//! Whoever calls a plugin answers; nothing here knows a dictionary.

use std::sync::Arc;

use crate::bindings::{lexicon, remarks};
use crate::host::Host;

/// The words of one pipeline. Answers are in code points, end exclusive.
pub trait Lexicon: Send + Sync {
    /// Words of the user dictionary that stand in the text as written.
    fn words(&self, text: &str) -> Vec<Entry>;
    /// An English word in katakana.
    fn english(&self, word: &str) -> Option<Kana>;
    /// Stretches the dictionary has no reading for.
    fn unread(&self, text: &str) -> Vec<(u32, u32)>;
}

/// A word of the user dictionary where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// In code points, from the start of the text.
    pub start: u32,
    /// In code points, exclusive.
    pub end: u32,
    /// In katakana.
    pub reading: String,
}

/// An English word as it is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kana {
    /// In katakana.
    pub text: String,
    /// False for a word of a list, true for a guess by its letters.
    pub guessed: bool,
}

/// A stretch of a plugin's input that it read by a guess.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guess {
    /// In code points, from the start of the input.
    pub start: u32,
    /// In code points, exclusive.
    pub end: u32,
    /// As the plugin puts it; bounded, and without control characters.
    pub reading: String,
}

/// Knows no words.
pub struct NoWords;

impl Lexicon for NoWords {
    fn words(&self, _: &str) -> Vec<Entry> {
        Vec::new()
    }

    fn english(&self, _: &str) -> Option<Kana> {
        None
    }

    fn unread(&self, _: &str) -> Vec<(u32, u32)> {
        Vec::new()
    }
}

/// Answers cost the host time that no fuel counts, so each call of a plugin
/// gets so many, and after that nobody knows a word.
const TEXTS_MAX: usize = 16;
const WORDS_MAX: usize = 1_024;
const WORD_BYTES_MAX: usize = 64;
const GUESSES_MAX: usize = 256;
const GUESS_BYTES_MAX: usize = 256;

/// What one call of a plugin has asked and told.
pub(crate) struct Questions {
    pub(crate) lexicon: Arc<dyn Lexicon>,
    pub(crate) guesses: Vec<Guess>,
    text_bytes_max: usize,
    texts: usize,
    words: usize,
}

impl Questions {
    pub(crate) fn new(text_bytes_max: usize) -> Self {
        Self {
            lexicon: Arc::new(NoWords),
            guesses: Vec::new(),
            text_bytes_max,
            texts: 0,
            words: 0,
        }
    }

    fn may_ask_of(&mut self, text: &str) -> bool {
        self.texts += 1;
        self.texts <= TEXTS_MAX && text.len() <= self.text_bytes_max
    }
}

impl lexicon::Host for Host {
    fn words(&mut self, text: String) -> Vec<lexicon::Entry> {
        if !self.questions.may_ask_of(&text) {
            return Vec::new();
        }
        let entry = |entry: Entry| lexicon::Entry {
            at: lexicon::Stretch {
                start: entry.start,
                end: entry.end,
            },
            reading: entry.reading,
        };
        let words = self.questions.lexicon.words(&text);
        words.into_iter().map(entry).collect()
    }

    fn english(&mut self, word: String) -> Option<lexicon::Kana> {
        self.questions.words += 1;
        if self.questions.words > WORDS_MAX || word.len() > WORD_BYTES_MAX {
            return None;
        }
        let kana = self.questions.lexicon.english(&word)?;
        Some(lexicon::Kana {
            text: kana.text,
            guessed: kana.guessed,
        })
    }

    fn unread(&mut self, text: String) -> Vec<lexicon::Stretch> {
        if !self.questions.may_ask_of(&text) {
            return Vec::new();
        }
        let stretch = |(start, end)| lexicon::Stretch { start, end };
        let unread = self.questions.lexicon.unread(&text);
        unread.into_iter().map(stretch).collect()
    }
}

impl remarks::Host for Host {
    fn guessed(&mut self, start: u32, end: u32, mut reading: String) {
        if self.questions.guesses.len() < GUESSES_MAX && start <= end {
            reading.truncate(reading.floor_char_boundary(GUESS_BYTES_MAX));
            let reading = reading.replace(char::is_control, " ");
            self.questions.guesses.push(Guess {
                start,
                end,
                reading,
            });
        }
    }
}
