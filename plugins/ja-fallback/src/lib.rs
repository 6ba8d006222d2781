//! Kanji that the dictionary cannot read are read by their sound: each alone,
//! by its first on'yomi or, before an ending, by its kun'yomi, and the caller is told that it is a guess.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod onyomi;

use alloc::string::String;
use alloc::vec::Vec;

use normalizer::characters::is_kanji;
use normalizer::draft::{Draft, Edit};
use normalizer::policy::{Host, Policy};
use normalizer::settings::{Kind, Setting, Values};

pub struct Fallback;

#[cfg(target_arch = "wasm32")]
normalizer::component!(crate::Fallback);

impl Policy for Fallback {
    const NAME: &'static str = "ja-fallback";
    const SETTINGS: &'static [Setting] = &[Setting {
        key: "kanji",
        kind: Kind::Choice(&["onyomi", "skip", "leave"]),
    }];

    fn normalize(draft: &mut Draft, settings: &Values, host: &dyn Host) {
        let how = settings.choice("kanji");
        if how == "leave" || !draft.characters().iter().any(|c| is_kanji(*c)) {
            return;
        }
        let stretches = host.unread(&draft.text());
        let mut guesses: Vec<(core::ops::Range<usize>, String)> = Vec::new();
        let mut before = None;
        draft.rewrite(|place| {
            let at = place.at;
            let c = place.next(0).filter(|c| is_kanji(*c))?;
            if !stretches.iter().any(|stretch| stretch.contains(&at)) {
                return None;
            }
            let said = match c {
                // Repeats the kanji before it.
                '々' => before.clone()?,
                c => onyomi::of(c, place.next(1))?,
            };
            before = Some(said.clone());
            let said = if how == "skip" { String::new() } else { said };
            guesses.push((at..at + 1, said.clone()));
            Some(Edit::new(1, said))
        });
        for (at, said) in guesses.into_iter().filter(|_| how == "onyomi") {
            host.guessed(at, &said);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ops::Range;
    use normalizer::policy::{read_with, Entry, Kana};

    /// Knows nothing of the second character.
    struct Unread;

    impl Host for Unread {
        fn words(&self, _: &str) -> Vec<Entry> {
            Vec::new()
        }

        fn english(&self, _: &str) -> Option<Kana> {
            None
        }

        fn unread(&self, _: &str) -> Vec<Range<usize>> {
            std::iter::once(1..2).collect::<Vec<_>>()
        }

        fn guessed(&self, at: Range<usize>, _: &str) {
            assert_eq!(at, 1..2);
        }
    }

    #[test]
    fn what_is_unread_is_read_by_its_sound() {
        let values = Values::defaults(Fallback::SETTINGS);
        assert_eq!(
            read_with::<Fallback>("父彅です", &values, &Unread),
            "父ナギです"
        );
        assert_eq!(read_with::<Fallback>("あいう", &values, &Unread), "あいう");
    }

    #[test]
    fn the_table_is_sorted_and_found() {
        assert_eq!(onyomi::of('亜', None).as_deref(), Some("ア"));
        assert_eq!(onyomi::of('龠', None).as_deref(), Some("ヤク"));
        assert_eq!(onyomi::of('あ', None), None);
        assert_eq!(onyomi::of('嗤', Some('っ')).as_deref(), Some("ワラ"));
    }
}
