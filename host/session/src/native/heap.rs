//! The C heap: what ONNX Runtime's own objects, protocol buffers and Rust's
//! boxes live in, outside the slab.

use std::sync::atomic::{AtomicBool, Ordering};

static KEEP: AtomicBool = AtomicBool::new(false);

/// From now on nothing is trimmed: what it would be like without.
pub fn keep() {
    KEEP.store(true, Ordering::Relaxed);
}

/// Keeps the heap from creeping: few arenas, and large blocks outside of them.
/// Left alone glibc gives every thread an arena and, once a large block was
/// freed, serves others of its size from there, where small ones that stay
/// keep their pages. Call it before there are threads, and only if tensors do
/// not live in the heap: mapping each of those would cost.
pub fn steady() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [
        (libc::M_ARENA_MAX, 2),
        (libc::M_MMAP_THRESHOLD, 1 << 20),
        (libc::M_TRIM_THRESHOLD, 128 << 10),
    ] {
        #[expect(unsafe_code, reason = "a foreign function")]
        // SAFETY: takes two numbers; a parameter it does not know it ignores.
        unsafe {
            libc::mallopt(parameter, value);
        }
    }
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
