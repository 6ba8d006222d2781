//! Kinds of characters.

/// Wide forms of ASCII, and signs that have several forms, as rules see them.
pub fn fold(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        '\u{3000}' | '\u{a0}' | '\u{2002}'..='\u{200a}' => ' ',
        '\u{301c}' => '~',
        '\u{2212}' | '\u{2010}' | '\u{2011}' => '-',
        '\u{ffe5}' => '¥',
        '\u{ffe1}' => '£',
        '\u{ffe0}' => '¢',
        '\u{2019}' => '\'',
        '\u{2044}' | '\u{2215}' => '/',
        '\u{2236}' => ':',
        other => other,
    }
}

pub fn is_kanji(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' | '々' | '〆' | '〇')
}

pub fn is_hiragana(c: char) -> bool {
    matches!(c, '\u{3041}'..='\u{309f}')
}

pub fn is_katakana(c: char) -> bool {
    matches!(c, '\u{30a1}'..='\u{30fa}' | 'ー' | '\u{30fc}'..='\u{30ff}')
}

pub fn is_kana(c: char) -> bool {
    is_hiragana(c) || is_katakana(c)
}

/// Kana or kanji.
pub fn is_japanese(c: char) -> bool {
    is_kana(c) || is_kanji(c)
}

/// Hiragana as katakana, everything else as it is.
pub fn to_katakana(c: char) -> char {
    match c {
        '\u{3041}'..='\u{3096}' | 'ゝ' | 'ゞ' => char::from_u32(c as u32 + 0x60).unwrap_or(c),
        other => other,
    }
}

/// Letters, digits: what may be part of the same Latin word.
pub fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric()
}
