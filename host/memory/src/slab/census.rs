//! Who has what, for decisions and for people.

use super::{Block, Slab, Tenant, Zone};

/// A tenant and its stretch, as bytes from the zone's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lot {
    /// Who has the stretch.
    pub tenant: Tenant,
    /// Where it begins.
    pub offset: usize,
    /// How long it is, rounded up to the alignment.
    pub bytes: usize,
}

/// The zone of models by what lies in it, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct ModelsCensus {
    /// Sessions of BERT models.
    pub bert: usize,
    /// Slots that voices are copied into, with what their sessions keep.
    pub slots: usize,
    /// Of voices that have sessions of their own.
    pub sessions: usize,
    /// Weights of voices that wait.
    pub blobs: usize,
    /// Bytes that belong to no model.
    pub other: usize,
}

/// What the counters say of a zone, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct ZoneCensus {
    /// The row is about this zone.
    pub zone: Zone,
    /// Its limit.
    pub bytes: usize,
    /// Bytes of its blocks; a session's region counts whole.
    pub in_use: usize,
    /// Of it, beyond a limit that was lowered: until it goes.
    pub over: usize,
    /// How many blocks there are; a session's region counts as one.
    pub blocks: usize,
    /// The most that was ever in use at once.
    pub high_water: usize,
    /// Bytes within the limit that nobody has.
    pub free: usize,
    /// The largest block that could be had without moving anything.
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
    /// The model or lane goes by this name.
    pub owner: String,
    /// Bytes of its blocks; a session's region counts whole.
    pub in_use: usize,
    /// How many blocks it has; a session's region counts as one.
    pub blocks: usize,
    /// The most that it held at once since its last run began, or ever if it
    /// never runs.
    pub high_water: usize,
}

impl Slab {
    /// The counters of one zone as they stand now.
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

    /// The sums by what kind of tenant has the bytes.
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
