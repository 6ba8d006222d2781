//! Who is resident where: the weights of voices by tier — device, host, file —
//! and how a voice moves between them. No tier makes an object of ONNX
//! Runtime's; what a tier may hold is bounded by bytes.
//!
//! The one pressure event is `Library::relieve_to`.

#![expect(
    clippy::disallowed_types,
    reason = "the policy is one of the two things that are swapped live"
)]

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::error::Error;
use crate::events;
use crate::graph::Tenancy;
use crate::memory::policy::Amount;
use crate::memory::trace::{Line, Recorder, Use};
use crate::memory::{
    Census, Decision, Item, Level, MemoryPolicy, Pressure, Proposer, Step, Tier, Usage, decide,
};
use crate::native::reservation::Kind;
use crate::native::tensors::{Block, Tensors};
use crate::onnx::Template;
use crate::placement::Placement;
use crate::pool::{self, Pool};
use crate::slab::{Layout, Zone, round_up};
use crate::slot::{Activation, short};
use crate::voice::VoiceSession;
use crate::weights::Weights;
use crate::workspace::{Permit, Workspace};

/// One voice as memory sees it. Goes, with all it holds, with its last user.
pub struct Record {
    id: u64,
    name: String,
    template: Arc<Template>,
    weights: Weights,
    /// The library's account of this voice.
    tenancy: Option<Tenancy>,
    state: Mutex<State>,
    in_flight: AtomicU32,
    graph: Arc<str>,
}

struct State {
    held: Held,
    host: Option<Arc<Block>>,
    usage: Usage,
    /// What the last load from the file took.
    reload: Option<Duration>,
    /// What sessions of its own were measured to hold; more than the weights
    /// where weights are stored small or packed.
    own_bytes: Option<usize>,
}

/// What a voice holds on the device.
enum Held {
    Nothing,
    Blob(Arc<Block>),
    /// Sessions of its own, in this pool.
    Sessions(Weak<Pool<VoiceSession>>),
}

/// A run that holds a voice: it is not evicted meanwhile.
pub(crate) struct Flight(Arc<Record>);

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Record {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

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
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Flight(Arc::clone(self))
    }

    /// Whether it can go on speaking: it is in memory, or its file is still
    /// what it was.
    pub(crate) fn lasts(&self) -> bool {
        let resident = tier(&self.lock()) != Tier::File;
        resident || self.weights.intact()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of its weights.
    fn bytes(&self) -> usize {
        round_up(self.template.blob_bytes)
    }

    /// What it holds where it is on the device.
    fn held_bytes(&self, state: &State) -> usize {
        match (&state.held, state.own_bytes) {
            (Held::Sessions(_), Some(measured)) => measured,
            _ => self.bytes(),
        }
    }
}

/// What outlives every decision about it.
pub struct Library {
    placement: Placement,
    kind: Kind,
    workspace: Workspace,
    rules: ArcSwap<Rules>,
    records: Mutex<Vec<Weak<Record>>>,
    /// Host memory below the device, if there is a budget for it.
    host: Mutex<Option<Arc<Tensors>>>,
    /// One load at a time: two would compete for the same room.
    loading: Mutex<()>,
    recorder: Mutex<Option<Recorder>>,
    clock: Instant,
    ids: AtomicU64,
    revision: AtomicU64,
    counts: Counts,
}

/// What is obeyed now.
#[derive(Clone, Debug)]
pub struct Rules {
    pub policy: MemoryPolicy,
    pub proposer: Option<Arc<Proposer>>,
}

/// Since the process began.
#[derive(Debug, Default)]
struct Counts {
    evictions: AtomicU64,
    loads: AtomicU64,
    loaded_bytes: AtomicU64,
}

#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct LibraryCensus {
    pub evictions: u64,
    pub loads: u64,
    pub loaded_bytes: u64,
    pub host_budget: usize,
    pub host_in_use: usize,
    pub voices: Vec<VoiceCensus>,
}

#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct VoiceCensus {
    pub name: String,
    pub template: String,
    pub tier: &'static str,
    pub bytes: usize,
    pub idle_seconds: f64,
    pub hits: f32,
    pub in_flight: u32,
    pub pinned: bool,
}

impl Library {
    pub(crate) fn new(placement: Placement, kind: Kind, workspace: usize, rules: Rules) -> Self {
        let library = Self {
            placement,
            kind,
            workspace: Workspace::new(workspace),
            rules: ArcSwap::from_pointee(rules),
            records: Mutex::default(),
            host: Mutex::default(),
            loading: Mutex::default(),
            recorder: Mutex::default(),
            clock: Instant::now(),
            ids: AtomicU64::new(0),
            revision: AtomicU64::new(0),
            counts: Counts::default(),
        };
        let rules = library.rules.load_full();
        library.apply(&rules);
        library
    }

    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// From the next decision on the new rules hold. What runs goes on.
    pub fn set_rules(&self, rules: Rules) {
        let rules = Arc::new(rules);
        self.apply(&rules);
        self.rules.store(rules);
        self.revision.fetch_add(1, Ordering::Relaxed);
    }

    /// Opens what a policy asks for beside the decisions.
    fn apply(&self, rules: &Rules) {
        let budget = rules.policy.tiers.host.0 as usize;
        let mut host = lock(&self.host);
        if host.as_ref().map_or(0, |host| host.slab().bytes()) != round_up(budget) {
            // Blobs of the old tier stay valid until they are dropped.
            *host = (budget > 0).then(|| self.host_tier(budget)).flatten();
            for record in self.records() {
                record.lock().host = None;
            }
        }
        drop(host);
        let trace = &rules.policy.trace;
        let before = self.rules.load();
        let running = lock(&self.recorder).is_some();
        if running && before.policy.trace == *trace {
            self.trace(|| self.policy_line(rules));
            return;
        }
        // Its last lines are written as it is dropped: outside of the lock.
        let ended = lock(&self.recorder).take();
        drop(ended);
        if let Some(file) = &trace.file {
            match Recorder::start(file, trace.bytes_max, self.device_bytes() as u64) {
                Ok(started) => {
                    started.record(self.policy_line(rules));
                    *lock(&self.recorder) = Some(started);
                }
                Err(error) => events::trace_unwritable(file, &error),
            }
        }
    }

    fn policy_line(&self, rules: &Rules) -> Line {
        Line::Policy {
            at_us: self.now_us(),
            policy: Box::new(rules.policy.clone()),
            plugin: rules.proposer.as_ref().map(|it| it.name().to_owned()),
        }
    }

    fn host_tier(&self, budget: usize) -> Option<Arc<Tensors>> {
        let kind = match self.kind {
            // Pinned memory is copied to the device at full speed.
            Kind::Cuda(number) | Kind::Pinned(number) => Kind::Pinned(number),
            Kind::Cpu => Kind::Cpu,
        };
        let layout = Layout([0; 5]).with(Zone::Library, budget);
        match Tensors::new(kind, layout) {
            Ok(host) => Some(host),
            Err(error) => {
                events::host_tier_missing(&error);
                None
            }
        }
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
        let graph = Arc::from(short(&template.digest));
        let record = Arc::new(Record {
            id: self.ids.fetch_add(1, Ordering::Relaxed) + 1,
            name: name.to_owned(),
            template,
            weights,
            tenancy,
            state: Mutex::new(State {
                held: Held::Nothing,
                host: None,
                usage: Usage::new(self.now()),
                reload: None,
                own_bytes: None,
            }),
            in_flight: AtomicU32::new(0),
            graph,
        });
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
        let reload = {
            let mut state = record.lock();
            state.usage.touch(self.now());
            reload_of(record, &state)
        };
        self.trace(|| {
            Line::Use(Use {
                at_us: self.now_us(),
                voice: record.name.clone(),
                bytes: record.bytes() as u64,
                reload_us: micros(reload),
            })
        });
    }

    /// A run of the voice has ended.
    pub(crate) fn spoken(&self, record: &Record) {
        record.lock().usage.touch(self.now());
    }

    /// Copies the voice into a slot's block, from the nearest tier that has
    /// it; brings it to the device first if there is room or can be made.
    pub(crate) fn copy_to(
        &self,
        record: &Arc<Record>,
        block: &mut Block,
    ) -> Result<Activation, Error> {
        self.used(record);
        if let Held::Blob(blob) = &record.lock().held {
            let blob = Arc::clone(blob);
            return block.copy_from(&blob).map(|()| Activation::Device);
        }
        let _one = lock(&self.loading);
        let host = record.lock().host.clone();
        let way = match host {
            Some(_) => Activation::Host,
            None => Activation::File,
        };
        match self.load(record, host.as_deref())? {
            Some(blob) => block.copy_from(&blob)?,
            // No room for a blob beside those that must stay: the slot itself
            // is room enough for this run.
            None => fill(record, host.as_deref(), block)?,
        }
        Ok(way)
    }

    /// Brings the voice's bytes to the device, evicting others. None if there
    /// can be no room now.
    fn load(
        &self,
        record: &Arc<Record>,
        host: Option<&Block>,
    ) -> Result<Option<Arc<Block>>, Error> {
        let Some(tensors) = self.placement.tensors() else {
            return Ok(None);
        };
        let Some(tenancy) = &record.tenancy else {
            return Ok(None);
        };
        let needed = record.bytes();
        if needed > tensors.slab().zone(Zone::Library).bytes {
            return Ok(None);
        }
        let start = Instant::now();
        let block = || tensors.block(Zone::Library, tenancy.owner(), needed);
        let mut found = block();
        for level in [Level::Soft, Level::Hard] {
            if found.is_ok() || !self.relieve(level, needed, Some(record.id)) {
                continue;
            }
            found = block();
        }
        let mut blob = match found {
            Ok(blob) => blob,
            Err(no_room) => {
                events::library_full(&no_room);
                return Ok(None);
            }
        };
        fill(record, host, &mut blob)?;
        let blob = Arc::new(blob);
        let took = start.elapsed();
        let mut state = record.lock();
        state.held = Held::Blob(Arc::clone(&blob));
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

    /// A session of the voice's own: one that is open, or a new one once there
    /// is room for it.
    pub(crate) async fn own_session(
        self: &Arc<Self>,
        record: &Arc<Record>,
        pool: &Arc<Pool<VoiceSession>>,
        wait: Duration,
    ) -> Result<pool::Lease<VoiceSession>, Error> {
        let resident = matches!(record.lock().held, Held::Sessions(_));
        if !resident {
            let (library, record, pool) = (Arc::clone(self), Arc::clone(record), Arc::clone(pool));
            let load = move || library.open_own(&record, &pool);
            tokio::task::spawn_blocking(load)
                .await
                .map_err(|lost| Error::Open(lost.to_string()))??;
        }
        pool.checkout(wait).await
    }

    /// Opens the first session of a voice, evicting others until it fits.
    fn open_own(&self, record: &Arc<Record>, pool: &Arc<Pool<VoiceSession>>) -> Result<(), Error> {
        let _one = lock(&self.loading);
        if matches!(record.lock().held, Held::Sessions(_)) {
            return Ok(());
        }
        let needed = record.lock().own_bytes.unwrap_or(record.bytes());
        let library = || {
            let tensors = self.placement.tensors();
            tensors.map_or(0, |tensors| tensors.slab().zone(Zone::Library).in_use)
        };
        let start = Instant::now();
        self.make_room_for_sessions(needed, record.id);
        let mut before = library();
        let mut opened = pool.fill();
        for level in [Level::Soft, Level::Hard] {
            let Err(Error::NoRoom(no_room)) = &opened else {
                break;
            };
            // Sessions take more than their weights while they open.
            let needed = no_room.needed.max(needed);
            let free = no_room.largest;
            if !self.relieve_to(level, needed + free, free, Some(record.id)) {
                continue;
            }
            before = library();
            opened = pool.fill();
        }
        opened?;
        let took = start.elapsed();
        let grown = library().saturating_sub(before);
        let mut state = record.lock();
        state.held = Held::Sessions(Arc::downgrade(pool));
        state.own_bytes = (grown > 0).then_some(grown);
        state.usage.arrive(self.now());
        state.reload = Some(took);
        drop(state);
        self.loaded(record, took);
        Ok(())
    }

    /// Arenas have no cap of their own: what voices may hold is counted by
    /// their weights.
    fn make_room_for_sessions(&self, needed: usize, id: u64) {
        if self.placement.tensors().is_some() {
            return;
        }
        let held: usize = self
            .records()
            .iter()
            .filter(|record| matches!(record.lock().held, Held::Sessions(_)))
            .map(|record| record.bytes())
            .sum();
        let free = self.device_bytes().saturating_sub(held);
        if free < needed && !self.relieve_to(Level::Soft, needed, free, Some(id)) {
            self.relieve_to(Level::Hard, needed, free, Some(id));
        }
    }

    /// Bytes that voices may hold on the device.
    fn device_bytes(&self) -> usize {
        match self.placement.tensors() {
            Some(tensors) => tensors.slab().zone(Zone::Library).bytes,
            None => match self.rules.load().policy.budget {
                Amount::Of(bytes) => (bytes.0 as usize).saturating_sub(self.workspace.bytes()),
                Amount::Auto => usize::MAX / 2,
            },
        }
    }

    /// Sees to `bytes` at the end of the zone of slots, at the library's cost:
    /// blobs in the way go back to where they came from.
    pub(crate) fn yield_to_slots(&self, bytes: usize) -> bool {
        let Some(tensors) = self.placement.tensors() else {
            return false;
        };
        let _one = lock(&self.loading);
        let wanted = |slab: &crate::slab::Slab| {
            let layout = slab.layout();
            // What is free at the zone's end need not be added.
            let spare = layout.of(Zone::Slots) - slab.extent(Zone::Slots);
            let missing = round_up(bytes).saturating_sub(spare);
            let library = layout.of(Zone::Library).checked_sub(missing)?;
            let slots = layout.of(Zone::Slots) + missing;
            Some(layout.with(Zone::Slots, slots).with(Zone::Library, library))
        };
        for record in std::iter::once(None).chain(self.records().into_iter().map(Some)) {
            if let Some(record) = record {
                let step = Step::Demote {
                    id: record.id,
                    from: Tier::Device,
                    to: Tier::Host,
                };
                if !self.take(step) {
                    continue;
                }
            }
            let mut slab = tensors.slab();
            let Some(layout) = wanted(&slab) else {
                return false;
            };
            if slab.relayout(layout).is_ok() {
                return true;
            }
        }
        false
    }

    /// For a run that went over: whoever is idle goes.
    pub(crate) fn relieve_for(&self, record: &Record, needed: usize) {
        self.relieve_to(Level::Hard, needed, 0, Some(record.id));
    }

    fn relieve(&self, level: Level, needed: usize, for_voice: Option<u64>) -> bool {
        let free = self
            .placement
            .tensors()
            .map_or(0, |tensors| tensors.slab().zone(Zone::Library).largest_free);
        self.relieve_to(level, needed, free, for_voice)
    }

    /// For a watermark: idle voices go, as many as give so many bytes. Says
    /// whether any did.
    pub(crate) fn relieve_by(&self, bytes: usize, level: Level) -> bool {
        let Some(tensors) = self.placement.tensors() else {
            return false;
        };
        let free = tensors.slab().zone(Zone::Library).free();
        let needed = free.saturating_add(bytes);
        bytes > 0 && self.relieve_to(level, needed, free, None)
    }

    /// One pressure event, from cause to calm: a policy decides, we act, and
    /// look whether the room is there. Says whether anything was given up.
    fn relieve_to(&self, level: Level, needed: usize, free: usize, for_voice: Option<u64>) -> bool {
        let pressure = Pressure {
            zone: crate::memory::Zone::Device,
            needed: needed as u64,
            free: free as u64,
            level,
            for_voice,
        };
        let rules = self.rules.load_full();
        let decision = decide(
            &rules.policy,
            rules.proposer.as_deref(),
            || self.census(),
            &pressure,
        );
        events::decided(&decision);
        let mut taken = 0;
        for step in &decision.steps {
            taken += usize::from(self.take(*step)); // the slab enforces
        }
        self.record_decision(decision);
        taken > 0
    }

    fn record_decision(&self, decision: Decision) {
        self.trace(|| Line::Decision {
            at_us: self.now_us(),
            decision: Box::new(decision),
        });
    }

    fn take(&self, step: Step) -> bool {
        let Step::Demote { id, from, to } = step;
        let Some(record) = self.records().into_iter().find(|record| record.id == id) else {
            return false;
        };
        let mut state = record.lock();
        match from {
            Tier::Device => {
                if record.in_flight.load(Ordering::Relaxed) > 0 {
                    return false;
                }
                match std::mem::replace(&mut state.held, Held::Nothing) {
                    Held::Nothing => return false,
                    Held::Blob(blob) => {
                        if to == Tier::Host && state.host.is_none() {
                            state.host = self.keep_on_host(&record, &blob);
                        }
                    }
                    Held::Sessions(pool) => {
                        if let Some(pool) = pool.upgrade() {
                            pool.empty();
                        }
                    }
                }
            }
            Tier::Host => {
                if state.host.take().is_none() {
                    return false;
                }
            }
            Tier::File => return false,
        }
        state.usage.arrive(self.now());
        drop(state);
        self.revision.fetch_add(1, Ordering::Relaxed);
        self.counts.evictions.fetch_add(1, Ordering::Relaxed);
        events::voice_evicted(&record.name, record.bytes() as u64, to);
        true
    }

    fn keep_on_host(&self, record: &Record, blob: &Block) -> Option<Arc<Block>> {
        let host = lock(&self.host).clone()?;
        let owner = host.slab().owner(&record.name);
        let kept = host.block(Zone::Library, owner, blob.bytes());
        host.slab().close(owner);
        let mut kept = kept.ok()?;
        kept.copy_across(blob).ok()?;
        Some(Arc::new(kept))
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
        self.records().iter().any(|record| &*record.graph == graph)
    }

    /// Everyone, for a decision.
    fn census(&self) -> Census {
        let revision = self.revision.load(Ordering::Relaxed);
        let rules = self.rules.load();
        let now = self.now();
        let item = |record: &Arc<Record>| {
            let state = record.lock();
            let tier = tier(&state);
            Item {
                id: record.id,
                name: record.name.clone(),
                tier,
                bytes: match tier {
                    Tier::File => 0,
                    Tier::Host | Tier::Device => record.held_bytes(&state) as u64,
                },
                reload_us: micros(reload_of(record, &state)),
                idle: state.usage.idle(now),
                resident: state.usage.resident(now),
                hits: state.usage.hits(now),
                in_flight: record.in_flight.load(Ordering::Relaxed),
                pinned: rules.policy.is_pinned(&record.name),
                priority: rules.policy.priority(&record.name),
            }
        };
        Census {
            revision,
            items: self.records().iter().map(item).collect(),
        }
    }

    /// Everyone, for people.
    pub fn report(&self) -> LibraryCensus {
        let now = self.now();
        let rules = self.rules.load();
        let voice = |record: &Arc<Record>| {
            let state = record.lock();
            VoiceCensus {
                name: record.name.clone(),
                template: short(&record.template.digest),
                tier: match tier(&state) {
                    Tier::File => "file",
                    Tier::Host => "host",
                    Tier::Device => "device",
                },
                bytes: record.held_bytes(&state),
                idle_seconds: state.usage.idle(now).as_secs_f64(),
                hits: state.usage.hits(now),
                in_flight: record.in_flight.load(Ordering::Relaxed),
                pinned: rules.policy.is_pinned(&record.name),
            }
        };
        let host = lock(&self.host).clone();
        let host = host.as_ref().map(|host| host.slab().zone(Zone::Library));
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

fn tier(state: &State) -> Tier {
    match (&state.held, &state.host) {
        (Held::Blob(_) | Held::Sessions(_), _) => Tier::Device,
        (Held::Nothing, Some(_)) => Tier::Host,
        (Held::Nothing, None) => Tier::File,
    }
}

/// As measured, else by size: a gigabyte a second.
fn reload_of(record: &Record, state: &State) -> Duration {
    let guess = || Duration::from_nanos(record.bytes() as u64);
    state.reload.unwrap_or_else(guess)
}

/// The voice's bytes into a block, from host memory if they are there.
fn fill(record: &Record, host: Option<&Block>, block: &mut Block) -> Result<(), Error> {
    match host {
        Some(host) => block.copy_across(host),
        None => record.weights.fill(&record.template, block),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
