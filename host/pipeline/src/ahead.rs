//! How far what is made is ahead of its reader.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How far what is made is ahead of what has left.
pub(crate) struct Ahead {
    /// Samples per second of the voice.
    pub(crate) sampling_rate: u32,
    /// Samples that may be made before the reader takes them; none bounds an
    /// answer that leaves in one piece.
    most: Option<u64>,
    /// Samples of the longest answer.
    pub(crate) longest: u64,
    made: AtomicU64,
    left: AtomicU64,
    moved: Notify,
    /// When the first sound left.
    pub(crate) first: OnceLock<Instant>,
}

/// A first sound goes before streams that have run dry for less than this, as
/// happens where more is asked for than there are cores: a short wait for all
/// is better than a long one for those who come.
const EAGER: Duration = Duration::from_secs(3);

impl Ahead {
    /// Of a voice of that rate, whose answers last `longest` at most; whose
    /// stream may be `read_ahead` ahead of its reader, if it is one.
    pub(crate) fn new(sampling_rate: u32, longest: Duration, read_ahead: Option<Duration>) -> Self {
        let samples = |time: Duration| (time.as_secs_f64() * f64::from(sampling_rate)) as u64;
        Self {
            sampling_rate,
            longest: samples(longest),
            most: read_ahead.map(samples),
            made: AtomicU64::new(0),
            left: AtomicU64::new(0),
            moved: Notify::new(),
            first: OnceLock::new(),
        }
    }

    /// Samples that are made by now.
    pub(crate) fn made(&self, samples: usize) -> u64 {
        let samples = samples as u64;
        self.made.fetch_add(samples, Ordering::Relaxed) + samples
    }

    pub(crate) fn left(&self, samples: usize) {
        self.left.fetch_add(samples as u64, Ordering::Relaxed);
        self.moved.notify_one();
    }

    /// Waits until the reader is not too far behind.
    pub(crate) async fn room(&self) {
        let Some(most) = self.most else { return };
        loop {
            let made = self.made.load(Ordering::Relaxed);
            if made.saturating_sub(self.left.load(Ordering::Relaxed)) < most {
                return;
            }
            self.moved.notified().await;
        }
    }

    /// When the reader of a stream will have heard all that was made; of one
    /// that has heard nothing, some time before it came.
    pub(crate) fn due(&self, start: Instant) -> Instant {
        match (self.most, self.heard_out()) {
            (None, _) => start,
            (Some(_), None) => start.checked_sub(EAGER).unwrap_or(start),
            (Some(_), Some(out)) => out,
        }
    }

    /// The same while something is made: what a decoder has done may not be
    /// counted yet.
    pub(crate) fn due_beginning(&self, start: Instant) -> Instant {
        match self.most {
            None => start,
            Some(_) => self.heard_out().unwrap_or_else(Instant::now),
        }
    }

    /// What is made a moment ago may not have left yet.
    fn heard_out(&self) -> Option<Instant> {
        let made = self.made.load(Ordering::Relaxed);
        let first = self.first.get().copied();
        let lasts = Duration::from_secs_f64(made as f64 / f64::from(self.sampling_rate));
        (made > 0).then(|| first.unwrap_or_else(Instant::now) + lasts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_heard_nothing_is_due_before_who_has_run_dry_a_little() {
        let second = Duration::from_secs(1);
        let stream = || Ahead::new(100, 600 * second, Some(30 * second));
        let came = Instant::now();
        let new = stream();
        let dry = stream();
        dry.first.set(came - 2 * second).expect("the first");
        dry.made(100);
        assert!(new.due(came) < dry.due(came), "it has run dry for a second");
        assert!(new.due_beginning(came) >= came, "its first sound is there");
        let starved = stream();
        starved.first.set(came - 5 * second).expect("the first");
        starved.made(100);
        assert!(starved.due(came) < new.due(came), "for four");
        let begun = stream();
        begun.made(100);
        assert!(begun.due(came) > came, "what it has made it will hear");
        let whole = Ahead::new(100, 600 * second, None);
        assert_eq!(whole.due(came), came, "nobody hears it before its end");
    }
}
