//! Properties over thousands of random steps, and the few cases worth a name.

use proptest::prelude::*;

use super::*;

const SPANS: Layout = Layout([64 * 256, 64 * 256, 4 * 256]);
const LIMITS: Layout = Layout([40 * 256, 32 * 256, 2 * 256]);
const ACTIVATIONS: Place = Place::Zone(Zone::Activations);

#[derive(Clone, Debug)]
enum Step {
    Allocate {
        zone: usize,
        owner: usize,
        bytes: usize,
    },
    Blob {
        owner: usize,
        bytes: usize,
    },
    Region {
        owner: usize,
        bytes: usize,
    },
    /// In the n-th open region, modulo their number.
    Inside {
        region: usize,
        bytes: usize,
    },
    Fit {
        region: usize,
        ever: bool,
    },
    Close(usize),
    Move {
        region: usize,
        to: usize,
    },
    /// The n-th living block, modulo their number.
    Free(usize),
    Relocate {
        block: usize,
        to: usize,
    },
    Limit {
        zone: usize,
        blocks: usize,
    },
    GiveBack(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = 0..3_000usize;
    prop_oneof![
        5 => (0..3usize, 0..4usize, bytes.clone())
            .prop_map(|(zone, owner, bytes)| Step::Allocate { zone, owner, bytes }),
        3 => (0..4usize, bytes.clone()).prop_map(|(owner, bytes)| Step::Blob { owner, bytes }),
        3 => (0..4usize, bytes.clone()).prop_map(|(owner, bytes)| Step::Region { owner, bytes }),
        5 => (0..50usize, 0..1_000usize)
            .prop_map(|(region, bytes)| Step::Inside { region, bytes }),
        1 => (0..50usize, any::<bool>()).prop_map(|(region, ever)| Step::Fit { region, ever }),
        2 => (0..50usize).prop_map(Step::Close),
        3 => (0..50usize, 0..64usize)
            .prop_map(|(region, to)| Step::Move { region, to: to * 256 }),
        8 => (0..1_000usize).prop_map(Step::Free),
        2 => (0..1_000usize, 0..64usize)
            .prop_map(|(block, to)| Step::Relocate { block, to: to * 256 }),
        1 => (0..3usize, 0..70usize).prop_map(|(zone, blocks)| Step::Limit { zone, blocks }),
        1 => (0..3usize).prop_map(Step::GiveBack),
    ]
}

#[derive(Clone, Copy)]
struct Living {
    offset: usize,
    bytes: usize,
    blob: bool,
    region: Option<RegionId>,
}

/// The slab beside the plainest model of it: a list of blocks.
struct Checked {
    slab: Slab,
    owners: Vec<Owner>,
    living: Vec<Living>,
    regions: Vec<RegionId>,
    closed: Vec<RegionId>,
}

impl Checked {
    fn new() -> Self {
        let mut slab = Slab::with_spans(LIMITS, SPANS);
        let owners = (0..4).map(|i| slab.owner(&format!("owner {i}"))).collect();
        Self {
            slab,
            owners,
            living: Vec::new(),
            regions: Vec::new(),
            closed: Vec::new(),
        }
    }

    fn took(&mut self, taken: Result<usize, NoRoom>, bytes: usize, blob: bool) {
        match taken {
            Ok(offset) => self.living.push(Living {
                offset,
                bytes: round_up(bytes.max(1)),
                blob,
                region: None,
            }),
            Err(no_room) => assert!(round_up(bytes.max(1)) > no_room.largest),
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Allocate { zone, owner, bytes } => {
                let zone = Zone::ALL[zone];
                let before = self.slab.zone(zone);
                let taken = self
                    .slab
                    .allocate(Place::Zone(zone), self.owners[owner], bytes);
                if taken.is_err() {
                    assert_eq!(before, self.slab.zone(zone), "a refusal changes nothing");
                }
                self.took(taken, bytes, false);
            }
            Step::Blob { owner, bytes } => {
                let taken = self.slab.blob(self.owners[owner], 7, bytes);
                self.took(taken, bytes, true);
            }
            Step::Region { owner, bytes } => {
                let opened = self
                    .slab
                    .open_region(self.owners[owner], Tenant::Slot, bytes);
                self.regions.extend(opened);
            }
            Step::Inside { region, bytes } if !self.regions.is_empty() => {
                let id = self.regions[region % self.regions.len()];
                if let Ok(offset) = self.slab.allocate(Place::Region(id), self.owners[0], bytes) {
                    self.living.push(Living {
                        offset,
                        bytes: round_up(bytes.max(1)),
                        blob: false,
                        region: Some(id),
                    });
                }
            }
            Step::Fit { region, ever } if !self.regions.is_empty() => {
                let id = self.regions[region % self.regions.len()];
                let (before, used, reached) = self.slab.region(id);
                self.slab
                    .fit_region(id, if ever { Keep::Ever } else { Keep::Used });
                let (after, still, _) = self.slab.region(id);
                assert!(after <= before && used == still && after >= used);
                assert!(!ever || after >= reached.min(before));
            }
            Step::Close(nth) if !self.regions.is_empty() => {
                let id = self.regions.swap_remove(nth % self.regions.len());
                self.slab.close_region(id);
                let used = self.living.iter().any(|it| it.region == Some(id));
                assert_eq!(
                    self.slab.region(id).0 > 0,
                    used,
                    "it goes with its last block"
                );
                self.closed.push(id);
            }
            Step::Move { region, to } if !self.regions.is_empty() => {
                let id = self.regions[region % self.regions.len()];
                let before = (self.slab.region_at(id), self.slab.region(id));
                let census = self.slab.zone(Zone::Models);
                let used = self.living.iter().any(|it| it.region == Some(id));
                let moved = self.slab.move_region(id, to);
                assert!(!(moved && used), "something lies in it");
                let after = (self.slab.region_at(id), self.slab.region(id));
                assert_eq!(before.1, after.1, "it stays what it was");
                assert_eq!(after.0, if moved { Some(to) } else { before.0 });
                assert_eq!(self.slab.zone(Zone::Models).in_use, census.in_use);
            }
            Step::Free(nth) if !self.living.is_empty() => {
                let Living { offset, bytes, .. } = self.living.swap_remove(nth % self.living.len());
                assert_eq!(self.slab.free(offset), Some(bytes));
            }
            Step::Relocate { block, to } if !self.living.is_empty() => {
                let nth = block % self.living.len();
                let Living { offset, blob, .. } = self.living[nth];
                let moved = self.slab.relocate(offset, to);
                assert!(blob || !moved, "only copies are moved");
                if moved {
                    self.living[nth].offset = to;
                }
            }
            Step::Limit { zone, blocks } => {
                let mut limits = self.slab.limits();
                limits.0[zone] = blocks * 256;
                let before = self.slab.limits();
                match self.slab.set_limits(limits) {
                    Ok(()) => assert_eq!(self.slab.limits(), limits),
                    Err(of) => {
                        assert!(limits.of(of) > SPANS.of(of));
                        assert_eq!(self.slab.limits(), before, "a refusal changes nothing");
                    }
                }
            }
            Step::GiveBack(zone) => {
                while let Some(pages) = self.slab.idle_pages(Zone::ALL[zone], 512, 2_048) {
                    assert!(pages.start.is_multiple_of(512) && pages.end.is_multiple_of(512));
                    for Living { offset, bytes, .. } in &self.living {
                        assert!(
                            offset + bytes <= pages.start || *offset >= pages.end,
                            "in use"
                        );
                    }
                    self.slab.given_back(&pages);
                }
            }
            Step::Inside { .. }
            | Step::Fit { .. }
            | Step::Close(_)
            | Step::Move { .. }
            | Step::Free(_)
            | Step::Relocate { .. } => {}
        }
    }

    fn check(&self) {
        let regions = self.regions.iter().chain(&self.closed);
        let regions: usize = regions.map(|id| self.slab.region(*id).0).sum();
        let outside = self.living.iter().filter(|it| it.region.is_none());
        let total = regions + outside.map(|it| it.bytes).sum::<usize>();
        assert_eq!(self.slab.in_use(), total);
        let owned: usize = self.slab.owners().iter().map(|owner| owner.in_use).sum();
        assert_eq!(owned, total, "the sum of owners is what is in use");
        let zones = Zone::ALL.map(|zone| self.slab.zone(zone));
        assert_eq!(zones.iter().map(|it| it.in_use).sum::<usize>(), total);
        let models = self.slab.models();
        assert_eq!(
            models.bert + models.slots + models.sessions + models.blobs + models.other,
            zones[0].in_use,
            "the sum of tenants is what is in use there"
        );
        let mut sorted: Vec<_> = self.living.iter().map(|it| (it.offset, it.bytes)).collect();
        sorted.sort_unstable();
        for pair in sorted.windows(2) {
            assert!(pair[0].0 + pair[0].1 <= pair[1].0, "blocks overlap");
        }
        for (offset, bytes) in sorted {
            assert_eq!(offset % ALIGNMENT, 0);
            assert!(offset + bytes <= SPANS.total());
        }
        for census in zones {
            assert_eq!(census.in_use + census.free, census.bytes + census.over);
            assert!(census.largest_free <= census.free);
            assert!(census.high_water >= census.in_use);
        }
        assert!(self.slab.touched() >= total, "what is in use was touched");
    }

    fn empty(mut self) {
        for Living { offset, .. } in self.living.drain(..) {
            assert!(self.slab.free(offset).is_some());
        }
        for id in self.regions.drain(..) {
            self.slab.close_region(id);
        }
        assert_eq!(self.slab.in_use(), 0);
        assert_eq!(self.slab.blocks(), 0);
        for zone in Zone::ALL {
            let census = self.slab.zone(zone);
            assert_eq!((census.blocks, census.over), (0, 0));
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
    let mut slab = Slab::new(Layout([0, 16 * 256, 0]));
    let owner = slab.owner("lane");
    let mut at = |blocks: usize| {
        slab.allocate(ACTIVATIONS, owner, blocks * 256)
            .expect("room")
    };
    let (a, _, b, _, _) = (at(4), at(1), at(2), at(1), at(8));
    assert_eq!(slab.free(a), Some(4 * 256));
    assert_eq!(slab.free(b), Some(2 * 256));
    let again = slab.allocate(ACTIVATIONS, owner, 2 * 256);
    assert_eq!(again, Ok(b), "not the larger hole at {a}");
}

#[test]
fn regions_come_from_the_low_end_and_copies_from_the_high_one() {
    let mut slab = Slab::new(Layout([20 * 256, 0, 0]));
    let owner = slab.owner("voice");
    let high = slab.blob(owner, 1, 4 * 256).expect("room");
    let region = slab.open_region(owner, Tenant::Sessions(2), 6 * 256);
    let region = region.expect("room");
    assert_eq!(high, 16 * 256);
    let inside = slab.allocate(Place::Region(region), owner, 256);
    assert_eq!(inside, Ok(0));
    slab.fit_region(region, Keep::Used);
    assert_eq!(slab.region(region).0, 256);
    assert_eq!(slab.zone(Zone::Models).largest_free, 15 * 256);
    assert!(
        slab.allocate(Place::Region(region), owner, 1).is_err(),
        "a region does not grow over its end"
    );
    assert!(!slab.relocate(high, 0), "somebody is there");
    assert!(slab.relocate(high, 14 * 256), "over a part of itself");
    assert_eq!(slab.free(0), Some(256));
    slab.close_region(region);
    assert_eq!(slab.models().sessions, 0);
}

#[test]
fn an_empty_region_moves_where_it_is_free_and_over_a_part_of_itself() {
    let mut slab = Slab::new(Layout([20 * 256, 0, 0]));
    let owner = slab.owner("slots");
    let mut open = |blocks: usize| {
        let region = slab.open_region(owner, Tenant::Slot, blocks * 256);
        region.expect("room")
    };
    let (first, second, third) = (open(3), open(5), open(2));
    assert!(!slab.move_region(second, 0), "the first is there");
    slab.close_region(first);
    let inside = slab.allocate(Place::Region(second), owner, 256);
    let inside = inside.expect("room");
    assert!(!slab.move_region(second, 0), "something lies in it");
    slab.free(inside).expect("a block");
    assert!(
        !slab.move_region(second, 4 * 256),
        "the third is in the way"
    );
    assert!(slab.move_region(second, 0) && slab.move_region(third, 5 * 256));
    assert!(!slab.move_region(third, 19 * 256), "over the end");
    let inside = slab.allocate(Place::Region(second), owner, 256);
    assert_eq!(inside, Ok(0), "it serves from where it lies");
    assert_eq!(slab.zone(Zone::Models).largest_free, 13 * 256);
    slab.free(0).expect("a block");
    slab.close_region(second);
    slab.close_region(third);
    assert_eq!(slab.zone(Zone::Models).largest_free, 20 * 256);
}

#[test]
fn a_lower_limit_bites_at_once_and_what_is_beyond_goes_in_its_time() {
    let mut slab = Slab::with_spans(Layout([8 * 256, 0, 0]), Layout([16 * 256, 0, 0]));
    let owner = slab.owner("voice");
    let beyond = slab.blob(owner, 1, 4 * 256).expect("room");
    let below = slab.blob(owner, 2, 2 * 256).expect("room");
    slab.set_limits(Layout([5 * 256, 0, 0])).expect("less");
    let census = slab.zone(Zone::Models);
    assert_eq!((census.free, census.over), (2 * 256, 3 * 256));
    assert!(slab.blob(owner, 3, 3 * 256).is_err());
    slab.free(beyond).expect("a block");
    let census = slab.zone(Zone::Models);
    assert_eq!((census.free, census.over), (3 * 256, 0), "nobody gets it");
    slab.set_limits(Layout([16 * 256, 0, 0])).expect("more");
    assert_eq!(slab.zone(Zone::Models).free, 14 * 256);
    slab.free(below).expect("a block");
    assert_eq!(slab.zone(Zone::Models).largest_free, 16 * 256);
    assert_eq!(slab.set_limits(Layout([17 * 256, 0, 0])), Err(Zone::Models));
}

#[test]
fn a_refusal_says_how_much_could_be_had() {
    let mut slab = Slab::new(Layout([4 * 256, 0, 0]));
    let owner = slab.owner("voice");
    slab.blob(owner, 1, 256).expect("room");
    let refused = slab.blob(owner, 2, 1_000);
    let expected = NoRoom {
        zone: Zone::Models,
        needed: 1_000,
        largest: 768,
        free: 768,
    };
    assert_eq!(refused, Err(expected));
    let refused = slab.allocate(Place::Zone(Zone::Reserve), owner, usize::MAX);
    assert_eq!(refused.err().map(|e| e.largest), Some(0));
}

#[test]
fn an_owner_is_forgotten_with_its_last_block() {
    let mut slab = Slab::new(LIMITS);
    let owner = slab.owner("voice haru");
    let block = slab.blob(owner, 1, 10).expect("room");
    slab.close(owner);
    assert_eq!(slab.owner_name(owner), "voice haru");
    slab.free(block);
    assert!(slab.owners().is_empty());
}
