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

mod space;
mod touched;

use std::collections::BTreeMap;
use std::ops::Range;

use space::{Fit, Space};
use touched::Touched;

/// ONNX Runtime wants its blocks aligned; CUDA's own allocator gives 256 bytes.
pub const ALIGNMENT: usize = 256;

/// A part of the slab for what lives about as long.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Zone {
    /// Weights: BERT's, those that sessions alias or own, those that wait.
    Models,
    /// What a run needs while it runs.
    Activations,
    /// For what threads of ONNX Runtime's own allocate when there is no room:
    /// there nobody can be refused, so it gets this and the run is told to end.
    Reserve,
}

impl Zone {
    pub const ALL: [Self; 3] = [Self::Models, Self::Activations, Self::Reserve];

    pub fn name(self) -> &'static str {
        match self {
            Self::Models => "models",
            Self::Activations => "activations",
            Self::Reserve => "reserve",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// Bytes of each zone, in the order of [`Zone::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout(pub [usize; 3]);

impl Layout {
    pub fn of(self, zone: Zone) -> usize {
        self.0[zone.index()]
    }

    #[must_use]
    pub fn with(mut self, zone: Zone, bytes: usize) -> Self {
        self.0[zone.index()] = round_up(bytes);
        self
    }

    pub fn total(self) -> usize {
        self.0.iter().sum()
    }

    /// With no zone smaller than so many bytes.
    #[must_use]
    pub fn at_least(self, bytes: usize) -> Self {
        Self(self.0.map(|zone| zone.max(bytes)))
    }

    /// Zones behind each other, each as long as here and full up to `limits`.
    fn ranges(self, limits: Self) -> [Range<usize>; 3] {
        let mut start = 0;
        let mut ranges = self.0.map(|bytes| {
            let range = start..start + bytes;
            start = range.end;
            range
        });
        for (range, limit) in ranges.iter_mut().zip(limits.0) {
            range.end = range.start + limit;
        }
        ranges
    }
}

/// Who holds bytes: a BERT, a voice, a slot, a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(u32);

/// A stretch that a session allocates from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionId(u32);

/// Where an allocation is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Zone(Zone),
    Region(RegionId),
}

/// What lies in the zone of models. Voices go by the library's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenant {
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

/// A tenant and its stretch, as bytes from the zone's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lot {
    pub tenant: Tenant,
    pub offset: usize,
    pub bytes: usize,
}

/// The zone of models by what lies in it, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct ModelsCensus {
    pub bert: usize,
    pub slots: usize,
    /// Of voices that have sessions of their own.
    pub sessions: usize,
    /// Weights of voices that wait.
    pub blobs: usize,
    pub other: usize,
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
    pub zone: Zone,
    pub needed: usize,
    /// The largest block that could be had.
    pub largest: usize,
    pub free: usize,
}

/// What the counters say of a zone, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct ZoneCensus {
    pub zone: Zone,
    /// Its limit.
    pub bytes: usize,
    pub in_use: usize,
    /// Of it, beyond a limit that was lowered: until it goes.
    pub over: usize,
    pub blocks: usize,
    pub high_water: usize,
    pub free: usize,
    pub largest_free: usize,
    /// Free stretches: 1 in a zone at rest.
    pub free_entries: usize,
}

impl ZoneCensus {
    /// The share of the free bytes that the largest block could not use.
    pub fn fragmentation(&self) -> f64 {
        match self.free {
            0 => 0.0,
            free => 1.0 - self.largest_free as f64 / free as f64,
        }
    }
}

/// What an owner holds, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct OwnerCensus {
    pub owner: String,
    pub in_use: usize,
    pub blocks: usize,
    pub high_water: usize,
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
struct Region {
    start: usize,
    space: Space,
    /// The end of the highest block there ever was.
    reached: usize,
    /// Nobody will allocate in it again; goes with its last block.
    closed: bool,
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

    pub fn in_use(&self) -> usize {
        self.in_use
    }

    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    pub fn high_water(&self) -> usize {
        self.high_water
    }

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

    fn allocate_inside(&mut self, id: RegionId, bytes: usize) -> Result<usize, NoRoom> {
        let refused = NoRoom {
            zone: Zone::Models,
            needed: bytes,
            largest: 0,
            free: 0,
        };
        let region = self.regions.get_mut(&id).ok_or(refused)?;
        let found =
            rounded(bytes).and_then(|bytes| Some((region.space.take(bytes, Fit::Lowest)?, bytes)));
        let Some((offset, rounded)) = found else {
            return Err(no_room(&region.space, Zone::Models, bytes));
        };
        region.reached = region.reached.max(offset + rounded);
        self.inside.insert(offset, (id, rounded));
        self.allocations += 1;
        Ok(offset)
    }

    /// A stretch for one who allocates in it, at the low end.
    pub fn open_region(
        &mut self,
        owner: Owner,
        tenant: Tenant,
        bytes: usize,
    ) -> Result<RegionId, NoRoom> {
        let start = self.occupy(Zone::Models, Fit::Lowest, owner, tenant, bytes)?;
        let id = RegionId(self.number());
        let mut end = start;
        if let Some(block) = self.blocks.get_mut(&start) {
            block.region = Some(id);
            end += block.bytes;
        }
        let region = Region {
            start,
            space: Space::new(start..end),
            reached: start,
            closed: false,
        };
        self.regions.insert(id, region);
        Ok(id)
    }

    /// Gives back the end of a region that is not used.
    pub fn fit_region(&mut self, id: RegionId, keep: Keep) {
        let Some(region) = self.regions.get_mut(&id) else {
            return;
        };
        let range = region.space.range();
        let blocks = self.inside.range(range.clone());
        let blocks: Vec<_> = blocks
            .map(|(offset, (_, bytes))| (*offset, *bytes))
            .collect();
        let used = blocks.last().map_or(range.start, |(at, bytes)| at + bytes);
        let end = match keep {
            Keep::Used => used,
            Keep::Ever => region.reached,
        };
        // Never none at all: it is known by where it begins.
        let end = end.clamp(range.start + ALIGNMENT, range.end);
        region.space = region.space.reshaped(range.start..end, blocks.into_iter());
        let kept = end - range.start;
        if let Some(block) = self.blocks.get_mut(&range.start) {
            let spare = block.bytes - kept;
            self.spaces[Zone::Models.index()].shorten(range.start, block.bytes, kept);
            block.bytes = kept;
            self.in_use -= spare;
            if let Some(account) = self.accounts.get_mut(&block.owner) {
                account.in_use -= spare;
            }
        }
    }

    /// Goes at once, or with its last block.
    pub fn close_region(&mut self, id: RegionId) {
        if let Some(region) = self.regions.get_mut(&id) {
            region.closed = true;
            if region.space.blocks() == 0 {
                let start = region.start;
                self.regions.remove(&id);
                self.vacate(start);
            }
        }
    }

    /// Bytes of a region; of them in use; and the most it ever reached to.
    pub fn region(&self, id: RegionId) -> (usize, usize, usize) {
        self.regions.get(&id).map_or((0, 0, 0), |region| {
            let space = &region.space;
            (
                space.range().len(),
                space.in_use(),
                region.reached - region.start,
            )
        })
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

    pub fn zone(&self, zone: Zone) -> ZoneCensus {
        let space = &self.spaces[zone.index()];
        ZoneCensus {
            zone,
            bytes: space.range().len(),
            in_use: space.in_use(),
            over: (space.in_use() + space.free()).saturating_sub(space.range().len()),
            blocks: space.blocks(),
            high_water: space.high_water(),
            free: space.free(),
            largest_free: space.largest(),
            free_entries: space.entries(),
        }
    }

    /// Whatever lies in the zone of models, from the low end.
    pub fn tenants(&self) -> Vec<Lot> {
        let blocks = self.blocks.iter();
        let models = blocks.filter(|(_, block)| block.zone == Zone::Models);
        let lot = |(offset, block): (&usize, &Block)| Lot {
            tenant: block.tenant,
            // The first zone begins where the slab does.
            offset: *offset,
            bytes: block.bytes,
        };
        models.map(lot).collect()
    }

    pub fn models(&self) -> ModelsCensus {
        let mut sums = [0; 5];
        for lot in self.tenants() {
            sums[lot.tenant.index()] += lot.bytes;
        }
        let [bert, slots, sessions, blobs, other] = sums;
        ModelsCensus {
            bert,
            slots,
            sessions,
            blobs,
            other,
        }
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

    /// Every open account, the largest first.
    pub fn owners(&self) -> Vec<OwnerCensus> {
        let mut owners: Vec<_> = self
            .accounts
            .values()
            .map(|account| OwnerCensus {
                owner: account.name.clone(),
                in_use: account.in_use,
                blocks: account.blocks,
                high_water: account.high_water,
            })
            .collect();
        owners.sort_by(|a, b| b.in_use.cmp(&a.in_use).then(a.owner.cmp(&b.owner)));
        owners
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
