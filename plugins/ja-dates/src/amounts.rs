//! Ranges, fractions, scores and ratios.

use alloc::format;

use normalizer::characters::{is_kanji, is_katakana};
use normalizer::draft::{starts, Edit, Place};
use normalizer::numerals::{digits, integer, katakana, number};

use crate::figures::{begins, chain, ends, mentions};

/// Words of games, near enough to make `3-2` a score.
const GAMES: [&str; 16] = [
    "試合",
    "勝",
    "負け",
    "敗",
    "引き分け",
    "スコア",
    "先取",
    "先制",
    "得点",
    "ゲーム",
    "セット",
    "決勝",
    "対戦",
    "同点",
    "逆転",
    "リード",
];

/// `3-2で勝った`, `16:9`, `日本 2-1 韓国`.
pub(crate) fn score(place: &Place<'_>) -> Option<Edit> {
    if !begins(place) {
        return None;
    }
    let text = place.rest();
    let pair = chain(text, &['-', ':'])?;
    if pair.parts.len() != 2 || !ends_or_decimal(place, pair.length) {
        return None;
    }
    let (mut length, mut second) = (pair.length, katakana(&pair.parts[1]));
    if pair.signs[0] == ':' {
        // `1:1.6` is a ratio with decimals.
        let after = number(&text[pair.parts[0].len() + 1..])?;
        if let Some(decimals) = &after.decimals {
            second = format!(
                "{}テン{}",
                one_short(&after.whole),
                normalizer::numerals::spoken(decimals)
            );
            length = pair.parts[0].len() + 1 + after.length;
        }
    } else {
        let from = place.at.saturating_sub(20);
        let to = (place.at + length + 20).min(place.text.len());
        let equation = text[length..].iter().find(|c| **c != ' ') == Some(&'=');
        let games = mentions(&place.text[from..to], &GAMES);
        if equation || !(games || between_two(place, length)) || pair.parts[1].len() > 3 {
            return None;
        }
    }
    let first = katakana(&pair.parts[0]);
    Some(Edit::new(length, format!("{first}タイ{second}")))
}

/// イチ shortens before テン.
fn one_short(digits: &str) -> alloc::string::String {
    match digits {
        "1" => "イッ".into(),
        digits => katakana(digits),
    }
}

fn ends_or_decimal(place: &Place<'_>, length: usize) -> bool {
    let decimal = place.next(length) == Some('.')
        && place.next(length + 1).is_some_and(|c| c.is_ascii_digit());
    decimal || ends(place, length)
}

/// `日本 2-1 韓国`: names on both sides, blanks between.
fn between_two(place: &Place<'_>, length: usize) -> bool {
    let name = |c: char| is_kanji(c) || is_katakana(c);
    place.before() == Some(' ')
        && place.before_blanks().is_some_and(name)
        && place.next(length) == Some(' ')
        && place.next(length + 1).is_some_and(name)
}

/// `1/2`, `½`, `2⅓`.
pub(crate) fn fraction(place: &Place<'_>) -> Option<Edit> {
    let text = place.rest();
    if let Some((over, under)) = vulgar(text[0]) {
        let joined = place.before().is_some_and(|c| c.is_ascii_digit());
        let and = if joined { "と" } else { "" };
        return Some(Edit::new(1, format!("{and}{under}ブンの{over}")));
    }
    if !begins(place) {
        return None;
    }
    let pair = chain(text, &['/'])?;
    if pair.parts.len() != 2 || !ends(place, pair.length) {
        return None;
    }
    // Always open, every day of the week.
    if pair.parts[0] == "24" && pair.parts[1] == "7" {
        return Some(Edit::new(pair.length, "ニジュウヨンナナ"));
    }
    if pair.value(1) < 2
        || pair
            .parts
            .iter()
            .any(|part| part.len() > 6 || part.starts_with('0'))
    {
        return None;
    }
    let over = match pair.parts[0].as_str() {
        // 七 before nothing is シチ as often as ナナ.
        "7" => "ナナ".into(),
        over => integer(over),
    };
    // 三分の二 would be three minutes.
    let said = format!("{}ブンの{over}", integer(&pair.parts[1]));
    Some(Edit::new(pair.length, said))
}

fn vulgar(c: char) -> Option<(&'static str, &'static str)> {
    Some(match c {
        '½' => ("一", "二"),
        '⅓' => ("一", "三"),
        '⅔' => ("二", "三"),
        '¼' => ("一", "四"),
        '¾' => ("三", "四"),
        '⅕' => ("一", "五"),
        '⅖' => ("二", "五"),
        '⅗' => ("三", "五"),
        '⅘' => ("四", "五"),
        '⅙' => ("一", "六"),
        '⅚' => ("五", "六"),
        '⅛' => ("一", "八"),
        '⅜' => ("三", "八"),
        '⅝' => ("五", "八"),
        '⅞' => ("ナナ", "八"),
        '⅑' => ("一", "九"),
        '⅒' => ("一", "十"),
        '⅐' => ("一", "七"),
        _ => return None,
    })
}

/// `3〜5個`, `東京〜大阪`, `100-200円`: the sign alone is read.
pub(crate) fn range(place: &Place<'_>) -> Option<Edit> {
    let sign = place.next(0)?;
    let before = place.before_blanks()?;
    if let Some(edit) = weekdays(place) {
        return Some(edit);
    }
    let blanks = place.rest()[1..].iter().take_while(|c| **c == ' ').count();
    let after = place.next(1 + blanks)?;
    let negative =
        matches!(after, '-' | '−') && place.next(2 + blanks).is_some_and(|c| c.is_ascii_digit());
    let figures = after.is_ascii_digit() || negative || matches!(after, '$' | '¥' | '€' | '£');
    let through = || Some(Edit::new(1 + blanks, "から"));
    match sign {
        '~' => {
            let left = before.is_ascii_alphanumeric()
                || is_kanji(before)
                || is_katakana(before) && before != 'ー' && figures
                || matches!(
                    before,
                    '℃' | '%' | '°' | ')' | '」' | '』' | '㎝' | '㎏' | '㎜' | '㎞'
                );
            (left && (figures || is_kanji(after) || after.is_ascii_uppercase()))
                .then(through)
                .flatten()
        }
        '-' | '–' | '—' if figures && !negative => {
            // A time or a number with its unit on the left.
            let unit = matches!(
                before,
                '時' | '分' | '円' | '年' | '月' | '日' | '%' | '℃' | '歳' | '人' | '個'
            );
            if unit && place.before() == Some(before) {
                return through();
            }
            if !before.is_ascii_digit() {
                return None;
            }
            let start = start_of_number(place);
            let clock =
                place.text[start..place.at].contains(&':') || clock_after(place, 1 + blanks);
            let (low, high) = (
                number(&place.text[start..])?,
                number(&place.rest()[1 + blanks..])?,
            );
            let next = place.next(1 + blanks + high.length);
            if next == Some('-') || place.text.get(start.wrapping_sub(1)) == Some(&'-') {
                return None;
            }
            let counted = next.is_some_and(is_counter)
                || page_before(place, start)
                || place.rest()[1 + blanks + high.length..]
                    .iter()
                    .find(|c| **c != ' ')
                    == Some(&'%');
            let ascends = number_value(&low.whole) < number_value(&high.whole);
            (clock || (counted && ascends)).then(through).flatten()
        }
        _ => None,
    }
}

/// `月〜金`: days named by one character.
fn weekdays(place: &Place<'_>) -> Option<Edit> {
    let day = |c: Option<char>| c.filter(|c| "月火水木金土日".contains(*c));
    let other = |c: Option<char>| !c.is_some_and(|c| is_kanji(c) || c.is_ascii_digit());
    let from = place
        .next(0)
        .filter(|_| place.starts("~"))
        .and(day(place.before()))?;
    let to = day(place.next(1))?;
    let before = place.at.checked_sub(2).map(|at| place.text[at]);
    let alone = from != to && other(before) && other(place.next(2));
    alone.then(|| Edit::new(2, format!("曜から{to}曜")))
}

/// Characters that count what is before them.
fn is_counter(c: char) -> bool {
    is_kanji(c) && c != '番' && c != '号'
        || is_katakana(c) && c != 'ー'
        || matches!(c, '℃' | '%' | 'k' | 'm' | 'c' | 'g' | 'L')
}

fn number_value(digits: &str) -> u64 {
    digits.parse().unwrap_or(u64::MAX)
}

/// Where the number that ends just before this place begins.
fn start_of_number(place: &Place<'_>) -> usize {
    let mut start = place.at;
    while start > 0
        && (place.text[start - 1].is_ascii_digit()
            || matches!(place.text[start - 1], '.' | ',' | ':'))
    {
        start -= 1;
    }
    while start < place.at && !place.text[start].is_ascii_digit() {
        start += 1;
    }
    start
}

fn clock_after(place: &Place<'_>, offset: usize) -> bool {
    let rest = &place.rest()[offset..];
    let hour = digits(rest);
    (1..=2).contains(&hour) && rest.get(hour) == Some(&':') && digits(&rest[hour + 1..]) == 2
}

fn page_before(place: &Place<'_>, start: usize) -> bool {
    let before = &place.text[..start];
    let tail = &before[before.len().saturating_sub(4)..];
    (0..tail.len()).any(|at| starts(&tail[at..], "p.") || starts(&tail[at..], "ページ"))
}
