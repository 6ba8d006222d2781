//! Text → words with readings and accents: the dictionary, then the rules of
//! Open JTalk's NJD (pronunciation, digits, accent phrases, accents, unvoiced
//! vowels) from jpreprocess.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use jpreprocess_core::word_entry::WordEntry;
use jpreprocess_njd::{
    NJD, NJDNode, accent_phrase::njd_set_accent_phrase, digit::njd_set_digit,
    digit_sequence::njd_digit_sequence,
};

use crate::chain;
use crate::dictionary::{Dictionary, Word};
use crate::filler;
use crate::user::UserWords;

/// Words of a text, and whether the rules could be applied to them.
pub(crate) struct Words {
    pub(crate) nodes: Vec<NJDNode>,
    pub(crate) analysed: bool,
}

pub(crate) fn words(dictionary: &Dictionary, user: &UserWords, text: &str) -> Words {
    let wide = widen(text);
    let divided = dictionary.divide_with(&wide, user);
    let entries: Vec<(String, WordEntry)> = divided.iter().map(entry).collect();
    // The rules are another's and state their expectations by panicking; no
    // text may end a request, so a panic there costs only the rules.
    let ruled = catch_unwind(AssertUnwindSafe(|| {
        let mut njd = NJD::from_tokens(entries.iter().cloned()).ok()?;
        filler::set_readings(&mut njd.nodes);
        njd_digit_sequence(&mut njd);
        njd_set_digit(&mut njd);
        njd_set_accent_phrase(&mut njd);
        chain::set_accents(&mut njd.nodes);
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
    let rules = readable_rules(fields[ACCENT_RULE]);
    fields[ACCENT_RULE] = &rules;
    let loaded = WordEntry::load(&fields)
        .ok()
        .filter(|loaded| fits(loaded, word.surface));
    (word.surface.to_owned(), loaded.unwrap_or_default())
}

/// The rules as their reader knows them. It would complain on every word of a
/// part of speech it does not know, of a slip of the dictionary's, and of a
/// slash forgotten (Open JTalk reads such a list up to there).
fn readable_rules(rules: &str) -> Cow<'_, str> {
    match rules {
        "1" | "動詞F4@0" => Cow::Borrowed("*"),
        "名詞%F2@1/形容詞%F2@-1動詞%F2@0" => Cow::Borrowed("名詞%F2@1/形容詞%F2@-1"),
        rules if rules.contains("特殊助動詞") => {
            let known = rules
                .split('/')
                .filter(|rule| !rule.starts_with("特殊助動詞"));
            Cow::Owned(known.collect::<Vec<_>>().join("/"))
        }
        rules => Cow::Borrowed(rules),
    }
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
pub(crate) fn widen(text: &str) -> String {
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
