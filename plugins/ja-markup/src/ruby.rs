//! Readings in the text: `｜漢字《かんじ》`, `漢字《かんじ》`, `{漢字|かんじ}`.

use alloc::vec::Vec;

use normalizer::characters::{is_kana, is_kanji};
use normalizer::draft::{Draft, Edit, Place};

use crate::reading;

/// Longer stretches between brackets are no reading.
const READING_MAX: usize = 40;

pub(crate) fn read(draft: &mut Draft) {
    let text = draft.characters().to_vec();
    let mut edits = Vec::new();
    let mut done = 0;
    for open in 0..text.len() {
        if text[open] != '《' || open < done {
            continue;
        }
        let inside = &text[open + 1..];
        let close = inside.iter().take(READING_MAX + 1).position(|c| *c == '》');
        let Some(close) = close.filter(|close| *close > 0) else {
            continue;
        };
        let Some(start) = base(&text[..open], done) else {
            continue;
        };
        let end = open + 1 + close + 1;
        edits.push((start..end, reading(&inside[..close])));
        done = end;
    }
    draft.replace(&edits);
}

/// Where the word with this reading begins: at its mark, else with its kanji.
fn base(before: &[char], from: usize) -> Option<usize> {
    let near = before.len().saturating_sub(READING_MAX).max(from);
    let mark = before[near..].iter().rposition(|c| matches!(c, '｜' | '|'));
    if let Some(mark) = mark {
        return Some(near + mark);
    }
    let kanji = before[from..]
        .iter()
        .rev()
        .take_while(|c| is_kanji(**c))
        .count();
    (kanji > 0).then(|| before.len() - kanji)
}

pub(crate) fn braces(place: &Place<'_>) -> Option<Edit> {
    if !place.starts("{") {
        return None;
    }
    let inside = &place.rest()[1..];
    let close = inside
        .iter()
        .take(READING_MAX * 2)
        .position(|c| *c == '}')?;
    let middle = inside[..close].iter().position(|c| *c == '|')?;
    let kana = &inside[middle + 1..close];
    let fits = middle > 0 && !kana.is_empty() && kana.iter().all(|c| is_kana(*c));
    fits.then(|| Edit::new(close + 2, reading(kana)))
}
