//! One stretch of addresses and what is free in it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Which of the free stretches that are long enough is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// The shortest, the lowest of equals: for what comes and goes.
    Best,
    /// As low as can be.
    Lowest,
    /// As high as can be.
    Highest,
}

/// Free stretches by place and by size. What lies beyond the end, after a
/// limit has been lowered, is counted and comes back to nobody.
#[derive(Debug, Default)]
pub(super) struct Space {
    range: Range<usize>,
    by_offset: BTreeMap<usize, usize>,
    by_size: BTreeSet<(usize, usize)>,
    free: usize,
    in_use: usize,
    blocks: usize,
    high_water: usize,
}

impl Space {
    pub(super) fn new(range: Range<usize>) -> Self {
        let mut space = Self {
            range: range.clone(),
            ..Self::default()
        };
        space.insert(range.start, range.len());
        space
    }

    /// The same with another end and these blocks in it.
    pub(super) fn reshaped(
        &self,
        range: Range<usize>,
        blocks: impl Iterator<Item = (usize, usize)>,
    ) -> Self {
        let mut space = Self::new(range);
        for (offset, bytes) in blocks {
            space.occupy(offset, bytes);
        }
        space.high_water = self.high_water.max(space.in_use);
        space
    }

    pub(super) fn take(&mut self, bytes: usize, fit: Fit) -> Option<usize> {
        let long_enough = |(_, size): &(&usize, &usize)| **size >= bytes;
        let found = match fit {
            Fit::Best => {
                let found = self.by_size.range((bytes, 0)..).next();
                found.map(|(size, offset)| (*offset, *size))
            }
            Fit::Lowest => {
                let found = self.by_offset.iter().find(long_enough);
                found.map(|(offset, size)| (*offset, *size))
            }
            Fit::Highest => {
                let found = self.by_offset.iter().rev().find(long_enough);
                found.map(|(offset, size)| (*offset, *size))
            }
        };
        let (start, size) = found?;
        self.remove(start, size);
        let offset = match fit {
            Fit::Highest => {
                self.insert(start, size - bytes);
                start + size - bytes
            }
            Fit::Best | Fit::Lowest => {
                self.insert(start + bytes, size - bytes);
                start
            }
        };
        self.count(bytes);
        Some(offset)
    }

    /// Takes this very stretch, which nobody has; what lies beyond the end is
    /// counted alone.
    pub(super) fn occupy(&mut self, offset: usize, bytes: usize) {
        let end = (offset + bytes).min(self.range.end);
        let found = self.by_offset.range(..=offset).next_back();
        if let Some((start, size)) = found.map(|(start, size)| (*start, *size))
            && start + size > offset
        {
            self.remove(start, size);
            self.insert(start, offset - start);
            self.insert(end, (start + size).saturating_sub(end));
        }
        self.count(bytes);
    }

    /// Whether nobody has any of this stretch.
    pub(super) fn is_free(&self, offset: usize, bytes: usize) -> bool {
        let found = self.by_offset.range(..=offset).next_back();
        found.is_some_and(|(start, size)| start + size >= offset + bytes)
    }

    pub(super) fn give(&mut self, offset: usize, bytes: usize) {
        self.in_use -= bytes;
        self.blocks -= 1;
        let (mut start, mut end) = (offset, (offset + bytes).min(self.range.end));
        if start >= end {
            return;
        }
        if let Some(after) = self.by_offset.get(&end).copied() {
            self.remove(end, after);
            end += after;
        }
        let before = self.by_offset.range(..start).next_back();
        if let Some((place, length)) = before.map(|(place, length)| (*place, *length))
            && place + length == start
        {
            self.remove(place, length);
            start = place;
        }
        self.insert(start, end - start);
    }

    /// A block gets shorter by what is beyond `kept` bytes of it.
    pub(super) fn shorten(&mut self, offset: usize, bytes: usize, kept: usize) {
        if kept < bytes {
            // Given back as a block of its own.
            self.blocks += 1;
            self.give(offset + kept, bytes - kept);
        }
    }

    fn count(&mut self, bytes: usize) {
        self.in_use += bytes;
        self.blocks += 1;
        self.high_water = self.high_water.max(self.in_use);
    }

    fn insert(&mut self, offset: usize, bytes: usize) {
        if bytes > 0 {
            self.by_offset.insert(offset, bytes);
            self.by_size.insert((bytes, offset));
            self.free += bytes;
        }
    }

    fn remove(&mut self, offset: usize, bytes: usize) {
        self.by_offset.remove(&offset);
        self.by_size.remove(&(bytes, offset));
        self.free -= bytes;
    }

    pub(super) fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    pub(super) fn largest(&self) -> usize {
        self.by_size.last().map_or(0, |(size, _)| *size)
    }

    pub(super) fn free(&self) -> usize {
        self.free
    }

    pub(super) fn in_use(&self) -> usize {
        self.in_use
    }

    pub(super) fn blocks(&self) -> usize {
        self.blocks
    }

    pub(super) fn high_water(&self) -> usize {
        self.high_water
    }

    pub(super) fn entries(&self) -> usize {
        self.by_offset.len()
    }
}
