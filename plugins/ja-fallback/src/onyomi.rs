//! On'yomi of kanji, from Unicode's Unihan; see README.md.

use alloc::string::String;

/// Sorted lines: a kanji and its reading.
const TABLE: &str = include_str!("../onyomi.txt");

pub(crate) fn of(kanji: char) -> Option<String> {
    let (mut low, mut high) = (0, TABLE.len());
    while low < high {
        let middle = line_start(low + (high - low) / 2);
        let line = TABLE[middle..].lines().next()?;
        let first = line.chars().next()?;
        if first == kanji {
            return Some(String::from(&line[first.len_utf8()..]));
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
