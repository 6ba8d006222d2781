//! The signs of Markdown. Only where they come in pairs or begin a line: a
//! lone star is a sign of its own.

use alloc::string::String;

use normalizer::draft::{starts, Edit, Place};

pub(crate) fn read(place: &Place<'_>) -> Option<Edit> {
    let begins = place.at == 0 || place.before() == Some('\n');
    if begins && line_head(place.rest()) > 0 {
        return Some(Edit::new(line_head(place.rest()), ""));
    }
    fence(place)
        .or_else(|| link(place))
        .or_else(|| paired(place))
}

/// Heads, lists, quotes and rules at the beginning of a line.
fn line_head(text: &[char]) -> usize {
    let indent = text.iter().take_while(|c| **c == ' ').count();
    let text = &text[indent..];
    let blank_after = |length: usize| text.get(length) == Some(&' ');
    let hashes = text.iter().take_while(|c| **c == '#').count();
    if (1..=6).contains(&hashes) && blank_after(hashes) {
        return indent + hashes + 1;
    }
    if let Some(rule @ ('-' | '*' | '_' | '=')) = text.first() {
        let length = text.iter().take_while(|c| *c == rule).count();
        if length >= 3 && text.get(length).is_none_or(|c| *c == '\n') {
            return indent + length;
        }
    }
    let item = matches!(text.first(), Some('-' | '*' | '+' | '>')) && blank_after(1);
    // A sum begins with its sign as well.
    let sum = text.get(2).is_some_and(char::is_ascii_digit) && text[0] != '>';
    match item && !sum {
        true => indent + 2,
        false => 0,
    }
}

fn fence(place: &Place<'_>) -> Option<Edit> {
    if !place.starts("```") {
        return None;
    }
    // The name of the language goes with the fence.
    let name = place.rest()[3..]
        .iter()
        .take_while(|c| c.is_ascii_alphanumeric())
        .count();
    let ends_line = place.next(3 + name) == Some('\n');
    Some(Edit::new(3 + if ends_line { name } else { 0 }, ""))
}

/// `[text](address)` and `![text](address)`: the text.
fn link(place: &Place<'_>) -> Option<Edit> {
    let picture = place.starts("![");
    if !(picture || place.starts("[")) {
        return None;
    }
    let start = 1 + usize::from(picture);
    let text = &place.rest()[start..];
    let close = text.iter().take(200).position(|c| *c == ']')?;
    if !starts(&text[close..], "](") {
        return None;
    }
    let end = text[close + 2..]
        .iter()
        .take(2_000)
        .position(|c| *c == ')')?;
    let said: String = text[..close].iter().collect();
    Some(Edit::new(start + close + 2 + end + 1, said))
}

/// `**bold**`, `*slanted*`, `` `code` ``, `~~gone~~`: what is between them.
fn paired(place: &Place<'_>) -> Option<Edit> {
    const PAIRS: [&str; 7] = ["***", "**", "__", "~~", "`", "*", "_"];
    let sign = PAIRS.iter().find(|sign| place.starts(sign))?;
    let length = sign.chars().count();
    let inside = &place.rest()[length..];
    let first = *inside.first()?;
    let inner = |c: char| !c.is_whitespace() && !sign.contains(c);
    // `a_b_c` is a name and `2*3*4` a product.
    let word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    if !inner(first) || (length == 1 && *sign != "`" && word(place.before())) {
        return None;
    }
    let end = (1..inside.len().min(500)).find(|at| starts(&inside[*at..], sign))?;
    let closes = inner(inside[end - 1])
        && !inside[..end].contains(&'\n')
        && !(length == 1 && *sign != "`" && word(inside.get(end + length).copied()));
    if !closes {
        return None;
    }
    let said: String = inside[..end].iter().collect();
    Some(Edit::new(length * 2 + end, said))
}
