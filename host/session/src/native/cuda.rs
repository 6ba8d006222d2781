//! The few calls of the CUDA runtime that the slab needs, found in the library
//! that ONNX Runtime's CUDA provider has loaded already.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::{Arc, OnceLock};

use libloading::Library;

type Malloc = unsafe extern "C" fn(*mut *mut c_void, usize) -> c_int;
type HostAlloc = unsafe extern "C" fn(*mut *mut c_void, usize, c_uint) -> c_int;
type Memcpy = unsafe extern "C" fn(*mut c_void, *const c_void, usize, c_int) -> c_int;
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

/// A device of the CUDA runtime.
#[derive(Clone)]
pub(crate) struct Cuda {
    device: c_int,
    calls: Arc<Calls>,
}

struct Calls {
    malloc: Malloc,
    host_alloc: HostAlloc,
    memcpy: Memcpy,
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
    pub(crate) fn load(device: i32) -> Result<Self, String> {
        static CALLS: OnceLock<Result<Arc<Calls>, String>> = OnceLock::new();
        let calls = CALLS.get_or_init(Calls::find).clone()?;
        Ok(Self { device, calls })
    }

    /// Bytes of the device: free, total.
    pub(crate) fn memory(&self) -> Result<(usize, usize), String> {
        self.select()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: both out-pointers are valid for the call.
        self.check(unsafe { (self.calls.mem_get_info)(&raw mut free, &raw mut total) })?;
        Ok((free, total))
    }

    pub(crate) fn allocate(&self, bytes: usize) -> Result<*mut u8, String> {
        self.select()?;
        let mut pointer = std::ptr::null_mut();
        // SAFETY: the out-pointer is valid for the call.
        self.check(unsafe { (self.calls.malloc)(&raw mut pointer, bytes) })?;
        Ok(pointer.cast())
    }

    pub(crate) fn allocate_pinned(&self, bytes: usize) -> Result<*mut u8, String> {
        self.select()?;
        let mut pointer = std::ptr::null_mut();
        // SAFETY: the out-pointer is valid for the call; 0 are the default flags.
        self.check(unsafe { (self.calls.host_alloc)(&raw mut pointer, bytes, 0) })?;
        Ok(pointer.cast())
    }

    pub(crate) fn copy_from_host(&self, to: *mut u8, bytes: &[u8]) -> Result<(), String> {
        self.copy(
            to.cast(),
            bytes.as_ptr().cast(),
            bytes.len(),
            HOST_TO_DEVICE,
        )
    }

    pub(crate) fn copy_to_host(&self, from: *const u8, into: &mut [u8]) -> Result<(), String> {
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
    ) -> Result<(), String> {
        self.copy(to.cast(), from.cast(), bytes, DEVICE_TO_DEVICE)
    }

    fn copy(
        &self,
        to: *mut c_void,
        from: *const c_void,
        bytes: usize,
        kind: c_int,
    ) -> Result<(), String> {
        self.select()?;
        self.synchronize()?;
        // SAFETY: the caller's ranges are valid for `bytes`; nothing runs on
        // the stream, so nobody reads or writes them now.
        self.check(unsafe { (self.calls.memcpy)(to, from, bytes, kind) })?;
        // A copy on the device may return before it has ended.
        self.check(unsafe { (self.calls.stream_synchronize)(std::ptr::null_mut()) })
    }

    /// The one compute stream, made when first asked for.
    pub(crate) fn stream(&self) -> Result<*mut (), String> {
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
    fn synchronize(&self) -> Result<(), String> {
        let stream = STREAM.get().copied().unwrap_or(0) as *mut c_void;
        // SAFETY: the stream is ours and never destroyed; 0 is the default one.
        self.check(unsafe { (self.calls.stream_synchronize)(stream) })
    }

    fn select(&self) -> Result<(), String> {
        // SAFETY: takes a number.
        self.check(unsafe { (self.calls.set_device)(self.device) })
    }

    fn check(&self, code: c_int) -> Result<(), String> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: CUDA returns a static string for every code.
        let said = unsafe { CStr::from_ptr((self.calls.error_string)(code)) };
        Err(format!("CUDA: {} ({code})", said.to_string_lossy()))
    }
}

/// A provider whose sessions all work on the device's one stream.
pub(crate) fn on_one_stream(provider: ort::ep::CUDA, device: i32) -> Result<ort::ep::CUDA, String> {
    let stream = Cuda::load(device)?.stream()?;
    #[expect(unsafe_code, reason = "a stream by its address")]
    // SAFETY: the stream is never destroyed.
    Ok(unsafe { provider.with_compute_stream(stream) })
}

#[expect(unsafe_code, reason = "loading a library runs its code")]
impl Calls {
    fn find() -> Result<Arc<Self>, String> {
        let mut missing = String::new();
        for name in NAMES {
            // SAFETY: the CUDA runtime's initializers have no preconditions.
            match unsafe { Library::new(name) } {
                Ok(library) => return Self::from(library),
                Err(error) => missing = error.to_string(),
            }
        }
        Err(format!("the CUDA runtime is not there: {missing}"))
    }

    fn from(library: Library) -> Result<Arc<Self>, String> {
        macro_rules! call {
            ($name:literal) => {
                // SAFETY: the type is that of the CUDA runtime's own header,
                // which has kept it since CUDA 10.
                unsafe { *library.get($name).map_err(|e| e.to_string())? }
            };
        }
        Ok(Arc::new(Self {
            malloc: call!(b"cudaMalloc\0"),
            host_alloc: call!(b"cudaHostAlloc\0"),
            memcpy: call!(b"cudaMemcpy\0"),
            mem_get_info: call!(b"cudaMemGetInfo\0"),
            set_device: call!(b"cudaSetDevice\0"),
            stream_create: call!(b"cudaStreamCreate\0"),
            stream_synchronize: call!(b"cudaStreamSynchronize\0"),
            error_string: call!(b"cudaGetErrorString\0"),
            _library: library,
        }))
    }
}
