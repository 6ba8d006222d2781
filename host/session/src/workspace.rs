//! Who may run: bytes of activations, handed out before a run starts.
//!
//! What a run needs is measured when it first runs, by kind of graph and
//! padded length, and corrected whenever a later run needs more. A run whose
//! need nobody knows yet gets the whole workspace and runs alone.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::error::Error;
use crate::events;

/// Permits are counted in pieces of this size.
const PIECE: usize = 64 << 10;

/// The bytes of activations that all runs share, in line.
pub struct Workspace {
    pieces: AtomicU32,
    permits: Arc<Semaphore>,
    /// Pieces that are no more, though somebody has them still.
    owed: Arc<Mutex<u32>>,
    resized: Notify,
    needs: Mutex<BTreeMap<(Arc<str>, usize), usize>>,
    proofs: Mutex<BTreeMap<Arc<str>, Proof>>,
}

/// What is known of a graph whose need follows from its length alone.
#[derive(Clone, Copy, Debug, Default)]
struct Proof {
    /// The longest run that ended well, and what it held.
    longest: usize,
    bytes: usize,
    /// The shortest run that did not fit, though it was alone.
    too_long: Option<usize>,
}

/// What may be done about a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It fits.
    Run,
    /// Nobody knows; a run of this shorter length would tell more, and fits.
    Try(usize),
    /// It does not fit, however short the others are.
    Never,
}

/// The right to hold so many bytes of activations; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    bytes: usize,
    permit: Option<OwnedSemaphorePermit>,
    owed: Arc<Mutex<u32>>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(mut permit) = self.permit.take() else {
            return;
        };
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        let held = u32::try_from(permit.num_permits()).unwrap_or(u32::MAX);
        let gone = held.min(*owed);
        *owed -= gone;
        if let Some(gone) = permit.split(gone as usize) {
            gone.forget();
        }
        // Under the lock: a change of size sees either both or neither.
        drop(permit);
    }
}

impl Permit {
    /// What was granted, rounded up to pieces of 64 KiB.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A measured or configured need.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Need {
    /// A template's short digest, or the BERT.
    pub graph: String,
    /// Tokens of the run, or characters for the BERT, after padding.
    pub length: usize,
    /// The most that such a run has held.
    pub bytes: usize,
}

impl Workspace {
    /// So many bytes, in whole pieces of 64 KiB, and one piece at least.
    pub fn new(bytes: usize) -> Self {
        let pieces = pieces(bytes);
        Self {
            pieces: AtomicU32::new(pieces),
            permits: Arc::new(Semaphore::new(pieces as usize)),
            owed: Arc::default(),
            resized: Notify::new(),
            needs: Mutex::default(),
            proofs: Mutex::default(),
        }
    }

    /// All of it, in use or not.
    pub fn bytes(&self) -> usize {
        self.pieces.load(Ordering::Relaxed) as usize * PIECE
    }

    /// Another size from now on. What runs hold beyond a smaller one goes as
    /// they end.
    pub fn resize(&self, bytes: usize) {
        let after = pieces(bytes);
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.pieces.swap(after, Ordering::Relaxed);
        if after >= before {
            let more = after - before;
            let paid = more.min(*owed);
            *owed -= paid;
            self.permits.add_permits((more - paid) as usize);
        } else {
            let fewer = (before - after) as usize;
            let free = self.permits.forget_permits(fewer);
            *owed += u32::try_from(fewer - free).unwrap_or(u32::MAX);
        }
        drop(owed);
        self.resized.notify_waiters();
        // What never fitted may fit now, and the other way.
        let mut proofs = self.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        for proof in proofs.values_mut() {
            proof.too_long = None;
            if proof.bytes > self.bytes() {
                *proof = Proof::default();
            }
        }
    }

    /// Bytes that nobody holds; whoever waits in line may be promised them.
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
        let wanted = u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX);
        let until = tokio::time::Instant::now() + wait;
        loop {
            // Before the size is looked at, so that no change of it is missed.
            let resized = self.resized.notified();
            tokio::pin!(resized);
            resized.as_mut().enable();
            let pieces = wanted.clamp(1, self.pieces.load(Ordering::Relaxed));
            let permit = Arc::clone(&self.permits).acquire_many_owned(pieces);
            tokio::select! {
                biased;
                Ok(permit) = permit => {
                    return Ok(Permit {
                        bytes: pieces as usize * PIECE,
                        permit: Some(permit),
                        owed: Arc::clone(&self.owed),
                    });
                }
                // There may never be so many pieces again.
                () = resized => {}
                () = tokio::time::sleep_until(until) => {
                    events::workspace_refused(bytes);
                    return Err(Error::NoWorkspace {
                        needed: bytes,
                        free: self.free(),
                        waited: wait,
                    });
                }
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

    /// Whether a run of so many positions fits into the workspace when it is
    /// alone. A need grows by the square of the length at the most, so a length
    /// that fits by this rule fits; where the rule says no, the longest length
    /// it allows is tried first, and that tells more.
    pub fn step(&self, graph: &Arc<str>, length: usize) -> Step {
        let proofs = self.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        let proof = proofs.get(graph).copied().unwrap_or_default();
        if length <= proof.longest {
            return Step::Run;
        }
        if proof.too_long.is_some_and(|too_long| length >= too_long) {
            return Step::Never;
        }
        if proof.longest == 0 {
            return match length <= FIRST {
                true => Step::Run,
                false => Step::Try(FIRST),
            };
        }
        let room = self.bytes() as f64 / proof.bytes.max(1) as f64;
        let reach = (proof.longest as f64 * room.sqrt()) as usize;
        if length <= reach {
            return Step::Run;
        }
        let reach = reach.min(proof.too_long.unwrap_or(length).min(length) - 1);
        match reach > proof.longest + proof.longest / 32 {
            true => Step::Try(reach),
            false => Step::Never,
        }
    }

    /// A run of `graph` has held so much, alone or not, and ended well.
    pub fn prove(&self, graph: &Arc<str>, length: usize, bytes: usize) {
        let mut proofs = self.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        let proof = proofs.entry(Arc::clone(graph)).or_default();
        if length > proof.longest {
            (proof.longest, proof.bytes) = (length, bytes);
        }
    }

    /// It was alone and did not fit.
    pub fn disprove(&self, graph: &Arc<str>, length: usize) {
        let mut proofs = self.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        let proof = proofs.entry(Arc::clone(graph)).or_default();
        proof.too_long = Some(proof.too_long.map_or(length, |known| known.min(length)));
    }

    /// Forgets graphs that are gone.
    pub fn retain(&self, alive: impl Fn(&str) -> bool) {
        let mut needs = self.needs.lock().unwrap_or_else(PoisonError::into_inner);
        needs.retain(|(graph, _), _| alive(graph));
        drop(needs);
        let mut proofs = self.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        proofs.retain(|graph, _| alive(graph));
    }

    /// Everything that was measured, by graph and length.
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

fn pieces(bytes: usize) -> u32 {
    let pieces = u32::try_from(bytes / PIECE).unwrap_or(u32::MAX);
    pieces.clamp(1, PIECES_MAX)
}

/// What a semaphore can count on every machine.
const PIECES_MAX: u32 = u32::MAX >> 3;

/// Positions that any graph can run.
const FIRST: usize = 16;

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

    /// Asks until it is known whether a length fits; how long the tries were.
    fn climb(
        workspace: &Workspace,
        length: usize,
        need: impl Fn(usize) -> usize,
    ) -> (bool, Vec<usize>) {
        let mut tried = Vec::new();
        loop {
            match workspace.step(&graph(), length) {
                Step::Run => return (true, tried),
                Step::Never => return (false, tried),
                Step::Try(shorter) => {
                    assert!(
                        need(shorter) <= workspace.bytes(),
                        "a try goes over nothing"
                    );
                    assert!(shorter < length);
                    workspace.prove(&graph(), shorter, need(shorter));
                    tried.push(shorter);
                }
            }
        }
    }

    #[test]
    fn what_never_fits_is_known_without_running_it() {
        // Weights of each position, and sixteen heads of attention.
        let need = |length: usize| 20_000 * length + 16 * 4 * length * length;
        let workspace = Workspace::new(150 * MIB);
        let (fits, tried) = climb(&workspace, 1_000, need);
        assert!(fits && tried.len() <= 4, "{tried:?}");
        let (fits, tried) = climb(&workspace, 8_000, need);
        assert!(!fits && tried.len() <= 8, "{tried:?}");
        assert_eq!(climb(&workspace, 7_999, need), (false, vec![]), "at once");
        assert_eq!(climb(&workspace, 1_000, need), (true, vec![]));
        workspace.disprove(&graph(), 2_000);
        assert_eq!(workspace.step(&graph(), 2_000), Step::Never);
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

    #[tokio::test]
    async fn its_size_may_change_under_runs() {
        let workspace = Workspace::new(8 * MIB);
        let (one, two) = (
            workspace.acquire(3 * MIB, SHORT).await.expect("room"),
            workspace.acquire(3 * MIB, SHORT).await.expect("room"),
        );
        workspace.resize(4 * MIB);
        assert_eq!((workspace.bytes(), workspace.free()), (4 * MIB, 0));
        workspace.resize(5 * MIB);
        workspace.resize(2 * MIB);
        drop(one);
        assert_eq!(workspace.free(), 0, "it was beyond");
        assert!(workspace.acquire(MIB, SHORT).await.is_err());
        drop(two);
        assert_eq!(workspace.free(), 2 * MIB);
        let all = workspace
            .acquire(100 * MIB, SHORT)
            .await
            .expect("all of it");
        assert_eq!(all.bytes(), 2 * MIB);
        workspace.resize(16 * MIB);
        assert_eq!(workspace.free(), 14 * MIB);
        // Who waits for all of it gets what is all of it then.
        let (waiting, ()) = tokio::join!(workspace.acquire_all(50 * SHORT), async {
            tokio::time::sleep(SHORT).await;
            workspace.resize(8 * MIB);
            drop(all);
        });
        assert_eq!(waiting.expect("all of it").bytes(), 8 * MIB);
        assert_eq!(workspace.free(), 8 * MIB, "nothing leaks");
    }
}
