//! How far to each side a decoder listens, value by value.
//!
//! A window is decoded with surroundings, of which every stage of the decoder
//! needs less than the one before it: nearly all of them are for the first,
//! where a position lasts longest. What a later stage has no use for need not be
//! computed there.

use std::collections::HashMap;

use super::error::Malformed;
use super::graph::Graph;
use super::writer::{CONDITION, LATENT};

/// What of its surroundings a value needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// Positions for each frame of the latent.
    rate: usize,
    /// Positions to each side of those that are kept.
    positions: usize,
}

impl Reach {
    /// Whole frames that hold them.
    pub(super) fn frames(self) -> usize {
        self.positions.div_ceil(self.rate)
    }

    pub(super) fn rate(self) -> usize {
        self.rate
    }
}

/// No voice has so many samples for each frame.
const RATE_MAX: usize = 1 << 20;

/// One node that has a time, and how it moves along it.
enum Step {
    /// Each number for itself.
    Same,
    /// Of a convolution that keeps the length.
    Wider(usize),
    /// Of a transposed convolution that makes it `rate` times as long.
    Longer { rate: usize, reach: usize },
}

/// The reach of every value that comes of the latent; none if some node is not
/// known or does not keep to whole frames.
pub(super) fn find<'a>(
    graph: &Graph<'a>,
    output: &str,
) -> Result<Option<HashMap<&'a str, Reach>>, Malformed> {
    let dims: HashMap<_, _> = graph
        .tensors
        .iter()
        .map(|tensor| (tensor.name, tensor.dims.as_slice()))
        .collect();
    let mut rates = HashMap::from([(LATENT, 1_usize)]);
    let mut steps = Vec::new();
    for node in &graph.nodes {
        let timed: Vec<_> = node
            .inputs
            .iter()
            .copied()
            .filter(|it| rates.contains_key(it))
            .collect();
        let Some(first) = timed.first().copied() else {
            // What comes of the condition and of constants has no time, as long
            // as it is one column.
            if node.inputs.contains(&CONDITION) && node.operator != "Conv" {
                return Ok(None);
            }
            continue;
        };
        let step = match node.operator {
            _ if !node.is_standard() || node.outputs.len() != 1 => None,
            "LeakyRelu" | "Relu" | "Tanh" | "Add" | "Mul" | "Div" => Some(Step::Same),
            "Conv" if first == node.inputs[0] => step(node, &dims, false)?,
            "ConvTranspose" if first == node.inputs[0] => step(node, &dims, true)?,
            _ => None,
        };
        let one_rate = timed.iter().all(|it| rates[it] == rates[first]);
        let Some(step) = step.filter(|_| one_rate) else {
            return Ok(None);
        };
        let rate = match step {
            Step::Longer { rate, .. } => rates[first].saturating_mul(rate),
            Step::Same | Step::Wider(_) => rates[first],
        };
        if rate > RATE_MAX {
            return Ok(None);
        }
        rates.insert(node.outputs[0], rate);
        steps.push((timed, node.outputs[0], step));
    }
    let Some(rate) = rates.get(output) else {
        return Ok(None);
    };
    let Some((output, _)) = rates.get_key_value(output) else {
        return Ok(None);
    };
    let mut reaches = HashMap::from([(
        *output,
        Reach {
            rate: *rate,
            positions: 0,
        },
    )]);
    for (inputs, output, step) in steps.iter().rev() {
        // What nobody uses reaches nowhere.
        let Some(reach) = reaches.get(output).copied() else {
            continue;
        };
        let positions = match step {
            Step::Same => reach.positions,
            Step::Wider(wider) => reach.positions.saturating_add(*wider),
            Step::Longer { rate, reach: own } => {
                reach.positions.saturating_add(*own).div_ceil(*rate)
            }
        };
        for input in inputs {
            let rate = rates[input];
            let known = reaches.entry(input).or_insert(Reach { rate, positions });
            known.positions = known.positions.max(positions);
        }
    }
    Ok(Some(reaches))
}

fn step(
    node: &super::graph::Node<'_>,
    dims: &HashMap<&str, &[i64]>,
    transposed: bool,
) -> Result<Option<Step>, Malformed> {
    let Some(told) = super::blocked::Attributes::of(node)? else {
        return Ok(None);
    };
    let weight = node.inputs.get(1).and_then(|name| dims.get(name));
    let Some(&[_, _, kernel]) = weight.copied() else {
        return Ok(None);
    };
    let [Ok(kernel), Ok(from), Ok(to)] = [kernel, told.pads[0], told.pads[1]].map(usize::try_from)
    else {
        return Ok(None);
    };
    let span = told.dilation.saturating_mul(kernel.saturating_sub(1));
    if transposed {
        // Length times rate, and nothing else.
        let rate = told.stride;
        let keeps = rate > 0 && kernel == rate + from + to && told.dilation == 1;
        let reach = from.max(kernel.saturating_sub(1).saturating_sub(from));
        return Ok(keeps.then_some(Step::Longer { rate, reach }));
    }
    let keeps = told.stride == 1 && from + to == span;
    Ok(keeps.then(|| Step::Wider(from.max(to))))
}
