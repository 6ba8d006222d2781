//! Times of day and durations.

use alloc::format;
use alloc::string::String;

use normalizer::draft::{starts, starts_in_any_case, Edit, Place};
use normalizer::numerals::{digits, integer, number};

use crate::calendar::small;
use crate::figures::{begins, chain, ends, mentions};

/// `18:09`, `6:06:06`, `PM 11:59`, `8:30 AM`.
pub(crate) fn time(place: &Place<'_>) -> Option<Edit> {
    if let Some((half, length)) = half_of_day(place.rest()) {
        if place.before().is_some_and(|c| c.is_ascii_alphanumeric()) {
            return None;
        }
        let rest = &place.rest()[length..];
        if let Some((taken, text)) = of_day(rest) {
            return Some(Edit::new(length + taken, format!("{half}{text}")));
        }
        let hour = digits(rest);
        let hours = (1..=2).contains(&hour) && rest.get(hour) == Some(&'時');
        return hours.then(|| Edit::new(length, half));
    }
    // A time may end a stretch of time.
    let ends_stretch =
        place.before() == Some('-') && place.at > 3 && place.text[place.at - 4] == ':';
    if !(begins(place) || ends_stretch) {
        return None;
    }
    let (length, text) = of_day(place.rest())?;
    // A ratio looks like a time; it is named before or after.
    let near = &place.text[place.at.saturating_sub(8)..place.at];
    let after = &place.rest()[length..];
    let after = &after[..after.len().min(8)];
    if mentions(near, &["比", "割合", "スコア"])
        || mentions(after, &["の比", "の割合", "で混ぜ", "の画面"])
    {
        return None;
    }
    let blanks = after.iter().take_while(|c| **c == ' ').count();
    if let Some((half, taken)) = half_of_day(&after[blanks..]) {
        let length = length + blanks + taken;
        if ends(place, length) {
            return Some(Edit::new(length, format!("{half}{text}")));
        }
    }
    let stretch = place.next(length) == Some('-') && of_day(&place.rest()[length + 1..]).is_some();
    (stretch || ends(place, length)).then(|| Edit::new(length, text))
}

/// `1h30m`, `90min`, `100ms`.
pub(crate) fn duration(place: &Place<'_>) -> Option<Edit> {
    if !begins(place) {
        return None;
    }
    let mut said = String::new();
    let mut length = 0;
    let mut whole = false;
    while let Some(count) = number(&place.rest()[length..]) {
        let after = &place.rest()[length + count.length..];
        let Some((unit, taken, alone)) = unit(after) else {
            break;
        };
        // `m` alone is a metre; after hours it is minutes.
        if !alone && said.is_empty() {
            break;
        }
        let minutes = unit == "分" && count.whole == "10" && count.is_one_word();
        match minutes {
            true => said.push_str("ジュップン"),
            false => said.push_str(&format!("{}{unit}", count.kanji())),
        }
        length += count.length + taken;
        whole |= alone;
    }
    (whole && ends(place, length)).then(|| Edit::new(length, said))
}

/// A unit of time, how long it is, and whether it is one even alone.
fn unit(text: &[char]) -> Option<(&'static str, usize, bool)> {
    const UNITS: &[(&str, &str, bool)] = &[
        ("hours", "時間", true),
        ("hour", "時間", true),
        ("hrs", "時間", true),
        ("hr", "時間", true),
        ("h", "時間", true),
        ("mins", "分", true),
        ("min", "分", true),
        ("m", "分", false),
        ("secs", "秒", true),
        ("sec", "秒", true),
        ("ms", "ミリ秒", true),
        ("msec", "ミリ秒", true),
        ("μs", "マイクロ秒", true),
        ("µs", "マイクロ秒", true),
        ("us", "マイクロ秒", true),
        ("ns", "ナノ秒", true),
        ("s", "秒", false),
    ];
    let fits = |name: &str| {
        let length = name.chars().count();
        starts(text, name) && !text.get(length).is_some_and(|c| c.is_ascii_alphabetic())
    };
    let (name, unit, alone) = UNITS.iter().find(|(name, ..)| fits(name))?;
    Some((unit, name.chars().count(), *alone))
}

/// Hours, minutes and perhaps seconds, as far as they are a time.
fn of_day(text: &[char]) -> Option<(usize, String)> {
    let chain = chain(text, &[':'])?;
    let hour = small(&text[..chain.parts[0].len()]).filter(|hour| *hour <= 29)?;
    let two_digits = chain.parts[1..].iter().all(|part| part.len() == 2);
    if !two_digits || !matches!(chain.parts.len(), 2 | 3) || chain.value(1) > 59 {
        return None;
    }
    let mut said = format!("{}時", integer(&format!("{hour}")));
    let second = (chain.parts.len() == 3).then(|| chain.value(2));
    match chain.value(1) {
        0 if second.is_none() => {}
        // 十分 is another word.
        10 => said.push_str("ジュップン"),
        minute => said.push_str(&format!("{}分", integer(&format!("{minute}")))),
    }
    if let Some(second) = second {
        if second > 59 {
            return None;
        }
        said.push_str(&format!("{}秒", integer(&format!("{second}"))));
    }
    Some((chain.length, said))
}

fn half_of_day(text: &[char]) -> Option<(&'static str, usize)> {
    const HALVES: [(&str, &str); 4] = [
        ("a.m.", "午前"),
        ("p.m.", "午後"),
        ("am", "午前"),
        ("pm", "午後"),
    ];
    let (name, half) = HALVES
        .iter()
        .find(|(name, _)| starts_in_any_case(text, name))?;
    let length = name.chars().count();
    if text.get(length).is_some_and(|c| c.is_ascii_alphabetic()) {
        return None;
    }
    let blanks = text[length..].iter().take_while(|c| **c == ' ').count();
    let digits_follow = digits(&text[length + blanks..]) > 0;
    Some((half, length + if digits_follow { blanks } else { 0 }))
}
