//! How large an answer may become, and all of them together while they wait
//! to be whole. What a caller's numbers ask for ends here, whatever they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use crate::document::Unfit;
use crate::error::Error;
use crate::units::{Bytes as Size, Span};

/// `[answers]` in koemasu.toml.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Answers {
    /// Sound of one answer, silence and all.
    pub sound_max: Span,
    /// Bytes of one answer.
    pub bytes_max: Size,
    /// Bytes of all answers that are kept until they are whole.
    pub held_max: Size,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            // A thousand characters are three minutes.
            sound_max: Span::seconds(600),
            // All of it in stereo floats at 48 kHz is 220 MiB.
            bytes_max: Size::mebibytes(256),
            // As many places as there are could ask for more than any machine
            // has; whole answers of a sentence take a few megabytes each.
            held_max: Size::mebibytes(1_024),
        }
    }
}

/// Beyond it nothing would be a bound.
const SOUND_MAX: Span = Span::seconds(24 * 3_600);

impl Answers {
    /// What no type can say.
    pub fn check(&self) -> Result<(), Unfit> {
        let Self {
            sound_max,
            bytes_max,
            held_max,
        } = self;
        if sound_max.0.is_zero() || *sound_max > SOUND_MAX {
            return Err(Unfit::new(
                "answers.sound_max",
                format!(
                    "`answers.sound_max` is {:?}; it is more than 0 and {:?} at most",
                    sound_max.0, SOUND_MAX.0
                ),
            ));
        }
        if bytes_max.0 == 0 || bytes_max > held_max {
            return Err(Unfit::new(
                "answers.bytes_max",
                format!(
                    "`answers.bytes_max` is {bytes_max} and `answers.held_max` {held_max}; right is 0 < bytes_max <= held_max"
                ),
            ));
        }
        Ok(())
    }

    /// Whether so much sound is too much for one answer.
    pub fn sound(&self, sound: Duration) -> Result<(), Error> {
        match sound > self.sound_max.0 {
            true => Err(self.too_long()),
            false => Ok(()),
        }
    }

    pub(crate) fn too_long(&self) -> Error {
        Error::TooLarge(format!(
            "the answer would be longer than {:?}, the most this server gives (`answers.sound_max`); ask for less text, silence or slowness",
            self.sound_max.0
        ))
    }

    /// The same for its bytes.
    pub fn bytes(&self, bytes: u64) -> Result<(), Error> {
        match bytes > self.bytes_max.0 {
            true => Err(Error::TooLarge(format!(
                "the answer would have more than {}, the most this server gives (`answers.bytes_max`); ask for less sound, a lower rate or a smaller format",
                self.bytes_max
            ))),
            false => Ok(()),
        }
    }
}

/// Bytes that are kept now, over all requests.
#[derive(Debug)]
pub(crate) struct Held {
    most: u64,
    now: AtomicU64,
}

impl Held {
    pub(crate) fn new(most: Size) -> Arc<Self> {
        Arc::new(Self {
            most: most.0,
            now: AtomicU64::new(0),
        })
    }

    pub(crate) fn hold(self: &Arc<Self>) -> Hold {
        Hold {
            held: Arc::clone(self),
            bytes: 0,
        }
    }
}

/// One request's part of them; given back when dropped.
#[derive(Debug)]
pub struct Hold {
    held: Arc<Held>,
    bytes: u64,
}

impl Hold {
    /// Before the memory is taken.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        let bytes = bytes as u64;
        let before = self.held.now.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if before + bytes > self.held.most {
            self.shrink(bytes as usize);
            return Err(Error::NoRoom {
                cause: format!(
                    "answers that are kept until they are whole take {} together; a stream is kept nowhere",
                    Size(self.held.most)
                ),
                waited: Duration::ZERO,
            });
        }
        Ok(())
    }

    /// Bytes that give it back when the last of them has left.
    pub fn keep(self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Kept { bytes, _hold: self })
    }

    /// Another part of the same.
    #[must_use]
    pub fn another(&self) -> Self {
        self.held.hold()
    }

    /// Of nobody else's: for what has no server.
    pub fn of(answers: &Answers) -> Self {
        Held::new(answers.held_max).hold()
    }

    /// These bytes have left, or were never made; more than are held count as
    /// all of them.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = self.bytes.min(bytes as u64);
        self.bytes -= bytes;
        self.held.now.fetch_sub(bytes, Ordering::Relaxed);
    }
}

struct Kept {
    bytes: Vec<u8>,
    _hold: Hold,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.held.now.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_has_a_bound_and_comes_back() {
        let held = Held::new(Size(100));
        let (mut first, mut second) = (held.hold(), held.hold());
        first.grow(60).expect("room");
        assert!(matches!(second.grow(41), Err(Error::NoRoom { .. })));
        second.grow(40).expect("just as much");
        first.shrink(10);
        second.grow(10).expect("what the other gave back");
        drop((first, second));
        assert_eq!(held.now.load(Ordering::Relaxed), 0);
    }
}
