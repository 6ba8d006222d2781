//! Runs have ended or memory was given up: whoever found no room looks again.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

#[derive(Debug, Default)]
pub(crate) struct Departures {
    count: Mutex<u64>,
    told: Condvar,
    tasks: Notify,
}

impl Departures {
    pub(crate) fn tell(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.told.notify_all();
        self.tasks.notify_waiters();
    }

    /// Ask before looking, wait after it.
    pub(crate) fn next(&self) -> Notified<'_> {
        self.tasks.notified()
    }

    pub(crate) fn count(&self) -> u64 {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks until there are others than there were. False if none came in
    /// time.
    pub(crate) fn wait(&self, since: u64, until: Instant) -> bool {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        while *count == since {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let (held, _) = self
                .told
                .wait_timeout(count, left.min(LONGEST))
                .unwrap_or_else(PoisonError::into_inner);
            count = held;
        }
        true
    }
}

/// A time that every system's clock can wait for.
const LONGEST: Duration = Duration::from_secs(3600);
