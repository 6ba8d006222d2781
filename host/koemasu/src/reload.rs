//! One reload. Startup is a reload from nothing, so there is one door.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use pipeline::{PrepareError, Published};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use crate::app::App;
use crate::config::{self, Config, ConfigError, Files};
use crate::events;

/// Reads, prepares, publishes. Until the last line the old generation serves
/// and nothing has changed.
pub async fn reload(app: &Arc<App>, files: &Files) -> Result<Published, ReloadError> {
    let config = load(app, files).await?; // read, check; touches nothing
    app.reloads.remember(Some(&config.watched));
    // The ports stay those of the start, whatever the file says now.
    let document = &config.service.document;
    config::check_open(&app.settings, &app.dialects, &config.entry.keys, document)?;
    app.tell_what_waits_for_a_start(&config);
    let next = app.live.prepare(config.service).await?; // compile, open, rehearse
    Ok(app.live.publish(next)) // cannot fail
}

/// Off the threads that serve: a disk may take its time.
async fn load(app: &Arc<App>, files: &Files) -> Result<Config, ReloadError> {
    let (app, files) = (Arc::clone(app), files.clone());
    let read = crate::files::aside(move || {
        app.read_access(&files); // who may ask, whatever comes of the rest
        app.reloads.remember(None);
        let config = Config::load(&files)?;
        app.tell_dangers(&config);
        Ok::<_, ConfigError>(config)
    });
    let lost = |e: pipeline::Error| PrepareError::Lost(e.to_string());
    Ok(read.await.map_err(lost)??)
}

#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error("configuration: {0}")]
    Config(ConfigError),
    #[error(transparent)]
    Prepare(#[from] PrepareError),
}

/// By hand: what is told already is no source to be told again.
impl From<ConfigError> for ReloadError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// What asked for a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    Start,
    Signal,
    FileChange,
    Admin,
}

impl Cause {
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Signal => "signal",
            Self::FileChange => "file-change",
            Self::Admin => "admin",
        }
    }
}

/// How the last reload ended, for `/admin/generations`.
#[derive(Clone, Debug)]
pub struct LastReload {
    pub at: SystemTime,
    pub cause: Cause,
    pub outcome: Result<Published, String>,
}

/// The one channel to the one task that reloads.
pub struct Reloads {
    sender: mpsc::Sender<Ask>,
    last: Mutex<Option<LastReload>>,
    /// Told before each ask: who may ask is read at once, even while a reload
    /// is under way.
    entry: Notify,
    seen: Mutex<Option<Seen>>,
    /// One look at the files at a time.
    looks: Semaphore,
}

/// The files as the last reload found them.
struct Seen {
    watched: Vec<PathBuf>,
    stamp: u64,
}

/// The receiving end, for [`run`].
pub struct Asks(mpsc::Receiver<Ask>);

struct Ask {
    cause: Cause,
    answer: Option<oneshot::Sender<Result<Published, String>>>,
}

impl Reloads {
    pub fn new() -> (Self, Asks) {
        // Asks that wait are answered together, so few ever do.
        let (sender, receiver) = mpsc::channel(64);
        let reloads = Self {
            sender,
            last: Mutex::new(None),
            entry: Notify::new(),
            seen: Mutex::new(None),
            looks: Semaphore::new(1),
        };
        (reloads, Asks(receiver))
    }

    /// Asks and does not wait. If so many wait already that this one finds no
    /// room, they will read the same files.
    pub fn ask(&self, cause: Cause) {
        self.entry.notify_one();
        let _ = self.sender.try_send(Ask {
            cause,
            answer: None,
        });
    }

    /// Asks and waits for the outcome.
    pub async fn ask_and_wait(&self, cause: Cause) -> Result<Published, String> {
        let (answer, outcome) = oneshot::channel();
        let ask = Ask {
            cause,
            answer: Some(answer),
        };
        self.entry.notify_one();
        let stopped = || "the server is stopping".to_owned();
        self.sender.send(ask).await.map_err(|_| stopped())?;
        outcome.await.map_err(|_| stopped())?
    }

    /// Reloads if a file has changed since the last time. For those who ask
    /// out of habit, as clients do at every start: it costs a look at a folder,
    /// and they share one.
    pub async fn refresh(&self) {
        let Ok(_turn) = self.looks.acquire().await else {
            return;
        };
        let seen = {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.as_ref().map(|seen| (seen.watched.clone(), seen.stamp))
        };
        let unchanged = tokio::task::spawn_blocking(move || {
            seen.is_some_and(|(watched, stamp)| stamp_of(&watched) == stamp)
        });
        if !unchanged.await.unwrap_or(false) {
            // A refused one is the operator's to mend, who finds it in the log.
            let _ = self.ask_and_wait(Cause::Admin).await;
        }
    }

    /// Remembers how files look before they are read.
    fn remember(&self, watched: Option<&[PathBuf]>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.take().map(|seen| seen.watched);
        let watched = watched.map(<[_]>::to_vec).or(before);
        *seen = watched.map(|watched| Seen {
            stamp: stamp_of(&watched),
            watched,
        });
    }

    pub fn last(&self) -> Option<LastReload> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone()
    }
}

/// How files look from outside: names, sizes, times. Opens none of them.
fn stamp_of(watched: &[PathBuf]) -> u64 {
    let mut stamp = DefaultHasher::new();
    let mut left: Vec<(PathBuf, usize)> = watched.iter().map(|path| (path.clone(), 0)).collect();
    // A folder of a hundred thousand files is none of ours.
    let mut most = 100_000;
    while let Some((path, depth)) = left.pop() {
        path.hash(&mut stamp);
        let Ok(metadata) = std::fs::metadata(&path) else {
            continue;
        };
        (metadata.len(), metadata.ino(), metadata.mtime()).hash(&mut stamp);
        (
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
        )
            .hash(&mut stamp);
        if !metadata.is_dir() || depth == 4 {
            continue;
        }
        let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
        let mut entries: Vec<_> = entries.map(|entry| entry.path()).take(most).collect();
        most -= entries.len();
        entries.sort();
        left.extend(entries.into_iter().map(|path| (path, depth + 1)));
    }
    stamp.finish()
}

/// Reads who may ask whenever a reload is asked for, and waits for none.
pub async fn run_entry(app: Arc<App>, files: Files) {
    loop {
        app.reloads.entry.notified().await;
        let (app, files) = (Arc::clone(&app), files.clone());
        let _ = tokio::task::spawn_blocking(move || app.read_access(&files)).await;
    }
}

/// Takes asks one after the other until the server stops. Those that wait
/// together share one reload: the newest files win.
pub async fn run(app: Arc<App>, files: Files, mut asks: Asks) {
    while let Some(first) = asks.0.recv().await {
        let mut waiting = vec![first];
        while let Ok(another) = asks.0.try_recv() {
            waiting.push(another);
        }
        let cause = waiting[0].cause;
        let outcome = tell(cause, Box::pin(reload(&app, &files)).await);
        let mut last = app
            .reloads
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *last = Some(LastReload {
            at: SystemTime::now(),
            cause,
            outcome: outcome.clone(),
        });
        drop(last);
        for ask in waiting {
            if let Some(answer) = ask.answer {
                // Whoever asked may have gone.
                let _ = answer.send(outcome.clone());
            }
        }
    }
}

fn tell(cause: Cause, outcome: Result<Published, ReloadError>) -> Result<Published, String> {
    match outcome {
        Ok(published) => {
            events::reloaded(cause, &published);
            Ok(published)
        }
        Err(error) => {
            events::reload_failed(cause, &error);
            Err(error.to_string())
        }
    }
}
