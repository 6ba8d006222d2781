//! The world `eviction-policy`: memory wanted → voices that give up their
//! place. Proposals only; whoever asks checks them against what it knows.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use wasmtime::Store;
use wasmtime::component::{HasSelf, InstancePre, Linker};

use crate::answer;
use crate::bindings::eviction::exports::koemasu::policy::eviction as wit;
use crate::bindings::eviction::{EvictionPolicy, EvictionPolicyPre};
use crate::bindings::types::{Descriptor, Diagnostic};
use crate::error::{CallError, LoadError};
use crate::events;
use crate::host::Host;
use crate::limits::Limits;
use crate::load::{Identity, Plugin, Ready, Source, World};
use crate::sandbox::Sandbox;

/// A loaded eviction policy.
///
/// Memory is short when it is asked, so its instance was made beforehand. It
/// serves again if the plugin says that this is safe, and is replaced after
/// each answer if not, and after each trap.
pub struct Evictor {
    plugin: Plugin<EvictionPolicyPre<Host>>,
    ready: Mutex<Option<Ready<EvictionPolicyPre<Host>>>>,
}

/// What is asked. See `wit/policy.wit`.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub revision: u64,
    pub level: Level,
    pub tier: Tier,
    pub used: u64,
    pub budget: u64,
    pub missing: u64,
    pub host_free: u64,
    pub items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    pub id: u64,
    pub name: String,
    pub tier: Tier,
    pub bytes: u64,
    pub reload_us: u64,
    pub idle_ms: u64,
    pub resident_ms: u64,
    pub hits: f32,
    pub in_flight: u32,
    pub pinned: bool,
    pub priority: i32,
    pub guarded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Low,
    Soft,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    Device,
    Host,
    File,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Evict(u64),
    Demote(u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub revision: u64,
    pub actions: Vec<Action>,
}

impl Evictor {
    pub(crate) fn load(
        sandbox: &Arc<Sandbox>,
        source: Source,
        settings: &Value,
        limits: &Limits,
    ) -> Result<Self, LoadError> {
        let plugin = Plugin::load(sandbox, source, settings, limits)?;
        let ready = plugin.ready().map_err(LoadError::Configure)?;
        Ok(Self {
            plugin,
            ready: Mutex::new(Some(ready)),
        })
    }

    pub fn identity(&self) -> &Identity {
        self.plugin.identity()
    }

    /// Asks. One at a time: another caller waits, at worst for the deadline.
    pub fn propose(&self, snapshot: &Snapshot) -> Result<Proposal, CallError> {
        let outcome = self.try_propose(snapshot);
        if let Err(error) = &outcome {
            events::failed(self.plugin.name(), error.kind());
        }
        outcome
    }

    fn try_propose(&self, snapshot: &Snapshot) -> Result<Proposal, CallError> {
        self.propose_within(snapshot, self.plugin.limits.propose_deadline)
    }

    /// While it is loaded nobody waits for it, and a busy machine is no fault of
    /// the plugin's.
    pub(crate) fn propose_at_load(&self, snapshot: &Snapshot) -> Result<Proposal, CallError> {
        self.propose_within(snapshot, self.plugin.limits.load_deadline)
    }

    fn propose_within(
        &self,
        snapshot: &Snapshot,
        deadline: Duration,
    ) -> Result<Proposal, CallError> {
        let asked = to_guest(snapshot);
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        // None only if the last replacement failed.
        let instance = match ready.take() {
            Some(instance) => instance,
            None => self.plugin.ready()?,
        };
        let (answer, instance) =
            self.plugin
                .call_ready(instance, bytes(snapshot), deadline, |it, store| {
                    it.koemasu_policy_eviction().call_propose(store, &asked)
                });
        // Made now and not when it is needed.
        *ready = instance.or_else(|| self.plugin.ready().ok());
        drop(ready);
        let proposal = from_guest(answer?.map_err(CallError::from)?);
        answer::check_proposal(snapshot, &proposal)?;
        Ok(proposal)
    }
}

/// What the guest is given to read: it gets instructions in proportion.
fn bytes(snapshot: &Snapshot) -> usize {
    let items = snapshot.items.iter();
    items.map(|item| size_of::<Item>() + item.name.len()).sum()
}

fn to_guest(snapshot: &Snapshot) -> wit::Snapshot {
    let items = snapshot.items.iter().map(|item| wit::Item {
        id: item.id,
        kind: "voice".to_owned(),
        name: item.name.clone(),
        tier: tier(item.tier),
        bytes: item.bytes,
        reload_us: item.reload_us,
        idle_ms: item.idle_ms,
        resident_ms: item.resident_ms,
        hits: item.hits,
        in_flight: item.in_flight,
        pinned: item.pinned,
        priority: item.priority,
        guarded: item.guarded,
    });
    wit::Snapshot {
        revision: snapshot.revision,
        level: match snapshot.level {
            Level::Low => wit::Pressure::Low,
            Level::Soft => wit::Pressure::Soft,
        },
        tier: tier(snapshot.tier),
        used: snapshot.used,
        budget: snapshot.budget,
        missing: snapshot.missing,
        host_free: snapshot.host_free,
        items: items.collect(),
    }
}

fn tier(tier: Tier) -> wit::Tier {
    match tier {
        Tier::Device => wit::Tier::Device,
        Tier::Host => wit::Tier::Host,
        Tier::File => wit::Tier::File,
    }
}

fn from_guest(proposal: wit::Proposal) -> Proposal {
    let actions = proposal.actions.into_iter().map(|action| match action {
        wit::Action::Evict(id) => Action::Evict(id),
        wit::Action::Demote(id) => Action::Demote(id),
    });
    Proposal {
        revision: proposal.revision,
        actions: actions.collect(),
    }
}

impl World for EvictionPolicyPre<Host> {
    const NAME: &'static str = "eviction-policy";
    const EXPORT: &'static str = "koemasu:policy/eviction@1.0.0";
    type Instance = EvictionPolicy;

    fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
        EvictionPolicy::add_to_linker::<_, HasSelf<_>>(linker, |host| host)
    }

    fn prepare(pre: InstancePre<Host>) -> wasmtime::Result<Self> {
        Self::new(pre)
    }

    fn instantiate(&self, store: &mut Store<Host>) -> wasmtime::Result<EvictionPolicy> {
        EvictionPolicyPre::instantiate(self, store)
    }

    fn describe(it: &EvictionPolicy, store: &mut Store<Host>) -> wasmtime::Result<Descriptor> {
        it.koemasu_policy_plugin().call_describe(store)
    }

    fn configure(
        it: &EvictionPolicy,
        store: &mut Store<Host>,
    ) -> wasmtime::Result<Result<(), Vec<Diagnostic>>> {
        it.koemasu_policy_plugin().call_configure(store)
    }
}
