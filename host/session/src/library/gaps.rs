//! What cannot be moved while it is open is closed and opened anew lower down,
//! when something that lay there has gone: between two such there would stay a
//! stretch that is too short for a third.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::{Library, Own};
use crate::error::Error;
use crate::events;

/// Sessions that no eviction closes.
pub(crate) trait Fixed: Send + Sync {
    /// For logs.
    fn kind(&self) -> &'static str;

    /// Opens one that is idle anew where it will lie lower. Says whether there
    /// was one.
    fn sink_one(&self) -> Result<bool, Error>;
}

#[derive(Default)]
pub(super) struct Walls {
    known: Mutex<Vec<Weak<dyn Fixed>>>,
    /// One at a time: opening one may ask for room itself.
    closing: Mutex<()>,
}

impl Library {
    /// From now on gaps below these are closed.
    pub(crate) fn stands(&self, fixed: &Arc<impl Fixed + 'static>) {
        let mut known = lock(&self.walls.known);
        known.retain(|it| it.strong_count() > 0);
        let fixed: Weak<dyn Fixed> = Arc::downgrade(fixed) as _;
        known.push(fixed);
    }

    /// Lets what is idle lie as low as it can; says how many sessions were
    /// opened anew for it. `loading` is not held.
    pub(crate) fn close_gaps(&self) -> usize {
        let Ok(_one) = self.walls.closing.try_lock() else {
            return 0;
        };
        let known = lock(&self.walls.known).clone();
        let fixed = known.iter().filter_map(Weak::upgrade);
        let pinned = self.pinned().into_iter();
        let pinned = pinned.map(|own| own as Arc<dyn Fixed>);
        let mut sunk = 0;
        for fixed in fixed.chain(pinned) {
            loop {
                match fixed.sink_one() {
                    Ok(true) => events::sunk(fixed.kind()),
                    Ok(false) => break,
                    Err(error) => {
                        events::not_sunk(fixed.kind(), &error);
                        break;
                    }
                }
                sunk += 1;
            }
        }
        sunk
    }

    /// Sessions of voices that no policy sends away.
    fn pinned(&self) -> Vec<Arc<Own>> {
        let rules = self.rules.load();
        let records = self.records().into_iter();
        let pinned = records.filter(|record| rules.policy.is_pinned(&record.name));
        pinned.filter_map(|record| record.own()).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
