//! Text → words with readings and accents: the dictionary, then the rules of
//! Open JTalk's NJD (pronunciation, digits, accent phrases, accents, unvoiced
//! vowels) from jpreprocess.

use std::panic::{AssertUnwindSafe, catch_unwind};

use jpreprocess_core::word_entry::WordEntry;
use jpreprocess_njd::{NJD, NJDNode};

use crate::dictionary::{Dictionary, Word};

/// Words of a text, and whether the rules could be applied to them.
pub(crate) struct Words {
    pub(crate) nodes: Vec<NJDNode>,
    pub(crate) analysed: bool,
}

pub(crate) fn words(dictionary: &Dictionary, text: &str) -> Words {
    let wide = widen(text);
    let divided = dictionary.divide(&wide);
    let entries: Vec<(String, WordEntry)> = divided.iter().map(entry).collect();
    // The rules are another's and state their expectations by panicking; no
    // text may end a request, so a panic there costs only the rules.
    let ruled = catch_unwind(AssertUnwindSafe(|| {
        let mut njd = NJD::from_tokens(entries.iter().cloned()).ok()?;
        njd.preprocess();
        Some(njd.nodes)
    }));
    match ruled {
        Ok(Some(nodes)) => Words {
            nodes,
            analysed: true,
        },
        Ok(None) | Err(_) => Words {
            nodes: entries
                .iter()
                .flat_map(|(surface, entry)| NJDNode::load(surface, entry))
                .collect(),
            analysed: false,
        },
    }
}

/// The fields an entry has, from part of speech to chaining.
const FIELDS: usize = 12;
const ACCENT_RULE: usize = 10;

fn entry(word: &Word<'_>) -> (String, WordEntry) {
    let mut fields: Vec<&str> = word.feature.split(',').collect();
    fields.resize(FIELDS, "*");
    // Marks have their chaining one field early; it is no accent rule.
    if fields[ACCENT_RULE] == "-1" {
        fields[ACCENT_RULE] = "*";
    }
    // A part of speech that the rules do not know, and say so on every word.
    let known: Vec<&str> = fields[ACCENT_RULE]
        .split('/')
        .filter(|rule| !rule.starts_with("特殊助動詞"))
        .collect();
    let known = known.join("/");
    fields[ACCENT_RULE] = if known.is_empty() { "*" } else { &known };
    let loaded = WordEntry::load(&fields)
        .ok()
        .filter(|loaded| fits(loaded, word.surface));
    (word.surface.to_owned(), loaded.unwrap_or_default())
}

/// An entry of several words names where they divide; in a damaged dictionary
/// that may be nowhere in this word.
fn fits(entry: &WordEntry, surface: &str) -> bool {
    match entry {
        WordEntry::Single(_) => true,
        WordEntry::Multiple(parts) => {
            let (_, but_last) = parts
                .split_last()
                .map_or((None, &[][..]), |(l, r)| (Some(l), r));
            let length: usize = but_last.iter().map(|(part, _)| part.len()).sum();
            surface.is_char_boundary(length) && length <= surface.len()
        }
    }
}

/// The dictionary knows wide forms only; Open JTalk widens the same way.
fn widen(text: &str) -> String {
    let wide = |c: char| match c {
        ' ' => '\u{3000}',
        '"' => '”',
        '\'' => '’',
        '-' => '−',
        '\\' => '￥',
        '`' => '‘',
        '~' => '〜',
        '!'..='~' => char::from_u32(c as u32 + 0xfee0).unwrap_or(c),
        other => other,
    };
    text.chars().map(wide).collect()
}
