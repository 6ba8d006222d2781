//! What cannot be moved while it is open is closed and opened anew lower down,
//! when something that lay there has gone: between two such there would stay a
//! stretch that is too short for a third.

use std::sync::{Arc, Mutex, MutexGuard, Weak};

use super::{Library, Own, Record, lock};
use crate::error::Error;
use crate::events;
use crate::native::tensors::Block;
use memory::slab::Lot;
use memory::stretch::{Map, Sink};

/// Sessions that no eviction closes.
pub(crate) trait Fixed: Send + Sync {
    /// For logs.
    fn kind(&self) -> &'static str;

    /// If one that is idle lies there: opens it anew where it should lie, once
    /// that is [cleared](Library::clear). Says whether it did.
    fn sink(&self, library: &Library, sink: &Sink) -> Result<bool, Error>;
}

#[derive(Default)]
pub(super) struct Walls {
    known: Mutex<Vec<Weak<dyn Fixed>>>,
    /// One at a time: opening one may ask for room itself.
    closing: Mutex<()>,
}

/// A stretch that is free for as long as this is held.
pub(crate) struct Cleared<'a>(#[expect(dead_code, reason = "a guard")] MutexGuard<'a, ()>);

impl Library {
    /// From now on gaps below these are closed.
    pub(crate) fn stands(&self, fixed: &Arc<impl Fixed + 'static>) {
        let mut known = lock(&self.walls.known);
        known.retain(|it| it.strong_count() > 0);
        let fixed: Weak<dyn Fixed> = Arc::downgrade(fixed) as _;
        known.push(fixed);
    }

    /// Lets what is idle lie lower until there could be so many bytes in one
    /// piece; says how many sessions were opened anew for it. `loading` is not
    /// held.
    pub(crate) fn close_gaps_for(&self, bytes: usize) -> usize {
        self.close_gaps(|map, gone| map.longest(gone) >= bytes as u64)
    }

    /// The same until little is divided.
    pub(crate) fn close_large_gaps(&self) -> usize {
        self.close_gaps(|map, gone| map.divided(gone) <= DIVIDED_MOST)
    }

    fn close_gaps(&self, enough: impl Fn(&Map, &[u64]) -> bool) -> usize {
        let Ok(_one) = self.walls.closing.try_lock() else {
            return 0;
        };
        let (mut sunk, mut stuck) = (0, Vec::new());
        while let Some(map) = self.map() {
            let mut may_go = self.records();
            may_go.retain(|record| !self.is_pinned(record));
            let ids =
                |records: &[Arc<Record>]| -> Vec<_> { records.iter().map(|it| it.id).collect() };
            if enough(&map, &ids(&may_go)) {
                break;
            }
            may_go.retain(|record| record.in_flight() == 0);
            let idle = ids(&may_go);
            let Some(sink) = map.sink(&idle, &stuck) else {
                break;
            };
            match self.sink(&sink) {
                true => sunk += 1,
                false => stuck.push(sink.from),
            }
        }
        sunk
    }

    fn sink(&self, sink: &Sink) -> bool {
        let known = lock(&self.walls.known).clone();
        let fixed = known.iter().filter_map(Weak::upgrade);
        let pinned = self.pinned().into_iter();
        let pinned = pinned.map(|own| own as Arc<dyn Fixed>);
        for fixed in fixed.chain(pinned) {
            match fixed.sink(self, sink) {
                Ok(true) => {
                    events::sunk(fixed.kind());
                    return true;
                }
                Ok(false) => {}
                Err(error) => {
                    events::not_sunk(fixed.kind(), &error);
                    return false;
                }
            }
        }
        false
    }

    /// Sends away or aside whoever lies where this one should lie, if all of
    /// them may go now and there is so much room.
    pub(crate) fn clear(&self, sink: &Sink, bytes: usize) -> Option<Cleared<'_>> {
        let tensors = self.placement().tensors()?;
        let (start, end) = (sink.to as usize, sink.to as usize + bytes);
        if bytes as u64 > sink.room {
            return None;
        }
        let one = lock(&self.loading);
        let in_the_way = |lot: &Lot| {
            lot.offset as u64 != sink.from && lot.offset < end && lot.offset + lot.bytes > start
        };
        let lots = tensors.slab().tenants().into_iter().filter(in_the_way);
        let records = self.records();
        let mut going = Vec::new();
        for lot in lots {
            let record = records
                .iter()
                .find(|it| lot.tenant.voice() == Some(it.id))?;
            if record.in_flight() > 0 || self.is_pinned(record) {
                return None;
            }
            going.push(record);
        }
        let outside = |block: &Block| {
            let at = block.offset();
            at >= end || at + block.bytes() <= start
        };
        let gone = going.iter().all(|record| self.aside(record, outside));
        gone.then_some(Cleared(one))
    }

    fn is_pinned(&self, record: &Record) -> bool {
        self.rules.load().policy.is_pinned(&record.name)
    }

    /// Sessions of voices that no policy sends away.
    fn pinned(&self) -> Vec<Arc<Own>> {
        let records = self.records().into_iter();
        let pinned = records.filter(|record| self.is_pinned(record));
        pinned.filter_map(|record| record.own()).collect()
    }
}

/// What may stay divided when nobody asks for it: opening sessions anew has its
/// price as well.
const DIVIDED_MOST: f64 = 1.0 / 16.0;
