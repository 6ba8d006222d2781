//! How long a new request would wait: the work that was taken in and is not
//! done, in characters, and how long a character takes.
//!
//! A caller who would be told to come back in a minute anyway is told at once,
//! and no work is begun that its deadline would throw away.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Default)]
pub(crate) struct Backlog {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Taken in and not yet spoken.
    characters: usize,
    /// Of one lane, for one character.
    seconds: f64,
    /// Sentences that `seconds` was learnt from, as far as it matters.
    sentences: u32,
}

/// The work of one request; what of it is not done when this is dropped is
/// work no more.
pub(crate) struct Ticket {
    backlog: Arc<Backlog>,
    characters: usize,
}

/// The mean is over about so many sentences.
const MEMORY: u32 = 20;

impl Backlog {
    /// Takes the work in if it would begin within `most`; else the time after
    /// which it would.
    pub(crate) fn enter(
        self: &Arc<Self>,
        characters: usize,
        lanes: usize,
        most: Duration,
    ) -> Result<Ticket, Duration> {
        let state = self.state();
        let wait = state.wait(lanes);
        if wait > most {
            return Err(wait - most);
        }
        Ok(self.take_in(state, characters))
    }

    /// Takes it in however long it will wait.
    pub(crate) fn enter_always(self: &Arc<Self>, characters: usize) -> Ticket {
        self.take_in(self.state(), characters)
    }

    /// Under the lock that the wait was looked at with: two who come together
    /// must not both find the same room.
    fn take_in(self: &Arc<Self>, mut state: MutexGuard<'_, State>, characters: usize) -> Ticket {
        state.characters += characters;
        Ticket {
            backlog: Arc::clone(self),
            characters,
        }
    }

    /// Until what was taken in is done.
    pub(crate) fn wait(&self, lanes: usize) -> Duration {
        self.state().wait(lanes)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wait(&self, lanes: usize) -> Duration {
        let seconds = self.seconds * self.characters as f64;
        Duration::from_secs_f64(seconds / lanes.max(1) as f64)
    }
}

impl Ticket {
    /// A sentence was spoken in so much time of a lane.
    pub(crate) fn spoken(&mut self, characters: usize, took: Duration) {
        let done = characters.min(self.characters);
        self.characters -= done;
        let mut state = self.backlog.state();
        state.characters -= done;
        let news = took.as_secs_f64() / characters.max(1) as f64;
        state.sentences = (state.sentences + 1).min(MEMORY);
        state.seconds += (news - state.seconds) / f64::from(state.sentences);
    }
}

/// While it lives, the work of a ticket is nobody's hindrance.
pub(crate) struct Aside<'t>(&'t Ticket);

impl Ticket {
    /// The rest of the work waits for its reader, and others need not wait for
    /// it.
    pub(crate) fn stand_aside(&self) -> Aside<'_> {
        self.backlog.state().characters -= self.characters;
        Aside(self)
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        self.0.backlog.state().characters += self.0.characters;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.backlog.state().characters -= self.characters;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(20);

    #[test]
    fn who_would_wait_too_long_is_told_how_long() {
        let backlog = Arc::new(Backlog::default());
        let mut first = backlog.enter(1_000, 1, MOST).expect("nobody is there");
        assert_eq!(backlog.wait(1), Duration::ZERO, "nothing is known yet");
        first.spoken(100, Duration::from_secs(10));
        assert_eq!(backlog.wait(1).as_secs(), 90, "900 characters, 0.1 s each");
        assert_eq!(backlog.wait(3).as_secs(), 30, "three at once");
        let refused = backlog.enter(10, 1, MOST).map(drop);
        assert_eq!(refused.map_err(|wait| wait.as_secs()), Err(70));
        let aside = first.stand_aside();
        assert_eq!(backlog.wait(1), Duration::ZERO, "it waits for its reader");
        drop(aside);
        assert_eq!(backlog.wait(1).as_secs(), 90, "it goes on");
        drop(first);
        assert_eq!(backlog.wait(1), Duration::ZERO, "the work has gone with it");
        assert!(backlog.enter(10, 1, MOST).is_ok());
    }
}
