//! A graph as ONNX Runtime has rewritten it, with its weights outside again.
//!
//! When a session is asked for what it made of a graph, borrowed weights come
//! out with it as values. They are taken out: what is left is as small as what
//! went in, and fits every voice that the graph fits.

use std::collections::HashMap;

use super::error::Malformed;
use super::graph::{Data, Model, Names};
use vits::field;
use vits::message::Message;

/// `rewritten` with those initializers as `original` has them whose values lie
/// outside of it, all of them.
pub(crate) fn without_weights(rewritten: &[u8], original: &[u8]) -> Result<Vec<u8>, Malformed> {
    let (rewritten, original) = (Model::parse(rewritten)?, Model::parse(original)?);
    let is_outside = |data: &Data<'_>| matches!(data, Data::External { .. });
    let outside = original.graph.tensors.iter();
    let outside: HashMap<_, _> = outside
        .filter(|tensor| is_outside(&tensor.data))
        .map(|tensor| (tensor.name, tensor))
        .collect();
    let mut graph = Message::default();
    graph.bytes(field::graph::NAME, b"graph");
    for node in &rewritten.graph.nodes {
        graph.message(field::graph::NODE, node.write(&Names::default()));
    }
    for tensor in &rewritten.graph.tensors {
        if !outside.contains_key(tensor.name) {
            graph.message(field::graph::INITIALIZER, tensor.write_shaped(None)?);
        }
    }
    // Also what no node uses any more: a session is given all of them.
    for tensor in &original.graph.tensors {
        if outside.contains_key(tensor.name) {
            graph.message(field::graph::INITIALIZER, tensor.write_shaped(None)?);
        }
    }
    // Of a model of an old version all initializers come out as inputs.
    for input in &original.graph.inputs {
        graph.message(field::graph::INPUT, input.write());
    }
    for output in &rewritten.graph.outputs {
        graph.message(field::graph::OUTPUT, output.write());
    }
    Ok(rewritten.around(graph))
}
