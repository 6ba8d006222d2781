//! How long a request may take, and what of that is left.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;

/// The time a request may take. Waiting for its reader does not count.
pub(crate) struct Clock {
    pub(crate) start: Instant,
    limit: Duration,
    paused: Mutex<Paused>,
}

#[derive(Default)]
struct Paused {
    since: Option<Instant>,
    /// Pauses that are over.
    over: Duration,
}

/// Stops the clock until it is dropped.
pub(crate) struct Pause<'c>(&'c Clock);

impl Clock {
    pub(crate) fn new(start: Instant, limit: Duration) -> Self {
        Self {
            start,
            limit,
            paused: Mutex::default(),
        }
    }

    /// Runs one part of a request within its time.
    pub(crate) async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            done = work => done,
            late = self.run_out() => Err(late),
        }
    }

    /// Waits until the time is over.
    pub(crate) async fn run_out(&self) -> Error {
        loop {
            let left = self.left();
            if left.is_zero() {
                return Error::Deadline { limit: self.limit };
            }
            // While the clock stands still, as little as this may be left.
            tokio::time::sleep(left.max(Duration::from_millis(50))).await;
        }
    }

    pub(crate) fn left(&self) -> Duration {
        let paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        let until = paused.since.unwrap_or_else(Instant::now);
        let used = until.duration_since(self.start).saturating_sub(paused.over);
        self.limit.saturating_sub(used)
    }

    pub(crate) fn pause(&self) -> Pause<'_> {
        let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        paused.since = Some(Instant::now());
        Pause(self)
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        let paused = &self.0.paused;
        let mut paused = paused.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = paused.since.take() {
            paused.over += since.elapsed();
        }
    }
}
