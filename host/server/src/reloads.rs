//! Who asked for a reload, who waits for it, and how the last one ended.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use pipeline::Published;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

/// What asked for a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The process began.
    Start,
    /// A SIGHUP came.
    Signal,
    /// A file that is configured was changed, with `server.watch`.
    FileChange,
    /// Somebody asked over HTTP.
    Admin,
}

impl Cause {
    /// Logs and metrics call it so.
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
    /// When it ended, by the wall clock.
    pub at: SystemTime,
    /// Who asked first of those that it was for.
    pub cause: Cause,
    /// An error is in words, and the generation before serves on.
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

/// The receiving end, for whoever reloads.
pub struct Asks(mpsc::Receiver<Ask>);

pub(crate) struct Ask {
    pub(crate) cause: Cause,
    answer: Option<oneshot::Sender<Result<Published, String>>>,
}

impl Reloads {
    /// The second half is for the one task that reloads.
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
    pub(crate) fn remember(&self, watched: Option<&[PathBuf]>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.take().map(|seen| seen.watched);
        let watched = watched.map(<[_]>::to_vec).or(before);
        *seen = watched.map(|watched| Seen {
            stamp: stamp_of(&watched),
            watched,
        });
    }

    /// Waits until somebody asks.
    pub(crate) async fn asked(&self) {
        self.entry.notified().await;
    }

    pub(crate) fn ended(&self, cause: Cause, outcome: Result<Published, String>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(LastReload {
            at: SystemTime::now(),
            cause,
            outcome,
        });
    }

    /// None until the first one has ended, that of the start.
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

impl Asks {
    /// The next one, with all that wait beside it: at least one. None once
    /// nobody can ask any more.
    pub(crate) async fn next(&mut self) -> Option<Vec<Ask>> {
        let mut waiting = vec![self.0.recv().await?];
        while let Ok(another) = self.0.try_recv() {
            waiting.push(another);
        }
        Some(waiting)
    }
}

impl Ask {
    /// Whoever asked may have gone.
    pub(crate) fn answer(self, outcome: Result<Published, String>) {
        if let Some(answer) = self.answer {
            let _ = answer.send(outcome);
        }
    }
}
