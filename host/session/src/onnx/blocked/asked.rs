//! What is asked of the graph before a node is written.

use super::told::Attributes;
use super::{CONDITION, Filter, Rewriting, WEIGHT_MAX};
use crate::onnx::error::Malformed;
use crate::onnx::graph::{Node, Tensor};
use vits::field;

impl<'a> Rewriting<'_, 'a> {
    /// The sizes of a convolution that can be in blocks, where its weight is
    /// a voice's and serves nothing else. `axes` are those of the weight's
    /// outputs and inputs.
    pub(super) fn filter(
        &self,
        node: &Node<'a>,
        axes: [usize; 2],
    ) -> Result<Option<(Filter, Attributes)>, Malformed> {
        let (Some(input), Some(weight)) = (node.inputs.first(), node.inputs.get(1)) else {
            return Ok(None);
        };
        let own = self.weights.contains(weight)
            && self.uses.get(weight).is_some_and(|uses| uses.len() == 1)
            && !self.tensors.contains_key(input);
        let Some(tensor) = self.tensors.get(weight).filter(|_| own) else {
            return Ok(None);
        };
        let dims: Vec<usize> = tensor.dims.iter().map(|dim| *dim as usize).collect();
        let (Some(attributes), &[_, _, kernel]) = (Attributes::of(node)?, &dims[..]) else {
            return Ok(None);
        };
        let filter = Filter {
            outputs: dims[axes[0]],
            inputs: dims[axes[1]],
            kernel,
            block: self.block,
        };
        let whole = |channels: usize| channels > 0 && channels.is_multiple_of(self.block);
        let small = dims.iter().product::<usize>() <= WEIGHT_MAX / 4;
        let biased = match node.inputs.get(2) {
            Some(bias) => {
                let dims = self.tensors.get(bias).map(|it| it.dims.as_slice());
                dims == Some(&[filter.outputs as i64])
            }
            None => true,
        };
        let fits = kernel > 0
            && tensor.data_type == field::element::FLOAT
            && whole(filter.outputs)
            && whole(filter.inputs)
            && small
            && biased
            && attributes.kernel.is_none_or(|it| it == kernel);
        Ok(fits.then_some((filter, attributes)))
    }

    /// The one node that uses a value, if it is of this kind, and what else
    /// that uses.
    pub(super) fn only_use(&self, value: &str, operator: &str) -> Option<(usize, &'a str)> {
        let [place] = self.uses.get(value)?[..] else {
            return None;
        };
        let handed_out = self.graph.outputs.iter().any(|port| port.name == value);
        let node = &self.graph.nodes[place];
        let fits = node.operator == operator && node.is_standard() && node.outputs.len() == 1;
        if handed_out || !fits {
            return None;
        }
        let other = node.inputs.iter().find(|name| **name != value);
        Some((place, other.copied().unwrap_or_default()))
    }

    /// Whether a value has one number for each channel: what a convolution of
    /// kernel 1 makes of the condition.
    pub(super) fn is_column(&self, value: &str) -> Result<bool, Malformed> {
        let Some(node) = self.makers.get(value).map(|it| &self.graph.nodes[*it]) else {
            return Ok(false);
        };
        if node.operator != "Conv" || !node.is_standard() || node.inputs[0] != CONDITION {
            return Ok(false);
        }
        let attributes = Attributes::of(node)?;
        let weight = node.inputs.get(1).and_then(|name| self.tensors.get(name));
        let pointwise = weight.is_some_and(|it| matches!(it.dims[..], [_, _, 1]));
        Ok(pointwise && attributes.is_some_and(|it| it.pads == [0, 0]))
    }

    /// Whether a value is one number that the graph itself has.
    pub(super) fn is_number(&self, value: &str) -> Result<bool, Malformed> {
        if let Some(tensor) = self.tensors.get(value) {
            return Ok(matches!(tensor.dims[..], [] | [1]));
        }
        let Some(node) = self.makers.get(value).map(|it| &self.graph.nodes[*it]) else {
            return Ok(false);
        };
        if node.operator != "Constant" || !node.is_standard() {
            return Ok(false);
        }
        for attribute in node.attributes() {
            let attribute = attribute?;
            match attribute.name {
                b"value_float" => return Ok(true),
                b"value" => {
                    let dims = Tensor::parse(attribute.tensor)?.dims;
                    return Ok(matches!(dims[..], [] | [1]));
                }
                _ => {}
            }
        }
        Ok(false)
    }
}
