//! Markup: what stands in a text for its looks is taken away, and what says
//! how something is read is obeyed.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod markdown;
mod ruby;
mod tags;

use alloc::string::String;

use normalizer::characters::to_katakana;
use normalizer::draft::Draft;
use normalizer::policy::{Host, Policy};
use normalizer::settings::{Kind, Setting, Values};

pub struct Markup;

#[cfg(target_arch = "wasm32")]
normalizer::component!(crate::Markup);

impl Policy for Markup {
    const NAME: &'static str = "ja-markup";
    const SETTINGS: &'static [Setting] = &[
        Setting {
            key: "ruby",
            kind: Kind::Flag(true),
        },
        Setting {
            key: "braces",
            kind: Kind::Flag(true),
        },
        Setting {
            key: "tags",
            kind: Kind::Flag(true),
        },
        Setting {
            key: "markdown",
            kind: Kind::Flag(true),
        },
    ];

    fn normalize(draft: &mut Draft, settings: &Values, _: &dyn Host) {
        if settings.flag("tags") {
            draft.rewrite(|place| tags::read(&place));
        }
        if settings.flag("ruby") {
            ruby::read(draft);
        }
        if settings.flag("braces") {
            draft.rewrite(|place| ruby::braces(&place));
        }
        if settings.flag("markdown") {
            draft.rewrite(|place| markdown::read(&place));
        }
    }
}

/// A reading as the frontend takes it without a second thought: in katakana.
fn reading(text: &[char]) -> String {
    text.iter().copied().map(to_katakana).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use normalizer::policy::read;

    #[test]
    fn readings_given_in_the_text_are_taken() {
        assert_eq!(read::<Markup>("｜東雲《しののめ》さん"), "シノノメさん");
        assert_eq!(read::<Markup>("今日《きょう》は雨"), "キョウは雨");
        assert_eq!(read::<Markup>("{小鳥遊|たかなし}です"), "タカナシです");
        assert_eq!(
            read::<Markup>("<ruby>明日<rp>(</rp><rt>あす</rt><rp>)</rp></ruby>"),
            "アス"
        );
        assert_eq!(read::<Markup>("《二重》はそのまま"), "《二重》はそのまま");
    }

    #[test]
    fn looks_are_taken_away() {
        assert_eq!(read::<Markup>("**強調**と`code`"), "強調とcode");
        assert_eq!(read::<Markup>("# 見出し"), "見出し");
        assert_eq!(read::<Markup>("[絵](https://a.example)"), "絵");
        assert_eq!(read::<Markup>("2 * 3 * 4 と a_b_c"), "2 * 3 * 4 と a_b_c");
        assert_eq!(read::<Markup>("3 < 5 && 7 > 2"), "3 < 5 && 7 > 2");
    }
}
