//! One reload. Startup is a reload from nothing, so there is one door.

use std::sync::Arc;

use pipeline::{PrepareError, Published};

use crate::app::App;
use crate::config::{self, Config, ConfigError, Files};
use crate::events;
use crate::reloads::{Asks, Cause};

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

/// Why a reload came to nothing; the generation before it serves on. The
/// operator can act.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It could not be read.
    #[error("configuration: {0}")]
    Config(ConfigError),
    /// It was read, and what it names could not be made to serve.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
}

/// By hand: what is told already is no source to be told again.
impl From<ConfigError> for ReloadError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// Reads who may ask whenever a reload is asked for, and waits for none.
pub async fn run_entry(app: Arc<App>, files: Files) {
    loop {
        app.reloads.asked().await;
        let (app, files) = (Arc::clone(&app), files.clone());
        let _ = tokio::task::spawn_blocking(move || app.read_access(&files)).await;
    }
}

/// Takes asks one after the other until the server stops. Those that wait
/// together share one reload: the newest files win.
pub async fn run(app: Arc<App>, files: Files, mut asks: Asks) {
    while let Some(waiting) = asks.next().await {
        let cause = waiting[0].cause;
        let outcome = tell(cause, Box::pin(reload(&app, &files)).await);
        app.reloads.ended(cause, outcome.clone());
        for ask in waiting {
            ask.answer(outcome.clone());
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
