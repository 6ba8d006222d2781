//! What is repeated for its looks is said once, or a few times.

use normalizer::characters::is_kana;
use normalizer::draft::{Edit, Place};

pub(crate) fn shorten(place: &Place<'_>, most: usize) -> Option<Edit> {
    let first = place.next(0)?;
    let run = place.rest().iter().take_while(|c| **c == first).count();
    let keep = match first {
        '!' | '?' | '。' | '、' => 1,
        '…' => 2,
        '.' | '・' => 3,
        '~' | 'ー' | '-' | '=' | '_' | '*' | '#' | '─' | '＿' => most.min(3),
        c if is_kana(c) => most,
        _ => return None,
    };
    let enough = match first {
        // Twice is a word of its own more often than a habit.
        '!' | '?' => run > 1,
        '-' | '=' | '_' | '*' | '#' | '─' | '＿' => run > 4,
        _ => run > keep.max(2),
    };
    if !enough {
        return None;
    }
    let shown = match first {
        '!' => '！',
        '?' => '？',
        other => other,
    };
    Some(Edit::new(
        run,
        core::iter::repeat_n(shown, keep).collect::<alloc::string::String>(),
    ))
}
