//! Dates, eras and weekdays.

use alloc::format;
use alloc::string::String;

use normalizer::draft::{longest, starts, Edit, Place};
use normalizer::numerals::{digits, integer, value};

use crate::figures::{begins, chain, ends};

/// `2024/12/3`, `2058-12-09`, `20240115`, `5/3(金)`, `'24年`.
pub(crate) fn date(place: &Place<'_>) -> Option<Edit> {
    if place.starts("'") && digits(&place.rest()[1..]) == 2 && place.next(3) == Some('年') {
        return Some(Edit::new(1, ""));
    }
    if !begins(place) {
        return None;
    }
    let chain = chain(place.rest(), &['/', '-', '.'])?;
    if !ends(place, chain.length) || !chain.same_signs() {
        return None;
    }
    let after = &place.rest()[chain.length..];
    match chain.parts.len() {
        1 => compact(&chain.parts[0]).map(|text| Edit::new(chain.length, text)),
        2 => {
            let year = chain.parts[0].len() == 4 && (1000..=2999).contains(&chain.value(0));
            if year && chain.signs[0] == '/' && (1..=12).contains(&chain.value(1)) {
                let text = format!("{}年{}", spelled(chain.value(0)), month(chain.value(1)));
                return Some(Edit::new(chain.length, text));
            }
            let day = chain.signs[0] == '/' && is_day(chain.value(0), chain.value(1));
            let said = weekday_at(after).is_some() || is_followed_as_a_day(chain.value(1), after);
            (day && said).then(|| Edit::new(chain.length, day_of(chain.value(0), chain.value(1))))
        }
        3 => {
            let (year, month, day) = (chain.value(0), chain.value(1), chain.value(2));
            let year_fits = chain.parts[0].len() == 4
                || (chain.parts[0].len() == 2
                    && chain.signs[0] == '/'
                    && chain.parts[1].len() == 2);
            if !(year_fits && is_day(month, day)) {
                return None;
            }
            let text = format!("{}年{}", spelled(year), day_of(month, day));
            Some(Edit::new(chain.length, text))
        }
        _ => None,
    }
}

/// `R6.5.1`, `S45年`, `H7年`, `㍻30年`.
pub(crate) fn era(place: &Place<'_>) -> Option<Edit> {
    const SQUARE: &[(&str, &str)] = &[
        ("㋿", "令和"),
        ("㍻", "平成"),
        ("㍼", "昭和"),
        ("㍽", "大正"),
        ("㍾", "明治"),
    ];
    if let Some((length, era)) = longest(place.rest(), SQUARE) {
        return Some(Edit::new(length, *era));
    }
    if place.before().is_some_and(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let (name, years) = match place.next(0)? {
        'R' => ("令和", 99),
        'H' => ("平成", 31),
        'S' => ("昭和", 64),
        'T' => ("大正", 15),
        'M' => ("明治", 45),
        _ => return None,
    };
    let rest = &place.rest()[1..];
    let chain = chain(rest, &['.', '/', '-'])?;
    let year = chain.value(0);
    if chain.parts[0].len() > 2 || !(1..=years).contains(&year) {
        return None;
    }
    let year_text = match year {
        1 => String::from("元年"),
        year => format!("{}年", spelled(year)),
    };
    match chain.parts.len() {
        1 if rest.get(chain.length) == Some(&'年') => {
            Some(Edit::new(chain.length + 2, format!("{name}{year_text}")))
        }
        3 if chain.same_signs() && is_day(chain.value(1), chain.value(2)) => {
            let day = day_of(chain.value(1), chain.value(2));
            Some(Edit::new(
                chain.length + 1,
                format!("{name}{year_text}{day}"),
            ))
        }
        _ => None,
    }
}

/// `(木)` after a day.
pub(crate) fn weekday(place: &Place<'_>) -> Option<Edit> {
    let after_day = place
        .before()
        .is_some_and(|c| c == '日' || c.is_ascii_digit());
    if !after_day {
        return None;
    }
    weekday_at(place.rest()).map(|(length, text)| Edit::new(length, text))
}

/// Weekdays and holidays in brackets.
fn weekday_at(text: &[char]) -> Option<(usize, String)> {
    if text.first() != Some(&'(') {
        return None;
    }
    let close = text.iter().take(10).position(|c| *c == ')')?;
    let inside = &text[1..close];
    let mut said = String::new();
    let mut at = 0;
    while at < inside.len() {
        let day = inside[at];
        match day {
            '月' | '火' | '水' | '木' | '金' | '土' | '日' => {
                said.push(day);
                said.push_str("曜日");
            }
            '祝' => said.push_str("祝日"),
            '休' => said.push_str("休日"),
            '・' | '/' | '、' | ',' => said.push('、'),
            _ => return None,
        }
        at += 1;
        for suffix in ["曜日", "曜", "日"] {
            if starts(&inside[at..], suffix) {
                at += suffix.chars().count();
                break;
            }
        }
    }
    (!said.is_empty()).then_some((close + 1, said))
}

/// What follows a day and never a fraction; some words follow both, but a
/// fraction has no such denominator.
fn is_followed_as_a_day(day: u32, after: &[char]) -> bool {
    const DAY: [&str; 8] = ["まで", "から", "発売", "開催", "締切", "付", "開始", "公開"];
    const BOTH: [&str; 5] = ["に", "は", "の", "~", "、"];
    let follows = |words: &[&str]| words.iter().any(|word| starts(after, word));
    follows(&DAY) || (day >= 13 && follows(&BOTH))
}

/// Eight digits that are a day of our time.
fn compact(figures: &str) -> Option<String> {
    if figures.len() != 8 {
        return None;
    }
    let part = |range: core::ops::Range<usize>| figures[range].parse().unwrap_or(u32::MAX);
    let (year, month, day) = (part(0..4), part(4..6), part(6..8));
    let fits = (1900..=2099).contains(&year) && is_day(month, day);
    fits.then(|| format!("{}年{}", spelled(year), day_of(month, day)))
}

fn is_day(month: u32, day: u32) -> bool {
    let last = match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=last).contains(&day)
}

fn day_of(month_number: u32, day: u32) -> String {
    let day = match day {
        // 十二日と… would be read as two and a day.
        12 => String::from("ジュウニニチ"),
        22 => String::from("ニジュウニニチ"),
        day => format!("{}日", spelled(day)),
    };
    format!("{}{day}", month(month_number))
}

fn month(month: u32) -> String {
    format!("{}月", spelled(month))
}

fn spelled(number: u32) -> String {
    integer(&format!("{number}"))
}

/// The hour or minute in these characters.
pub(crate) fn small(text: &[char]) -> Option<u32> {
    value(text).filter(|value| *value < 100)
}
