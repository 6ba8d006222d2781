//! How a voice was used, in three numbers.

use std::time::Duration;

/// After this time a use counts half. Long beside a sentence, short beside a
/// day: yesterday's favourite does not keep its place.
pub const HALF_LIFE: Duration = Duration::from_secs(600);

/// Times are of one monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    arrived: Duration,
    used: Duration,
    /// As of `used`.
    hits: f64,
}

impl Usage {
    /// Never used.
    pub const fn new(now: Duration) -> Self {
        Self {
            arrived: now,
            used: now,
            hits: 0.0,
        }
    }

    /// It is used.
    pub fn touch(&mut self, now: Duration) {
        self.hits = self.hits_at(now) + 1.0;
        self.used = self.used.max(now);
    }

    /// It came to another tier.
    pub fn arrive(&mut self, now: Duration) {
        self.arrived = now;
    }

    /// How often it was used, each use counting half after [`HALF_LIFE`].
    pub fn hits(&self, now: Duration) -> f32 {
        self.hits_at(now) as f32
    }

    /// Time since the last use, or since the voice was first known.
    pub fn idle(&self, now: Duration) -> Duration {
        now.saturating_sub(self.used)
    }

    /// Time since it came to the tier it is in.
    pub fn resident(&self, now: Duration) -> Duration {
        now.saturating_sub(self.arrived)
    }

    fn hits_at(&self, now: Duration) -> f64 {
        self.hits * (-self.idle(now).div_duration_f64(HALF_LIFE)).exp2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_counts_half_after_its_half_life() {
        let mut usage = Usage::new(Duration::ZERO);
        usage.touch(Duration::ZERO);
        usage.touch(HALF_LIFE);
        assert_eq!(usage.hits(HALF_LIFE), 1.5);
        assert_eq!(usage.hits(HALF_LIFE * 2), 0.75);
        assert_eq!(usage.idle(HALF_LIFE * 2), HALF_LIFE);
        assert_eq!(usage.resident(HALF_LIFE), HALF_LIFE);
        usage.arrive(HALF_LIFE);
        assert_eq!(usage.resident(HALF_LIFE), Duration::ZERO);
    }
}
