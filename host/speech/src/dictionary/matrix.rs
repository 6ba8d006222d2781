//! `matrix.bin`: what it costs for one word to follow another.

use super::{Blob, u16_at};

pub(super) struct Matrix {
    bytes: Blob,
    /// Right contexts of the word before.
    pub(super) before: usize,
    /// Left contexts of the word after.
    pub(super) after: usize,
}

const HEADER: usize = 4;

impl Matrix {
    pub(super) fn new(bytes: Blob) -> Result<Self, String> {
        let all = (*bytes).as_ref();
        let size = |at| u16_at(all, at).map(usize::from).ok_or("it is too short");
        let (before, after) = (size(0)?, size(2)?);
        let expected = HEADER + before * after * 2;
        if before == 0 || after == 0 || all.len() != expected {
            return Err(format!(
                "it has {} bytes, a table of {before} × {after} has {expected}",
                all.len()
            ));
        }
        Ok(Self {
            bytes,
            before,
            after,
        })
    }

    /// 0 for contexts that are not in the table, which no opened lexicon has.
    pub(super) fn cost(&self, right_of_before: u16, left_of_after: u16) -> i32 {
        let place = usize::from(right_of_before) + self.before * usize::from(left_of_after);
        let cost = u16_at((*self.bytes).as_ref(), HEADER + place * 2);
        // Stored as a signed 16-bit number.
        cost.map_or(0, |cost| i32::from(cost.cast_signed()))
    }
}
