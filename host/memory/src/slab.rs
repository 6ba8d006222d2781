//! The slab: which bytes of the one reservation belong to whom.
//!
//! Pure: offsets and counters, no pointers, no locks. Three zones that never
//! mix, so that what lives for microseconds cannot leave holes between what
//! lives for days. Each has a stretch of addresses of its own and, within it, a
//! limit that may move while everything lives on: what lies beyond a lowered
//! limit stays where it is until it goes, and comes back to nobody.
//!
//! In the zone of models *regions* grow from the low end: whatever a session
//! keeps has one, allocates inside of it and leaves it as one stretch. *Blobs*
//! come from the high end: they are copies, and can be moved. `sum of owners =
//! in use` at every step.

mod census;
mod layout;
mod regions;
mod space;
mod touched;

use std::collections::BTreeMap;
use std::ops::Range;

pub use census::{Lot, ModelsCensus, OwnerCensus, ZoneCensus};
pub use layout::{Layout, Zone};
use regions::Region;
use space::{Fit, Space};
use touched::Touched;

/// ONNX Runtime wants its blocks aligned; CUDA's own allocator gives 256 bytes.
pub const ALIGNMENT: usize = 256;

/// Who holds bytes: a BERT, a voice, a slot, a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(u32);

/// A stretch that a session allocates from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionId(u32);

/// Where an allocation is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Anywhere in the zone; in that of models, from the high end.
    Zone(Zone),
    /// Inside a session's own stretch, as low as it fits.
    Region(RegionId),
}

/// What lies in the zone of models. Voices go by the library's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenant {
    /// The session of a BERT with all it keeps.
    Bert,
    /// The weights of a slot with what its sessions keep beside them.
    Slot,
    /// Sessions of a voice's own.
    Sessions(u64),
    /// A copy of a voice's weights.
    Blob(u64),
    /// Nobody that the library knows.
    Other,
}

impl Tenant {
    /// The voice that it goes with.
    pub fn voice(self) -> Option<u64> {
        match self {
            Self::Sessions(voice) | Self::Blob(voice) => Some(voice),
            Self::Bert | Self::Slot | Self::Other => None,
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Bert => 0,
            Self::Slot => 1,
            Self::Sessions(_) => 2,
            Self::Blob(_) => 3,
            Self::Other => 4,
        }
    }
}

/// How much of a region is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// What is in use now.
    Used,
    /// As far as was ever in use: the same can be opened in it again.
    Ever,
}

/// Why there is no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom {
    /// The block was wanted in this zone.
    pub zone: Zone,
    /// Bytes that were asked for, before they are rounded up.
    pub needed: usize,
    /// The largest block that could be had.
    pub largest: usize,
    /// Bytes that are free in all, in however many pieces.
    pub free: usize,
}

#[derive(Debug)]
struct Block {
    bytes: usize,
    zone: Zone,
    owner: Owner,
    tenant: Tenant,
    /// That it is the stretch of.
    region: Option<RegionId>,
}

#[derive(Debug)]
struct Account {
    name: String,
    in_use: usize,
    blocks: usize,
    high_water: usize,
    /// Nobody will allocate in its name again; goes with its last block.
    closed: bool,
}

/// Every block of the reservation and its owner. Whoever has it keeps a lock
/// around it.
#[derive(Debug)]
pub struct Slab {
    spans: Layout,
    limits: Layout,
    spaces: [Space; 3],
    blocks: BTreeMap<usize, Block>,
    regions: BTreeMap<RegionId, Region>,
    /// Blocks inside of regions.
    inside: BTreeMap<usize, (RegionId, usize)>,
    accounts: BTreeMap<Owner, Account>,
    next: u32,
    in_use: usize,
    high_water: usize,
    allocations: u64,
    touched: Touched,
}

impl Slab {
    /// With limits that can only be lowered.
    pub fn new(limits: Layout) -> Self {
        Self::with_spans(limits, limits)
    }

    /// With limits that can be raised up to `spans`.
    pub fn with_spans(limits: Layout, spans: Layout) -> Self {
        Self {
            spans,
            limits,
            spaces: spans.ranges(limits).map(Space::new),
            blocks: BTreeMap::new(),
            regions: BTreeMap::new(),
            inside: BTreeMap::new(),
            accounts: BTreeMap::new(),
            next: 0,
            in_use: 0,
            high_water: 0,
            allocations: 0,
            touched: Touched::default(),
        }
    }

    /// Bytes that each zone may use now.
    pub fn limits(&self) -> Layout {
        self.limits
    }

    /// What the limits can be raised to.
    pub fn spans(&self) -> Layout {
        self.spans
    }

    /// All limits together: the budget.
    pub fn bytes(&self) -> usize {
        self.limits.total()
    }

    /// Bytes of all blocks; a region counts whole, with what is free in it.
    pub fn in_use(&self) -> usize {
        self.in_use
    }

    /// How many blocks there are; a region counts as one.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The most bytes that were ever in use at once.
    pub fn high_water(&self) -> usize {
        self.high_water
    }

    /// How many blocks were ever given out, those inside regions included.
    pub fn allocations(&self) -> u64 {
        self.allocations
    }

    /// Opens an account. Close it when nobody allocates for it any more.
    pub fn owner(&mut self, name: &str) -> Owner {
        let owner = Owner(self.number());
        let account = Account {
            name: name.to_owned(),
            in_use: 0,
            blocks: 0,
            high_water: 0,
            closed: false,
        };
        self.accounts.insert(owner, account);
        owner
    }

    fn number(&mut self) -> u32 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    /// The account goes at once, or with its last block.
    pub fn close(&mut self, owner: Owner) {
        if let Some(account) = self.accounts.get_mut(&owner) {
            account.closed = true;
            if account.blocks == 0 {
                self.accounts.remove(&owner);
            }
        }
    }

    /// The text is empty once the account is closed and its last block gone.
    pub fn owner_name(&self, owner: Owner) -> &str {
        self.accounts
            .get(&owner)
            .map_or("", |account| account.name.as_str())
    }

    /// Bytes an owner holds, and the most it held since
    /// [`reset_high_water`](Self::reset_high_water).
    pub fn held(&self, owner: Owner) -> (usize, usize) {
        self.accounts
            .get(&owner)
            .map_or((0, 0), |account| (account.in_use, account.high_water))
    }

    /// From here on the owner's high water counts anew, from what it holds now.
    pub fn reset_high_water(&mut self, owner: Owner) {
        if let Some(account) = self.accounts.get_mut(&owner) {
            account.high_water = account.in_use;
        }
    }

    /// The offset of a block of at least `bytes`, aligned to [`ALIGNMENT`].
    pub fn allocate(&mut self, place: Place, owner: Owner, bytes: usize) -> Result<usize, NoRoom> {
        match place {
            Place::Zone(zone) => {
                let fit = match zone {
                    Zone::Models => Fit::Highest,
                    Zone::Activations | Zone::Reserve => Fit::Best,
                };
                self.occupy(zone, fit, owner, Tenant::Other, bytes)
            }
            Place::Region(id) => self.allocate_inside(id, bytes),
        }
    }

    /// A copy of a voice's weights, at the high end.
    pub fn blob(&mut self, owner: Owner, voice: u64, bytes: usize) -> Result<usize, NoRoom> {
        self.occupy(
            Zone::Models,
            Fit::Highest,
            owner,
            Tenant::Blob(voice),
            bytes,
        )
    }

    fn occupy(
        &mut self,
        zone: Zone,
        fit: Fit,
        owner: Owner,
        tenant: Tenant,
        bytes: usize,
    ) -> Result<usize, NoRoom> {
        let space = &mut self.spaces[zone.index()];
        let found = rounded(bytes).and_then(|bytes| Some((space.take(bytes, fit)?, bytes)));
        let Some((offset, rounded)) = found else {
            return Err(no_room(space, zone, bytes));
        };
        let block = Block {
            bytes: rounded,
            zone,
            owner,
            tenant,
            region: None,
        };
        self.blocks.insert(offset, block);
        self.touched.add(offset..offset + rounded);
        self.allocations += 1;
        self.in_use += rounded;
        self.high_water = self.high_water.max(self.in_use);
        if let Some(account) = self.accounts.get_mut(&owner) {
            account.in_use += rounded;
            account.blocks += 1;
            account.high_water = account.high_water.max(account.in_use);
        }
        Ok(offset)
    }

    /// Gives a block back; its bytes, or nothing if no block starts here.
    pub fn free(&mut self, offset: usize) -> Option<usize> {
        if let Some((id, bytes)) = self.inside.remove(&offset) {
            if let Some(region) = self.regions.get_mut(&id) {
                region.space.give(offset, bytes);
                if region.closed {
                    self.close_region(id);
                }
            }
            return Some(bytes);
        }
        match self.blocks.get(&offset)?.region {
            // A region is closed, not freed.
            Some(_) => None,
            None => self.vacate(offset),
        }
    }

    fn vacate(&mut self, offset: usize) -> Option<usize> {
        let block = self.blocks.remove(&offset)?;
        self.spaces[block.zone.index()].give(offset, block.bytes);
        self.in_use -= block.bytes;
        if let Some(account) = self.accounts.get_mut(&block.owner) {
            account.in_use -= block.bytes;
            account.blocks -= 1;
            if account.closed && account.blocks == 0 {
                self.accounts.remove(&block.owner);
            }
        }
        Some(block.bytes)
    }

    /// Notes that a blob lies elsewhere now. Its bytes are the caller's to
    /// move, before. False, and nothing changes, if it is no blob or somebody
    /// else is there.
    pub fn relocate(&mut self, from: usize, to: usize) -> bool {
        let Some(block) = self.blocks.get(&from) else {
            return false;
        };
        if !matches!(block.tenant, Tenant::Blob(_)) || !to.is_multiple_of(ALIGNMENT) {
            return false;
        }
        let bytes = block.bytes;
        let space = &mut self.spaces[Zone::Models.index()];
        space.give(from, bytes);
        let free = space.is_free(to, bytes);
        space.occupy(if free { to } else { from }, bytes);
        if free && let Some(block) = self.blocks.remove(&from) {
            self.blocks.insert(to, block);
            self.touched.add(to..to + bytes);
        }
        free
    }

    /// Moves the limits. What lies beyond a lower one stays until it goes. A
    /// limit beyond its span is refused, and nothing changes.
    pub fn set_limits(&mut self, limits: Layout) -> Result<(), Zone> {
        if let Some(zone) = Zone::ALL
            .into_iter()
            .find(|zone| limits.of(*zone) > self.spans.of(*zone))
        {
            return Err(zone);
        }
        let ranges = self.spans.ranges(limits);
        for zone in Zone::ALL {
            let blocks = self.blocks.iter().filter(|(_, block)| block.zone == zone);
            let blocks = blocks.map(|(offset, block)| (*offset, block.bytes));
            let space = &mut self.spaces[zone.index()];
            *space = space.reshaped(ranges[zone.index()].clone(), blocks);
        }
        self.limits = limits;
        Ok(())
    }

    /// Bytes that may have pages of the system's behind them.
    pub fn touched(&self) -> usize {
        self.touched.bytes()
    }

    /// Whole pages of a zone that were written to and are nobody's now. Of one
    /// stretch no more than `most` at a time.
    pub fn idle_pages(&self, zone: Zone, page: usize, most: usize) -> Option<Range<usize>> {
        let start: usize = self.spans.0[..zone.index()].iter().sum();
        let end = start + self.spans.of(zone);
        let mut from = start;
        let occupied = self.blocks.range(start..end);
        let occupied = occupied.map(|(offset, block)| (*offset, offset + block.bytes));
        for (offset, next) in occupied.chain([(end, end)]) {
            for gap in self.touched.within(&(from..offset)) {
                let pages = gap.start.next_multiple_of(page)..gap.end / page * page;
                if pages.end > pages.start {
                    return Some(pages.start..pages.end.min(pages.start + most));
                }
            }
            from = next;
        }
        None
    }

    /// Their pages were given back to the system.
    pub fn given_back(&mut self, pages: &Range<usize>) {
        self.touched.remove(pages);
    }
}

fn rounded(bytes: usize) -> Option<usize> {
    bytes.max(1).checked_next_multiple_of(ALIGNMENT)
}

fn no_room(space: &Space, zone: Zone, needed: usize) -> NoRoom {
    NoRoom {
        zone,
        needed,
        largest: space.largest(),
        free: space.free(),
    }
}

/// To the next multiple of [`ALIGNMENT`].
pub fn round_up(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}

#[cfg(test)]
mod tests;
