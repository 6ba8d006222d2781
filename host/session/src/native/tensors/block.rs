//! Pieces of the slab, given back when they are dropped.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::Tensors;
use crate::error::Error;
use crate::halves::Place as Widened;
use memory::slab::{Keep, NoRoom, Place, RegionId};

/// A block of the slab, given back when dropped.
pub struct Block {
    tensors: Arc<Tensors>,
    /// Where it lies. Read for as long as its bytes are used, so that they are
    /// not moved meanwhile.
    offset: RwLock<usize>,
    bytes: usize,
}

/// A stretch that a session allocates from; goes with it in one piece.
pub struct Region {
    tensors: Arc<Tensors>,
    id: RegionId,
}

impl Region {
    pub(super) fn new(tensors: &Arc<Tensors>, id: RegionId) -> Self {
        Self {
            tensors: Arc::clone(tensors),
            id,
        }
    }

    pub(crate) fn place(&self) -> Place {
        Place::Region(self.id)
    }

    /// Its length now, after whatever was given back.
    pub fn bytes(&self) -> usize {
        self.tensors.slab().region(self.id).0
    }

    /// How much of it was ever used.
    pub fn reached(&self) -> usize {
        self.tensors.slab().region(self.id).2
    }

    /// Gives back the end that is not used.
    pub(crate) fn fit(&self, keep: Keep) {
        self.tensors.slab().fit_region(self.id, keep);
    }

    /// Where it begins.
    pub(crate) fn at(&self) -> usize {
        self.tensors.slab().region_at(self.id).unwrap_or(usize::MAX)
    }

    /// Lies elsewhere from then on; false if something lies in it or there.
    pub(crate) fn move_to(&self, to: usize) -> bool {
        let _arranged = self.tensors.arrange();
        self.tensors.slab().move_region(self.id, to)
    }

    /// A block inside, which stays where it is.
    pub(crate) fn block(&self, bytes: usize) -> Result<Block, NoRoom> {
        let nobody = self.tensors.stray;
        let offset = self.tensors.slab().allocate(self.place(), nobody, bytes)?;
        Ok(Block::new(&self.tensors, offset, bytes))
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        self.tensors.slab().close_region(self.id);
    }
}

impl Block {
    pub(super) fn new(tensors: &Arc<Tensors>, offset: usize, bytes: usize) -> Self {
        Self {
            tensors: Arc::clone(tensors),
            offset: RwLock::new(offset),
            bytes,
        }
    }

    /// As many as were asked for, before rounding.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn shares_slab_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.tensors, &other.tensors)
    }

    pub(crate) fn is_of(&self, tensors: &Arc<Tensors>) -> bool {
        Arc::ptr_eq(&self.tensors, tensors)
    }

    /// Where it lies, for as long as the answer is held.
    fn place(&self) -> RwLockReadGuard<'_, usize> {
        self.offset.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it lies, to be another place from then on; waits for who reads it.
    pub(super) fn moving(&self) -> RwLockWriteGuard<'_, usize> {
        self.offset.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it lies now.
    pub(crate) fn offset(&self) -> usize {
        *self.place()
    }

    /// Of one that is never moved.
    pub(crate) fn pointer(&self, offset: usize) -> *mut u8 {
        assert!(offset <= self.bytes, "inside the block");
        self.tensors.reservation.pointer(self.offset() + offset)
    }

    /// Fills part of the block with host bytes.
    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        assert!(offset + bytes.len() <= self.bytes, "inside the block");
        let place = self.place();
        self.tensors.reservation.write(*place + offset, bytes)
    }

    /// Takes over another block's bytes: how a voice changes.
    pub(crate) fn copy_from(&mut self, other: &Self) -> Result<(), Error> {
        assert!(
            self.shares_slab_with(other) && other.bytes <= self.bytes,
            "blocks of one slab"
        );
        let (to, from) = (self.place(), other.place());
        self.tensors
            .reservation
            .copy_within(*from, *to, other.bytes)
    }

    /// Takes over the bytes of a block of another reservation, one of them on
    /// the host.
    pub(crate) fn copy_across(&mut self, other: &Self) -> Result<(), Error> {
        assert!(other.bytes <= self.bytes, "it fits");
        let (to, from) = (self.place(), other.place());
        let source = &other.tensors.reservation;
        self.tensors
            .reservation
            .copy_across(*to, source, *from, other.bytes)
    }

    /// Takes over another block's bytes, of whichever slab.
    pub(crate) fn take_over(&mut self, other: &Self) -> Result<(), Error> {
        match self.shares_slab_with(other) {
            true => self.copy_from(other),
            false => self.copy_across(other),
        }
    }

    /// Takes over another block's bytes, halves of them as floats. Both lie in
    /// the processor's memory.
    pub(crate) fn widen_from(&mut self, other: &Self, places: &[Widened]) -> Result<(), Error> {
        let (to, from) = (self.place(), other.place());
        let source = &other.tensors.reservation;
        for place in places {
            let held = if place.half {
                place.bytes / 2
            } else {
                place.bytes
            };
            assert!(
                place.to + place.bytes <= self.bytes && place.from + held <= other.bytes,
                "inside both blocks"
            );
            let (to, from) = (*to + place.to, *from + place.from);
            match place.half {
                true => self
                    .tensors
                    .reservation
                    .widen(to, source, from, place.bytes)?,
                false => self
                    .tensors
                    .reservation
                    .copy_across(to, source, from, held)?,
            }
        }
        Ok(())
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let offset = self.offset();
        self.tensors.slab().free(offset);
    }
}
