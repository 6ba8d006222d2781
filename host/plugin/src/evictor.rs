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
    /// Grows with every load and demotion; the answer repeats it.
    pub revision: u64,
    /// How urgent it is, as far as plugins are asked.
    pub level: Level,
    /// This tier runs short.
    pub tier: Tier,
    /// Bytes of that tier in use.
    pub used: u64,
    /// Bytes that it has in all.
    pub budget: u64,
    /// Bytes that should come free.
    pub missing: u64,
    /// Bytes that the host tier could still take.
    pub host_free: u64,
    /// Voices of all tiers, in no order.
    pub items: Vec<Item>,
}

/// One voice, as a plugin sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The same for as long as the host knows the voice.
    pub id: u64,
    /// The operator's name for the voice.
    pub name: String,
    /// The nearest place that has its weights.
    pub tier: Tier,
    /// What it holds in that tier.
    pub bytes: u64,
    /// Microseconds that loading it from its file takes.
    pub reload_us: u64,
    /// Milliseconds since its last use.
    pub idle_ms: u64,
    /// Milliseconds since it came to its tier.
    pub resident_ms: u64,
    /// Its uses, each counting half after ten minutes.
    pub hits: f32,
    /// Runs that hold it now; with any it never goes.
    pub in_flight: u32,
    /// The operator has pinned it, or it is the voice that waits.
    pub pinned: bool,
    /// The operator's; higher should stay longer.
    pub priority: i32,
    /// Used or loaded too lately to go at this level; to propose it is in vain.
    pub guarded: bool,
}

/// How urgent it is. Under hard pressure no plugin is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A watermark was passed, and nobody waits.
    Low,
    /// A voice waits for room.
    Soft,
}

/// Where a voice is, from nearest to furthest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// In the memory that it is spoken from.
    Device,
    /// In ordinary memory, to be copied from there.
    Host,
    /// Nowhere but on disk.
    File,
}

/// One thing a plugin may propose, for the voice with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is given up, and can be had from its file.
    Evict(u64),
    /// It moves one tier down if that has room, else it is given up.
    Demote(u64),
}

/// A plugin's answer. Whoever asks checks it against what it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// As in the snapshot; an answer with another is refused.
    pub revision: u64,
    /// The host looks at them in this order; 256 at most.
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

    /// Which component this is, and what it says of itself.
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
