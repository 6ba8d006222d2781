//! A sentence as it is said: phonemes, tones, and how both hang on the
//! characters that BERT reads.

use std::fmt;

use crate::phoneme::{self, PADDING};

/// Holds always: as many tones as phonemes, which are as many as the sum of
/// phonemes per character, and two more characters (start and end) than the
/// text has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Utterance {
    text: String,
    phonemes: Vec<&'static str>,
    tones: Vec<u8>,
    phonemes_per_character: Vec<usize>,
    warnings: Vec<Warning>,
}

/// What was guessed or lost on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What happened there.
    pub kind: WarningKind,
    /// The stretch of text it is about.
    pub text: String,
}

/// What a caller may want to mend, such as by a word of the user dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarningKind {
    /// No reading is known; a pause stands for each character.
    Unreadable,
    /// Reading and accent disagree; the tones of the sentence are flat.
    NoAccent,
    /// The analysis failed; the words are read one by one.
    Analysis,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, text } = self;
        match kind {
            WarningKind::Unreadable => write!(f, "`{text}` has no known reading"),
            WarningKind::NoAccent => write!(f, "the accent of `{text}` is not known"),
            WarningKind::Analysis => write!(f, "`{text}` could not be analysed"),
        }
    }
}

/// One word on its way into an utterance.
pub(crate) struct Spoken {
    /// As BERT reads it.
    pub(crate) text: String,
    pub(crate) phonemes: Vec<&'static str>,
}

impl Utterance {
    /// `tones` has one for each phoneme of `words`.
    pub(crate) fn new(words: &[Spoken], tones: Vec<u8>, warnings: Vec<Warning>) -> Self {
        let mut utterance = Self {
            text: String::new(),
            phonemes: vec![PADDING],
            tones: vec![0],
            phonemes_per_character: vec![1],
            warnings,
        };
        for word in words {
            utterance.text.push_str(&word.text);
            utterance.phonemes.extend(&word.phonemes);
            let characters = word.text.chars().count();
            utterance
                .phonemes_per_character
                .extend(deal(word.phonemes.len(), characters));
        }
        utterance.tones.extend(tones);
        utterance.phonemes.push(PADDING);
        utterance.tones.push(0);
        utterance.phonemes_per_character.push(1);
        debug_assert_eq!(utterance.tones.len(), utterance.phonemes.len());
        utterance
    }

    /// The same text with other phonemes; there is a tone for each, and the
    /// counts of the text's characters add up to them.
    pub(crate) fn with(
        &self,
        phonemes: Vec<&'static str>,
        tones: Vec<u8>,
        counts: Vec<usize>,
    ) -> Self {
        debug_assert_eq!(phonemes.len(), tones.len());
        debug_assert_eq!(phonemes.len(), counts.iter().sum::<usize>());
        let ends = |inner: Vec<usize>| [vec![1], inner, vec![1]].concat();
        Self {
            text: self.text.clone(),
            phonemes: [vec![PADDING], phonemes, vec![PADDING]].concat(),
            tones: [vec![0], tones, vec![0]].concat(),
            phonemes_per_character: ends(counts),
            warnings: self.warnings.clone(),
        }
    }

    /// What BERT reads: the words' surfaces, one token a character.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Symbols of Style-Bert-VITS2, with `_` at both ends.
    pub fn phonemes(&self) -> impl ExactSizeIterator<Item = &'static str> + '_ {
        self.phonemes.iter().copied()
    }

    /// 0 low, 1 high.
    pub fn tones(&self) -> &[u8] {
        &self.tones
    }

    /// With one for each end mark; Style-Bert-VITS2's `word2ph`.
    pub fn phonemes_per_character(&self) -> &[usize] {
        &self.phonemes_per_character
    }

    /// In the order of the text, but for those about all of it.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = i64> + '_ {
        self.phonemes()
            .map(|symbol| phoneme::id(symbol).unwrap_or(0))
    }
}

/// Deals phonemes to characters, one by one to whoever has fewest, from the
/// left.
fn deal(phonemes: usize, characters: usize) -> impl Iterator<Item = usize> {
    let (each, more) = match characters {
        0 => (0, 0),
        _ => (phonemes / characters, phonemes % characters),
    };
    (0..characters).map(move |index| each + usize::from(index < more))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phonemes_are_dealt_from_the_left() {
        let dealt = |phonemes, characters| deal(phonemes, characters).collect::<Vec<_>>();
        assert_eq!(dealt(5, 2), [3, 2]);
        assert_eq!(dealt(2, 3), [1, 1, 0]);
        assert_eq!(dealt(0, 1), [0]);
    }
}
