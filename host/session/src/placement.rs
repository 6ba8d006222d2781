//! Where the tensors of this process lie, decided once at start.

use std::sync::Arc;

use crate::device::Device;
use crate::error::Error;
use crate::events;
use crate::memory::policy::Mode;
use crate::native::reservation::Kind;
use crate::native::tensors::{self, Tensors};
use crate::runtime::Runtime;
use crate::slab::{Layout, Zone, round_up};

/// Bytes of the slab and of its parts at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    pub budget: usize,
    /// None leaves everything to BERT until it is open, then takes back what
    /// it did not use.
    pub bert: Option<usize>,
    pub workspace: usize,
    pub reserve: usize,
    pub touch: bool,
}

#[derive(Clone)]
pub enum Placement {
    Slab(Arc<Tensors>),
    SharedArena,
    Arena,
}

impl Placement {
    pub(crate) fn new(
        runtime: &Runtime,
        mode: Mode,
        device: Device,
        sizes: &Sizes,
    ) -> Result<Self, Error> {
        let kind = Kind::of(device);
        match mode {
            Mode::Arena => Ok(Self::Arena),
            Mode::SharedArena => {
                tensors::register_shared_arena(runtime.environment(), kind)?;
                Ok(Self::SharedArena)
            }
            Mode::Slab => {
                let slab = Tensors::new(kind, layout(sizes))?;
                if sizes.touch {
                    slab.touch();
                }
                tensors::register(runtime.environment(), &slab)?;
                if let Kind::Cuda(number) = kind {
                    // What a CUDA session keeps on the host goes through
                    // allocators of its own, which must not creep either.
                    for (kind, bytes) in [
                        (Kind::Pinned(number), HOST_SIDE_PINNED),
                        (Kind::Cpu, HOST_SIDE),
                    ] {
                        let layout = Layout([0; 5])
                            .with(Zone::Library, bytes / 2)
                            .with(Zone::Activations, bytes / 2 - (1 << 20))
                            .with(Zone::Reserve, 1 << 20);
                        tensors::register(runtime.environment(), &Tensors::new(kind, layout)?)?;
                    }
                }
                events::slab_reserved(kind.name(), sizes.budget);
                Ok(Self::Slab(slab))
            }
        }
    }

    pub fn tensors(&self) -> Option<&Arc<Tensors>> {
        match self {
            Self::Slab(tensors) => Some(tensors),
            Self::SharedArena | Self::Arena => None,
        }
    }

    pub fn mode(&self) -> Mode {
        match self {
            Self::Slab(_) => Mode::Slab,
            Self::SharedArena => Mode::SharedArena,
            Self::Arena => Mode::Arena,
        }
    }

    /// Takes what BERT did not use for voices. Called once its sessions are
    /// open; a zone given in bytes stays as it is.
    pub(crate) fn settle(&self, bert: Option<usize>) {
        let (Some(tensors), None) = (self.tensors(), bert) else {
            return;
        };
        let mut slab = tensors.slab();
        let layout = slab.layout();
        if layout.of(Zone::Slots) + layout.of(Zone::Library) > 0 {
            return;
        }
        let used = slab.extent(Zone::Bert);
        let rest = layout.of(Zone::Bert) - used;
        let settled = layout.with(Zone::Bert, used).with(Zone::Library, rest);
        // Everything in the zone lies below its extent.
        let _ = slab.relayout(settled);
    }
}

/// Host memory of the CPU parts of CUDA sessions: shapes, indices, transfers.
const HOST_SIDE: usize = 512 << 20;
const HOST_SIDE_PINNED: usize = 256 << 20;

fn layout(sizes: &Sizes) -> Layout {
    let reserve = round_up(sizes.reserve);
    let workspace = round_up(sizes.workspace);
    let budget = round_up(sizes.budget).max(workspace + reserve);
    let rest = budget - workspace - reserve;
    let bert = sizes.bert.map_or(rest, |bert| round_up(bert).min(rest));
    Layout([bert, 0, rest - bert, workspace, reserve])
}
