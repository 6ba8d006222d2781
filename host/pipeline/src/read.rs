//! How a text would be said, and no sound: the first two stages alone.

use std::sync::Arc;

use speech::moras::{self, Given, GivenError, Mora};

use crate::error::Error;
use crate::generation::Generation;
use crate::plan::Sentence;
use crate::request::{Pauses, Split};
use crate::work::{blocking, stage};

/// How the words of a text would be said, and no sound.
#[derive(Clone, Debug)]
pub struct Pronounced {
    /// As the caller wrote it, and where it begins, in characters.
    pub written: String,
    /// Characters of the caller's text before it.
    pub start: usize,
    /// What is read: after normalization.
    pub text: String,
    /// As people see them, without the ends.
    pub moras: Vec<Mora>,
    /// Symbols of Style-Bert-VITS2, with `_` at both ends.
    pub phonemes: Vec<String>,
    /// 0 low, 1 high; one for each phoneme.
    pub tones: Vec<u8>,
    /// Phonemes of each character of the read text, with both end marks.
    pub phonemes_per_character: Vec<usize>,
    /// What was dropped, guessed or skipped in it, for the caller.
    pub warnings: Vec<String>,
}

/// The first two stages alone, unsplit: what `koemasu g2p` prints.
pub async fn pronounce(
    generation: &Arc<Generation>,
    pipeline: Option<&str>,
    text: &str,
) -> Result<Pronounced, Error> {
    let plan = generation.plan(pipeline)?;
    let normalized = stage("normalize", plan.normalize(plan.whole(text)?)).await?;
    let sentences = stage("g2p", plan.pronounce(normalized)).await?;
    match sentences.list.into_iter().next() {
        Some(sentence) => Ok(Pronounced::from(sentence)),
        None => Ok(Pronounced::nothing(sentences.warnings)),
    }
}

/// The same for each sentence, in order, and the warnings of what is none.
pub async fn pronounce_sentences(
    generation: &Arc<Generation>,
    pipeline: Option<&str>,
    text: &str,
    split: Option<Split>,
) -> Result<(Vec<Pronounced>, Vec<String>), Error> {
    let plan = generation.plan(pipeline)?;
    let normalized = stage(
        "normalize",
        plan.normalize(plan.split(text, split, Pauses::default())?),
    )
    .await?;
    let sentences = stage("g2p", plan.pronounce(normalized)).await?;
    let list = sentences.list.into_iter().map(Pronounced::from).collect();
    Ok((list, sentences.warnings))
}

/// Whether what is given can be spread over the characters of a text, read as a
/// whole. What else may be wrong with it is told when it is spoken.
pub async fn fits(
    generation: &Arc<Generation>,
    pipeline: Option<&str>,
    text: &str,
    given: &Given,
) -> Result<bool, Error> {
    let plan = generation.plan(pipeline)?;
    let normalized = stage("normalize", plan.normalize(plan.whole(text)?)).await?;
    let sentences = stage("g2p", plan.pronounce(normalized)).await?;
    let Some(sentence) = sentences.list.into_iter().next() else {
        return Ok(false);
    };
    let given = given.clone();
    blocking(move || {
        let said = moras::say(&sentence.utterance, &given);
        Ok(!matches!(said, Err(GivenError::Spread { .. })))
    })
    .await
}

impl From<Sentence> for Pronounced {
    fn from(sentence: Sentence) -> Self {
        Self {
            text: sentence.text.as_str().to_owned(),
            moras: moras::of(&sentence.utterance),
            phonemes: sentence.utterance.phonemes().map(str::to_owned).collect(),
            tones: sentence.utterance.tones().to_vec(),
            phonemes_per_character: sentence.utterance.phonemes_per_character().to_vec(),
            written: sentence.written,
            start: sentence.start,
            warnings: sentence.warnings,
        }
    }
}

impl Pronounced {
    /// A text of which nothing is left: the two end marks alone.
    fn nothing(warnings: Vec<String>) -> Self {
        let mark = || speech::phoneme::PADDING.to_owned();
        Self {
            written: String::new(),
            start: 0,
            moras: Vec::new(),
            text: String::new(),
            phonemes: vec![mark(), mark()],
            tones: vec![0, 0],
            phonemes_per_character: vec![1, 1],
            warnings,
        }
    }
}
