//! A line on standard error now and then: how far it is, and how long it takes
//! yet.

use std::time::{Duration, Instant};

use crate::measure::{Sample, thousands};
use crate::mebibytes;
use server::line;

pub(crate) struct Progress {
    mode: String,
    requests: Option<usize>,
    /// For how long this mode may ask.
    own: Option<Duration>,
    /// When everything must have ended.
    all: Option<Instant>,
    start: Instant,
    /// When the first request was sent.
    asks: Option<Instant>,
    told: Instant,
}

const EVERY: Duration = Duration::from_secs(10);

impl Progress {
    pub(crate) fn new(
        mode: &str,
        requests: Option<usize>,
        own: Option<Duration>,
        all: Option<Instant>,
    ) -> Self {
        let now = Instant::now();
        Self {
            mode: mode.to_owned(),
            requests,
            own,
            all,
            start: now,
            asks: None,
            told: now,
        }
    }

    pub(crate) fn doing(&self, what: &str) {
        line::tell(format_args!("{}: {what}{}", self.mode, self.in_all()));
    }

    pub(crate) fn tell(&mut self, sample: &Sample) {
        let now = Instant::now();
        let asks = *self.asks.get_or_insert(now);
        if self.told.elapsed() < EVERY {
            return;
        }
        self.told = now;
        let of = self
            .requests
            .map_or_else(String::new, |all| format!(" of {}", thousands(all)));
        let left = left(
            sample.requests,
            self.requests,
            now - asks,
            self.own.map(|own| own.saturating_sub(self.start.elapsed())),
        );
        let left = left.map_or_else(String::new, |it| format!(", {} s left", it.as_secs()));
        line::tell(format_args!(
            "{}: {}{of} requests, {:.0} s{left}{}; {:.1} MiB, {} evictions, {} failed",
            self.mode,
            thousands(sample.requests),
            self.start.elapsed().as_secs_f64(),
            self.in_all(),
            mebibytes(sample.rss),
            thousands(sample.evictions as usize),
            sample.failed
        ));
    }

    fn in_all(&self) -> String {
        let left = self
            .all
            .map(|end| end.saturating_duration_since(Instant::now()));
        left.map_or_else(String::new, |left| {
            format!(", {} s left of all", left.as_secs())
        })
    }
}

/// What is the shorter of what the requests take at this pace and what the time
/// allows.
fn left(
    asked: usize,
    all: Option<usize>,
    took: Duration,
    time: Option<Duration>,
) -> Option<Duration> {
    let by_pace = all.filter(|_| asked > 0).map(|all| {
        let each = took.as_secs_f64() / asked as f64;
        Duration::from_secs_f64(each * all.saturating_sub(asked) as f64)
    });
    by_pace.into_iter().chain(time).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_by_pace_or_by_time() {
        let seconds = Duration::from_secs;
        for (asked, all, took, time, expected) in [
            (100, Some(400), 10, None, Some(30)),
            (100, Some(400), 10, Some(20), Some(20)),
            (100, None, 10, Some(20), Some(20)),
            (0, Some(400), 10, None, None),
        ] {
            let left = left(asked, all, seconds(took), time.map(seconds));
            assert_eq!(left, expected.map(seconds));
        }
    }
}
