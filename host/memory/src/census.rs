//! What a decision is made from: who is resident where, and what is wanted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::stretch::Map;

/// Everyone who holds memory, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Census {
    /// Grows with every load, demotion and change of policy: what was decided
    /// on an older one is stale.
    pub revision: u64,
    /// Every voice that the library knows, whatever its tier, in no order.
    pub items: Vec<Item>,
    /// Where on the device they lie, if room there has to be in one piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<Map>,
}

/// One voice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// The same for as long as the voice is known.
    pub id: u64,
    /// The voice goes by this name in `[memory.eviction]` and in requests.
    pub name: String,
    /// The nearest place that has its weights.
    pub tier: Tier,
    /// What its weights hold in that tier.
    pub bytes: u64,
    /// What loading it took, from the file to the device: measured, or judged
    /// by its size before the first time.
    pub reload_us: u64,
    /// Since its last use.
    #[serde(rename = "idle_us", with = "micros")]
    pub idle: Duration,
    /// Since it came to this tier.
    #[serde(rename = "resident_us", with = "micros")]
    pub resident: Duration,
    /// Uses, each counting half after [`usage::HALF_LIFE`](super::usage::HALF_LIFE).
    pub hits: f32,
    /// Runs that hold it now.
    pub in_flight: u32,
    /// A pinned voice is never chosen, whatever the pressure.
    pub pinned: bool,
    /// Higher stays longer.
    pub priority: i32,
}

/// Where a voice is, from furthest to nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Known, and nowhere but in its file.
    File,
    /// Weights wait in ordinary memory; to speak they are copied.
    Host,
    /// Weights lie in the slab, beside the slots that run them.
    Device,
}

/// Memory that can run short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Zone {
    /// Memory of the machine, bounded by `memory.tiers.host`.
    Host,
    /// The slab's zone of models, wherever it lies: on a GPU, or in RAM for the
    /// processor.
    Device,
}

/// Memory wanted and not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pressure {
    /// Memory of this kind is short.
    pub zone: Zone,
    /// Bytes that should be free.
    pub needed: u64,
    /// Bytes that are, and can be used.
    pub free: u64,
    /// This is how far the host goes to free it.
    pub level: Level,
    /// Who waits for the room, in one piece: a voice, or [`NO_VOICE`]; none if
    /// a watermark was passed.
    pub for_voice: Option<u64>,
}

/// Waits as a voice does and is none: a BERT, the slots of a template.
pub const NO_VOICE: u64 = 0;

/// How much may be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nobody waits: voices past `keep_idle` may go.
    Low,
    /// Room is wanted: voices past the churn guard may go.
    Soft,
    /// Nothing else helped: whoever can, goes. No plugin is asked.
    Hard,
}

impl Zone {
    /// Voices of this tier hold the bytes of the zone.
    pub const fn tier(self) -> Tier {
        match self {
            Self::Host => Tier::Host,
            Self::Device => Tier::Device,
        }
    }
}

impl Pressure {
    /// Bytes still to be freed.
    pub const fn missing(&self) -> u64 {
        self.needed.saturating_sub(self.free)
    }
}

impl Census {
    /// None means that no voice has this number in this census.
    pub fn item(&self, id: u64) -> Option<&Item> {
        self.items.iter().find(|item| item.id == id)
    }

    /// Whether there is room once these have gone.
    pub fn suffices(&self, pressure: &Pressure, gone: &[u64]) -> bool {
        match &self.map {
            Some(map) if pressure.for_voice.is_some() && pressure.zone == Zone::Device => {
                map.fits(pressure.needed, gone)
            }
            _ => {
                let items = gone.iter().filter_map(|id| self.item(*id));
                let items = items.filter(|item| item.tier == pressure.zone.tier());
                let freed = items.fold(0, |sum: u64, item| sum.saturating_add(item.bytes));
                freed >= pressure.missing()
            }
        }
    }

    /// Bytes of a tier.
    pub fn used(&self, tier: Tier) -> u64 {
        let there = self.items.iter().filter(|item| item.tier == tier);
        there.fold(0, |sum, item| sum.saturating_add(item.bytes))
    }
}

/// JSON has numbers and no times.
pub(super) mod micros {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        u64::deserialize(d).map(Duration::from_micros)
    }
}
