//! How many speech requests are taken in. Beyond it a caller is told at once
//! to come back, instead of waiting for those before it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::events;

pub struct Admission {
    most: usize,
    permits: Arc<Semaphore>,
}

/// One request's place; given back when dropped.
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

/// Every place is taken.
#[derive(Debug)]
pub struct Full {
    pub most: usize,
}

impl Admission {
    pub fn new(most: usize) -> Self {
        Self {
            most,
            permits: Arc::new(Semaphore::new(most)),
        }
    }

    pub fn enter(&self) -> Result<Place, Full> {
        match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => {
                events::admitted();
                Ok(Place { _permit: permit })
            }
            Err(_) => {
                events::refused(self.most);
                Err(Full { most: self.most })
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        events::left();
    }
}
