//! ONNX Runtime, loaded once for the process, and how sessions are opened.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use ort::environment::Environment;
use ort::ep;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use crate::device::Device;
use crate::error::Error;
use crate::events::{self, OpenSession};
use crate::settings::{Optimization, Settings};
use crate::source::Graph;

/// A handle to the one environment of this process.
#[derive(Clone)]
pub struct Runtime {
    environment: Environment,
    library: PathBuf,
}

/// ONNX Runtime allows one environment in a process; it lives as long.
static STARTED: Mutex<Option<Runtime>> = Mutex::new(None);

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
            .build()
            .map_err(|e| failed(e.to_string()))?;
        let runtime = Self {
            environment,
            library: library.to_owned(),
        };
        *started = Some(runtime.clone());
        Ok(runtime)
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

    /// Opens one session. Slow: parses and optimizes the graph.
    pub(crate) fn open(
        &self,
        kind: &'static str,
        name: &str,
        graph: &Graph,
        settings: &Settings,
    ) -> Result<(Session, OpenSession), Error> {
        let start = Instant::now();
        let mut builder = self.builder(settings).map_err(Error::Open)?;
        let session = match graph {
            Graph::File(path) => builder.commit_from_file(path),
            Graph::Embedded(bytes) => builder.commit_from_memory(bytes),
            Graph::Memory(bytes) => builder.commit_from_memory(bytes),
        };
        let session = session.map_err(|e| Error::Open(e.to_string()))?;
        Ok((session, events::opened(kind, name, start.elapsed())))
    }

    #[expect(
        clippy::result_large_err,
        reason = "`ort` hands the builder back inside its error; a session opens rarely"
    )]
    fn builder(&self, settings: &Settings) -> Result<SessionBuilder, String> {
        let said = |e: ort::Error<SessionBuilder>| e.to_string();
        let level = match settings.optimization {
            Optimization::None => GraphOptimizationLevel::Disable,
            Optimization::All => GraphOptimizationLevel::All,
        };
        let builder = Session::builder(&self.environment).map_err(|e| e.to_string())?;
        let builder = builder
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
        match settings.device {
            Device::Cpu => builder
                .with_execution_providers([ep::CPU::default().with_arena_allocator(true).build()])
                .map_err(said),
            Device::Cuda(device) => {
                // The provider finds CUDA's libraries only if they are loaded.
                let beside = self.library.parent();
                ep::cuda::preload_dylibs(beside, beside).map_err(|e| e.to_string())?;
                let cuda = ep::CUDA::default()
                    .with_device_id(device)
                    // A search per shape takes seconds, and shapes vary.
                    .with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic)
                    .with_conv_max_workspace(false)
                    .build()
                    .error_on_failure();
                builder.with_execution_providers([cuda]).map_err(said)
            }
        }
    }
}
