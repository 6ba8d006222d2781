//! What reaches the program from outside of HTTP: signals and file changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use notify::{EventKind, RecursiveMode, Watcher};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::events;
use crate::platform;
use crate::reloads::Cause;

/// Editors write in several steps; a reload waits until files have been quiet
/// for this long.
const QUIET: Duration = Duration::from_millis(300);

/// Exit code of a stop that cut requests off: the drain limit passed.
pub const CUT_OFF: u8 = 3;

/// Beyond the drain, for what is done at an end.
const AFTER_DRAIN: Duration = Duration::from_secs(2);

/// SIGXFSZ, on every Linux that is not MIPS.
const XFSZ: i32 = 25;

/// A file that would pass `ulimit -f` is an error of that write from now on,
/// and no reason to end.
pub fn outlive_full_files() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    if let Ok(runtime) = runtime.enable_all().build() {
        let _entered = runtime.enter();
        // Its handler stays though nobody listens.
        let _ = signal(SignalKind::from_raw(XFSZ));
    }
}

/// Signals to this process, heard from [`listen`](Self::listen) on by a thread
/// that does nothing else: whatever blocks, the first signal to stop is obeyed
/// within the drain and the second at once.
pub struct Signals {
    stop: CancellationToken,
    hangups: mpsc::Receiver<()>,
    drain_ms: Arc<AtomicU64>,
}

impl Signals {
    /// From here on the process no longer dies of these signals by itself. An
    /// error is the system's.
    pub fn listen() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let heard = runtime.enter();
        let mut hangup = signal(SignalKind::hangup())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        drop(heard);
        let (sender, hangups) = mpsc::channel(1);
        let signals = Self {
            stop: CancellationToken::new(),
            hangups,
            drain_ms: Arc::default(),
        };
        let (stop, drain_ms) = (signals.stop.clone(), Arc::clone(&signals.drain_ms));
        let hear = async move {
            loop {
                tokio::select! {
                    // One that waits already says what this would.
                    _ = hangup.recv() => drop(sender.try_send(())),
                    _ = terminate.recv() => break,
                    _ = interrupt.recv() => break,
                }
            }
            stop.cancel();
            let drain = Duration::from_millis(drain_ms.load(Ordering::Relaxed));
            // By convention the number of the signal and 128.
            tokio::select! {
                _ = terminate.recv() => platform::end(128 + 15),
                _ = interrupt.recv() => platform::end(128 + 2),
                () = tokio::time::sleep(drain.saturating_add(AFTER_DRAIN)) => {
                    platform::end(CUT_OFF);
                }
            }
        };
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || runtime.block_on(hear))?;
        Ok(signals)
    }

    /// What an end may take from now on.
    pub fn allow(&self, drain: Duration) {
        let drain = u64::try_from(drain.as_millis()).unwrap_or(u64::MAX);
        self.drain_ms.store(drain, Ordering::Relaxed);
    }

    /// Ends at SIGTERM or SIGINT.
    pub async fn stop(&self) {
        self.stop.cancelled().await;
    }

    /// Ends at SIGTERM or SIGINT; SIGHUP asks for a reload.
    pub async fn until_stopped(&mut self, app: Arc<App>) {
        let reloads = async {
            while self.hangups.recv().await.is_some() {
                app.reloads.ask(Cause::Signal);
            }
        };
        self.stop.run_until_cancelled(reloads).await;
        self.stop.cancelled().await;
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

/// What is hidden in a folder is nobody's yet: a voice on its way gathers there.
fn concerns(event: &notify::Event, watched: &[PathBuf]) -> bool {
    let hidden = |rest: &Path| {
        let mut parts = rest.components();
        parts.any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."))
    };
    let of = |changed: &PathBuf, path: &PathBuf| {
        let rest = changed.strip_prefix(path);
        rest.is_ok_and(|rest| !hidden(rest))
    };
    let mut changes = event.paths.iter();
    changes.any(|changed| watched.iter().any(|path| of(changed, path)))
}
