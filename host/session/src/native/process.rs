//! The end of the process.

/// Ends at once: runs nothing that libraries have registered for an end, since
/// threads that are inside of them still run. Everything worth keeping is
/// written by then.
pub fn end(code: u8) -> ! {
    #[expect(unsafe_code, reason = "a foreign function")]
    // SAFETY: takes a number and does not come back.
    unsafe {
        libc::_exit(code.into())
    }
}
