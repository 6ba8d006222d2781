//! Figures that name something and count nothing: said digit by digit, or
//! part by part.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use normalizer::draft::{starts, starts_in_any_case, Edit, Place};
use normalizer::numerals::{digits, integer, katakana, spoken};

use crate::figures::{begins, chain, ends, mentions};

/// `03-1234-5678`, `(03)1234-5678`, `+81-90-1234-5678`, `09012345678`.
pub(crate) fn telephone(place: &Place<'_>) -> Option<Edit> {
    let before = place.before();
    if before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '+') {
        return None;
    }
    let mut text = place.rest();
    let mut said = String::new();
    let mut length = 0;
    let abroad = text.first() == Some(&'+');
    if abroad {
        said.push_str("プラス");
        text = &text[1..];
        length = 1;
    }
    let (taken, groups) = groups(text)?;
    let all: usize = groups.iter().map(String::len).sum();
    let first = &groups[0];
    let fits = match groups.len() {
        1 => is_compact(first),
        2 => first.starts_with('0') && matches!(all, 10 | 11),
        _ => abroad || (first.starts_with('0') && matches!(all, 10 | 11)),
    };
    if !fits || (abroad && !(8..=15).contains(&all)) || !ends(place, length + taken) {
        return None;
    }
    length += taken;
    let groups: Vec<String> = groups.iter().map(|group| spoken(group)).collect();
    said.push_str(&groups.join("、"));
    Some(Edit::new(length, said))
}

/// The groups of digits of a telephone number, in brackets or between dashes.
fn groups(text: &[char]) -> Option<(usize, Vec<String>)> {
    let mut groups = Vec::new();
    let mut at = 0;
    let mut open = text.first() == Some(&'(');
    if open {
        at = 1;
    }
    loop {
        let count = digits(&text[at..]);
        if count == 0 {
            return None;
        }
        groups.push(text[at..at + count].iter().collect());
        at += count;
        let next = text.get(at).copied();
        let more = |at: usize| digits(text.get(at..).unwrap_or_default()) > 0;
        match next {
            Some(')') if open && more(at + 1) => {
                open = false;
                at += 1;
            }
            Some('(') if !open && more(at + 1) => {
                open = true;
                at += 1;
            }
            Some('-' | 'ー' | '–' | '—') if !open && more(at + 1) => at += 1,
            _ => break,
        }
    }
    (!open).then_some((at, groups))
}

/// Telephone numbers written without dashes.
fn is_compact(digits: &str) -> bool {
    let mobile = ["050", "070", "080", "090"]
        .iter()
        .any(|head| digits.starts_with(head));
    (mobile && digits.len() == 11) || (digits.starts_with('0') && digits.len() == 10)
}

/// `〒100-0001`, `郵便番号160-0022`.
pub(crate) fn postcode(place: &Place<'_>) -> Option<Edit> {
    let sign = place.starts("〒");
    let start = match sign {
        true => 1 + place.rest()[1..].iter().take_while(|c| **c == ' ').count(),
        false => 0,
    };
    let named = sign || {
        let near = &place.text[place.at.saturating_sub(8)..place.at];
        mentions(near, &["郵便番号"])
    };
    if !named {
        return None;
    }
    let chain = chain(&place.rest()[start..], &['-']);
    let fits = chain.as_ref().is_some_and(|chain| {
        let lengths: Vec<usize> = chain.parts.iter().map(String::len).collect();
        matches!(lengths[..], [3, 4] | [7])
    });
    let Some(chain) = chain.filter(|_| fits && (sign || begins(place))) else {
        return sign.then(|| Edit::new(1, "郵便番号"));
    };
    let parts: Vec<String> = chain.parts.iter().map(|part| spoken(part)).collect();
    let mut said = String::from(if sign { "郵便番号、" } else { "" });
    said.push_str(&parts.join("、"));
    Some(Edit::new(start + chain.length, said))
}

/// `ver.2.0`, `v1.2.3`, `192.168.0.1`, `p.10`.
pub(crate) fn version(place: &Place<'_>) -> Option<Edit> {
    let text = place.rest();
    let inside = place.before().is_some_and(|c| c.is_ascii_alphanumeric());
    if inside {
        return None;
    }
    if let Some(length) = page(text) {
        return Some(Edit::new(length, "ページ"));
    }
    let (head, named) = head(text);
    let parts = chain(&text[head..], &['.'])?;
    if !(named || (parts.parts.len() >= 3 && begins(place))) {
        return None;
    }
    let length = head + parts.length;
    if text.get(length).is_some_and(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let internet = !named && parts.parts.len() == 4 && (0..4).all(|part| parts.value(part) < 256);
    let said = parts.parts.iter().map(|part| match internet {
        true => spoken(part),
        false => katakana(part),
    });
    let said = said.collect::<Vec<_>>().join("テン");
    let name = if named { "バージョン" } else { "" };
    Some(Edit::new(length, name.to_string() + &said))
}

/// The word for a version before its figures, with its length.
fn head(text: &[char]) -> (usize, bool) {
    const NAMES: [&str; 5] = ["version", "ver.", "ver", "v.", "v"];
    let Some(name) = NAMES.iter().find(|name| starts_in_any_case(text, name)) else {
        let japanese = "バージョン";
        return match starts(text, japanese) {
            true => {
                let length = japanese.chars().count();
                let blanks = text[length..].iter().take_while(|c| **c == ' ').count();
                (length + blanks, true)
            }
            false => (0, false),
        };
    };
    let length = name.chars().count();
    let blanks = text[length..].iter().take_while(|c| **c == ' ').count();
    match digits(&text[length + blanks..]) {
        0 => (0, false),
        _ => (length + blanks, true),
    }
}

fn page(text: &[char]) -> Option<usize> {
    let length = match () {
        () if starts(text, "pp.") => 3,
        () if starts(text, "p.") => 2,
        () => return None,
    };
    let blanks = text[length..].iter().take_while(|c| **c == ' ').count();
    (digits(&text[length + blanks..]) > 0).then_some(length + blanks)
}

/// `西新宿2-8-1`: the parts of an address, joined as they are said.
pub(crate) fn address(place: &Place<'_>) -> Option<Edit> {
    if !begins(place) {
        return None;
    }
    let parts = chain(place.rest(), &['-'])?;
    let near = &place.text[place.at.saturating_sub(12)..place.at];
    let named = mentions(near, &["区", "市", "町", "村", "丁目", "番地", "県"])
        || mentions(&place.rest()[parts.length..], &["番地", "号室"]);
    let several = parts.parts.len() >= 3 || (parts.parts.len() == 2 && named);
    let short = parts
        .parts
        .iter()
        .all(|part| part.len() <= 4 && !part.starts_with('0'));
    if !(several && named && short && ends(place, parts.length)) {
        return None;
    }
    let said: Vec<String> = parts.parts.iter().map(|part| integer(part)).collect();
    Some(Edit::new(parts.length, said.join("の")))
}
