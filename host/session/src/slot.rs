//! Slots: sessions that live as long as their template, whose weights are a
//! region of the slab. A voice is activated by copying its bytes there.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;
use crate::events;
use crate::library::{Activation, Fixed, Holding, Library, Record};
use crate::native::tensors::{Block, Region};
use crate::onnx::Template;
use crate::placement::Placement;
use crate::runtime::{Model, Runtime};
use crate::settings::Settings;
use crate::synthesis::VoiceSession;
use memory::stretch::Sink;

/// All slots of one template.
pub struct Slots {
    template: Arc<Template>,
    runtime: Runtime,
    placement: Placement,
    settings: Settings,
    idle: Mutex<Vec<Slot>>,
    permits: Arc<Semaphore>,
    count: AtomicUsize,
    /// Slots opened before the current one are opened anew.
    epoch: AtomicU64,
    runs: AtomicU64,
}

pub(crate) struct Slot {
    number: usize,
    /// Gone after a run that did not end well; opened again when needed.
    /// Before the block: sessions end before the memory they alias.
    session: Option<VoiceSession>,
    block: Block,
    /// The block lies in it, and what sessions keep beside it.
    region: Arc<Region>,
    holds: Option<Holding>,
    used: Instant,
    epoch: u64,
}

/// One slot on loan.
pub(crate) struct Lease {
    slot: Option<Slot>,
    slots: Arc<Slots>,
    /// Whether a run was begun: one that did not end well leaves the session in
    /// a state nobody knows.
    begun: bool,
    _permit: OwnedSemaphorePermit,
}

/// One slot, for the report.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct SlotCensus {
    /// Slots of a template are counted from 0.
    pub number: usize,
    /// The voice whose weights lie in it; null if none was copied in yet or it
    /// is gone.
    pub holds: Option<String>,
    /// Weights of one voice, in bytes.
    pub bytes: usize,
    /// Seconds since its last run ended.
    pub idle_seconds: f64,
}

impl Slots {
    pub(crate) fn new(
        template: Arc<Template>,
        runtime: &Runtime,
        placement: &Placement,
        settings: &Settings,
    ) -> Self {
        Self {
            template,
            runtime: runtime.clone(),
            placement: placement.clone(),
            settings: settings.clone(),
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(0)),
            count: AtomicUsize::new(0),
            epoch: AtomicU64::new(0),
            runs: AtomicU64::new(0),
        }
    }

    /// How long opening one waits for runs that stand in the way.
    pub(crate) fn patience(&self) -> Duration {
        self.settings.patience
    }

    /// Slots in service now, idle or lent.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether all of so many voices could have a slot each, whoever of them is
    /// spoken with at a time. Counted are those of other templates, too: with
    /// many, copies that can go leave room for those that cannot.
    fn has_room_for(&self, voices: usize) -> bool {
        voices * self.settings.lanes.max(1) <= self.count()
    }

    /// Leases that were given back whole since the template was opened.
    pub fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// Opens a session over the block; the block's bytes may be anything.
    pub(crate) fn open(
        &self,
        number: usize,
        block: &Block,
        region: &Arc<Region>,
    ) -> Result<VoiceSession, Error> {
        let template = &self.template;
        let name = format!("slot {number} of template {}", template.short());
        VoiceSession::of_parts(
            &self.runtime,
            &name,
            template,
            &self.settings,
            &self.placement,
            Some(region),
            |part| {
                Ok(Model::Template {
                    template,
                    part,
                    block,
                })
            },
        )
    }

    /// Puts a slot into service.
    pub(crate) fn add(&self, session: VoiceSession, block: Block, region: Arc<Region>) {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        self.lock().push(Slot {
            number,
            session: Some(session),
            block,
            region,
            holds: None,
            used: Instant::now(),
            epoch: self.epoch.load(Ordering::Relaxed),
        });
        self.permits.add_permits(1);
    }

    /// Waits for a slot, `wait` at most: one that holds the voice already, else
    /// an empty one, else the one that was not used for the longest time.
    pub(crate) async fn checkout(
        self: &Arc<Self>,
        voice: u64,
        wait: Duration,
    ) -> Result<Lease, Error> {
        let start = Instant::now();
        let permit = Arc::clone(&self.permits).acquire_owned();
        let Ok(Ok(permit)) = tokio::time::timeout(wait, permit).await else {
            return Err(Error::Busy { waited: wait });
        };
        events::waited("slot", start.elapsed());
        let mut idle = self.lock();
        let rank = |slot: &Slot| match &slot.holds {
            Some(held) if held.id() == voice => (0, None),
            None => (1, None),
            Some(_) => (2, Some(slot.used)),
        };
        let place = (0..idle.len())
            .min_by_key(|place| rank(&idle[*place]))
            .expect("one idle slot per permit");
        let slot = idle.swap_remove(place);
        drop(idle);
        Ok(Lease {
            slot: Some(slot),
            slots: Arc::clone(self),
            begun: false,
            _permit: permit,
        })
    }

    /// From now on every slot is opened anew before its next run.
    pub(crate) fn begin_renewal(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// Opens one idle slot of an older epoch anew, beside those that run. Says
    /// whether there was one.
    pub(crate) fn renew_one(self: &Arc<Self>) -> Result<bool, Error> {
        let Ok(_permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return Ok(false);
        };
        let epoch = self.epoch.load(Ordering::Relaxed);
        let Some(mut slot) = self.take(|slot| slot.epoch < epoch) else {
            return Ok(false);
        };
        slot.session = None;
        let outcome = self.bring_back(slot);
        events::slot_renewed(outcome.is_ok());
        outcome.map(|()| true)
    }

    fn take(&self, which: impl Fn(&Slot) -> bool) -> Option<Slot> {
        let mut idle = self.lock();
        let place = idle.iter().position(which)?;
        Some(idle.swap_remove(place))
    }

    /// Opens one without a session again and puts it back; even if it could
    /// not be opened: its next run tries again.
    fn bring_back(&self, mut slot: Slot) -> Result<(), Error> {
        slot.epoch = self.epoch.load(Ordering::Relaxed);
        let opened = self.open(slot.number, &slot.block, &slot.region);
        let outcome = opened.map(|session| slot.session = Some(session));
        self.lock().push(slot);
        outcome
    }

    /// What the idle slots hold.
    pub(crate) fn census(&self, name_of: impl Fn(u64) -> Option<String>) -> Vec<SlotCensus> {
        let idle = self.lock();
        let mut slots: Vec<_> = idle
            .iter()
            .map(|slot| SlotCensus {
                number: slot.number,
                holds: slot.holds.as_ref().and_then(|held| name_of(held.id())),
                bytes: slot.block.bytes(),
                idle_seconds: slot.used.elapsed().as_secs_f64(),
            })
            .collect();
        slots.sort_by_key(|slot| slot.number);
        slots
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fixed for Slots {
    fn kind(&self) -> &'static str {
        "slot"
    }

    fn sink(&self, library: &Library, sink: &Sink) -> Result<bool, Error> {
        let Ok(_permit) = self.permits.try_acquire() else {
            return Ok(false);
        };
        let Some(slot) = self.take(|slot| slot.region.at() as u64 == sink.from) else {
            return Ok(false);
        };
        let bytes = slot.region.bytes();
        let Some(cleared) = library.clear(sink, bytes) else {
            self.lock().push(slot);
            return Ok(false);
        };
        let slot = slot.moved(sink.to as usize);
        drop(cleared);
        self.bring_back(slot).map(|()| true)
    }
}

impl Slot {
    /// Elsewhere, if that is free; without its session and what it held.
    fn moved(self, to: usize) -> Self {
        let bytes = self.block.bytes();
        drop((self.session, self.block));
        self.region.move_to(to);
        let block = self.region.block(bytes);
        Self {
            session: None,
            block: block.expect("it had room for its block before"),
            holds: None,
            ..self
        }
    }
}

impl Lease {
    /// The session with this voice's weights in it. Blocks for a copy unless
    /// the slot holds them already.
    pub(crate) fn activate(
        &mut self,
        record: &Arc<Record>,
        library: &Library,
    ) -> Result<&mut VoiceSession, Error> {
        let slot = self.slot.as_mut().expect("a lease holds its slot");
        let epoch = self.slots.epoch.load(Ordering::Relaxed);
        if slot.session.is_none() || slot.epoch < epoch {
            slot.session = None;
            let opened = self.slots.open(slot.number, &slot.block, &slot.region);
            slot.session = Some(opened?);
            slot.epoch = epoch;
        }
        let start = Instant::now();
        let held = slot.holds.as_ref().map(Holding::id);
        let way = if held == Some(record.id()) {
            library.used(record);
            Activation::Sticky
        } else {
            // Until the copy is whole the slot holds nobody's weights.
            slot.holds = None;
            let stays = self.slots.has_room_for(library.voices());
            let way = library.copy_to(record, &mut slot.block, stays)?;
            slot.holds = Some(record.held());
            way
        };
        events::activated(way.name(), start.elapsed());
        self.begun = true;
        Ok(slot.session.as_mut().expect("opened above"))
    }

    pub(crate) fn release(mut self) {
        if let Some(mut slot) = self.slot.take() {
            slot.used = Instant::now();
            self.slots.runs.fetch_add(1, Ordering::Relaxed);
            self.slots.lock().push(slot);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(mut slot) = self.slot.take() {
            // The weights are only read by runs, and the region is ours.
            if self.begun {
                slot.session = None;
                events::discarded("slot", &self.slots.template.short());
            }
            self.slots.lock().push(slot);
        }
    }
}
