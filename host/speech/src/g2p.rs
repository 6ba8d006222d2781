//! Text → [`Utterance`], by the rules of Style-Bert-VITS2's Japanese frontend.
//!
//! Never fails: what cannot be read becomes a pause, what has no accent stays
//! flat, and both are told as warnings.

use jpreprocess_njd::NJDNode;

use crate::accent::{self, Toned};
use crate::dictionary::{Dictionary, Word};
use crate::kana;
use crate::phoneme::{self, MARKS};
use crate::text::NormalizedText;
use crate::user::UserWords;
use crate::utterance::{Spoken, Utterance, Warning, WarningKind};
use crate::words::{widen, words};

/// Reads Japanese. Shared by all requests.
pub struct Frontend {
    dictionary: Dictionary,
}

impl Frontend {
    /// It reads with this dictionary's words alone until it is given others.
    pub fn new(dictionary: Dictionary) -> Self {
        Self { dictionary }
    }

    /// With the dictionary's words alone.
    pub fn pronounce(&self, text: &NormalizedText) -> Utterance {
        self.pronounce_with(text, &UserWords::default())
    }

    /// The same, with the user's words.
    pub fn pronounce_with(&self, text: &NormalizedText, user: &UserWords) -> Utterance {
        let words = words(&self.dictionary, user, text.as_str());
        let mut warnings = Vec::new();
        if !words.analysed {
            warnings.push(warning(WarningKind::Analysis, text.as_str()));
        }
        let mut spoken: Vec<Spoken> = Vec::with_capacity(words.nodes.len());
        for node in &words.nodes {
            let before = spoken.last().and_then(|word| word.phonemes.last()).copied();
            spoken.push(speak(node, before, &mut warnings));
        }
        let toned = accent::tones(&words.nodes);
        let tones = align(&spoken, &toned).unwrap_or_else(|| {
            warnings.push(warning(WarningKind::NoAccent, text.as_str()));
            vec![0; spoken.iter().map(|word| word.phonemes.len()).sum()]
        });
        Utterance::new(&spoken, tones, warnings)
    }

    /// Stretches of kanji without a reading, in characters, end exclusive.
    pub fn unread(&self, text: &str, user: &UserWords) -> Vec<(usize, usize)> {
        let wide = widen(text);
        let mut unread = Vec::new();
        let mut at = 0;
        for word in self.dictionary.divide_with(&wide, user) {
            let end = at + word.surface.chars().count();
            if !is_read(&word) {
                unread.push((at, end));
            }
            at = end;
        }
        unread
    }
}

/// Whether the dictionary knows how a word is said, or its kana do.
fn is_read(word: &Word<'_>) -> bool {
    const READING: usize = 8;
    let reading = word.feature.split(',').nth(READING).unwrap_or("*");
    let kanji = |c: char| matches!(c, '々' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}');
    !matches!(reading, "*" | "、" | "") || !word.surface.contains(kanji)
}

/// One word: its marks, its reading, or a pause for each of its characters.
fn speak(node: &NJDNode, before: Option<&'static str>, warnings: &mut Vec<Warning>) -> Spoken {
    let text = narrow_marks(node.get_string());
    let reading = node.get_pron().to_pure_string().replace('’', "");
    let pause = matches!(reading.as_str(), "、" | "？" | "");
    let phonemes = match pause {
        false => kana::phonemes(&reading, before),
        true if text.chars().all(phoneme::is_mark_character) => Some(marks(&text)),
        true => None,
    };
    let phonemes = phonemes.unwrap_or_else(|| {
        warnings.push(warning(WarningKind::Unreadable, &text));
        vec!["'"; text.chars().count()]
    });
    Spoken { text, phonemes }
}

fn marks(text: &str) -> Vec<&'static str> {
    let symbol = |c: char| MARKS.iter().find(|mark| mark.chars().eq([c])).copied();
    text.chars().filter_map(symbol).collect()
}

/// The wide marks of the dictionary's words as BERT and the voices know them.
fn narrow_marks(surface: &str) -> String {
    let mut narrow = String::with_capacity(surface.len());
    for c in surface.chars() {
        match c {
            '，' | '、' | '・' | '：' | '；' | '·' => narrow.push(','),
            '．' | '。' | '＄' | '$' => narrow.push('.'),
            '！' => narrow.push('!'),
            '？' => narrow.push('?'),
            '…' => narrow.push_str("..."),
            '’' | '‘' | '”' | '“' | '（' | '）' | '(' | ')' | '「' | '」' => {
                narrow.push('\'')
            }
            '−' | '－' | '‐' | '–' | '—' | '―' => narrow.push('-'),
            other => narrow.push(other),
        }
    }
    narrow
}

/// Tones from the accent onto phonemes with marks, which are low. None if the
/// two do not hold the same phonemes.
fn align(words: &[Spoken], toned: &[Toned]) -> Option<Vec<u8>> {
    let mut toned = toned.iter();
    let mut tones = Vec::new();
    for phoneme in words.iter().flat_map(|word| &word.phonemes) {
        if phoneme::is_mark(phoneme) {
            tones.push(0);
        } else {
            let next = toned.next().filter(|next| next.phoneme == *phoneme)?;
            tones.push(next.tone);
        }
    }
    toned.next().is_none().then_some(tones)
}

fn warning(kind: WarningKind, text: &str) -> Warning {
    Warning {
        kind,
        text: text.to_owned(),
    }
}
