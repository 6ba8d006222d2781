//! Properties over thousands of random steps, and the few cases worth a name.

use proptest::prelude::*;

use super::*;

const LAYOUT: Layout = Layout([4 * 256, 8 * 256, 16 * 256, 64 * 256, 2 * 256]);

#[derive(Clone, Debug)]
enum Step {
    Allocate {
        zone: usize,
        owner: usize,
        bytes: usize,
    },
    /// The n-th living block, modulo their number.
    Free(usize),
    FreeAllOf(usize),
    Relayout {
        from: usize,
        to: usize,
        bytes: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..5usize, 0..4usize, 0..3_000usize)
            .prop_map(|(zone, owner, bytes)| Step::Allocate { zone, owner, bytes }),
        5 => (0..1_000usize).prop_map(Step::Free),
        1 => (0..4usize).prop_map(Step::FreeAllOf),
        1 => (0..5usize, 0..5usize, 1..8usize)
            .prop_map(|(from, to, blocks)| Step::Relayout { from, to, bytes: blocks * 256 }),
    ]
}

/// The slab beside the plainest model of it: a list of blocks.
struct Checked {
    slab: Slab,
    owners: Vec<Owner>,
    living: Vec<(usize, usize, usize)>,
}

impl Checked {
    fn new() -> Self {
        let mut slab = Slab::new(LAYOUT);
        let owners = (0..4).map(|i| slab.owner(&format!("owner {i}"))).collect();
        Self {
            slab,
            owners,
            living: Vec::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Allocate { zone, owner, bytes } => {
                let zone = Zone::ALL[zone];
                let before = self.slab.zone(zone);
                match self.slab.allocate(zone, self.owners[owner], bytes) {
                    Ok(offset) => self.living.push((offset, round_up(bytes.max(1)), owner)),
                    Err(no_room) => {
                        assert!(round_up(bytes.max(1)) > no_room.largest);
                        assert_eq!(before, self.slab.zone(zone), "a refusal changes nothing");
                    }
                }
            }
            Step::Free(nth) if !self.living.is_empty() => {
                let (offset, bytes, _) = self.living.swap_remove(nth % self.living.len());
                assert_eq!(self.slab.free(offset), Some(bytes));
                assert_eq!(self.slab.free(offset), None, "once is enough");
            }
            Step::Free(_) => {}
            Step::FreeAllOf(owner) => {
                let slab = &mut self.slab;
                self.living
                    .retain(|(offset, _, of)| *of != owner || slab.free(*offset).is_none());
            }
            Step::Relayout { from, to, bytes } => {
                let mut layout = self.slab.layout();
                if from == to || layout.0[from] < bytes {
                    return;
                }
                layout.0[from] -= bytes;
                layout.0[to] += bytes;
                let before = self.slab.layout();
                if self.slab.relayout(layout).is_err() {
                    assert_eq!(before, self.slab.layout());
                }
            }
        }
    }

    fn check(&self) {
        let total: usize = self.living.iter().map(|(_, bytes, _)| bytes).sum();
        assert_eq!(self.slab.in_use(), total);
        let owned: usize = self.slab.owners().iter().map(|owner| owner.in_use).sum();
        assert_eq!(owned, total, "the sum of owners is what is in use");
        let zones: usize = Zone::ALL
            .iter()
            .map(|zone| self.slab.zone(*zone).in_use)
            .sum();
        assert_eq!(zones, total);
        let mut sorted = self.living.clone();
        sorted.sort_unstable();
        for pair in sorted.windows(2) {
            assert!(pair[0].0 + pair[0].1 <= pair[1].0, "blocks overlap");
        }
        for (offset, bytes, _) in sorted {
            assert_eq!(offset % ALIGNMENT, 0);
            assert!(offset + bytes <= self.slab.bytes());
        }
        for zone in Zone::ALL {
            let census = self.slab.zone(zone);
            assert!(census.largest_free <= census.free());
            assert!(census.high_water >= census.in_use);
        }
    }

    fn empty(mut self) {
        for (offset, _, _) in self.living.drain(..) {
            assert!(self.slab.free(offset).is_some());
        }
        assert_eq!(self.slab.in_use(), 0);
        assert_eq!(self.slab.blocks(), 0);
        for zone in Zone::ALL {
            let census = self.slab.zone(zone);
            assert_eq!(census.blocks, 0);
            let entries = usize::from(census.bytes > 0);
            assert_eq!(census.free_entries, entries, "one free stretch: {zone:?}");
            assert_eq!(census.largest_free, census.bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn owners_add_up_blocks_never_overlap_and_all_freed_is_as_new(
        steps in prop::collection::vec(step(), 200..3_000)
    ) {
        let mut checked = Checked::new();
        for (count, step) in steps.iter().enumerate() {
            checked.take(step);
            if count % 16 == 0 {
                checked.check();
            }
        }
        checked.check();
        checked.empty();
    }
}

#[test]
fn the_smallest_hole_that_fits_is_taken() {
    let mut slab = Slab::new(Layout([0, 0, 0, 16 * 256, 0]));
    let owner = slab.owner("lane");
    let mut at = |blocks: usize| {
        slab.allocate(Zone::Activations, owner, blocks * 256)
            .expect("room")
    };
    let (a, _, b, _, _) = (at(4), at(1), at(2), at(1), at(8));
    assert_eq!(slab.free(a), Some(4 * 256));
    assert_eq!(slab.free(b), Some(2 * 256));
    let again = slab.allocate(Zone::Activations, owner, 2 * 256);
    assert_eq!(again, Ok(b), "not the larger hole at {a}");
}

#[test]
fn a_refusal_says_how_much_could_be_had() {
    let mut slab = Slab::new(Layout([0, 0, 4 * 256, 0, 0]));
    let owner = slab.owner("voice");
    slab.allocate(Zone::Library, owner, 256).expect("room");
    let refused = slab.allocate(Zone::Library, owner, 1_000);
    let expected = NoRoom {
        zone: Zone::Library,
        needed: 1_000,
        largest: 768,
        free: 768,
    };
    assert_eq!(refused, Err(expected));
    assert_eq!(
        slab.allocate(Zone::Bert, owner, usize::MAX)
            .err()
            .map(|e| e.largest),
        Some(0)
    );
}

#[test]
fn an_owner_is_forgotten_with_its_last_block() {
    let mut slab = Slab::new(LAYOUT);
    let owner = slab.owner("voice haru");
    let block = slab.allocate(Zone::Library, owner, 10).expect("room");
    slab.close(owner);
    assert_eq!(slab.owner_name(owner), "voice haru");
    slab.free(block);
    assert!(slab.owners().is_empty());
}
