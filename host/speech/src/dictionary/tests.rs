//! A dictionary of a few words, made here byte by byte: searched, damaged, cut.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::{Blob, Dictionary, DictionaryFiles, Error};

/// A surface with its tokens: left and right context, cost, features.
type Entry = (&'static str, &'static [(u16, u16, i16, &'static str)]);

const WORDS: &[Entry] = &[
    ("あ", &[(1, 1, 100, "感動詞,あ")]),
    ("ある", &[(1, 1, 100, "動詞,ある")]),
    ("るい", &[(1, 1, 10, "名詞,るい")]),
    ("い", &[(1, 1, 100, "名詞,い"), (1, 1, 100, "動詞,い")]),
];

const CLASSES: &[Entry] = &[
    ("DEFAULT", &[(1, 1, 1_000, "記号")]),
    ("KATAKANA", &[(1, 1, 500, "名詞,未知")]),
];

struct Bytes {
    sys: Vec<u8>,
    unk: Vec<u8>,
    char: Vec<u8>,
    matrix: Vec<u8>,
}

fn small() -> Bytes {
    let mut matrix = [2u16, 2].map(u16::to_le_bytes).concat();
    // Before × after: only what follows context 1 costs.
    for cost in [0i16, 0, 0, 20] {
        matrix.extend(cost.to_le_bytes());
    }
    let mut char = 2u32.to_le_bytes().to_vec();
    for name in ["DEFAULT", "KATAKANA"] {
        let mut field = name.as_bytes().to_vec();
        field.resize(32, 0);
        char.extend(field);
    }
    for code in 0..0xffffu32 {
        let katakana = (0x30a1..=0x30fc).contains(&code);
        // Class bits, default class, length, group, invoke.
        let class: u32 = if katakana {
            0b10 | 1 << 18 | 1 << 30
        } else {
            0b01 | 1 << 26
        };
        char.extend(class.to_le_bytes());
    }
    Bytes {
        sys: lexicon(WORDS),
        unk: lexicon(CLASSES),
        char,
        matrix,
    }
}

fn open(bytes: Bytes) -> Result<Dictionary, Error> {
    let blob = |bytes: Vec<u8>| -> Blob { Arc::new(bytes) };
    Dictionary::new(DictionaryFiles {
        sys: blob(bytes.sys),
        unk: blob(bytes.unk),
        char: blob(bytes.char),
        matrix: blob(bytes.matrix),
    })
}

/// Writes the format that the reader reads: header, trie, tokens, features.
fn lexicon(entries: &[Entry]) -> Vec<u8> {
    let (mut tokens, mut features) = (Vec::new(), Vec::new());
    let mut leaves = BTreeMap::new();
    let mut first = 0;
    for (surface, words) in entries {
        for (left, right, cost, feature) in *words {
            for number in [*left, *right, 0, cost.cast_unsigned()] {
                tokens.extend(number.to_le_bytes());
            }
            tokens.extend((features.len() as u32).to_le_bytes());
            tokens.extend(0u32.to_le_bytes());
            features.extend(feature.as_bytes());
            features.push(0);
        }
        leaves.insert(surface.as_bytes().to_vec(), first << 8 | words.len() as u32);
        first += words.len() as u32;
    }
    let trie = trie(&leaves);
    let mut out = Vec::new();
    let length = 72 + trie.len() + tokens.len() + features.len();
    let sizes = [trie.len(), tokens.len(), features.len()].map(|n| n as u32);
    for number in [
        length as u32 ^ 0xef71_8f77,
        102,
        0,
        first,
        2,
        2,
        sizes[0],
        sizes[1],
        sizes[2],
        0,
    ] {
        out.extend(number.to_le_bytes());
    }
    let mut charset = b"UTF-8".to_vec();
    charset.resize(32, 0);
    out.extend(charset);
    out.extend(trie);
    out.extend(tokens);
    out.extend(features);
    out
}

/// A double array by brute force: each node gets the first base at which all
/// its children are free.
fn trie(leaves: &BTreeMap<Vec<u8>, u32>) -> Vec<u8> {
    let mut units: Vec<(i32, u32)> = vec![(1, 0)];
    let mut used = vec![true];
    let mut open = vec![(0usize, Vec::new())];
    while let Some((node, prefix)) = open.pop() {
        let mut children: Vec<u8> = leaves
            .keys()
            .filter(|key| key.len() > prefix.len() && key.starts_with(&prefix))
            .map(|key| key[prefix.len()])
            .collect();
        children.dedup();
        let leaf = leaves.get(&prefix);
        let fits = |base: usize, used: &[bool]| {
            let free = |place: usize| !used.get(place).copied().unwrap_or(false);
            (leaf.is_none() || free(base))
                && children.iter().all(|c| free(base + usize::from(*c) + 1))
        };
        let base = (1..).find(|base| fits(*base, &used)).expect("somewhere");
        let end = base + 258;
        if units.len() < end {
            units.resize(end, (0, u32::MAX));
            used.resize(end, false);
        }
        units[node].0 = base as i32;
        // No other node may have this base: its children would be ours.
        used[base] = true;
        if let Some(value) = leaf {
            units[base] = (-(*value as i32) - 1, base as u32);
        }
        for child in children {
            let place = base + usize::from(child) + 1;
            used[place] = true;
            units[place].1 = base as u32;
            open.push((place, [&prefix[..], &[child]].concat()));
        }
    }
    units
        .into_iter()
        .flat_map(|(base, check)| [base.to_le_bytes(), check.to_le_bytes()].concat())
        .collect()
}

fn divided(text: &str) -> String {
    let dictionary = open(small()).expect("a good dictionary");
    let words = dictionary.divide(text);
    let shown: Vec<_> = words
        .iter()
        .map(|word| {
            format!(
                "{}/{}{}",
                word.surface,
                word.feature,
                if word.known { "" } else { "?" }
            )
        })
        .collect();
    shown.join(" ")
}

#[test]
fn the_cheapest_path_wins() {
    // 100 + 20 + 10 against 100 + 20 + 100.
    assert_eq!(divided("あるい"), "あ/感動詞,あ るい/名詞,るい");
    assert_eq!(divided("ある"), "ある/動詞,ある");
    assert_eq!(divided(""), "");
}

#[test]
fn unknown_words_are_cut_by_their_class() {
    assert_eq!(divided("カナあ"), "カナ/名詞,未知? あ/感動詞,あ");
    assert_eq!(divided("漢字"), "漢/記号? 字/記号?");
    assert_eq!(divided("𠮷"), "𠮷/記号?");
    let long = "カ".repeat(26);
    assert_ne!(
        divided(&long),
        format!("{long}/名詞,未知?"),
        "too long for one word"
    );
}

#[test]
fn files_that_do_not_fit_are_named() {
    let told = |damage: fn(&mut Bytes)| {
        let mut bytes = small();
        damage(&mut bytes);
        open(bytes).expect_err("damaged").to_string()
    };
    assert!(
        told(|b| b.sys.truncate(100))
            .starts_with("sys.dic is damaged or no compiled MeCab dictionary")
    );
    assert!(told(|b| b.sys.clear()).contains("it is too short"));
    assert!(told(|b| b.matrix.push(0)).starts_with("matrix.bin"));
    assert!(told(|b| b.char.truncate(9)).starts_with("char.bin"));
    assert!(told(|b| b.unk[0] ^= 1).contains("its magic number does not fit its length"));
    assert!(told(|b| b.sys[40..45].copy_from_slice(b"EUCJP")).contains("EUCJP"));
    assert!(told(|b| b.sys[16] = 9).contains("9 × 2 contexts"));
}

proptest! {
    /// Whatever is damaged: an error when it opens, or words that are parts of
    /// the text; never a panic.
    #[test]
    fn damage_never_panics(
        file in 0usize..4,
        hits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..20),
        text in "[あいるカナ漢a𠮷]{0,12}",
    ) {
        let mut bytes = small();
        let target = match file {
            0 => &mut bytes.sys,
            1 => &mut bytes.unk,
            2 => &mut bytes.char,
            _ => &mut bytes.matrix,
        };
        for (place, value) in hits {
            let place = place.index(target.len());
            target[place] = value;
        }
        if let Ok(dictionary) = open(bytes) {
            let words: String = dictionary.divide(&text).iter().map(|word| word.surface).collect();
            prop_assert!(words == text || words.is_empty() || text.ends_with(&words));
        }
    }
}
