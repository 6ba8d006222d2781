//! The slab as ONNX Runtime's allocator: every tensor of every session lies in
//! one reservation, and every byte has an owner.
//!
//! ONNX Runtime calls `Alloc` from inside a session's creation or run, on the
//! thread that called it and now and then on a worker of its own. Who asks is
//! told by [`Scope`], set around both. Returning null inside a run would crash
//! the process, so a run that finds its zone full is given bytes of the reserve
//! and told to end; creation gets null, which is a clean error there.

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ort::AsPointer;
use ort::environment::Environment;
use ort::session::{HasSelectedOutputs, RunOptions};
use ort::sys;

use crate::error::Error;
use crate::events;
use crate::native::reservation::{Kind, Reservation};
use crate::slab::{ALIGNMENT, Layout, NoRoom, Owner, Slab, Zone};

pub struct Tensors {
    kind: Kind,
    reservation: Reservation,
    slab: Mutex<Slab>,
    /// Runs that are under way, for allocations on ONNX Runtime's own threads.
    running: Mutex<Vec<Running>>,
    /// Blocks outside the slab, by address: the last resort when the reserve
    /// is used up too. Always empty unless a run went wrong.
    overdraft: Mutex<HashMap<usize, std::alloc::Layout>>,
    overdrafts: AtomicU64,
    /// Who owns what was allocated outside of every scope.
    stray: Owner,
    /// A device that fails on demand: see [`refuse_next`](Self::refuse_next).
    refusing: Mutex<Option<Refusing>>,
}

#[derive(Clone, Copy)]
struct Refusing {
    times: u32,
    least: usize,
}

/// A block of the slab, given back when dropped.
pub struct Block {
    tensors: Arc<Tensors>,
    offset: usize,
    bytes: usize,
}

/// What a run has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// The most bytes it held at once, beyond what it held before.
    pub peak: usize,
}

#[derive(Clone, Copy)]
struct Scope {
    zone: Zone,
    owner: Owner,
    options: Option<Options>,
}

/// The options of a run under way: how it is told to end.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Options(*const RunOptions<HasSelectedOutputs>);

#[expect(unsafe_code, reason = "a pointer that other threads use; see SAFETY")]
// SAFETY: the pointer is only used while the run it belongs to is registered
// in `running`, which borrows the options for that time; and what is called,
// `RunOptionsSetTerminate`, is made for calls from other threads.
unsafe impl Send for Options {}

struct Running {
    owner: Owner,
    options: Options,
    refused: Option<NoRoom>,
}

thread_local! {
    static SCOPE: Cell<Option<Scope>> = const { Cell::new(None) };
    /// The last refusal of a creation on this thread.
    static REFUSED: Cell<Option<NoRoom>> = const { Cell::new(None) };
}

impl Tensors {
    pub(crate) fn new(kind: Kind, layout: Layout) -> Result<Arc<Self>, Error> {
        let reservation = Reservation::new(kind, layout.total())?;
        let mut slab = Slab::new(layout);
        let stray = slab.owner("outside of every run");
        Ok(Arc::new(Self {
            kind,
            reservation,
            slab: Mutex::new(slab),
            running: Mutex::default(),
            overdraft: Mutex::default(),
            overdrafts: AtomicU64::new(0),
            stray,
            refusing: Mutex::default(),
        }))
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn touch(&self) {
        self.reservation.touch();
    }

    /// Bytes of the slab that the system has given pages for: all of them, or
    /// as much as was ever in use.
    pub fn resident(&self) -> usize {
        let slab = self.slab();
        if self.reservation.is_whole() {
            return slab.bytes();
        }
        Zone::ALL
            .map(|zone| slab.zone(zone).high_water)
            .iter()
            .sum()
    }

    pub fn slab(&self) -> MutexGuard<'_, Slab> {
        self.slab.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Allocations that neither zone nor reserve could serve, ever.
    pub fn overdrafts(&self) -> u64 {
        self.overdrafts.load(Ordering::Relaxed)
    }

    pub fn block(
        self: &Arc<Self>,
        zone: Zone,
        owner: Owner,
        bytes: usize,
    ) -> Result<Block, NoRoom> {
        let offset = self.slab().allocate(zone, owner, bytes)?;
        Ok(Block {
            tensors: Arc::clone(self),
            offset,
            bytes,
        })
    }

    /// The next `times` activations of at least `least` bytes find no room,
    /// whatever is free: how the way out of a shortage is tried.
    pub fn refuse_next(&self, times: u32, least: usize) {
        let mut refusing = self.refusing.lock().unwrap_or_else(PoisonError::into_inner);
        *refusing = (times > 0).then_some(Refusing { times, least });
    }

    fn refuses(&self, zone: Zone, bytes: usize) -> Option<NoRoom> {
        let mut refusing = self.refusing.lock().unwrap_or_else(PoisonError::into_inner);
        let demand = refusing.as_mut()?;
        if zone != Zone::Activations || bytes < demand.least {
            return None;
        }
        demand.times -= 1;
        if demand.times == 0 {
            *refusing = None;
        }
        Some(NoRoom {
            zone,
            needed: bytes,
            largest: 0,
            free: 0,
        })
    }

    /// Opens a session: what it allocates belongs to `owner` in `zone`.
    pub(crate) fn opening<T>(
        &self,
        zone: Zone,
        owner: Owner,
        open: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        REFUSED.set(None);
        let scope = Scope {
            zone,
            owner,
            options: None,
        };
        let opened = within(scope, open);
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
        options: &RunOptions<HasSelectedOutputs>,
        run: impl FnOnce() -> Result<T, Error>,
    ) -> (Result<T, Error>, Used) {
        let options = Options(options);
        let before = {
            let mut slab = self.slab();
            slab.reset_high_water(owner);
            slab.held(owner).0
        };
        self.lock_running().push(Running {
            owner,
            options,
            refused: None,
        });
        let registered = Registered {
            tensors: self,
            options,
        };
        let scope = Scope {
            zone: Zone::Activations,
            owner,
            options: Some(options),
        };
        let ran = within(scope, run);
        let refused = registered.end();
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

    fn allocate(&self, bytes: usize) -> *mut c_void {
        let scope = SCOPE.get().or_else(|| self.only_run());
        let Some(scope) = scope else {
            // Outside of everything we started: no terminate flag to set, but
            // null is an error ONNX Runtime can report here.
            let allocated = self.slab().allocate(Zone::Activations, self.stray, bytes);
            return allocated.map_or(std::ptr::null_mut(), |offset| self.address(offset));
        };
        let allocated = match self.refuses(scope.zone, bytes) {
            Some(no_room) => Err(no_room),
            None => self.slab().allocate(scope.zone, scope.owner, bytes),
        };
        match allocated {
            Ok(offset) => self.address(offset),
            // A second BERT may live where voices do.
            Err(_) if scope.zone == Zone::Bert => {
                match self.slab().allocate(Zone::Library, scope.owner, bytes) {
                    Ok(offset) => self.address(offset),
                    Err(no_room) => refuse_opening(no_room),
                }
            }
            Err(no_room) => match scope.options {
                None => refuse_opening(no_room),
                Some(options) => self.refuse_run(scope.owner, options, no_room),
            },
        }
    }

    /// On a thread of ONNX Runtime's own, where only one run can be meant.
    fn only_run(&self) -> Option<Scope> {
        match self.lock_running().as_slice() {
            [only] => Some(Scope {
                zone: Zone::Activations,
                owner: only.owner,
                options: Some(only.options),
            }),
            _ => None,
        }
    }

    /// Tells the run to end, and serves this one allocation all the same.
    fn refuse_run(&self, owner: Owner, options: Options, no_room: NoRoom) -> *mut c_void {
        let mut running = self.lock_running();
        if let Some(run) = running.iter_mut().find(|run| run.options == options) {
            run.refused.get_or_insert(no_room);
            #[expect(unsafe_code, reason = "the options outlive the run; see `Options`")]
            // SAFETY: the run is registered, so its options are borrowed.
            let told = unsafe { (*options.0).terminate() };
            events::run_over_budget(&no_room, told.is_ok());
        }
        drop(running);
        let reserved = self.slab().allocate(Zone::Reserve, owner, no_room.needed);
        match reserved {
            Ok(offset) => self.address(offset),
            Err(_) => self.overdraw(no_room.needed),
        }
    }

    /// Outside the slab: better over the budget for the rest of one node than
    /// dead. Counted and logged as an error, because the reserve was too small.
    fn overdraw(&self, bytes: usize) -> *mut c_void {
        self.overdrafts.fetch_add(1, Ordering::Relaxed);
        events::overdraft(bytes);
        if self.kind != Kind::Cpu {
            return std::ptr::null_mut();
        }
        let Ok(layout) = std::alloc::Layout::from_size_align(bytes.max(1), ALIGNMENT) else {
            return std::ptr::null_mut();
        };
        #[expect(unsafe_code, reason = "the system's allocator, by hand")]
        // SAFETY: the layout has a size of at least 1.
        let pointer = unsafe { std::alloc::alloc(layout) };
        let mut overdraft = self
            .overdraft
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        overdraft.insert(pointer as usize, layout);
        pointer.cast()
    }

    fn release(&self, pointer: *mut c_void) {
        if pointer.is_null() {
            return;
        }
        let address = pointer as usize;
        let offset = address.wrapping_sub(self.reservation.base());
        if offset < self.reservation.bytes() {
            self.slab().free(offset);
            return;
        }
        let mut overdraft = self
            .overdraft
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(layout) = overdraft.remove(&address) {
            #[expect(unsafe_code, reason = "the system's allocator, by hand")]
            // SAFETY: allocated by `overdraw` with this layout, and freed once,
            // since it has just left the table.
            unsafe {
                std::alloc::dealloc(pointer.cast(), layout);
            }
        }
    }

    fn address(&self, offset: usize) -> *mut c_void {
        self.reservation.pointer(offset).cast()
    }
}

fn refuse_opening(no_room: NoRoom) -> *mut c_void {
    REFUSED.set(Some(no_room));
    std::ptr::null_mut()
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
    options: Options,
}

impl Registered<'_> {
    fn end(self) -> Option<NoRoom> {
        let refused = self.remove();
        std::mem::forget(self);
        refused
    }

    fn remove(&self) -> Option<NoRoom> {
        let mut running = self.tensors.lock_running();
        let place = running.iter().position(|run| run.options == self.options)?;
        running.swap_remove(place).refused
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Block {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn pointer(&self, offset: usize) -> *mut u8 {
        assert!(offset <= self.bytes, "inside the block");
        self.tensors.reservation.pointer(self.offset + offset)
    }

    /// Fills part of the block with host bytes.
    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        assert!(offset + bytes.len() <= self.bytes, "inside the block");
        self.tensors.reservation.write(self.offset + offset, bytes)
    }

    /// Takes over another block's bytes: how a voice changes.
    pub(crate) fn copy_from(&mut self, other: &Self) -> Result<(), Error> {
        assert!(
            Arc::ptr_eq(&self.tensors, &other.tensors) && other.bytes <= self.bytes,
            "blocks of one slab"
        );
        self.tensors
            .reservation
            .copy_within(other.offset, self.offset, other.bytes)
    }

    /// Takes over the bytes of a block of another reservation, one of them on
    /// the host.
    pub(crate) fn copy_across(&mut self, other: &Self) -> Result<(), Error> {
        assert!(other.bytes <= self.bytes, "it fits");
        let to = &self.tensors.reservation;
        let from = &other.tensors.reservation;
        to.copy_across(self.offset, from, other.offset, other.bytes)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.tensors.slab().free(self.offset);
    }
}

/// What ONNX Runtime holds: its own struct first, as its interface asks.
#[repr(C)]
struct Registration {
    interface: sys::OrtAllocator,
    info: *mut sys::OrtMemoryInfo,
    tensors: Arc<Tensors>,
}

/// Registers the slab with the environment. From then on every session that
/// asks for the environment's allocators has its tensors there, until the
/// process ends: what is registered is leaked on purpose, because ONNX Runtime
/// holds its address as long.
#[expect(unsafe_code, reason = "ONNX Runtime's C interface")]
pub(crate) fn register(environment: &Environment, tensors: &Arc<Tensors>) -> Result<(), Error> {
    let api = ort::api();
    let mut info = std::ptr::null_mut();
    let device = sys::OrtAllocatorType::OrtDeviceAllocator;
    // SAFETY: out-pointers and names are valid for the calls.
    let status = unsafe {
        match tensors.kind {
            Kind::Cpu => {
                (api.CreateCpuMemoryInfo)(device, sys::OrtMemType::OrtMemTypeDefault, &raw mut info)
            }
            Kind::Cuda(number) => (api.CreateMemoryInfo)(
                c"Cuda".as_ptr(),
                device,
                number,
                sys::OrtMemType::OrtMemTypeDefault,
                &raw mut info,
            ),
            Kind::Pinned(number) => (api.CreateMemoryInfo)(
                c"CudaPinned".as_ptr(),
                device,
                number,
                sys::OrtMemType::OrtMemTypeCPUOutput,
                &raw mut info,
            ),
        }
    };
    check(status)?;
    // SAFETY: a struct of version and empty slots.
    let mut interface = unsafe { sys::OrtAllocator::default() };
    interface.Alloc = Some(alloc);
    interface.Free = Some(free);
    interface.Info = Some(self::info);
    interface.Reserve = Some(reserve);
    let registration = Box::leak(Box::new(Registration {
        interface,
        info,
        tensors: Arc::clone(tensors),
    }));
    // SAFETY: the environment lives as long as the process and so does the
    // registration.
    let status = unsafe {
        (api.RegisterAllocator)(
            environment.ptr().cast_mut(),
            &raw mut registration.interface,
        )
    };
    check(status)
}

/// Registers one arena for all sessions: the mode that shares and still never
/// gives back, kept for comparison.
#[expect(unsafe_code, reason = "ONNX Runtime's C interface")]
pub(crate) fn register_shared_arena(environment: &Environment, kind: Kind) -> Result<(), Error> {
    let api = ort::api();
    let arena = sys::OrtAllocatorType::OrtArenaAllocator;
    let mut info = std::ptr::null_mut();
    let none = std::ptr::null();
    // SAFETY: out-pointers and names are valid for the calls; no options are
    // given, so the key and value arrays are empty.
    unsafe {
        let (provider, status) = match kind {
            Kind::Cuda(number) | Kind::Pinned(number) => (
                c"CUDAExecutionProvider",
                (api.CreateMemoryInfo)(
                    c"Cuda".as_ptr(),
                    arena,
                    number,
                    sys::OrtMemType::OrtMemTypeDefault,
                    &raw mut info,
                ),
            ),
            Kind::Cpu => (
                c"CPUExecutionProvider",
                (api.CreateCpuMemoryInfo)(arena, sys::OrtMemType::OrtMemTypeDefault, &raw mut info),
            ),
        };
        check(status)?;
        let status = (api.CreateAndRegisterAllocatorV2)(
            environment.ptr().cast_mut(),
            provider.as_ptr(),
            info,
            std::ptr::null(),
            none,
            none,
            0,
        );
        (api.ReleaseMemoryInfo)(info);
        check(status)
    }
}

/// ONNX Runtime's status as a result.
#[expect(unsafe_code, reason = "ONNX Runtime's C interface")]
pub(crate) fn check(status: sys::OrtStatusPtr) -> Result<(), Error> {
    // SAFETY: a status that ONNX Runtime has just returned to us.
    unsafe { ort::Error::result_from_status(status) }.map_err(|e| Error::Memory(e.to_string()))
}

#[expect(unsafe_code, reason = "called by ONNX Runtime")]
unsafe extern "system" fn alloc(this: *mut sys::OrtAllocator, bytes: usize) -> *mut c_void {
    // SAFETY: ONNX Runtime passes what was registered, which is leaked.
    let registration = unsafe { &*this.cast::<Registration>() };
    // A panic must not cross the border.
    let allocate = || registration.tensors.allocate(bytes);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(allocate)).unwrap_or(std::ptr::null_mut())
}

#[expect(unsafe_code, reason = "called by ONNX Runtime")]
unsafe extern "system" fn reserve(this: *const sys::OrtAllocator, bytes: usize) -> *mut c_void {
    // SAFETY: as in `alloc`; nothing is written through the pointer.
    unsafe { alloc(this.cast_mut(), bytes) }
}

#[expect(unsafe_code, reason = "called by ONNX Runtime")]
unsafe extern "system" fn free(this: *mut sys::OrtAllocator, pointer: *mut c_void) {
    // SAFETY: as in `alloc`.
    let registration = unsafe { &*this.cast::<Registration>() };
    let release = || registration.tensors.release(pointer);
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(release));
}

#[expect(unsafe_code, reason = "called by ONNX Runtime")]
unsafe extern "system" fn info(this: *const sys::OrtAllocator) -> *const sys::OrtMemoryInfo {
    // SAFETY: as in `alloc`.
    unsafe { (*this.cast::<Registration>()).info }
}
