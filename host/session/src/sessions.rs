//! Sessions of one model, each in a region of its own: opened when they are
//! wanted, lent for one run at a time, closed when their room is. Never decides
//! which models exist; `residency` does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::error::Error;
use crate::events;
use crate::library::{Departures, Effort, Fixed, Library, Needs};
use crate::native::tensors::Region;
use memory::stretch::Sink;

/// Up to `lanes` sessions of one model.
pub(crate) struct Sessions<S> {
    kind: &'static str,
    name: String,
    needs: Needs,
    open: Box<Open<S>>,
    /// One for each run at a time.
    places: Arc<Semaphore>,
    held: Mutex<Held<S>>,
    returned: Notify,
    departures: Arc<Departures>,
}

type Open<S> = dyn Fn(&Needs, Effort) -> Result<Opened<S>, Error> + Send + Sync;

struct Held<S> {
    idle: Vec<Opened<S>>,
    /// With those on loan.
    living: usize,
    bytes: usize,
}

/// A session with what it holds.
pub(crate) struct Opened<S> {
    // Before the region: it allocates from there.
    pub(crate) session: S,
    /// None where there is no slab.
    pub(crate) region: Option<Arc<Region>>,
    pub(crate) bytes: usize,
}

/// One session on loan for one run. It is lent by value, since a run needs it
/// alone, and moves into the closure that blocks.
///
/// [`release`](Self::release) gives it back. A lease that is dropped without it
/// once a run has begun ended in an error or a panic: what state its session is
/// in nobody knows, so it is closed, and another one opened when it is needed.
pub(crate) struct Lease<S> {
    opened: Option<Opened<S>>,
    begun: bool,
    of: Arc<Sessions<S>>,
    _permit: OwnedSemaphorePermit,
}

impl<S: Send + 'static> Sessions<S> {
    /// `open` sees to the room as well, with so much effort, and learns what
    /// it needs. Who departs is waited for where there is none.
    pub(crate) fn new(
        kind: &'static str,
        name: &str,
        lanes: usize,
        needs: Needs,
        departures: &Arc<Departures>,
        open: impl Fn(&Needs, Effort) -> Result<Opened<S>, Error> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            kind,
            name: name.to_owned(),
            needs,
            open: Box::new(open),
            places: Arc::new(Semaphore::new(lanes.max(1))),
            held: Mutex::new(Held {
                idle: Vec::new(),
                living: 0,
                bytes: 0,
            }),
            returned: Notify::new(),
            departures: Arc::clone(departures),
        })
    }

    /// One that is idle; else a new one once there is room for it, `wait` at
    /// most. For the first others are evicted, and runs that stand in the way
    /// are waited for; more of them take what is free.
    pub(crate) async fn checkout(self: &Arc<Self>, wait: Duration) -> Result<Lease<S>, Error> {
        let start = Instant::now();
        let until = tokio::time::Instant::now() + wait;
        let permit = Arc::clone(&self.places).acquire_owned();
        let Ok(Ok(mut permit)) = tokio::time::timeout(wait, permit).await else {
            return Err(Error::Busy { waited: wait });
        };
        events::waited(self.kind, start.elapsed());
        loop {
            // Before the look, so that nothing is missed after it.
            let (departed, returned) = (self.departures.next(), self.returned.notified());
            tokio::pin!(departed, returned);
            departed.as_mut().enable();
            returned.as_mut().enable();
            permit = match self.lend(permit) {
                Ok(lease) => return Ok(lease),
                Err(permit) => permit,
            };
            let sessions = Arc::clone(self);
            // The permit goes along: when the caller gives up, the opening goes
            // on, and nobody else may open one beside it.
            let open = move || (sessions.open_one(), permit);
            let opened = tokio::task::spawn_blocking(open).await;
            let (opened, given_back) = opened.map_err(|lost| Error::Open(lost.to_string()))?;
            permit = given_back;
            let no_room = match opened {
                Ok(()) => continue,
                Err(Error::NoRoom(no_room)) => no_room,
                Err(error) => return Err(error),
            };
            tokio::select! {
                () = departed => {}
                () = returned => {}
                () = tokio::time::sleep_until(until) => return Err(Error::NoRoom(no_room)),
            }
        }
    }

    /// One that is idle; else gives the place back.
    fn lend(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Lease<S>, OwnedSemaphorePermit> {
        let opened = self.lock().idle.pop();
        match opened {
            Some(opened) => Ok(Lease {
                opened: Some(opened),
                begun: false,
                of: Arc::clone(self),
                _permit: permit,
            }),
            None => Err(permit),
        }
    }

    fn open_one(&self) -> Result<(), Error> {
        let effort = match self.living() {
            0 => Effort::Evicting,
            _ => Effort::Gentle,
        };
        self.open_with(effort)
    }

    /// Opens one more and puts it into service.
    pub(crate) fn open_with(&self, effort: Effort) -> Result<(), Error> {
        let opened = (self.open)(&self.needs, effort)?;
        let mut held = self.lock();
        held.living += 1;
        held.bytes += opened.bytes;
        held.idle.push(opened);
        drop(held);
        self.returned.notify_waiters();
        Ok(())
    }
}

impl<S: Send + 'static> Fixed for Sessions<S> {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn sink(&self, library: &Library, sink: &Sink) -> Result<bool, Error> {
        let Ok(_place) = self.places.try_acquire() else {
            return Ok(false);
        };
        let lies_there = |it: &Opened<S>| {
            let region = it.region.as_ref();
            region.is_some_and(|region| region.at() as u64 == sink.from)
        };
        let found = {
            let mut held = self.lock();
            let place = held.idle.iter().position(lies_there);
            place.map(|place| held.idle.swap_remove(place))
        };
        let Some(opened) = found else {
            return Ok(false);
        };
        // Opening one takes more than it keeps.
        let needed = self.needs.found().max(opened.bytes);
        if library.clear(sink, needed).is_none() {
            self.lock().idle.push(opened);
            return Ok(false);
        }
        self.close(opened);
        self.open_with(Effort::Evicting)?;
        Ok(true)
    }
}

impl<S> Sessions<S> {
    /// What opening one was found to need.
    pub(crate) fn needs(&self) -> &Needs {
        &self.needs
    }

    pub(crate) fn living(&self) -> usize {
        self.lock().living
    }

    /// What all of them hold.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Closes those that are idle; says whether there were any.
    pub(crate) fn empty(&self) -> bool {
        let idle = std::mem::take(&mut self.lock().idle);
        let any = !idle.is_empty();
        for opened in idle {
            self.close(opened);
        }
        any
    }

    /// Outside of the lock: closing a session takes milliseconds. Counted until
    /// its bytes are free.
    fn close(&self, opened: Opened<S>) {
        let bytes = opened.bytes;
        drop(opened);
        let mut held = self.lock();
        held.living -= 1;
        held.bytes -= bytes;
    }

    fn lock(&self) -> MutexGuard<'_, Held<S>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Lease<S> {
    pub(crate) fn session(&mut self) -> &mut S {
        self.begun = true;
        let opened = self.opened.as_mut();
        &mut opened
            .expect("a lease holds its session until it is released")
            .session
    }

    /// The run ended well: the next one may have the session.
    pub(crate) fn release(mut self) {
        self.begun = false;
    }
}

impl<S> Drop for Lease<S> {
    fn drop(&mut self) {
        let Some(opened) = self.opened.take() else {
            return;
        };
        if self.begun {
            events::discarded(self.of.kind, &self.of.name);
            self.of.close(opened);
        } else {
            self.of.lock().idle.push(opened);
        }
        self.of.returned.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;
    use memory::slab::{NoRoom, Zone};

    fn of<S>(session: S) -> Opened<S> {
        Opened {
            session,
            region: None,
            bytes: 0,
        }
    }

    fn sessions<S: Send + 'static>(
        open: impl Fn(Effort) -> Result<S, Error> + Send + Sync + 'static,
    ) -> (Arc<Sessions<S>>, Arc<Departures>) {
        let departures = Arc::default();
        let open = move |_: &Needs, effort| open(effort).map(of);
        let needs = Needs::new(0, 0);
        let sessions = Sessions::new("test", "test", 1, needs, &departures, open);
        (sessions, departures)
    }

    fn counted() -> (Arc<Sessions<usize>>, Arc<AtomicUsize>) {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&made);
        let (sessions, _) = sessions(move |_| Ok(counter.fetch_add(1, Ordering::Relaxed)));
        (sessions, made)
    }

    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_released_session_is_lent_again() {
        let (sessions, made) = counted();
        for _ in 0..2 {
            let mut lease = sessions.checkout(SHORT * 50).await.expect("free");
            assert_eq!(*lease.session(), 0);
            lease.release();
        }
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn one_that_ended_badly_is_closed_and_one_that_never_ran_is_not() {
        let (sessions, made) = counted();
        drop(sessions.checkout(SHORT * 50).await.expect("free"));
        assert_eq!(sessions.living(), 1);
        let mut lease = sessions.checkout(SHORT).await.expect("the same");
        assert_eq!(*lease.session(), 0);
        drop(lease);
        assert_eq!(sessions.living(), 0);
        let mut lease = sessions.checkout(SHORT * 50).await.expect("another one");
        assert_eq!(*lease.session(), 1, "not the one that was dropped");
        lease.release();
        assert_eq!(made.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn waiting_has_an_end() {
        let (sessions, _) = counted();
        let held = sessions.checkout(SHORT * 50).await.expect("free");
        let refused = sessions.checkout(SHORT).await;
        assert!(matches!(refused, Err(Error::Busy { waited }) if waited == SHORT));
        held.release();
        sessions.checkout(SHORT).await.expect("free again");
    }

    #[tokio::test]
    async fn who_finds_no_room_waits_until_somebody_departs() {
        let room = Arc::new(AtomicBool::new(false));
        let is_there = Arc::clone(&room);
        let (sessions, departures) = sessions(move |effort| {
            assert_eq!(effort, Effort::Evicting, "the first");
            match is_there.load(Ordering::SeqCst) {
                true => Ok(1),
                false => Err(Error::NoRoom(NoRoom {
                    zone: Zone::Models,
                    needed: 2,
                    largest: 1,
                    free: 1,
                })),
            }
        });
        let refused = sessions.checkout(SHORT).await;
        assert!(matches!(refused, Err(Error::NoRoom(_))));
        let waiting = sessions.checkout(SHORT * 500);
        let arrives = async {
            tokio::time::sleep(SHORT).await;
            room.store(true, Ordering::SeqCst);
            departures.tell();
        };
        let (lease, ()) = tokio::join!(waiting, arrives);
        assert_eq!(*lease.expect("there is room now").session(), 1);
    }

    #[tokio::test]
    async fn a_caller_who_gives_up_does_not_free_the_lane_of_a_session_still_opening() {
        let most = Arc::new(AtomicUsize::new(0));
        let (opening, seen) = (AtomicUsize::new(0), Arc::clone(&most));
        let (sessions, _) = sessions(move |_| {
            seen.fetch_max(opening.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(10 * SHORT);
            opening.fetch_sub(1, Ordering::SeqCst);
            Ok(1)
        });
        for _ in 0..3 {
            let given_up = tokio::time::timeout(SHORT, sessions.checkout(50 * SHORT)).await;
            assert!(given_up.is_err(), "opening takes longer");
        }
        let lease = sessions.checkout(50 * SHORT).await;
        lease.expect("free in the end").release();
        assert_eq!(most.load(Ordering::SeqCst), 1, "opened side by side");
    }
}
