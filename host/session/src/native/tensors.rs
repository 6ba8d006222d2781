//! The slab as ONNX Runtime's allocator: every tensor of every session lies in
//! one reservation, and every byte has an owner.
//!
//! ONNX Runtime calls `Alloc` from inside a session's creation or run, on the
//! thread that called it and now and then on a worker of its own. Who asks is
//! told by [`Scope`], set around both. ONNX Runtime writes to what an allocator
//! gives, be it null, so whoever finds no room is refused by an exception (see
//! [`refusal`](super::refusal)), which ends the creation or run with an error and leaves the
//! session usable. Nothing catches on a worker's thread; there the reserve
//! serves, and the run is told to end; where that is used up too, memory beyond
//! the budget, which is counted and given back with the run.

mod block;
mod register;

use std::cell::Cell;
use std::collections::HashSet;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::events;
use crate::native::reservation::{Kind, Reservation};
use crate::native::run_options::SharedOptions;
use memory::slab::{Layout, NoRoom, Owner, Place, Slab, Tenant, Zone};

pub use block::{Block, Region};
pub(crate) use register::{check, register, register_shared_arena};

/// The slab as ONNX Runtime's allocator: one reservation of one memory, and who
/// owns what in it.
pub struct Tensors {
    kind: Kind,
    reservation: Reservation,
    slab: Mutex<Slab>,
    /// Runs that are under way, for allocations on ONNX Runtime's own threads.
    running: Mutex<Vec<Running>>,
    /// Allocations of worker threads that not even the reserve could serve.
    overdrafts: AtomicU64,
    /// Allocations of worker threads, which could not be refused.
    elsewhere: AtomicU64,
    /// Who owns what was allocated outside of every scope.
    stray: Owner,
    /// A device that fails on demand: see [`refuse_next`](Self::refuse_next).
    refusing: Mutex<Option<Refusing>>,
    /// Addresses of what lies beyond the reservation.
    overdrawn: Mutex<HashSet<usize>>,
    /// Held while something is moved in the zone of models, and by whoever
    /// takes a stretch of it: what is free must not be taken under a move.
    arranging: Mutex<()>,
    moved: AtomicU64,
}

#[derive(Clone, Copy)]
struct Refusing {
    times: u32,
    least: usize,
}

/// What a run has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// The most bytes it held at once, beyond what it held before.
    pub peak: usize,
}

#[derive(Clone, Copy)]
struct Scope {
    /// Whose places and owners these are, by its address.
    of: *const Tensors,
    place: Place,
    owner: Owner,
}

struct Running {
    owner: Owner,
    options: Arc<SharedOptions>,
    refused: Option<NoRoom>,
}

impl Running {
    fn is(&self, options: &Arc<SharedOptions>) -> bool {
        Arc::ptr_eq(&self.options, options)
    }
}

thread_local! {
    static SCOPE: Cell<Option<Scope>> = const { Cell::new(None) };
    /// The first refusal of the creation or run on this thread.
    static REFUSED: Cell<Option<NoRoom>> = const { Cell::new(None) };
}

impl Tensors {
    pub(crate) fn new(kind: Kind, limits: Layout) -> Result<Arc<Self>, Error> {
        Self::with_spans(kind, limits, limits)
    }

    /// With addresses for limits up to `spans`.
    pub(crate) fn with_spans(
        kind: Kind,
        limits: Layout,
        spans: Layout,
    ) -> Result<Arc<Self>, Error> {
        let reservation = Reservation::new(kind, limits.total(), spans.total())?;
        let mut slab = Slab::with_spans(limits, spans);
        let stray = slab.owner("outside of every run");
        Ok(Arc::new(Self {
            kind,
            reservation,
            slab: Mutex::new(slab),
            running: Mutex::default(),
            overdrafts: AtomicU64::new(0),
            elsewhere: AtomicU64::new(0),
            stray,
            refusing: Mutex::default(),
            overdrawn: Mutex::default(),
            arranging: Mutex::default(),
            moved: AtomicU64::new(0),
        }))
    }

    /// Which memory all of it lies in.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Writes to every page below the limits.
    pub(crate) fn touch(&self) {
        let slab = self.slab();
        let mut start = 0;
        for zone in Zone::ALL {
            self.reservation
                .touch(start..start + slab.limits().of(zone));
            start += slab.spans().of(zone);
        }
    }

    /// Bytes of the slab that the system has given pages for: all of them, or
    /// as much as is in use and was not given back.
    pub fn resident(&self) -> usize {
        let slab = self.slab();
        match self.reservation.is_whole() {
            true => slab.bytes(),
            false => slab.touched(),
        }
    }

    /// Gives pages that nobody uses back to the system, as far as it takes
    /// them.
    pub(crate) fn give_back(&self, zones: &[Zone]) {
        if self.reservation.is_whole() {
            return;
        }
        for zone in zones {
            loop {
                // Under both locks: nobody may take or move what is being given
                // back. A little at a time, since runs allocate meanwhile.
                let _arranged = self.arrange();
                let mut slab = self.slab();
                let Some(pages) = slab.idle_pages(*zone, PAGE, GIVEN_AT_ONCE) else {
                    break;
                };
                self.reservation.give_pages_back(&pages);
                slab.given_back(&pages);
            }
        }
    }

    /// The map, locked: hold it for a few lines, since every allocation of
    /// every run waits for it.
    pub fn slab(&self) -> MutexGuard<'_, Slab> {
        self.slab.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Allocations that could neither be served nor refused, ever.
    pub fn overdrafts(&self) -> u64 {
        self.overdrafts.load(Ordering::Relaxed)
    }

    /// Allocations on threads of ONNX Runtime's own, ever: those that only the
    /// reserve could serve in a shortage.
    pub fn elsewhere(&self) -> u64 {
        self.elsewhere.load(Ordering::Relaxed)
    }

    /// A copy of a voice's weights, which may be moved.
    pub(crate) fn blob(
        self: &Arc<Self>,
        owner: Owner,
        voice: u64,
        bytes: usize,
    ) -> Result<Block, NoRoom> {
        let _arranged = self.arrange();
        let offset = self.slab().blob(owner, voice, bytes)?;
        Ok(Block::new(self, offset, bytes))
    }

    pub(crate) fn region(
        self: &Arc<Self>,
        owner: Owner,
        tenant: Tenant,
        bytes: usize,
    ) -> Result<Arc<Region>, NoRoom> {
        let _arranged = self.arrange();
        let id = self.slab().open_region(owner, tenant, bytes)?;
        Ok(Arc::new(Region::new(self, id)))
    }

    /// Moves a blob to a stretch that only it has a part of; waits for who is
    /// reading it. False if somebody else is there.
    pub(crate) fn relocate(&self, block: &Block, to: usize) -> Result<bool, Error> {
        let _arranged = self.arrange();
        let mut offset = block.moving();
        let from = *offset;
        // The books first: they say whether the place is free, and nobody else
        // takes what they call free meanwhile.
        if !self.slab().relocate(from, to) {
            return Ok(false);
        }
        if let Err(error) = self.reservation.move_within(from, to, block.bytes()) {
            self.slab().relocate(to, from);
            return Err(error);
        }
        *offset = to;
        self.moved
            .fetch_add(block.bytes() as u64, Ordering::Relaxed);
        Ok(true)
    }

    /// Bytes that were moved to make room, ever.
    pub fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    fn arrange(&self) -> MutexGuard<'_, ()> {
        self.arranging
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The next `times` activations of at least `least` bytes find no room,
    /// whatever is free: how the way out of a shortage is tried.
    pub fn refuse_next(&self, times: u32, least: usize) {
        let mut refusing = self.refusing.lock().unwrap_or_else(PoisonError::into_inner);
        *refusing = (times > 0).then_some(Refusing { times, least });
    }

    fn refuses(&self, place: Place, bytes: usize) -> Option<NoRoom> {
        let mut refusing = self.refusing.lock().unwrap_or_else(PoisonError::into_inner);
        let demand = refusing.as_mut()?;
        if place != ACTIVATIONS || bytes < demand.least {
            return None;
        }
        demand.times -= 1;
        if demand.times == 0 {
            *refusing = None;
        }
        Some(NoRoom {
            zone: Zone::Activations,
            needed: bytes,
            largest: 0,
            free: 0,
        })
    }

    /// Opens a session: what it allocates lies in `place`.
    pub(crate) fn opening<T>(
        &self,
        place: Place,
        owner: Owner,
        open: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        REFUSED.set(None);
        let opened = within(self.scope(place, owner), open);
        match (opened, REFUSED.take()) {
            (Err(_), Some(no_room)) => Err(Error::NoRoom(no_room)),
            (opened, _) => opened,
        }
    }

    /// Runs a session: what it allocates are activations of `owner`. A run
    /// that went over what there is ends with [`Error::OutOfMemory`].
    pub(crate) fn running<T>(
        &self,
        owner: Owner,
        options: &Arc<SharedOptions>,
        run: impl FnOnce() -> Result<T, Error>,
    ) -> (Result<T, Error>, Used) {
        let before = {
            let mut slab = self.slab();
            slab.reset_high_water(owner);
            slab.held(owner).0
        };
        self.lock_running().push(Running {
            owner,
            options: Arc::clone(options),
            refused: None,
        });
        let registered = Registered {
            tensors: self,
            options,
        };
        REFUSED.set(None);
        let ran = within(self.scope(ACTIVATIONS, owner), run);
        let refused = registered.end().or(REFUSED.take());
        let peak = self.slab().held(owner).1.saturating_sub(before);
        let ran = match refused {
            Some(no_room) => Err(Error::OutOfMemory(no_room)),
            None => ran,
        };
        (ran, Used { peak })
    }

    fn lock_running(&self) -> MutexGuard<'_, Vec<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn scope(&self, place: Place, owner: Owner) -> Scope {
        let of = std::ptr::from_ref(self);
        Scope { of, place, owner }
    }

    /// None is a refusal, to be thrown.
    fn allocate(&self, bytes: usize) -> Option<*mut c_void> {
        let Some(scope) = SCOPE.get() else {
            return Some(self.allocate_elsewhere(bytes));
        };
        let scope = match std::ptr::eq(scope.of, self) {
            true => scope,
            // What a device's session keeps on the host, in a slab of its own
            // that knows none of its regions and owners.
            false => Scope {
                place: match scope.place {
                    Place::Zone(Zone::Activations | Zone::Reserve) => ACTIVATIONS,
                    Place::Zone(Zone::Models) | Place::Region(_) => Place::Zone(Zone::Models),
                },
                owner: self.stray,
                ..scope
            },
        };
        let allocated = match self.refuses(scope.place, bytes) {
            Some(no_room) => Err(no_room),
            None => self.slab().allocate(scope.place, scope.owner, bytes),
        };
        match allocated {
            Ok(offset) => Some(self.address(offset)),
            Err(no_room) => {
                if REFUSED.get().is_none() {
                    REFUSED.set(Some(no_room));
                }
                events::over_budget(&no_room);
                None
            }
        }
    }

    /// On a thread of ONNX Runtime's own: an exception would end the process,
    /// so here the reserve serves and the run is told to end.
    fn allocate_elsewhere(&self, bytes: usize) -> *mut c_void {
        self.elsewhere.fetch_add(1, Ordering::Relaxed);
        let run = self.only_run();
        let owner = run.as_ref().map_or(self.stray, |(owner, _)| *owner);
        let allocated = self.slab().allocate(ACTIVATIONS, owner, bytes);
        let no_room = match allocated {
            Ok(offset) => return self.address(offset),
            Err(no_room) => no_room,
        };
        events::over_budget(&no_room);
        if let Some((_, options)) = run {
            self.end_run(&options, no_room);
        }
        let reserved = self
            .slab()
            .allocate(Place::Zone(Zone::Reserve), owner, bytes);
        reserved.map_or_else(|_| self.overdraw(bytes), |offset| self.address(offset))
    }

    /// Beyond the budget, until the run that was told to end gives it back:
    /// null would be written to, and an exception ends the process here.
    fn overdraw(&self, bytes: usize) -> *mut c_void {
        self.overdrafts.fetch_add(1, Ordering::Relaxed);
        events::overdraft(bytes);
        let Some(pointer) = self.reservation.beyond(bytes) else {
            return std::ptr::null_mut();
        };
        self.lock_overdrawn().insert(pointer.as_ptr() as usize);
        pointer.as_ptr().cast()
    }

    fn lock_overdrawn(&self) -> MutexGuard<'_, HashSet<usize>> {
        let overdrawn = self.overdrawn.lock();
        overdrawn.unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that a thread which is not ours can belong to.
    fn only_run(&self) -> Option<(Owner, Arc<SharedOptions>)> {
        match self.lock_running().as_slice() {
            [only] => Some((only.owner, Arc::clone(&only.options))),
            _ => None,
        }
    }

    fn end_run(&self, options: &Arc<SharedOptions>, no_room: NoRoom) {
        let mut running = self.lock_running();
        if let Some(run) = running.iter_mut().find(|run| run.is(options)) {
            run.refused.get_or_insert(no_room);
            options.end_run();
        }
    }

    fn release(&self, pointer: *mut c_void) {
        let Some(pointer) = NonNull::new(pointer.cast::<u8>()) else {
            return;
        };
        let address = pointer.as_ptr() as usize;
        let offset = address.wrapping_sub(self.reservation.base());
        if offset < self.reservation.bytes() {
            self.slab().free(offset);
        } else if self.lock_overdrawn().remove(&address) {
            self.reservation.give_back(pointer);
        }
    }

    fn address(&self, offset: usize) -> *mut c_void {
        self.reservation.pointer(offset).cast()
    }
}

fn within<T>(scope: Scope, work: impl FnOnce() -> T) -> T {
    struct Restore(Option<Scope>);
    impl Drop for Restore {
        fn drop(&mut self) {
            SCOPE.set(self.0);
        }
    }
    let _restore = Restore(SCOPE.replace(Some(scope)));
    work()
}

/// A run in the table, taken out even if it unwinds.
struct Registered<'a> {
    tensors: &'a Tensors,
    options: &'a Arc<SharedOptions>,
}

impl Registered<'_> {
    fn end(self) -> Option<NoRoom> {
        let refused = self.remove();
        std::mem::forget(self);
        refused
    }

    fn remove(&self) -> Option<NoRoom> {
        let mut running = self.tensors.lock_running();
        let place = running.iter().position(|run| run.is(self.options))?;
        running.swap_remove(place).refused
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}

const ACTIVATIONS: Place = Place::Zone(Zone::Activations);
const PAGE: usize = 4096;
/// A millisecond or two of the system's time.
const GIVEN_AT_ONCE: usize = 16 << 20;

#[cfg(test)]
mod tests;
