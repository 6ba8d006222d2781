//! How many model runs happen at once, over all voices and BERT.
//!
//! Sessions bring their own threads; more runs than lanes would only make them
//! fight for cores. First come, first served; waiting has an end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

pub(crate) struct Gate {
    lanes: usize,
    wait: Duration,
    permits: Arc<Semaphore>,
}

/// The right to run one model once. Moves into the blocking closure, so that
/// a lane is free only when its run has really ended.
pub(crate) struct Lane {
    _permit: OwnedSemaphorePermit,
}

impl Gate {
    pub(crate) fn new(lanes: usize, wait: Duration) -> Self {
        Self {
            lanes,
            wait,
            permits: Arc::new(Semaphore::new(lanes)),
        }
    }

    /// The same gate serves the next generation if nothing about it changed.
    pub(crate) fn is(&self, lanes: usize, wait: Duration) -> bool {
        self.lanes == lanes && self.wait == wait
    }

    pub(crate) fn wait(&self) -> Duration {
        self.wait
    }

    pub(crate) async fn enter(&self) -> Result<Lane, Error> {
        let permit = Arc::clone(&self.permits).acquire_owned();
        match tokio::time::timeout(self.wait, permit).await {
            Ok(Ok(permit)) => Ok(Lane { _permit: permit }),
            Ok(Err(_)) | Err(_) => Err(Error::Busy { waited: self.wait }),
        }
    }
}
