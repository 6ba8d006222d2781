//! Kana for words in Latin letters: as whole words, in their parts, letter by
//! letter, or by a guess. Which words there are and what they become the host
//! knows; what is a word and what is an acronym is decided here.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod parts;

use alloc::string::String;

use normalizer::draft::{starts_in_any_case, Draft, Edit, Place};
use normalizer::letters::{greek, spell};
use normalizer::policy::{Host, Policy};
use normalizer::settings::{Kind, Setting, Values};

pub struct English;

#[cfg(target_arch = "wasm32")]
normalizer::component!(crate::English);

impl Policy for English {
    const NAME: &'static str = "ja-english";
    const SETTINGS: &'static [Setting] = &[
        Setting {
            key: "guess",
            kind: Kind::Flag(true),
        },
        Setting {
            key: "two_letters",
            kind: Kind::Choice(&["spell", "guess"]),
        },
        Setting {
            key: "capitals_max",
            kind: Kind::Count(5),
        },
        Setting {
            key: "greek",
            kind: Kind::Flag(true),
        },
    ];

    fn normalize(draft: &mut Draft, settings: &Values, host: &dyn Host) {
        let reader = Reader { settings, host };
        let mut guesses = alloc::vec::Vec::new();
        draft.rewrite(|place| {
            let mut guessed = false;
            let edit = reader.read(&place, &mut guessed)?;
            if guessed {
                guesses.push((place.at..place.at + edit.length, edit.text.clone()));
            }
            Some(edit)
        });
        for (at, text) in guesses {
            host.guessed(at, &text);
        }
    }
}

struct Reader<'a> {
    settings: &'a Values,
    host: &'a dyn Host,
}

/// Longer runs of letters are no words; each letter is named.
const WORD_MAX: usize = 40;

impl Reader<'_> {
    fn read(&self, place: &Place<'_>, guessed: &mut bool) -> Option<Edit> {
        let first = place.next(0)?;
        if let Some(name) = greek(first).filter(|_| self.settings.flag("greek")) {
            let alone = |c: Option<char>| c.and_then(greek).is_none();
            return (alone(place.before()) && alone(place.next(1))).then(|| Edit::new(1, name));
        }
        if !first.is_ascii_alphabetic() || place.before().is_some_and(|c| c.is_ascii_alphabetic()) {
            return None;
        }
        if let Some(edit) = abbreviation(place) {
            return Some(edit);
        }
        if let Some(length) = pointed(place.rest()) {
            let letters: String = place.rest()[..length].iter().collect();
            return Some(Edit::new(length, spell(&letters)));
        }
        // Longest first: `Wi-Fi` and `e-mail` are words, `test-case` is two.
        for length in [parts::compound(place.rest()), parts::word(place.rest())] {
            let word: String = place.rest()[..length].iter().collect();
            let listed = self.host.english(&word).filter(|kana| !kana.guessed);
            if let Some(kana) = listed.filter(|_| length > 1) {
                return Some(Edit::new(length, kana.text));
            }
        }
        let length = parts::word(place.rest());
        let word: String = place.rest()[..length].iter().collect();
        if word == "a" && self.in_a_sentence(place) {
            return Some(Edit::new(1, "ア"));
        }
        let said = match length > WORD_MAX {
            true => spell(&word),
            false => parts::split(&word)
                .map(
                    |part| match part.len() < word.len() && is_short_acronym(part) {
                        // `VS` of `VSCode` is not the one between teams.
                        true => spell(part),
                        false => self.part(part, guessed),
                    },
                )
                .collect(),
        };
        Some(Edit::new(length, said))
    }

    /// One part of a word: of a list, an acronym, or by a guess.
    fn part(&self, part: &str, guessed: &mut bool) -> String {
        let letters = part.chars().filter(char::is_ascii_alphabetic).count();
        if letters <= 1 {
            return spell(part);
        }
        let (stem, genitive) = match part.strip_suffix("'s").or_else(|| part.strip_suffix("'S")) {
            Some(stem) => (stem, "ズ"),
            None => (part, ""),
        };
        let kana = self.host.english(stem);
        let capitals = !stem.chars().any(|c| c.is_ascii_lowercase());
        let vowels = stem.chars().any(|c| "aeiouyAEIOUY".contains(c));
        let spelled = || spell(stem);
        let said = match kana {
            Some(kana) if !kana.guessed => kana.text,
            _ if !vowels => spelled(),
            _ if capitals && letters <= self.settings.count("capitals_max") => spelled(),
            _ if letters == 2 && self.settings.choice("two_letters") == "spell" => spelled(),
            Some(kana) if self.settings.flag("guess") => {
                *guessed = true;
                kana.text
            }
            _ => spelled(),
        };
        said + genitive
    }

    /// Whether another English word stands beside this one.
    fn in_a_sentence(&self, place: &Place<'_>) -> bool {
        place.next(1) == Some(' ') && place.next(2).is_some_and(|c| c.is_ascii_alphabetic())
    }
}

/// Two or three capitals.
fn is_short_acronym(part: &str) -> bool {
    matches!(part.len(), 2 | 3) && part.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// `U.S.A.`: how long letters with points are, if there are several.
fn pointed(text: &[char]) -> Option<usize> {
    let pairs = text
        .chunks_exact(2)
        .take_while(|pair| pair[0].is_ascii_alphabetic() && pair[1] == '.')
        .count();
    let length = pairs * 2;
    let more = text.get(length).is_some_and(char::is_ascii_alphabetic);
    (pairs >= 2 && !more).then_some(length)
}

/// Shortenings with their point.
fn abbreviation(place: &Place<'_>) -> Option<Edit> {
    const POINTED: &[(&str, &str)] = &[
        ("mr.", "ミスター"),
        ("mrs.", "ミセス"),
        ("ms.", "ミズ"),
        ("dr.", "ドクター"),
        ("prof.", "プロフェッサー"),
        ("st.", "セント"),
        ("vol.", "ボリューム"),
        ("etc.", "エトセトラ"),
        ("e.g.", "イージー"),
        ("i.e.", "アイイー"),
        ("vs.", "バーサス"),
        ("inc.", "インク"),
        ("ltd.", "リミテッド"),
        ("fig.", "フィグ"),
        ("jr.", "ジュニア"),
        ("mt.", "マウント"),
        ("re:", "リー"),
        ("thank you", "サンキュー"),
    ];
    let entry = POINTED
        .iter()
        .filter(|(key, _)| starts_in_any_case(place.rest(), key))
        .max_by_key(|(key, _)| key.len())?;
    Some(Edit::new(entry.0.len(), entry.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use normalizer::policy::{read_with, Entry, Kana};

    struct Few;

    impl Host for Few {
        fn words(&self, _: &str) -> alloc::vec::Vec<Entry> {
            alloc::vec::Vec::new()
        }

        fn english(&self, word: &str) -> Option<Kana> {
            let (text, guessed) = match word.to_ascii_lowercase().as_str() {
                "javascript" => ("ジャバスクリプト", false),
                "user" => ("ユーザー", false),
                "name" => ("ネーム", false),
                "wi-fi" => ("ワイファイ", false),
                "nasa" => ("ナサ", false),
                "parser" => ("パーサー", false),
                "pen" => ("ペン", false),
                "foo" | "html" => ("フー", true),
                _ => return None,
            };
            Some(Kana {
                text: text.to_string(),
                guessed,
            })
        }

        fn unread(&self, _: &str) -> alloc::vec::Vec<core::ops::Range<usize>> {
            alloc::vec::Vec::new()
        }

        fn guessed(&self, _: core::ops::Range<usize>, _: &str) {}
    }

    #[test]
    fn words_parts_and_acronyms() {
        for (text, expected) in [
            ("JavaScript", "ジャバスクリプト"),
            ("userName", "ユーザーネーム"),
            ("user_name", "ユーザーネーム"),
            ("XMLParser", "エックスエムエルパーサー"),
            ("HTML", "エイチティーエムエル"),
            ("NASA", "ナサ"),
            ("Wi-Fi", "ワイファイ"),
            ("a pen", "ア ペン"),
            ("Foo", "フー"),
            ("Pen's", "ペンズ"),
            ("AとB", "エーとビー"),
            ("Δt", "デルタティー"),
        ] {
            let values = Values::defaults(English::SETTINGS);
            assert_eq!(
                read_with::<English>(text, &values, &Few),
                expected,
                "{text}"
            );
        }
    }
}
