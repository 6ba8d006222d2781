//! How many speech requests are taken in. Beyond it a caller is told at once
//! to come back, instead of waiting for those before it.

use std::sync::Arc;

use crate::events;
use crate::shares::{Ledger, Owner, Share, Short};

pub struct Admission {
    places: Arc<Ledger>,
}

/// One request's place; given back when dropped.
pub struct Place {
    _share: Share,
}

impl Admission {
    /// So many in all, so many of one address.
    pub fn new(most: usize, each: usize) -> Self {
        Self {
            places: Ledger::new(most, each),
        }
    }

    pub fn enter(&self, owner: Owner) -> Result<Place, Short> {
        let mut share = self.places.share(owner);
        match share.grow(1) {
            Ok(()) => {
                events::admitted();
                Ok(Place { _share: share })
            }
            Err(short) => {
                let (Short::All(most) | Short::Address(most)) = short;
                events::refused(most);
                Err(short)
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        events::left();
    }
}
