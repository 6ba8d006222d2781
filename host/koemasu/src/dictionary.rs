//! The user dictionary of a pipeline over HTTP: list, add, change, remove,
//! import. The file is the truth; a change writes it and reloads, and is
//! taken back if the reload is refused.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, StatusCode};
use pipeline::{DictionaryFormat, WrittenWord};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::admin::authorize;
use crate::app::App;
use crate::body::body;
use crate::fault::Fault;
use crate::reload::Cause;
use crate::route::{self, Answer};

pub const PATH: &str = "/admin/dictionary/";

/// One change at a time: each reads the file it writes.
static CHANGES: Semaphore = Semaphore::const_new(1);

/// `/admin/dictionary/PIPELINE` and `/admin/dictionary/PIPELINE/import`.
pub async fn answer(
    app: &Arc<App>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Answer, Fault> {
    authorize(app, peer, &request)?;
    let path = request.uri().path().to_owned();
    let name = path.strip_prefix(PATH).unwrap_or_default();
    let (name, import) = match name.strip_suffix("/import") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let file = file(app, name)?;
    let open = || pipeline::open_words(&file).map_err(|e| wrong(e.to_string()));
    if request.method() == Method::GET {
        return Ok(route::json(&json!({ "file": file, "words": open()? })));
    }
    let (method, csv) = (request.method().clone(), is_csv(&request));
    let limits = &app.settings;
    let bytes = body(request, limits.body_max.0 as usize, limits.body_timeout.0).await?;
    let stopping = |_| Fault::later("the server is stopping", 1);
    let _turn = CHANGES.acquire().await.map_err(stopping)?;
    let mut words = open()?;
    let before = words.len();
    match (method, import) {
        (Method::POST, true) => merge(&mut words, imported(&bytes, csv)?),
        (Method::POST, false) => add(&mut words, word(&bytes)?)?,
        (Method::PUT, false) => change(&mut words, word(&bytes)?)?,
        (Method::DELETE, false) => remove(&mut words, &bytes)?,
        (method, _) => {
            return Err(Fault::caller(
                StatusCode::METHOD_NOT_ALLOWED,
                format!("{path} takes GET, POST, PUT and DELETE, its import POST, not {method}"),
            ));
        }
    }
    pipeline::check_words(&words).map_err(|e| wrong(e.to_string()))?;
    let published = save(app, &file, &words).await?;
    Ok(route::json(&json!({
        "words": words.len(),
        "before": before,
        "generation": published,
    })))
}

/// The file of the pipeline that serves.
fn file(app: &App, name: &str) -> Result<PathBuf, Fault> {
    let generation = app.pin()?;
    let plan = generation.plan(Some(name))?;
    plan.dictionary().map(Path::to_owned).ok_or_else(|| {
        Fault::caller(
            StatusCode::CONFLICT,
            format!(
                "pipeline `{name}` has no dictionary; give it one by `[dictionary] file = \"…\"` in its TOML"
            ),
        )
    })
}

fn is_csv(request: &Request<Incoming>) -> bool {
    let value = request.headers().get(CONTENT_TYPE);
    value.is_some_and(|value| value.as_bytes().starts_with(b"text/csv"))
}

fn word(bytes: &[u8]) -> Result<WrittenWord, Fault> {
    serde_json::from_slice(bytes)
        .map_err(|e| wrong(format!("the body is no word: {e}; such as {{\"surface\": \"C#\", \"reading\": \"シーシャープ\", \"accent\": 4}}")))
}

fn imported(bytes: &[u8], csv: bool) -> Result<Vec<WrittenWord>, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|_| {
        wrong("the body is no UTF-8; it is TOML, or CSV with `Content-Type: text/csv`".to_owned())
    })?;
    let format = match csv {
        true => DictionaryFormat::Csv,
        false => DictionaryFormat::Toml,
    };
    format.read(text).map_err(|e| wrong(e.to_string()))
}

/// Words of the same surface are replaced.
fn merge(words: &mut Vec<WrittenWord>, others: Vec<WrittenWord>) {
    for other in others {
        match words.iter_mut().find(|word| word.surface == other.surface) {
            Some(word) => *word = other,
            None => words.push(other),
        }
    }
}

fn add(words: &mut Vec<WrittenWord>, new: WrittenWord) -> Result<(), Fault> {
    if words.iter().any(|word| word.surface == new.surface) {
        return Err(Fault::caller(
            StatusCode::CONFLICT,
            format!("there is a word `{}`; PUT changes it", new.surface),
        ));
    }
    words.push(new);
    Ok(())
}

fn change(words: &mut [WrittenWord], new: WrittenWord) -> Result<(), Fault> {
    let known = words.iter_mut().find(|word| word.surface == new.surface);
    match known {
        Some(word) => {
            *word = new;
            Ok(())
        }
        None => Err(missing(&new.surface)),
    }
}

fn remove(words: &mut Vec<WrittenWord>, bytes: &[u8]) -> Result<(), Fault> {
    #[derive(Deserialize)]
    struct Which {
        surface: String,
    }
    let which: Which = serde_json::from_slice(bytes).map_err(|e| {
        wrong(format!(
            "the body names no word: {e}; such as {{\"surface\": \"C#\"}}"
        ))
    })?;
    let before = words.len();
    words.retain(|word| word.surface != which.surface);
    match words.len() == before {
        true => Err(missing(&which.surface)),
        false => Ok(()),
    }
}

fn missing(surface: &str) -> Fault {
    Fault::caller(
        StatusCode::NOT_FOUND,
        format!("there is no word `{surface}`"),
    )
}

fn wrong(cause: String) -> Fault {
    Fault::caller(StatusCode::UNPROCESSABLE_ENTITY, cause)
}

/// Writes the file and reloads; gives the generation that knows the words.
async fn save(app: &App, file: &Path, words: &[WrittenWord]) -> Result<u64, Fault> {
    let text = DictionaryFormat::of(file).write(words);
    let text = text.map_err(|e| wrong(e.to_string()))?;
    let old = tokio::fs::read(file).await.ok();
    write(file, text.as_bytes()).await?;
    match app.reloads.ask_and_wait(Cause::Admin).await {
        Ok(published) => Ok(published.generation.get()),
        Err(reason) => {
            match old {
                Some(old) => write(file, &old).await?,
                // There was none before.
                None => drop(tokio::fs::remove_file(file).await),
            }
            Err(wrong(format!(
                "the reload was refused, nothing has changed: {reason}"
            )))
        }
    }
}

/// The whole file or none: written beside its place, then moved there.
async fn write(file: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let failed = |e: std::io::Error| {
        Fault::caller(
            StatusCode::CONFLICT,
            format!("{} cannot be written: {e}", file.display()),
        )
    };
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = file.with_file_name(name);
    tokio::fs::write(&part, bytes).await.map_err(failed)?;
    tokio::fs::rename(&part, file).await.map_err(failed)
}
