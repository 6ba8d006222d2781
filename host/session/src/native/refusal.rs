//! How the allocator says no: by throwing, as a C++ allocator does.
//!
//! ONNX Runtime takes null from an allocator for memory and writes to it. An
//! exception it knows: every call of its C interface and every node it runs is
//! inside a `catch`, which gives back what the node held and ends the run with
//! a status. So one is thrown, by the function of the C++ library that exists
//! for callers who cannot throw themselves.

use std::ffi::{CStr, c_char};
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_NOW};

use crate::error::Error;

/// `std::__throw_runtime_error(char const*)`, in every libstdc++ since 2004.
type Throw = unsafe extern "C-unwind" fn(*const c_char) -> !;

static THROW: OnceLock<Throw> = OnceLock::new();

const NAME: &[u8] = b"_ZSt21__throw_runtime_errorPKc\0";
const LIBRARY: &str = "libstdc++.so.6";

const NO_ROOM: &CStr = c"the memory budget has no room for this tensor";

/// Finds the function once. Without it no slab may be registered: an allocator
/// that cannot say no would have to crash, or to pass its budget.
pub(crate) fn prepare() -> Result<(), Error> {
    if THROW.get().is_some() {
        return Ok(());
    }
    let failed = |cause: libloading::Error| {
        Error::Memory(format!(
            "the C++ library {LIBRARY} cannot be used ({cause}), and without it a run that needs too much cannot be ended; install it, or set `memory.mode = \"arena\"`"
        ))
    };
    #[expect(unsafe_code, reason = "loading the library ONNX Runtime is made with")]
    // SAFETY: the C++ standard library; ONNX Runtime has loaded it already.
    let library = unsafe { Library::open(Some(LIBRARY), RTLD_NOW) }.map_err(failed)?;
    #[expect(unsafe_code, reason = "a function by its name")]
    // SAFETY: its type by the library's own header, `bits/functexcept.h`.
    let throw = unsafe { library.get::<Throw>(NAME).map(|throw| *throw) }.map_err(failed)?;
    THROW.get_or_init(|| throw);
    // ONNX Runtime needs it as long as the process lives.
    std::mem::forget(library);
    Ok(())
}

/// Ends the C++ call that this is called from.
///
/// Only for a thread that is inside a call we made to ONNX Runtime: on a thread
/// of its own nothing catches, and the process would end.
pub(super) fn throw() -> ! {
    let throw = THROW.get().expect("found before anything was registered");
    #[expect(unsafe_code, reason = "a C++ function that throws")]
    // SAFETY: a text that lives for ever. What is thrown passes frames that
    // are made to be unwound, with nothing in them to drop.
    unsafe {
        throw(NO_ROOM.as_ptr())
    }
}
