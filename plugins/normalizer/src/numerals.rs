//! Numbers in kanji numerals and in katakana.
//!
//! Kanji numerals are what the frontend reads best: it knows what 三 becomes
//! before 本. Katakana says a number digit by digit and nothing else.

use alloc::string::String;

use crate::draft::starts;

const KANJI: [char; 10] = ['〇', '一', '二', '三', '四', '五', '六', '七', '八', '九'];
const SPOKEN: [&str; 10] = [
    "ゼロ",
    "イチ",
    "ニ",
    "サン",
    "ヨン",
    "ゴ",
    "ロク",
    "ナナ",
    "ハチ",
    "キュウ",
];
const IN_GROUP: [&str; 4] = ["", "十", "百", "千"];
const GROUPS: [&str; 13] = [
    "", "万", "億", "兆", "京", "垓", "秭", "穣", "溝", "澗", "正", "載", "極",
];
/// Longer numbers are read digit by digit.
pub const DIGITS_MAX: usize = 51;

/// A number as written: `1,234.50` has 7 characters and its decimals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// How many characters it takes.
    pub length: usize,
    /// Its digits before the point, without commas.
    pub whole: String,
    /// Its digits after the point; none if there is no point.
    pub decimals: Option<String>,
}

/// The number at the beginning: digits, groups of three after commas, and
/// decimals.
pub fn number(text: &[char]) -> Option<Number> {
    let mut length = digits(text);
    if length == 0 {
        return None;
    }
    let mut whole: String = text[..length].iter().collect();
    if length <= 3 {
        while text.get(length) == Some(&',') && digits(&text[length + 1..]) == 3 {
            whole.extend(&text[length + 1..length + 4]);
            length += 4;
        }
    }
    let mut decimals = None;
    if text.get(length) == Some(&'.') {
        let count = digits(&text[length + 1..]);
        if count > 0 {
            decimals = Some(text[length + 1..length + 1 + count].iter().collect());
            length += 1 + count;
        }
    }
    Some(Number {
        length,
        whole,
        decimals,
    })
}

/// How many digits stand at the beginning.
pub fn digits(text: &[char]) -> usize {
    text.iter().take_while(|c| c.is_ascii_digit()).count()
}

/// The value of a few digits; none for none or too many.
pub fn value(text: &[char]) -> Option<u32> {
    let digits: String = text.iter().collect();
    digits.parse().ok()
}

impl Number {
    /// As it is said before a counter: 十, 一点五, 零点五.
    pub fn kanji(&self) -> String {
        let mut kanji = integer(&self.whole);
        match self.decimals.as_deref() {
            None => {}
            // In kanji they would be read as one number.
            Some(decimals) => {
                kanji.push('点');
                kanji.push_str(&spoken(decimals));
            }
        }
        kanji
    }

    pub fn is_one_word(&self) -> bool {
        self.decimals.is_none()
    }
}

/// An integer in kanji numerals; 零 for nothing. Zeros before it are not said.
pub fn integer(digits: &str) -> String {
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return String::from("零");
    }
    if significant.len() > DIGITS_MAX {
        return kanji_digits(digits);
    }
    let all = significant.as_bytes();
    let mut kanji = String::new();
    for group in (0..all.len().div_ceil(4)).rev() {
        let end = all.len() - group * 4;
        let part = &all[end.saturating_sub(4)..end];
        if part.iter().all(|digit| *digit == b'0') {
            continue;
        }
        for (place, digit) in part.iter().enumerate() {
            let power = part.len() - 1 - place;
            let digit = usize::from(digit - b'0');
            if digit > 1 || (digit == 1 && power == 0) {
                kanji.push(KANJI[digit]);
            }
            if digit > 0 {
                kanji.push_str(IN_GROUP[power]);
            }
        }
        kanji.push_str(GROUPS[group]);
    }
    kanji
}

/// Digit by digit in kanji.
pub fn kanji_digits(digits: &str) -> String {
    let digit = |c: char| match c {
        '0' => Some('零'),
        c => c.to_digit(10).map(|value| KANJI[value as usize]),
    };
    digits.chars().filter_map(digit).collect()
}

/// Digit by digit in katakana: ゼロイチニ.
pub fn spoken(digits: &str) -> String {
    let digit = |c: char| c.to_digit(10).map(|value| SPOKEN[value as usize]);
    digits.chars().filter_map(digit).collect()
}

/// A number up to 9999 in katakana, as it is said alone; more digits one by
/// one.
pub fn katakana(digits: &str) -> String {
    const HUNDREDS: [&str; 10] = [
        "",
        "ヒャク",
        "ニヒャク",
        "サンビャク",
        "ヨンヒャク",
        "ゴヒャク",
        "ロッピャク",
        "ナナヒャク",
        "ハッピャク",
        "キュウヒャク",
    ];
    const THOUSANDS: [&str; 10] = [
        "",
        "セン",
        "ニセン",
        "サンゼン",
        "ヨンセン",
        "ゴセン",
        "ロクセン",
        "ナナセン",
        "ハッセン",
        "キュウセン",
    ];
    if digits.len() > 4 || (digits.len() > 1 && digits.starts_with('0')) {
        return spoken(digits);
    }
    let value: usize = digits.parse().unwrap_or_default();
    if value == 0 {
        return String::from(SPOKEN[0]);
    }
    let mut kana = String::from(THOUSANDS[value / 1000 % 10]);
    kana.push_str(HUNDREDS[value / 100 % 10]);
    let tens = value / 10 % 10;
    if tens > 1 {
        kana.push_str(SPOKEN[tens]);
    }
    if tens > 0 {
        kana.push_str("ジュウ");
    }
    if !value.is_multiple_of(10) {
        kana.push_str(SPOKEN[value % 10]);
    }
    kana
}

/// Whether a digit or a point with a digit stands here, so that a number
/// before it has not ended.
pub fn goes_on(text: &[char]) -> bool {
    digits(text) > 0 || (starts(text, ".") && digits(&text[1..]) > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn read(text: &str) -> String {
        let text: Vec<char> = text.chars().collect();
        number(&text).map_or_else(String::new, |number| number.kanji())
    }

    #[test]
    fn numbers_are_read_with_their_groups_and_decimals() {
        assert_eq!(read("1,234,567"), "百二十三万四千五百六十七");
        assert_eq!(read("12,34"), "十二");
        assert_eq!(read("1.50"), "一点ゴゼロ");
        assert_eq!(read("0.05"), "零点ゼロゴ");
        assert_eq!(read("10000"), "一万");
        assert_eq!(read("11000000"), "千百万");
        assert_eq!(read("100000000"), "一億");
    }

    #[test]
    fn digits_are_dictated() {
        assert_eq!(katakana("8306"), "ハッセンサンビャクロク");
        assert_eq!(spoken("0925"), "ゼロキュウニゴ");
    }
}
