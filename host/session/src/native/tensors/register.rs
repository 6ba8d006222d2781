//! The slab as ONNX Runtime's allocator, by its C interface.

use std::ffi::c_void;
use std::sync::Arc;

use ort::AsPointer;
use ort::environment::Environment;
use ort::sys;

use super::Tensors;
use crate::error::Error;
use crate::native::refusal;
use crate::native::reservation::Kind;

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
    refusal::prepare()?;
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
    interface.Alloc = Some(throwing(alloc));
    interface.Free = Some(free);
    interface.Info = Some(self::info);
    // SAFETY: as of `throwing`; the one difference is that ONNX Runtime passes
    // what it registered as constant.
    interface.Reserve = Some(unsafe { std::mem::transmute::<Alloc, Reserve>(alloc) });
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

/// An allocating function that may throw, and its slots in the interface.
type Alloc = unsafe extern "C-unwind" fn(*mut sys::OrtAllocator, usize) -> *mut c_void;
type Slot = unsafe extern "system" fn(*mut sys::OrtAllocator, usize) -> *mut c_void;
type Reserve = unsafe extern "system" fn(*const sys::OrtAllocator, usize) -> *mut c_void;

#[expect(unsafe_code, reason = "a type that has no word for throwing")]
fn throwing(alloc: Alloc) -> Slot {
    // SAFETY: both are called alike on every system we run on. The binding's
    // type says that nothing is thrown; only C++ calls through it, and its
    // header says no such thing.
    unsafe { std::mem::transmute::<Alloc, Slot>(alloc) }
}

#[expect(unsafe_code, reason = "called by ONNX Runtime")]
unsafe extern "C-unwind" fn alloc(this: *mut sys::OrtAllocator, bytes: usize) -> *mut c_void {
    // SAFETY: ONNX Runtime passes what was registered, which is leaked.
    let registration = unsafe { &*this.cast::<Registration>() };
    // A panic must not cross the border.
    let allocate = || registration.tensors.allocate(bytes);
    let allocated = std::panic::catch_unwind(std::panic::AssertUnwindSafe(allocate));
    match allocated.ok().flatten() {
        Some(pointer) => pointer,
        None => refusal::throw(),
    }
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
