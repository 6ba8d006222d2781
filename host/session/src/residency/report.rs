//! All there is to say about memory.

use super::Residency;
use crate::gate::Verdict;
use crate::library::LibraryCensus;
use crate::slot::SlotCensus;
use crate::watch::{self, Outside};
use crate::workspace::Need;
use memory::policy::Mode;
use memory::slab::{ModelsCensus, OwnerCensus, Zone, ZoneCensus};

/// All there is to say about memory, for `/admin/memory`.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct MemoryReport {
    /// Who owns the memory; `slab` and so on, as configured.
    pub mode: Mode,
    /// Null in the arena modes, where nobody counts.
    pub slab: Option<SlabReport>,
    /// Voices, and the tiers they are in.
    pub library: LibraryCensus,
    /// The architectures of all open voices.
    pub templates: Vec<TemplateReport>,
    /// Memory that runs compute in.
    pub workspace: WorkspaceReport,
    /// What the system counts for this process and its device.
    pub outside: Outside,
}

/// The one reservation that holds every tensor. All counts are bytes unless
/// said.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct SlabReport {
    /// `cpu`, or `cuda` for memory of a GPU.
    pub kind: &'static str,
    /// The limits of all zones together.
    pub budget: usize,
    /// Bytes of all blocks now.
    pub in_use: usize,
    /// The most that was ever in use at once.
    pub high_water: usize,
    /// How many blocks there are; a session's region counts as one.
    pub blocks: usize,
    /// How many blocks were ever given out.
    pub allocations: u64,
    /// How many allocations could neither be served nor refused and lie beyond
    /// the budget, ever.
    pub overdrafts: u64,
    /// Bytes that were moved so that free ones lie in one piece, ever.
    pub moved: u64,
    /// The longest stretch for a model that there could be, with every voice
    /// gone: BERT and slots stay, and divide what is left.
    pub reachable: usize,
    /// Of the slab, what the system has given memory for.
    pub resident: usize,
    /// The zone of models by what lies in it.
    pub models: ModelsCensus,
    /// Models, activations and reserve, in this order.
    pub zones: Vec<ZoneReport>,
    /// Every model and lane with what it holds, the largest first.
    pub owners: Vec<OwnerCensus>,
}

/// One part of the slab, for what lives about as long.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ZoneReport {
    /// The counters, which stand beside `fragmentation` in the JSON.
    #[serde(flatten)]
    pub census: ZoneCensus,
    /// The share of the free bytes that the largest block could not use, from 0
    /// to 1.
    pub fragmentation: f64,
}

/// An architecture that voices share, and the slots they speak from.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct TemplateReport {
    /// SHA-256 of its graph without weights, in hexadecimal.
    pub digest: String,
    /// The weights of one voice, in bytes.
    pub voice_bytes: usize,
    /// Whether its voices may share slots, as it was found by trying.
    pub verdict: Verdict,
    /// Why it runs whole, if it does.
    pub whole: Option<String>,
    /// Runs from its slots since it was opened; 0 for voices with sessions of
    /// their own.
    pub runs: u64,
    /// Slots that nobody has at this moment.
    pub idle_slots: Vec<SlotCensus>,
    /// Slots in service, idle or not.
    pub slots: usize,
}

/// Memory that runs compute in, granted before they start.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct WorkspaceReport {
    /// All of it, in bytes.
    pub bytes: usize,
    /// Bytes that no run holds.
    pub free: usize,
    /// What runs were measured to need, by graph and length.
    pub needs: Vec<Need>,
}

impl Residency {
    /// None until a model was opened: only then the device is known.
    pub fn report(&self) -> Option<MemoryReport> {
        let estate = super::lock(&self.estate).clone()?;
        let library = &estate.library;
        let slab = estate.placement.tensors().map(|tensors| {
            let resident = tensors.resident();
            let reachable = library.reachable();
            let slab = tensors.slab();
            SlabReport {
                kind: tensors.kind().name(),
                budget: slab.bytes(),
                in_use: slab.in_use(),
                high_water: slab.high_water(),
                blocks: slab.blocks(),
                allocations: slab.allocations(),
                overdrafts: tensors.overdrafts(),
                moved: tensors.moved(),
                reachable,
                resident,
                models: slab.models(),
                zones: Zone::ALL
                    .map(|zone| {
                        let census = slab.zone(zone);
                        ZoneReport {
                            fragmentation: census.fragmentation(),
                            census,
                        }
                    })
                    .to_vec(),
                owners: slab.owners(),
            }
        });
        let templates = estate.entries().into_iter().map(|entry| TemplateReport {
            digest: entry.template.digest.clone(),
            voice_bytes: entry.template.blob_bytes,
            verdict: entry.verdict.clone(),
            whole: entry.template.is_cut().err().map(|why| why.to_string()),
            runs: entry.slots.as_ref().map_or(0, |slots| slots.runs()),
            slots: entry.slots.as_ref().map_or(0, |slots| slots.count()),
            idle_slots: entry
                .slots
                .as_ref()
                .map_or_else(Vec::new, |slots| slots.census(|id| library.name_of(id))),
        });
        Some(MemoryReport {
            mode: estate.placement.mode(),
            library: library.report(),
            templates: templates.collect(),
            workspace: WorkspaceReport {
                bytes: library.workspace().bytes(),
                free: library.workspace().free(),
                needs: library.workspace().needs(),
            },
            outside: watch::outside(&estate.placement),
            slab,
        })
    }
}
