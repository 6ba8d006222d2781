//! ONNX files as we need to see them: a graph and its weights, apart.

mod blocked;
mod dice;
mod embed;
mod error;
mod examine;
mod graph;
mod optimized;
mod order;
mod pointwise;
mod quantized;
mod reach;
mod split;
mod template;
mod widen;
pub(crate) mod wire;
mod writer;

pub(crate) use blocked::CONTEXT;
pub(crate) use blocked::{TRIAL_CHANNELS, reorder_model, trial_models};
pub(crate) use dice::NOISE;
pub use dice::{NOISE_LENGTH, place_of_die};
pub(crate) use embed::{Filling, Inside};
pub use error::{Malformed, Outside, Uncut, WeightFault};
pub(crate) use optimized::without_weights;
pub use order::{Filter, Order};
pub(crate) use pointwise::{Shapes, as_products};
pub(crate) use quantized::Quantized;
pub(crate) use split::split;
pub(crate) use template::Piece;
pub use template::{Element, Part, Template, Weight};
pub(crate) use writer::{CONDITION, LATENT};

/// Whether a tensor of this element type may be a weight.
pub(crate) fn is_weight(data_type: u64) -> bool {
    Element::of(data_type).is_some()
}

/// Whether all of a model's tensors lie in its own file.
pub(crate) fn is_in_one_file(model: &[u8]) -> Result<bool, Malformed> {
    let model = graph::Model::parse(model)?;
    let outside = |tensor: &graph::Tensor<'_>| matches!(tensor.data, graph::Data::External { .. });
    Ok(!model.graph.tensors.iter().any(outside))
}
