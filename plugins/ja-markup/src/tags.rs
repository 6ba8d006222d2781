//! Tags of SSML and HTML, and the few entities a text may hold.

use alloc::string::String;
use alloc::vec::Vec;

use normalizer::draft::{longest, starts_in_any_case, Edit, Place};
use normalizer::letters::spell;
use normalizer::numerals::spoken;

use crate::reading;

/// Longer ones are no tags.
const TAG_MAX: usize = 200;

/// Tags that may be in a text; `<` before anything else is a sign.
const NAMES: [&str; 30] = [
    "speak", "sub", "say-as", "phoneme", "break", "prosody", "emphasis", "voice", "audio", "mark",
    "ruby", "rb", "rt", "rp", "p", "s", "w", "br", "b", "i", "u", "em", "strong", "span", "div",
    "a", "code", "lang", "h1", "h2",
];

pub(crate) fn read(place: &Place<'_>) -> Option<Edit> {
    const ENTITIES: &[(&str, &str)] = &[
        ("&amp;", "&"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&nbsp;", " "),
        ("&#39;", "'"),
    ];
    if let Some((length, sign)) = longest(place.rest(), ENTITIES) {
        // A sign that stood for itself is read as one.
        let said = match *sign {
            "<" => "小なり",
            ">" => "大なり",
            sign => sign,
        };
        return Some(Edit::new(length, said));
    }
    if place.starts("<!--") {
        let end = find(place.rest(), "-->")?;
        return Some(Edit::new(end, ""));
    }
    let tag = tag(place.rest())?;
    let inside = || {
        let close: String = ["</", &tag.name, ">"].concat();
        let body = &place.rest()[tag.length..];
        let end = find(body, &close)?;
        Some((&body[..end - close.chars().count()], tag.length + end))
    };
    match tag.name.as_str() {
        "sub" => with_attribute(&tag, "alias", inside()),
        "phoneme" => with_attribute(&tag, "ph", inside()),
        "say-as" => {
            let (body, length) = inside()?;
            let body: String = body.iter().collect();
            match tag.attribute("interpret-as").as_deref() {
                Some("characters" | "spell-out" | "verbatim") => {
                    let said = body.chars().map(|c| match c.is_ascii_digit() {
                        true => spoken(c.encode_utf8(&mut [0; 4])),
                        false => spell(c.encode_utf8(&mut [0; 4])),
                    });
                    Some(Edit::new(length, said.collect::<String>()))
                }
                Some("digits" | "telephone") => Some(Edit::new(length, spoken(&body))),
                _ => Some(Edit::new(tag.length, "")),
            }
        }
        "ruby" => {
            let (body, length) = inside()?;
            let kana = between(body, "<rt>", "</rt>");
            (!kana.is_empty()).then(|| Edit::new(length, reading(&kana)))
        }
        "break" | "br" | "p" => Some(Edit::new(tag.length, "、")),
        _ => Some(Edit::new(tag.length, "")),
    }
}

fn with_attribute(tag: &Tag, name: &str, inside: Option<(&[char], usize)>) -> Option<Edit> {
    match (tag.attribute(name), inside) {
        (Some(said), Some((_, length))) => Some(Edit::new(length, said)),
        _ => Some(Edit::new(tag.length, "")),
    }
}

struct Tag {
    name: String,
    rest: String,
    length: usize,
}

impl Tag {
    fn attribute(&self, name: &str) -> Option<String> {
        let at = self.rest.find(&[name, "="].concat())?;
        let value = &self.rest[at + name.len() + 1..];
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let value = &value[1..];
        Some(String::from(&value[..value.find(quote)?]))
    }
}

fn tag(text: &[char]) -> Option<Tag> {
    if text.first() != Some(&'<') {
        return None;
    }
    let close = text.iter().take(TAG_MAX).position(|c| *c == '>')?;
    let inside = &text[1..close];
    let closing = inside.first() == Some(&'/');
    let inside = &inside[usize::from(closing)..];
    let end = inside
        .iter()
        .position(|c| !c.is_ascii_alphanumeric() && *c != '-')
        .unwrap_or(inside.len());
    let name: String = inside[..end].iter().map(char::to_ascii_lowercase).collect();
    if !NAMES.contains(&name.as_str()) {
        return None;
    }
    Some(Tag {
        // The end of one is only taken away.
        name: if closing { String::from("/") } else { name },
        rest: inside[end..].iter().collect(),
        length: close + 1,
    })
}

/// Where the first `text` ends.
fn find(within: &[char], text: &str) -> Option<usize> {
    let at = (0..within.len()).find(|at| starts_in_any_case(&within[*at..], text))?;
    Some(at + text.chars().count())
}

/// Everything between these, together.
fn between(mut text: &[char], open: &str, close: &str) -> Vec<char> {
    let mut found = Vec::new();
    while let Some(start) = find(text, open) {
        text = &text[start..];
        let Some(end) = find(text, close) else {
            break;
        };
        found.extend(&text[..end - close.chars().count()]);
        text = &text[end..];
    }
    found
}
