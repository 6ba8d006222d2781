//! The world `bucketing-policy`: true lengths → padded lengths.

use std::sync::Arc;

use serde_json::Value;
use wasmtime::Store;
use wasmtime::component::{HasSelf, InstancePre, Linker};

use crate::answer;
use crate::bindings::bucketing::exports::koemasu::policy::bucketing as wit;
use crate::bindings::bucketing::{BucketingPolicy, BucketingPolicyPre};
use crate::bindings::types::{Descriptor, Diagnostic};
use crate::error::{CallError, LoadError};
use crate::events;
use crate::host::Host;
use crate::limits::Limits;
use crate::load::{Identity, Plugin, Source, World};
use crate::sandbox::Sandbox;

/// A loaded bucketing policy. Calls block for microseconds, at worst for their
/// deadline.
pub struct Bucketer {
    plugin: Plugin<BucketingPolicyPre<Host>>,
}

/// What is about to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows of the run.
    pub batch: u32,
    /// Each has its own answer, in this order.
    pub axes: Vec<Axis>,
}

/// One axis that may be padded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// `tokens` or `bert`.
    pub name: String,
    /// True length.
    pub len: u32,
    /// Lengths to choose from, ascending; empty allows any.
    pub allowed: Vec<u32>,
    /// The longest answer.
    pub max: u32,
}

impl Bucketer {
    pub(crate) fn load(
        sandbox: &Arc<Sandbox>,
        source: Source,
        settings: &Value,
        limits: &Limits,
    ) -> Result<Self, LoadError> {
        let plugin = Plugin::load(sandbox, source, settings, limits)?;
        Ok(Self { plugin })
    }

    /// Which component this is, and what it says of itself.
    pub fn identity(&self) -> &Identity {
        self.plugin.identity()
    }

    /// One padded length for each axis, checked.
    pub fn choose(&self, shape: &Shape) -> Result<Vec<u32>, CallError> {
        let outcome = self.try_choose(shape);
        if let Err(error) = &outcome {
            events::failed(self.plugin.name(), error.kind());
        }
        outcome
    }

    fn try_choose(&self, shape: &Shape) -> Result<Vec<u32>, CallError> {
        let axes = shape.axes.iter().map(|axis| wit::Axis {
            name: axis.name.clone(),
            len: axis.len,
            allowed: axis.allowed.clone(),
            max: axis.max,
        });
        let asked = wit::Shape {
            batch: shape.batch,
            axes: axes.collect(),
        };
        let deadline = self.plugin.limits.choose_deadline;
        let answer = self.plugin.call(0, deadline, |it, store| {
            it.koemasu_policy_bucketing().call_choose(store, &asked)
        })?;
        let lengths = answer.map_err(CallError::from)?;
        answer::check_lengths(shape, &lengths)?;
        Ok(lengths)
    }
}

impl World for BucketingPolicyPre<Host> {
    const NAME: &'static str = "bucketing-policy";
    const EXPORT: &'static str = "koemasu:policy/bucketing@1.0.0";
    type Instance = BucketingPolicy;

    fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
        BucketingPolicy::add_to_linker::<_, HasSelf<_>>(linker, |host| host)
    }

    fn prepare(pre: InstancePre<Host>) -> wasmtime::Result<Self> {
        Self::new(pre)
    }

    fn instantiate(&self, store: &mut Store<Host>) -> wasmtime::Result<BucketingPolicy> {
        BucketingPolicyPre::instantiate(self, store)
    }

    fn describe(it: &BucketingPolicy, store: &mut Store<Host>) -> wasmtime::Result<Descriptor> {
        it.koemasu_policy_plugin().call_describe(store)
    }

    fn configure(
        it: &BucketingPolicy,
        store: &mut Store<Host>,
    ) -> wasmtime::Result<Result<(), Vec<Diagnostic>>> {
        it.koemasu_policy_plugin().call_configure(store)
    }
}
