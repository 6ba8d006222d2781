//! Weights that lie in no file as a graph wants them: they are made while they
//! are read, a piece at a time, from the tensors of one file or of several.

mod positions;
mod raw;

use std::io::{Error, Result};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

pub(crate) use positions::Positions;
pub(crate) use raw::{Raw, Term, on_circle};

use vits::External;

use crate::files::Held;
use crate::package::Stored;

/// By this name a graph of ours knows what is made for it.
pub(crate) const DERIVED: &str = "derived";

/// A file that is not there: the parts one after the other, as floats.
#[derive(Debug, Default)]
pub(crate) struct Derived {
    parts: Vec<Part>,
    bytes: usize,
    /// The part that was made last, since one is read in several pieces.
    made: Mutex<Option<(usize, Vec<u8>)>>,
}

#[derive(Debug)]
struct Part {
    start: usize,
    bytes: usize,
    origin: Origin,
}

/// How a part comes from tensors.
#[derive(Debug)]
enum Origin {
    /// Weight norm: rows of `direction`, each times a number of its own that
    /// follows from `length`.
    Norm {
        direction: Raw,
        length: Raw,
        factors: OnceLock<Vec<f32>>,
    },
    /// Rows of a table, and zeros behind them.
    Rows(Raw),
    /// A table of a BERT, made as a whole.
    Positions(Box<Positions>),
}

/// Numbers read at once while a norm is taken.
const PIECE: usize = 64 << 10;

impl Derived {
    /// `direction · length / |direction|`, the norm over each row of the first
    /// axis. Says where it lies, as all of these do.
    pub(crate) fn norm(&mut self, direction: Raw, length: Raw) -> External {
        self.push(
            4 * direction.count(),
            Origin::Norm {
                direction,
                length,
                factors: OnceLock::new(),
            },
        )
    }

    /// A table with zeros behind it, `bytes` in all.
    pub(crate) fn rows(&mut self, table: Raw, bytes: usize) -> External {
        self.push(bytes, Origin::Rows(table))
    }

    /// As it is.
    pub(crate) fn plain(&mut self, raw: Raw) -> External {
        let bytes = 4 * raw.count();
        self.rows(raw, bytes)
    }

    /// What relative positions are to one layer of a BERT.
    pub(crate) fn positions(&mut self, positions: Positions) -> External {
        self.push(positions.bytes(), Origin::Positions(Box::new(positions)))
    }

    fn push(&mut self, bytes: usize, origin: Origin) -> External {
        let start = self.bytes;
        self.parts.push(Part {
            start,
            bytes,
            origin,
        });
        self.bytes += bytes;
        External {
            location: DERIVED.to_owned(),
            offset: start as u64,
            bytes: bytes as u64,
            data_type: Stored::Float.data_type(),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All that it is made of, some of them several times.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Arc<Held>> {
        self.parts.iter().flat_map(|part| {
            let raws = match &part.origin {
                Origin::Norm {
                    direction, length, ..
                } => vec![direction, length],
                Origin::Rows(table) => vec![table],
                Origin::Positions(positions) => positions.raws().into(),
            };
            raws.into_iter().flat_map(Raw::files)
        })
    }

    /// Whole numbers of one part: that is how weights are read.
    pub(crate) fn read_at(&self, offset: usize, into: &mut [u8]) -> Result<()> {
        let after = self.parts.partition_point(|part| part.start <= offset);
        let part = after.checked_sub(1).and_then(|at| self.parts.get(at));
        let within = part.filter(|part| offset + into.len() <= part.start + part.bytes);
        let Some(part) = within else {
            return Err(Error::other("a weight lies beyond what it is made of"));
        };
        let first = (offset - part.start) / 4;
        match &part.origin {
            Origin::Norm {
                direction,
                length,
                factors,
            } => {
                direction.read(first, into)?;
                let factors = match factors.get() {
                    Some(factors) => factors,
                    None => {
                        let made = norm_factors(direction, length)?;
                        factors.get_or_init(|| made)
                    }
                };
                let row = direction.row();
                for (place, value) in into.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                    let factor = factors.get((first + place) / row).copied();
                    let scaled = f32::from_le_bytes(*value) * factor.unwrap_or(0.0);
                    *value = scaled.to_le_bytes();
                }
                Ok(())
            }
            Origin::Rows(table) => {
                let own = table.count().saturating_sub(first).min(into.len() / 4);
                let (own, rest) = into.split_at_mut(4 * own);
                rest.fill(0);
                match own.is_empty() {
                    true => Ok(()),
                    false => table.read(first, own),
                }
            }
            Origin::Positions(positions) => self.piece_of(part, positions, offset, into),
        }
    }

    fn piece_of(
        &self,
        part: &Part,
        positions: &Positions,
        offset: usize,
        into: &mut [u8],
    ) -> Result<()> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = match &*made {
            Some((of, whole)) if *of == part.start => whole,
            _ => &made.insert((part.start, positions.make()?)).1,
        };
        let from = offset - part.start;
        into.copy_from_slice(&whole[from..from + into.len()]);
        // Nothing comes behind it, and it would stay until the next.
        if from + into.len() == whole.len() {
            *made = None;
        }
        Ok(())
    }
}

/// Of each row: its length by the norm of its direction. Sums are taken in
/// double precision.
fn norm_factors(direction: &Raw, length: &Raw) -> Result<Vec<f32>> {
    let row = direction.row();
    let lengths = length.all()?;
    let mut factors = Vec::with_capacity(lengths.len());
    let mut piece = vec![0; 4 * PIECE.min(row)];
    for (number, length) in lengths.iter().enumerate() {
        let mut sum = 0.0_f64;
        for from in (0..row).step_by(PIECE) {
            let count = PIECE.min(row - from);
            let piece = &mut piece[..4 * count];
            direction.read(number * row + from, piece)?;
            for value in piece.as_chunks::<4>().0 {
                sum += f64::from(f32::from_le_bytes(*value)).powi(2);
            }
        }
        factors.push((f64::from(*length) / sum.sqrt()) as f32);
    }
    Ok(factors)
}
