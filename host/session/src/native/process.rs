//! The end of the process, and what libraries read from its environment.

/// What cuBLAS keeps for itself in each session's handle, outside of every
/// budget: one workspace of 4 MiB, where it takes 32 on Hopper. Whoever has
/// set `CUBLAS_WORKSPACE_CONFIG` is obeyed.
///
/// Call it first of all: no other thread may be there, which could read the
/// environment meanwhile.
pub fn bound_cublas() {
    const NAME: &str = "CUBLAS_WORKSPACE_CONFIG";
    #[expect(clippy::disallowed_methods, reason = "of a library, not of ours")]
    let unset = std::env::var_os(NAME).is_none();
    if unset {
        #[expect(unsafe_code, reason = "the environment has no lock for C")]
        // SAFETY: the caller says that there is no other thread.
        unsafe {
            std::env::set_var(NAME, ":4096:1");
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "what the library will read")]
    fn cublas_finds_its_bound() {
        bound_cublas();
        let found = std::env::var("CUBLAS_WORKSPACE_CONFIG");
        assert!(found.is_ok_and(|it| !it.is_empty()));
    }
}
