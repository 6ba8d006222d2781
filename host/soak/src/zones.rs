//! What a soak knows of the slab's zones, and of who holds what in them. All of
//! it is here: whatever the zones are called, what runs hold lies in
//! `activations` and `reserve`, and the rest is the models'.

use std::collections::BTreeMap;

use memory::slab;
use serde::{Deserialize, Serialize};
use session::native::tensors::Tensors;
use session::residency::{MemoryReport, ZoneReport};

use crate::measure::Dropped;

/// The slab when nothing runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Slab {
    pub(crate) in_use: usize,
    pub(crate) high_water: usize,
    pub(crate) overdrafts: u64,
    /// What voices on the device account for.
    pub(crate) voices: usize,
    /// What could be had in one piece with every voice gone.
    pub(crate) reachable: usize,
    pub(crate) zones: Vec<Zone>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Zone {
    pub(crate) zone: String,
    pub(crate) bytes: usize,
    pub(crate) in_use: usize,
    pub(crate) largest_free: usize,
    pub(crate) free_entries: usize,
    pub(crate) fragmentation: f64,
}

impl Slab {
    pub(crate) fn of(report: &MemoryReport) -> Option<Self> {
        let slab = report.slab.as_ref()?;
        Some(Self {
            in_use: slab.in_use,
            high_water: slab.high_water,
            overdrafts: slab.overdrafts,
            voices: of_voices(report),
            reachable: slab.reachable,
            zones: slab.zones.iter().map(Zone::of).collect(),
        })
    }

    /// What runs hold; nothing when there are none.
    pub(crate) fn of_runs(&self) -> usize {
        let zones = self.zones.iter().filter(|zone| zone.is_for_runs());
        zones.map(|zone| zone.in_use).sum()
    }

    fn models(&self) -> impl Iterator<Item = &Zone> {
        self.zones.iter().filter(|zone| !zone.is_for_runs())
    }

    /// What the models hold and no voice accounts for: BERT, and slots. Less
    /// than nothing if voices account for more than there is.
    pub(crate) fn kept(&self) -> i64 {
        let held: usize = self.models().map(|zone| zone.in_use).sum();
        i64::try_from(held).unwrap_or(i64::MAX) - i64::try_from(self.voices).unwrap_or(i64::MAX)
    }

    /// What there is for voices beside that.
    pub(crate) fn room(&self) -> usize {
        let all: usize = self.models().map(|zone| zone.bytes).sum();
        all.saturating_sub(usize::try_from(self.kept()).unwrap_or(0))
    }

    /// The share of the models' memory that nobody could have in one piece,
    /// though every voice went: what stays among it divides it.
    pub(crate) fn scattered(&self) -> f64 {
        let all: usize = self.models().map(|zone| zone.bytes).sum();
        let lost = self.room().saturating_sub(self.reachable);
        match all {
            0 => 0.0,
            all => lost as f64 / all as f64,
        }
    }

    /// As the zones count it: the share of what is free that their largest
    /// block could not use.
    pub(crate) fn fragmentation(&self) -> f64 {
        let zones = self.zones.iter().map(|zone| zone.fragmentation);
        zones.fold(0.0, f64::max)
    }
}

/// What lies there for voices and is none's: a session that is being opened.
pub(crate) fn of_nobody_yet(report: &MemoryReport) -> usize {
    let models = report.slab.as_ref().map(|slab| slab.models);
    models.map_or(0, |it| {
        (it.sessions + it.blobs).saturating_sub(of_voices(report))
    })
}

/// What voices on the device account for.
fn of_voices(report: &MemoryReport) -> usize {
    let voices = report.library.voices.iter();
    let on_device = voices.filter(|voice| voice.tier == "device");
    on_device.map(|voice| voice.bytes).sum()
}

impl Zone {
    fn of(zone: &ZoneReport) -> Self {
        Self {
            zone: zone.census.zone.name().to_owned(),
            bytes: zone.census.bytes,
            in_use: zone.census.in_use,
            largest_free: zone.census.largest_free,
            free_entries: zone.census.free_entries,
            fragmentation: zone.fragmentation,
        }
    }

    fn is_for_runs(&self) -> bool {
        matches!(self.zone.as_str(), "activations" | "reserve")
    }
}

/// The slab with every model gone.
pub(crate) fn dropped(tensors: &Tensors) -> Dropped {
    let slab = tensors.slab();
    let mut holders: BTreeMap<String, usize> = BTreeMap::new();
    for owner in slab.owners().into_iter().filter(|it| it.blocks > 0) {
        *holders.entry(owner.owner).or_default() += owner.in_use;
    }
    let torn = slab::Zone::ALL.into_iter().filter(|zone| {
        let census = slab.zone(*zone);
        census.bytes > 0 && census.free_entries != 1
    });
    Dropped {
        in_use: slab.in_use(),
        blocks: slab.blocks(),
        holders: holders
            .into_iter()
            .map(|(owner, bytes)| format!("{owner} ({bytes} bytes)"))
            .collect(),
        torn: torn.map(|zone| zone.name().to_owned()).collect(),
    }
}

/// Where a block is planted that nobody gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Among {
    Runs,
    Models,
    /// A region of sessions.
    Sessions,
}

/// A block, or as much of it as there is room for; says whether there was any.
pub(crate) fn plant(tensors: &Tensors, among: Among, owner: &str, bytes: usize) -> bool {
    let mut slab = tensors.slab();
    let owner = slab.owner(owner);
    let largest = slab.zone(slab::Zone::Models).largest_free;
    let planted = match among {
        Among::Runs => {
            let place = slab::Place::Zone(slab::Zone::Activations);
            slab.allocate(place, owner, bytes).is_ok()
        }
        Among::Models if largest == 0 => false,
        Among::Models => {
            let place = slab::Place::Zone(slab::Zone::Models);
            slab.allocate(place, owner, bytes.min(largest)).is_ok()
        }
        // As if sessions had been closed and their region had not.
        Among::Sessions => {
            let nobodys = slab::Tenant::Sessions(u64::MAX);
            slab.open_region(owner, nobodys, bytes).is_ok()
        }
    };
    slab.close(owner);
    planted
}
