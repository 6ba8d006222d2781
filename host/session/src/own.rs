//! Sessions of a voice's own, for one that cannot share a slot: opened when it
//! is wanted, each in a region of its own, and closed when it is evicted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::error::Error;
use crate::events;
use crate::library::Needs;
use crate::native::tensors::Region;
use crate::voice::VoiceSession;

/// What a session allocates beside its weights.
const OPENING: usize = 4 << 20;

pub(crate) struct Own {
    name: String,
    open: Box<Open>,
    /// One for each run at a time.
    places: Arc<Semaphore>,
    sessions: Mutex<Sessions>,
    returned: Notify,
    needs: Needs,
}

type Open = dyn Fn(Option<&Arc<Region>>) -> Result<VoiceSession, Error> + Send + Sync;

#[derive(Default)]
struct Sessions {
    idle: Vec<Kept>,
    /// With those on loan.
    living: usize,
    bytes: usize,
}

struct Kept {
    session: VoiceSession,
    bytes: usize,
}

/// A session on loan. Dropped without [`release`](Self::release) once a run has
/// begun, that did not end well, and nobody knows the state it is in: it is
/// closed.
pub(crate) struct Lease {
    kept: Option<Kept>,
    begun: bool,
    own: Arc<Own>,
    _permit: OwnedSemaphorePermit,
}

impl Own {
    /// `needs` is what opening one was found to need before, or 0.
    pub(crate) fn new(
        name: &str,
        lanes: usize,
        needs: usize,
        open: impl Fn(Option<&Arc<Region>>) -> Result<VoiceSession, Error> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            open: Box::new(open),
            places: Arc::new(Semaphore::new(lanes.max(1))),
            sessions: Mutex::default(),
            returned: Notify::new(),
            needs: Needs::new(needs, OPENING),
        })
    }

    /// Waits for the right to have a session.
    pub(crate) async fn place(&self, wait: Duration) -> Result<OwnedSemaphorePermit, Error> {
        let start = Instant::now();
        let permit = Arc::clone(&self.places).acquire_owned();
        let Ok(Ok(permit)) = tokio::time::timeout(wait, permit).await else {
            return Err(Error::Busy { waited: wait });
        };
        events::waited("voice", start.elapsed());
        Ok(permit)
    }

    pub(crate) fn open(&self, region: Option<&Arc<Region>>) -> Result<VoiceSession, Error> {
        (self.open)(region)
    }

    /// Puts a session into service, which holds so much.
    pub(crate) fn add(&self, session: VoiceSession, bytes: usize) {
        let mut sessions = self.lock();
        sessions.living += 1;
        sessions.bytes += bytes;
        sessions.idle.push(Kept { session, bytes });
        drop(sessions);
        self.returned.notify_waiters();
    }

    /// One that is idle; else gives the place back.
    pub(crate) fn lend(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Lease, OwnedSemaphorePermit> {
        let kept = self.lock().idle.pop();
        match kept {
            Some(kept) => Ok(Lease {
                kept: Some(kept),
                begun: false,
                own: Arc::clone(self),
                _permit: permit,
            }),
            None => Err(permit),
        }
    }

    /// One has come back, or there is one more.
    pub(crate) fn returned(&self) -> tokio::sync::futures::Notified<'_> {
        self.returned.notified()
    }

    pub(crate) fn living(&self) -> usize {
        self.lock().living
    }

    /// What all of them hold.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    pub(crate) fn needs(&self) -> &Needs {
        &self.needs
    }

    /// Closes those that are idle; says whether there were any.
    pub(crate) fn empty(&self) -> bool {
        let idle = std::mem::take(&mut self.lock().idle);
        let any = !idle.is_empty();
        for kept in idle {
            self.close(kept);
        }
        any
    }

    /// Outside of the lock: closing a session takes milliseconds. Counted until
    /// its bytes are free.
    fn close(&self, kept: Kept) {
        let Kept { session, bytes } = kept;
        drop(session);
        let mut sessions = self.lock();
        sessions.living -= 1;
        sessions.bytes -= bytes;
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    pub(crate) fn session(&mut self) -> &mut VoiceSession {
        self.begun = true;
        let kept = self.kept.as_mut();
        &mut kept
            .expect("a lease holds its session until it is released")
            .session
    }

    /// The run ended well: the next one may have the session.
    pub(crate) fn release(mut self) {
        self.begun = false;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(kept) = self.kept.take() else {
            return;
        };
        if self.begun {
            events::discarded("voice", &self.own.name);
            self.own.close(kept);
        } else {
            self.own.lock().idle.push(kept);
        }
        self.own.returned.notify_waiters();
    }
}
