//! Regions: what a session keeps lies in one, is allocated there and leaves it
//! as one stretch.

use super::{
    ALIGNMENT, Fit, Keep, NoRoom, Owner, RegionId, Slab, Space, Tenant, Zone, no_room, rounded,
};

#[derive(Debug)]
pub(super) struct Region {
    pub(super) start: usize,
    pub(super) space: Space,
    /// The end of the highest block there ever was.
    pub(super) reached: usize,
    /// Nobody will allocate in it again; goes with its last block.
    pub(super) closed: bool,
}

impl Slab {
    pub(super) fn allocate_inside(&mut self, id: RegionId, bytes: usize) -> Result<usize, NoRoom> {
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

    /// Where it begins.
    pub fn region_at(&self, id: RegionId) -> Option<usize> {
        self.regions.get(&id).map(|region| region.start)
    }

    /// Moves a region in which nothing lies; it stays the same to who holds
    /// it. False if something lies in it, or where it should lie.
    pub fn move_region(&mut self, id: RegionId, to: usize) -> bool {
        let Some(region) = self.regions.get_mut(&id) else {
            return false;
        };
        let start = region.start;
        let Some(block) = self.blocks.remove(&start) else {
            return false;
        };
        let models = &mut self.spaces[Zone::Models.index()];
        models.give(start, block.bytes);
        let moves = region.space.blocks() == 0 && models.is_free(to, block.bytes);
        let at = if moves { to } else { start };
        models.occupy(at, block.bytes);
        if moves {
            region.start = at;
            region.reached = at + (region.reached - start);
            region.space = Space::new(at..at + block.bytes);
            self.touched.add(at..at + block.bytes);
        }
        self.blocks.insert(at, block);
        moves
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
}
