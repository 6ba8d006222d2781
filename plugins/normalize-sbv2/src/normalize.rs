//! The rules, in the order in which they apply.

use alloc::string::String;
use alloc::vec::Vec;

use unicode_normalization::UnicodeNormalization;

use crate::numerals;

/// Compatibility forms, numbers, long marks, punctuation, and last what is
/// left that nobody could read is dropped.
pub fn normalize(text: &str) -> String {
    let text: Vec<char> = text.nfkc().collect();
    let text = numbers(&currency(&group_commas(&text)));
    let mut read = String::with_capacity(text.len() * 3);
    punctuation(&text, &mut |c| {
        if is_readable(c) {
            read.push(c);
        }
    });
    read
}

/// `1,234,567` → `1234567`: commas between one to three digits and groups of
/// exactly three.
fn group_commas(text: &[char]) -> Vec<char> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match grouped(&text[at..]) {
            Some(end) => {
                out.extend(text[at..at + end].iter().filter(|c| **c != ','));
                at += end;
            }
            None => {
                out.push(text[at]);
                at += 1;
            }
        }
    }
    out
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
fn currency(text: &[char]) -> Vec<char> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let unit = match text[at] {
            '$' => "ドル",
            '¥' => "円",
            '£' => "ポンド",
            '€' => "ユーロ",
            _ => "",
        };
        let run = text[at + 1..]
            .iter()
            .take_while(|c| c.is_ascii_digit() || **c == '.');
        let run: Vec<char> = run.copied().collect();
        let end = run.iter().rposition(char::is_ascii_digit);
        match end {
            Some(last) if !unit.is_empty() => {
                out.extend(&run[..=last]);
                out.extend(unit.chars());
                at += last + 2;
            }
            _ => {
                out.push(text[at]);
                at += 1;
            }
        }
    }
    out
}

/// Every number, with its decimals, in kanji numerals.
fn numbers(text: &[char]) -> Vec<char> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let whole = digits(&text[at..]);
        if whole == 0 {
            out.push(text[at]);
            at += 1;
            continue;
        }
        let point = at + whole;
        let decimals = match text.get(point) {
            Some('.') => digits(&text[point + 1..]),
            _ => 0,
        };
        numerals::write(
            &text[at..point],
            &text[point..][..decimals + usize::from(decimals > 0)],
            &mut out,
        );
        at = point + decimals + usize::from(decimals > 0);
    }
    out
}

/// Many marks become few: those that the phoneme table knows.
fn punctuation(text: &[char], put: &mut impl FnMut(char)) {
    let mut at = 0;
    while at < text.len() {
        if let ['・', '・', '・', ..] | ['·', '·', '·', ..] = text[at..] {
            "...".chars().for_each(&mut *put);
            at += 3;
            continue;
        }
        match text[at] {
            '~' | '～' | '〜' => put('ー'),
            '：' | '；' | '，' | '·' | '・' | '、' => put(','),
            '。' | '．' | '\n' | '$' => put('.'),
            '！' => put('!'),
            '？' => put('?'),
            '…' => "...".chars().for_each(&mut *put),
            '“' | '”' | '"' | '‘' | '’' | '（' | '）' | '(' | ')' | '《' | '》' | '【' | '】'
            | '[' | ']' | '「' | '」' => put('\''),
            '\u{2d7}' | '\u{2010}' | '\u{2012}' | '\u{2013}' | '\u{2014}' | '\u{2015}'
            | '\u{2043}' | '\u{2212}' | '\u{23af}' | '\u{23e4}' | '\u{2500}' | '\u{2501}'
            | '\u{2e3a}' | '\u{2e3b}' => put('-'),
            other => put(other),
        }
        at += 1;
    }
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
