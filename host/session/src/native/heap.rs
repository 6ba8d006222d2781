//! The C heap: what ONNX Runtime's own objects, protocol buffers and Rust's
//! boxes live in, outside the slab.

use std::sync::atomic::{AtomicBool, Ordering};

static KEEP: AtomicBool = AtomicBool::new(false);

/// From now on nothing is trimmed: what it would be like without.
pub fn keep() {
    KEEP.store(true, Ordering::Relaxed);
}

/// Gives free pages at the end of the heap, and whole free pages inside it,
/// back to the system. glibc keeps them otherwise: after five large models it
/// sat on 1.4 GiB that one call gave back. Milliseconds; call it at
/// boundaries (a model was opened or dropped), not in requests.
///
/// Returns whether anything was given back; without glibc it does nothing.
pub fn trim() -> bool {
    if KEEP.load(Ordering::Relaxed) {
        return false;
    }
    #[cfg(target_env = "gnu")]
    {
        #[expect(unsafe_code, reason = "a foreign function")]
        // SAFETY: takes a number and locks what it touches.
        unsafe {
            libc::malloc_trim(0) == 1
        }
    }
    #[cfg(not(target_env = "gnu"))]
    {
        false
    }
}
