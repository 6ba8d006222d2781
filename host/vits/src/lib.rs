//! ONNX graphs of Style-Bert-VITS2 voices and of the BERT they listen to, written
//! from the numbers of a model and the shapes of its tensors. Pure: numbers in, bytes out; no file is read
//! and no weight is seen.
//!
//! The formulas are those of the papers: VITS (arXiv 2106.06103), VITS2
//! (2307.16430), relative positions (Shaw et al., 1803.02155), neural spline
//! flows (1906.04032) and HiFi-GAN (2010.05646).
//!
//! - [`sizes`]: the numbers of a voice, from its configuration and from the
//!   shapes of its tensors.
//! - [`voice`]: the whole graph of a voice; `blocks`: what it is made of.
//! - [`deberta`]: numbers and graph of a BERT.
//! - `graph`: nodes, constants and weights being written.
//! - [`message`]: protocol buffers. - [`field`]: those of ONNX.

mod attention;
mod blocks;
pub mod deberta;
mod duration;
pub mod field;
mod graph;
pub mod message;
pub mod sizes;
mod spline;
pub mod voice;

pub use graph::{Attribute, External, Fold, Wanted, port};
