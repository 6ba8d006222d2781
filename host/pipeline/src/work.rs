//! Work that blocks, on a thread where it may. It takes what it needs by value,
//! permits and places with it: they are free when it has really ended. Nobody
//! can stop such a thread, so long work asks now and then whether anybody
//! still wants it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::events;

/// Runs CPU work; a panic there costs one request.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|lost| Err(Error::Lost(lost.to_string())))
}

/// What long work asks: whether it is still wanted.
pub struct Wanted {
    gone: Arc<AtomicBool>,
    limit: Duration,
    until: Option<Instant>,
}

impl Wanted {
    /// An error ends the work: its caller has gone, or its time is over.
    pub fn check(&self) -> Result<(), Error> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(Error::Gone);
        }
        match self.until {
            Some(until) if Instant::now() > until => Err(Error::Deadline { limit: self.limit }),
            Some(_) | None => Ok(()),
        }
    }
}

/// Runs long CPU work that asks now and then. Whoever drops the future, or
/// lets its time run out, ends the work at its next question.
pub async fn wanted<T, E>(
    limit: Duration,
    work: impl FnOnce(&Wanted) -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let leaving = Leaving(Arc::default());
    let asked = Wanted {
        gone: Arc::clone(&leaving.0),
        limit,
        until: Instant::now().checked_add(limit),
    };
    let ended = tokio::task::spawn_blocking(move || work(&asked)).await;
    drop(leaving);
    ended.unwrap_or_else(|lost| Err(Error::Lost(lost.to_string()).into()))
}

/// Says so when it is dropped.
struct Leaving(Arc<AtomicBool>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs one stage under its name, and times it even if it is cut short.
pub(crate) async fn stage<T>(
    name: &'static str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let _timer = events::stage(name);
    work.await
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    /// Asks until it is told to stop, holding what it was given.
    fn endless(held: Arc<()>) -> impl FnOnce(&Wanted) -> Result<(), Error> + Send {
        move |wanted| {
            let _held = held;
            loop {
                wanted.check()?;
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    async fn freed(held: &Arc<()>) {
        while Arc::strong_count(held) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn work_that_nobody_wants_ends_and_gives_back_what_it_holds() {
        let held = Arc::new(());
        let work = wanted(LONG, endless(Arc::clone(&held)));
        let left = tokio::time::timeout(Duration::from_millis(20), work).await;
        assert!(left.is_err(), "it would go on for ever");
        freed(&held).await;
        let late = wanted(Duration::from_millis(20), endless(Arc::clone(&held))).await;
        assert!(matches!(late, Err(Error::Deadline { .. })));
        freed(&held).await;
    }
}
