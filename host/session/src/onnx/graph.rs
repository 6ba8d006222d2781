//! A model's graph, borrowed from the file's bytes.

use std::collections::HashMap;

use super::error::{Malformed, WeightFault};
use super::wire::{self, Value};
use vits::field;
use vits::message::Message;

/// The model: its graph, and the fields beside it that a session needs.
pub(crate) struct Model<'a> {
    pub(crate) graph: Graph<'a>,
    /// IR version, operator sets, functions; as read.
    head: Vec<(u64, Value<'a>)>,
}

#[derive(Default)]
pub(crate) struct Graph<'a> {
    pub(crate) nodes: Vec<Node<'a>>,
    pub(crate) tensors: Vec<Tensor<'a>>,
    pub(crate) inputs: Vec<Port<'a>>,
    pub(crate) outputs: Vec<Port<'a>>,
}

/// A node; its attributes stay bytes.
pub(crate) struct Node<'a> {
    pub(crate) inputs: Vec<&'a str>,
    pub(crate) outputs: Vec<&'a str>,
    pub(crate) name: &'a str,
    pub(crate) operator: &'a str,
    domain: &'a str,
    attributes: Vec<&'a [u8]>,
    /// Whether an attribute is a graph, which may use names from around it.
    pub(crate) has_graphs: bool,
}

/// What a node is told beside its inputs, as far as anybody asks for it here.
pub(crate) struct Attribute<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) float: f32,
    /// One whole number, or a row of them.
    pub(crate) numbers: Vec<u64>,
    pub(crate) text: &'a [u8],
    /// A `TensorProto`.
    pub(crate) tensor: &'a [u8],
}

/// An initializer.
pub(crate) struct Tensor<'a> {
    pub(crate) name: &'a str,
    pub(crate) dims: Vec<i64>,
    pub(crate) data_type: u64,
    pub(crate) data: Data<'a>,
    /// The whole message.
    raw: &'a [u8],
}

pub(crate) enum Data<'a> {
    /// Little-endian values, as they lie in memory.
    Inline(&'a [u8]),
    /// In another file.
    External {
        location: &'a str,
        offset: u64,
        length: Option<u64>,
    },
    /// In a field of its own kind of numbers.
    Other,
}

/// A graph's input or output.
pub(crate) struct Port<'a> {
    pub(crate) name: &'a str,
    kind: Option<&'a [u8]>,
}

/// What a graph may hold, so that a file is never many times itself in memory.
/// The largest voices have 6,000 nodes and 800 initializers.
const NODES_MAX: usize = 100_000;
const TENSORS_MAX: usize = 50_000;
const PORTS_MAX: usize = 1_000;
/// Operator sets and functions of the model.
const HEAD_MAX: usize = 1_000;
/// Names of values, and attributes, of one node.
const NAMES_MAX: usize = 1_000;
const AXES_MAX: usize = 64;
const EXTERNAL_MAX: usize = 16;

fn within(what: &'static str, count: usize, most: usize) -> Result<(), Malformed> {
    match count <= most {
        true => Ok(()),
        false => Err(Malformed::TooMany { what, most }),
    }
}

impl<'a> Model<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut head = Vec::new();
        let mut graph = None;
        for field in wire::fields(bytes) {
            match field? {
                (field::model::GRAPH, Value::Bytes(_)) if graph.is_some() => {
                    return Err(Malformed::Has("two graphs"));
                }
                (field::model::GRAPH, Value::Bytes(message)) => {
                    graph = Some(Graph::parse(message)?)
                }
                (number @ (1 | 8 | 25), value) => {
                    head.push((number, value));
                    within("operator sets and functions", head.len(), HEAD_MAX)?;
                }
                // Producer, doc string, metadata, training: not for a session.
                _ => {}
            }
        }
        Ok(Self {
            graph: graph.ok_or(Malformed::Has("no graph"))?,
            head,
        })
    }

    /// The version of ONNX's own operators; 1 if it does not say so.
    pub(crate) fn operator_set(&self) -> u64 {
        let own = self.version_of("").or_else(|| self.version_of("ai.onnx"));
        own.unwrap_or(1)
    }

    /// The version of a domain's operators, if any may be used.
    pub(crate) fn version_of(&self, domain: &str) -> Option<u64> {
        let sets = self.head.iter().filter_map(|field| match field {
            (field::model::OPERATOR_SET, Value::Bytes(set)) => Some(*set),
            _ => None,
        });
        let mut version = None;
        for set in sets {
            let (mut of, mut number) = (&b""[..], 1);
            for part in wire::fields(set).flatten() {
                match part {
                    (field::operator_set::DOMAIN, Value::Bytes(domain)) => of = domain,
                    (field::operator_set::VERSION, Value::Varint(found)) => number = found,
                    _ => {}
                }
            }
            if of == domain.as_bytes() {
                version = Some(number);
            }
        }
        version
    }

    /// Its fields beside the graph.
    pub(crate) fn head(&self) -> Message {
        self.head_from(0)
    }

    /// The same, of this version of ONNX at least.
    pub(crate) fn head_from(&self, ir_version: u64) -> Message {
        let mut model = Message::default();
        for (number, value) in &self.head {
            let value = match (*number, value) {
                (field::model::IR_VERSION, Value::Varint(found)) => {
                    Value::Varint(ir_version.max(*found))
                }
                (_, value) => *value,
            };
            wire::write(&mut model, *number, value);
        }
        model
    }

    /// A model of `graph` with this one's operator sets.
    pub(crate) fn around(&self, graph: Message) -> Vec<u8> {
        let mut model = self.head();
        model.message(field::model::GRAPH, graph);
        model.finish()
    }
}

impl<'a> Graph<'a> {
    /// Whether no node has a graph inside, where names may mean values of this
    /// one.
    pub(crate) fn is_flat(&self) -> bool {
        !self.nodes.iter().any(|node| node.has_graphs)
    }

    fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut graph = Self::default();
        for field in wire::fields(message) {
            match field? {
                (field::graph::NODE, Value::Bytes(node)) => graph.nodes.push(Node::parse(node)?),
                (field::graph::INITIALIZER, Value::Bytes(tensor)) => {
                    graph.tensors.push(Tensor::parse(tensor)?)
                }
                (field::graph::INPUT, Value::Bytes(port)) => graph.inputs.push(Port::parse(port)?),
                (field::graph::OUTPUT, Value::Bytes(port)) => {
                    graph.outputs.push(Port::parse(port)?)
                }
                (field::graph::SPARSE_INITIALIZER, _) => {
                    return Err(Malformed::Has("sparse initializers"));
                }
                _ => {}
            }
            within("nodes", graph.nodes.len(), NODES_MAX)?;
            within("initializers", graph.tensors.len(), TENSORS_MAX)?;
            within("inputs", graph.inputs.len(), PORTS_MAX)?;
            within("outputs", graph.outputs.len(), PORTS_MAX)?;
        }
        Ok(graph)
    }
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed::Name)
}

impl<'a> Node<'a> {
    fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut node = Self {
            inputs: Vec::new(),
            outputs: Vec::new(),
            name: "",
            operator: "",
            domain: "",
            attributes: Vec::new(),
            has_graphs: false,
        };
        for field in wire::fields(message) {
            match field? {
                (field::node::INPUT, Value::Bytes(name)) => node.inputs.push(text(name)?),
                (field::node::OUTPUT, Value::Bytes(name)) => node.outputs.push(text(name)?),
                (field::node::NAME, Value::Bytes(name)) => node.name = text(name)?,
                (field::node::OP_TYPE, Value::Bytes(name)) => node.operator = text(name)?,
                (field::node::ATTRIBUTE, Value::Bytes(attribute)) => {
                    for field in wire::fields(attribute) {
                        node.has_graphs |= matches!(field?, (6 | 11, Value::Bytes(_)));
                    }
                    node.attributes.push(attribute);
                }
                (field::node::DOMAIN, Value::Bytes(name)) => node.domain = text(name)?,
                _ => {}
            }
            within("inputs of a node", node.inputs.len(), NAMES_MAX)?;
            within("outputs of a node", node.outputs.len(), NAMES_MAX)?;
            within("attributes of a node", node.attributes.len(), NAMES_MAX)?;
        }
        Ok(node)
    }

    /// Whether the operator is one of ONNX's own.
    pub(crate) fn is_standard(&self) -> bool {
        matches!(self.domain, "" | "ai.onnx")
    }

    /// Whether a graph inside of it names this value, or seems to.
    pub(crate) fn may_use(&self, name: &str) -> bool {
        let name = name.as_bytes();
        let names = |raw: &&[u8]| raw.windows(name.len()).any(|it| it == name);
        self.has_graphs && self.attributes.iter().any(names)
    }

    pub(crate) fn attributes(&self) -> impl Iterator<Item = Result<Attribute<'a>, Malformed>> {
        self.attributes.iter().map(|raw| Attribute::parse(raw))
    }

    /// The node with its values renamed. Its own name is left out: it differs
    /// between exports of one architecture.
    pub(crate) fn write(&self, names: &Names<'a>) -> Message {
        let mut message = Message::default();
        for name in &self.inputs {
            message.bytes(field::node::INPUT, names.get(name).as_bytes());
        }
        for name in &self.outputs {
            message.bytes(field::node::OUTPUT, names.get(name).as_bytes());
        }
        message.bytes(field::node::OP_TYPE, self.operator.as_bytes());
        for attribute in &self.attributes {
            message.bytes(field::node::ATTRIBUTE, attribute);
        }
        if !self.domain.is_empty() {
            message.bytes(field::node::DOMAIN, self.domain.as_bytes());
        }
        message
    }
}

impl<'a> Attribute<'a> {
    fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut attribute = Self {
            name: b"",
            float: 0.0,
            numbers: Vec::new(),
            text: b"",
            tensor: b"",
        };
        for field in wire::fields(message) {
            match field? {
                (1, Value::Bytes(name)) => attribute.name = name,
                (2, Value::Fixed32(bits)) => attribute.float = f32::from_bits(bits),
                (3 | 8, Value::Varint(number)) => attribute.numbers.push(number),
                (8, Value::Bytes(packed)) => attribute.numbers.extend(wire::varints(packed)?),
                (4, Value::Bytes(text)) => attribute.text = text,
                (5, Value::Bytes(tensor)) => attribute.tensor = tensor,
                _ => {}
            }
        }
        Ok(attribute)
    }
}

impl<'a> Tensor<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut tensor = Self {
            name: "",
            dims: Vec::new(),
            data_type: 0,
            data: Data::Inline(&[]),
            raw: message,
        };
        let mut external = HashMap::new();
        let mut is_external = false;
        for field in wire::fields(message) {
            match field? {
                (field::tensor::DIMS, Value::Varint(dim)) => tensor.dims.push(dim.cast_signed()),
                (field::tensor::DIMS, Value::Bytes(packed)) => {
                    // No number takes more than ten bytes.
                    within("axes of a weight", packed.len() / 10, AXES_MAX)?;
                    let dims = wire::varints(packed)?;
                    tensor.dims.extend(dims.into_iter().map(u64::cast_signed));
                }
                (field::tensor::DATA_TYPE, Value::Varint(kind)) => tensor.data_type = kind,
                (field::tensor::NAME, Value::Bytes(name)) => tensor.name = text(name)?,
                (field::tensor::RAW_DATA, Value::Bytes(bytes)) => tensor.data = Data::Inline(bytes),
                // Packed floats lie in the file as they lie in memory.
                (field::tensor::FLOAT_DATA, Value::Bytes(bytes)) => {
                    tensor.data = Data::Inline(bytes)
                }
                (4 | 5 | 6 | 7 | 10 | 11, _) => tensor.data = Data::Other,
                (field::tensor::EXTERNAL_DATA, Value::Bytes(entry)) => {
                    let (mut key, mut value) = ("", "");
                    for part in wire::fields(entry) {
                        match part? {
                            (field::entry::KEY, Value::Bytes(bytes)) => key = text(bytes)?,
                            (field::entry::VALUE, Value::Bytes(bytes)) => value = text(bytes)?,
                            _ => {}
                        }
                    }
                    external.insert(key, value);
                }
                (field::tensor::DATA_LOCATION, Value::Varint(location)) => {
                    is_external = location == field::tensor::EXTERNAL
                }
                _ => {}
            }
            within("axes of a weight", tensor.dims.len(), AXES_MAX)?;
            within("places of one weight", external.len(), EXTERNAL_MAX)?;
        }
        if is_external {
            let wrong = |fault| Malformed::Weight {
                name: tensor.name.to_owned(),
                fault,
            };
            let number = |key: &'static str| {
                let number = external.get(key).map(|text| text.parse::<u64>());
                let number = number.transpose();
                number.map_err(|_| wrong(WeightFault::NoNumber(key)))
            };
            let location = external.get("location").copied();
            tensor.data = Data::External {
                location: location.ok_or_else(|| wrong(WeightFault::NoFile))?,
                offset: number("offset")?.unwrap_or(0),
                length: number("length")?,
            };
        }
        Ok(tensor)
    }

    /// The tensor under another name, with its values.
    pub(crate) fn write(&self, name: &str, external: Option<&[u8]>) -> Result<Message, Malformed> {
        let mut message = Message::default();
        for field in wire::fields(self.raw) {
            match field? {
                // Name, doc string and where the bytes were.
                (8 | 12..=14, _) => {}
                (number, value) => {
                    wire::write(&mut message, number, value);
                }
            }
        }
        message.bytes(field::tensor::NAME, name.as_bytes());
        if let Some(bytes) = external {
            message.bytes(field::tensor::RAW_DATA, bytes);
        }
        Ok(message)
    }

    /// The tensor as it is, or under another shape of as many elements.
    pub(crate) fn write_shaped(&self, dims: Option<&Vec<i64>>) -> Result<Message, Malformed> {
        let mut message = Message::default();
        for dim in dims.into_iter().flatten() {
            message.number(field::tensor::DIMS, dim.cast_unsigned());
        }
        for field in wire::fields(self.raw) {
            match field? {
                (field::tensor::DIMS, _) if dims.is_some() => {}
                (number, value) => {
                    wire::write(&mut message, number, value);
                }
            }
        }
        Ok(message)
    }
}

impl<'a> Port<'a> {
    fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut port = Self {
            name: "",
            kind: None,
        };
        for field in wire::fields(message) {
            match field? {
                (field::port::NAME, Value::Bytes(name)) => port.name = text(name)?,
                (field::port::TYPE, Value::Bytes(kind)) => port.kind = Some(kind),
                _ => {}
            }
        }
        Ok(port)
    }

    pub(crate) fn write(&self) -> Message {
        let mut message = Message::default();
        message.bytes(field::port::NAME, self.name.as_bytes());
        if let Some(kind) = self.kind {
            message.bytes(field::port::TYPE, kind);
        }
        message
    }
}

/// A node without attributes.
pub(crate) fn plain(operator: &str, inputs: &[&str], output: &str) -> Message {
    let mut message = Message::default();
    for input in inputs {
        message.bytes(field::node::INPUT, input.as_bytes());
    }
    message
        .bytes(field::node::OUTPUT, output.as_bytes())
        .bytes(field::node::OP_TYPE, operator.as_bytes());
    message
}

/// A node with these attributes.
pub(crate) fn told(
    operator: &str,
    inputs: &[&str],
    output: &str,
    attributes: &[(&str, vits::Attribute<'_>)],
) -> Message {
    let mut message = plain(operator, inputs, output);
    for (name, attribute) in attributes {
        message.message(field::node::ATTRIBUTE, attribute.write(name));
    }
    message
}

/// An initializer with its values.
pub(crate) fn constant(name: &str, dims: &[i64], data_type: u64, bytes: &[u8]) -> Message {
    let mut tensor = Message::default();
    for dim in dims {
        tensor.number(field::tensor::DIMS, dim.cast_unsigned());
    }
    tensor
        .number(field::tensor::DATA_TYPE, data_type)
        .bytes(field::tensor::NAME, name.as_bytes())
        .bytes(field::tensor::RAW_DATA, bytes);
    tensor
}

/// A float tensor of rank 3, of any shape: where a graph is cut.
pub(crate) fn float_port(name: &str) -> Message {
    vits::port(name, field::element::FLOAT, &[None; 3])
}

/// A float tensor of rank 2, of any shape.
#[cfg(test)]
pub(crate) fn float_matrix(name: &str) -> Message {
    vits::port(name, field::element::FLOAT, &[None; 2])
}

/// A float tensor of rank 1 and this length.
pub(crate) fn float_row(name: &str, length: usize) -> Message {
    vits::port(name, field::element::FLOAT, &[i64::try_from(length).ok()])
}

/// An input that an initializer fills: not a constant, so that nothing is
/// computed from it when a session opens.
pub(crate) fn weight_port(name: &str, data_type: u64, dims: &[i64]) -> Message {
    let dims: Vec<_> = dims.iter().copied().map(Some).collect();
    vits::port(name, data_type, &dims)
}

/// New names of values. Exporters number them as they go, so that two voices
/// of one architecture may differ in nothing else.
#[derive(Default)]
pub(crate) struct Names<'a>(HashMap<&'a str, String>);

impl<'a> Names<'a> {
    pub(crate) fn set(&mut self, name: &'a str, new: String) {
        self.0.insert(name, new);
    }

    pub(crate) fn get<'n>(&'n self, name: &'n str) -> &'n str {
        self.0.get(name).map_or(name, String::as_str)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}
