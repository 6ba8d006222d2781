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
    pub mode: Mode,
    pub slab: Option<SlabReport>,
    pub library: LibraryCensus,
    pub templates: Vec<TemplateReport>,
    pub workspace: WorkspaceReport,
    pub outside: Outside,
}

#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct SlabReport {
    pub kind: &'static str,
    pub budget: usize,
    pub in_use: usize,
    pub high_water: usize,
    pub blocks: usize,
    pub allocations: u64,
    pub overdrafts: u64,
    /// Bytes that were moved so that free ones lie in one piece, ever.
    pub moved: u64,
    /// The longest stretch for a model that there could be, with every voice
    /// gone: BERT and slots stay, and divide what is left.
    pub reachable: usize,
    /// Of the slab, what the system has given memory for.
    pub resident: usize,
    pub models: ModelsCensus,
    pub zones: Vec<ZoneReport>,
    pub owners: Vec<OwnerCensus>,
}

#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ZoneReport {
    #[serde(flatten)]
    pub census: ZoneCensus,
    pub fragmentation: f64,
}

#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct TemplateReport {
    pub digest: String,
    pub voice_bytes: usize,
    pub verdict: Verdict,
    /// Why it runs whole, if it does.
    pub whole: Option<String>,
    pub runs: u64,
    pub idle_slots: Vec<SlotCensus>,
    pub slots: usize,
}

#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct WorkspaceReport {
    pub bytes: usize,
    pub free: usize,
    pub needs: Vec<Need>,
}

impl Residency {
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
