//! The user dictionary of a pipeline over HTTP: list, add, change, remove,
//! import. The file is the truth; a change writes it and reloads, and is
//! taken back if the reload is refused.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use pipeline::{DictionaryFormat, Kind, Published, WrittenWord};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::app::App;
use crate::files;
use crate::http::answer::{self, Answer};
use crate::http::described::{Missing, Taking};
use crate::http::fault::Fault;
use crate::http::route::Call;
use crate::reloads::Cause;

/// One change at a time: each reads the file it writes.
static CHANGES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(1)));
/// And one import: it holds a body of megabytes and all its words, so that
/// nobody else's waits for its turn in memory.
static IMPORTS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(1)));

/// How long one change waits for those before it.
const TURN: Duration = Duration::from_secs(30);

/// The words of a pipeline's dictionary.
#[utoipa::path(get, path = "/admin/dictionary/{pipeline}",
    params(("pipeline" = String, Path, description = "Name of the pipeline")),
    responses(
        (status = 200, description = "As the file has them now", body = Listed),
        Missing,
    ),
)]
pub async fn list(call: Call) -> Result<Answer, Fault> {
    let file = file(&call.app, call.segment(0))?;
    let listed = move || {
        let words = open(&file)?;
        Ok(answer::json(&Listed { file, words }))
    };
    files::beside(listed).await
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
        (status = 422, description = "It is no word; nothing has changed"),
    ),
)]
pub async fn add(mut call: Call) -> Result<Answer, Fault> {
    let new = word(&call.body())?;
    edit(&call, move |words| add_word(words, new)).await
}

/// Another word of the same surface.
#[utoipa::path(put, path = "/admin/dictionary/{pipeline}",
    params(("pipeline" = String, Path, description = "Name of the pipeline")),
    request_body = WrittenWord,
    responses(
        (status = 200, description = "It is changed; a new generation knows it", body = Edited),
        Taking,
        Missing,
        (status = 422, description = "It is no word; nothing has changed"),
    ),
)]
pub async fn change(mut call: Call) -> Result<Answer, Fault> {
    let new = word(&call.body())?;
    edit(&call, move |words| change_word(words, new)).await
}

/// A word less.
#[utoipa::path(delete, path = "/admin/dictionary/{pipeline}",
    params(("pipeline" = String, Path, description = "Name of the pipeline")),
    request_body = Which,
    responses(
        (status = 200, description = "It is gone; a new generation knows it", body = Edited),
        Taking,
        Missing,
        (status = 422, description = "The body names no word"),
    ),
)]
pub async fn remove(mut call: Call) -> Result<Answer, Fault> {
    let body = call.body();
    edit(&call, move |words| remove_word(words, &body)).await
}

/// Many words at once; those of the same surface are replaced.
///
/// One import at a time; a second one is told to come back.
#[utoipa::path(post, path = "/admin/dictionary/{pipeline}/import",
    params(("pipeline" = String, Path, description = "Name of the pipeline")),
    request_body(content((String = "application/toml"), (String = "text/csv")), description = "A dictionary, as its file would have it"),
    responses(
        (status = 200, description = "They are there; a new generation knows it", body = Edited),
        Taking,
        Missing,
        (status = 422, description = "One is no word; nothing has changed"),
    ),
)]
pub async fn import(mut call: Call) -> Result<Answer, Fault> {
    let csv = is_csv(call.headers());
    let body = call.body();
    let import = Import::begin()?;
    let others = import.read(move || imported(&body, csv)).await?;
    edit(&call, move |words| {
        let _held = import;
        merge(words, others);
        Ok(())
    })
    .await
}

/// The one import that is under way. It holds its place until its words are
/// in, whether its caller waits or not.
pub(crate) struct Import(Arc<OwnedSemaphorePermit>);

impl Import {
    pub(crate) fn begin() -> Result<Self, Fault> {
        let place = Arc::clone(&IMPORTS).try_acquire_owned();
        let place = place.map_err(|_| Fault::later("another import is under way", 5))?;
        Ok(Self(Arc::new(place)))
    }

    /// Reads words beside the server's own threads.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let held = Arc::clone(&self.0);
        files::beside(move || {
            let read = read();
            drop(held);
            read
        })
        .await
    }
}

async fn edit(
    call: &Call,
    change: impl FnOnce(&mut Vec<WrittenWord>) -> Result<(), Fault> + Send + 'static,
) -> Result<Answer, Fault> {
    let (edited, ()) = edit_words(&call.app, call.segment(0), change).await?;
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

/// Changes the words of a pipeline: all of it, or nothing. Whoever hangs up
/// before the file is written ends it; after that it goes to its end without
/// them.
pub(crate) async fn edit_words<T: Send + 'static>(
    app: &Arc<App>,
    pipeline: &str,
    change: impl FnOnce(&mut Vec<WrittenWord>) -> Result<T, Fault> + Send + 'static,
) -> Result<(Edited, T), Fault> {
    let file = file(app, pipeline)?;
    let busy = |_| Fault::later("other changes of the dictionary are under way", 5);
    let stopping = |_| Fault::later("the server is stopping", 1);
    let turn = tokio::time::timeout(TURN, Arc::clone(&CHANGES).acquire_owned());
    let turn = turn.await.map_err(busy)?.map_err(stopping)?;
    let gone = CancellationToken::new();
    let _watched = gone.clone().drop_guard();
    let task = {
        let app = Arc::clone(app);
        async move {
            let _turn = turn;
            let edit = move || Draft::make(file, change, &gone);
            let (draft, changed) = files::beside(edit).await?;
            Ok((draft.save(&app).await?, changed))
        }
    };
    app.tasks
        .spawn(task)
        .await
        .map_err(|e| Fault::operator(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?
}

/// A changed dictionary that is not written yet.
struct Draft {
    file: PathBuf,
    /// None if there was no file.
    old: Option<Vec<u8>>,
    new: String,
    words: usize,
    before: usize,
}

impl Draft {
    /// Slow in proportion to the words.
    fn make<T>(
        file: PathBuf,
        change: impl FnOnce(&mut Vec<WrittenWord>) -> Result<T, Fault>,
        gone: &CancellationToken,
    ) -> Result<(Self, T), Fault> {
        let wanted = || match gone.is_cancelled() {
            true => Err(Fault::later("the caller has gone", 1)),
            false => Ok(()),
        };
        wanted()?;
        let mut words = open(&file)?;
        let before = words.len();
        wanted()?;
        let changed = change(&mut words)?;
        wanted()?;
        pipeline::check_words(&words).map_err(|e| wrong(e.to_string()))?;
        wanted()?;
        let old = session::files::read(&file, session::files::TEXT_MAX).ok();
        let text = old.as_deref().and_then(|old| std::str::from_utf8(old).ok());
        let new = DictionaryFormat::of(&file).write_over(text.unwrap_or_default(), &words);
        let new =
            new.map_err(|e| Fault::operator(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
        if new.len() > pipeline::DICTIONARY_BYTES_MAX {
            return Err(wrong(format!(
                "the dictionary would have {} bytes, the most is {}",
                new.len(),
                pipeline::DICTIONARY_BYTES_MAX
            )));
        }
        let draft = Self {
            old,
            file,
            new,
            words: words.len(),
            before,
        };
        wanted()?;
        Ok((draft, changed))
    }

    /// Writes the file and reloads; takes it back if the reload is refused.
    async fn save(self, app: &App) -> Result<Edited, Fault> {
        files::replace(&self.file, self.new.into_bytes()).await?;
        let reloaded = app.reloads.ask_and_wait(Cause::Admin).await;
        // Whatever else is left out is no fault of these words.
        let refused = |published: &Published| {
            let name = self.file.display().to_string();
            let mut left_out = published.left_out.iter();
            let wrong = left_out.find(|out| out.kind == Kind::Dictionary && out.name == name);
            wrong.map(|out| out.cause.clone())
        };
        let reloaded = reloaded.and_then(|published| match refused(&published) {
            Some(cause) => Err(cause),
            None => Ok(published),
        });
        match reloaded {
            Ok(published) => Ok(Edited {
                words: self.words,
                before: self.before,
                generation: published.generation.get(),
            }),
            Err(reason) => {
                match self.old {
                    Some(old) => files::replace(&self.file, old).await?,
                    // There was none before.
                    None => drop(tokio::fs::remove_file(&self.file).await),
                }
                let detail = format!("the reload was refused, nothing has changed: {reason}");
                // The words themselves were checked before they were written.
                Err(match app.is_stopping() {
                    true => Fault::later(detail, 1),
                    false => Fault::operator(StatusCode::CONFLICT, detail),
                })
            }
        }
    }
}

/// The words of a pipeline's dictionary, as its file has them now. What is
/// wrong with the file is no fault of who asks.
pub(crate) fn open(file: &Path) -> Result<Vec<WrittenWord>, Fault> {
    pipeline::open_words(file).map_err(|e| {
        let detail = format!("the dictionary cannot be read: {e}");
        Fault::operator(StatusCode::INTERNAL_SERVER_ERROR, detail)
    })
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

pub(crate) fn reads(body: &[u8]) -> bool {
    word(body).is_ok()
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
    let mut places = HashMap::with_capacity(words.len());
    for (place, word) in words.iter().enumerate() {
        places.entry(word.surface.clone()).or_insert(place);
    }
    for other in others {
        match places.get(&other.surface) {
            Some(place) => replace(&mut words[*place], other),
            None => {
                places.insert(other.surface.clone(), words.len());
                words.push(other);
            }
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
