//! Emoji and ornaments.

use alloc::string::String;

use normalizer::draft::{Edit, Place};

use crate::names;

/// One picture, with its joiners and skins, is left out or named.
pub(crate) fn read(place: &Place<'_>, named: bool) -> Option<Edit> {
    let first = place.next(0)?;
    if let Some(length) = keycap(place) {
        // The figure stays, its frame goes.
        return Some(Edit::new(length, String::from(first)));
    }
    if is_joiner(first) {
        return Some(Edit::new(1, ""));
    }
    // A sign for words, unless a selector makes it a picture.
    let sign = matches!(first, '㊗' | '㊙' | '〰' | '〽' | '©' | '®' | '™')
        && place.next(1) == Some('\u{fe0f}');
    if !(is_picture(first) || is_ornament(first) || sign) {
        return None;
    }
    let mut length = 1;
    loop {
        match (place.next(length), place.next(length + 1)) {
            (Some('\u{200d}'), Some(next)) if is_picture(next) => length += 2,
            (Some(c), _) if is_joiner(c) || is_skin(c) => length += 1,
            (Some(c), _) if is_flag(first) && length == 1 && is_flag(c) => length += 1,
            _ => break,
        }
    }
    let name = match named {
        true => names::of(&place.rest()[..length]),
        false => None,
    };
    Some(Edit::new(length, name.unwrap_or_default()))
}

fn keycap(place: &Place<'_>) -> Option<usize> {
    let key = place
        .next(0)
        .filter(|c| c.is_ascii_digit() || matches!(c, '#' | '*'))?;
    let _ = key;
    match (place.next(1), place.next(2)) {
        (Some('\u{fe0f}'), Some('\u{20e3}')) => Some(3),
        (Some('\u{20e3}'), _) => Some(2),
        _ => None,
    }
}

fn is_joiner(c: char) -> bool {
    matches!(
        c,
        '\u{fe0e}' | '\u{fe0f}' | '\u{200d}' | '\u{20e3}' | '\u{e0020}'
            ..='\u{e007f}' | '\u{200b}' | '\u{feff}'
    )
}

fn is_skin(c: char) -> bool {
    matches!(c, '\u{1f3fb}'..='\u{1f3ff}')
}

fn is_flag(c: char) -> bool {
    matches!(c, '\u{1f1e6}'..='\u{1f1ff}')
}

fn is_picture(c: char) -> bool {
    matches!(c,
        '\u{1f000}'..='\u{1f0ff}' | '\u{1f1e6}'..='\u{1f1ff}' | '\u{1f300}'..='\u{1faff}'
        | '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{231a}' | '\u{231b}' | '\u{23e9}'..='\u{23fa}'
        | '\u{2328}' | '\u{23cf}' | '\u{203c}' | '\u{2049}' | '\u{2139}' | '\u{24c2}')
}

/// Signs that decorate a line and say nothing. Those that stand for a word
/// (○, ×, △ in pairs, →) are read by others.
fn is_ornament(c: char) -> bool {
    matches!(
        c,
        '■' | '□'
            | '◆'
            | '◇'
            | '●'
            | '▲'
            | '▼'
            | '▽'
            | '▶'
            | '◀'
            | '▷'
            | '◁'
            | '◎'
            | '♪'
            | '♫'
            | '♬'
            | '♡'
            | '♥'
            | '★'
            | '☆'
            | '✿'
            | '❀'
            | '〠'
            | '▪'
            | '▫'
            | '◉'
            | '◦'
            | '•'
            | '‣'
    )
}
