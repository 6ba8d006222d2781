//! The user dictionary of a pipeline over HTTP: list, add, change, remove,
//! import. The file is the truth; a change writes it and reloads, and is
//! taken back if the reload is refused.

use std::path::{Path, PathBuf};

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use pipeline::{DictionaryFormat, WrittenWord};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use crate::answer::{self, Answer};
use crate::app::App;
use crate::fault::Fault;
use crate::openapi::{Missing, Taking};
use crate::reload::Cause;
use crate::route::Call;

/// One change at a time: each reads the file it writes.
static CHANGES: Semaphore = Semaphore::const_new(1);

/// The words of a pipeline's dictionary.
#[utoipa::path(get, path = "/admin/dictionary/{pipeline}",
    params(("pipeline" = String, Path, description = "Name of the pipeline")),
    responses(
        (status = 200, description = "As the file has them now", body = Listed),
        Missing,
        (status = 422, description = "The file is no dictionary"),
    ),
)]
pub async fn list(call: Call) -> Result<Answer, Fault> {
    let file = file(&call.app, call.segment(0))?;
    let words = open(&file)?;
    Ok(answer::json(&Listed { file, words }))
}

#[derive(Serialize, ToSchema)]
#[schema(as = Dictionary)]
struct Listed {
    #[schema(value_type = String)]
    file: PathBuf,
    words: Vec<WrittenWord>,
}

/// One more word.
#[utoipa::path(post, path = "/admin/dictionary/{pipeline}",
    params(("pipeline" = String, Path, description = "Name of the pipeline")),
    request_body = WrittenWord,
    responses(
        (status = 200, description = "It is there; a new generation knows it", body = Edited),
        Taking,
        Missing,
        (status = 422, description = "It is no word, or the reload was refused; nothing has changed"),
    ),
)]
pub async fn add(mut call: Call) -> Result<Answer, Fault> {
    let new = word(&call.body())?;
    edit(&call, |words| add_word(words, new)).await
}

/// Another word of the same surface.
#[utoipa::path(put, path = "/admin/dictionary/{pipeline}",
    params(("pipeline" = String, Path, description = "Name of the pipeline")),
    request_body = WrittenWord,
    responses(
        (status = 200, description = "It is changed; a new generation knows it", body = Edited),
        Taking,
        Missing,
        (status = 422, description = "It is no word, or the reload was refused; nothing has changed"),
    ),
)]
pub async fn change(mut call: Call) -> Result<Answer, Fault> {
    let new = word(&call.body())?;
    edit(&call, |words| change_word(words, new)).await
}

/// A word less.
#[utoipa::path(delete, path = "/admin/dictionary/{pipeline}",
    params(("pipeline" = String, Path, description = "Name of the pipeline")),
    request_body = Which,
    responses(
        (status = 200, description = "It is gone; a new generation knows it", body = Edited),
        Taking,
        Missing,
        (status = 422, description = "The body names no word, or the reload was refused; nothing has changed"),
    ),
)]
pub async fn remove(mut call: Call) -> Result<Answer, Fault> {
    let body = call.body();
    edit(&call, |words| remove_word(words, &body)).await
}

/// Many words at once; those of the same surface are replaced.
#[utoipa::path(post, path = "/admin/dictionary/{pipeline}/import",
    params(("pipeline" = String, Path, description = "Name of the pipeline")),
    request_body(content((String = "application/toml"), (String = "text/csv")), description = "A dictionary, as its file would have it"),
    responses(
        (status = 200, description = "They are there; a new generation knows it", body = Edited),
        Taking,
        Missing,
        (status = 422, description = "One is no word, or the reload was refused; nothing has changed"),
    ),
)]
pub async fn import(mut call: Call) -> Result<Answer, Fault> {
    let csv = is_csv(call.headers());
    let others = imported(&call.body(), csv)?;
    let merge = |words: &mut Vec<WrittenWord>| {
        merge(words, others);
        Ok(())
    };
    edit(&call, merge).await
}

async fn edit(
    call: &Call,
    change: impl FnOnce(&mut Vec<WrittenWord>) -> Result<(), Fault>,
) -> Result<Answer, Fault> {
    let edited = edit_words(&call.app, call.segment(0), change).await?;
    Ok(answer::json(&edited))
}

/// What an edit has done.
#[derive(Serialize, ToSchema)]
pub(crate) struct Edited {
    /// How many there are.
    pub(crate) words: usize,
    pub(crate) before: usize,
    /// That knows the words.
    pub(crate) generation: u64,
}

/// Changes the words of a pipeline: all of it, or nothing.
pub(crate) async fn edit_words(
    app: &App,
    pipeline: &str,
    change: impl FnOnce(&mut Vec<WrittenWord>) -> Result<(), Fault>,
) -> Result<Edited, Fault> {
    let file = file(app, pipeline)?;
    let stopping = |_| Fault::later("the server is stopping", 1);
    let _turn = CHANGES.acquire().await.map_err(stopping)?;
    let mut words = open(&file)?;
    let before = words.len();
    change(&mut words)?;
    pipeline::check_words(&words).map_err(|e| wrong(e.to_string()))?;
    Ok(Edited {
        words: words.len(),
        before,
        generation: save(app, &file, &words).await?,
    })
}

/// The words of a pipeline's dictionary, as its file has them now.
pub(crate) fn open(file: &Path) -> Result<Vec<WrittenWord>, Fault> {
    pipeline::open_words(file).map_err(|e| wrong(e.to_string()))
}

/// The file of the pipeline that serves.
pub(crate) fn file(app: &App, name: &str) -> Result<PathBuf, Fault> {
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

fn is_csv(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE);
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
    if text.trim().is_empty() {
        return Err(wrong(
            "the body is empty; there is no word in it".to_owned(),
        ));
    }
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
            Some(word) => replace(word, other),
            None => words.push(other),
        }
    }
}

/// The id that clients know it by stays, unless there is another.
fn replace(word: &mut WrittenWord, new: WrittenWord) {
    let id = word.id.take();
    *word = new;
    word.id = word.id.take().or(id);
}

fn add_word(words: &mut Vec<WrittenWord>, new: WrittenWord) -> Result<(), Fault> {
    if words.iter().any(|word| word.surface == new.surface) {
        return Err(Fault::caller(
            StatusCode::CONFLICT,
            format!("there is a word `{}`; PUT changes it", new.surface),
        ));
    }
    words.push(new);
    Ok(())
}

fn change_word(words: &mut [WrittenWord], new: WrittenWord) -> Result<(), Fault> {
    let known = words.iter_mut().find(|word| word.surface == new.surface);
    match known {
        Some(word) => {
            replace(word, new);
            Ok(())
        }
        None => Err(missing(&new.surface)),
    }
}

fn remove_word(words: &mut Vec<WrittenWord>, bytes: &[u8]) -> Result<(), Fault> {
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

/// The word that goes.
#[derive(Deserialize, ToSchema)]
#[schema(as = Surface, examples(json!({"surface": "C#"})))]
struct Which {
    surface: String,
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
pub(crate) async fn write(file: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let failed = |e: std::io::Error| {
        Fault::caller(
            StatusCode::CONFLICT,
            format!("{} cannot be written: {e}", file.display()),
        )
    };
    if let Some(folder) = file.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(failed)?;
    }
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = file.with_file_name(name);
    tokio::fs::write(&part, bytes).await.map_err(failed)?;
    tokio::fs::rename(&part, file).await.map_err(failed)
}
