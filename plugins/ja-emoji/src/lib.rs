//! Emoji, faces made of signs, laughter, and marks and vowels repeated for
//! their looks.
//!
//! It must come before whatever reads signs and letters: a face has both.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod faces;
mod names;
mod pictures;
mod repeats;

use normalizer::draft::{Draft, Edit};
use normalizer::policy::{Host, Policy};
use normalizer::settings::{Kind, Setting, Values};

pub struct Emoji;

#[cfg(target_arch = "wasm32")]
normalizer::component!(crate::Emoji);

impl Policy for Emoji {
    const NAME: &'static str = "ja-emoji";
    const SETTINGS: &'static [Setting] = &[
        Setting {
            key: "emoji",
            kind: Kind::Choice(&["skip", "name"]),
        },
        Setting {
            key: "faces",
            kind: Kind::Flag(true),
        },
        Setting {
            key: "laughter",
            kind: Kind::Choice(&["skip", "read"]),
        },
        Setting {
            key: "repeats",
            kind: Kind::Count(3),
        },
    ];

    fn normalize(draft: &mut Draft, settings: &Values, _: &dyn Host) {
        if settings.flag("faces") {
            draft.rewrite(|place| faces::length(&place).map(|length| Edit::new(length, "")));
        }
        let named = settings.choice("emoji") == "name";
        draft.rewrite(|place| pictures::read(&place, named));
        let read = settings.choice("laughter") == "read";
        draft.rewrite(|place| faces::laughter(&place, read));
        let most = settings.count("repeats");
        draft.rewrite(|place| repeats::shorten(&place, most));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use normalizer::policy::{read, read_with, Nobody};
    use normalizer::settings::Given;

    #[test]
    fn pictures_are_left_out_or_named() {
        assert_eq!(
            read::<Emoji>("家族👨\u{200d}👩\u{200d}👧です🇯🇵1\u{fe0f}\u{20e3}番"),
            "家族です1番"
        );
        let named =
            Values::defaults(Emoji::SETTINGS).with("emoji", Given::Text("name".to_string()));
        assert_eq!(read_with::<Emoji>("🍎", &named, &Nobody), "赤リンゴ");
    }

    #[test]
    fn faces_are_left_out_and_brackets_with_words_are_not() {
        for face in [
            "(^_^)",
            "(*^▽^*)",
            "m(_ _)m",
            "(´;ω;｀)",
            "＼(^^)／",
            "φ(..)",
            "(；゜Д゜)",
            "(^o^)v",
        ] {
            assert_eq!(read::<Emoji>(&["あ", face].concat()), "あ", "{face}");
        }
        for words in [
            "(税込)",
            "f(x)",
            "(1)",
            "(株)",
            "「はい」",
            "(A)",
            "(+3)",
            "(10%)",
        ] {
            assert_eq!(read::<Emoji>(words), words);
        }
    }

    #[test]
    fn laughter_is_left_out_and_marks_are_few() {
        assert_eq!(read::<Emoji>("まじかwww"), "まじか");
        assert_eq!(read::<Emoji>("www.example"), "www.example");
        assert_eq!(read::<Emoji>("なんで？？？？？"), "なんで？");
        assert_eq!(read::<Emoji>("ぎゃああああああ"), "ぎゃあああ");
        assert_eq!(read::<Emoji>("1000000"), "1000000");
    }
}
