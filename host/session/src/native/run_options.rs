//! The options of a run, in a shape that another thread may end the run by.

use ort::session::{HasSelectedOutputs, RunOptions};

/// Borrowed by the run, and meanwhile told to end by whoever holds it too.
pub(crate) struct SharedOptions(RunOptions<HasSelectedOutputs>);

#[expect(unsafe_code, reason = "options that other threads set a flag of")]
// SAFETY: they are only read after they were made, but for the flag, and
// `RunOptionsSetTerminate` is made for calls from other threads. The binding
// withholds `Sync` for outputs that are allocated beforehand; `new` takes none.
unsafe impl Sync for SharedOptions {}

impl SharedOptions {
    /// `options` have no output that is allocated beforehand.
    pub(crate) fn new(options: RunOptions<HasSelectedOutputs>) -> Self {
        Self(options)
    }

    pub(crate) fn of_the_run(&self) -> &RunOptions<HasSelectedOutputs> {
        &self.0
    }

    pub(crate) fn end_run(&self) {
        // It fails for options that are gone, and these are not.
        let _ = self.0.terminate();
    }
}
