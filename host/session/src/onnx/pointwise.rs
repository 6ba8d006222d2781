//! Convolutions of kernel 1 as matrix products.
//!
//! ONNX Runtime's CUDA provider keeps one cuDNN plan for each `Conv`, for the
//! last shape, and makes a new one whenever the length differs (`Conv::UpdateState`,
//! since 1.20): milliseconds for each of a voice's 150 such nodes and for every
//! sentence. cuBLAS has no plans. `Conv(x [N, C, T], w [O, C, 1], b [O])` is
//! `w [O, C] · x + b [O, 1]`: the same bytes under another shape, so weights are
//! borrowed as before.

use std::collections::{HashMap, HashSet};

use super::error::Malformed;
use super::graph::{Graph, Model, Names, Node, plain, weight_port};
use vits::field;
use vits::message::Message;

/// The shapes that initializers have after the change, by their names.
pub(crate) type Shapes = HashMap<String, Vec<i64>>;

/// The model with its convolutions of kernel 1 as products, where their weight
/// and bias serve nothing else. Of a graph with graphs inside, none is changed.
pub(crate) fn as_products(bytes: &[u8]) -> Result<(Vec<u8>, Shapes), Malformed> {
    let model = Model::parse(bytes)?;
    let graph = &model.graph;
    let (chosen, shapes) = choose(graph)?;
    if chosen.is_empty() {
        return Ok((bytes.to_vec(), shapes));
    }
    let mut message = Message::default();
    message.bytes(field::graph::NAME, b"graph");
    let names = Names::default();
    for (place, node) in graph.nodes.iter().enumerate() {
        if !chosen.contains(&place) {
            message.message(field::graph::NODE, node.write(&names));
            continue;
        }
        let (input, weight) = (node.inputs[0], node.inputs[1]);
        let output = node.outputs[0];
        match bias(node) {
            None => {
                message.message(
                    field::graph::NODE,
                    plain("MatMul", &[weight, input], output),
                );
            }
            Some(bias) => {
                let product = format!("{output}_product");
                message.message(
                    field::graph::NODE,
                    plain("MatMul", &[weight, input], &product),
                );
                message.message(field::graph::NODE, plain("Add", &[&product, bias], output));
            }
        }
    }
    for tensor in &graph.tensors {
        let dims = shapes.get(tensor.name);
        message.message(field::graph::INITIALIZER, tensor.write_shaped(dims)?);
        if let Some(dims) = dims {
            message.message(
                field::graph::INPUT,
                weight_port(tensor.name, tensor.data_type, dims),
            );
        }
    }
    for input in &graph.inputs {
        if !shapes.contains_key(input.name) {
            message.message(field::graph::INPUT, input.write());
        }
    }
    for output in &graph.outputs {
        message.message(field::graph::OUTPUT, output.write());
    }
    Ok((model.around(message), shapes))
}

fn bias<'a>(node: &Node<'a>) -> Option<&'a str> {
    node.inputs.get(2).copied().filter(|name| !name.is_empty())
}

/// The places of the nodes to change, and what becomes of their initializers.
fn choose(graph: &Graph<'_>) -> Result<(HashSet<usize>, Shapes), Malformed> {
    if !graph.is_flat() {
        return Ok(Default::default());
    }
    let dims: HashMap<_, _> = graph
        .tensors
        .iter()
        .map(|tensor| (tensor.name, tensor.dims.as_slice()))
        .collect();
    let mut chosen = HashSet::new();
    for (place, node) in graph.nodes.iter().enumerate() {
        if is_pointwise(node, &dims)? {
            chosen.insert(place);
        }
    }
    // An initializer has one shape for all that use it: where one of them stays
    // a convolution, all of them do.
    loop {
        let mut shared = HashSet::new();
        for (place, node) in graph.nodes.iter().enumerate() {
            for (number, name) in node.inputs.iter().enumerate() {
                let role = match chosen.contains(&place) {
                    true => number,
                    // As it is.
                    false => 0,
                };
                shared.insert((*name, role));
            }
        }
        let mixed = |name: &str| {
            (0..3)
                .filter(|role| shared.contains(&(name, *role)))
                .count()
                > 1
        };
        let before = chosen.len();
        chosen.retain(|place| {
            !graph.nodes[*place].inputs[1..]
                .iter()
                .any(|name| mixed(name))
        });
        if chosen.len() == before {
            break;
        }
    }
    let outputs: HashSet<_> = graph.outputs.iter().map(|port| port.name).collect();
    let mut shapes = Shapes::new();
    for place in &chosen {
        let node = &graph.nodes[*place];
        let mut reshape = |name: &str, dims: Vec<i64>| {
            shapes.insert(name.to_owned(), dims);
        };
        let weight = dims[node.inputs[1]];
        reshape(node.inputs[1], vec![weight[0], weight[1]]);
        if let Some(bias) = bias(node) {
            reshape(bias, vec![weight[0], 1]);
        }
    }
    // What the graph hands out has the shape it had.
    if shapes.keys().any(|name| outputs.contains(name.as_str())) {
        return Ok(Default::default());
    }
    Ok((chosen, shapes))
}

fn is_pointwise(node: &Node<'_>, dims: &HashMap<&str, &[i64]>) -> Result<bool, Malformed> {
    let is_conv = node.operator == "Conv" && node.is_standard();
    if !is_conv || node.outputs.len() != 1 || !(2..=3).contains(&node.inputs.len()) {
        return Ok(false);
    }
    let [outputs, _, 1] = *dims.get(node.inputs[1]).copied().unwrap_or_default() else {
        return Ok(false);
    };
    if let Some(bias) = bias(node)
        && dims.get(bias).copied() != Some(&[outputs][..])
    {
        return Ok(false);
    }
    for attribute in node.attributes() {
        let attribute = attribute?;
        let all = |wanted: u64| attribute.numbers.iter().all(|number| *number == wanted);
        let usual = match attribute.name {
            b"group" | b"strides" | b"kernel_shape" => all(1),
            b"pads" => all(0),
            // Kernel 1 at stride 1: nothing is ever padded.
            b"auto_pad" => matches!(
                attribute.text,
                b"NOTSET" | b"VALID" | b"SAME_UPPER" | b"SAME_LOWER"
            ),
            b"dilations" => true,
            _ => false,
        };
        if !usual {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Conv<'a> {
        name: &'a str,
        inputs: &'a [&'a str],
        attributes: &'a [(&'a str, u64)],
    }

    const USUAL: &[(&str, u64)] = &[("group", 1), ("pads", 0), ("strides", 1), ("dilations", 1)];

    /// `w` is pointwise, `u` has a kernel of 3, `b` and `c` are biases.
    fn model(nodes: &[Conv<'_>]) -> Vec<u8> {
        let mut graph = Message::default();
        for conv in nodes {
            let mut node = plain("Conv", conv.inputs, conv.name);
            for (name, value) in conv.attributes {
                let mut attribute = Message::default();
                attribute.bytes(1, name.as_bytes()).number(8, *value);
                node.message(5, attribute);
            }
            graph.message(1, node);
        }
        for (name, dims) in [
            ("w", &[2_u64, 3, 1][..]),
            ("u", &[2, 3, 3]),
            ("b", &[2]),
            ("c", &[3]),
        ] {
            let mut tensor = Message::default();
            for dim in dims {
                tensor.number(1, *dim);
            }
            let count: u64 = dims.iter().product();
            tensor
                .number(2, 1)
                .bytes(8, name.as_bytes())
                .bytes(9, &vec![0; count as usize * 4]);
            graph.message(5, tensor);
        }
        let mut model = Message::default();
        model.message(7, graph);
        model.finish()
    }

    fn operators(bytes: &[u8]) -> Vec<String> {
        let model = Model::parse(bytes).expect("a model");
        let nodes = model.graph.nodes.iter();
        nodes.map(|node| node.operator.to_owned()).collect()
    }

    fn changed(nodes: &[Conv<'_>]) -> (Vec<String>, Shapes) {
        let (bytes, shapes) = as_products(&model(nodes)).expect("a model");
        let model = Model::parse(&bytes).expect("a model");
        for tensor in &model.graph.tensors {
            if let Some(dims) = shapes.get(tensor.name) {
                assert_eq!(&tensor.dims, dims, "as it is said");
            }
        }
        (operators(&bytes), shapes)
    }

    #[test]
    fn kernel_one_becomes_a_product() {
        let conv = Conv {
            name: "y",
            inputs: &["x", "w", "b"],
            attributes: USUAL,
        };
        let (operators, shapes) = changed(&[conv]);
        assert_eq!(operators, ["MatMul", "Add"]);
        assert_eq!(shapes["w"], [2, 3]);
        assert_eq!(shapes["b"], [2, 1]);
        let bare = Conv {
            name: "y",
            inputs: &["x", "w"],
            attributes: &[],
        };
        assert_eq!(changed(&[bare]).0, ["MatMul"]);
    }

    #[test]
    fn what_is_no_plain_convolution_of_kernel_one_stays() {
        type Attributes<'a> = &'a [(&'a str, u64)];
        let other: [(&[&str], Attributes<'_>); 8] = [
            (&["x", "u", "b"], USUAL),
            (&["x", "w", "b"], &[("group", 3)]),
            (&["x", "w", "b"], &[("strides", 2)]),
            (&["x", "w", "b"], &[("pads", 1)]),
            (&["x", "w", "b"], &[("something", 0)]),
            (&["x", "w", "c"], USUAL),
            (&["x", "made_elsewhere"], USUAL),
            (&["w", "w", "b"], USUAL),
        ];
        for (inputs, attributes) in other {
            let conv = Conv {
                name: "y",
                inputs,
                attributes,
            };
            let (operators, shapes) = changed(&[conv]);
            assert_eq!(operators, ["Conv"], "{inputs:?} {attributes:?}");
            assert!(shapes.is_empty());
        }
    }

    #[test]
    fn an_initializer_that_serves_two_keeps_its_shape() {
        let conv = |name, inputs, attributes| Conv {
            name,
            inputs,
            attributes,
        };
        let both = [
            conv("y", &["x", "w", "b"], USUAL),
            conv("z", &["x", "w", "b"], USUAL),
        ];
        assert_eq!(changed(&both).0, ["MatMul", "Add", "MatMul", "Add"]);
        // The second one holds `b`, that holds the first, which holds `w`.
        let chained = [
            conv("y", &["x", "w", "b"], USUAL),
            conv("z", &["x", "u", "b"], USUAL),
            conv("v", &["x", "w"], USUAL),
        ];
        assert_eq!(changed(&chained).0, ["Conv", "Conv", "Conv"]);
    }
}
