//! One reload. Startup is a reload from nothing, so there is one door.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use pipeline::{PrepareError, Published};
use tokio::sync::{mpsc, oneshot};

use crate::app::App;
use crate::config::{self, Config, ConfigError, Files};
use crate::events;

/// Reads, prepares, publishes. Until the last line the old generation serves
/// and nothing has changed.
pub async fn reload(app: &App, files: &Files) -> Result<Published, ReloadError> {
    let config = Config::load(files)?; // read, check; touches nothing
    // The ports stay those of the start, whatever the file says now.
    config::check_open(&app.settings, &app.dialects, &config.keys)?;
    app.tell_what_waits_for_a_start(&config);
    let access = app.next_access(&config);
    let next = app.live.prepare(config.service).await?; // compile, open, rehearse
    app.set_access(access); // cannot fail
    Ok(app.live.publish(next)) // cannot fail
}

#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Prepare(#[from] PrepareError),
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
        let last = Mutex::new(None);
        (Self { sender, last }, Asks(receiver))
    }

    /// Asks and does not wait. If so many wait already that this one finds no
    /// room, they will read the same files.
    pub fn ask(&self, cause: Cause) {
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
        let stopped = || "the server is stopping".to_owned();
        self.sender.send(ask).await.map_err(|_| stopped())?;
        outcome.await.map_err(|_| stopped())?
    }

    pub fn last(&self) -> Option<LastReload> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone()
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
