//! The few calls of the CUDA runtime that the slab needs, found in the library
//! that ONNX Runtime's CUDA provider has loaded already.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use libloading::Library;

type Malloc = unsafe extern "C" fn(*mut *mut c_void, usize) -> c_int;
type Free = unsafe extern "C" fn(*mut c_void) -> c_int;
type HostAlloc = unsafe extern "C" fn(*mut *mut c_void, usize, c_uint) -> c_int;
type MemcpyAsync =
    unsafe extern "C" fn(*mut c_void, *const c_void, usize, c_int, *mut c_void) -> c_int;
type MemGetInfo = unsafe extern "C" fn(*mut usize, *mut usize) -> c_int;
type SetDevice = unsafe extern "C" fn(c_int) -> c_int;
type StreamCreate = unsafe extern "C" fn(*mut *mut c_void) -> c_int;
type StreamSynchronize = unsafe extern "C" fn(*mut c_void) -> c_int;
type GetErrorString = unsafe extern "C" fn(c_int) -> *const c_char;

/// `cudaMemcpyKind`.
const HOST_TO_DEVICE: c_int = 1;
const DEVICE_TO_HOST: c_int = 2;
const DEVICE_TO_DEVICE: c_int = 3;

/// Names of the runtime library, the newest first.
const NAMES: [&str; 2] = ["libcudart.so.13", "libcudart.so.12"];

/// What the CUDA runtime refused. The operator can act: a driver, its libraries,
/// a smaller `memory.budget`, or `device = "cpu"`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CudaError {
    #[error("the CUDA runtime is not there{}", .0.as_ref().map(|e| format!(": {e}")).unwrap_or_default())]
    Missing(Option<libloading::Error>),
    #[error("the CUDA runtime lacks a function: {0}")]
    Symbol(libloading::Error),
    #[error("CUDA: {said} ({code})")]
    Call { said: String, code: c_int },
}

impl From<CudaError> for crate::error::Error {
    fn from(error: CudaError) -> Self {
        Self::Device(error.to_string())
    }
}

/// A device of the CUDA runtime.
#[derive(Clone)]
pub(crate) struct Cuda {
    device: c_int,
    calls: Arc<Calls>,
}

struct Calls {
    malloc: Malloc,
    free: Free,
    host_alloc: HostAlloc,
    free_host: Free,
    memcpy_async: MemcpyAsync,
    mem_get_info: MemGetInfo,
    set_device: SetDevice,
    stream_create: StreamCreate,
    stream_synchronize: StreamSynchronize,
    error_string: GetErrorString,
    /// Kept: the pointers above point into it.
    _library: Library,
}

/// One compute stream for everything on a device: a block of the slab that
/// one run has freed may be written by the next only after it, and work on one
/// stream keeps its order.
static STREAM: OnceLock<usize> = OnceLock::new();

#[expect(
    unsafe_code,
    reason = "foreign functions; each call says why it is sound"
)]
impl Cuda {
    pub(crate) fn load(device: i32) -> Result<Self, CudaError> {
        // A failure is not kept: the library may come later, as when set-up's
        // is loaded, or one is installed before a reload.
        static CALLS: Mutex<Option<Arc<Calls>>> = Mutex::new(None);
        let mut known = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = match &*known {
            Some(calls) => Arc::clone(calls),
            None => Arc::clone(known.insert(Calls::find()?)),
        };
        Ok(Self { device, calls })
    }

    /// Bytes of the device: free, total.
    pub(crate) fn memory(&self) -> Result<(usize, usize), CudaError> {
        self.select()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: both out-pointers are valid for the call.
        self.check(unsafe { (self.calls.mem_get_info)(&raw mut free, &raw mut total) })?;
        Ok((free, total))
    }

    pub(crate) fn allocate(&self, bytes: usize) -> Result<*mut u8, CudaError> {
        self.select()?;
        let mut pointer = std::ptr::null_mut();
        // SAFETY: the out-pointer is valid for the call.
        self.check(unsafe { (self.calls.malloc)(&raw mut pointer, bytes) })?;
        Ok(pointer.cast())
    }

    pub(crate) fn allocate_pinned(&self, bytes: usize) -> Result<*mut u8, CudaError> {
        self.select()?;
        let mut pointer = std::ptr::null_mut();
        // SAFETY: the out-pointer is valid for the call; 0 are the default flags.
        self.check(unsafe { (self.calls.host_alloc)(&raw mut pointer, bytes, 0) })?;
        Ok(pointer.cast())
    }

    /// Gives back what `allocate` gave, once the stream has done with it.
    pub(crate) fn free(&self, pointer: *mut u8) -> Result<(), CudaError> {
        self.release(self.calls.free, pointer)
    }

    /// Gives back what `allocate_pinned` gave, once the stream has done with it.
    pub(crate) fn free_pinned(&self, pointer: *mut u8) -> Result<(), CudaError> {
        self.release(self.calls.free_host, pointer)
    }

    fn release(&self, free: Free, pointer: *mut u8) -> Result<(), CudaError> {
        self.select()?;
        self.synchronize()?;
        // SAFETY: the caller hands over what the other half of `free` gave, once.
        self.check(unsafe { free(pointer.cast()) })
    }

    pub(crate) fn copy_from_host(&self, to: *mut u8, bytes: &[u8]) -> Result<(), CudaError> {
        self.copy(
            to.cast(),
            bytes.as_ptr().cast(),
            bytes.len(),
            HOST_TO_DEVICE,
        )
    }

    pub(crate) fn copy_to_host(&self, from: *const u8, into: &mut [u8]) -> Result<(), CudaError> {
        self.copy(
            into.as_mut_ptr().cast(),
            from.cast(),
            into.len(),
            DEVICE_TO_HOST,
        )
    }

    pub(crate) fn copy_on_device(
        &self,
        from: *const u8,
        to: *mut u8,
        bytes: usize,
    ) -> Result<(), CudaError> {
        self.copy(to.cast(), from.cast(), bytes, DEVICE_TO_DEVICE)
    }

    fn copy(
        &self,
        to: *mut c_void,
        from: *const c_void,
        bytes: usize,
        kind: c_int,
    ) -> Result<(), CudaError> {
        // Also where it is not there yet: what is copied before the first run
        // is read by it, and only one stream keeps that order.
        let stream = self.stream()?.cast();
        // SAFETY: the caller's ranges are valid for `bytes`. Runs before it on
        // the stream have ended when it begins, and those after it wait; so
        // the host waits for nothing but its own bytes.
        self.check(unsafe { (self.calls.memcpy_async)(to, from, bytes, kind, stream) })?;
        match kind {
            // Ordered by the stream; no host memory is lent.
            DEVICE_TO_DEVICE => Ok(()),
            _ => self.synchronize(),
        }
    }

    /// The one compute stream, made when first asked for.
    pub(crate) fn stream(&self) -> Result<*mut (), CudaError> {
        if let Some(stream) = STREAM.get() {
            return Ok(*stream as *mut ());
        }
        self.select()?;
        let mut stream = std::ptr::null_mut();
        // SAFETY: the out-pointer is valid for the call.
        self.check(unsafe { (self.calls.stream_create)(&raw mut stream) })?;
        Ok(*STREAM.get_or_init(|| stream as usize) as *mut ())
    }

    /// Waits until the compute stream has nothing left to do.
    fn synchronize(&self) -> Result<(), CudaError> {
        let stream = STREAM.get().copied().unwrap_or(0) as *mut c_void;
        // SAFETY: the stream is ours and never destroyed; 0 is the default one.
        self.check(unsafe { (self.calls.stream_synchronize)(stream) })
    }

    fn select(&self) -> Result<(), CudaError> {
        // SAFETY: takes a number.
        self.check(unsafe { (self.calls.set_device)(self.device) })
    }

    fn check(&self, code: c_int) -> Result<(), CudaError> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: CUDA returns a static string for every code.
        let said = unsafe { CStr::from_ptr((self.calls.error_string)(code)) };
        Err(CudaError::Call {
            said: said.to_string_lossy().into_owned(),
            code,
        })
    }
}

/// A provider whose sessions all work on the device's one stream.
pub(crate) fn on_one_stream(
    provider: ort::ep::CUDA,
    device: i32,
) -> Result<ort::ep::CUDA, CudaError> {
    let stream = Cuda::load(device)?.stream()?;
    #[expect(unsafe_code, reason = "a stream by its address")]
    // SAFETY: the stream is never destroyed.
    Ok(unsafe { provider.with_compute_stream(stream) })
}

#[expect(unsafe_code, reason = "loading a library runs its code")]
impl Calls {
    fn find() -> Result<Arc<Self>, CudaError> {
        let mut missing = None;
        for name in NAMES {
            // SAFETY: the CUDA runtime's initializers have no preconditions.
            match unsafe { Library::new(name) } {
                Ok(library) => return Self::from(library),
                Err(error) => missing = Some(error),
            }
        }
        Err(CudaError::Missing(missing))
    }

    fn from(library: Library) -> Result<Arc<Self>, CudaError> {
        macro_rules! call {
            ($name:literal) => {
                // SAFETY: the type is that of the CUDA runtime's own header,
                // which has kept it since CUDA 10.
                unsafe { *library.get($name).map_err(CudaError::Symbol)? }
            };
        }
        Ok(Arc::new(Self {
            malloc: call!(b"cudaMalloc\0"),
            free: call!(b"cudaFree\0"),
            host_alloc: call!(b"cudaHostAlloc\0"),
            free_host: call!(b"cudaFreeHost\0"),
            memcpy_async: call!(b"cudaMemcpyAsync\0"),
            mem_get_info: call!(b"cudaMemGetInfo\0"),
            set_device: call!(b"cudaSetDevice\0"),
            stream_create: call!(b"cudaStreamCreate\0"),
            stream_synchronize: call!(b"cudaStreamSynchronize\0"),
            error_string: call!(b"cudaGetErrorString\0"),
            _library: library,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A double of the CUDA runtime: a library of the right name that answers
    /// every call with success.
    const DOUBLE: &str = "
        #include <stddef.h>
        #include <stdlib.h>
        #include <string.h>
        int cudaMalloc(void **p, size_t n) { *p = malloc(n); return *p ? 0 : 2; }
        int cudaFree(void *p) { free(p); return 0; }
        int cudaFreeHost(void *p) { free(p); return 0; }
        int cudaHostAlloc(void **p, size_t n, unsigned f) { return cudaMalloc(p, n); }
        static int waits, copies;
        int cudaMemcpyAsync(void *to, const void *from, size_t n, int kind, void *stream) {
            if (stream != (void *)7) return 1;
            copies++;
            memcpy(to, from, n);
            return 0;
        }
        int cudaMemGetInfo(size_t *f, size_t *t) { *f = 1 << 30; *t = 2 << 29; return 0; }
        int cudaSetDevice(int d) { return d ? 101 : 0; }
        int cudaStreamCreate(void **s) { *s = (void *)7; return 0; }
        int cudaStreamSynchronize(void *s) { waits++; return s == (void *)7 ? 0 : 1; }
        const char *cudaGetErrorString(int c) { return c == 101 ? \"no such device\" : \"?\"; }
        int double_waits(void) { return waits; }
    ";

    #[test]
    #[expect(unsafe_code, reason = "a library of our own making")]
    fn a_library_that_comes_later_is_found_and_copies_stay_on_one_stream() {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, library) = (folder.path().join("double.c"), folder.path().join(NAMES[0]));
        std::fs::write(&source, DOUBLE).expect("a file");
        let built = std::process::Command::new("cc")
            .args(["-shared", "-fPIC", "-w"])
            .arg(format!("-Wl,-soname,{}", NAMES[0]))
            .arg("-o")
            .args([&library, &source])
            .status();
        assert!(
            built
                .expect("a C compiler, which Rust links with")
                .success()
        );
        if Cuda::load(0).is_ok() {
            // A machine with CUDA has no need of a double.
            return;
        }
        // SAFETY: the library above, which has no initializers.
        let loaded = unsafe { Library::new(&library) }.expect("it loads");
        let cuda = Cuda::load(0).expect("what was not there is there now");
        assert_eq!(cuda.memory().expect("told"), (1 << 30, 1 << 30));
        let other = Cuda::load(1).expect("the same library").memory();
        assert!(other.is_err_and(|it| it.to_string().contains("no such device")));

        let (from, mut into) = ([7_u8; 64], [0_u8; 64]);
        let place = cuda.allocate(64).expect("memory");
        let there = cuda.allocate(64).expect("memory");
        // SAFETY: a function of the library above, without arguments.
        let waits = || unsafe {
            let waits = loaded.get::<unsafe extern "C" fn() -> c_int>(b"double_waits\0");
            waits.expect("it is there")()
        };
        cuda.copy_from_host(place, &from).expect("copied");
        assert_eq!(waits(), 1, "the host's bytes are lent until then");
        cuda.copy_on_device(place, there, 64).expect("copied");
        assert_eq!(waits(), 1, "a swap on the device waits for nobody");
        cuda.copy_to_host(there, &mut into).expect("copied");
        assert_eq!((waits(), into), (2, from));
        cuda.free(there).expect("given back");
        assert_eq!(waits(), 3, "not under a run");
    }
}
