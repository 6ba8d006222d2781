//! Money.

use alloc::format;
use alloc::string::String;

use normalizer::draft::{longest, starts, Edit, Place};
use normalizer::numerals::{integer, number, Number};

/// A sign, its currency, and what a hundredth of it is called.
const SIGNS: &[(&str, (&str, &str))] = &[
    ("US$", ("ドル", "セント")),
    ("$", ("ドル", "セント")),
    ("€", ("ユーロ", "セント")),
    ("£", ("ポンド", "ペンス")),
    ("¥", ("円", "")),
    ("₩", ("ウォン", "")),
    ("₿", ("ビットコイン", "")),
    ("₹", ("ルピー", "")),
    ("₽", ("ルーブル", "")),
    ("฿", ("バーツ", "")),
    ("₫", ("ドン", "")),
    ("₱", ("ペソ", "")),
];

const CODES: &[(&str, (&str, &str))] = &[
    ("USD", ("ドル", "セント")),
    ("JPY", ("円", "")),
    ("EUR", ("ユーロ", "セント")),
    ("GBP", ("ポンド", "ペンス")),
    ("KRW", ("ウォン", "")),
    ("CNY", ("人民元", "")),
    ("AUD", ("オーストラリアドル", "")),
    ("CAD", ("カナダドル", "")),
    ("CHF", ("スイスフラン", "")),
    ("HKD", ("香港ドル", "")),
    ("TWD", ("台湾ドル", "")),
    ("SGD", ("シンガポールドル", "")),
    ("THB", ("バーツ", "")),
    ("INR", ("ルピー", "")),
    ("RUB", ("ルーブル", "")),
    ("BTC", ("ビットコイン", "")),
    ("ETH", ("イーサリアム", "")),
];

/// `$1.50`, `100円` is left alone, `10USD`, `JPY 3000`, `50¢`.
pub(crate) fn read(place: &Place<'_>, cents: bool) -> Option<Edit> {
    let text = place.rest();
    if let Some((sign, currency)) = longest(text, SIGNS) {
        let (length, said) = amount(&text[sign..], *currency, cents)?;
        return Some(Edit::new(sign + length, said));
    }
    if place
        .before()
        .is_some_and(|c| c.is_ascii_alphanumeric() || c == '.')
    {
        return None;
    }
    if let Some((code, currency)) = longest(text, CODES) {
        let blanks = text[code..].iter().take_while(|c| **c == ' ').count();
        let (length, said) = amount(&text[code + blanks..], *currency, cents)?;
        return Some(Edit::new(code + blanks + length, said));
    }
    let figures = number(text)?;
    let after = &text[figures.length..];
    let blanks = after.iter().take_while(|c| **c == ' ').count();
    let (unit, length) = match longest(after, SIGNS) {
        // `100$` is money; `5 $x` is not.
        Some((length, (unit, _))) => (*unit, length),
        None => match longest(&after[blanks..], CODES) {
            Some((length, (unit, _))) => (*unit, blanks + length),
            None if starts(after, "¢") => ("セント", 1),
            None => return None,
        },
    };
    if after.get(length).is_some_and(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    Some(Edit::new(
        figures.length + length,
        format!("{}{unit}", amount_in_kanji(&figures)),
    ))
}

/// The figures after a sign, with thousands and millions.
fn amount(text: &[char], (unit, hundredth): (&str, &str), cents: bool) -> Option<(usize, String)> {
    let figures = number(text)?;
    let after = &text[figures.length..];
    if let Some((length, scale)) = scale(after) {
        let said = format!("{}{scale}{unit}", figures.kanji());
        return Some((figures.length + length, said));
    }
    if let (true, false, Some(decimals)) = (cents, hundredth.is_empty(), &figures.decimals) {
        if decimals.len() == 2 {
            let mut said = String::new();
            let whole = integer(&figures.whole);
            if whole != "零" || decimals == "00" {
                said.push_str(&format!("{whole}{unit}"));
            }
            if decimals != "00" {
                said.push_str(&format!("{}{hundredth}", integer(decimals)));
            }
            return Some((figures.length, said));
        }
    }
    Some((
        figures.length,
        format!("{}{unit}", amount_in_kanji(&figures)),
    ))
}

/// 零円 would be レイエン; a price of nothing is ゼロ円.
fn amount_in_kanji(figures: &Number) -> String {
    match figures.kanji() {
        nothing if nothing == "零" => String::from("ゼロ"),
        kanji => kanji,
    }
}

fn scale(text: &[char]) -> Option<(usize, &'static str)> {
    const SCALES: &[(&str, &str)] = &[
        ("K", "千"),
        ("M", "ミリオン"),
        ("B", "ビリオン"),
        ("万", "万"),
        ("億", "億"),
        ("兆", "兆"),
        ("千", "千"),
        ("百万", "百万"),
    ];
    let (length, scale) = longest(text, SCALES)?;
    let word = text.get(length).is_some_and(|c| c.is_ascii_alphabetic());
    (!word).then_some((length, *scale))
}
