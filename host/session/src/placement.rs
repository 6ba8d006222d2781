//! Where the tensors of this process lie, decided once at start.

use std::sync::Arc;

use ort::environment::Environment;

use crate::device::Device;
use crate::error::Error;
use crate::events;
use crate::native::reservation::Kind;
use crate::native::tensors::{self, Tensors};
use memory::policy::Mode;
use memory::slab::{Layout, Zone, round_up};

/// Bytes of the slab and of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// All of the slab, in bytes.
    pub budget: usize,
    /// Bytes of it for activations, shared by all runs.
    pub workspace: usize,
    /// Bytes of it for allocations that cannot be refused.
    pub reserve: usize,
    /// Runs at a time.
    pub lanes: usize,
    /// What each part may ever grow to, as far as the system lets it.
    pub most: usize,
    /// Every page below the limits is written to at start.
    pub touch: bool,
}

impl Sizes {
    /// What is not workspace or reserve is for models.
    pub fn limits(&self) -> Layout {
        let reserve = round_up(self.reserve);
        let workspace = round_up(self.workspace);
        let models = round_up(self.budget).saturating_sub(workspace + reserve);
        Layout([models, workspace, reserve])
    }

    /// Addresses cost nothing; memory comes when it is written to.
    fn spans(&self) -> Layout {
        self.limits().at_least(round_up(self.most))
    }
}

/// Who owns the memory of the tensors. Clones are of the same memory.
#[derive(Clone)]
pub enum Placement {
    /// One reservation of ours holds every tensor.
    Slab(Arc<Tensors>),
    /// ONNX Runtime's own arena, which all sessions share and which only grows.
    SharedArena,
    /// Each session has an arena of ONNX Runtime's own.
    Arena,
}

impl Placement {
    pub(crate) fn new(
        environment: &Environment,
        mode: Mode,
        device: Device,
        sizes: &Sizes,
    ) -> Result<Self, Error> {
        let kind = Kind::of(device);
        match mode {
            Mode::Arena => Ok(Self::Arena),
            Mode::SharedArena => {
                tensors::register_shared_arena(environment, kind)?;
                Ok(Self::SharedArena)
            }
            Mode::Slab => {
                let slab = slab(kind, sizes)?;
                if sizes.touch {
                    slab.touch();
                }
                tensors::register(environment, &slab)?;
                if let Kind::Cuda(number) = kind {
                    // What a CUDA session keeps on the host goes through
                    // allocators of its own, which must not creep either.
                    for (kind, bytes) in [
                        (Kind::Pinned(number), HOST_SIDE_PINNED),
                        (Kind::Cpu, HOST_SIDE),
                    ] {
                        let layout = Layout::default()
                            .with(Zone::Models, bytes / 2)
                            .with(Zone::Activations, bytes / 2 - (1 << 20))
                            .with(Zone::Reserve, 1 << 20);
                        tensors::register(environment, &Tensors::new(kind, layout)?)?;
                    }
                }
                events::slab_reserved(kind.name(), sizes.budget);
                Ok(Self::Slab(slab))
            }
        }
    }

    /// None in the arena modes, where nobody can say whose bytes are whose.
    pub fn tensors(&self) -> Option<&Arc<Tensors>> {
        match self {
            Self::Slab(tensors) => Some(tensors),
            Self::SharedArena | Self::Arena => None,
        }
    }

    /// The same as `memory.mode` names it.
    pub fn mode(&self) -> Mode {
        match self {
            Self::Slab(_) => Mode::Slab,
            Self::SharedArena => Mode::SharedArena,
            Self::Arena => Mode::Arena,
        }
    }
}

/// Host memory of the CPU parts of CUDA sessions: shapes, indices, transfers.
const HOST_SIDE: usize = 512 << 20;
const HOST_SIDE_PINNED: usize = 256 << 20;

/// A device's memory is there from the start and no more comes to it; nor does
/// a processor's where addresses are limited.
fn slab(kind: Kind, sizes: &Sizes) -> Result<Arc<Tensors>, Error> {
    let limits = sizes.limits();
    if let Kind::Cpu = kind
        && let Ok(elastic) = Tensors::with_spans(kind, limits, sizes.spans())
    {
        return Ok(elastic);
    }
    Tensors::new(kind, limits)
}
