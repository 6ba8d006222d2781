//! Noise as an input. A graph throws its own dice, and nobody can make it
//! throw the same again; here each die becomes a stretch of one input, which
//! the host fills as it likes.
//!
//! The input is one long row of independent standard normal numbers. A die
//! that fills a tensor of N elements takes N of them, from a place of its own
//! on, and begins again at the start where the row ends. Its length is a prime
//! number, so that rows of a tensor do not line up with their repetition.

use super::graph::{Names, Node, plain, told};
use vits::message::Message;

/// Name of the input: f32, [`NOISE_LENGTH`] elements.
pub(crate) const NOISE: &str = "noise";

/// Numbers of the row of noise: a prime; a megabyte.
pub const NOISE_LENGTH: usize = 262_139;

/// From die to die.
const STEP: usize = 104_729;

/// Where the row of noise begins for the graph's die of this number, from 0.
pub fn place_of_die(number: usize) -> usize {
    number * STEP % NOISE_LENGTH
}

/// The places of the dice among `nodes`, if all of them can be replaced.
pub(super) fn find(nodes: &[&Node<'_>]) -> Option<Vec<usize>> {
    let mut dice = Vec::new();
    for (place, node) in nodes.iter().enumerate() {
        match node.operator {
            "RandomNormalLike" if is_plain(node)? => dice.push(place),
            // Of other distributions the row knows nothing.
            "RandomNormalLike" | "RandomNormal" | "RandomUniform" | "RandomUniformLike"
            | "Multinomial" | "Bernoulli" => return None,
            _ => {}
        }
    }
    (!dice.is_empty()).then_some(dice)
}

/// Standard normal floats, as the exporters write them.
fn is_plain(node: &Node<'_>) -> Option<bool> {
    const FLOAT: u64 = 1;
    let mut plain = node.inputs.len() == 1 && node.outputs.len() == 1;
    let mut typed = false;
    for attribute in node.attributes() {
        let attribute = attribute.ok()?;
        match attribute.name {
            b"mean" => plain &= attribute.float == 0.0,
            b"scale" => plain &= attribute.float == 1.0,
            b"dtype" => {
                typed = true;
                plain &= attribute.numbers == [FLOAT];
            }
            // The host's row takes the place of any seed.
            _ => {}
        }
    }
    Some(plain && typed)
}

/// The nodes that stand for the `number`th die.
pub(super) fn replace<'a>(node: &Node<'a>, names: &Names<'a>, number: usize) -> Vec<Message> {
    let own = |what: &str| format!("noise{number}_{what}");
    let like = node.inputs.first().copied().unwrap_or_default();
    let made = node.outputs.first().copied().unwrap_or_default();
    let from = place_of_die(number);
    let [shape, count, start, end, step, length] =
        ["shape", "count", "start", "end", "step", "length"].map(own);
    let [steps, places, row] = ["steps", "places", "row"].map(own);
    vec![
        plain("Shape", &[names.get(like)], &shape),
        whole("ReduceProd", &[&shape], &count, "keepdims", 0),
        whole("Constant", &[], &start, "value_int", from),
        whole("Constant", &[], &step, "value_int", 1),
        whole("Constant", &[], &length, "value_int", NOISE_LENGTH),
        plain("Add", &[&count, &start], &end),
        plain("Range", &[&start, &end, &step], &steps),
        plain("Mod", &[&steps, &length], &places),
        plain("Gather", &[NOISE, &places], &row),
        plain("Reshape", &[&row, &shape], names.get(made)),
    ]
}

/// With one attribute that is a whole number.
fn whole(operator: &str, inputs: &[&str], output: &str, name: &str, value: usize) -> Message {
    let value = vits::Attribute::Int(value as i64);
    told(operator, inputs, output, &[(name, value)])
}

/// The input as a graph declares it.
pub(super) fn port() -> Message {
    super::graph::float_row(NOISE, NOISE_LENGTH)
}
