//! How many speech requests are taken in. Beyond it a caller is told at once
//! to come back, instead of waiting for those before it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::events;
use crate::http::shares::{Ledger, Owner, Share, Short};

/// How many speech requests may be under way, and how many slow readers.
pub struct Admission {
    places: Arc<Ledger>,
    readers: Arc<Ledger>,
}

/// One request's place; given back when dropped.
pub struct Place {
    share: Mutex<Share>,
    readers: Arc<Ledger>,
    owner: Owner,
}

impl Admission {
    /// So many in all, so many of one address.
    /// `readers` are those who take longer than their work, beside them.
    pub fn new(most: usize, each: usize, readers: usize) -> Self {
        Self {
            places: Ledger::new(most, each),
            readers: Ledger::new(readers, readers.div_ceil(4)),
        }
    }

    /// Never waits: an error is told to the caller at once.
    pub fn enter(&self, owner: Owner) -> Result<Place, Short> {
        let mut share = self.places.share(owner);
        match share.grow(1) {
            Ok(()) => {
                events::admitted();
                Ok(Place {
                    share: Mutex::new(share),
                    readers: Arc::clone(&self.readers),
                    owner,
                })
            }
            Err(short) => {
                let (Short::All(most) | Short::Address(most)) = short;
                events::refused(most);
                Err(short)
            }
        }
    }
}

impl Place {
    /// Nobody works for it any more but when its reader takes something: the
    /// place is another's now, if there is room among such readers.
    pub fn stand_aside(&self) {
        let mut reader = self.readers.share(self.owner);
        if reader.grow(1).is_ok() {
            *self.share.lock().unwrap_or_else(PoisonError::into_inner) = reader;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        events::left();
    }
}
