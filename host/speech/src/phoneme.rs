//! The symbols of Style-Bert-VITS2 and their ids.

/// All 112 symbols; a symbol's place is its id. Padding, then the phonemes of
/// Chinese, Japanese and English in code-point order, then marks.
pub const SYMBOLS: [&str; 112] = [
    "_", "AA", "E", "EE", "En", "N", "OO", "V", "a", "a:", "aa", "ae", "ah", "ai", "an", "ang",
    "ao", "aw", "ay", "b", "by", "c", "ch", "d", "dh", "dy", "e", "e:", "eh", "ei", "en", "eng",
    "er", "ey", "f", "g", "gy", "h", "hh", "hy", "i", "i0", "i:", "ia", "ian", "iang", "iao", "ie",
    "ih", "in", "ing", "iong", "ir", "iu", "iy", "j", "jh", "k", "ky", "l", "m", "my", "n", "ng",
    "ny", "o", "o:", "ong", "ou", "ow", "oy", "p", "py", "q", "r", "ry", "s", "sh", "t", "th",
    "ts", "ty", "u", "u:", "ua", "uai", "uan", "uang", "uh", "ui", "un", "uo", "uw", "v", "van",
    "ve", "vn", "w", "x", "y", "z", "zh", "zy", "!", "?", "…", ",", ".", "'", "-", "SP", "UNK",
];

/// Start and end of an utterance, and every blank.
pub const PADDING: &str = "_";

/// Marks that are symbols themselves.
pub const MARKS: [&str; 7] = ["!", "?", "…", ",", ".", "'", "-"];

/// The id of a symbol; none if there is no such symbol.
pub fn id(symbol: &str) -> Option<i64> {
    let place = SYMBOLS.iter().position(|known| *known == symbol)?;
    i64::try_from(place).ok()
}

pub(crate) fn is_mark(symbol: &str) -> bool {
    MARKS.contains(&symbol)
}

pub(crate) fn is_mark_character(character: char) -> bool {
    matches!(character, '!' | '?' | '…' | ',' | '.' | '\'' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_trained_voices() {
        for (symbol, expected) in [
            ("_", 0),
            ("N", 5),
            ("a", 8),
            ("by", 20),
            ("k", 57),
            ("q", 73),
            ("zy", 102),
            ("!", 103),
            ("-", 109),
            ("UNK", 111),
        ] {
            assert_eq!(id(symbol), Some(expected), "{symbol}");
        }
        assert_eq!(id("kw"), None);
    }

    #[test]
    fn phonemes_are_in_code_point_order() {
        assert!(SYMBOLS[1..103].windows(2).all(|pair| pair[0] < pair[1]));
    }
}
