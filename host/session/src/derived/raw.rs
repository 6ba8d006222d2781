//! The numbers of a tensor as a file has them, or a sum of several files': what
//! a voice that is merged of others is made of.

use std::io::{Error, Result};
use std::sync::{Arc, OnceLock};

use crate::files::Held;
use crate::package::{Stored, Tensor};

/// `Σ coefficient · tensor`, element by element.
#[derive(Debug)]
pub(crate) struct Raw {
    terms: Vec<Term>,
    /// Two terms on a great circle: their coefficients follow from the angle
    /// between them, which the first reader finds.
    circle: Option<Circle>,
}

#[derive(Clone, Debug)]
pub(crate) struct Term {
    pub(crate) held: Arc<Held>,
    pub(crate) tensor: Tensor,
    pub(crate) coefficient: f32,
}

#[derive(Debug)]
struct Circle {
    /// How far from the first to the second.
    share: f64,
    coefficients: OnceLock<[f32; 2]>,
}

/// Vectors that are as alike as this are mixed on the straight line.
const ALIKE: f64 = 0.998;
/// Numbers read at once.
const PIECE: usize = 64 << 10;

impl Raw {
    /// One tensor as it is.
    pub(crate) fn one(held: Arc<Held>, tensor: Tensor) -> Self {
        Self::sum(vec![Term {
            held,
            tensor,
            coefficient: 1.0,
        }])
    }

    /// Tensors of one shape, at least one.
    pub(crate) fn sum(terms: Vec<Term>) -> Self {
        Self {
            terms,
            circle: None,
        }
    }

    /// Spherical interpolation of two flat vectors (Shoemake, 1985).
    pub(crate) fn circle(terms: [Term; 2], share: f32) -> Self {
        Self {
            terms: terms.into(),
            circle: Some(Circle {
                share: share.into(),
                coefficients: OnceLock::new(),
            }),
        }
    }

    /// Of all of them.
    pub(crate) fn shape(&self) -> &[usize] {
        self.terms.first().map_or(&[], |term| &term.tensor.shape)
    }

    /// Numbers of one row of the first axis.
    pub(crate) fn row(&self) -> usize {
        self.shape().iter().skip(1).product::<usize>().max(1)
    }

    pub(crate) fn count(&self) -> usize {
        self.shape().iter().product()
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &Arc<Held>> {
        self.terms.iter().map(|term| &term.held)
    }

    /// Floats from the `first` on, as many as there is room for.
    pub(crate) fn read(&self, first: usize, into: &mut [u8]) -> Result<()> {
        let coefficients = self.coefficients()?;
        let [term] = &self.terms[..] else {
            return self.add_up(&coefficients, first, into);
        };
        values(term, first, into)?;
        if term.coefficient != 1.0 {
            for value in into.as_chunks_mut::<4>().0 {
                *value = (f32::from_le_bytes(*value) * term.coefficient).to_le_bytes();
            }
        }
        Ok(())
    }

    /// All of it.
    pub(crate) fn all(&self) -> Result<Vec<f32>> {
        let mut bytes = vec![0; 4 * self.count()];
        self.read(0, &mut bytes)?;
        let values = bytes.as_chunks::<4>().0.iter();
        Ok(values.map(|it| f32::from_le_bytes(*it)).collect())
    }

    fn add_up(&self, coefficients: &[f32], first: usize, into: &mut [u8]) -> Result<()> {
        let mut sum = vec![0.0_f32; into.len() / 4];
        for (term, coefficient) in self.terms.iter().zip(coefficients) {
            values(term, first, into)?;
            for (sum, value) in sum.iter_mut().zip(into.as_chunks::<4>().0) {
                *sum += coefficient * f32::from_le_bytes(*value);
            }
        }
        for (place, sum) in into.as_chunks_mut::<4>().0.iter_mut().zip(sum) {
            *place = sum.to_le_bytes();
        }
        Ok(())
    }

    fn coefficients(&self) -> Result<Vec<f32>> {
        let (Some(circle), [a, b]) = (&self.circle, &self.terms[..]) else {
            return Ok(self.terms.iter().map(|term| term.coefficient).collect());
        };
        if let Some(known) = circle.coefficients.get() {
            return Ok(known.to_vec());
        }
        let (mut product, mut squares) = (0.0, [0.0, 0.0]);
        let mut pieces = [vec![0; 4 * PIECE], vec![0; 4 * PIECE]];
        for from in (0..self.count()).step_by(PIECE) {
            let bytes = 4 * PIECE.min(self.count() - from);
            for (piece, term) in pieces.iter_mut().zip([a, b]) {
                values(term, from, &mut piece[..bytes])?;
            }
            let [first, second] = &pieces;
            let pairs = first[..bytes].as_chunks::<4>().0.iter();
            for (a, b) in pairs.zip(second[..bytes].as_chunks::<4>().0) {
                let [a, b] = [a, b].map(|it| f64::from(f32::from_le_bytes(*it)));
                product += a * b;
                squares[0] += a * a;
                squares[1] += b * b;
            }
        }
        let known = on_circle(product, squares, circle.share);
        Ok(circle.coefficients.get_or_init(|| known).to_vec())
    }
}

/// Of two vectors with this dot product and these squared lengths.
pub(crate) fn on_circle(product: f64, squares: [f64; 2], share: f64) -> [f32; 2] {
    let cosine = product / (squares[0] * squares[1]).sqrt();
    // A vector of zeros has no direction.
    if !cosine.is_finite() || cosine.abs() > ALIKE {
        return [(1.0 - share) as f32, share as f32];
    }
    let angle = cosine.acos();
    let of = |share: f64| ((angle * share).sin() / angle.sin()) as f32;
    [of(1.0 - share), of(share)]
}

/// Numbers of a tensor as floats, from the `first` on.
fn values(term: &Term, first: usize, into: &mut [u8]) -> Result<()> {
    let Term { held, tensor, .. } = term;
    let size = tensor.element.bytes();
    if (first * size + into.len() / 4 * size) as u64 > tensor.bytes {
        return Err(Error::other("a tensor is not as long as its shape says"));
    }
    let offset = tensor.offset + (first * size) as u64;
    if tensor.element == Stored::Float {
        return held.read_at(offset, into);
    }
    let mut narrow = vec![0; into.len() / 4 * size];
    held.read_at(offset, &mut narrow)?;
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
