//! Work that others' files may hold up for ever, on threads that nobody has to
//! wait for: what takes too long is left behind and named, and the program can
//! end beside it.

use std::collections::HashMap;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::prepare::PrepareError;

/// What was left behind and has not ended yet, by what it is.
#[derive(Default)]
pub(crate) struct Apart(Mutex<HashMap<String, Weak<()>>>);

impl Apart {
    /// Waits `limit` at most. While the same thing of an earlier time has not
    /// ended, it is not begun again: each would hold another thread.
    pub(crate) fn within<T: Send + 'static>(
        &self,
        what: &str,
        limit: Duration,
        work: impl FnOnce() -> Result<T, PrepareError> + Send + 'static,
    ) -> Result<T, PrepareError> {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        left.retain(|_, running| running.strong_count() > 0);
        if left.contains_key(what) {
            return Err(PrepareError::Late {
                what: what.to_owned(),
                limit,
            });
        }
        drop(left);
        let running = Arc::new(());
        let token = Arc::downgrade(&running);
        let (sender, answer) = sync_channel(1);
        start(move || {
            // Whoever has gone takes nothing.
            let _ = sender.send(work());
            drop(running);
        })?;
        answer.recv_timeout(limit).unwrap_or_else(|missing| {
            let what = what.to_owned();
            match missing {
                RecvTimeoutError::Timeout => {
                    let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                    left.insert(what.clone(), token);
                    Err(PrepareError::Late { what, limit })
                }
                RecvTimeoutError::Disconnected => Err(PrepareError::Lost(what)),
            }
        })
    }
}

/// The same without a limit, for whoever can wait and can also go.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PrepareError> + Send + 'static,
) -> Result<T, PrepareError> {
    let (sender, answer) = oneshot::channel();
    start(move || drop(sender.send(work())))?;
    answer
        .await
        .unwrap_or_else(|_| Err(PrepareError::Lost("a thread ended".to_owned())))
}

/// Not one of the runtime's threads, which it waits for when it ends.
fn start(work: impl FnOnce() + Send + 'static) -> Result<(), PrepareError> {
    let runtime = tokio::runtime::Handle::try_current();
    std::thread::Builder::new()
        .name("prepare".to_owned())
        .spawn(move || {
            let _entered = runtime.as_ref().map(tokio::runtime::Handle::enter);
            work();
        })
        .map(drop)
        .map_err(|e| PrepareError::Lost(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_left_behind_once_and_tried_again_when_it_has_ended() {
        let apart = Apart::default();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let short = Duration::from_millis(20);
        let hang = move || {
            let _ = ended.recv();
            Ok(1)
        };
        let late = apart.within("voice", short, hang).expect_err("it hangs");
        assert!(matches!(late, PrepareError::Late { .. }), "{late}");
        let again = apart.within("voice", short, || Ok(2));
        again.expect_err("the first still hangs");
        let long = Duration::from_secs(60);
        assert_eq!(apart.within("other", long, || Ok(3)).expect("free"), 3);
        drop(end);
        for _ in 0..1_000 {
            if let Ok(4) = apart.within("voice", long, || Ok(4)) {
                return;
            }
            std::thread::sleep(short);
        }
        panic!("it is never tried again");
    }
}
