//! `POST /v1/g2p`: how a text would be said, sentence by sentence, with moras
//! and tones to edit and send back.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use pipeline::{Pronounced, Split, recite};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::body::body;
use crate::fault::Fault;
use crate::route::{self, Answer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    text: String,
    pipeline: Option<String>,
    split: Option<Split>,
}

pub async fn g2p(app: &Arc<App>, request: Request<Incoming>) -> Result<Answer, Fault> {
    let _place = app
        .admission
        .enter()
        .map_err(|full| Fault::later(format!("{} requests are already taken in", full.most), 1))?;
    let limits = &app.settings;
    let bytes = body(request, limits.body_max.0 as usize, limits.body_timeout.0).await?;
    let ask: Ask = serde_json::from_slice(&bytes).map_err(|e| {
        let detail = format!("the body is not as documented: {e}");
        Fault::caller(StatusCode::BAD_REQUEST, detail)
    })?;
    let generation = app.pin()?;
    let said = recite(&generation, ask.pipeline.as_deref(), &ask.text, ask.split);
    let (sentences, warnings) = said.await?;
    Ok(route::json(&json!({
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
