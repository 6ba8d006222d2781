//! Weights that are stored in half precision and cast to float before anything
//! uses them: they become float weights, widened on the way from the file, so
//! that no run casts them again.

use std::collections::{HashMap, HashSet};

use super::Element;
use super::graph::{Data, Graph, Node};

const FLOAT: u64 = 1;

/// Takes those casts from the graph; the names of the weights they were for.
pub(super) fn take_casts<'a>(graph: &mut Graph<'a>) -> HashSet<&'a str> {
    let outputs: HashSet<_> = graph.outputs.iter().map(|port| port.name).collect();
    let inputs: HashSet<_> = graph.inputs.iter().map(|port| port.name).collect();
    let mut halves: HashSet<_> = graph
        .tensors
        .iter()
        .filter(|tensor| {
            let element = Element::of(tensor.data_type);
            let half = matches!(element, Some(Element::Float16 | Element::BFloat16));
            let given = inputs.contains(tensor.name) || outputs.contains(tensor.name);
            // Scalars, and what is empty or written as numbers, are no weights.
            let stored = !matches!(tensor.data, Data::Other) && !tensor.dims.contains(&0);
            half && stored && !tensor.dims.is_empty() && !given
        })
        .map(|tensor| tensor.name)
        .collect();
    // Whoever uses one as it is keeps it so.
    for node in &graph.nodes {
        let cast = is_cast_to_float(node) && !outputs.contains(node.outputs[0]);
        for name in node.inputs.iter().filter(|_| !cast) {
            halves.remove(name);
        }
    }
    let mut instead = HashMap::new();
    graph.nodes.retain(|node| {
        let cast =
            node.operator == "Cast" && node.inputs.first().is_some_and(|it| halves.contains(it));
        if cast {
            instead.insert(node.outputs[0], node.inputs[0]);
        }
        !cast
    });
    for node in &mut graph.nodes {
        for name in &mut node.inputs {
            if let Some(weight) = instead.get(name) {
                *name = weight;
            }
        }
    }
    halves
}

fn is_cast_to_float(node: &Node<'_>) -> bool {
    let plain = node.operator == "Cast" && node.is_standard();
    if !plain || node.inputs.len() != 1 || node.outputs.len() != 1 {
        return false;
    }
    let mut attributes = node.attributes();
    attributes.any(|it| it.is_ok_and(|it| it.name == b"to" && it.numbers == [FLOAT]))
}

#[cfg(test)]
mod tests {
    use super::super::graph::{Model, plain};
    use super::*;
    use vits::message::Message;

    fn half(name: &str) -> Message {
        let mut tensor = Message::default();
        tensor.number(1, 2).number(2, 10);
        tensor.bytes(8, name.as_bytes()).bytes(9, &[0; 4]);
        tensor
    }

    fn cast(from: &str, output: &str, to: u64) -> Message {
        let mut attribute = Message::default();
        attribute.bytes(1, b"to").number(3, to);
        let mut node = plain("Cast", &[from], output);
        node.message(5, attribute);
        node
    }

    #[test]
    fn only_halves_that_are_always_cast_to_float_are_widened() {
        let mut graph = Message::default();
        for name in ["a", "b", "c", "d"] {
            graph.message(5, half(name));
        }
        // Written as numbers, not as bytes.
        let mut numbers = Message::default();
        numbers.number(1, 2).number(2, 10).number(5, 0).number(5, 0);
        numbers.bytes(8, b"e");
        graph.message(5, numbers);
        graph
            .message(1, cast("a", "wide_a", 1))
            .message(1, cast("a", "again_a", 1))
            .message(1, cast("b", "wide_b", 1))
            .message(1, cast("c", "double_c", 11))
            .message(1, cast("d", "given", 1))
            .message(1, cast("e", "wide_e", 1))
            .message(1, plain("Add", &["wide_a", "again_a"], "x"))
            .message(1, plain("Add", &["b", "b"], "y"));
        let mut port = Message::default();
        port.bytes(1, b"given");
        graph.message(12, port);
        let mut model = Message::default();
        model.message(7, graph);
        let bytes = model.finish();
        let mut model = Model::parse(&bytes).expect("a model");
        let widened = take_casts(&mut model.graph);
        assert_eq!(widened, HashSet::from(["a"]));
        let nodes = &model.graph.nodes;
        assert_eq!(nodes.len(), 6);
        let add = nodes.iter().find(|node| node.outputs == ["x"]);
        assert_eq!(add.expect("it stays").inputs, ["a", "a"]);
    }
}
