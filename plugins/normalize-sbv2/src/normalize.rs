//! The rules, in the order in which they apply.

use alloc::string::String;
use alloc::vec::Vec;

use normalizer::draft::{Draft, Edit};
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};
use unicode_normalization::UnicodeNormalization;

use crate::numerals;

/// Compatibility forms, numbers, long marks, punctuation, and last what is
/// left that nobody could read is dropped.
pub fn normalize(text: &str) -> String {
    let mut draft = Draft::new(text);
    rewrite(&mut draft);
    draft.text()
}

/// The same on a draft, which keeps where everything comes from.
pub fn rewrite(draft: &mut Draft) {
    pass(draft, compatible);
    pass(draft, group_commas);
    pass(draft, currency);
    pass(draft, number);
    pass(draft, punctuation);
    pass(draft, |text| {
        (!is_readable(text[0])).then(|| (1, String::new()))
    });
}

/// Asks `rule` at every place of the text as it is, unfolded.
fn pass(draft: &mut Draft, rule: impl Fn(&[char]) -> Option<(usize, String)>) {
    let text = draft.characters().to_vec();
    draft.rewrite(|place| {
        let (length, text) = rule(&text[place.at..])?;
        Some(Edit::new(length, text))
    });
}

/// A character with the marks that join it, in its compatibility form.
fn compatible(text: &[char]) -> Option<(usize, String)> {
    let joins = |c: &char| {
        matches!(c, '\u{ff9e}' | '\u{ff9f}' | '\u{1160}'..='\u{11ff}')
            || canonical_combining_class(*c) != 0
            || is_combining_mark(*c)
    };
    let length = 1 + text[1..].iter().take_while(|c| joins(c)).count();
    let characters = &text[..length];
    let form: String = characters.iter().copied().nfkc().collect();
    let same = form.chars().eq(characters.iter().copied());
    (!same).then_some((length, form))
}

/// `1,234,567` → `1234567`: commas between one to three digits and groups of
/// exactly three.
fn group_commas(text: &[char]) -> Option<(usize, String)> {
    let length = grouped(text)?;
    let digits = text[..length].iter().filter(|c| **c != ',');
    Some((length, digits.collect()))
}

/// Length of a grouped number at the beginning, if there is one.
fn grouped(text: &[char]) -> Option<usize> {
    let first = digits(text).min(3);
    // Three digits before the comma are tried first, then two, then one.
    (1..=first).rev().find_map(|head| {
        let mut end = head;
        while text.get(end) == Some(&',') && digits(&text[end + 1..]) >= 3 {
            end += 4;
        }
        (end > head).then_some(end)
    })
}

fn digits(text: &[char]) -> usize {
    text.iter().take_while(|c| c.is_ascii_digit()).count()
}

/// `$100` → `100ドル`: the sign and everything up to the last digit of digits
/// and points.
fn currency(text: &[char]) -> Option<(usize, String)> {
    let unit = match text[0] {
        '$' => "ドル",
        '¥' => "円",
        '£' => "ポンド",
        '€' => "ユーロ",
        _ => return None,
    };
    let run: Vec<char> = text[1..]
        .iter()
        .take_while(|c| c.is_ascii_digit() || **c == '.')
        .copied()
        .collect();
    let last = run.iter().rposition(char::is_ascii_digit)?;
    let mut amount: String = run[..=last].iter().collect();
    amount.push_str(unit);
    Some((last + 2, amount))
}

/// A number, with its decimals, in kanji numerals.
fn number(text: &[char]) -> Option<(usize, String)> {
    let whole = digits(text);
    if whole == 0 {
        return None;
    }
    let decimals = match text.get(whole) {
        Some('.') => digits(&text[whole + 1..]),
        _ => 0,
    };
    let length = whole + decimals + usize::from(decimals > 0);
    let mut kanji = Vec::new();
    numerals::write(&text[..whole], &text[whole..length], &mut kanji);
    Some((length, kanji.into_iter().collect()))
}

/// Many marks become few: those that the phoneme table knows.
fn punctuation(text: &[char]) -> Option<(usize, String)> {
    if let ['・', '・', '・', ..] | ['·', '·', '·', ..] = text {
        return Some((3, String::from("...")));
    }
    let mark = match text[0] {
        '~' | '～' | '〜' => "ー",
        '：' | '；' | '，' | '·' | '・' | '、' => ",",
        '。' | '．' | '\n' | '$' => ".",
        '！' => "!",
        '？' => "?",
        '…' => "...",
        '“' | '”' | '"' | '‘' | '’' | '（' | '）' | '(' | ')' | '《' | '》' | '【' | '】' | '['
        | ']' | '「' | '」' => "'",
        '\u{2d7}' | '\u{2010}' | '\u{2012}' | '\u{2013}' | '\u{2014}' | '\u{2015}' | '\u{2043}'
        | '\u{2212}' | '\u{23af}' | '\u{23e4}' | '\u{2500}' | '\u{2501}' | '\u{2e3a}'
        | '\u{2e3b}' => "-",
        _ => return None,
    };
    Some((1, String::from(mark)))
}

/// Kana, kanji of the basic plane, Latin and Greek letters, seven marks.
fn is_readable(c: char) -> bool {
    match c {
        // Marks of voicing that stand alone.
        '\u{3099}' | '\u{309a}' => false,
        '\u{3040}'..='\u{30ff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '々'
        | 'A'..='Z'
        | 'a'..='z'
        | 'Ａ'..='Ｚ'
        | 'ａ'..='ｚ'
        | '\u{370}'..='\u{3ff}'
        | '\u{1f00}'..='\u{1fff}'
        | '!'
        | '?'
        | '…'
        | ','
        | '.'
        | '\''
        | '-' => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::normalize;

    #[test]
    fn numbers_are_read_as_written() {
        assert_eq!(normalize("1234,567"), "百二十三万四千五百六十七");
        assert_eq!(normalize("12,34"), "十二,三十四");
        assert_eq!(normalize("3.14.15"), "三点一四.十五");
        assert_eq!(normalize("$1.5."), "一点五ドル.");
        assert_eq!(normalize("100$"), "百.");
        assert_eq!(normalize("$"), ".");
        assert_eq!(normalize("$."), "..");
    }

    #[test]
    fn marks_become_few_and_the_rest_is_dropped() {
        assert_eq!(normalize("・・・・"), "...,");
        assert_eq!(normalize("a:b;c/d"), "abcd");
        assert_eq!(normalize("か\u{3099}"), "が", "composed first");
        assert_eq!(normalize("\u{3099}"), "");
        assert_eq!(normalize("𠮷野家"), "野家");
        assert_eq!(normalize("—−"), "--");
    }
}
