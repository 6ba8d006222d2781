//! What is obeyed, and how it changes: what can fail is done before, and the
//! change itself is a swap.

#![expect(
    clippy::disallowed_types,
    reason = "the policy is one of the two things that are swapped live"
)]

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::{Library, lock};
use crate::error::Error;
use crate::native::reservation::Kind;
use crate::native::tensors::Tensors;
use crate::recorder::Recorder;
use memory::policy::Precision;
use memory::slab::{Layout, Zone, round_up};
use memory::trace::Line;
use memory::{MemoryPolicy, Proposer};

/// What is obeyed now.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Without a plugin: what it names is the proposer here.
    pub policy: MemoryPolicy,
    /// It is asked before each eviction; None leaves the policy's order alone.
    pub proposer: Option<Arc<Proposer>>,
}

/// Rules with what they ask for opened beside the old.
pub struct Ready {
    pub(crate) rules: Rules,
    host: Change<Arc<Tensors>>,
    recorder: Change<Recorder>,
    /// What the zones may hold from then on.
    limits: Option<Layout>,
    raised: Option<Raised>,
}

/// Room that is there already for what a reload opens, before the rules are
/// obeyed that allow it; goes again if they never are.
struct Raised {
    tensors: Arc<Tensors>,
    before: Layout,
    after: Layout,
}

impl Raised {
    fn to(tensors: &Arc<Tensors>, limits: Layout) -> Option<Self> {
        let mut slab = tensors.slab();
        let before = slab.limits();
        let models = limits.of(Zone::Models);
        if models <= before.of(Zone::Models) {
            return None;
        }
        let after = before.with(Zone::Models, models);
        slab.set_limits(after).ok()?;
        drop(slab);
        Some(Self {
            tensors: Arc::clone(tensors),
            before,
            after,
        })
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        let mut slab = self.tensors.slab();
        // Unless another policy is obeyed meanwhile. They were within the spans
        // before.
        if slab.limits() == self.after {
            let _ = slab.set_limits(self.before);
        }
    }
}

enum Change<T> {
    Same,
    To(Option<T>),
}

pub(super) struct Obeyed(ArcSwap<Rules>);

impl Obeyed {
    pub(super) fn new(rules: Rules) -> Self {
        Self(ArcSwap::from_pointee(rules))
    }

    pub(super) fn load(&self) -> Guard<Arc<Rules>> {
        self.0.load()
    }

    pub(super) fn load_full(&self) -> Arc<Rules> {
        self.0.load_full()
    }
}

impl Ready {
    /// Of rules before there is anything they could rule.
    pub(crate) fn plain(rules: Rules) -> Self {
        Self {
            rules,
            host: Change::Same,
            recorder: Change::Same,
            limits: None,
            raised: None,
        }
    }
}

impl Library {
    /// Opens what the rules ask for beside decisions: host memory, the trace,
    /// room for what is opened meanwhile. Changes nothing that is obeyed.
    pub(crate) fn ready(&self, rules: Rules, limits: Option<Layout>) -> Result<Ready, Error> {
        if rules.policy.tiers.precision == Precision::Half && self.kind != Kind::Cpu {
            return Err(Error::Memory(
                "`memory.tiers.precision = \"half\"` is for the processor: on a GPU a voice changes by copying bytes as they are".to_owned(),
            ));
        }
        if let (Some(tensors), Some(limits)) = (self.placement().tensors(), limits) {
            let spans = tensors.slab().spans();
            for zone in Zone::ALL {
                if limits.of(zone) > spans.of(zone) {
                    return Err(Error::Memory(format!(
                        "{} bytes for {} are more than the {} that were reserved at start; a restart reserves them anew",
                        limits.of(zone),
                        zone.name(),
                        spans.of(zone)
                    )));
                }
            }
        }
        let budget = usize::try_from(rules.policy.tiers.host.0).unwrap_or(usize::MAX);
        let held = lock(&self.host).as_ref().map_or(0, |it| it.slab().bytes());
        let host = match budget {
            _ if held == round_up(budget) => Change::Same,
            0 => Change::To(None),
            budget => Change::To(Some(self.host_tier(budget)?)),
        };
        let trace = &rules.policy.trace;
        let running = lock(&self.recorder).as_ref().map(|it| it.file().to_owned());
        let recorder = match &trace.file {
            None => Change::To(None),
            Some(file) if running.as_ref() == Some(file) => Change::Same,
            Some(file) => {
                let device = self.device_bytes() as u64;
                let started = Recorder::start(file, trace.bytes_max, device);
                let failed =
                    |e| Error::Memory(format!("`memory.trace.file`, {}: {e}", file.display()));
                Change::To(Some(started.map_err(failed)?))
            }
        };
        let tensors = self.placement().tensors();
        let raised = tensors.zip(limits);
        let raised = raised.and_then(|(tensors, limits)| Raised::to(tensors, limits));
        Ok(Ready {
            rules,
            host,
            recorder,
            limits,
            raised,
        })
    }

    /// From the next decision on these hold. What runs goes on.
    pub(crate) fn obey(&self, ready: Ready) {
        let rules = Arc::new(ready.rules);
        if let Change::To(host) = ready.host {
            // What lies in the old one goes back to its file; whoever is reading
            // it has it as long.
            let before = std::mem::replace(&mut *lock(&self.host), host);
            for record in self.records() {
                record.lock().host = None;
            }
            drop(before);
        }
        if let Change::To(recorder) = ready.recorder {
            // Its last lines are written as it is dropped: outside of the lock.
            let ended = std::mem::replace(&mut *lock(&self.recorder), recorder);
            drop(ended);
        }
        if let Some(recorder) = &*lock(&self.recorder) {
            recorder.set_bytes_max(rules.policy.trace.bytes_max);
        }
        drop(ready.raised);
        if let (Some(tensors), Some(limits)) = (self.placement().tensors(), ready.limits) {
            // Within the spans, as it was found before.
            let _ = tensors.slab().set_limits(limits);
            self.workspace().resize(limits.of(Zone::Activations));
        }
        self.trace(|| Line::Policy {
            at_us: self.now_us(),
            policy: Box::new(rules.policy.clone()),
            plugin: rules.proposer.as_ref().map(|it| it.name().to_owned()),
        });
        self.rules.0.store(rules);
        self.revision
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.departures.tell();
    }

    fn host_tier(&self, budget: usize) -> Result<Arc<Tensors>, Error> {
        let kind = match self.kind {
            // Pinned memory is copied to the device at full speed.
            Kind::Cuda(number) | Kind::Pinned(number) => Kind::Pinned(number),
            Kind::Cpu => Kind::Cpu,
        };
        Tensors::new(kind, Layout::default().with(Zone::Models, budget))
    }
}
