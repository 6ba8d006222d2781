//! Moras with tones → accent phrases.
//!
//! Where one phrase ends and the next begins is not in the tones alone, so the
//! grouping keeps to what they force, and says the same tones again:
//!
//! - A low mora before a high one begins a phrase: pitch rises once in it.
//! - A high mora after a mark, or first of all, begins one with accent 1. If
//!   more high ones follow, each is a phrase: accent 1 has one high mora only.
//! - The accent is the last high mora; in a flat phrase the last of its moras.
//! - Marks belong to the end of the phrase they follow. At the beginning they
//!   are a phrase of their own: in another they would be its first mora, the
//!   low one.
//! - A low mora alone between marks is a phrase with the accent on its mark,
//!   so that it stays low. Other low moras after a mark do not rise by
//!   themselves, and go on with the phrase before the mark.
//!
//! Two beginnings cannot be said by any accent phrase: low and low again, and
//! one low mora without a mark. Their first mora becomes high. It is the only
//! tone that is ever lost.

use super::{Mora, Phrase, PhraseError, QUESTION};
use crate::{moras, phoneme};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sound {
    Mark,
    Low,
    High,
}

/// The phrases of moras with tones. Only texts that are neither kana nor marks
/// are errors, such as the phonemes of another language.
pub fn of(moras: &[moras::Mora]) -> Result<Vec<Phrase>, PhraseError> {
    let sounds: Vec<_> = moras.iter().map(sound).collect();
    let mut starts = starts(&sounds);
    starts.push(moras.len());
    let phrases = starts.windows(2).map(|ends| {
        let (start, end) = (ends[0], ends[1]);
        let texts: Vec<_> = moras[start..end].iter().map(|mora| &mora.kana).collect();
        let phrase = Phrase::new(&texts, accent(&sounds[start..end]));
        let phrase = phrase.map_err(|error| error.shifted(start))?;
        let asks = |mark: &Mora| mark.text == QUESTION;
        Ok(match phrase.marks().iter().any(asks) {
            true => phrase.asked(),
            false => phrase,
        })
    });
    phrases.collect()
}

fn sound(mora: &moras::Mora) -> Sound {
    match mora.tone {
        _ if phoneme::is_mark(&mora.kana) => Sound::Mark,
        0 => Sound::Low,
        _ => Sound::High,
    }
}

fn starts(sounds: &[Sound]) -> Vec<usize> {
    let mut starts = Vec::new();
    for (at, sound) in sounds.iter().enumerate() {
        let next = sounds.get(at + 1);
        let Some(before) = at.checked_sub(1).map(|before| sounds[before]) else {
            starts.push(at);
            continue;
        };
        let begins = match (before, sound) {
            (_, Sound::Mark) => false,
            (Sound::Mark, Sound::Low) => matches!(next, Some(Sound::High | Sound::Mark)),
            (_, Sound::Low) => next == Some(&Sound::High),
            (Sound::Mark, Sound::High) => true,
            (Sound::Low, Sound::High) => false,
            (Sound::High, Sound::High) => {
                starts.last().map(|start| sounds[*start]) == Some(Sound::High)
            }
        };
        if begins {
            starts.push(at);
        }
    }
    starts
}

/// The accent of one phrase, from 1.
fn accent(sounds: &[Sound]) -> usize {
    let last_high = sounds.iter().rposition(|sound| *sound == Sound::High);
    match (last_high, sounds) {
        (Some(last), _) => last + 1,
        (None, [Sound::Low, Sound::Mark, ..]) => 2,
        (None, _) => 1,
    }
}

impl PhraseError {
    /// Counted from the beginning of the sentence.
    fn shifted(self, by: usize) -> Self {
        match self {
            Self::Mora { place, text } => Self::Mora {
                place: place + by,
                text,
            },
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::phoneme::MARKS;
    use crate::phrases;

    /// `0` and `1` are moras, all else are marks.
    fn toned(tones: &str) -> Vec<moras::Mora> {
        let one = |c: char| match c.to_digit(2) {
            Some(tone) => moras::Mora {
                kana: "ア".to_owned(),
                tone: u8::try_from(tone).expect("0 or 1"),
            },
            None => moras::Mora {
                kana: c.to_string(),
                tone: 0,
            },
        };
        tones.chars().map(one).collect()
    }

    /// Phrases by how many moras they have, with their accents.
    fn grouped(tones: &str) -> String {
        let one = |phrase: &Phrase| format!("{}:{}", phrase.moras().len(), phrase.accent());
        let phrases = of(&toned(tones)).expect("kana and marks");
        phrases.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn phrases_rise_once_and_fall_once() {
        for (tones, phrases) in [
            ("", ""),
            ("0110", "4:3"),
            ("0111", "4:4"),
            ("1000", "4:1"),
            ("011001", "4:3 2:2"),
            ("011011", "3:3 3:3"),
            ("1001", "2:1 2:2"),
            ("1010", "1:1 3:2"),
            ("1110", "1:1 1:1 2:1"),
        ] {
            assert_eq!(grouped(tones), phrases, "{tones}");
        }
    }

    #[test]
    fn marks_belong_to_the_phrase_before_them() {
        for (tones, phrases) in [
            ("01,01.", "3:2 3:2"),
            ("01!?100", "4:2 3:1"),
            ("'01'", "1:1 3:2"),
            ("...", "3:1"),
            ("0,01", "2:2 2:2"),
            ("01,0,01", "3:2 2:2 2:2"),
            ("011,00", "6:3"),
            ("011,0011", "5:3 3:3"),
            ("'0001", "3:1 2:2"),
        ] {
            assert_eq!(grouped(tones), phrases, "{tones}");
        }
    }

    #[test]
    fn what_cannot_be_said_begins_high() {
        for (tones, phrases) in [("0", "1:1"), ("000", "3:1"), ("0011", "1:1 3:3")] {
            assert_eq!(grouped(tones), phrases, "{tones}");
        }
    }

    #[test]
    fn a_question_mark_at_its_end_makes_a_question() {
        let asked = |tones| {
            let phrases = of(&toned(tones)).expect("kana and marks");
            phrases
                .iter()
                .map(Phrase::is_interrogative)
                .collect::<Vec<_>>()
        };
        assert_eq!(asked("01?01?!01."), [true, true, false]);
        assert_eq!(asked("01?00"), [false]);
    }

    #[test]
    fn what_is_no_kana_is_named_with_its_place() {
        let mut moras = toned("01,01");
        moras[4].kana = "AA".to_owned();
        let text = "AA".to_owned();
        assert_eq!(of(&moras), Err(PhraseError::Mora { place: 5, text }));
    }

    fn sayable(tones: &str) -> bool {
        !tones.starts_with("00") && tones != "0"
    }

    /// Phrases whose ends the tones show: after a phrase without a mark only
    /// one that rises can be told apart.
    fn distinguishable() -> impl Strategy<Value = Vec<Phrase>> {
        let mora = prop::sample::select(vec!["ア", "キャ", "ン", "ッ", "ヴ"]);
        let mark = prop::sample::select(MARKS.to_vec());
        let moras = prop::collection::vec(mora, 1..6);
        let marks = prop::collection::vec(mark, 0..3);
        let phrase = (moras, marks, any::<prop::sample::Index>());
        prop::collection::vec(phrase, 1..6).prop_map(|parts| {
            let mut phrases: Vec<Phrase> = Vec::new();
            for (moras, marks, accent) in parts {
                let alone = phrases.last().is_none_or(|last| !last.marks().is_empty());
                let accent = 1 + accent.index(moras.len());
                if accent == 1 && !alone {
                    continue;
                }
                let asks = marks.contains(&"?");
                let phrase = Phrase::new(&[moras, marks].concat(), accent).expect("good");
                phrases.push(if asks { phrase.asked() } else { phrase });
            }
            phrases
        })
    }

    proptest! {
        #[test]
        fn tones_survive_unless_no_phrase_can_say_them(tones in "[01,?'.]{0,12}") {
            let given = toned(&tones);
            let said = phrases::moras(&of(&given).expect("kana and marks"));
            let differ = given.iter().zip(&said).filter(|(given, said)| given != said);
            prop_assert_eq!(given.len(), said.len());
            prop_assert_eq!(differ.count(), usize::from(!sayable(&tones)));
        }

        #[test]
        fn phrases_that_tones_tell_apart_survive(phrases in distinguishable()) {
            let again = of(&phrases::moras(&phrases));
            prop_assert_eq!(again.as_ref(), Ok(&phrases));
        }
    }
}
