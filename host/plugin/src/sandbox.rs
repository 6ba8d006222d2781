//! The engine all plugins share, and the clock that ends those that overrun.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use wasmtime::{
    Cache, Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
};

use crate::cache::Compiled;
use crate::error::SandboxError;
use crate::events;
use crate::limits::{STACK_BYTES, TICK};

/// How instances get their memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// This many instances at a time, from memory reserved in advance. Takes
    /// some 4 GiB of address space each, hardly any memory.
    Of(u32),
    /// Each from the system, 4 GiB of address space while it lives: slower.
    None,
    /// Each from the system, and no more address space than it has memory:
    /// slowest, since every access is checked, and possible everywhere.
    Tight,
}

/// What all plugins of a process share.
#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// Where compiled plugins are kept from one start to the next.
    pub compiled_cache: Option<PathBuf>,
    /// How instances should get their memory; a slower way is taken where the
    /// system does not let this.
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
    compiled: Option<Compiled>,
    /// Why compiled plugins are not kept, if they should be.
    no_cache: Option<String>,
    pool: Pool,
    _clock: Clock,
}

impl Sandbox {
    /// Starts a thread that is the plugins' clock. Without a cache it goes on,
    /// and says why in [`without_cache`](Self::without_cache).
    pub fn new(settings: SandboxSettings) -> Result<Self, SandboxError> {
        let (mut compiled, mut no_cache) = (None, None);
        if let Some(folder) = settings.compiled_cache.as_deref() {
            match Compiled::open(folder) {
                Ok(opened) => compiled = Some(opened),
                Err(cause) => {
                    events::no_cache(folder, &cause);
                    no_cache = Some(format!("{}: {cause}", folder.display()));
                }
            }
        }
        let cache = compiled.as_ref().map(|compiled| compiled.cache.clone());
        let mut pool = settings.pool;
        let engine = engine(cache.clone(), pool).or_else(|cause| {
            // Address space may be limited, on small boards and in containers.
            if pool == Pool::Tight {
                return Err(cause);
            }
            events::no_pool(&cause);
            pool = Pool::Tight;
            engine(cache, pool)
        });
        let engine = engine.map_err(|e| SandboxError::Engine(format!("{e:#}")))?;
        let clock = Clock::start(engine.clone())
            .map_err(|e| SandboxError::Engine(format!("no thread for the clock: {e}")))?;
        Ok(Self {
            engine,
            compiled,
            no_cache,
            pool,
            _clock: clock,
        })
    }

    /// Components found compiled, and components that had to be compiled.
    pub fn cache_hits_and_misses(&self) -> (usize, usize) {
        self.compiled.as_ref().map_or((0, 0), |compiled| {
            (compiled.cache.cache_hits(), compiled.cache.cache_misses())
        })
    }

    /// Why compiled plugins are not kept from one start to the next, if they
    /// should be.
    pub fn without_cache(&self) -> Option<&str> {
        self.no_cache.as_deref()
    }

    /// How instances get their memory in the end.
    pub fn pool(&self) -> Pool {
        self.pool
    }

    /// A component was loaded: what was compiled for it is kept.
    pub(crate) fn loaded(&self, misses_before: usize) {
        if let Some(compiled) = &self.compiled
            && self.cache_hits_and_misses().1 > misses_before
        {
            compiled.seal();
        }
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
        // Reading compiled code back ourselves would be `unsafe`.
        .cache(cache);
    if pool == Pool::Tight {
        config
            .memory_reservation(0)
            .memory_reservation_for_growth(1 << 20)
            .memory_guard_size(0)
            .guard_before_linear_memory(false)
            // It lies in a file without a name, for which `ulimit -f` holds.
            .memory_init_cow(false);
    }
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
