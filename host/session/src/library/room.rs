//! How room is made: one pressure event, from cause to calm.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::{Library, Record, lock};
use crate::error::Error;
use crate::events;
use crate::halves::Copied;
use crate::native::tensors::{Block, Region, Tensors};
use crate::sessions::Opened;
use memory::slab::{self, Keep, NoRoom, Zone, round_up};
use memory::stretch::{Map, Tenant};
use memory::trace::Line;
use memory::{Decision, Level, NO_VOICE, Pressure, Step, Tier, decide};

/// Something that was opened in a region of its own.
pub(crate) struct Settled<T> {
    pub(crate) opened: T,
    /// None where there is no slab.
    pub(crate) region: Option<Arc<Region>>,
}

impl<T> Settled<T> {
    /// With as much of the region as it has in use now.
    pub(crate) fn kept(self, needs: &Needs) -> Opened<T> {
        let bytes = self.region.as_ref().map_or(0, |region| {
            needs.learn(region.reached());
            region.fit(Keep::Used);
            region.bytes()
        });
        Opened {
            session: self.opened,
            region: self.region,
            bytes,
        }
    }
}

/// What opening a session takes: as was found, else by its weights.
pub(crate) struct Needs {
    /// 0 before the first.
    found: AtomicUsize,
    /// What such a session allocates beside its weights.
    beside: usize,
}

impl Needs {
    pub(crate) fn new(found: usize, beside: usize) -> Self {
        Self {
            found: AtomicUsize::new(found),
            beside,
        }
    }

    /// Of the first region to try: the weights, what is made of them, and what
    /// is read on the way.
    pub(crate) fn first(&self, weights: usize) -> usize {
        match self.found() {
            0 => weights + weights / 4 + self.beside,
            found => found,
        }
    }

    pub(crate) fn found(&self) -> usize {
        self.found.load(Ordering::Relaxed)
    }

    pub(crate) fn learn(&self, needed: usize) {
        self.found.fetch_max(needed, Ordering::Relaxed);
    }
}

/// How much may be done for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// What is free, or is once others have moved up.
    Gentle,
    /// Others go as well.
    Evicting,
    /// And runs that stand in the way are waited for, until then.
    Waiting(Instant),
}

impl Library {
    /// Opens something that allocates as it likes in a region: first one of
    /// `first` bytes, and larger ones where that was too little.
    pub(crate) fn open_in_region<T>(
        &self,
        name: &str,
        tenant: slab::Tenant,
        first: usize,
        effort: Effort,
        open: impl Fn(Option<&Arc<Region>>) -> Result<T, Error>,
    ) -> Result<Settled<T>, Error> {
        let Some(tensors) = self.placement().tensors() else {
            let opened = open(None)?;
            return Ok(Settled {
                opened,
                region: None,
            });
        };
        // Whoever wants more than there can ever be tries with that.
        let most = self.most_in_one_piece(tenant, round_up(first), effort);
        let mut bytes = round_up(first).min(most).max(slab::ALIGNMENT);
        loop {
            let region = self.region(tensors, name, tenant, bytes, effort)?;
            match open(Some(&region)) {
                Ok(opened) => {
                    return Ok(Settled {
                        opened,
                        region: Some(region),
                    });
                }
                Err(Error::NoRoom(no_room)) => {
                    drop(region);
                    let larger = (bytes + bytes / 2).max(bytes + 2 * no_room.needed);
                    let most = self.most_in_one_piece(tenant, round_up(larger), effort);
                    if bytes >= most {
                        let no_room = NoRoom {
                            needed: bytes + no_room.needed,
                            largest: most,
                            ..no_room
                        };
                        return Err(match effort {
                            // One more beside others, which may go.
                            Effort::Gentle => Error::NoRoom(no_room),
                            Effort::Evicting | Effort::Waiting(_) => Error::NeverFits(no_room),
                        });
                    }
                    events::region_grown(name, bytes, &no_room);
                    bytes = round_up(larger).min(most);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn region(
        &self,
        tensors: &Arc<Tensors>,
        name: &str,
        tenant: slab::Tenant,
        bytes: usize,
        effort: Effort,
    ) -> Result<Arc<Region>, Error> {
        let voice = tenant.voice().unwrap_or(NO_VOICE);
        loop {
            let departures = self.departures.count();
            let found = {
                let _one = lock(&self.loading);
                match effort {
                    Effort::Gentle => self.arrange(bytes),
                    Effort::Evicting | Effort::Waiting(_) => self.make_room(bytes, voice),
                };
                let owner = tensors.slab().owner(name);
                let region = tensors.region(owner, tenant, bytes);
                // Goes with its region.
                tensors.slab().close(owner);
                region
            };
            let no_room = match found {
                Ok(region) => return Ok(region),
                Err(no_room) => no_room,
            };
            if effort != Effort::Gentle && self.close_gaps_for(bytes) > 0 {
                continue;
            }
            match effort {
                Effort::Waiting(until) if bytes <= self.most_for(tenant) => {
                    if !self.departures.wait(departures, until) {
                        return Err(Error::NoRoom(no_room));
                    }
                }
                _ => return Err(Error::NoRoom(no_room)),
            }
        }
    }

    /// The most of so many bytes that there can be; what stands in the way and
    /// is idle is brought together for it.
    fn most_in_one_piece(&self, tenant: slab::Tenant, wanted: usize, effort: Effort) -> usize {
        let aligned = |bytes: usize| bytes / slab::ALIGNMENT * slab::ALIGNMENT;
        let most = aligned(self.most_for(tenant));
        if most < wanted && effort != Effort::Gentle && self.close_gaps_for(wanted) > 0 {
            return aligned(self.most_for(tenant));
        }
        most
    }

    /// The longest stretch there can be once every run has ended and whoever
    /// may go has gone.
    pub(crate) fn most_for(&self, tenant: slab::Tenant) -> usize {
        let rules = self.rules.load();
        let capped = match (tenant, rules.policy.bert.bytes()) {
            (slab::Tenant::Bert, Some(bert)) => usize::try_from(bert).unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        let Some(map) = self.map() else {
            return capped;
        };
        let goes = |record: &Arc<Record>| {
            let pinned = rules.policy.is_pinned(&record.name);
            !pinned && tenant.voice() != Some(record.id)
        };
        let going = self.records().into_iter().filter(goes);
        let going: Vec<_> = going.map(|record| record.id).collect();
        usize::try_from(map.longest(&going)).map_or(capped, |longest| longest.min(capped))
    }

    /// Sees to one free stretch of so many bytes: moves copies of weights up,
    /// and lets voices go by the policy where that is not enough. `loading` is
    /// held.
    pub(super) fn make_room(&self, needed: usize, for_voice: u64) -> bool {
        if self.arrange(needed) {
            return true;
        }
        for level in [Level::Soft, Level::Hard] {
            self.relieve_to(level, needed, self.free(), Some(for_voice));
            if self.arrange(needed) {
                return true;
            }
        }
        false
    }

    /// Moves copies of weights until so many bytes are free in one stretch, if
    /// moving is enough; the fewest bytes that do it. `loading` is held.
    fn arrange(&self, needed: usize) -> bool {
        let (Some(tensors), Some(map)) = (self.placement().tensors(), self.map()) else {
            return false;
        };
        let Some(shifts) = map.shifts(round_up(needed) as u64, &[]) else {
            return false;
        };
        if shifts.is_empty() {
            return true;
        }
        let blobs: Vec<_> = self.records().iter().filter_map(|it| it.blob()).collect();
        for shift in shifts {
            let at = |blob: &&Arc<Copied>| blob.block.offset() as u64 == shift.from;
            let moved = blobs.iter().find(at).map(|blob| {
                let to = usize::try_from(shift.to).unwrap_or(usize::MAX);
                tensors.relocate(&blob.block, to)
            });
            match moved {
                Some(Ok(true)) => events::blob_moved(shift.bytes),
                Some(Err(error)) => {
                    events::not_moved(&error);
                    return false;
                }
                // It went meanwhile: what it held is free, and the next look
                // sees it.
                Some(Ok(false)) | None => return false,
            }
        }
        true
    }

    /// What lies in the zone of models.
    pub(super) fn map(&self) -> Option<Map> {
        let tensors = self.placement().tensors()?;
        let slab = tensors.slab();
        let tenant = |lot: slab::Lot| Tenant {
            voice: lot.tenant.voice(),
            offset: lot.offset as u64,
            bytes: lot.bytes as u64,
            movable: matches!(lot.tenant, slab::Tenant::Blob(_)),
        };
        Some(Map {
            bytes: slab.zone(Zone::Models).bytes as u64,
            tenants: slab.tenants().into_iter().map(tenant).collect(),
        })
    }

    /// The longest stretch there could be: with every voice gone, between what
    /// stays.
    pub(crate) fn reachable(&self) -> usize {
        let voices: Vec<_> = self.records().iter().map(|record| record.id).collect();
        let longest = self.map().map_or(0, |map| map.longest(&voices));
        usize::try_from(longest).unwrap_or(usize::MAX)
    }

    fn free(&self) -> usize {
        let tensors = self.placement().tensors();
        tensors.map_or(0, |tensors| tensors.slab().zone(Zone::Models).free)
    }

    /// Arenas have no cap of their own: what voices may hold is counted by
    /// their weights. `loading` is held.
    pub(super) fn make_room_in_arenas(&self, needed: usize, for_voice: u64) {
        let records = self.records();
        let held = records.iter().filter(|it| it.tier() == Tier::Device);
        let held: usize = held.map(|record| record.bytes()).sum();
        let free = self.device_bytes().saturating_sub(held);
        for level in [Level::Soft, Level::Hard] {
            if free < needed && self.relieve_to(level, needed, free, Some(for_voice)) {
                return;
            }
        }
    }

    /// For a watermark: idle voices go, as many as give so many bytes, and
    /// their memory with them. Says whether any did.
    pub(crate) fn relieve_by(&self, bytes: usize, level: Level) -> bool {
        let Some(tensors) = self.placement().tensors() else {
            return false;
        };
        let _one = lock(&self.loading);
        let free = self.free();
        let needed = free.saturating_add(bytes);
        let any = bytes > 0 && self.relieve_to(level, needed, free, None);
        tensors.give_back(&Zone::ALL);
        any
    }

    /// Brings what lies beyond a lowered limit to below it: copies of weights
    /// move or go, voices with sessions of their own go when they are idle.
    /// What a session aliases stays until its template goes.
    pub(crate) fn settle(&self) {
        let Some(tensors) = self.placement().tensors() else {
            return;
        };
        let over = tensors.slab().zone(Zone::Models).over;
        if over == 0 {
            return;
        }
        let _one = lock(&self.loading);
        let limit = tensors.slab().zone(Zone::Models).bytes;
        let beyond = |lot: &slab::Lot| lot.offset + lot.bytes > limit;
        let lots = tensors.slab().tenants();
        for lot in lots.into_iter().filter(beyond) {
            let records = self.records();
            let record = records.iter().find(|it| lot.tenant.voice() == Some(it.id));
            let Some(record) = record else { continue };
            if record.blob().is_some() {
                self.make_room(lot.bytes, record.id);
            }
            self.aside(record, |_| true);
        }
        tensors.give_back(&[Zone::Models]);
    }

    /// The voice's copy lies elsewhere from then on, where that is free and
    /// `suits`; else the voice goes. Says whether either was. `loading` is held.
    pub(super) fn aside(&self, record: &Record, suits: impl Fn(&Block) -> bool) -> bool {
        self.copy_elsewhere(record, suits).is_some()
            || self.take(Step::Demote {
                id: record.id,
                from: Tier::Device,
                to: Tier::Host,
            })
    }

    fn copy_elsewhere(&self, record: &Record, suits: impl Fn(&Block) -> bool) -> Option<()> {
        let (tensors, tenancy) = (self.placement().tensors()?, record.tenancy.as_ref()?);
        let blob = record.blob()?;
        let copy = tensors.blob(tenancy.owner(), record.id, blob.block.bytes());
        let mut block = copy.ok().filter(suits)?;
        block.copy_from(&blob.block).ok()?;
        let half = blob.half;
        record.lock().blob = Some(Arc::new(Copied { block, half }));
        Some(())
    }

    /// One pressure event, from cause to calm: a policy decides, we act, and
    /// whoever asked looks whether the room is there. Says whether anything was
    /// given up. `loading` is held.
    fn relieve_to(&self, level: Level, needed: usize, free: usize, for_voice: Option<u64>) -> bool {
        let pressure = Pressure {
            zone: memory::Zone::Device,
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

    /// `loading` is held, so that nobody brings back what is being sent away.
    fn take(&self, step: Step) -> bool {
        let Step::Demote { id, from, to } = step;
        let Some(record) = self.records().into_iter().find(|record| record.id == id) else {
            return false;
        };
        let gone = match from {
            Tier::Device if record.in_flight() > 0 => false,
            Tier::Device => match record.own() {
                Some(own) => own.empty(),
                None => self.send_down(&record, to),
            },
            Tier::Host => record.lock().host.take().is_some(),
            Tier::File => false,
        };
        if gone {
            record.lock().usage.arrive(self.now());
            self.evicted(&record, to);
        }
        gone
    }

    /// The copy is taken before the record says so, and outside of its lock: a
    /// run that wants the voice meanwhile finds it where it was.
    fn send_down(&self, record: &Record, to: Tier) -> bool {
        let Some(blob) = record.blob() else {
            return false;
        };
        let kept = match to {
            Tier::Host if record.host().is_none() => self.keep_on_host(record, &blob),
            Tier::Host | Tier::Device | Tier::File => None,
        };
        // A tier that was exchanged meanwhile takes nobody any more.
        let host = lock(&self.host);
        let kept = kept.filter(|kept| host.as_ref().is_some_and(|host| kept.block.is_of(host)));
        let mut state = record.lock();
        state.blob = None;
        if kept.is_some() {
            state.host = kept;
        }
        true
    }

    fn keep_on_host(&self, record: &Record, blob: &Copied) -> Option<Arc<Copied>> {
        let host = lock(&self.host).clone()?;
        let owner = host.slab().owner(&record.name);
        let kept = host.blob(owner, record.id, blob.block.bytes());
        host.slab().close(owner);
        let mut block = kept.ok()?;
        block.copy_across(&blob.block).ok()?;
        let half = blob.half;
        Some(Arc::new(Copied { block, half }))
    }
}
