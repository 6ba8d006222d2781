//! The engine all plugins share, and the clock that ends those that overrun.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use wasmtime::{
    Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy,
    PoolingAllocationConfig,
};

use crate::error::SandboxError;
use crate::events;
use crate::limits::{STACK_BYTES, TICK};

/// How instances get their memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// This many instances at a time, from memory reserved in advance. Takes
    /// some 4 GiB of address space each, hardly any memory.
    Of(u32),
    /// Each from the system: slower, and possible everywhere.
    None,
}

#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// Where compiled plugins are kept from one start to the next.
    pub compiled_cache: Option<PathBuf>,
    pub pool: Pool,
}

impl Default for SandboxSettings {
    fn default() -> Self {
        Self {
            compiled_cache: None,
            pool: Pool::Of(64),
        }
    }
}

/// One engine and its clock. Lives as long as any plugin of it.
pub struct Sandbox {
    pub(crate) engine: Engine,
    cache: Option<Cache>,
    _clock: Clock,
}

impl Sandbox {
    pub fn new(settings: SandboxSettings) -> Result<Self, SandboxError> {
        let cache = settings
            .compiled_cache
            .as_deref()
            .map(open_cache)
            .transpose()?;
        let engine = match settings.pool {
            Pool::None => engine(cache.clone(), Pool::None),
            // Address space may be limited, on small boards and in containers.
            pool => engine(cache.clone(), pool).or_else(|cause| {
                events::no_pool(&cause);
                engine(cache.clone(), Pool::None)
            }),
        };
        let engine = engine.map_err(|e| SandboxError::Engine(format!("{e:#}")))?;
        let clock = Clock::start(engine.clone())
            .map_err(|e| SandboxError::Engine(format!("no thread for the clock: {e}")))?;
        Ok(Self {
            engine,
            cache,
            _clock: clock,
        })
    }

    /// Components found compiled, and components that had to be compiled.
    pub fn cache_hits_and_misses(&self) -> (usize, usize) {
        self.cache
            .as_ref()
            .map_or((0, 0), |cache| (cache.cache_hits(), cache.cache_misses()))
    }
}

fn engine(cache: Option<Cache>, pool: Pool) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES)
        // The same answer on every machine.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        // Nothing a policy needs, and each of it more to defend.
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .wasm_tail_call(false)
        // wasmtime's own cache, keyed by sha256 over the component, the
        // compiler's settings and version, and recompiled on any failure.
        // Reading compiled code back ourselves would be `unsafe`.
        .cache(cache);
    if let Pool::Of(count) = pool {
        let mut pooling = PoolingAllocationConfig::new();
        pooling
            .total_component_instances(count)
            .total_core_instances(count * 2)
            .total_memories(count)
            .total_tables(count * 4)
            .max_memories_per_component(1)
            .max_tables_per_component(4)
            .max_core_instances_per_component(8)
            .table_elements(10_000)
            .max_memory_size(32 << 20)
            .linear_memory_keep_resident(256 << 10)
            .table_keep_resident(64 << 10)
            .pagemap_scan(Enabled::Auto);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling));
    }
    Engine::new(&config)
}

/// What lies in the folder is run as native code: it must be ours alone.
fn open_cache(folder: &Path) -> Result<Cache, SandboxError> {
    let failed = |cause: String| SandboxError::CompiledCache {
        folder: folder.display().to_string(),
        cause,
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| failed(e.to_string()))?;
    let folder = folder.canonicalize().map_err(|e| failed(e.to_string()))?;
    let meta = folder.metadata().map_err(|e| failed(e.to_string()))?;
    if meta.mode() & 0o022 != 0 {
        return Err(failed(
            "others may write to it, and what lies there is run; `chmod 700` it".to_owned(),
        ));
    }
    let own = Path::new("/proc/self").metadata();
    if own.is_ok_and(|own| own.uid() != meta.uid()) {
        return Err(failed("it belongs to another user".to_owned()));
    }
    let mut config = CacheConfig::new();
    config.with_directory(&folder);
    Cache::new(config).map_err(|e| failed(format!("{e:#}")))
}

/// Advances the epoch until the sandbox goes.
struct Clock {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Clock {
    fn start(engine: Engine) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("plugin-clock".to_owned())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    std::thread::sleep(TICK);
                    engine.increment_epoch();
                }
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
