//! Which addresses may have pages of the system's behind them.

use std::collections::BTreeMap;
use std::ops::Range;

/// Stretches that somebody may have written to, by their start; apart from each
/// other.
#[derive(Debug, Default)]
pub(super) struct Touched {
    stretches: BTreeMap<usize, usize>,
    bytes: usize,
}

impl Touched {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn add(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        let meets: Vec<_> = self
            .stretches
            .range(..=end)
            .rev()
            .take_while(|(_, until)| **until >= start)
            .map(|(from, until)| (*from, *until))
            .collect();
        for (from, until) in meets {
            self.stretches.remove(&from);
            self.bytes -= until - from;
            start = start.min(from);
            end = end.max(until);
        }
        self.stretches.insert(start, end);
        self.bytes += end - start;
    }

    pub(super) fn remove(&mut self, range: &Range<usize>) {
        let cut: Vec<_> = self
            .stretches
            .range(..range.end)
            .rev()
            .take_while(|(_, until)| **until > range.start)
            .map(|(from, until)| (*from, *until))
            .collect();
        for (from, until) in cut {
            self.stretches.remove(&from);
            self.bytes -= until - from;
            self.add(from..range.start.max(from));
            self.add(range.end.min(until)..until);
        }
    }

    /// Those that meet this stretch, cut to it.
    pub(super) fn within(&self, range: &Range<usize>) -> Vec<Range<usize>> {
        let meets = self
            .stretches
            .range(..range.end)
            .rev()
            .take_while(|(_, until)| **until > range.start);
        let mut cut: Vec<_> = meets
            .map(|(from, until)| range.start.max(*from)..range.end.min(*until))
            .collect();
        cut.reverse();
        cut
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_set_of_its_bytes(
            steps in prop::collection::vec((any::<bool>(), 0usize..60, 0usize..20), 1..60)
        ) {
            let mut touched = Touched::default();
            let mut plain = [false; 80];
            for (add, start, length) in steps {
                let range = start..start + length;
                match add {
                    true => touched.add(range.clone()),
                    false => touched.remove(&range),
                }
                plain[range].fill(add);
                let told = touched.within(&(0..80));
                for (place, is) in plain.iter().enumerate() {
                    prop_assert_eq!(told.iter().any(|it| it.contains(&place)), *is);
                }
                prop_assert_eq!(touched.bytes(), plain.iter().filter(|is| **is).count());
                prop_assert!(told.windows(2).all(|pair| pair[0].end < pair[1].start));
                let inside = touched.within(&(20..40));
                let sum: usize = inside.iter().map(|it| it.len()).sum();
                prop_assert_eq!(sum, plain[20..40].iter().filter(|is| **is).count());
            }
        }
    }
}
