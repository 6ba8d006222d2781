//! How far a pull is, told now and then.

use std::time::{Duration, Instant};

/// Between two words about one file; nobody reads faster.
const PAUSE: Duration = Duration::from_millis(100);

/// How far one file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The file's name in its folder.
    pub file: &'a str,
    /// Bytes that are here, those of an earlier attempt among them.
    pub done: u64,
    /// Bytes of the whole file, if anybody has said.
    pub total: Option<u64>,
}

/// Tells at most ten times a second, the end of a file always.
pub(crate) struct Teller<'a> {
    tell: &'a mut dyn FnMut(Progress<'_>),
    told: Option<Instant>,
}

impl<'a> Teller<'a> {
    pub(crate) fn new(tell: &'a mut dyn FnMut(Progress<'_>)) -> Self {
        Self { tell, told: None }
    }

    pub(crate) fn on_the_way(&mut self, progress: Progress<'_>) {
        if self.told.is_none_or(|told| told.elapsed() >= PAUSE) {
            self.told = Some(Instant::now());
            (self.tell)(progress);
        }
    }

    pub(crate) fn whole(&mut self, file: &str, bytes: u64) {
        (self.tell)(Progress {
            file,
            done: bytes,
            total: Some(bytes),
        });
    }
}
