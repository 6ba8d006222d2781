//! Figures that are left, in kanji numerals, which the frontend reads with
//! their counters: 三本, 六匹, 二十日.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::format;
use alloc::string::String;

use normalizer::characters::is_kanji;
use normalizer::draft::{longest, starts, Draft, Edit, Place};
use normalizer::numerals::{digits, integer, kanji_digits, katakana, number, spoken};
use normalizer::policy::{Host, Policy};
use normalizer::settings::{Kind, Setting, Values};

pub struct Numbers;

#[cfg(target_arch = "wasm32")]
normalizer::component!(crate::Numbers);

impl Policy for Numbers {
    const NAME: &'static str = "ja-numbers";
    const SETTINGS: &'static [Setting] = &[
        Setting {
            key: "ordinals",
            kind: Kind::Flag(true),
        },
        Setting {
            key: "leading_zeros",
            kind: Kind::Choice(&["digits", "drop"]),
        },
        Setting {
            key: "digits_max",
            kind: Kind::Count(36),
        },
    ];

    fn normalize(draft: &mut Draft, settings: &Values, _: &dyn Host) {
        draft.rewrite(|place| {
            ordinal(&place)
                .filter(|_| settings.flag("ordinals"))
                .or_else(|| dimension(&place))
                .or_else(|| circled(&place))
                .or_else(|| share(&place))
                .or_else(|| in_kanji(&place))
                .or_else(|| figures(&place, settings))
        });
    }
}

/// `1st`, `2nd`.
fn ordinal(place: &Place<'_>) -> Option<Edit> {
    const NAMES: [&str; 13] = [
        "",
        "ファースト",
        "セカンド",
        "サード",
        "フォース",
        "フィフス",
        "シックス",
        "セブンス",
        "エイス",
        "ナインス",
        "テンス",
        "イレブンス",
        "トゥエルフス",
    ];
    if place.before().is_some_and(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let count = digits(place.rest());
    let rest = &place.rest()[count..];
    let ending = ["st", "nd", "rd", "th"]
        .iter()
        .any(|ending| starts(rest, ending));
    if count == 0 || !ending || rest.get(2).is_some_and(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let figures: String = place.rest()[..count].iter().collect();
    let name = figures
        .parse()
        .ok()
        .and_then(|value: usize| NAMES.get(value));
    match name {
        Some(name) if !name.is_empty() => Some(Edit::new(count + 2, *name)),
        _ => Some(Edit::new(count + 2, format!("第{}", integer(&figures)))),
    }
}

/// `3D`, `2D`.
fn dimension(place: &Place<'_>) -> Option<Edit> {
    const NAMES: &[(&str, &str)] = &[
        ("2D", "ツーディー"),
        ("3D", "スリーディー"),
        ("4D", "フォーディー"),
    ];
    if place.before().is_some_and(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let (length, name) = longest(place.rest(), NAMES)?;
    let ends = !place
        .next(length)
        .is_some_and(|c| c.is_ascii_alphanumeric());
    ends.then(|| Edit::new(length, *name))
}

/// ①, ⑴, ⒈, Ⅳ.
fn circled(place: &Place<'_>) -> Option<Edit> {
    let c = place.next(0)?;
    let value = match c {
        '①'..='⑳' => c as u32 - '①' as u32 + 1,
        '⑴'..='⒇' => c as u32 - '⑴' as u32 + 1,
        '⒈'..='⒛' => c as u32 - '⒈' as u32 + 1,
        'Ⅰ'..='Ⅻ' => c as u32 - 'Ⅰ' as u32 + 1,
        'ⅰ'..='ⅻ' => c as u32 - 'ⅰ' as u32 + 1,
        '㉑'..='㉟' => c as u32 - '㉑' as u32 + 21,
        '❶'..='❿' => c as u32 - '❶' as u32 + 1,
        '⓪' => 0,
        _ => return None,
    };
    let number = integer(&format!("{value}"));
    // ② before 次 numbers a line and does not count it.
    let separate = matches!(c, '①'..='⑳' | '❶'..='❿' | '㉑'..='㉟')
        && place
            .next(1)
            .is_some_and(|next| is_kanji(next) && !"番月日章回位枚個".contains(next));
    let pause = if separate { "、" } else { "" };
    Some(Edit::new(1, format!("{number}{pause}")))
}

/// 分の between numbers is a share; the frontend takes it for minutes.
fn share(place: &Place<'_>) -> Option<Edit> {
    let numeral = |c: char| c.is_ascii_digit() || "一二三四五六七八九十百千万".contains(c);
    let shares = place.starts("分の")
        && place.before().is_some_and(numeral)
        && place.next(2).is_some_and(numeral);
    shares.then(|| Edit::new(1, "ブン"))
}

/// 二〇二四年: kanji digits with a nought among them.
fn in_kanji(place: &Place<'_>) -> Option<Edit> {
    let value = |c: char| "〇一二三四五六七八九".chars().position(|known| known == c);
    if place.before().is_some_and(|c| value(c).is_some()) {
        return None;
    }
    let run = place.rest().iter().map_while(|c| value(*c));
    let run: String = run.map(|digit| format!("{digit}")).collect();
    let length = run.len();
    if length < 2 || !run.contains('0') {
        return None;
    }
    let counted = place
        .next(length)
        .is_some_and(|c| "年円人個本枚回歳月日時分秒".contains(c));
    match counted && !run.starts_with('0') && length <= 8 {
        true => Some(Edit::new(length, integer(&run))),
        false => Some(Edit::new(length, spoken(&run))),
    }
}

/// `2、3日` is about some days, not about the third.
fn follows_neighbour(place: &Place<'_>, digit: &str) -> bool {
    let before = |back: usize| place.at.checked_sub(back).map(|at| place.text[at]);
    let lower = before(2).and_then(|c| c.to_digit(10));
    let own = digit.parse::<u32>().ok();
    matches!(before(1), Some('、' | ','))
        && lower.zip(own).is_some_and(|(lower, own)| lower + 1 == own)
}

fn figures(place: &Place<'_>, settings: &Values) -> Option<Edit> {
    let point =
        place.before() == Some('.') && place.at > 1 && place.text[place.at - 2].is_ascii_digit();
    if place.before().is_some_and(|c| c.is_ascii_digit()) {
        return None;
    }
    let found = number(place.rest())?;
    let after = place.next(found.length);
    let zeros = found.whole.len() > 1 && found.whole.starts_with('0');
    if found.is_one_word() && zeros && settings.choice("leading_zeros") == "digits" {
        let month = matches!(after, Some('月' | '日' | '時' | '分' | '秒'));
        if !month {
            return Some(Edit::new(found.length, spoken(&found.whole)));
        }
    }
    if point || found.whole.len() > settings.count("digits_max") {
        return Some(Edit::new(found.length, spoken(&found.whole)));
    }
    if found.is_one_word() && after == Some('日') && matches!(found.whole.as_str(), "12" | "22") {
        // 十二日と… would be read as two and a day.
        let said = format!("{}ニチ", katakana(&found.whole));
        return Some(Edit::new(found.length + 1, said));
    }
    if found.whole.len() == 1 && after == Some('日') && follows_neighbour(place, &found.whole) {
        return Some(Edit::new(2, format!("{}ニチ", spoken(&found.whole))));
    }
    if found.is_one_word() && found.whole == "100" && after == Some('均') {
        return Some(Edit::new(found.length + 1, "ヒャッキン"));
    }
    // 十分 is another word.
    if found.is_one_word() && found.whole == "10" && after == Some('分') {
        let share = place.next(found.length + 1) == Some('の')
            && place
                .next(found.length + 2)
                .is_some_and(|c| c.is_ascii_digit() || "一二三四五六七八九".contains(c));
        return match share {
            true => Some(Edit::new(found.length, "十")),
            false => Some(Edit::new(found.length + 1, "ジュップン")),
        };
    }
    if let (Some(decimals), Some('.')) = (&found.decimals, after) {
        // More parts follow: each is a number of its own.
        if digits(&place.rest()[found.length + 1..]) > 0 {
            return Some(Edit::new(
                found.length,
                format!("{}点{}", integer(&found.whole), kanji_digits(decimals)),
            ));
        }
    }
    if found.whole == "0" && found.is_one_word() && !matches!(after, Some('時')) {
        return Some(Edit::new(found.length, katakana("0")));
    }
    Some(Edit::new(found.length, found.kanji()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use normalizer::policy::read;

    #[test]
    fn figures_become_kanji_numerals() {
        for (text, expected) in [
            ("1,234円", "千二百三十四円"),
            ("007", "ゼロゼロナナ"),
            ("3.14", "三点イチヨン"),
            ("2.0", "二点ゼロ"),
            ("1st", "ファースト"),
            ("3D", "スリーディー"),
            ("①と②", "一と二"),
            ("二〇二四年", "二千二十四年"),
            ("10分", "ジュップン"),
            ("10分の1", "十ブンの一"),
            ("08月", "八月"),
            ("0個", "ゼロ個"),
        ] {
            assert_eq!(read::<Numbers>(text), expected, "{text}");
        }
    }
}
