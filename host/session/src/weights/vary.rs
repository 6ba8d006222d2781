//! Other voices of the same template: for the gate, and for soaks.

use std::sync::{Arc, Mutex, OnceLock};

use super::{Bytes, InOrder, Place, Weights};
use crate::error::Error;
use crate::onnx::{Element, Template};
use memory::synthetic::Random;

/// The files of a voice made out of another: the graph, and what lies beside it.
pub(crate) struct Varied {
    pub(crate) graph: Vec<u8>,
    pub(crate) beside: Vec<(String, Vec<u8>)>,
}

impl Weights {
    /// Another voice of the same template: every weight a few percent off. For
    /// the check whether a template may change its voice by copying.
    pub(crate) fn altered(&self, template: &Template) -> Result<Self, Error> {
        let mut blob = self.gather(template, InOrder::File)?;
        let mut places = Vec::with_capacity(template.weights.len());
        for weight in &template.weights {
            let bytes = &mut blob[weight.offset..weight.offset + weight.bytes];
            alter(weight.element, bytes);
            places.push(Place {
                file: 0,
                offset: weight.offset,
                bytes: weight.bytes,
                element: weight.element,
            });
        }
        Ok(Self {
            held: Vec::new(),
            files: Arc::new(vec![Bytes::Memory(Arc::from(blob))]),
            places: Arc::new(places),
            beside: Vec::new(),
            sum: OnceLock::new(),
            stuck: Mutex::default(),
        })
    }

    /// The files of another voice of the same template: the graph, and what
    /// lies beside it by name. Which values differ the seed decides.
    pub(crate) fn vary(&self, seed: u64) -> Result<Varied, Error> {
        let copies: Result<Vec<_>, Error> = self.files.iter().map(Bytes::whole).collect();
        let mut files = copies?;
        let mut random = Random(seed);
        for place in &*self.places {
            let bytes = &mut files[place.file][place.offset..place.offset + place.bytes];
            let (start, end) = (random.below(bytes.len()), bytes.len());
            // Whole values: the start is one's first byte.
            let start = start / WIDEST * WIDEST;
            alter(place.element, &mut bytes[start..end]);
        }
        let mut files = files.into_iter();
        let graph = files.next().unwrap_or_default();
        Ok(Varied {
            graph,
            beside: self.beside.iter().cloned().zip(files).collect(),
        })
    }
}

/// Bytes of the widest weight.
const WIDEST: usize = 4;

/// Flips the fifth bit of every mantissa: 3 % up or down, and never another
/// exponent, so that no value becomes huge or no number.
fn alter(element: Element, bytes: &mut [u8]) {
    let (width, byte, bit) = match element {
        Element::Float => (4, 2, 0x04),
        Element::Float16 => (2, 0, 0x20),
        Element::BFloat16 => (2, 0, 0x04),
        Element::Int8 | Element::Uint8 => (1, 0, 0x01),
    };
    for value in bytes.chunks_exact_mut(width) {
        value[byte] ^= bit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_altered_weight_is_near_and_different() {
        for value in [1.0_f32, -0.37, 1e-4, 300.0] {
            let mut bytes = value.to_le_bytes();
            alter(Element::Float, &mut bytes);
            let other = f32::from_le_bytes(bytes);
            let ratio = other / value;
            assert!(other != value && (0.95..1.05).contains(&ratio), "{ratio}");
        }
    }
}
