//! What there is once per process: ONNX Runtime, the sandbox, and the [`Live`]
//! over both.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use memory::policy::Mode;
use pipeline::Live;
use plugin::{Pool, Sandbox, SandboxSettings};
use session::examine::Examiner;
use session::native::heap;
use session::residency::Residency;
use session::runtime::Runtime;

use crate::config::{Config, ConfigError};

/// This program, if it answers to [`session::examine::WORD`].
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Says that the running program does: models are tried by it from now on.
/// Whoever uses these crates as a library has no such program.
pub fn answers_examine() {
    // Still itself when an upgrade has put another file in its place.
    let itself = PathBuf::from("/proc/self/exe");
    let program = match itself.exists() {
        true => Some(itself),
        false => std::env::current_exe().ok(),
    };
    if let Some(program) = program {
        let _ = PROGRAM.set(program);
    }
}

/// Starts both and serves nothing yet.
pub fn live(config: &Config) -> anyhow::Result<Live> {
    let time = config.service.models.trial.0;
    let program = PROGRAM.get().cloned();
    start(config, program.map(|program| Examiner { program, time }))
}

/// The same, and opens whatever it is given untried: for what was tried before.
pub fn live_untried(config: &Config) -> anyhow::Result<Live> {
    start(config, None)
}

fn start(config: &Config, examiner: Option<Examiner>) -> anyhow::Result<Live> {
    // Nowhere if it is not koemasu.toml that names it.
    let library = || {
        let document = &config.service.document;
        document.exactly(&["onnxruntime", "library"])
    };
    if !config.onnxruntime.exists() {
        return Err(ConfigError::NotSetUp {
            place: library(),
            what: "ONNX Runtime",
            path: config.onnxruntime.clone(),
        }
        .into());
    }
    if config.service.memory.policy.mode == Mode::Slab {
        heap::steady();
    }
    let runtime = Runtime::start(&config.onnxruntime).with_context(|| {
        format!(
            "{}ONNX Runtime from {} does not start",
            library(),
            config.onnxruntime.display()
        )
    })?;
    let sandbox = Sandbox::new(SandboxSettings {
        compiled_cache: Some(config.compiled_cache.clone()),
        pool: pool(session::watch::addresses()),
    })
    .context("the plugin sandbox does not start")?;
    let policy = config.service.memory.policy.clone();
    let mut residency = Residency::new(runtime, policy, Some(config.model_cache.clone()));
    if let Some(examiner) = examiner {
        residency = residency.with_examiner(examiner);
    }
    Ok(Live::new(Arc::new(sandbox), residency))
}

/// How plugins get their memory: a pool, unless addresses are limited, as by
/// `ulimit -v`. Even one instance without a pool would take 4 GiB of them.
/// The same where files may not have the size of what a plugin begins with.
pub fn pool(addresses: Option<u64>) -> Pool {
    use rustix::process::{Resource, getrlimit};
    const POOL: u64 = 1 << 40;
    const IMAGE: u64 = 64 << 20;
    let file = getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX);
    if addresses.is_some_and(|free| free < POOL) || file < IMAGE {
        return Pool::Tight;
    }
    SandboxSettings::default().pool
}

/// The runtime of every command. Small: model runs have threads of their own.
pub fn tokio() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
}

/// So many file descriptors are for everything but connections: ports, the
/// runtime's own, files of voices and caches while they are read.
const FILES: u64 = 40;

/// As many connections as there are file descriptors for, of which the process
/// takes all it may.
pub(crate) fn connections() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let rest = files.saturating_sub(FILES.max(files / 8));
    usize::try_from(rest).unwrap_or(usize::MAX).max(4)
}

/// Ends the process at once: threads that are blocked stay where they are.
pub fn end(code: u8) -> ! {
    session::native::process::end(code)
}
