//! Accent phrases, as the clients of VOICEVOX and AivisSpeech edit them.
//!
//! A phrase is some moras and the place of its accent. Its first mora is low
//! unless the accent is 1; up to the accent the moras are high, after it low.
//! A mark is a mora too, with the vowel `pau`; it has a place, and no tone but
//! low. Nothing here knows of pitch or length.
//!
//! [`of`] makes phrases of moras with tones, [`moras`](fn@moras) goes back;
//! [`parse_kana`] and [`write_kana`] are for phrases in writing.

mod group;
mod notation;

pub use group::of;
pub use notation::{KanaError, parse as parse_kana, write as write_kana};

use crate::kana;
use crate::moras;
use crate::phoneme::{self, MARKS};

/// What VOICEVOX calls the vowel of a mora that is not said.
const SILENT: &str = "pau";
const COMMA: &str = ",";
const QUESTION: &str = "?";

/// Holds always: there is a mora, and the accent is one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase {
    moras: Vec<Mora>,
    accent: usize,
    pause: bool,
    interrogative: bool,
}

/// One katakana mora or one mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mora {
    text: String,
    consonant: Option<&'static str>,
    vowel: &'static str,
}

/// Why there is no such phrase. The caller can act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhraseError {
    /// The phrase has no kana and no mark.
    #[error("an accent phrase has no mora")]
    NoMora,
    /// The accent counts moras from 1, and is none of them.
    #[error("the accent is {accent}; the phrase has {moras} moras, and it is one of them")]
    Accent { accent: usize, moras: usize },
    /// The text at this place, from 1, is not one mora.
    #[error("mora {place}, `{text}`, is neither one katakana mora nor one of the marks {}", MARKS.join(" "))]
    Mora { place: usize, text: String },
}

/// The moras that phrases say, with their tones.
pub fn moras(phrases: &[Phrase]) -> Vec<moras::Mora> {
    phrases.iter().flat_map(Phrase::toned).collect()
}

/// The phrases in hiragana, as a text that is read like them.
pub fn hiragana(phrases: &[Phrase]) -> String {
    let small_steps = |c: char| match c {
        'ァ'..='ヶ' => char::from_u32(c as u32 - 0x60).unwrap_or(c),
        other => other,
    };
    let moras = moras(phrases);
    moras
        .iter()
        .flat_map(|mora| mora.kana.chars())
        .map(small_steps)
        .collect()
}

impl Phrase {
    /// The accent counts from 1; on the last mora it means that nothing falls.
    pub fn new(texts: &[impl AsRef<str>], accent: usize) -> Result<Self, PhraseError> {
        if texts.is_empty() {
            return Err(PhraseError::NoMora);
        }
        let mut moras: Vec<Mora> = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().map(AsRef::as_ref).enumerate() {
            let mora = Mora::read(text, moras.last()).ok_or_else(|| PhraseError::Mora {
                place: index + 1,
                text: text.to_owned(),
            })?;
            moras.push(mora);
        }
        if !(1..=moras.len()).contains(&accent) {
            return Err(PhraseError::Accent {
                accent,
                moras: moras.len(),
            });
        }
        Ok(Self {
            moras,
            accent,
            pause: false,
            interrogative: false,
        })
    }

    /// The same with a pause after it, which is read as a comma.
    pub fn with_pause(self) -> Self {
        Self {
            pause: true,
            ..self
        }
    }

    /// The same as a question. It is read with a question mark, if none of the
    /// marks at its end is one.
    pub fn asked(self) -> Self {
        Self {
            interrogative: true,
            ..self
        }
    }

    /// In the order they are said; at least one.
    pub fn moras(&self) -> &[Mora] {
        &self.moras
    }

    /// From 1.
    pub fn accent(&self) -> usize {
        self.accent
    }

    /// Whether a pause follows the phrase.
    pub fn has_pause(&self) -> bool {
        self.pause
    }

    /// Whether the phrase is asked; the voice hears a question mark.
    pub fn is_interrogative(&self) -> bool {
        self.interrogative
    }

    /// The marks that the phrase ends with.
    fn marks(&self) -> &[Mora] {
        let said = self.moras.iter().rposition(|mora| !mora.is_mark());
        &self.moras[said.map_or(0, |last| last + 1)..]
    }

    fn toned(&self) -> Vec<moras::Mora> {
        let mut toned = Vec::with_capacity(self.moras.len() + 2);
        for (index, mora) in self.moras.iter().enumerate() {
            let high = match index {
                0 => self.accent == 1,
                _ => index < self.accent,
            };
            toned.push(moras::Mora {
                kana: mora.text.clone(),
                tone: u8::from(high && !mora.is_mark()),
            });
        }
        let asked = self.marks().iter().any(|mark| mark.text == QUESTION);
        let question = (self.interrogative && !asked).then_some(QUESTION);
        let comma = self.pause.then_some(COMMA);
        toned.extend(question.into_iter().chain(comma).map(|mark| moras::Mora {
            kana: mark.to_owned(),
            tone: 0,
        }));
        toned
    }
}

impl Mora {
    /// A katakana or a mark.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// None for a vowel alone, a double consonant or a mark.
    pub fn consonant(&self) -> Option<&'static str> {
        self.consonant
    }

    /// A capital one is not voiced; a double consonant is `cl`, a mark `pau`.
    pub fn vowel(&self) -> &'static str {
        self.vowel
    }

    /// A mark is a pause or a question, and makes no sound of its own.
    pub fn is_mark(&self) -> bool {
        self.vowel == SILENT
    }

    /// A long mark goes on with the mora before it, and is none without.
    fn read(text: &str, before: Option<&Self>) -> Option<Self> {
        let (consonant, vowel) = match text {
            mark if phoneme::is_mark(mark) => (None, SILENT),
            "ー" => (None, before?.goes_on()?),
            _ if kana::mora(text) != Some(text.len()) => return None,
            _ => match kana::phonemes(text, None)?[..] {
                ["q"] => (None, "cl"),
                [vowel] => (None, vowel),
                [consonant, vowel] => (Some(consonant), vowel),
                ["k", .., vowel] => (Some("kw"), vowel),
                ["g", .., vowel] => (Some("gw"), vowel),
                _ => return None,
            },
        };
        Some(Self {
            text: text.to_owned(),
            consonant,
            vowel,
        })
    }

    /// What a long mark after it sounds like.
    fn goes_on(&self) -> Option<&'static str> {
        let voiced = VOWELS.iter().find(|(_, unvoiced)| *unvoiced == self.vowel);
        match voiced {
            Some((voiced, _)) => Some(voiced),
            None => kana::can_go_on(self.vowel).then_some(self.vowel),
        }
    }

    fn unvoiced(self) -> Option<Self> {
        let (_, vowel) = VOWELS.iter().find(|(voiced, _)| *voiced == self.vowel)?;
        Some(Self { vowel, ..self })
    }

    fn is_unvoiced(&self) -> bool {
        VOWELS.iter().any(|(_, unvoiced)| *unvoiced == self.vowel)
    }
}

/// Voiced and not.
const VOWELS: [(&str, &str); 5] = [("a", "A"), ("i", "I"), ("u", "U"), ("e", "E"), ("o", "O")];

#[cfg(test)]
mod tests {
    use super::*;

    fn said(phrases: &[Phrase]) -> String {
        let one = |mora: moras::Mora| format!("{}{}", mora.kana, mora.tone);
        moras(phrases)
            .into_iter()
            .map(one)
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn phrase(texts: &str, accent: usize) -> Phrase {
        let texts: Vec<_> = texts.split(' ').collect();
        Phrase::new(&texts, accent).expect("a good phrase")
    }

    #[test]
    fn the_accent_says_which_moras_are_high() {
        for (accent, tones) in [
            (1, "コ1 コ0 ロ0 ガ0"),
            (2, "コ0 コ1 ロ0 ガ0"),
            (3, "コ0 コ1 ロ1 ガ0"),
            (4, "コ0 コ1 ロ1 ガ1"),
        ] {
            assert_eq!(said(&[phrase("コ コ ロ ガ", accent)]), tones);
        }
        assert_eq!(said(&[phrase("' ア , イ", 4)]), "'0 ア1 ,0 イ1");
    }

    #[test]
    fn pauses_and_questions_are_read_as_marks() {
        let ame = || phrase("ア メ", 1);
        assert_eq!(said(&[ame().with_pause()]), "ア1 メ0 ,0");
        assert_eq!(said(&[ame().asked().with_pause()]), "ア1 メ0 ?0 ,0");
        assert_eq!(said(&[phrase("ア ? !", 1).asked()]), "ア1 ?0 !0");
    }

    #[test]
    fn moras_are_shown_as_voicevox_names_them() {
        let shown = |texts| {
            let one = |mora: &Mora| format!("{}{}", mora.consonant.unwrap_or("-"), mora.vowel);
            let phrase = phrase(texts, 1);
            phrase.moras().iter().map(one).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown("キャ ッ ト ー !"), "kya -cl to -o -pau");
        assert_eq!(shown("ク ン ー クヮ ヲ"), "ku -N -N kwa -o");
    }

    #[test]
    fn what_is_no_phrase_says_why() {
        let wrong = |texts: &[&str], accent| Phrase::new(texts, accent).expect_err("no phrase");
        assert_eq!(wrong(&[], 1), PhraseError::NoMora);
        for accent in [0, 3] {
            assert_eq!(
                wrong(&["ア", "メ"], accent),
                PhraseError::Accent { accent, moras: 2 }
            );
        }
        for text in ["", "あ", "アメ", "a", "。", "ー", "😊"] {
            let error = wrong(&["ッ", text], 1);
            let text = text.to_owned();
            assert_eq!(error, PhraseError::Mora { place: 2, text });
        }
    }

    #[test]
    fn hiragana_are_read_like_the_phrases() {
        let phrases = [
            phrase("ヴァ ー ジョ ン", 1).with_pause(),
            phrase("ヶ !", 1).asked(),
        ];
        assert_eq!(hiragana(&phrases), "ゔぁーじょん,ゖ!?");
    }
}
