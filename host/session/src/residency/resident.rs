//! Open models, each by what makes it what it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use super::lock;
use crate::error::Error;

/// Open models by fingerprint and settings. Weak: whoever uses one keeps it.
/// Each has a lock of its own, held while it opens: two who want the same must
/// not both pay, and one that hangs must not hold up the others.
pub(super) struct Resident<M>(Mutex<HashMap<String, Arc<Mutex<Weak<M>>>>>);

impl<M> Default for Resident<M> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<M> Resident<M> {
    pub(super) fn get_or_open(
        &self,
        key: String,
        open: impl FnOnce() -> Result<M, Error>,
    ) -> Result<Arc<M>, Error> {
        let place = {
            let mut open_models = lock(&self.0);
            open_models.retain(|_, place| {
                let idle = Arc::strong_count(place) == 1;
                !idle || lock(place).strong_count() > 0
            });
            Arc::clone(open_models.entry(key).or_default())
        };
        let mut held = lock(&place);
        if let Some(model) = held.upgrade() {
            return Ok(model);
        }
        let model = Arc::new(open()?);
        *held = Arc::downgrade(&model);
        Ok(model)
    }

    /// Those that are open now.
    pub(super) fn all(&self) -> Vec<Arc<M>> {
        let open = lock(&self.0);
        // One that is locked is being opened.
        let all = open.values().filter_map(|place| place.try_lock().ok());
        all.filter_map(|held| held.upgrade()).collect()
    }
}
