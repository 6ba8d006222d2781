//! Where a word ends, and what it is made of.

/// The length of a word with the signs that may be in one: `Wi-Fi`, `Node.js`.
pub(crate) fn compound(text: &[char]) -> usize {
    let mut length = word(text);
    while let Some('-' | '.' | '&' | '_' | '+') = text.get(length) {
        let more = word(&text[length + 1..]);
        if more == 0 {
            break;
        }
        length += 1 + more;
    }
    length
}

/// The length of the run of letters, with apostrophes between them, and with
/// what joins the parts of a name in programs.
pub(crate) fn word(text: &[char]) -> usize {
    let letter = |at: usize| text.get(at).is_some_and(char::is_ascii_alphabetic);
    let mut length = 0;
    while letter(length)
        || (length > 0
            && matches!(text[length..], ['\'' | '_', next, ..] if next.is_ascii_alphabetic()))
    {
        length += 1;
    }
    length
}

/// `getUserName` → get, User, Name; `XMLParser` → XML, Parser.
pub(crate) fn split(word: &str) -> impl Iterator<Item = &str> {
    word.split('_').flat_map(camels)
}

fn camels(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (part, after) = rest.split_at(first_part(rest.as_bytes()));
        rest = after;
        Some(part)
    })
}

/// Letters are ASCII, so bytes are letters.
fn first_part(word: &[u8]) -> usize {
    let upper = |at: usize| word.get(at).is_some_and(u8::is_ascii_uppercase);
    let lower = |at: usize| word.get(at).is_some_and(u8::is_ascii_lowercase);
    for at in 1..word.len() {
        let new_word = lower(at - 1) && upper(at);
        let after_acronym = upper(at - 1) && upper(at) && lower(at + 1) && word[at + 1..] != *b"s";
        if new_word || after_acronym {
            return at;
        }
    }
    word.len()
}
