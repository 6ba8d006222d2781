//! Figures and the signs between them.

use alloc::string::String;
use alloc::vec::Vec;

use normalizer::draft::Place;
use normalizer::numerals::digits;

/// Figures that are joined by signs: `2024/1/2`.
pub(crate) struct Chain {
    pub(crate) parts: Vec<String>,
    pub(crate) signs: Vec<char>,
    pub(crate) length: usize,
}

/// The figures from here on, joined by any of `signs`.
pub(crate) fn chain(text: &[char], signs: &[char]) -> Option<Chain> {
    let first = digits(text);
    if first == 0 {
        return None;
    }
    let mut chain = Chain {
        parts: alloc::vec![text[..first].iter().collect()],
        signs: Vec::new(),
        length: first,
    };
    while let Some(sign) = text.get(chain.length).filter(|c| signs.contains(c)) {
        let count = digits(&text[chain.length + 1..]);
        if count == 0 {
            break;
        }
        chain.signs.push(*sign);
        chain
            .parts
            .push(text[chain.length + 1..][..count].iter().collect());
        chain.length += 1 + count;
    }
    Some(chain)
}

impl Chain {
    pub(crate) fn value(&self, part: usize) -> u32 {
        self.parts
            .get(part)
            .and_then(|digits| digits.parse().ok())
            .unwrap_or(u32::MAX)
    }

    pub(crate) fn same_signs(&self) -> bool {
        self.signs.windows(2).all(|pair| pair[0] == pair[1])
    }
}

/// Whether figures that begin here are not the middle of others, or of a word.
pub(crate) fn begins(place: &Place<'_>) -> bool {
    place.before().is_none_or(|before| {
        let in_a_figure = matches!(before, '.' | ',' | '/' | ':' | '-')
            && place.at >= 2
            && place.text[place.at - 2].is_ascii_digit();
        !(before.is_ascii_alphanumeric() || in_a_figure)
    })
}

/// Whether figures of this length have ended there.
pub(crate) fn ends(place: &Place<'_>, length: usize) -> bool {
    match place.next(length) {
        None => true,
        Some('.' | ',' | '/' | ':' | '-') => {
            !place.next(length + 1).is_some_and(|c| c.is_ascii_digit())
        }
        Some(next) => !next.is_ascii_alphanumeric(),
    }
}

/// Whether one of the words stands in the text, near or far.
pub(crate) fn mentions(text: &[char], words: &[&str]) -> bool {
    (0..text.len()).any(|at| {
        words
            .iter()
            .any(|word| normalizer::draft::starts(&text[at..], word))
    })
}
