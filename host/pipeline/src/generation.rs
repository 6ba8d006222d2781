//! Everything one request may touch, numbered and immutable.
//!
//! A request pins one generation for its whole life; a replaced one drains and
//! drops with its last request.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use session::device::Device;
use session::voice::Voice;
use tokio::sync::Notify;

use crate::answers::{Answers, Hold};
use crate::error::Error;
use crate::events;
use crate::features::FeatureCache;
use crate::gate::Gate;
use crate::left_out::{Kind, LeftOut};
use crate::mixes::Mixes;
use crate::plan::Plan;

/// Everything that a request is served with: pipelines, voices, models. It
/// never changes, and goes with its last request.
pub struct Generation {
    pub(crate) number: NonZeroU64,
    pub(crate) born: SystemTime,
    pub(crate) plans: BTreeMap<String, Arc<Plan>>,
    pub(crate) default_plan: String,
    pub(crate) voices: BTreeMap<String, Arc<Voice>>,
    pub(crate) mixes: Arc<Mixes>,
    pub(crate) features: FeatureCache,
    pub(crate) gate: Arc<Gate>,
    pub(crate) device: Device,
    /// What is configured and does not serve as it is written.
    pub(crate) left_out: Vec<LeftOut>,
    /// Requests that hold a [`Pin`] now.
    pub(crate) requests: AtomicUsize,
    /// The last: tells once all else has gone.
    pub(crate) ended: Ended,
}

/// Tells whoever waits that a generation has gone, with what only it held.
#[derive(Clone, Default)]
pub(crate) struct Ended(pub(crate) Arc<Notify>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// A request's hold on its generation.
pub struct Pin(Arc<Generation>);

impl Pin {
    pub(crate) fn new(generation: Arc<Generation>) -> Self {
        generation.requests.fetch_add(1, Ordering::Relaxed);
        Self(generation)
    }
}

impl Deref for Pin {
    type Target = Arc<Generation>;

    fn deref(&self) -> &Arc<Generation> {
        &self.0
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Generation {
    /// What is configured and does not serve as it is written.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// The same once more, to be changed before it serves; this one may still
    /// be held by a run that is ending.
    pub(crate) fn again(&self) -> Self {
        events::generation_born(self.number.get());
        Self {
            number: self.number,
            born: self.born,
            plans: self.plans.clone(),
            default_plan: self.default_plan.clone(),
            voices: self.voices.clone(),
            mixes: Arc::clone(&self.mixes),
            features: self.features.clone(),
            gate: Arc::clone(&self.gate),
            device: self.device,
            left_out: self.left_out.clone(),
            requests: AtomicUsize::new(0),
            ended: self.ended.clone(),
        }
    }

    fn broken(&self, kind: Kind, name: &str) -> Option<Error> {
        let mut out = self.left_out.iter();
        let out = out.find(|out| out.kind == kind && out.name == name)?;
        Some(Error::Broken {
            kind: kind.name(),
            name: name.to_owned(),
            cause: out.cause.clone(),
        })
    }

    /// Counted from the first one of the process, 1.
    pub fn number(&self) -> NonZeroU64 {
        self.number
    }

    /// Names of the pipelines, the default one first.
    pub fn pipelines(&self) -> Vec<&str> {
        let others = self.plans.keys().filter(|name| **name != self.default_plan);
        std::iter::once(&self.default_plan)
            .chain(others)
            .map(String::as_str)
            .collect()
    }

    /// Where its models run.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Until the work that was taken in is done, as far as is known.
    pub fn backlog(&self) -> Duration {
        self.gate.backlog()
    }

    /// How large an answer may become.
    pub fn answers(&self) -> Answers {
        self.gate.answers()
    }

    /// Nothing yet of what requests may keep until it is whole.
    pub fn hold(&self) -> Hold {
        self.gate.hold()
    }

    /// Those that serve, by the name that requests have for them.
    pub fn voices(&self) -> &BTreeMap<String, Arc<Voice>> {
        &self.voices
    }

    /// The named pipeline, or the default one.
    pub fn plan(&self, name: Option<&str>) -> Result<&Arc<Plan>, Error> {
        let name = name.unwrap_or(&self.default_plan);
        self.plans.get(name).ok_or_else(|| {
            let broken = self.broken(Kind::Pipeline, name);
            broken.unwrap_or_else(|| Error::Unknown {
                kind: "pipeline",
                name: name.to_owned(),
                known: self.plans.keys().cloned().collect(),
            })
        })
    }

    /// The voice called `name`; empty means the first, for callers who have
    /// only one and clients that must send something.
    pub(crate) fn voice(&self, name: &str) -> Result<&Arc<Voice>, Error> {
        let found = match name {
            "" => self.voices.values().next(),
            name => self.voices.get(name),
        };
        found.ok_or_else(|| {
            let broken = self.broken(Kind::Voice, name);
            broken.unwrap_or_else(|| Error::Unknown {
                kind: "voice",
                name: name.to_owned(),
                known: self.voices.keys().cloned().collect(),
            })
        })
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        events::generation_ended(self.number.get());
    }
}
