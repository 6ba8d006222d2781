//! The slab: which bytes of the one reservation belong to whom.
//!
//! Pure: offsets and counters, no pointers, no locks. Best fit with coalescing
//! inside zones that never mix, so that what lives for microseconds cannot
//! leave holes between what lives for days. `sum of owners = in use` at every
//! step.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// ONNX Runtime wants its blocks aligned; CUDA's own allocator gives 256 bytes.
pub const ALIGNMENT: usize = 256;

/// A part of the slab for one kind of tenant.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Zone {
    /// BERT's weights: resident once.
    Bert,
    /// Weight regions that slot sessions alias.
    Slots,
    /// Weight blobs of voices.
    Library,
    /// What a run needs while it runs.
    Activations,
    /// For what threads of ONNX Runtime's own allocate when there is no room:
    /// there nobody can be refused, so it gets this and the run is told to end.
    Reserve,
}

impl Zone {
    pub const ALL: [Self; 5] = [
        Self::Bert,
        Self::Slots,
        Self::Library,
        Self::Activations,
        Self::Reserve,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::Slots => "slots",
            Self::Library => "library",
            Self::Activations => "activations",
            Self::Reserve => "reserve",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// Bytes of each zone, in the order of [`Zone::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout(pub [usize; 5]);

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

    fn ranges(self) -> [Range<usize>; 5] {
        let mut start = 0;
        self.0.map(|bytes| {
            let range = start..start + bytes;
            start = range.end;
            range
        })
    }
}

/// Who holds bytes: a BERT, a voice, a slot, a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(u32);

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
    pub bytes: usize,
    pub in_use: usize,
    pub blocks: usize,
    pub high_water: usize,
    pub largest_free: usize,
    /// Free stretches: 1 in a zone at rest.
    pub free_entries: usize,
}

impl ZoneCensus {
    pub fn free(&self) -> usize {
        self.bytes - self.in_use
    }

    /// The share of the free bytes that the largest block could not use.
    pub fn fragmentation(&self) -> f64 {
        match self.free() {
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
}

#[derive(Debug, Default)]
struct Space {
    range: Range<usize>,
    by_offset: BTreeMap<usize, usize>,
    by_size: BTreeSet<(usize, usize)>,
    in_use: usize,
    blocks: usize,
    high_water: usize,
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
    layout: Layout,
    spaces: [Space; 5],
    blocks: BTreeMap<usize, Block>,
    accounts: BTreeMap<Owner, Account>,
    next_owner: u32,
    in_use: usize,
    high_water: usize,
    allocations: u64,
}

impl Slab {
    pub fn new(layout: Layout) -> Self {
        let spaces = layout.ranges().map(Space::new);
        Self {
            layout,
            spaces,
            blocks: BTreeMap::new(),
            accounts: BTreeMap::new(),
            next_owner: 0,
            in_use: 0,
            high_water: 0,
            allocations: 0,
        }
    }

    pub fn layout(&self) -> Layout {
        self.layout
    }

    pub fn bytes(&self) -> usize {
        self.layout.total()
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
        let owner = Owner(self.next_owner);
        self.next_owner = self.next_owner.wrapping_add(1);
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

    /// The offset of a block of at least `bytes`, aligned to [`ALIGNMENT`]:
    /// the smallest free stretch that holds it, the lowest of equals.
    pub fn allocate(&mut self, zone: Zone, owner: Owner, bytes: usize) -> Result<usize, NoRoom> {
        let space = &mut self.spaces[zone.index()];
        let Some(rounded) = bytes.max(1).checked_next_multiple_of(ALIGNMENT) else {
            return Err(space.no_room(zone, bytes));
        };
        let Some(offset) = space.take(rounded) else {
            return Err(space.no_room(zone, bytes));
        };
        let block = Block {
            bytes: rounded,
            zone,
            owner,
        };
        self.blocks.insert(offset, block);
        self.in_use += rounded;
        self.high_water = self.high_water.max(self.in_use);
        self.allocations += 1;
        if let Some(account) = self.accounts.get_mut(&owner) {
            account.in_use += rounded;
            account.blocks += 1;
            account.high_water = account.high_water.max(account.in_use);
        }
        Ok(offset)
    }

    /// Gives a block back; its bytes, or nothing if no block starts here.
    pub fn free(&mut self, offset: usize) -> Option<usize> {
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

    /// Moves the borders between zones. The total stays, and every living
    /// block must lie inside its zone afterwards; if one would not, nothing
    /// changes and the zone that is in the way is told.
    pub fn relayout(&mut self, layout: Layout) -> Result<(), Zone> {
        let ranges = layout.ranges();
        if layout.total() != self.layout.total() {
            return Err(Zone::Reserve);
        }
        for (offset, block) in &self.blocks {
            let range = &ranges[block.zone.index()];
            if *offset < range.start || offset + block.bytes > range.end {
                return Err(block.zone);
            }
        }
        let mut spaces = ranges.map(Space::new);
        for (offset, block) in &self.blocks {
            spaces[block.zone.index()].occupy(*offset, block.bytes);
        }
        for (space, old) in spaces.iter_mut().zip(&self.spaces) {
            space.high_water = old.high_water.max(space.in_use);
        }
        self.layout = layout;
        self.spaces = spaces;
        Ok(())
    }

    /// The end of a zone's last block, as bytes from the zone's start.
    pub fn extent(&self, zone: Zone) -> usize {
        let space = &self.spaces[zone.index()];
        let last = self.blocks.range(space.range.clone()).next_back();
        last.map_or(0, |(offset, block)| {
            offset + block.bytes - space.range.start
        })
    }

    pub fn zone(&self, zone: Zone) -> ZoneCensus {
        let space = &self.spaces[zone.index()];
        ZoneCensus {
            zone,
            bytes: space.range.len(),
            in_use: space.in_use,
            blocks: space.blocks,
            high_water: space.high_water,
            largest_free: space.largest(),
            free_entries: space.by_offset.len(),
        }
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

impl Space {
    fn new(range: Range<usize>) -> Self {
        let mut space = Self {
            range: range.clone(),
            ..Self::default()
        };
        if !range.is_empty() {
            space.insert(range.start, range.len());
        }
        space
    }

    fn take(&mut self, bytes: usize) -> Option<usize> {
        let (size, offset) = *self.by_size.range((bytes, 0)..).next()?;
        self.remove(offset, size);
        if size > bytes {
            self.insert(offset + bytes, size - bytes);
        }
        self.count(bytes);
        Some(offset)
    }

    /// Takes this very stretch, which must be free.
    fn occupy(&mut self, offset: usize, bytes: usize) {
        let found = self.by_offset.range(..=offset).next_back();
        if let Some((start, size)) = found.map(|(start, size)| (*start, *size)) {
            self.remove(start, size);
            if offset > start {
                self.insert(start, offset - start);
            }
            let end = start + size;
            if end > offset + bytes {
                self.insert(offset + bytes, end - offset - bytes);
            }
        }
        self.count(bytes);
    }

    fn count(&mut self, bytes: usize) {
        self.in_use += bytes;
        self.blocks += 1;
        self.high_water = self.high_water.max(self.in_use);
    }

    fn give(&mut self, offset: usize, bytes: usize) {
        self.in_use -= bytes;
        self.blocks -= 1;
        let (mut start, mut size) = (offset, bytes);
        if let Some(after) = self.by_offset.get(&(offset + bytes)).copied() {
            self.remove(offset + bytes, after);
            size += after;
        }
        let before = self.by_offset.range(..offset).next_back();
        if let Some((place, length)) = before.map(|(place, length)| (*place, *length))
            && place + length == offset
        {
            self.remove(place, length);
            start = place;
            size += length;
        }
        self.insert(start, size);
    }

    fn insert(&mut self, offset: usize, bytes: usize) {
        self.by_offset.insert(offset, bytes);
        self.by_size.insert((bytes, offset));
    }

    fn remove(&mut self, offset: usize, bytes: usize) {
        self.by_offset.remove(&offset);
        self.by_size.remove(&(bytes, offset));
    }

    fn largest(&self) -> usize {
        self.by_size.last().map_or(0, |(size, _)| *size)
    }

    fn no_room(&self, zone: Zone, needed: usize) -> NoRoom {
        NoRoom {
            zone,
            needed,
            largest: self.largest(),
            free: self.range.len() - self.in_use,
        }
    }
}

/// To the next multiple of [`ALIGNMENT`].
pub fn round_up(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}

#[cfg(test)]
mod tests;
