//! A run that nobody wants any more ends: its deadline has passed, its caller
//! has gone, or it was only tried and goes on for too long.
//!
//! ONNX Runtime looks at the flag before every node, in the bodies of loops
//! too. What it is in the middle of, it finishes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use crate::error::Error;
use crate::native::run_options::SharedOptions;

/// Ends the runs it is given to, from any thread. Once told, for good.
#[derive(Clone, Default)]
pub struct Stop(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    told: bool,
    running: Vec<Arc<SharedOptions>>,
}

/// Tells when it is dropped: whoever waits for a run keeps this.
pub struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.now();
    }
}

impl Stop {
    /// Ends the runs that have this and have begun, and any that begins later.
    pub fn now(&self) {
        let mut state = self.lock();
        state.told = true;
        for options in &state.running {
            options.end_run();
        }
    }

    /// Whoever waits for the run keeps this; dropping it tells.
    pub fn on_drop(&self) -> StopOnDrop {
        StopOnDrop(self.clone())
    }

    /// Once true, it stays true.
    pub fn is_told(&self) -> bool {
        self.lock().told
    }

    /// Does the work, and tells once it has taken `limit`.
    pub(crate) fn within<T>(&self, limit: Duration, work: impl FnOnce() -> T) -> T {
        let (done, is_done) = mpsc::channel::<()>();
        std::thread::scope(|threads| {
            threads.spawn(move || {
                if is_done.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
                    self.now();
                }
            });
            let worked = work();
            drop(done);
            worked
        })
    }

    /// Says which run would have to end. An error if it need not begin.
    pub(crate) fn enter(&self, options: &Arc<SharedOptions>) -> Result<Stoppable<'_>, Error> {
        let mut state = self.lock();
        if state.told {
            return Err(Error::Cancelled);
        }
        state.running.push(Arc::clone(options));
        Ok(Stoppable {
            stop: self,
            options: Arc::clone(options),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run under way.
pub(crate) struct Stoppable<'s> {
    stop: &'s Stop,
    options: Arc<SharedOptions>,
}

impl Stoppable<'_> {
    /// Whether the run was told to end.
    pub(crate) fn leave(self) -> bool {
        self.stop.is_told()
    }
}

impl Drop for Stoppable<'_> {
    fn drop(&mut self) {
        let mut state = self.stop.lock();
        state.running.retain(|it| !Arc::ptr_eq(it, &self.options));
    }
}
