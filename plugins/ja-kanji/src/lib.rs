//! Forms of characters: old and rare kanji, marks that repeat what is before
//! them, narrow kana, and kana nobody's table has.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod forms;
mod kana;

use normalizer::characters::is_kanji;
use normalizer::draft::{longest, Draft, Edit, Place};
use normalizer::policy::{Host, Policy};
use normalizer::settings::{Kind, Setting, Values};

pub struct Kanji;

#[cfg(target_arch = "wasm32")]
normalizer::component!(crate::Kanji);

impl Policy for Kanji {
    const NAME: &'static str = "ja-kanji";
    const SETTINGS: &'static [Setting] = &[
        Setting {
            key: "old_forms",
            kind: Kind::Flag(true),
        },
        Setting {
            key: "repeats",
            kind: Kind::Flag(true),
        },
        Setting {
            key: "kana",
            kind: Kind::Flag(true),
        },
    ];

    fn normalize(draft: &mut Draft, settings: &Values, _: &dyn Host) {
        draft.rewrite(|place| selector(&place));
        if settings.flag("kana") {
            draft.rewrite(|place| kana::narrow(&place));
            draft.rewrite(|place| kana::rare(&place));
        }
        if settings.flag("repeats") {
            draft.rewrite(|place| kana::repeated(&place));
        }
        if settings.flag("old_forms") {
            draft.rewrite(|place| forms::read(&place));
        }
    }
}

/// Marks that choose among forms of one kanji.
fn selector(place: &Place<'_>) -> Option<Edit> {
    const IN_SQUARES: &[(&str, &str)] = &[
        ("㍿", "株式会社"),
        ("㈱", "株式会社"),
        ("㈲", "有限会社"),
        ("㈳", "社団法人"),
        ("㈶", "財団法人"),
        ("㈻", "学校法人"),
        ("㊑", "株"),
        ("〆切", "締切"),
        ("〆", "シメ"),
        ("(株)", "株式会社"),
        ("(有)", "有限会社"),
    ];
    if let Some((length, word)) = longest(place.rest(), IN_SQUARES) {
        return Some(Edit::new(length, *word));
    }
    let chosen = place.before().is_some_and(is_kanji);
    let mark = place.next(0)?;
    let selector = matches!(mark, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}');
    (selector && (chosen || mark > '\u{ffff}')).then(|| Edit::new(1, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use normalizer::policy::read;

    #[test]
    fn forms_become_those_that_are_read() {
        for (text, expected) in [
            ("𠮷野家と髙橋", "吉野家と高橋"),
            ("辻\u{e0100}さん", "辻さん"),
            ("いすゞとこゝろ", "いすずとこころ"),
            ("子〻", "子々"),
            ("ｶﾞｷﾞﾊﾟｱ", "ガギパア"),
            ("か゛", "が"),
            ("グヮ", "グワ"),
            ("學校", "学校"),
            ("㈱", "株式会社"),
        ] {
            assert_eq!(read::<Kanji>(text), expected, "{text}");
        }
    }
}
