//! A template with a voice's weights in it again: a model that needs no other
//! file.

use super::error::Malformed;
use super::graph::{Model, Names};
use vits::field;
use vits::message::Message;

/// How the weights of a model that has them inside may be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inside {
    /// As what they are: whoever opens it may compute with them.
    Constant,
    /// As in the template, where they change.
    Variable,
}

/// Puts values back into a template's initializers: a model that needs no
/// other file.
pub(crate) fn embed<'b>(
    template: &[u8],
    inside: Inside,
    bytes_of: impl Fn(&str) -> Option<&'b [u8]>,
) -> Result<Vec<u8>, Malformed> {
    let template = Model::parse(template)?;
    let mut graph = Message::default();
    graph.bytes(field::graph::NAME, b"graph");
    for node in &template.graph.nodes {
        graph.message(field::graph::NODE, node.write(&Names::default()));
    }
    for tensor in &template.graph.tensors {
        match bytes_of(tensor.name) {
            Some(bytes) => graph.message(
                field::graph::INITIALIZER,
                tensor.write(tensor.name, Some(bytes))?,
            ),
            None => graph.message(field::graph::INITIALIZER, tensor.write_shaped(None)?),
        };
    }
    for input in &template.graph.inputs {
        if inside == Inside::Variable || bytes_of(input.name).is_none() {
            graph.message(field::graph::INPUT, input.write());
        }
    }
    for output in &template.graph.outputs {
        graph.message(field::graph::OUTPUT, output.write());
    }
    Ok(template.around(graph))
}
