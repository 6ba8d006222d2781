//! One voice as memory sees it: where its weights are, and who uses them.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use super::departures::Departures;
use crate::graph::Tenancy;
use crate::halves::{Copied, Halves};
use crate::onnx::Template;
use crate::sessions::Sessions;
use crate::synthesis::VoiceSession;
use crate::weights::Weights;
use memory::policy::Precision;
use memory::slab::round_up;
use memory::{Tier, Usage};

pub(crate) type Own = Sessions<VoiceSession>;

/// Goes, with all it holds, with its last user.
pub struct Record {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) template: Arc<Template>,
    pub(super) weights: Weights,
    pub(super) halves: Halves,
    /// One of its weights is beyond what a half can hold.
    whole: AtomicBool,
    /// The library's account of this voice.
    pub(super) tenancy: Option<Tenancy>,
    state: Mutex<State>,
    /// Sessions of its own, if it has such.
    own: OnceLock<Weak<Own>>,
    in_flight: AtomicU32,
    /// Slots that hold it.
    in_slots: Arc<AtomicU32>,
    departures: Arc<Departures>,
    graph: Arc<str>,
}

/// A slot that has a voice's weights in it. It keeps nothing of the voice.
pub(crate) struct Holding {
    id: u64,
    in_slots: Arc<AtomicU32>,
}

impl Holding {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.in_slots.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Read and written in a moment: never held while bytes are copied.
pub(super) struct State {
    pub(super) blob: Option<Arc<Copied>>,
    pub(super) host: Option<Arc<Copied>>,
    pub(super) usage: Usage,
    /// What the last load from the file took.
    pub(super) reload: Option<Duration>,
}

/// A run that holds a voice: it is not evicted meanwhile.
pub(crate) struct Flight(Arc<Record>);

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
        self.0.departures.tell();
    }
}

impl Record {
    pub(super) fn new(
        id: u64,
        name: &str,
        (template, weights): (Arc<Template>, Weights),
        tenancy: Option<Tenancy>,
        departures: Arc<Departures>,
        now: Duration,
    ) -> Self {
        Self {
            id,
            name: name.to_owned(),
            graph: Arc::from(template.short()),
            halves: Halves::of(&template, &weights.stored()),
            whole: AtomicBool::new(false),
            template,
            weights,
            tenancy,
            state: Mutex::new(State {
                blob: None,
                host: None,
                usage: Usage::new(now),
                reload: None,
            }),
            own: OnceLock::new(),
            in_flight: AtomicU32::new(0),
            in_slots: Arc::default(),
            departures,
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Policies and reports call the voice so.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn template(&self) -> &Arc<Template> {
        &self.template
    }

    pub(crate) fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The kind of graph that workspace is measured for.
    pub(crate) fn graph(&self) -> Arc<str> {
        Arc::clone(&self.graph)
    }

    pub(crate) fn flight(self: &Arc<Self>) -> Flight {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        Flight(Arc::clone(self))
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Acquire)
    }

    /// A slot has its weights from now on.
    pub(crate) fn held(&self) -> Holding {
        self.in_slots.fetch_add(1, Ordering::AcqRel);
        Holding {
            id: self.id,
            in_slots: Arc::clone(&self.in_slots),
        }
    }

    /// Whether a slot has its weights.
    pub(super) fn is_in_slot(&self) -> bool {
        self.in_slots.load(Ordering::Acquire) > 0
    }

    /// It will be spoken with these sessions.
    pub(crate) fn owns(&self, own: &Arc<Own>) {
        let _ = self.own.set(Arc::downgrade(own));
    }

    pub(super) fn own(&self) -> Option<Arc<Own>> {
        self.own.get()?.upgrade()
    }

    /// Whether it can go on speaking: it is in memory, or its file is still
    /// what it was.
    pub(crate) fn lasts(&self) -> bool {
        self.tier() != Tier::File || self.is_in_slot() || self.weights.intact()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn blob(&self) -> Option<Arc<Copied>> {
        self.lock().blob.clone()
    }

    pub(super) fn host(&self) -> Option<Arc<Copied>> {
        self.lock().host.clone()
    }

    /// Of its weights.
    pub(super) fn bytes(&self) -> usize {
        round_up(self.template.blob_bytes)
    }

    /// Whether it waits as halves.
    pub(super) fn is_halved(&self, precision: Precision) -> bool {
        precision == Precision::Half && !self.whole.load(Ordering::Relaxed)
    }

    /// None of it can be.
    pub(super) fn stays_whole(&self) {
        self.whole.store(true, Ordering::Relaxed);
    }

    /// Where it is, and the bytes it holds there.
    pub(super) fn place(&self) -> (Tier, usize) {
        if let Some(bytes) = self.own().map(|own| own.bytes()).filter(|it| *it > 0) {
            return (Tier::Device, bytes);
        }
        let state = self.lock();
        match (&state.blob, &state.host) {
            (Some(blob), _) => (Tier::Device, round_up(blob.block.bytes())),
            (None, Some(host)) => (Tier::Host, round_up(host.block.bytes())),
            (None, None) => (Tier::File, 0),
        }
    }

    pub(super) fn tier(&self) -> Tier {
        self.place().0
    }

    /// As measured, else by size: a gigabyte a second.
    pub(super) fn reload(&self) -> Duration {
        let guess = || Duration::from_nanos(self.bytes() as u64);
        self.lock().reload.unwrap_or_else(guess)
    }
}
