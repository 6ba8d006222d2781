//! Faces made of signs, and laughter.

use normalizer::characters::is_kanji;
use normalizer::draft::{starts, Edit, Place};

/// Longer ones are sentences in brackets.
const FACE_MAX: usize = 24;

/// What stands around a face and belongs to it.
const ARMS: &str = "\\/＼／ヽノﾉmMｍoOoyvVbdφσ┐┌≡ヾ☆★*~彡ｗ";

/// The length of a face that begins here.
pub(crate) fn length(place: &Place<'_>) -> Option<usize> {
    let text = place.rest();
    if let Some(length) = shouted(text) {
        return Some(length);
    }
    let arm = usize::from(ARMS.contains(text[0]) && text.get(1) == Some(&'('));
    // An arm is no end of a word.
    let arm = arm
        * usize::from(
            !(text[0].is_ascii_alphabetic() || text[0] == 'ノ')
                || !place.before().is_some_and(|c| c.is_ascii_alphanumeric()),
        );
    if text.get(arm) != Some(&'(') {
        return None;
    }
    let inside = &text[arm + 1..];
    let close = inside.iter().take(FACE_MAX).position(|c| *c == ')')?;
    if !is_face(&inside[..close]) {
        return None;
    }
    let mut length = arm + 1 + close + 1;
    while text
        .get(length)
        .is_some_and(|c| ARMS.contains(*c) || matches!(c, ';' | '\'' | '"' | 'ﾞ' | '゛'))
        && length < arm + close + 6
    {
        // `(^^)v` has an arm, `(^^)video` a word after it.
        let letter = text[length].is_ascii_alphabetic();
        if letter
            && text
                .get(length + 1)
                .is_some_and(|c| c.is_ascii_alphanumeric())
        {
            break;
        }
        if text[length] == 'ノ'
            && text
                .get(length + 1)
                .is_some_and(|c| normalizer::characters::is_japanese(*c))
        {
            break;
        }
        length += 1;
    }
    if starts(&text[length..], "zzz") || starts(&text[length..], "ZZZ") {
        length += 3;
    }
    Some(length)
}

/// Eyes and a mouth and nothing that is said.
fn is_face(inside: &[char]) -> bool {
    const EYES: &str = "^*´`'｀・；;ﾟ゜°≧≦>＜<－-_＿T◕●○◯⌒￣¯＾Οoo0QΦΘ◎・=ಠ✧∩⊙ㆆ./";
    const MOUTHS: &str = "_▽∀ωДдД∇εзワ.ー-△□◇皿ロ口o0Ооヮ∧ﾛ‿◡人V;ᴗ_ ";
    let visible = inside.iter().filter(|c| !c.is_whitespace()).count();
    if visible < 2 {
        return false;
    }
    let said = inside.iter().any(|c| {
        c.is_ascii_digit()
            || (c.is_ascii_alphabetic()
                && !matches!(c, 'o' | 'O' | 'T' | 'D' | 'v' | 'V' | 'Q' | 'x' | 'X' | 'w'))
            || (is_kanji(*c) && !matches!(c, '皿' | '口' | '人'))
            || matches!(c, '\u{3041}'..='\u{3096}')
            || matches!(c, '\u{30a1}'..='\u{30fa}')
                && !matches!(c, 'ワ' | 'ヮ' | 'ロ' | 'ノ' | 'ヽ')
    });
    if said {
        return false;
    }
    let eyes = inside.iter().filter(|c| EYES.contains(**c)).count();
    let mouths = inside.iter().filter(|c| MOUTHS.contains(**c)).count();
    let strange = inside
        .iter()
        .filter(|c| "^´｀ωДд∀▽≧≦´`;・_*>ﾟ゜".contains(**c))
        .count();
    let sum = inside
        .iter()
        .any(|c| matches!(c, '+' | '%' | '=' | '$' | '¥'))
        && strange < 2;
    let dots = inside.iter().all(|c| matches!(c, '.' | ' '));
    !sum && (eyes >= 2 || dots)
        && eyes + mouths >= 2
        && (strange > 0 || dots || inside.contains(&'T'))
}

/// `ｷﾀ━━━━(ﾟ∀ﾟ)━━━━!!`: the lines beside a face.
fn shouted(text: &[char]) -> Option<usize> {
    let line = |text: &[char]| text.iter().take_while(|c| matches!(c, '━' | '─')).count();
    let length = line(text);
    (length >= 2).then_some(length)
}

/// `www`, `ｗｗｗ`, `(笑)`, `orz`.
pub(crate) fn laughter(place: &Place<'_>, read: bool) -> Option<Edit> {
    let text = place.rest();
    const SAID: [(&str, &str); 5] = [
        ("(笑)", "笑い"),
        ("(笑い)", "笑い"),
        ("(爆笑)", "爆笑"),
        ("(汗)", "汗"),
        ("(泣)", "泣き"),
    ];
    if let Some((sign, word)) = SAID.iter().find(|(sign, _)| starts(text, sign)) {
        return Some(Edit::new(
            sign.chars().count(),
            if read { *word } else { "" },
        ));
    }
    if place.before().is_some_and(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    if starts(text, "orz") && !text.get(3).is_some_and(|c| c.is_ascii_alphanumeric()) {
        return Some(Edit::new(3, ""));
    }
    let grass = text.iter().take_while(|c| matches!(c, 'w' | 'W')).count();
    let ends = !text
        .get(grass)
        .is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/'));
    let after_text = place.before().is_some_and(|c| !c.is_whitespace());
    let laughs = ends
        && (grass >= 2
            || (grass == 1
                && after_text
                && !place
                    .rest()
                    .get(1)
                    .is_some_and(|c| normalizer::characters::is_japanese(*c))));
    if !laughs
        || (grass == 1
            && !place
                .before()
                .is_some_and(normalizer::characters::is_japanese))
    {
        return None;
    }
    Some(Edit::new(grass, if read { "ワラ" } else { "" }))
}
