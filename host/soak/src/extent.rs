//! How much of the time each way of keeping memory gets. Pure.

use std::time::Duration;

/// A way that has less is left out: it would hardly have opened its voices.
const LEAST: Duration = Duration::from_secs(20);
/// To drop every model, and to say what came of it.
const END: Duration = Duration::from_secs(6);

/// How long the next process may ask for, of what is left of all; none if it is
/// not worth while. `after` others come after it.
pub(crate) fn share(left: Duration, after: usize, first: bool) -> Option<Duration> {
    let own = match (first, after) {
        (_, 0) => left,
        // The verdict is the slab's; the others are only there to compare.
        (true, _) => left * 7 / 10,
        (false, after) => left / (u32::try_from(after).unwrap_or(u32::MAX) + 1),
    };
    let own = own.saturating_sub(END);
    (first || own >= LEAST).then_some(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_gets_most_and_the_last_what_is_left() {
        let seconds = Duration::from_secs;
        for (left, after, first, own) in [
            (600, 2, true, Some(414)),
            (180, 1, false, Some(84)),
            (90, 0, false, Some(84)),
            (600, 0, true, Some(594)),
            (20, 0, false, None),
            (3, 2, true, Some(0)),
        ] {
            assert_eq!(
                share(seconds(left), after, first),
                own.map(seconds),
                "{left} {after}"
            );
        }
    }
}
