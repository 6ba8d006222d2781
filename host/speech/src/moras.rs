//! Moras with tones: how an utterance is shown to people, and how they give
//! one back.

use crate::kana;
use crate::phoneme::{self, MARKS, PADDING, SYMBOLS};
use crate::utterance::Utterance;

/// A kana or a mark, and whether it is high.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mora {
    /// One katakana mora, or one mark such as `,`.
    pub kana: String,
    /// 0 is low, 1 is high.
    pub tone: u8,
}

/// What cannot be said as it is given. The caller can act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GivenError {
    /// The text at this place, from 1, is not one mora.
    #[error("mora {place}, `{kana}`, is neither one katakana mora nor one of the marks {}", MARKS.join(" "))]
    Kana { place: usize, kana: String },
    /// The phoneme at this place, from 1, is in no voice's table.
    #[error(
        "phoneme {place}, `{symbol}`, is no symbol of the voices; one of Japanese is such as `a`, `ky`, `N`, `q` or a mark"
    )]
    Symbol { place: usize, symbol: String },
    /// The tone at this place, from 1, is neither low nor high.
    #[error("tone {place} is {tone}; it is 0 or 1")]
    Tone { place: usize, tone: u8 },
    /// Phonemes and tones belong together one by one.
    #[error("{phonemes} phonemes and {tones} tones are given; there is one tone for each")]
    Lengths { phonemes: usize, tones: usize },
    /// Tones alone have to fit the phonemes that the frontend finds.
    #[error(
        "{given} tones are given, the sentence has {expected} phonemes from `{first}` on, without its ends"
    )]
    ToneCount {
        /// Tones that were given.
        given: usize,
        /// Phonemes of the sentence, without those at its ends.
        expected: usize,
        /// The first of them, to find the place; empty if there is none.
        first: String,
    },
    /// BERT gives each character a row, and each row stands for 1 to 6
    /// phonemes.
    #[error(
        "{given} phonemes cannot be spread over the {characters} characters of the sentence, each with 1 to {PHONEMES_MAX}"
    )]
    Spread { given: usize, characters: usize },
}

/// What an utterance is given instead of the frontend's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// One tone for each of the sentence's own phonemes, without its ends.
    Tones(Vec<u8>),
    /// Everything, by symbols of Style-Bert-VITS2.
    Phonemes {
        /// Without those at the ends, which are added.
        phonemes: Vec<String>,
        /// One for each phoneme, 0 or 1.
        tones: Vec<u8>,
    },
    /// Everything, by kana.
    Moras(Vec<Mora>),
}

/// Most phonemes of one character, as Style-Bert-VITS2 has it.
const PHONEMES_MAX: usize = 6;

/// The moras of an utterance, without its ends.
pub fn of(utterance: &Utterance) -> Vec<Mora> {
    let phonemes: Vec<&str> = utterance.phonemes().collect();
    let tones = utterance.tones();
    let mut moras = Vec::new();
    let mut at = 0;
    while at < phonemes.len() {
        if phonemes[at] == PADDING {
            at += 1;
            continue;
        }
        let two = phonemes.get(at..at + 2).and_then(kana::of);
        let (kana, length) = match two.or_else(|| kana::of(&phonemes[at..=at])) {
            Some(kana) => (kana, if two.is_some() { 2 } else { 1 }),
            None => (phonemes[at], 1),
        };
        moras.push(Mora {
            kana: kana.to_owned(),
            tone: tones[at],
        });
        at += length;
    }
    moras
}

/// The phonemes of a reading in katakana; none if it is not one.
pub fn phonemes(reading: &str) -> Option<Vec<&'static str>> {
    kana::phonemes(reading, None)
}

/// The utterance with what is given. Mismatches in number are mended where
/// they can be; the rest is told with its place.
pub fn say(utterance: &Utterance, given: &Given) -> Result<Utterance, GivenError> {
    match given {
        Given::Tones(tones) => {
            let tones = check_tones(tones)?;
            let phonemes: Vec<_> = utterance.phonemes().collect();
            let inner = &phonemes[1..phonemes.len() - 1];
            if tones.len() != inner.len() {
                return Err(GivenError::ToneCount {
                    given: tones.len(),
                    expected: inner.len(),
                    first: inner.first().copied().unwrap_or_default().to_owned(),
                });
            }
            Ok(utterance.with(inner.to_vec(), tones, inner_counts(utterance).to_vec()))
        }
        Given::Phonemes { phonemes, tones } => {
            let symbols = phonemes.iter().enumerate().map(|(place, symbol)| {
                let known = SYMBOLS.iter().find(|known| *known == symbol);
                known
                    .copied()
                    .filter(|symbol| *symbol != PADDING)
                    .ok_or_else(|| GivenError::Symbol {
                        place: place + 1,
                        symbol: symbol.clone(),
                    })
            });
            let symbols = symbols.collect::<Result<Vec<_>, _>>()?;
            with_phonemes(utterance, symbols, check_tones(tones)?)
        }
        Given::Moras(moras) => {
            let (mut phonemes, mut tones) = (Vec::new(), Vec::new());
            for (place, mora) in moras.iter().enumerate() {
                let said = read(mora, phonemes.last().copied());
                let said = said.ok_or_else(|| GivenError::Kana {
                    place: place + 1,
                    kana: mora.kana.clone(),
                })?;
                if mora.tone > 1 {
                    return Err(GivenError::Tone {
                        place: place + 1,
                        tone: mora.tone,
                    });
                }
                tones.extend(said.iter().map(|_| mora.tone));
                phonemes.extend(said);
            }
            with_phonemes(utterance, phonemes, tones)
        }
    }
}

fn read(mora: &Mora, before: Option<&'static str>) -> Option<Vec<&'static str>> {
    if let Some(mark) = MARKS.iter().find(|mark| **mark == mora.kana) {
        return Some(vec![mark]);
    }
    let whole = kana::mora(&mora.kana)? == mora.kana.len();
    let phonemes = kana::phonemes(&mora.kana, before)?;
    (whole && !phonemes.iter().any(|phone| phoneme::is_mark(phone))).then_some(phonemes)
}

fn check_tones(tones: &[u8]) -> Result<Vec<u8>, GivenError> {
    match tones.iter().position(|tone| *tone > 1) {
        Some(place) => Err(GivenError::Tone {
            place: place + 1,
            tone: tones[place],
        }),
        None => Ok(tones.to_vec()),
    }
}

fn with_phonemes(
    utterance: &Utterance,
    phonemes: Vec<&'static str>,
    tones: Vec<u8>,
) -> Result<Utterance, GivenError> {
    if phonemes.len() != tones.len() {
        return Err(GivenError::Lengths {
            phonemes: phonemes.len(),
            tones: tones.len(),
        });
    }
    let own: Vec<_> = utterance.phonemes().collect();
    let own = &own[1..own.len() - 1];
    let counts = match phonemes.len() == own.len() {
        true => inner_counts(utterance).to_vec(),
        false => spread(own, inner_counts(utterance), &phonemes)?,
    };
    Ok(utterance.with(phonemes, tones, counts))
}

fn inner_counts(utterance: &Utterance) -> &[usize] {
    let counts = utterance.phonemes_per_character();
    &counts[1..counts.len() - 1]
}

/// Gives each phoneme to the character whose own phoneme it is or follows,
/// and then each character at least one and at most six.
fn spread(own: &[&str], counts: &[usize], given: &[&str]) -> Result<Vec<usize>, GivenError> {
    let characters = counts.len();
    let impossible = GivenError::Spread {
        given: given.len(),
        characters,
    };
    if characters == 0 || given.len() < characters || given.len() > characters * PHONEMES_MAX {
        return Err(impossible);
    }
    let character_of: Vec<usize> = counts
        .iter()
        .enumerate()
        .flat_map(|(character, count)| std::iter::repeat_n(character, *count))
        .collect();
    let mut spread = vec![0; characters];
    let mut current = 0;
    for matched in common(own, given) {
        if let Some(place) = matched {
            current = character_of.get(place).copied().unwrap_or(current);
        }
        spread[current] += 1;
    }
    balance(&mut spread);
    match spread
        .iter()
        .all(|count| (1..=PHONEMES_MAX).contains(count))
    {
        true => Ok(spread),
        false => Err(impossible),
    }
}

/// For each given phoneme, the place of its equal in a longest common
/// subsequence.
fn common(own: &[&str], given: &[&str]) -> Vec<Option<usize>> {
    let mut lengths = vec![vec![0_u16; given.len() + 1]; own.len() + 1];
    for i in (0..own.len()).rev() {
        for j in (0..given.len()).rev() {
            lengths[i][j] = match own[i] == given[j] {
                true => lengths[i + 1][j + 1].saturating_add(1),
                false => lengths[i + 1][j].max(lengths[i][j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut matched = vec![None; given.len()];
    while i < own.len() && j < given.len() {
        if own[i] == given[j] {
            matched[j] = Some(i);
            i += 1;
            j += 1;
        } else if lengths[i + 1][j] >= lengths[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    matched
}

/// Too many go to the right; whoever has none takes from the nearest who has
/// more than one.
fn balance(counts: &mut [usize]) {
    for at in 0..counts.len().saturating_sub(1) {
        let over = counts[at].saturating_sub(PHONEMES_MAX);
        counts[at] -= over;
        counts[at + 1] += over;
    }
    for at in (1..counts.len()).rev() {
        let over = counts[at].saturating_sub(PHONEMES_MAX);
        counts[at] -= over;
        counts[at - 1] += over;
    }
    for at in 0..counts.len() {
        if counts[at] > 0 {
            continue;
        }
        let rich = (0..counts.len())
            .filter(|other| counts[*other] > 1)
            .min_by_key(|other| other.abs_diff(at));
        if let Some(rich) = rich {
            counts[rich] -= 1;
            counts[at] += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phonemes_that_are_more_or_fewer_find_their_characters() {
        let own = ["h", "a", "sh", "i"];
        let spread = |given: &[&str]| spread(&own, &[2, 2], given);
        assert_eq!(spread(&["h", "a", "a", "sh", "i"]), Ok(vec![3, 2]));
        assert_eq!(spread(&["h", "a", "i"]), Ok(vec![2, 1]));
        assert_eq!(spread(&["k", "u"]), Ok(vec![1, 1]));
        assert!(spread(&["a"]).is_err());
        assert!(spread(&["a"; 13]).is_err());
    }
}
