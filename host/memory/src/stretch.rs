//! Whether there is one stretch that is long enough, and what has to be moved
//! for it. Pure.
//!
//! A sum of free bytes holds nothing that has to lie in one piece. What a
//! session allocates from cannot be moved while the session is open; copies of
//! weights can.

use serde::{Deserialize, Serialize};

/// What lies in a zone, from its low end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    /// Of the zone.
    pub bytes: u64,
    /// By where they lie.
    pub tenants: Vec<Tenant>,
}

/// One stretch of the zone that somebody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Of the voice it goes with; nothing goes with none.
    pub voice: Option<u64>,
    /// Bytes from the zone's start.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
    /// A copy, which may lie anywhere.
    pub movable: bool,
}

/// Bytes that have to lie elsewhere. Steps in this order never overwrite what
/// is still to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// Offset in bytes where they lie now.
    pub from: u64,
    /// Offset in bytes where they lie afterwards; the two may overlap.
    pub to: u64,
    /// How many bytes are moved.
    pub bytes: u64,
}

/// Something that stays where it is while it is open should lie lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sink {
    /// Offset in bytes where it lies now.
    pub from: u64,
    /// Offset in bytes where it should begin.
    pub to: u64,
    /// From there to the next that stays.
    pub room: u64,
}

impl Map {
    /// The least that has to be moved so that `needed` bytes are free in one
    /// stretch once these voices have gone; none if no moving helps.
    pub fn shifts(&self, needed: u64, gone: &[u64]) -> Option<Vec<Shift>> {
        let mut best: Option<(u64, Vec<Tenant>, u64)> = None;
        // Between two that cannot be moved.
        let mut gap = Gap::from(0);
        for tenant in self.staying(gone) {
            // What lies beyond a lowered limit waits for its end.
            if tenant.movable && tenant.offset + tenant.bytes <= self.bytes {
                gap.movable.push(*tenant);
                continue;
            }
            gap.best(tenant.offset.min(self.bytes), needed, &mut best);
            gap = Gap::from(tenant.offset + tenant.bytes);
        }
        gap.best(self.bytes, needed, &mut best);
        best.map(|(_, moved, end)| slid(&moved, end))
    }

    /// Whoever lies there once these have gone.
    fn staying<'m>(&'m self, gone: &'m [u64]) -> impl Iterator<Item = &'m Tenant> {
        let tenants = self.tenants.iter();
        tenants.filter(|it| it.voice.is_none_or(|voice| !gone.contains(&voice)))
    }

    /// The longest stretch there can be once these have gone.
    pub fn longest(&self, gone: &[u64]) -> u64 {
        let (mut start, mut held, mut longest) = (0, 0, 0);
        for tenant in self.staying(gone) {
            if tenant.movable && tenant.offset + tenant.bytes <= self.bytes {
                held += tenant.bytes;
                continue;
            }
            let end = tenant.offset.min(self.bytes);
            longest = longest.max(end.saturating_sub(start + held));
            (start, held) = (tenant.offset + tenant.bytes, 0);
        }
        longest.max(self.bytes.saturating_sub(start + held))
    }

    /// The share of the zone that nobody could have in one piece once these have
    /// gone: what stays among it divides it.
    pub fn divided(&self, gone: &[u64]) -> f64 {
        let held: u64 = self.staying(gone).map(|it| it.bytes).sum();
        let lost = self.bytes.saturating_sub(held + self.longest(gone));
        lost as f64 / self.bytes.max(1) as f64
    }

    /// Who of those that stay should lie lower, where only these lie, so that
    /// less is divided: the highest that fits into the lowest gap, else the
    /// next above it. Never one of `stuck`, by where they lie. Taken as often as
    /// it says, it ends with all of them at the low end.
    pub fn sink(&self, gone: &[u64], stuck: &[u64]) -> Option<Sink> {
        let fixed: Vec<_> = self.staying(gone).collect();
        let moves = |tenant: &Tenant| !stuck.contains(&tenant.offset);
        let (mut to, mut next_above) = (0, None);
        for (number, above) in fixed.iter().enumerate() {
            let gap = above.offset.saturating_sub(to);
            if gap > 0 {
                let fits = |it: &&&Tenant| it.bytes <= gap && moves(it);
                if let Some(highest) = fixed[number + 1..].iter().rev().find(fits) {
                    let from = highest.offset;
                    return Some(Sink {
                        from,
                        to,
                        room: gap,
                    });
                }
                if next_above.is_none() && moves(above) {
                    let end = fixed.get(number + 1).map_or(self.bytes, |next| next.offset);
                    next_above = Some(Sink {
                        from: above.offset,
                        to,
                        room: end.saturating_sub(to),
                    });
                }
            }
            to = above.offset + above.bytes;
        }
        next_above
    }

    /// Whether there can be such a stretch.
    pub fn fits(&self, needed: u64, gone: &[u64]) -> bool {
        self.shifts(needed, gone).is_some()
    }
}

struct Gap {
    start: u64,
    movable: Vec<Tenant>,
}

impl Gap {
    fn from(start: u64) -> Self {
        Self {
            start,
            movable: Vec::new(),
        }
    }

    /// The neighbours of least bytes whose being pushed together opens a hole
    /// that is long enough; with where they are pushed to.
    fn best(&self, end: u64, needed: u64, best: &mut Option<(u64, Vec<Tenant>, u64)>) {
        // Free stretches before, between and behind.
        let mut edges = vec![self.start];
        let mut free = Vec::new();
        for tenant in &self.movable {
            free.push(tenant.offset - edges[edges.len() - 1]);
            edges.push(tenant.offset + tenant.bytes);
        }
        free.push(end.saturating_sub(edges[edges.len() - 1]));
        let (mut first, mut hole) = (0, 0);
        for last in 0..free.len() {
            hole += free[last];
            while hole - free[first] >= needed && first < last {
                hole -= free[first];
                first += 1;
            }
            if hole < needed {
                continue;
            }
            let moved = &self.movable[first..last];
            let bytes = moved.iter().map(|tenant| tenant.bytes).sum();
            if best.as_ref().is_none_or(|(least, _, _)| bytes < *least) {
                let until = self.movable.get(last).map_or(end, |next| next.offset);
                *best = Some((bytes, moved.to_vec(), until));
            }
        }
    }
}

/// Pushes these together at the high end of their stretch, the highest first.
fn slid(moved: &[Tenant], mut end: u64) -> Vec<Shift> {
    let mut shifts = Vec::new();
    for tenant in moved.iter().rev() {
        end -= tenant.bytes;
        shifts.push(Shift {
            from: tenant.offset,
            to: end,
            bytes: tenant.bytes,
        });
    }
    shifts.retain(|shift| shift.from != shift.to);
    shifts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(bytes: u64, tenants: &[(u64, u64, bool)]) -> Map {
        let tenant = |(number, &(offset, bytes, movable)): (usize, &(u64, u64, bool))| Tenant {
            voice: Some(number as u64),
            offset,
            bytes,
            movable,
        };
        Map {
            bytes,
            tenants: tenants.iter().enumerate().map(tenant).collect(),
        }
    }

    #[test]
    fn the_least_is_moved_and_never_what_cannot_be() {
        let holes = map(100, &[(10, 20, true), (40, 10, true), (60, 30, true)]);
        assert_eq!(holes.shifts(10, &[]), Some(vec![]), "nothing has to move");
        let one = Shift {
            from: 40,
            to: 50,
            bytes: 10,
        };
        assert_eq!(holes.shifts(20, &[]), Some(vec![one]), "not the 20 or 30");
        assert!(holes.fits(40, &[]) && !holes.fits(41, &[]));
        assert!(holes.fits(70, &[0, 1]));

        let fixed = map(100, &[(10, 20, true), (40, 10, false), (60, 30, true)]);
        assert!(fixed.fits(20, &[]) && !fixed.fits(21, &[]), "between walls");
        assert!(fixed.fits(50, &[1]), "a wall that goes");

        let over = map(50, &[(0, 10, false), (45, 10, true)]);
        assert_eq!(over.shifts(35, &[]), Some(vec![]));
        assert!(!over.fits(36, &[]), "it waits beyond the limit");
        assert!(over.fits(40, &[1]));
    }

    /// Tenants behind each other with holes between.
    fn maps() -> impl Strategy<Value = Map> {
        let tenant = (0u64..20, 1u64..30, prop::bool::weighted(0.7));
        (prop::collection::vec(tenant, 0..30), 0u64..40).prop_map(|(tenants, rest)| {
            let mut end = 0;
            let mut placed = Vec::new();
            for (hole, bytes, movable) in tenants {
                placed.push((end + hole, bytes, movable));
                end += hole + bytes;
            }
            map(end + rest, &placed)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_moved_opens_the_stretch_and_overwrites_nobody(
            map in maps(),
            needed in 1u64..200,
            gone in prop::collection::vec(0u64..30, 0..10),
        ) {
            let stays = |tenant: &&Tenant| tenant.voice.is_none_or(|it| !gone.contains(&it));
            let mut left: Vec<_> = map.tenants.iter().filter(stays).copied().collect();
            let sum: u64 = left.iter().map(|it| it.bytes).sum();
            let walls = left.iter().any(|it| !it.movable);
            let Some(shifts) = map.shifts(needed, &gone) else {
                prop_assert!(walls || map.bytes - sum < needed, "sums are enough without walls");
                return Ok(());
            };
            for shift in shifts {
                let place = left.iter().position(|it| it.offset == shift.from).expect("a tenant");
                let moved = left.remove(place);
                prop_assert!(moved.movable && moved.bytes == shift.bytes);
                for other in &left {
                    let apart = shift.to + shift.bytes <= other.offset
                        || other.offset + other.bytes <= shift.to;
                    prop_assert!(apart, "{other:?} is overwritten");
                }
                prop_assert!(shift.to + shift.bytes <= map.bytes);
                left.push(Tenant { offset: shift.to, ..moved });
            }
            left.sort_by_key(|it| it.offset);
            let mut end = 0;
            let mut longest = 0;
            for tenant in &left {
                longest = longest.max(tenant.offset - end);
                end = tenant.offset + tenant.bytes;
            }
            prop_assert!(longest.max(map.bytes - end) >= needed);
        }

        #[test]
        fn the_longest_stretch_is_the_most_that_fits(
            map in maps(),
            gone in prop::collection::vec(0u64..30, 0..10),
        ) {
            let longest = map.longest(&gone);
            prop_assert!(longest == 0 || map.fits(longest, &gone));
            prop_assert!(!map.fits(longest + 1, &gone));
        }

        /// Who waits for less than what nobody holds for good waits in vain
        /// for nobody: with everybody idle gone there is one stretch.
        #[test]
        fn without_walls_a_request_below_what_stays_always_fits(
            sizes in prop::collection::vec((1u64..5_000, prop::bool::weighted(0.2)), 1..50),
            holes in prop::collection::vec(0u64..500, 50),
        ) {
            let mut end = 0;
            let mut tenants = Vec::new();
            for (number, (bytes, pinned)) in sizes.iter().enumerate() {
                tenants.push(Tenant {
                    voice: Some(number as u64),
                    offset: end + holes[number],
                    bytes: *bytes,
                    // Regions of voices that may go are walls until they go.
                    movable: *pinned || number % 3 > 0,
                });
                end += holes[number] + bytes;
            }
            let map = Map { bytes: end + 100, tenants };
            let pinned: u64 = sizes.iter().filter(|it| it.1).map(|it| it.0).sum();
            let idle: Vec<_> = (0..sizes.len()).filter(|it| !sizes[*it].1).map(|it| it as u64).collect();
            prop_assert!(map.fits(map.bytes - pinned, &idle));
            prop_assert!(!map.fits(map.bytes - pinned + 1, &idle));
        }
    }

    proptest! {
        #[test]
        fn whoever_stays_ends_at_the_low_end_and_nobody_is_moved_into_another(
            sizes in prop::collection::vec((1..40_u64, 0..30_u64, any::<bool>()), 1..24),
        ) {
            let (mut tenants, mut end, mut gone) = (Vec::new(), 0, Vec::new());
            for (number, (bytes, before, goes)) in sizes.iter().enumerate() {
                tenants.push((end + before, *bytes, false));
                end += before + bytes;
                if *goes {
                    gone.push(number as u64);
                }
            }
            let mut map = map(end + 10, &tenants);
            let held: u64 = map.tenants.iter().filter(|it| !gone.contains(&it.voice.expect("all"))).map(|it| it.bytes).sum();
            let mut sum = u64::MAX;
            while let Some(Sink { from, to, room }) = map.sink(&gone, &[]) {
                let place = map.tenants.iter().position(|it| it.offset == from && !gone.contains(&it.voice.expect("all")));
                let mut it = map.tenants.remove(place.expect("it lies there"));
                prop_assert!(it.bytes <= room && to < from);
                it.offset = to;
                let beside = map.tenants.iter().filter(|it| !gone.contains(&it.voice.expect("all")));
                for other in beside {
                    prop_assert!(other.offset + other.bytes <= to || to + room <= other.offset);
                }
                map.tenants.push(it);
                map.tenants.sort_by_key(|it| it.offset);
                let now = map.tenants.iter().map(|it| it.offset).sum();
                prop_assert!(now < sum, "it comes to an end");
                sum = now;
            }
            prop_assert_eq!(map.longest(&gone), map.bytes - held);
            prop_assert_eq!(map.divided(&gone), 0.0);
        }
    }

    #[test]
    fn what_is_stuck_is_left_where_it_is() {
        let walls = map(100, &[(10, 20, false), (40, 10, false), (70, 5, false)]);
        let sink = |stuck: &[u64]| walls.sink(&[], stuck).map(|it| (it.from, it.to, it.room));
        assert_eq!(sink(&[]), Some((70, 0, 10)), "the highest that fits");
        assert_eq!(sink(&[70]), Some((40, 0, 10)));
        assert_eq!(sink(&[70, 40]), Some((10, 0, 40)), "the next above");
        assert_eq!(sink(&[70, 40, 10]), None);
        assert_eq!(
            walls.sink(&[0], &[]).map(|it| it.room),
            Some(40),
            "over who goes"
        );
        assert!((walls.divided(&[]) - 0.4).abs() < 1e-9);
    }
}
