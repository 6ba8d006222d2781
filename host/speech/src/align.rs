//! From an utterance to the rows of a synthesis graph: ids with blanks, and
//! features for each of them.

use crate::utterance::Utterance;

/// Which symbols a graph knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Voices of JP-Extra, which are Japanese alone and tell `N` from `n`.
    JpExtra,
    /// Voices of the first models, which speak Japanese, Chinese and English.
    Multilingual,
}

/// Rows of one length: a blank, a phoneme, a blank, …, a blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Places in the table of symbols of Style-Bert-VITS2.
    pub ids: Vec<i64>,
    /// 6 low, 7 high, as Japanese has them in the table of all languages.
    pub tones: Vec<i64>,
    /// 1 is Japanese.
    pub languages: Vec<i64>,
}

/// BERT's answer: one row for each character and both marks.
#[derive(Clone, Copy, Debug)]
pub struct Features<'a> {
    /// `rows × width`, row by row.
    pub data: &'a [f32],
    /// Characters of the text, and both marks.
    pub rows: usize,
    /// Numbers in a row.
    pub width: usize,
}

/// Tones of three languages share one table; Japanese begins here.
const FIRST_TONE: i64 = 6;
const JAPANESE: i64 = 1;

/// Phonemes at the odd places, blanks (0 in every row) around them.
pub fn tokens(utterance: &Utterance, family: Family) -> Tokens {
    let ids = utterance.ids().map(|id| match family {
        Family::JpExtra => id,
        // Only JP-Extra voices tell the two apart.
        Family::Multilingual if Some(id) == crate::phoneme::id("N") => {
            crate::phoneme::id("n").unwrap_or(id)
        }
        Family::Multilingual => id,
    });
    let tones = utterance
        .tones()
        .iter()
        .map(|tone| i64::from(*tone) + FIRST_TONE);
    let languages = utterance.tones().iter().map(|_| JAPANESE);
    Tokens {
        ids: with_blanks(ids),
        tones: with_blanks(tones),
        languages: with_blanks(languages),
    }
}

fn with_blanks(values: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut row = vec![0];
    row.extend(values.flat_map(|value| [value, 0]));
    row
}

/// A character's row for each of its tokens, as columns: `[width, padded]`,
/// zero from the last token on.
///
/// Each phoneme brings the blank after it, and the first character the blank
/// at the start. Rows beyond the utterance's characters are ignored.
pub fn expand(features: &Features<'_>, utterance: &Utterance, padded: usize) -> Vec<f32> {
    let mut columns = vec![0.0; features.width * padded];
    let mut token = 0;
    let counts = utterance.phonemes_per_character();
    let rows = features.data.chunks_exact(features.width.max(1));
    for (index, (row, count)) in rows.take(features.rows).zip(counts).enumerate() {
        let tokens = count * 2 + usize::from(index == 0);
        let end = (token + tokens).min(padded);
        for (channel, value) in row.iter().enumerate() {
            columns[channel * padded..][token.min(end)..end].fill(*value);
        }
        token = end;
    }
    columns
}
