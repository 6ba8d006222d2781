//! Accent phrases in writing, in the notation that VOICEVOX describes to its
//! users and that follows AquesTalk: katakana; `/` between phrases, or `、` for
//! a pause; `'` behind the mora of the accent, once in each phrase; `_` before
//! a mora that is not voiced; `？` at the end of a question.

use super::{Mora, Phrase};
use crate::kana;

const BOUNDARY: char = '/';
const PAUSE: char = '、';
const ACCENT: char = '\'';
const UNVOICED: char = '_';
const QUESTION: char = '？';

/// What is wrong in a notation, by the cases that VOICEVOX tells apart. The
/// caller can act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KanaError {
    /// The rest of the phrase, from where nothing can be read.
    #[error("no katakana mora is read from `{0}` on")]
    UnknownText(String),
    /// The phrase as it is written.
    #[error("the phrase `{0}` begins with an accent mark; it stands behind a mora")]
    AccentTop(String),
    /// The phrase as it is written.
    #[error("the phrase `{0}` has more than one accent mark")]
    AccentTwice(String),
    /// The phrase as it is written.
    #[error("the phrase `{0}` has no accent mark; put a `'` behind one of its moras")]
    AccentNotFound(String),
    /// The phrase's place, from 1.
    #[error("phrase {0} is empty")]
    EmptyPhrase(usize),
    /// The phrase as it is written.
    #[error("a `？` in `{0}` does not stand at the end of its phrase")]
    InterrogationMarkNotAtEnd(String),
}

/// The phrases that a notation writes.
pub fn parse(text: &str) -> Result<Vec<Phrase>, KanaError> {
    let mut phrases = Vec::new();
    let mut rest = Some(text);
    while let Some(from) = rest {
        let (written, boundary) = match from.find([BOUNDARY, PAUSE]) {
            Some(end) => (&from[..end], from[end..].chars().next()),
            None => (from, None),
        };
        rest = boundary.map(|mark| &from[written.len() + mark.len_utf8()..]);
        let phrase = phrase(written, phrases.len() + 1)?;
        phrases.push(match boundary {
            Some(PAUSE) => phrase.with_pause(),
            _ => phrase,
        });
    }
    Ok(phrases)
}

/// The notation of phrases. It has no letters for marks: those at the end of a
/// phrase are a pause or a question, others are left out.
pub fn write(phrases: &[Phrase]) -> String {
    let mut written = String::new();
    let mut boundary = None;
    for phrase in phrases {
        let said = phrase.moras().iter().any(|mora| !mora.is_mark());
        if said {
            written.extend(boundary);
            write_phrase(phrase, &mut written);
        }
        let pauses = phrase.has_pause() || !phrase.marks().is_empty();
        boundary = match (pauses, said) {
            (true, true) => Some(PAUSE),
            (false, _) => Some(BOUNDARY),
            // Marks alone: a pause, if something was said before them.
            (true, false) => boundary.map(|_| PAUSE),
        };
    }
    written
}

fn write_phrase(phrase: &Phrase, written: &mut String) {
    let said = |moras: &[Mora]| moras.iter().filter(|mora| !mora.is_mark()).count();
    // An accent on a mark stands behind the mora before it, or behind the
    // first of all.
    let accent = said(&phrase.moras()[..phrase.accent()]).max(1);
    let moras = phrase.moras().iter().filter(|mora| !mora.is_mark());
    for (mora, place) in moras.zip(1..) {
        if mora.is_unvoiced() {
            written.push(UNVOICED);
        }
        written.push_str(mora.text());
        if place == accent {
            written.push(ACCENT);
        }
    }
    if phrase.is_interrogative() {
        written.push(QUESTION);
    }
}

/// One phrase without its boundary; `place` counts from 1.
fn phrase(written: &str, place: usize) -> Result<Phrase, KanaError> {
    let (said, interrogative) = match written.strip_suffix(QUESTION) {
        Some(said) => (said, true),
        None => (written, false),
    };
    if said.is_empty() {
        return Err(KanaError::EmptyPhrase(place));
    }
    if said.contains(QUESTION) {
        return Err(KanaError::InterrogationMarkNotAtEnd(written.to_owned()));
    }
    let mut moras: Vec<Mora> = Vec::new();
    let mut accent = None;
    let mut rest = said;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(ACCENT) {
            if moras.is_empty() {
                return Err(KanaError::AccentTop(written.to_owned()));
            }
            if accent.replace(moras.len()).is_some() {
                return Err(KanaError::AccentTwice(written.to_owned()));
            }
            rest = after;
            continue;
        }
        let unknown = || KanaError::UnknownText(rest.to_owned());
        let (mora, after) = mora(rest, moras.last()).ok_or_else(unknown)?;
        moras.push(mora);
        rest = after;
    }
    Ok(Phrase {
        moras,
        accent: accent.ok_or_else(|| KanaError::AccentNotFound(written.to_owned()))?,
        pause: false,
        interrogative,
    })
}

/// The mora that `text` begins with, and what is after it.
fn mora<'a>(text: &'a str, before: Option<&Mora>) -> Option<(Mora, &'a str)> {
    let unvoiced = text.strip_prefix(UNVOICED);
    let from = unvoiced.unwrap_or(text);
    let (kana, after) = from.split_at(kana::mora(from)?);
    let mora = Mora::read(kana, before)?;
    match unvoiced {
        Some(_) => Some((mora.unvoiced()?, after)),
        None => Some((mora, after)),
    }
}

impl KanaError {
    /// The name of the case in VOICEVOX's interface.
    pub fn name(&self) -> &'static str {
        match self {
            Self::UnknownText(_) => "UNKNOWN_TEXT",
            Self::AccentTop(_) => "ACCENT_TOP",
            Self::AccentTwice(_) => "ACCENT_TWICE",
            Self::AccentNotFound(_) => "ACCENT_NOTFOUND",
            Self::EmptyPhrase(_) => "EMPTY_PHRASE",
            Self::InterrogationMarkNotAtEnd(_) => "INTERROGATION_MARK_NOT_AT_END",
        }
    }

    /// Name and value of what the case is about, in the same interface.
    pub fn argument(&self) -> (&'static str, String) {
        match self {
            Self::UnknownText(text)
            | Self::AccentTop(text)
            | Self::AccentTwice(text)
            | Self::AccentNotFound(text)
            | Self::InterrogationMarkNotAtEnd(text) => ("text", text.clone()),
            Self::EmptyPhrase(place) => ("position", place.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_notation_is_read() {
        let phrases = parse("コレワ'、_テ'_スト/デ_ス'カ？").expect("a notation");
        let shown = |phrase: &Phrase| {
            let vowels: String = phrase.moras().iter().map(Mora::vowel).collect();
            (
                vowels,
                phrase.accent(),
                phrase.has_pause(),
                phrase.is_interrogative(),
            )
        };
        assert_eq!(
            phrases.iter().map(shown).collect::<Vec<_>>(),
            [
                ("oea".to_owned(), 3, true, false),
                ("EUo".to_owned(), 1, false, false),
                ("eUa".to_owned(), 2, false, true),
            ]
        );
    }

    #[test]
    fn each_mistake_has_its_name() {
        for (text, name, argument) in [
            ("ア'/アaメ'", "UNKNOWN_TEXT", ("text", "aメ'")),
            ("あ'", "UNKNOWN_TEXT", ("text", "あ'")),
            ("ア_ン'", "UNKNOWN_TEXT", ("text", "_ン'")),
            ("ー'", "UNKNOWN_TEXT", ("text", "ー'")),
            ("ア'_", "UNKNOWN_TEXT", ("text", "_")),
            ("'アメ", "ACCENT_TOP", ("text", "'アメ")),
            ("ア'メ'/ア'", "ACCENT_TWICE", ("text", "ア'メ'")),
            ("ア''", "ACCENT_TWICE", ("text", "ア''")),
            ("ア'、アメ？", "ACCENT_NOTFOUND", ("text", "アメ？")),
            ("", "EMPTY_PHRASE", ("position", "1")),
            ("ア'//ア'", "EMPTY_PHRASE", ("position", "2")),
            ("ア'、", "EMPTY_PHRASE", ("position", "2")),
            ("？", "EMPTY_PHRASE", ("position", "1")),
            (
                "ア'？メ",
                "INTERROGATION_MARK_NOT_AT_END",
                ("text", "ア'？メ"),
            ),
            (
                "ア'？？",
                "INTERROGATION_MARK_NOT_AT_END",
                ("text", "ア'？？"),
            ),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.name(), name, "{text}");
            let (key, value) = error.argument();
            assert_eq!((key, value.as_str()), argument, "{text}");
        }
    }

    #[test]
    fn marks_are_written_as_far_as_there_are_letters() {
        let phrase = |texts: &str, accent| {
            let texts: Vec<_> = texts.split(' ').collect();
            Phrase::new(&texts, accent).expect("a good phrase")
        };
        for (phrases, written) in [
            (vec![phrase("'", 1), phrase("ア メ .", 1)], "ア'メ"),
            (vec![phrase("ア ,", 2), phrase("メ", 1)], "ア'、メ'"),
            (vec![phrase("ア メ", 1), phrase("! !", 1)], "ア'メ"),
            (
                vec![phrase("ア ?", 1).asked(), phrase("イ", 1)],
                "ア'？、イ'",
            ),
            (vec![phrase("ア メ , ガ", 2)], "アメ'ガ"),
            (vec![phrase("' ア メ", 1)], "ア'メ"),
            (vec![phrase("ア ' メ", 3)], "アメ'"),
        ] {
            assert_eq!(write(&phrases), written);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            text in "[アキ]ャ?(_ク|ッ|ンー|シェ){0,3}'(メ|_ソ){0,2}？?([/、]_?カサ'(メ)？?){0,3}"
        ) {
            // The pattern also spells some that are none.
            if let Ok(phrases) = parse(&text) {
                prop_assert_eq!(write(&phrases), text);
            }
        }

        #[test]
        fn no_text_is_too_odd(text in "[アキャッンー_'？/、aあ]{0,12}") {
            match parse(&text) {
                Ok(phrases) => prop_assert_eq!(write(&phrases), text),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }
}
