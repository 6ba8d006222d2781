//! The connections there are. Who does nothing but make the server wait goes
//! first when somebody else wants in; nobody is kept at the door.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::http::shares::Owner;

/// All open connections. Its bounds are for all and for each address.
pub struct House {
    most: usize,
    each: usize,
    rooms: Mutex<Rooms>,
}

#[derive(Default)]
struct Rooms {
    next: u64,
    guests: HashMap<u64, Seat>,
    /// Those whose request has not come, by when they began to be waited for.
    waiting: BTreeMap<u64, u64>,
    each: HashMap<Owner, usize>,
}

struct Seat {
    owner: Owner,
    waiting: Option<u64>,
    out: CancellationToken,
}

/// Everybody here is being served.
#[derive(Debug)]
pub struct Full;

/// One connection; leaves when dropped.
pub struct Guest {
    house: Arc<House>,
    id: u64,
    owner: Owner,
    out: CancellationToken,
    /// A request has come and its answer has not gone.
    serving: AtomicBool,
    /// All of the request is there, so that only we are waited for.
    busy: AtomicBool,
}

/// Holds while a request is answered.
pub struct Serving(Arc<Guest>);

impl House {
    /// So many in all, so many of one address.
    pub fn new(most: usize, each: usize) -> Arc<Self> {
        Arc::new(Self {
            most: most.max(1),
            each: each.max(1),
            rooms: Mutex::default(),
        })
    }

    /// Shows out whoever was waited for the longest, if there is no room. An
    /// error means that nobody is only waited for.
    pub fn enter(self: &Arc<Self>, owner: Owner) -> Result<Arc<Guest>, Full> {
        let mut rooms = self.rooms();
        let of_address = rooms.each.get(&owner).copied().unwrap_or(0);
        if owner.address().is_some() && of_address >= self.each {
            rooms.show_out(|seat| seat.owner == owner)?;
        }
        if rooms.guests.len() >= self.most {
            rooms.show_out(|_| true)?;
        }
        let id = rooms.tick();
        let out = CancellationToken::new();
        let seat = Seat {
            owner,
            waiting: Some(id),
            out: out.clone(),
        };
        rooms.guests.insert(id, seat);
        rooms.waiting.insert(id, id);
        *rooms.each.entry(owner).or_default() += 1;
        Ok(Arc::new(Guest {
            house: Arc::clone(self),
            id,
            owner,
            out,
            serving: AtomicBool::new(false),
            busy: AtomicBool::new(false),
        }))
    }

    /// Makes room where the system itself has none left.
    pub fn make_room(&self) {
        let _ = self.rooms().show_out(|_| true);
    }

    fn rooms(&self) -> std::sync::MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rooms {
    fn tick(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The one that has been waited for the longest.
    fn show_out(&mut self, which: impl Fn(&Seat) -> bool) -> Result<(), Full> {
        let mut waiting = self.waiting.values();
        let oldest = waiting.find(|id| self.guests.get(id).is_some_and(&which));
        let id = *oldest.ok_or(Full)?;
        self.leave(id);
        Ok(())
    }

    fn leave(&mut self, id: u64) {
        let Some(seat) = self.guests.remove(&id) else {
            return;
        };
        if let Some(since) = seat.waiting {
            self.waiting.remove(&since);
        }
        if let Some(many) = self.each.get_mut(&seat.owner) {
            *many -= 1;
            if *many == 0 {
                self.each.remove(&seat.owner);
            }
        }
        seat.out.cancel();
    }
}

impl Guest {
    /// Whom the connection is counted to.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// Ends when its place is given to another.
    pub async fn shown_out(&self) {
        self.out.cancelled().await;
    }

    /// A request has begun to come.
    pub fn serve(self: &Arc<Self>) -> Serving {
        self.serving.store(true, Ordering::Relaxed);
        Serving(Arc::clone(self))
    }

    /// The whole request is there: from now on it may stay.
    pub fn begin(&self) {
        self.busy.store(true, Ordering::Relaxed);
        let mut rooms = self.house.rooms();
        let rooms = &mut *rooms;
        if let Some(since) = rooms
            .guests
            .get_mut(&self.id)
            .and_then(|seat| seat.waiting.take())
        {
            rooms.waiting.remove(&since);
        }
    }

    /// All that was to be sent is sent: unless a request is being answered, it
    /// is waited for the next.
    pub fn flushed(&self) {
        if self.serving.load(Ordering::Relaxed) || !self.busy.swap(false, Ordering::Relaxed) {
            return;
        }
        let mut rooms = self.house.rooms();
        let rooms = &mut *rooms;
        let since = rooms.tick();
        if let Some(seat) = rooms.guests.get_mut(&self.id) {
            seat.waiting = Some(since);
            rooms.waiting.insert(since, self.id);
        }
    }

    /// Nothing is asked and nothing is left to be sent.
    pub fn is_idle(&self) -> bool {
        !self.serving.load(Ordering::Relaxed) && !self.busy.load(Ordering::Relaxed)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.house.rooms().leave(self.id);
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.serving.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(last: u8) -> Owner {
        Owner::of(std::net::IpAddr::from([192, 0, 2, last]), &[])
    }

    #[test]
    fn who_is_waited_for_the_longest_goes_first() {
        let house = House::new(3, 2);
        let enter = |last| house.enter(owner(last));
        let first = enter(1).expect("room");
        let second = enter(1).expect("room");
        let third = enter(2).expect("room");
        // Of one address, its own.
        let fourth = enter(1).expect("its own place");
        assert!(first.out.is_cancelled() && !second.out.is_cancelled());
        // Who is served stays.
        second.begin();
        let fifth = enter(3).expect("the oldest that waits goes");
        assert!(third.out.is_cancelled() && !second.out.is_cancelled());
        fourth.begin();
        fifth.begin();
        assert!(enter(4).is_err(), "all are served");
        assert!(enter(1).is_err());
        second.flushed();
        let _sixth = enter(4).expect("one is waited for again");
        assert!(second.out.is_cancelled());
        drop((first, second, third, fourth, fifth));
        assert_eq!(house.rooms().guests.len(), 1);
        assert_eq!(house.rooms().each.len(), 1);
    }

    #[test]
    fn a_request_that_is_answered_is_not_waited_for() {
        let house = House::new(1, 1);
        let guest = house.enter(owner(1)).expect("room");
        let serving = guest.serve();
        guest.begin();
        guest.flushed();
        assert!(house.enter(owner(2)).is_err() && !guest.is_idle());
        drop(serving);
        guest.flushed();
        assert!(guest.is_idle() && house.enter(owner(2)).is_ok());
    }
}
