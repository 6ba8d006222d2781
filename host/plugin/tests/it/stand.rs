//! What every test here starts from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugin::evictor::{self, Level, Snapshot, Tier};
use plugin::{
    Axis, Bucketer, CallError, Evictor, Limits, LoadError, Normalizer, Pool, Sandbox,
    SandboxSettings, Shape, Source,
};
use serde_json::{Value, json};

pub(crate) fn sandbox() -> Arc<Sandbox> {
    let settings = SandboxSettings {
        pool: Pool::Of(8),
        ..SandboxSettings::default()
    };
    Arc::new(Sandbox::new(settings).expect("a sandbox"))
}

/// Slow machines must not turn a test of fuel into one of time.
pub(crate) fn patient() -> Limits {
    Limits {
        normalize_deadline: std::time::Duration::from_secs(20),
        choose_deadline: std::time::Duration::from_secs(20),
        propose_deadline: std::time::Duration::from_secs(20),
        load_deadline: std::time::Duration::from_secs(20),
        ..Limits::default()
    }
}

pub(crate) fn normalizer(bytes: Vec<u8>, limits: &Limits) -> Result<Normalizer, LoadError> {
    let name = "test".to_owned();
    sandbox().load_normalizer(Source { name, bytes }, &json!({}), limits)
}

/// As [`normalizer`], with settings and patience.
pub(crate) fn normalizer_with(bytes: Vec<u8>, settings: &Value) -> Result<Normalizer, LoadError> {
    thread_local! {
        /// Compiling takes most of a test's time; one engine keeps it.
        static SANDBOX: Arc<Sandbox> = sandbox();
    }
    let name = "test".to_owned();
    SANDBOX.with(|sandbox| sandbox.load_normalizer(Source { name, bytes }, settings, &patient()))
}

pub(crate) fn bucketer(bytes: Vec<u8>, settings: &Value) -> Result<Bucketer, LoadError> {
    let name = "test".to_owned();
    sandbox().load_bucketer(Source { name, bytes }, settings, &patient())
}

pub(crate) fn choose(
    plugin: &Bucketer,
    name: &str,
    len: u32,
    allowed: &[u32],
) -> Result<u32, CallError> {
    let axis = Axis {
        name: name.to_owned(),
        len,
        allowed: allowed.to_vec(),
        max: 8_192,
    };
    let shape = Shape {
        batch: 1,
        axes: vec![axis],
    };
    plugin.choose(&shape).map(|lengths| lengths[0])
}

pub(crate) fn evictor(bytes: Vec<u8>, settings: &Value) -> Result<Evictor, LoadError> {
    let name = "test".to_owned();
    sandbox().load_evictor(Source { name, bytes }, settings, &patient())
}

/// Three voices of 100 bytes, unused for 30, 20 and 10 seconds; `change` makes
/// more of them.
pub(crate) fn snapshot(
    revision: u64,
    missing: u64,
    change: impl Fn(&mut evictor::Item),
) -> Snapshot {
    let items: Vec<_> = (1..=3)
        .map(|id| {
            let mut item = evictor::Item {
                id,
                name: format!("voice-{id}"),
                tier: Tier::Device,
                bytes: 100,
                reload_us: 1_000_000,
                idle_ms: (4 - id) * 10_000,
                resident_ms: 60_000,
                hits: 5.0,
                in_flight: 0,
                pinned: false,
                priority: 0,
                guarded: false,
            };
            change(&mut item);
            item
        })
        .collect();
    Snapshot {
        revision,
        level: Level::Soft,
        tier: Tier::Device,
        used: 300,
        budget: 300,
        missing,
        host_free: 0,
        items,
    }
}

/// A first-party component as set-up built it; not there is a failure.
pub(crate) fn built(name: &str) -> Vec<u8> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let home = variable("KOEMASU_HOME")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("koemasu")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/koemasu")))
        .expect("a home");
    let path = home.join("plugins").join(format!("{name}.wasm"));
    std::fs::read(&path)
        .unwrap_or_else(|e| panic!("{}: {e}; run `cargo xtask setup`", path.display()))
}

/// The reference corpus: a part that is ours, and all of it where somebody has
/// put it.
pub(crate) fn corpus() -> Vec<Value> {
    let shared = std::env::var_os("KOEMASU_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let part = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/frontend/ja.jsonl");
    // The part is in the whole.
    let rows = std::fs::read_to_string(shared.join("corpora/ja.jsonl"));
    let rows = rows.or_else(|_| std::fs::read_to_string(part));
    let rows = rows.expect("a part of the corpus");
    let row = |line| serde_json::from_str(line).expect("a row");
    rows.lines().map(row).collect()
}
