//! Who is resident where: the weights of voices by tier — device, host, file —
//! and how a voice comes to where it is wanted. No tier makes an object of ONNX
//! Runtime's; what a tier may hold is bounded by bytes.
//!
//! - `record`: one voice. - `room`: the one pressure event, and what is moved
//!   for it. - `gaps`: what no eviction closes lies together. - `rules`: what is
//!   obeyed, and how it changes.
//!
//! Locks, the outer first: `loading`; then one of the others at a time, each
//! for a moment. Bytes are copied under `loading` alone.

mod activation;
mod departures;
mod gaps;
mod record;
mod room;
mod rules;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::events;
use crate::graph::Tenancy;
use crate::halves::Copied;
use crate::native::reservation::Kind;
use crate::native::tensors::{Block, Region, Tensors};
use crate::onnx::Template;
use crate::placement::Placement;
use crate::recorder::Recorder;
use crate::sessions::Opened;
use crate::weights::Weights;
use crate::workspace::{Permit, Workspace};
use memory::policy::Amount;
use memory::slab::{Tenant, Zone};
use memory::trace::{Line, Use};
use memory::{Census, Item, Tier};

pub use activation::Activation;
pub(crate) use departures::Departures;
pub(crate) use gaps::Fixed;
pub use record::Record;
pub(crate) use record::{Flight, Holding, Own};
pub(crate) use room::{Effort, Needs};
pub use rules::{Ready, Rules};

/// What outlives every decision about it.
pub struct Library {
    placement: Placement,
    kind: Kind,
    workspace: Workspace,
    rules: rules::Obeyed,
    records: Mutex<Vec<Weak<Record>>>,
    /// Host memory below the device, if there is a budget for it.
    host: Mutex<Option<Arc<Tensors>>>,
    /// Whoever moves something between tiers: two would compete for the same
    /// room, and nobody may bring back what another sends away.
    loading: Mutex<()>,
    departures: Arc<Departures>,
    walls: gaps::Walls,
    recorder: Mutex<Option<Recorder>>,
    clock: Instant,
    ids: AtomicU64,
    revision: AtomicU64,
    counts: Counts,
}

/// Since the process began.
#[derive(Debug, Default)]
struct Counts {
    evictions: AtomicU64,
    loads: AtomicU64,
    loaded_bytes: AtomicU64,
}

/// Every voice, and how often weights have moved since the server began.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct LibraryCensus {
    /// Times a voice gave up a copy in some tier, since the server began.
    pub evictions: u64,
    /// Times a voice was brought to the device, since the server began.
    pub loads: u64,
    /// Bytes of weights that all these loads brought.
    pub loaded_bytes: u64,
    /// Bytes that copies in host memory may take; 0 without a host tier.
    pub host_budget: usize,
    /// Bytes that copies in host memory take now.
    pub host_in_use: usize,
    /// Every voice that is open, in no particular order.
    pub voices: Vec<VoiceCensus>,
}

/// One voice: where its weights are and how it is used.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct VoiceCensus {
    /// Policies and requests know the voice by this name.
    pub name: String,
    /// The first eight characters of its template's digest.
    pub template: String,
    /// `device`, `host`, `slot` for a voice that lies in one and nowhere else
    /// in memory, or `file`.
    pub tier: &'static str,
    /// Sessions of its own that are open.
    pub sessions: usize,
    /// What it holds there; of one that is in its file alone, its weights.
    pub bytes: usize,
    /// Seconds since its last use, or since it was opened.
    pub idle_seconds: f64,
    /// Its uses, each counting half after ten minutes.
    pub hits: f32,
    /// Requests that hold it now or wait for its session.
    pub in_flight: u32,
    /// The policy never evicts a pinned voice.
    pub pinned: bool,
}

impl Library {
    pub(crate) fn new(placement: Placement, kind: Kind, workspace: usize, rules: Rules) -> Self {
        Self {
            placement,
            kind,
            workspace: Workspace::new(workspace),
            rules: rules::Obeyed::new(rules),
            records: Mutex::default(),
            host: Mutex::default(),
            loading: Mutex::default(),
            departures: Arc::default(),
            walls: gaps::Walls::default(),
            recorder: Mutex::default(),
            clock: Instant::now(),
            ids: AtomicU64::new(0),
            revision: AtomicU64::new(0),
            counts: Counts::default(),
        }
    }

    /// Runs of every model get their bytes of activations here.
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// It was decided at start and stays until the process ends.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    pub(crate) fn departures(&self) -> &Arc<Departures> {
        &self.departures
    }

    /// A voice that is known and nowhere but in its file.
    pub(crate) fn record(
        &self,
        name: &str,
        template: Arc<Template>,
        weights: Weights,
    ) -> Arc<Record> {
        let tenancy = self
            .placement
            .tensors()
            .map(|tensors| Tenancy::new(tensors, &format!("voice {name}")));
        let record = Arc::new(Record::new(
            self.ids.fetch_add(1, Ordering::Relaxed) + 1,
            name,
            (template, weights),
            tenancy,
            Arc::clone(&self.departures),
            self.now(),
        ));
        let mut records = lock(&self.records);
        records.retain(|record| record.strong_count() > 0);
        records.push(Arc::downgrade(&record));
        drop(records);
        self.revision.fetch_add(1, Ordering::Relaxed);
        record
    }

    /// Workspace for a run; see [`Workspace`].
    pub(crate) async fn admit(
        &self,
        graph: &Arc<str>,
        length: usize,
        wait: Duration,
    ) -> Result<Permit, Error> {
        let rules = self.rules.load();
        let permits = &rules.policy.permits;
        let known = permits
            .by_tokens
            .range(u32::try_from(length).unwrap_or(u32::MAX)..)
            .next()
            .map(|(_, bytes)| bytes.0 as usize);
        let needed = known.unwrap_or_else(|| self.workspace.need(graph, length));
        if let Amount::Of(most) = permits.request_max
            && needed < self.workspace.bytes()
            && needed as u64 > most.0
        {
            return Err(Error::TooLarge {
                needed,
                most: most.0 as usize,
            });
        }
        let wait = wait.min(permits.wait.0);
        drop(rules);
        self.workspace.acquire(needed, wait).await
    }

    /// The whole workspace, for a run that must be alone. The caller has given
    /// its own permit back, and is on a thread that may block.
    pub(crate) fn admit_alone(&self, wait: Duration) -> Result<Permit, Error> {
        let runtime = tokio::runtime::Handle::try_current();
        let runtime = runtime.map_err(|e| Error::Run(e.to_string()))?;
        runtime.block_on(self.workspace.acquire_all(wait))
    }

    pub(crate) fn learn(&self, graph: &Arc<str>, length: usize, peak: usize) {
        self.workspace.learn(graph, length, peak);
    }

    /// The voice is wanted; for the order of eviction and for the trace.
    pub(crate) fn used(&self, record: &Record) {
        record.lock().usage.touch(self.now());
        self.trace(|| {
            Line::Use(Use {
                at_us: self.now_us(),
                voice: record.name.clone(),
                bytes: record.bytes() as u64,
                reload_us: micros(record.reload()),
            })
        });
    }

    /// A run of the voice has ended.
    pub(crate) fn spoken(&self, record: &Record) {
        record.lock().usage.touch(self.now());
    }

    /// Copies the voice into a slot's block, from the nearest tier that has
    /// it; brings it to the device first if there is room or can be made,
    /// unless it `stays` in the slot: then a copy beside that would serve
    /// nobody.
    pub(crate) fn copy_to(
        &self,
        record: &Arc<Record>,
        block: &mut Block,
        stays: bool,
    ) -> Result<Activation, Error> {
        self.used(record);
        let resident = |slot: &mut Block| {
            let blob = record.blob()?;
            Some(blob.fill(&record.halves, slot))
        };
        if let Some(filled) = resident(block) {
            return filled.map(|()| Activation::Device);
        }
        let _one = lock(&self.loading);
        // Somebody else may have been faster.
        if let Some(filled) = resident(block) {
            return filled.map(|()| Activation::Device);
        }
        let host = record.host();
        let way = match host {
            Some(_) => Activation::Host,
            None => Activation::File,
        };
        // Without room for a blob beside those that must stay, the slot itself
        // is room enough for this run.
        let loaded = match stays {
            true => None,
            false => self.load(record, host.as_deref())?,
        };
        match loaded.or(host) {
            Some(copied) => copied.fill(&record.halves, block)?,
            None => {
                let start = Instant::now();
                record.weights.fill(&record.template, block)?;
                if stays {
                    self.loaded(record, start.elapsed());
                }
            }
        }
        Ok(way)
    }

    /// Voices that are open.
    pub(crate) fn voices(&self) -> usize {
        self.records().len()
    }

    /// Brings the voice's bytes to the device, evicting others. None if there
    /// can be no room now. `loading` is held.
    fn load(
        &self,
        record: &Arc<Record>,
        host: Option<&Copied>,
    ) -> Result<Option<Arc<Copied>>, Error> {
        let (Some(tensors), Some(tenancy)) = (self.placement.tensors(), &record.tenancy) else {
            return Ok(None);
        };
        let precision = self.rules.load().policy.tiers.precision;
        let half = host.map_or_else(|| record.is_halved(precision), |host| host.half);
        let needed = match half {
            true => record.halves.bytes,
            false => record.bytes(),
        };
        if needed > self.most_for(Tenant::Blob(record.id)) {
            return Ok(None);
        }
        let start = Instant::now();
        self.make_room(needed, record.id);
        let mut block = match tensors.blob(tenancy.owner(), record.id, needed) {
            Ok(block) => block,
            Err(no_room) => {
                events::library_full(&no_room);
                return Ok(None);
            }
        };
        let fits = match (host, half) {
            (Some(host), _) => block.copy_across(&host.block).map(|()| true)?,
            (None, true) => {
                let (template, halves) = (&record.template, &record.halves);
                record.weights.fill_halves(template, halves, &mut block)?
            }
            (None, false) => record
                .weights
                .fill(&record.template, &mut block)
                .map(|()| true)?,
        };
        if !fits {
            events::not_halved(&record.name);
            record.stays_whole();
            drop(block);
            return self.load(record, host);
        }
        let blob = Arc::new(Copied { block, half });
        let took = start.elapsed();
        let mut state = record.lock();
        state.blob = Some(Arc::clone(&blob));
        state.usage.arrive(self.now());
        if host.is_none() {
            state.reload = Some(took);
        }
        drop(state);
        self.loaded(record, took);
        Ok(Some(blob))
    }

    fn loaded(&self, record: &Record, took: Duration) {
        self.revision.fetch_add(1, Ordering::Relaxed);
        self.counts.loads.fetch_add(1, Ordering::Relaxed);
        let bytes = record.bytes() as u64;
        self.counts.loaded_bytes.fetch_add(bytes, Ordering::Relaxed);
        events::voice_loaded(&record.name, bytes, took);
    }

    fn evicted(&self, record: &Record, to: Tier) {
        self.revision.fetch_add(1, Ordering::Relaxed);
        self.counts.evictions.fetch_add(1, Ordering::Relaxed);
        events::voice_evicted(&record.name, record.bytes() as u64, to);
        self.departures.tell();
    }

    /// Opens one more session of a voice that cannot share a slot.
    pub(crate) fn open_own<S>(
        &self,
        record: &Record,
        needs: &Needs,
        effort: Effort,
        open: impl Fn(Option<&Arc<Region>>) -> Result<S, Error>,
    ) -> Result<Opened<S>, Error> {
        let start = Instant::now();
        let opened = if self.placement.tensors().is_none() {
            let _one = lock(&self.loading);
            self.make_room_in_arenas(record.bytes(), record.id);
            Opened {
                session: open(None)?,
                region: None,
                bytes: record.bytes(),
            }
        } else {
            let tenant = Tenant::Sessions(record.id);
            let name = format!("sessions of voice {}", record.name);
            let first = needs.first(record.bytes());
            let settled = self.open_in_region(&name, tenant, first, effort, open)?;
            settled.kept(needs)
        };
        let took = start.elapsed();
        let mut state = record.lock();
        state.usage.arrive(self.now());
        state.reload = Some(took);
        drop(state);
        self.loaded(record, took);
        Ok(opened)
    }

    /// Bytes that voices may hold on the device.
    fn device_bytes(&self) -> usize {
        match self.placement.tensors() {
            Some(tensors) => {
                let slab = tensors.slab();
                let models = slab.models();
                let fixed = models.bert + models.slots + models.other;
                slab.zone(Zone::Models).bytes.saturating_sub(fixed)
            }
            None => match self.rules.load().policy.budget {
                Amount::Of(bytes) => (bytes.0 as usize).saturating_sub(self.workspace.bytes()),
                Amount::Auto => usize::MAX / 2,
            },
        }
    }

    fn records(&self) -> Vec<Arc<Record>> {
        let records = lock(&self.records);
        records.iter().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn name_of(&self, id: u64) -> Option<String> {
        let records = self.records();
        let record = records.iter().find(|record| record.id == id)?;
        Some(record.name.clone())
    }

    pub(crate) fn knows(&self, graph: &str) -> bool {
        self.records().iter().any(|it| *it.graph() == *graph)
    }

    /// Everyone, for a decision.
    fn census(&self) -> Census {
        let revision = self.revision.load(Ordering::Relaxed);
        let rules = self.rules.load();
        let now = self.now();
        let item = |record: &Arc<Record>| {
            let (tier, bytes) = record.place();
            let reload_us = micros(record.reload());
            let state = record.lock();
            Item {
                id: record.id,
                name: record.name.clone(),
                tier,
                bytes: bytes as u64,
                reload_us,
                idle: state.usage.idle(now),
                resident: state.usage.resident(now),
                hits: state.usage.hits(now),
                in_flight: record.in_flight(),
                pinned: rules.policy.is_pinned(&record.name),
                priority: rules.policy.priority(&record.name),
            }
        };
        Census {
            revision,
            items: self.records().iter().map(item).collect(),
            map: self.map(),
        }
    }

    /// Everyone, for people.
    pub fn report(&self) -> LibraryCensus {
        let now = self.now();
        let rules = self.rules.load();
        let voice = |record: &Arc<Record>| {
            let (tier, bytes) = record.place();
            let state = record.lock();
            VoiceCensus {
                name: record.name.clone(),
                template: record.template.short(),
                tier: match tier {
                    Tier::File if record.is_in_slot() => "slot",
                    Tier::File => "file",
                    Tier::Host => "host",
                    Tier::Device => "device",
                },
                sessions: record.own().map_or(0, |own| own.living()),
                bytes: match tier {
                    Tier::File => record.bytes(),
                    Tier::Host | Tier::Device => bytes,
                },
                idle_seconds: state.usage.idle(now).as_secs_f64(),
                hits: state.usage.hits(now),
                in_flight: record.in_flight(),
                pinned: rules.policy.is_pinned(&record.name),
            }
        };
        let host = lock(&self.host).clone();
        let host = host.as_ref().map(|host| host.slab().zone(Zone::Models));
        LibraryCensus {
            evictions: self.counts.evictions.load(Ordering::Relaxed),
            loads: self.counts.loads.load(Ordering::Relaxed),
            loaded_bytes: self.counts.loaded_bytes.load(Ordering::Relaxed),
            host_budget: host.map_or(0, |host| host.bytes),
            host_in_use: host.map_or(0, |host| host.in_use),
            voices: self.records().iter().map(voice).collect(),
        }
    }

    fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    fn now_us(&self) -> u64 {
        micros(self.now())
    }

    fn trace(&self, line: impl FnOnce() -> Line) {
        if let Some(recorder) = &*lock(&self.recorder) {
            recorder.record(line());
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
