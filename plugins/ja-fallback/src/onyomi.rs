//! Readings of kanji, from Unicode's Unihan; see README.md.

use alloc::string::String;

use normalizer::characters::{is_hiragana, to_katakana};

/// Sorted lines: a kanji, its on'yomi, and after a tab the stem of its kun'yomi
/// if that is one of a word with an ending.
const TABLE: &str = include_str!("../onyomi.txt");

/// The reading of a kanji: by its meaning if an ending in hiragana follows,
/// else by its sound.
pub(crate) fn of(kanji: char, next: Option<char>) -> Option<String> {
    let (sound, stem) = entry(kanji)?;
    let ending = next.filter(|c| is_hiragana(*c) && !"がをにはへとのもやだで".contains(*c));
    let Some(ending) = ending.filter(|_| !stem.is_empty()) else {
        return Some(String::from(sound));
    };
    // The ending may say the stem's last kana again: 食べる, タベ.
    let again = stem.strip_suffix(to_katakana(ending));
    Some(String::from(
        again.filter(|rest| !rest.is_empty()).unwrap_or(stem),
    ))
}

fn entry(kanji: char) -> Option<(&'static str, &'static str)> {
    let (mut low, mut high) = (0, TABLE.len());
    while low < high {
        let middle = line_start(low + (high - low) / 2);
        let line = TABLE[middle..].lines().next()?;
        let first = line.chars().next()?;
        if first == kanji {
            let readings = &line[first.len_utf8()..];
            return Some(readings.split_once('\t').unwrap_or((readings, "")));
        }
        if first < kanji {
            low = middle + line.len() + 1;
        } else {
            high = middle;
        }
    }
    None
}

/// Where the line begins that holds this byte.
fn line_start(at: usize) -> usize {
    let before = &TABLE.as_bytes()[..at];
    before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1)
}
