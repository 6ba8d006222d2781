//! `POST /v1/g2p`: how a text would be said, sentence by sentence, with moras
//! and tones to edit and send back.

use hyper::StatusCode;
use pipeline::{Pronounced, Split, recite};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{self, Answer};
use crate::fault::Fault;
use crate::route::Call;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    text: String,
    pipeline: Option<String>,
    split: Option<Split>,
}

pub async fn g2p(mut call: Call) -> Result<Answer, Fault> {
    let _place = call.enter()?;
    let bytes = call.body().await?;
    let ask: Ask = serde_json::from_slice(&bytes).map_err(|e| {
        let detail = format!("the body is not as documented: {e}");
        Fault::caller(StatusCode::BAD_REQUEST, detail)
    })?;
    let generation = call.app.pin()?;
    let said = recite(&generation, ask.pipeline.as_deref(), &ask.text, ask.split);
    let (sentences, warnings) = said.await?;
    Ok(answer::json(&json!({
        "sentences": sentences.iter().map(sentence).collect::<Vec<_>>(),
        "warnings": warnings,
        "generation": generation.number(),
    })))
}

fn sentence(said: &Pronounced) -> Value {
    let mut row = row(said);
    row["text"] = json!(said.written);
    row["start"] = json!(said.start);
    row
}

/// As `koemasu g2p` prints it.
pub(crate) fn row(said: &Pronounced) -> Value {
    let moras = said.moras.iter().map(|mora| json!([mora.kana, mora.tone]));
    json!({
        "norm": said.text,
        "moras": moras.collect::<Vec<_>>(),
        "phones": said.phonemes,
        "tones": said.tones,
        "word2ph": said.phonemes_per_character,
        "warnings": said.warnings,
    })
}
