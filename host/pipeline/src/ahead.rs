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

    /// When the reader of a stream will have heard all that was made.
    pub(crate) fn due(&self, start: Instant) -> Instant {
        match (self.most, self.first.get()) {
            (Some(_), Some(first)) => {
                let made = self.made.load(Ordering::Relaxed) as f64;
                *first + Duration::from_secs_f64(made / f64::from(self.sampling_rate))
            }
            _ => start,
        }
    }
}
