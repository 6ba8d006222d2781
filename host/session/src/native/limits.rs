//! Limits of this process, for one that tries what may be hostile.

/// Bounds on what is left of this process, and its end with its parent's. Best
/// effort but for the parent: a system without one of them has the others.
#[expect(unsafe_code, reason = "calls of the C library")]
pub(crate) fn confine(parent: u32, memory: u64, seconds: u64) -> Result<(), String> {
    let limit = |what, most: u64| {
        let limit = libc::rlimit {
            rlim_cur: most,
            rlim_max: most,
        };
        // SAFETY: a struct that is read.
        unsafe { libc::setrlimit(what, &raw const limit) };
    };
    limit(libc::RLIMIT_CORE, 0);
    limit(libc::RLIMIT_AS, memory);
    limit(libc::RLIMIT_CPU, seconds);
    // Who serves goes first, and where memory ends this one goes first.
    // SAFETY: a number.
    let _ = unsafe { libc::nice(10) };
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    // SAFETY: numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // SAFETY: nothing is passed.
    if unsafe { libc::getppid() }.cast_unsigned() == parent {
        Ok(())
    } else {
        Err("whoever asked has gone".to_owned())
    }
}
