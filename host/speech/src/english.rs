//! English words in katakana: those of a list, their plurals and compounds,
//! and any other by a guess from its letters.
//!
//! The guess is a joint model: a word is cut into chunks of letters, each with
//! its kana, and the cuts that fit what came before are the likeliest. List and
//! model are in `data/`, with their sources in its NOTICE.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

/// A word as it is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// In katakana, as the frontend reads it.
    pub kana: Cow<'static, str>,
    /// By its letters; nobody has checked it.
    pub guessed: bool,
}

/// None for what is spelled, and for what is no word.
pub fn read(word: &str) -> Option<Reading> {
    let listed = |kana| Reading {
        kana,
        guessed: false,
    };
    match LIST.get(word) {
        Some(&SPELLED) => return None,
        Some(kana) => return Some(listed(Cow::Borrowed(*kana))),
        None => {}
    }
    let small = word.to_ascii_lowercase();
    if let Some(kana) = LIST.get(small.as_str()) {
        return Some(listed(Cow::Borrowed(*kana)));
    }
    if !small.bytes().all(|byte| byte.is_ascii_lowercase()) || small.len() > LETTERS_MAX {
        return None;
    }
    let capitals = word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase());
    if !capitals && let Some(kana) = plural(&small).or_else(|| compound(&small)) {
        return Some(listed(Cow::Owned(kana)));
    }
    let kana = MODEL.as_ref()?.guess(&small)?;
    Some(Reading {
        kana: Cow::Owned(kana),
        guessed: true,
    })
}

const LETTERS_MAX: usize = 40;
/// What the list says of capitals that are letters: `IT` is not `it`.
const SPELLED: &str = "*";

static LIST: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let lines = include_str!("../data/english.tsv").lines();
    lines.filter_map(|line| line.split_once('\t')).collect()
});

/// `s` as it is said after the word's last sound.
fn plural(word: &str) -> Option<String> {
    let stem = word.strip_suffix('s').filter(|stem| stem.len() > 2)?;
    let kana = LIST.get(stem)?;
    Some(match stem.as_bytes().last()? {
        b't' => format!("{}ツ", kana.strip_suffix('ト')?),
        b'k' | b'p' | b'f' => format!("{kana}ス"),
        b's' | b'x' | b'h' => return None,
        _ => format!("{kana}ズ"),
    })
}

/// Two words of the list in one, the first as long as can be.
fn compound(word: &str) -> Option<String> {
    const PART_MIN: usize = 3;
    if word.len() < PART_MIN * 2 + 1 {
        return None;
    }
    let cuts = (PART_MIN..=word.len() - PART_MIN).rev();
    let known = |part: &str| LIST.get(part).copied().filter(|kana| *kana != SPELLED);
    cuts.filter(|cut| word.len() - cut > PART_MIN || *cut > PART_MIN)
        .find_map(|cut| {
            let (first, second) = word.split_at(cut);
            Some(format!("{}{}", known(first)?, known(second)?))
        })
}

static MODEL: LazyLock<Option<Model>> =
    LazyLock::new(|| Model::parse(include_bytes!("../data/english.graphones")));

/// Chunks of letters with their kana, and how often each followed others.
struct Model {
    chunks: Vec<Chunk>,
    by_letters: HashMap<&'static str, Vec<u16>>,
    /// By order: how often a sequence was seen.
    seen: [HashMap<Vec<u16>, u32>; ORDER],
    /// By order: how often something followed a sequence, and how many things.
    followed: [HashMap<Vec<u16>, (u32, u32)>; ORDER],
}

struct Chunk {
    kana: &'static str,
    letters: &'static str,
}

const ORDER: usize = 4;
const DISCOUNT: f64 = 0.7;
const BEAM: usize = 12;
const CHUNK_MAX: usize = 3;
/// The chunk before every word.
const START: u16 = 0;

impl Model {
    fn parse(bytes: &'static [u8]) -> Option<Self> {
        let mut input = bytes.strip_prefix(b"KGR1")?;
        let count = take_u32(&mut input)?;
        let mut chunks = Vec::new();
        let mut by_letters: HashMap<&str, Vec<u16>> = HashMap::new();
        for id in 0..count {
            let letters = take_text(&mut input)?;
            let kana = take_text(&mut input)?;
            let id = u16::try_from(id).ok()?;
            by_letters.entry(letters).or_default().push(id);
            chunks.push(Chunk { kana, letters });
        }
        let mut seen: [HashMap<Vec<u16>, u32>; ORDER] = Default::default();
        let mut followed: [HashMap<Vec<u16>, (u32, u32)>; ORDER] = Default::default();
        for order in 0..ORDER {
            for _ in 0..take_u32(&mut input)? {
                let mut sequence = Vec::with_capacity(order + 1);
                for _ in 0..=order {
                    let (two, rest) = input.split_at_checked(2)?;
                    sequence.push(u16::from_le_bytes(two.try_into().ok()?));
                    input = rest;
                }
                let (times, rest) = input.split_first()?;
                input = rest;
                let times = u32::from(*times);
                let follow = followed[order]
                    .entry(sequence[..order].to_vec())
                    .or_default();
                follow.0 += times;
                follow.1 += 1;
                seen[order].insert(sequence, times);
            }
        }
        Some(Self {
            chunks,
            by_letters,
            seen,
            followed,
        })
    }

    /// The likeliest kana, by a beam over the places in the word.
    fn guess(&self, word: &str) -> Option<String> {
        let end = self.chunks.iter().position(|chunk| chunk.letters == "$")?;
        let end = u16::try_from(end).ok()?;
        let mut paths: Vec<Vec<(f64, Vec<u16>)>> = vec![Vec::new(); word.len() + 1];
        paths[0].push((0.0, vec![START]));
        for at in 0..word.len() {
            let here = best(std::mem::take(&mut paths[at]));
            for (score, path) in &here {
                for length in 1..=CHUNK_MAX.min(word.len() - at) {
                    let chunks = self.by_letters.get(&word[at..at + length]);
                    for chunk in chunks.into_iter().flatten() {
                        let score = score + self.likelihood(path, *chunk).ln();
                        let mut path = path.clone();
                        path.push(*chunk);
                        paths[at + length].push((score, path));
                    }
                }
            }
        }
        let last = best(paths.pop()?);
        let finished = last
            .into_iter()
            .map(|(score, path)| (score + self.likelihood(&path, end).ln(), path));
        let (_, path) = finished.max_by(|one, other| one.0.total_cmp(&other.0))?;
        let kana: String = path
            .iter()
            .filter_map(|chunk| self.chunks.get(usize::from(*chunk)))
            .map(|chunk| chunk.kana)
            .collect();
        (!kana.is_empty()).then_some(kana)
    }

    /// How likely `next` is after `path`: what longer sequences saw, with what
    /// they leave over given to shorter ones.
    fn likelihood(&self, path: &[u16], next: u16) -> f64 {
        let mut likelihood = 1.0 / self.chunks.len() as f64;
        for order in 0..ORDER.min(path.len() + 1) {
            let history = &path[path.len() - order..];
            let Some((total, kinds)) = self.followed[order].get(history) else {
                continue;
            };
            let mut sequence = history.to_vec();
            sequence.push(next);
            let times = self.seen[order].get(&sequence).copied().unwrap_or(0);
            let own = (f64::from(times) - DISCOUNT).max(0.0) / f64::from(*total);
            let left = DISCOUNT * f64::from(*kinds) / f64::from(*total);
            likelihood = own + left * likelihood;
        }
        likelihood
    }
}

fn best(mut paths: Vec<(f64, Vec<u16>)>) -> Vec<(f64, Vec<u16>)> {
    paths.sort_by(|one, other| other.0.total_cmp(&one.0));
    paths.truncate(BEAM);
    paths
}

fn take_u32(input: &mut &'static [u8]) -> Option<u32> {
    let (four, rest) = input.split_at_checked(4)?;
    *input = rest;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

fn take_text(input: &mut &'static [u8]) -> Option<&'static str> {
    let (length, rest) = input.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    *input = rest;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(word: &str) -> String {
        match read(word) {
            Some(Reading { kana, guessed }) => format!("{kana}{}", if guessed { "?" } else { "" }),
            None => "-".to_owned(),
        }
    }

    #[test]
    fn words_of_the_list_their_plurals_and_compounds() {
        assert_eq!(said("JavaScript"), "ジャバスクリプト");
        assert_eq!(said("computers"), "コンピューターズ");
        assert_eq!(said("IT"), "-", "letters");
        assert_eq!(said("it"), "イット");
        assert_eq!(said("filepath"), "ファイルパス");
        assert_eq!(said("naïve"), "-");
    }

    #[test]
    fn other_words_are_guessed() {
        assert_eq!(said("tailscaler"), "テールスケーラー?");
        assert_eq!(said("zzzzqqq"), "-", "no chunk of letters fits");
    }

    #[test]
    fn the_list_is_katakana() {
        for (word, kana) in LIST.iter() {
            assert!(
                *kana == SPELLED || crate::kana::phonemes(kana, None).is_some(),
                "{word} {kana}"
            );
        }
    }
}
