//! From bytes to a plugin that may be called: checked, compiled, linked,
//! configured. The same for every world.

use base16ct::lower::encode_string as encode_hex;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Engine, Store};

use crate::bindings::types::{Descriptor, Diagnostic, Reuse};
use crate::error::{CallError, LoadError, Trap};
use crate::events;
use crate::host::Host;
use crate::limits::{COMPONENT_BYTES_MAX, Limits, ticks};
use crate::sandbox::Sandbox;

/// A component as it was found.
#[derive(Clone, Debug)]
pub struct Source {
    /// For logs and errors.
    pub name: String,
    /// A WebAssembly component, in binary form.
    pub bytes: Vec<u8>,
}

/// Which component a plugin is, and what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Hexadecimal, of the component's bytes.
    pub sha256: String,
    /// The plugin's own name, which may differ from the pipeline's for it.
    pub name: String,
    /// The plugin's own; nobody compares it.
    pub version: String,
    /// Whether it says that the same settings and input give the same output.
    pub deterministic: bool,
    /// Whether one instance may serve several calls.
    pub reusable: bool,
}

/// One of the worlds of `wit/policy.wit`, as its bindings see it.
pub(crate) trait World: Sized {
    const NAME: &'static str;
    /// The interface that only this world exports.
    const EXPORT: &'static str;
    type Instance;

    fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()>;
    fn prepare(pre: InstancePre<Host>) -> wasmtime::Result<Self>;
    fn instantiate(&self, store: &mut Store<Host>) -> wasmtime::Result<Self::Instance>;
    fn describe(instance: &Self::Instance, store: &mut Store<Host>)
    -> wasmtime::Result<Descriptor>;
    fn configure(
        instance: &Self::Instance,
        store: &mut Store<Host>,
    ) -> wasmtime::Result<Result<(), Vec<Diagnostic>>>;
}

/// An instance made and configured before it is needed.
pub(crate) struct Ready<W: World> {
    instance: W::Instance,
    store: Store<Host>,
}

/// A component of one world, linked once.
pub(crate) struct Plugin<W> {
    world: W,
    name: Arc<str>,
    settings: Arc<Value>,
    identity: Identity,
    pub(crate) limits: Limits,
    engine: Engine,
    /// The engine's clock stops with the sandbox.
    _sandbox: Arc<Sandbox>,
}

const PLUGIN: &str = "koemasu:policy/plugin@1.0.0";
/// What any policy may import; a world of fewer gets an error when it links.
const IMPORTS: [&str; 5] = [
    "koemasu:policy/log@1.0.0",
    "koemasu:policy/config@1.0.0",
    "koemasu:policy/types@1.0.0",
    "koemasu:policy/lexicon@1.0.0",
    "koemasu:policy/remarks@1.0.0",
];

impl<W: World> Plugin<W> {
    pub(crate) fn load(
        sandbox: &Arc<Sandbox>,
        source: Source,
        settings: &Value,
        limits: &Limits,
    ) -> Result<Self, LoadError> {
        let start = Instant::now();
        let sha256 = encode_hex(&Sha256::digest(&source.bytes));
        let (_, misses) = sandbox.cache_hits_and_misses();
        let component = compile(&sandbox.engine, &source.bytes)?;
        sandbox.loaded(misses);
        check_imports(&component)?;
        check_exports::<W>(&component)?;
        let linked = |e: wasmtime::Error| LoadError::Link(format!("{e:#}"));
        let mut linker = Linker::new(&sandbox.engine);
        W::link(&mut linker).map_err(linked)?;
        let pre = linker.instantiate_pre(&component).map_err(linked)?;
        let mut plugin = Self {
            world: W::prepare(pre).map_err(linked)?,
            name: Arc::from(source.name),
            settings: Arc::new(settings.clone()),
            identity: Identity {
                sha256,
                name: String::new(),
                version: String::new(),
                deterministic: false,
                reusable: false,
            },
            limits: limits.clone(),
            engine: sandbox.engine.clone(),
            _sandbox: Arc::clone(sandbox),
        };
        plugin.introduce()?;
        events::loaded(&plugin.name, &plugin.identity.sha256, start.elapsed());
        Ok(plugin)
    }

    /// Asks who it is and whether it takes its settings.
    fn introduce(&mut self) -> Result<(), LoadError> {
        let mut store = self.store(self.limits.fuel_max, self.limits.load_deadline);
        let instance = self
            .world
            .instantiate(&mut store)
            .map_err(|e| LoadError::Describe(CallError::Trap(e.into())))?;
        let said = W::describe(&instance, &mut store)
            .map_err(|e| LoadError::Describe(CallError::Trap(e.into())))?;
        self.identity.name = said.name;
        self.identity.version = said.version;
        self.identity.deterministic = said.deterministic;
        self.identity.reusable = matches!(said.reuse, Reuse::Safe);
        W::configure(&instance, &mut store)
            .map_err(|e| LoadError::Configure(CallError::Trap(e.into())))?
            .map_err(|wrong| {
                let pairs = wrong.into_iter().map(|d| (d.path, d.message));
                LoadError::Settings(pairs.collect())
            })
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// One call in a fresh instance: nothing leaks from one request to the
    /// next, and a trap costs nobody else anything.
    pub(crate) fn call<T>(
        &self,
        input_bytes: usize,
        deadline: Duration,
        work: impl FnOnce(&W::Instance, &mut Store<Host>) -> wasmtime::Result<T>,
    ) -> Result<T, CallError> {
        let start = Instant::now();
        let mut store = self.store(self.limits.fuel(input_bytes), deadline);
        let outcome = self.run(&mut store, work);
        events::called(&self.name, start.elapsed());
        outcome.map_err(|error| CallError::Trap(Trap::from(error)))
    }

    pub(crate) fn ready(&self) -> Result<Ready<W>, CallError> {
        let trap = |e| CallError::Trap(Trap::from(e));
        let mut store = self.store(self.limits.fuel_max, self.limits.load_deadline);
        let instance = self.world.instantiate(&mut store).map_err(trap)?;
        // Took the same settings when it was loaded.
        let _ = W::configure(&instance, &mut store).map_err(trap)?;
        Ok(Ready { instance, store })
    }

    /// One call in an instance that is there already. It comes back if it may
    /// serve again.
    pub(crate) fn call_ready<T>(
        &self,
        mut ready: Ready<W>,
        input_bytes: usize,
        deadline: Duration,
        work: impl FnOnce(&W::Instance, &mut Store<Host>) -> wasmtime::Result<T>,
    ) -> (Result<T, CallError>, Option<Ready<W>>) {
        let start = Instant::now();
        ready.store.data_mut().begin();
        self.limit(&mut ready.store, self.limits.fuel(input_bytes), deadline);
        let outcome = work(&ready.instance, &mut ready.store);
        events::called(&self.name, start.elapsed());
        let reusable = self.identity.reusable && outcome.is_ok();
        let outcome = outcome.map_err(|error| CallError::Trap(Trap::from(error)));
        (outcome, reusable.then_some(ready))
    }

    fn run<T>(
        &self,
        store: &mut Store<Host>,
        work: impl FnOnce(&W::Instance, &mut Store<Host>) -> wasmtime::Result<T>,
    ) -> wasmtime::Result<T> {
        let instance = self.world.instantiate(store)?;
        // Took the same settings when it was loaded.
        let _ = W::configure(&instance, store)?;
        work(&instance, store)
    }

    fn store(&self, fuel: u64, deadline: Duration) -> Store<Host> {
        let host = Host::new(
            Arc::clone(&self.name),
            Arc::clone(&self.settings),
            &self.limits,
        );
        let mut store = Store::new(&self.engine, host);
        store.limiter(|host| &mut host.limits);
        store.epoch_deadline_trap();
        self.limit(&mut store, fuel, deadline);
        store
    }

    fn limit(&self, store: &mut Store<Host>, fuel: u64, deadline: Duration) {
        store.set_epoch_deadline(ticks(deadline));
        store.set_fuel(fuel).expect("the engine is made with fuel");
    }
}

fn compile(engine: &Engine, bytes: &[u8]) -> Result<Component, LoadError> {
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(LoadError::TooLarge {
            bytes: bytes.len(),
            most: COMPONENT_BYTES_MAX,
        });
    }
    if bytes.starts_with(b"\0asm\x01\0\0\0") {
        return Err(LoadError::CoreModule);
    }
    // From binary only: text would be one more parser to defend.
    Component::from_binary(engine, bytes).map_err(|e| LoadError::Compile(format!("{e:#}")))
}

fn check_imports(component: &Component) -> Result<(), LoadError> {
    let component_type = component.component_type();
    for (import, _) in component_type.imports(component.engine()) {
        if IMPORTS.contains(&import) {
            continue;
        }
        return Err(LoadError::Import {
            import: import.to_owned(),
            cure: cure(import),
        });
    }
    Ok(())
}

/// Why a component may have an import, and what to do about it.
fn cure(import: &str) -> &'static str {
    if import.starts_with("wasi:") {
        "build for wasm32-unknown-unknown, or with WASI stubbed out; a policy has no clock, files, environment or network"
    } else if import.contains("wbindgen") {
        "a dependency was built for browsers; turn off its JavaScript features"
    } else if import.starts_with("koemasu:policy/") {
        "it was built for another version of koemasu's interfaces"
    } else {
        "a policy gets only `log` and `config`, a normalizer `lexicon` and `remarks` too"
    }
}

fn check_exports<W: World>(component: &Component) -> Result<(), LoadError> {
    let component_type = component.component_type();
    let exports: Vec<_> = component_type
        .exports(component.engine())
        .map(|(name, _)| name.to_owned())
        .collect();
    if exports.iter().any(|name| name == W::EXPORT) && exports.iter().any(|name| name == PLUGIN) {
        return Ok(());
    }
    Err(LoadError::World {
        expected: W::NAME,
        found: if exports.is_empty() {
            "nothing".to_owned()
        } else {
            exports.join(", ")
        },
    })
}
