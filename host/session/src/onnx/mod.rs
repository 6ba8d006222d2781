//! ONNX files as we need to see them: a graph and its weights, apart.
//!
//! Field numbers are those of `onnx.proto` (ONNX 1.x, IR 3 to 13).

mod dice;
mod examine;
mod graph;
mod pointwise;
mod template;
mod widen;
pub(crate) mod wire;

pub(crate) use dice::{NOISE, NOISE_LENGTH};
pub(crate) use pointwise::{Shapes, as_products};
pub(crate) use template::{CONDITION, Inside, LATENT, Piece, embed, split};
pub use template::{Element, Part, Template, Weight};

/// Whether a tensor of this element type may be a weight.
pub(crate) fn is_weight(data_type: u64) -> bool {
    Element::of(data_type).is_some()
}

/// Whether all of a model's tensors lie in its own file.
pub(crate) fn is_in_one_file(model: &[u8]) -> Result<bool, String> {
    let model = graph::Model::parse(model)?;
    let outside = |tensor: &graph::Tensor<'_>| matches!(tensor.data, graph::Data::External { .. });
    Ok(!model.graph.tensors.iter().any(outside))
}
