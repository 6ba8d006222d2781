//! Lends sessions. Never decides which models exist; `residency` does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;
use crate::events;

type Make<S> = Box<dyn Fn() -> Result<S, Error> + Send + Sync>;

/// Up to `lanes` sessions of one model.
pub struct Pool<S> {
    kind: &'static str,
    name: String,
    idle: Mutex<Vec<S>>,
    permits: Arc<Semaphore>,
    make: Make<S>,
}

/// One session on loan for one run. It is lent by value, since a run needs it
/// alone, and moves into the closure that blocks.
///
/// [`release`](Self::release) gives it back. A lease that is dropped without
/// it ended in an error or a panic: what state its session is in nobody knows,
/// so it is discarded and the pool opens another one when it needs it.
pub struct Lease<S> {
    session: Option<S>,
    pool: Arc<Pool<S>>,
    _permit: OwnedSemaphorePermit,
}

impl<S: Send + 'static> Pool<S> {
    /// A pool of sessions that are made when needed.
    pub(crate) fn new(
        kind: &'static str,
        name: &str,
        lanes: usize,
        first: Option<S>,
        make: impl Fn() -> Result<S, Error> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            kind,
            name: name.to_owned(),
            idle: Mutex::new(first.into_iter().collect()),
            permits: Arc::new(Semaphore::new(lanes.max(1))),
            make: Box::new(make),
        })
    }

    /// Waits for a session, `wait` at most.
    pub async fn checkout(self: &Arc<Self>, wait: Duration) -> Result<Lease<S>, Error> {
        let start = Instant::now();
        let permit = Arc::clone(&self.permits).acquire_owned();
        let Ok(Ok(permit)) = tokio::time::timeout(wait, permit).await else {
            return Err(Error::Busy { waited: wait });
        };
        events::waited(self.kind, start.elapsed());
        let idle = self.lock().pop();
        let (session, permit) = match idle {
            Some(session) => (session, permit),
            None => {
                let pool = Arc::clone(self);
                // The permit goes along: when the caller gives up, the opening
                // goes on, and nobody else may open one beside it.
                let made = tokio::task::spawn_blocking(move || ((pool.make)(), permit)).await;
                let (made, permit) = made.map_err(|lost| Error::Open(lost.to_string()))?;
                (made?, permit)
            }
        };
        Ok(Lease {
            session: Some(session),
            pool: Arc::clone(self),
            _permit: permit,
        })
    }
}

impl<S> Pool<S> {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<S>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Lease<S> {
    pub(crate) fn session(&mut self) -> &mut S {
        self.session
            .as_mut()
            .expect("a lease holds its session until it is released")
    }

    /// The run ended well: the next one may have the session.
    pub fn release(mut self) {
        if let Some(session) = self.session.take() {
            self.pool.lock().push(session);
        }
    }
}

impl<S> Drop for Lease<S> {
    fn drop(&mut self) {
        if self.session.take().is_some() {
            events::discarded(self.pool.kind, &self.pool.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn counted() -> (Arc<Pool<usize>>, Arc<AtomicUsize>) {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&made);
        let make = move || Ok(counter.fetch_add(1, Ordering::Relaxed) + 1);
        (Pool::new("test", "test", 1, Some(0), make), made)
    }

    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_released_session_is_lent_again() {
        let (pool, made) = counted();
        pool.checkout(SHORT).await.expect("free").release();
        let mut lease = pool.checkout(SHORT).await.expect("free again");
        assert_eq!(*lease.session(), 0);
        lease.release();
        assert_eq!(made.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_dropped_lease_is_discarded_and_the_pool_recovers() {
        let (pool, made) = counted();
        drop(pool.checkout(SHORT).await.expect("free"));
        let mut lease = pool.checkout(SHORT).await.expect("another one");
        assert_eq!(*lease.session(), 1, "not the one that was dropped");
        lease.release();
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn waiting_has_an_end() {
        let (pool, _) = counted();
        let held = pool.checkout(SHORT).await.expect("free");
        let refused = pool.checkout(SHORT).await;
        assert!(matches!(refused, Err(Error::Busy { waited }) if waited == SHORT));
        held.release();
        pool.checkout(SHORT).await.expect("free again").release();
    }

    #[tokio::test]
    async fn a_caller_who_gives_up_does_not_free_the_lane_of_a_session_still_opening() {
        let most = Arc::new(AtomicUsize::new(0));
        let (opening, seen) = (AtomicUsize::new(0), Arc::clone(&most));
        let make = move || {
            seen.fetch_max(opening.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(10 * SHORT);
            opening.fetch_sub(1, Ordering::SeqCst);
            Ok(1)
        };
        let pool = Pool::new("test", "test", 1, Some(0), make);
        drop(pool.checkout(SHORT).await.expect("free"));
        for _ in 0..3 {
            let given_up = tokio::time::timeout(SHORT, pool.checkout(50 * SHORT)).await;
            assert!(given_up.is_err(), "opening takes longer");
        }
        pool.checkout(50 * SHORT)
            .await
            .expect("free in the end")
            .release();
        assert_eq!(most.load(Ordering::SeqCst), 1, "opened side by side");
    }
}
