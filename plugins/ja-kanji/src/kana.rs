//! Kana in forms that tables lack.

use alloc::string::String;

use normalizer::draft::{Edit, Place};

const NARROW: &str = "。「」、・ヲァィゥェォャュョッーアイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン゛゜";

/// `ｶﾞ` → ガ.
pub(crate) fn narrow(place: &Place<'_>) -> Option<Edit> {
    let c = place.next(0)?;
    let at = (c as usize).checked_sub(0xff61)?;
    let wide = NARROW.chars().nth(at)?;
    let mark = place.next(1).and_then(|mark| voiced(wide, mark));
    match mark {
        Some(voiced) => Some(Edit::new(2, String::from(voiced))),
        None => Some(Edit::new(1, String::from(wide))),
    }
}

/// A kana with a mark of voicing after it, in one.
fn voiced(kana: char, mark: char) -> Option<char> {
    let plus = |by: u32| char::from_u32(kana as u32 + by);
    let soft = "かきくけこさしすせそたちつてとはひふへほカキクケコサシスセソタチツテトハヒフヘホ";
    match mark {
        '゛' | '\u{3099}' | 'ﾞ' => match kana {
            'う' => Some('ゔ'),
            'ウ' => Some('ヴ'),
            kana if soft.contains(kana) => plus(1),
            _ => None,
        },
        '゜' | '\u{309a}' | 'ﾟ' => match "はひふへほハヒフヘホ".contains(kana) {
            true => plus(2),
            false => None,
        },
        _ => None,
    }
}

/// Marks apart, and kana that the frontend skips.
pub(crate) fn rare(place: &Place<'_>) -> Option<Edit> {
    let c = place.next(0)?;
    if let Some(voiced) = place.next(1).and_then(|mark| voiced(c, mark)) {
        return Some(Edit::new(2, String::from(voiced)));
    }
    let usual = match c {
        'ヮ' => "ワ",
        'ゎ' => "わ",
        'ゕ' => "か",
        'ゖ' => "け",
        'ヷ' => "ヴァ",
        'ヸ' => "ヴィ",
        'ヹ' => "ヴェ",
        'ヺ' => "ヴォ",
        'ヵ' | 'ヶ' => {
            // Between a number and its counter the dictionary knows it.
            let counts = place.before().is_some_and(|c| {
                normalizer::characters::is_kanji(c) || c.is_ascii_digit() || "数何".contains(c)
            });
            return (!counts).then(|| Edit::new(1, if c == 'ヵ' { "カ" } else { "ケ" }));
        }
        _ => return None,
    };
    Some(Edit::new(1, usual))
}

/// ゝ, ゞ, ヽ, ヾ and 〻 stand for what is before them.
pub(crate) fn repeated(place: &Place<'_>) -> Option<Edit> {
    let c = place.next(0)?;
    if c == '〻' {
        return Some(Edit::new(1, "々"));
    }
    let voice = match c {
        'ゝ' | 'ヽ' => false,
        'ゞ' | 'ヾ' => true,
        _ => return None,
    };
    let before = place
        .before()
        .filter(|c| normalizer::characters::is_kana(*c))?;
    let said = match voice {
        true => voiced(before, '゛').unwrap_or(before),
        false => before,
    };
    Some(Edit::new(1, String::from(said)))
}
