//! Small models by which a machine says what blocks it has and whether they
//! pay.

use super::{DOMAIN, blocked, nchwc, operator_set};
use crate::onnx::error::Malformed;
use crate::onnx::graph::{constant, float_port, told, weight_port};
use vits::Attribute;
use vits::field;
use vits::message::Message;

/// A value of four channels, brought into blocks: its shape says how many a
/// block has here.
pub(crate) fn reorder_model() -> Vec<u8> {
    let mut graph = Message::default();
    let node = nchwc("ReorderInput", &["x"], "y", &[]);
    graph.bytes(field::graph::NAME, b"graph");
    graph.message(field::graph::NODE, node);
    let port = |name| vits::port(name, field::element::FLOAT, &[None; 4]);
    graph.message(field::graph::INPUT, port("x"));
    graph.message(field::graph::OUTPUT, port("y"));
    model_of(graph, &["", DOMAIN])
}

/// Channels of the convolution that is tried, and its kernel: those of a stock
/// voice's second stage.
pub(crate) const TRIAL_CHANNELS: usize = 128;
const KERNEL: usize = 7;

/// One convolution over weights that may change, in blocks and as it is.
pub(crate) fn trial_models(block: usize) -> Result<(Vec<u8>, Vec<u8>), Malformed> {
    let channels = TRIAL_CHANNELS;
    let dims = [channels as i64, channels as i64, KERNEL as i64];
    let mut graph = Message::default();
    let pad = KERNEL as i64 / 2;
    let pads = Attribute::Ints(&[pad, pad]);
    let node = told("Conv", &["x", "w"], "y", &[("pads", pads)]);
    graph.bytes(field::graph::NAME, b"graph");
    graph.message(field::graph::NODE, node);
    let values = (0..channels * channels * KERNEL).map(|it| (it * 31 % 97) as f32 / 5e4);
    let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
    let weight = constant("w", &dims, field::element::FLOAT, &bytes);
    graph.message(field::graph::INITIALIZER, weight);
    graph.message(field::graph::INPUT, float_port("x"));
    graph.message(
        field::graph::INPUT,
        weight_port("w", field::element::FLOAT, &dims),
    );
    graph.message(field::graph::OUTPUT, float_port("y"));
    let rows = model_of(graph, &[""]);
    let blocks = blocked(&rows, block)?.ok_or(Malformed::Has("nothing for blocks"))?;
    Ok((blocks.graph, rows))
}

pub(super) fn model_of(graph: Message, domains: &[&str]) -> Vec<u8> {
    let mut model = Message::default();
    model.number(field::model::IR_VERSION, 8);
    for domain in domains {
        let version = if domain.is_empty() { 17 } else { 1 };
        model.message(field::model::OPERATOR_SET, operator_set(domain, version));
    }
    model.message(field::model::GRAPH, graph);
    model.finish()
}
