//! Who may run: bytes of activations, handed out before a run starts.
//!
//! What a run needs is measured when it first runs, by kind of graph and
//! padded length, and corrected whenever a later run needs more. A run whose
//! need nobody knows yet gets the whole workspace and runs alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;
use crate::events;

/// Permits are counted in pieces of this size.
const PIECE: usize = 64 << 10;

pub struct Workspace {
    pieces: u32,
    permits: Arc<Semaphore>,
    needs: Mutex<BTreeMap<(Arc<str>, usize), usize>>,
}

/// The right to hold so many bytes of activations; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    bytes: usize,
    _permit: OwnedSemaphorePermit,
}

impl Permit {
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A measured or configured need.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Need {
    pub graph: String,
    pub length: usize,
    pub bytes: usize,
}

impl Workspace {
    pub fn new(bytes: usize) -> Self {
        let pieces = u32::try_from(bytes / PIECE).unwrap_or(u32::MAX).max(1);
        Self {
            pieces,
            permits: Arc::new(Semaphore::new(pieces as usize)),
            needs: Mutex::default(),
        }
    }

    pub fn bytes(&self) -> usize {
        self.pieces as usize * PIECE
    }

    pub fn free(&self) -> usize {
        self.permits.available_permits() * PIECE
    }

    /// All of it: for a run that must be alone.
    pub async fn acquire_all(&self, wait: Duration) -> Result<Permit, Error> {
        self.acquire(self.bytes(), wait).await
    }

    /// Waits for the bytes a run needs, `wait` at most. First come, first
    /// served; nobody gets more than there is.
    pub async fn acquire(&self, bytes: usize, wait: Duration) -> Result<Permit, Error> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX);
        let pieces = pieces.clamp(1, self.pieces);
        let permit = Arc::clone(&self.permits).acquire_many_owned(pieces);
        match tokio::time::timeout(wait, permit).await {
            Ok(Ok(permit)) => Ok(Permit {
                bytes: pieces as usize * PIECE,
                _permit: permit,
            }),
            Ok(Err(_)) | Err(_) => {
                events::workspace_refused(bytes);
                Err(Error::NoWorkspace {
                    needed: bytes,
                    free: self.free(),
                    waited: wait,
                })
            }
        }
    }

    /// What such a run is expected to need: as measured, with a little more
    /// for another voice's longer durations; between measured lengths by the
    /// next longer one; beyond them by the square of the length, since
    /// attention grows so.
    pub fn need(&self, graph: &Arc<str>, length: usize) -> usize {
        let needs = self.needs.lock().unwrap_or_else(PoisonError::into_inner);
        let margin = |bytes: usize| bytes + bytes / 8 + PIECE;
        let longer = needs
            .range((Arc::clone(graph), length)..=(Arc::clone(graph), usize::MAX))
            .next();
        if let Some((_, bytes)) = longer {
            return margin(*bytes).min(self.bytes());
        }
        let shorter = needs
            .range((Arc::clone(graph), 0)..(Arc::clone(graph), length))
            .next_back();
        match shorter {
            Some(((_, measured), bytes)) => {
                let ratio = length as f64 / (*measured).max(1) as f64;
                let scaled = *bytes as f64 * ratio * ratio;
                margin(scaled as usize).min(self.bytes())
            }
            None => self.bytes(),
        }
    }

    /// A run of `graph` at `length` has held `bytes`.
    pub fn learn(&self, graph: &Arc<str>, length: usize, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut needs = self.needs.lock().unwrap_or_else(PoisonError::into_inner);
        // Lengths come from buckets, so the table stays short; without buckets
        // it is bounded all the same.
        const ENTRIES_MAX: usize = 4_096;
        if needs.len() >= ENTRIES_MAX && !needs.contains_key(&(Arc::clone(graph), length)) {
            return;
        }
        let known = needs.entry((Arc::clone(graph), length)).or_default();
        *known = bytes.max(*known);
    }

    /// Forgets graphs that are gone.
    pub fn retain(&self, alive: impl Fn(&str) -> bool) {
        let mut needs = self.needs.lock().unwrap_or_else(PoisonError::into_inner);
        needs.retain(|(graph, _), _| alive(graph));
    }

    pub fn needs(&self) -> Vec<Need> {
        let needs = self.needs.lock().unwrap_or_else(PoisonError::into_inner);
        let need = |((graph, length), bytes): (&(Arc<str>, usize), &usize)| Need {
            graph: graph.to_string(),
            length: *length,
            bytes: *bytes,
        };
        needs.iter().map(need).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;
    const SHORT: Duration = Duration::from_millis(20);

    fn graph() -> Arc<str> {
        Arc::from("voice")
    }

    #[test]
    fn an_unknown_need_is_everything_and_a_known_one_is_measured() {
        let workspace = Workspace::new(64 * MIB);
        assert_eq!(workspace.need(&graph(), 128), 64 * MIB);
        workspace.learn(&graph(), 128, 8 * MIB);
        assert_eq!(workspace.need(&graph(), 128), 9 * MIB + PIECE);
        assert_eq!(
            workspace.need(&graph(), 64),
            9 * MIB + PIECE,
            "at most that"
        );
        assert_eq!(workspace.need(&graph(), 256), 36 * MIB + PIECE, "squared");
        workspace.learn(&graph(), 128, 4 * MIB);
        assert_eq!(
            workspace.need(&graph(), 128),
            9 * MIB + PIECE,
            "the most counts"
        );
    }

    #[tokio::test]
    async fn runs_wait_for_bytes_and_waiting_has_an_end() {
        let workspace = Workspace::new(4 * MIB);
        let first = workspace.acquire(3 * MIB, SHORT).await.expect("room");
        let refused = workspace.acquire(2 * MIB, SHORT).await;
        assert!(
            matches!(refused, Err(Error::NoWorkspace { needed, free, .. })
                if needed == 2 * MIB && free == MIB),
            "{refused:?}"
        );
        drop(first);
        let all = workspace.acquire_all(SHORT).await.expect("all of it");
        assert_eq!(all.bytes(), 4 * MIB);
        drop(all);
        assert_eq!(workspace.free(), 4 * MIB, "nothing leaks");
    }
}
