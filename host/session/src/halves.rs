//! Weights that wait in half precision: half the bytes of a voice, widened on
//! the way into a slot.
//!
//! What a file has in halves comes back to the bit. Of what it has in floats
//! the long ones lose the last 13 of 24 bits; where it has both, whoever wrote
//! it knew which need them all. A weight that no half can hold keeps the voice
//! as it is.

use crate::error::Error;
use crate::native::tensors::Block;
use crate::onnx::{Element, Template};
use memory::slab::round_up;

/// Shorter ones are most of the tensors and hardly any of the bytes.
const LONG: usize = 16 << 10;

/// Where the weights of a template lie in a copy of halves.
pub(crate) struct Halves {
    pub(crate) bytes: usize,
    pub(crate) places: Vec<Place>,
}

/// Of one weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// In the copy.
    pub(crate) from: usize,
    /// In a slot.
    pub(crate) to: usize,
    /// In a slot.
    pub(crate) bytes: usize,
    /// Floats there and halves in the copy; else the same in both.
    pub(crate) half: bool,
}

/// A copy of a voice's weights.
pub(crate) struct Copied {
    pub(crate) block: Block,
    pub(crate) half: bool,
}

/// A weight is beyond what a half can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Beyond;

impl Halves {
    /// `stored` is how the voice's file has each of them.
    pub(crate) fn of(template: &Template, stored: &[Element]) -> Self {
        let mixed = stored.contains(&Element::Float16);
        let mut bytes = 0;
        let place = |(weight, stored): (&crate::onnx::Weight, &Element)| {
            let half = weight.element == Element::Float
                && match stored {
                    Element::Float16 => true,
                    Element::Float => !mixed && weight.bytes >= LONG,
                    _ => false,
                };
            let from = bytes;
            let held = if half { weight.bytes / 2 } else { weight.bytes };
            // Rows of halves are read as such.
            bytes += held.next_multiple_of(16);
            Place {
                from,
                to: weight.offset,
                bytes: weight.bytes,
                half,
            }
        };
        let weights = template.weights.iter().zip(stored);
        let places = weights.map(place).collect();
        Self {
            bytes: round_up(bytes.max(1)),
            places,
        }
    }
}

impl Copied {
    /// Into a slot, widened where that is wanted.
    pub(crate) fn fill(&self, halves: &Halves, slot: &mut Block) -> Result<(), Error> {
        match self.half {
            true => slot.widen_from(&self.block, &halves.places),
            false => slot.take_over(&self.block),
        }
    }
}

/// Floats as halves, each rounded to the nearest.
pub(crate) fn narrow(floats: &[u8], halves: &mut Vec<u8>) -> Result<(), Beyond> {
    halves.clear();
    halves.reserve(floats.len() / 2);
    for bytes in floats.as_chunks::<4>().0 {
        let float = f32::from_le_bytes(*bytes);
        let half = half::f16::from_f32(float);
        if half.is_infinite() && float.is_finite() {
            return Err(Beyond);
        }
        halves.extend_from_slice(&half.to_le_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_half_can_hold_is_no_half() {
        let bytes = |values: &[f32]| values.iter().flat_map(|it| it.to_le_bytes()).collect();
        let mut halves = Vec::new();
        let floats: Vec<u8> = bytes(&[0.5, -1.25, 65_504.0, 1e-9]);
        assert_eq!(narrow(&floats, &mut halves), Ok(()));
        let back: Vec<f32> = halves
            .as_chunks::<2>()
            .0
            .iter()
            .map(|bits| half::f16::from_le_bytes(*bits).to_f32())
            .collect();
        assert_eq!(back, [0.5, -1.25, 65_504.0, 0.0]);
        let floats: Vec<u8> = bytes(&[0.5, 70_000.0]);
        assert_eq!(narrow(&floats, &mut halves), Err(Beyond));
    }
}
