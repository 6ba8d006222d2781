//! `POST /v1/g2p`: how a text would be said, sentence by sentence, with moras
//! and tones to edit and send back.

use hyper::StatusCode;
use pipeline::{Pronounced, Split, pronounce_sentences};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::answer::{self, Answer};
use crate::http::described::{Entering, Taking, Working};
use crate::http::fault::Fault;
use crate::http::route::Call;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = G2pRequest, examples(json!({"text": "今日はいい天気ですね。"})))]
struct Ask {
    #[schema(min_length = 1)]
    text: String,
    /// Its name; without one the default.
    pipeline: Option<String>,
    /// Without one, as the pipeline has it.
    split: Option<Split>,
}

/// How a text would be said, sentence by sentence.
///
/// What comes back can be edited and sent with a speech request as
/// `koemasu.moras`, or as `koemasu.phonemes` and `koemasu.tones`.
#[utoipa::path(post, path = "/v1/g2p", request_body = Ask, responses(
    (status = 200, description = "Sentences with their moras and tones", body = Said<'_>),
    Taking,
    Entering,
    Working,
    (status = 400, description = "The body is not as documented, or cannot be read"),
    (status = 404, description = "There is no such pipeline"),
))]
pub async fn g2p(mut call: Call) -> Result<Answer, Fault> {
    let _place = call.enter()?;
    let bytes = call.body();
    let ask: Ask = serde_json::from_slice(&bytes).map_err(|e| {
        let detail = format!("the body is not as documented: {e}");
        Fault::caller(StatusCode::BAD_REQUEST, detail)
    })?;
    let generation = call.app.pin()?;
    let said = pronounce_sentences(&generation, ask.pipeline.as_deref(), &ask.text, ask.split);
    let (sentences, warnings) = said.await?;
    Ok(answer::json(&Said {
        sentences: sentences.iter().map(Sentence::from).collect(),
        warnings: &warnings,
        generation: generation.number().get(),
    }))
}

#[derive(Serialize, ToSchema)]
#[schema(as = G2p)]
struct Said<'a> {
    sentences: Vec<Sentence<'a>>,
    /// What was not read in the text as a whole.
    warnings: &'a [String],
    generation: u64,
}

#[derive(Serialize, ToSchema)]
struct Sentence<'a> {
    /// As it was written, and where it begins, in characters.
    text: &'a str,
    start: usize,
    #[serde(flatten)]
    row: Row<'a>,
}

/// As `koemasu g2p` prints it.
#[derive(Serialize, ToSchema)]
#[schema(as = Reading)]
pub struct Row<'a> {
    /// The text after normalization.
    norm: &'a str,
    /// Kana and tone, 0 low and 1 high.
    moras: Vec<(&'a str, u8)>,
    phones: &'a [String],
    /// One for each phoneme.
    tones: &'a [u8],
    /// Phonemes of each character of `norm`, with both end marks.
    word2ph: &'a [usize],
    /// What was not read, and every guess.
    warnings: &'a [String],
}

impl<'a> From<&'a Pronounced> for Sentence<'a> {
    fn from(said: &'a Pronounced) -> Self {
        Self {
            text: &said.written,
            start: said.start,
            row: Row::from(said),
        }
    }
}

impl<'a> From<&'a Pronounced> for Row<'a> {
    fn from(said: &'a Pronounced) -> Self {
        let moras = said
            .moras
            .iter()
            .map(|mora| (mora.kana.as_str(), mora.tone));
        Self {
            norm: &said.text,
            moras: moras.collect(),
            phones: &said.phonemes,
            tones: &said.tones,
            word2ph: &said.phonemes_per_character,
            warnings: &said.warnings,
        }
    }
}

pub(crate) fn reads(body: &[u8]) -> bool {
    serde_json::from_slice::<Ask>(body).is_ok()
}
