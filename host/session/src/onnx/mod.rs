//! ONNX files as we need to see them: a graph and its weights, apart.
//!
//! Field numbers are those of `onnx.proto` (ONNX 1.x, IR 3 to 13).

mod dice;
mod graph;
mod template;
pub(crate) mod wire;

pub(crate) use dice::{NOISE, NOISE_LENGTH};
pub(crate) use template::{CONDITION, LATENT, Piece, embed, split};
pub use template::{Element, Part, Template, Weight};
