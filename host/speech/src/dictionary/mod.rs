//! Compiled MeCab dictionaries: `sys.dic`, `unk.dic`, `char.bin`, `matrix.bin`.
//!
//! Read in place from the caller's bytes, which are usually a mapping shared
//! by every process on the machine. Every access is bounds-checked: what can
//! be seen at once (sizes, magic, tables) is checked when it opens, and what
//! only a search meets counts as not found.
//!
//! Source of the format: MeCab 0.996, as used by Open JTalk's naist-jdic 1.11.

mod characters;
mod lattice;
mod lexicon;
mod matrix;

use std::fmt;
use std::sync::Arc;

use characters::Characters;
use lexicon::{Lexicon, Token};
use matrix::Matrix;

use crate::user::{PartOfSpeech, UserWords};

pub use lattice::Word;

/// Bytes that somebody else keeps: a vector, or what is inside the program.
pub type Blob = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// The four files of a compiled dictionary.
#[derive(Clone)]
pub struct DictionaryFiles {
    /// `sys.dic`: the words.
    pub sys: Blob,
    /// `unk.dic`: what unknown words are, by class of character.
    pub unk: Blob,
    /// `char.bin`: the classes of characters.
    pub char: Blob,
    /// `matrix.bin`: what it costs that one word follows another.
    pub matrix: Blob,
}

/// A file that is no such dictionary, or not a whole one. The operator can
/// act: another file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} is damaged or no compiled MeCab dictionary: {cause}")]
pub struct Error {
    /// One of the four, such as `sys.dic`.
    pub file: &'static str,
    /// What is wrong in it, for whoever made it.
    pub cause: String,
}

/// An opened dictionary. Cheap to open: nothing is copied.
pub struct Dictionary {
    system: Lexicon,
    unknown: Lexicon,
    characters: Characters,
    matrix: Matrix,
}

impl Dictionary {
    /// The error names the file of the four that is wrong.
    pub fn new(files: DictionaryFiles) -> Result<Self, Error> {
        let matrix = Matrix::new(files.matrix).map_err(in_file("matrix.bin"))?;
        let system = Lexicon::new(files.sys, &matrix).map_err(in_file("sys.dic"))?;
        let unknown = Lexicon::new(files.unk, &matrix).map_err(in_file("unk.dic"))?;
        let characters = Characters::new(files.char, &unknown).map_err(in_file("char.bin"))?;
        Ok(Self {
            system,
            unknown,
            characters,
            matrix,
        })
    }

    /// The cheapest division of `text` into words, as MeCab finds it.
    pub fn divide<'a>(&'a self, text: &'a str) -> Vec<Word<'a>> {
        lattice::divide(self, text, |_, _| {})
    }

    /// The same, with the user's words beside its own.
    pub(crate) fn divide_with<'a>(&'a self, text: &'a str, user: &'a UserWords) -> Vec<Word<'a>> {
        lattice::divide(self, text, |rest, put| {
            for found in user.prefixes(rest) {
                let mut token = self.neighbours(found.part_of_speech);
                token.cost = found.cost;
                put(found.length, token, found.feature);
            }
        })
    }

    /// A token that stands between other words as this kind of word does.
    fn neighbours(&self, part_of_speech: PartOfSpeech) -> Token {
        let examples = part_of_speech.examples().iter();
        let found = examples.flat_map(|(surface, fields)| {
            let entries = self.system.exact(surface.as_bytes());
            let tokens = entries
                .into_iter()
                .flat_map(|entries| self.system.tokens(entries));
            tokens.filter(move |token| self.system.feature(*token).starts_with(fields))
        });
        // Another dictionary may lack them; then it is a word like any other.
        let first = found.into_iter().next();
        first.unwrap_or_default()
    }
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dictionary")
    }
}

fn in_file(file: &'static str) -> impl Fn(String) -> Error {
    move |cause| Error { file, cause }
}

/// Little-endian numbers at any place of a file.
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(two.try_into().ok()?))
}

#[cfg(test)]
mod tests;
