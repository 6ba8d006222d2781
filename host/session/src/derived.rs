//! Weights that lie in no file as a graph wants them: they are made while they
//! are read, a piece at a time, from the tensors of a file.

mod positions;

use std::io::{Error, Result};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

pub(crate) use positions::Positions;

use crate::files::Held;
use crate::package::{Stored, Tensor};

/// A file that is not there: the parts one after the other, as floats.
#[derive(Debug)]
pub(crate) struct Derived {
    held: Arc<Held>,
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
        direction: Tensor,
        length: Tensor,
        factors: OnceLock<Vec<f32>>,
    },
    /// Rows of a table, and zeros behind them.
    Rows(Tensor),
    /// A table of a BERT, made as a whole.
    Positions(Box<Positions>),
}

/// Numbers read at once while a norm is taken.
const PIECE: usize = 64 << 10;

impl Derived {
    pub(crate) fn new(held: Arc<Held>) -> Self {
        Self {
            held,
            parts: Vec::new(),
            bytes: 0,
            made: Mutex::default(),
        }
    }

    /// `direction · length / |direction|`, the norm over each row of the first
    /// axis. Says where it begins.
    pub(crate) fn norm(&mut self, direction: Tensor, length: Tensor) -> usize {
        let values = direction.bytes as usize / direction.element.bytes();
        self.push(
            4 * values,
            Origin::Norm {
                direction,
                length,
                factors: OnceLock::new(),
            },
        )
    }

    /// A table with zeros behind it, `bytes` in all.
    pub(crate) fn rows(&mut self, table: Tensor, bytes: usize) -> usize {
        self.push(bytes, Origin::Rows(table))
    }

    /// What relative positions are to one layer of a BERT.
    pub(crate) fn positions(&mut self, positions: Positions) -> usize {
        self.push(positions.bytes(), Origin::Positions(Box::new(positions)))
    }

    fn push(&mut self, bytes: usize, origin: Origin) -> usize {
        let start = self.bytes;
        self.parts.push(Part {
            start,
            bytes,
            origin,
        });
        self.bytes += bytes;
        start
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
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
                self.values(direction, first, into)?;
                let factors = match factors.get() {
                    Some(factors) => factors,
                    None => {
                        let made = self.factors(direction, length)?;
                        factors.get_or_init(|| made)
                    }
                };
                let row = row_length(direction);
                for (place, value) in into.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                    let factor = factors.get((first + place) / row).copied();
                    let scaled = f32::from_le_bytes(*value) * factor.unwrap_or(0.0);
                    *value = scaled.to_le_bytes();
                }
                Ok(())
            }
            Origin::Rows(table) => {
                let there = table.bytes as usize / table.element.bytes();
                let own = there.saturating_sub(first).min(into.len() / 4);
                let (own, rest) = into.split_at_mut(4 * own);
                rest.fill(0);
                match own.is_empty() {
                    true => Ok(()),
                    false => self.values(table, first, own),
                }
            }
            Origin::Positions(positions) => {
                let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
                let start = part.start;
                let whole = match &*made {
                    Some((of, whole)) if *of == start => whole,
                    _ => {
                        let whole = positions.make(|tensor| self.all(tensor))?;
                        &made.insert((start, whole)).1
                    }
                };
                let from = offset - start;
                into.copy_from_slice(&whole[from..from + into.len()]);
                // Nothing comes behind it, and it would stay until the next.
                if from + into.len() == whole.len() {
                    *made = None;
                }
                Ok(())
            }
        }
    }

    /// A whole tensor as floats.
    fn all(&self, tensor: &Tensor) -> Result<Vec<f32>> {
        let count = tensor.bytes as usize / tensor.element.bytes();
        let mut bytes = vec![0; 4 * count];
        self.values(tensor, 0, &mut bytes)?;
        let values = bytes.as_chunks::<4>().0.iter();
        Ok(values.map(|it| f32::from_le_bytes(*it)).collect())
    }

    /// Of each row: its length by the norm of its direction. Sums are taken in
    /// double precision.
    fn factors(&self, direction: &Tensor, length: &Tensor) -> Result<Vec<f32>> {
        let row = row_length(direction);
        let rows = length.bytes as usize / length.element.bytes();
        let mut lengths = vec![0; 4 * rows];
        self.values(length, 0, &mut lengths)?;
        let mut factors = Vec::with_capacity(rows);
        let mut piece = vec![0; 4 * PIECE.min(row)];
        for (number, length) in lengths.as_chunks::<4>().0.iter().enumerate() {
            let mut sum = 0.0_f64;
            for from in (0..row).step_by(PIECE) {
                let count = PIECE.min(row - from);
                let piece = &mut piece[..4 * count];
                self.values(direction, number * row + from, piece)?;
                for value in piece.as_chunks::<4>().0 {
                    sum += f64::from(f32::from_le_bytes(*value)).powi(2);
                }
            }
            let length = f64::from(f32::from_le_bytes(*length));
            factors.push((length / sum.sqrt()) as f32);
        }
        Ok(factors)
    }

    /// Numbers of a tensor as floats, from the `first` on.
    fn values(&self, tensor: &Tensor, first: usize, into: &mut [u8]) -> Result<()> {
        let size = tensor.element.bytes();
        let offset = tensor.offset + (first * size) as u64;
        if tensor.element == Stored::Float {
            return self.held.read_at(offset, into);
        }
        let mut narrow = vec![0; into.len() / 4 * size];
        self.held.read_at(offset, &mut narrow)?;
        let wide = into.as_chunks_mut::<4>().0.iter_mut();
        for (wide, narrow) in wide.zip(narrow.as_chunks::<2>().0) {
            let value = match tensor.element {
                Stored::BFloat => half::bf16::from_le_bytes(*narrow).to_f32(),
                _ => half::f16::from_le_bytes(*narrow).to_f32(),
            };
            *wide = value.to_le_bytes();
        }
        Ok(())
    }
}

/// Numbers of one row of the first axis.
fn row_length(tensor: &Tensor) -> usize {
    tensor.shape.iter().skip(1).product::<usize>().max(1)
}
