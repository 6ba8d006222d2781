//! ONNX Runtime, loaded once for the process, and how sessions are opened.

use std::borrow::Cow;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ort::environment::Environment;
use ort::ep;
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use crate::device::Device;
use crate::error::Error;
use crate::events;
use crate::graph::{Opened, Tenancy};
use crate::native::cuda::Cuda;
use crate::native::reservation::Kind;
use crate::native::tensors::{Block, Region};
use crate::native::weights::{self, Bound};
use crate::onnx::{Part, Shapes, Template, Weight, as_products};
use crate::optimized;
use crate::placement::{Placement, Sizes};
use crate::settings::{Optimization, Pointwise, Settings};
use memory::policy::Mode;
use memory::slab::{Place, Zone};

/// A handle to the one environment of this process.
#[derive(Clone)]
pub struct Runtime {
    environment: Environment,
    library: PathBuf,
    /// What is found out about graphs is kept there.
    cache: Option<PathBuf>,
}

/// ONNX Runtime allows one environment in a process; it lives as long.
static STARTED: Mutex<Option<Runtime>> = Mutex::new(None);

/// And one place for tensors, which lives as long too.
static PLACED: Mutex<Option<Placement>> = Mutex::new(None);

thread_local! {
    /// Said when the session that is being opened on this thread keeps weights
    /// in a place of its own: of a template they would be zeros.
    static IGNORES: Cell<Option<String>> = const { Cell::new(None) };
}

/// What was said since the last time.
pub(crate) fn ignored() -> Option<String> {
    IGNORES.take()
}

/// As ONNX Runtime says so (`session_state_utils.cc`).
const IGNORED: &str = "Cannot use user supplied initializer";

impl Runtime {
    /// Loads the library. A second start with the same library gives the same
    /// runtime; with another one it is refused.
    pub fn start(library: &Path) -> Result<Self, Error> {
        let failed = |cause: String| Error::Library {
            path: library.to_owned(),
            cause,
        };
        let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*started {
            if runtime.library == library {
                return Ok(runtime.clone());
            }
            return Err(failed(format!(
                "this process already uses {}; another library needs a restart",
                runtime.library.display()
            )));
        }
        let environment = ort::init_from(library)
            .map_err(|e| failed(e.to_string()))?
            .with_name("koemasu")
            // Builds from the package index have it on by default.
            .with_telemetry(false)
            // It would write to standard error itself, and names of a voice's
            // graph with it.
            .with_logger(Arc::new(|level, _, _, place, message| {
                if message.contains(IGNORED) {
                    IGNORES.set(Some(message.to_owned()));
                }
                // Until the level is set, it tells all it does.
                if matches!(level, LogLevel::Error | LogLevel::Fatal) {
                    events::runtime_said(place, message);
                }
            }))
            .build()
            .map_err(|e| failed(e.to_string()))?;
        environment.set_log_level(LogLevel::Error);
        let runtime = Self {
            environment,
            library: library.to_owned(),
            cache: None,
        };
        *started = Some(runtime.clone());
        Ok(runtime)
    }

    /// The same, keeping in this folder what it finds out about graphs.
    #[must_use]
    pub(crate) fn keeping(self, cache: Option<PathBuf>) -> Self {
        Self { cache, ..self }
    }

    /// Where a BERT in 8 bits is kept that was made of these files.
    pub(crate) fn place_of_int8(&self, files: &str) -> Option<optimized::Place> {
        let cache = self.cache.as_deref()?;
        Some(optimized::Place::of_int8(cache, &self.library, files))
    }

    /// Whether this build can use CUDA, or why not.
    pub(crate) fn cuda_provider(&self) -> Result<(), String> {
        let provider = self
            .library
            .with_file_name("libonnxruntime_providers_cuda.so");
        if provider.exists() {
            Ok(())
        } else {
            Err(format!(
                "{} is a CPU build; `cargo xtask setup --device cuda` fetches the GPU build",
                self.library.display()
            ))
        }
    }

    /// Loads what the device needs, before anybody asks it for anything: CUDA's
    /// libraries lie beside ONNX Runtime's, where no linker looks. Whoever has
    /// them elsewhere, by the system's own means, needs none of ours.
    pub(crate) fn prepare(&self, device: Device) -> Result<(), Error> {
        let Device::Cuda(number) = device else {
            return Ok(());
        };
        let beside = self.library.parent();
        let Err(missing) = ep::cuda::preload_dylibs(beside, beside) else {
            return Ok(());
        };
        match Cuda::load(number) {
            Ok(_) => {
                events::libraries_elsewhere(&missing);
                Ok(())
            }
            Err(cause) => Err(Error::Device(format!(
                "{cause}; nor are CUDA's libraries beside {} ({missing})",
                self.library.display()
            ))),
        }
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The shared library of ONNX Runtime that was loaded.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// Where tensors lie in this process: as the first who asks wants it,
    /// since ONNX Runtime has one environment and it one allocator a device.
    pub fn place(&self, mode: Mode, device: Device, sizes: &Sizes) -> Result<Placement, Error> {
        let mut placed = PLACED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(placement) = &*placed {
            let kind = placement.tensors().map(|tensors| tensors.kind());
            if kind.is_some_and(|kind| kind != Kind::of(device)) {
                return Err(Error::Device(
                    "the slab of this process lies on another device; changing `models.device` needs a restart".to_owned(),
                ));
            }
            return Ok(placement.clone());
        }
        let placement = Placement::new(self.environment(), mode, device, sizes)?;
        *placed = Some(placement.clone());
        Ok(placement)
    }

    /// Opens one session. Slow: parses and optimizes the graph.
    pub(crate) fn open(&self, opening: &Opening<'_>) -> Result<Opened, Error> {
        let start = Instant::now();
        let tenancy = match opening.placement {
            Placement::Slab(tensors) => Some(Tenancy::new(tensors, opening.name)),
            Placement::SharedArena | Placement::Arena => None,
        };
        let open = || self.commit(opening);
        let (session, bound) = match (opening.placement, &tenancy) {
            (Placement::Slab(tensors), Some(tenancy)) => {
                let place = opening.region.map_or(MODELS, |region| region.place());
                tensors.opening(place, tenancy.owner(), open)?
            }
            _ => open()?,
        };
        Ok(Opened {
            session,
            tenancy,
            bound,
            region: opening.region.cloned(),
            counted: events::opened(opening.kind, opening.name, start.elapsed()),
        })
    }

    fn commit(&self, opening: &Opening<'_>) -> Result<(Session, Option<Bound>), Error> {
        let (template, part, block) = match opening.model {
            Model::Bytes(bytes) => {
                IGNORES.set(None);
                let builder = self.builder(opening.settings, opening.placement, false);
                let mut builder = builder.map_err(Error::Open)?;
                if let Some(file) = opening.write_to {
                    let writing = builder.with_optimized_model_path(file);
                    builder = writing.map_err(|e| Error::Open(e.to_string()))?;
                }
                let session = builder.commit_from_memory(bytes);
                return Ok((session.map_err(|e| Error::Open(e.to_string()))?, None));
            }
            Model::Template {
                template,
                part,
                block,
            } => (template, part, block),
        };
        let mut graph = Cow::Borrowed(template.graph(part));
        let mut shapes = template.shapes(part);
        if opening.settings.pointwise == Pointwise::MatMul {
            let products = as_products(&graph).map_err(|e| Error::Open(e.to_string()))?;
            shapes.extend(products.1);
            graph = Cow::Owned(products.0);
        }
        let borrowing = Borrowing {
            weights: || template.weights_of(part),
            block,
            shapes: &shapes,
        };
        if let Some(rewritten) = self.rewritten(opening, &graph, &borrowing) {
            let as_it_is = Settings {
                optimization: Optimization::None,
                ..opening.settings.clone()
            };
            let opened = self.borrow(opening, &as_it_is, &rewritten, &borrowing, None);
            if opened.is_ok() {
                return opened;
            }
        }
        self.borrow(opening, opening.settings, &graph, &borrowing, None)
    }

    /// The graph as ONNX Runtime makes it, from the cache or made for it. On a
    /// GPU it is made anew each time, as its provider takes what it can.
    fn rewritten<'w, W: Iterator<Item = &'w Weight>>(
        &self,
        opening: &Opening<'_>,
        graph: &[u8],
        borrowing: &Borrowing<'_, impl Fn() -> W>,
    ) -> Option<Vec<u8>> {
        let settings = opening.settings;
        if settings.device != Device::Cpu || settings.optimization != Optimization::All {
            return None;
        }
        let place = optimized::Place::of(self.cache.as_deref()?, &self.library, graph);
        let made = || {
            place.make(graph, |file| {
                let opened = self.borrow(opening, settings, graph, borrowing, Some(file));
                opened.ok().map(drop)
            })
        };
        place.read().or_else(made)
    }

    /// A session over weights that it borrows. What it makes of the graph is
    /// written to `file`.
    fn borrow<'w, W: Iterator<Item = &'w Weight>>(
        &self,
        opening: &Opening<'_>,
        settings: &Settings,
        graph: &[u8],
        borrowing: &Borrowing<'_, impl Fn() -> W>,
        file: Option<&Path>,
    ) -> Result<(Session, Option<Bound>), Error> {
        IGNORES.set(None);
        let mut builder = self
            .builder(settings, opening.placement, true)
            .map_err(Error::Open)?;
        if let Some(file) = file {
            let writing = builder.with_optimized_model_path(file);
            builder = writing.map_err(|e| Error::Open(e.to_string()))?;
        }
        let bound = weights::bind(
            &mut builder,
            Kind::of(settings.device),
            // Inside the block, which outlives the session.
            |weight| borrowing.block.pointer(weight.offset),
            (borrowing.weights)(),
            borrowing.shapes,
        )?;
        let session = builder.commit_from_memory(graph);
        let session = session.map_err(|e| Error::Open(e.to_string()))?;
        if let Some(said) = ignored() {
            return Err(Error::Open(format!(
                "ONNX Runtime does not use its weights where they lie: {said}"
            )));
        }
        Ok((session, Some(bound)))
    }

    #[expect(
        clippy::result_large_err,
        reason = "`ort` hands the builder back inside its error; a session opens rarely"
    )]
    pub(crate) fn builder(
        &self,
        settings: &Settings,
        placement: &Placement,
        borrows: bool,
    ) -> Result<SessionBuilder, String> {
        let said = |e: ort::Error<SessionBuilder>| e.to_string();
        let level = match settings.optimization {
            Optimization::None => GraphOptimizationLevel::Disable,
            Optimization::All => GraphOptimizationLevel::All,
        };
        let builder = Session::builder(&self.environment).map_err(|e| e.to_string())?;
        let mut builder = builder
            // The parallel executor doubles the time of these graphs: little
            // runs side by side, and two pools spin.
            .with_parallel_execution(false)
            .and_then(|b| b.with_inter_threads(1))
            .and_then(|b| b.with_intra_threads(settings.threads))
            // An idle session must not burn a core that another run could use.
            .and_then(|b| b.with_intra_op_spinning(false))
            .and_then(|b| b.with_inter_op_spinning(false))
            // Lengths nearly always differ: a plan kept per shape only grows.
            .and_then(|b| b.with_memory_pattern(false))
            .and_then(|b| b.with_optimization_level(level))
            .map_err(said)?;
        if !matches!(placement, Placement::Arena) {
            builder = builder.with_env_allocators().map_err(said)?;
        }
        if borrows {
            builder = builder
                // Packed copies of weights would stay those of the first voice.
                .with_prepacking(false)
                // That borrowed weights are not used is a warning to it.
                .and_then(|b| b.with_log_level(LogLevel::Warning))
                .map_err(said)?;
        }
        match settings.device {
            Device::Cpu => {
                let arena = !matches!(placement, Placement::Slab(_));
                let cpu = ep::CPU::default().with_arena_allocator(arena).build();
                builder.with_execution_providers([cpu]).map_err(said)
            }
            Device::Cuda(device) => {
                // The provider finds CUDA's libraries only if they are loaded.
                self.prepare(settings.device).map_err(|e| e.to_string())?;
                let cuda = ep::CUDA::default()
                    .with_device_id(device)
                    // On unless it is said: ten bits of a number's fraction.
                    .with_tf32(settings.tf32)
                    // All convolutions here have one dimension; as [N, C, 1, D]
                    // cuDNN has its fast kernels for them.
                    .with_conv1d_pad_to_nc1d(true)
                    // Of the few sessions with memory of their own: no more
                    // than they ask for, since the slab has taken the rest.
                    .with_arena_extend_strategy(ep::ArenaExtendStrategy::SameAsRequested)
                    // A search per shape takes seconds, and shapes vary.
                    .with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic)
                    .with_conv_max_workspace(false);
                // One stream for all sessions keeps what one run frees from
                // being written by the next before the first has read it.
                let cuda =
                    crate::native::cuda::on_one_stream(cuda, device).map_err(|e| e.to_string())?;
                let cuda = cuda.build().error_on_failure();
                builder.with_execution_providers([cuda]).map_err(said)
            }
        }
    }
}

const MODELS: Place = Place::Zone(Zone::Models);

/// What a session is opened from, and where what it allocates belongs.
pub(crate) struct Opening<'a> {
    pub(crate) kind: &'static str,
    pub(crate) name: &'a str,
    pub(crate) model: Model<'a>,
    pub(crate) settings: &'a Settings,
    pub(crate) placement: &'a Placement,
    /// What it allocates lies there, where a slab is.
    pub(crate) region: Option<&'a Arc<Region>>,
    /// What it makes of a model with weights is written there.
    pub(crate) write_to: Option<&'a Path>,
}

/// What a session borrows: weights of a graph, in a block.
struct Borrowing<'a, F> {
    weights: F,
    block: &'a Block,
    /// Of weights that the graph has in another shape.
    shapes: &'a Shapes,
}

pub(crate) enum Model<'a> {
    /// Weights and all. Never a path: ONNX Runtime maps files.
    Bytes(&'a [u8]),
    /// A graph without weights, which borrows those in the block.
    Template {
        template: &'a Template,
        part: Part,
        block: &'a Block,
    },
}
