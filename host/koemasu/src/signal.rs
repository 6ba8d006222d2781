//! What reaches the program from outside of HTTP: signals and file changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecursiveMode, Watcher};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::app::App;
use crate::events;
use crate::reload::Cause;

/// Editors write in several steps; a reload waits until files have been quiet
/// for this long.
const QUIET: Duration = Duration::from_millis(300);

/// SIGXFSZ, on every Linux that is not MIPS.
const XFSZ: i32 = 25;

/// Signals to this process, heard from [`listen`](Self::listen) on.
pub struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    /// A file that would pass `ulimit -f` is an error of that write, and no
    /// reason to end.
    _too_large: Option<Signal>,
}

impl Signals {
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _too_large: signal(SignalKind::from_raw(XFSZ)).ok(),
        })
    }

    /// Ends at SIGTERM or SIGINT.
    pub async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Ends at SIGTERM or SIGINT; SIGHUP asks for a reload.
    pub async fn until_stopped(mut self, app: Arc<App>) {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => app.reloads.ask(Cause::Signal),
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
            }
        }
    }
}

/// Asks for a reload whenever one of `paths` or something in it changes. Ends
/// with the server's task tracker.
pub async fn watch(app: Arc<App>, paths: Vec<PathBuf>) {
    let (sender, mut changes) = mpsc::channel::<()>(1);
    let watched = paths.clone();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading a file is an event too; only changes count.
        let relevant = event.is_ok_and(|event| {
            !matches!(event.kind, EventKind::Access(_)) && concerns(&event, &watched)
        });
        if relevant {
            // A full channel already says what this would.
            let _ = sender.try_send(());
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => return events::watch_failed(&error),
    };
    for path in &paths {
        // A file is watched through its folder: editors replace files.
        let (target, mode) = if path.is_dir() {
            (path.as_path(), RecursiveMode::Recursive)
        } else {
            let folder = path.parent().unwrap_or(Path::new("."));
            (folder, RecursiveMode::NonRecursive)
        };
        if let Err(error) = watcher.watch(target, mode) {
            events::watch_failed(&error);
        }
    }
    while changes.recv().await.is_some() {
        while tokio::time::timeout(QUIET, changes.recv()).await.is_ok() {}
        app.reloads.ask(Cause::FileChange);
    }
}

fn concerns(event: &notify::Event, watched: &[PathBuf]) -> bool {
    event
        .paths
        .iter()
        .any(|changed| watched.iter().any(|path| changed.starts_with(path)))
}
