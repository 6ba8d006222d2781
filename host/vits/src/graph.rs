//! A graph being written: nodes in order, constants, and weights that lie in
//! the files of a voice.

use std::collections::BTreeMap;

use crate::field::{self, element};
use crate::message::Message;

/// A value of the graph, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value(pub(crate) String);

/// A weight that the graph takes from a voice's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The tensor's key, such as `enc_p.emb.weight`.
    pub key: String,
    /// Its shape in the graph, after what [`fold`](Self::fold) says was done.
    pub dims: Vec<i64>,
    /// How the graph's weight comes from the file's tensors.
    pub fold: Fold,
}

/// How a weight of the graph comes from tensors of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// As it lies there.
    None,
    /// Weight norm (arXiv 1602.07868): `v · g / |v|` with the norm over all
    /// axes but the first, from `KEY_v` and `KEY_g`.
    Norm,
    /// With rows of zeros behind its own, so that tables of unlike lengths
    /// are one shape.
    Rows,
    /// Some of its rows, from this one on.
    From(usize),
    /// Of a BERT's projection `KEY.weight` and `KEY.bias`: the normed table of
    /// relative positions, projected; [heads, rows of the table, head]
    /// (arXiv 2006.03654, equation 4, whose right factors no text changes).
    Positions,
}

/// Where the bytes of a weight lie, for the graph to refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// Name of the file, relative to the graph's.
    pub location: String,
    /// Where its bytes begin in the file.
    pub offset: u64,
    /// How many there are: elements times their size.
    pub bytes: u64,
    /// ONNX's number of the element type: 1 float, 10 half, 16 bfloat16. What
    /// is not float is cast where it is used.
    pub data_type: u64,
}

/// An attribute of a node, by its kind (`AttributeProto.AttributeType`).
#[derive(Clone, Copy, Debug)]
pub enum Attribute<'a> {
    /// `FLOAT`.
    Float(f32),
    /// `INT`.
    Int(i64),
    /// `FLOATS`.
    Floats(&'a [f32]),
    /// `INTS`.
    Ints(&'a [i64]),
    /// `STRING`.
    Text(&'static str),
}

/// Opset 17 has LayerNormalization, and nothing here needs a later one.
const OPERATOR_SET: u64 = 17;
const IR_VERSION: u64 = 8;

/// Writes a model, or says why the first weight that lies nowhere does.
pub(crate) fn written<E>(
    place: &mut dyn FnMut(&Wanted) -> Result<External, E>,
    write: impl FnOnce(Graph<'_>) -> Vec<u8>,
) -> Result<Vec<u8>, E> {
    let mut first = None;
    let mut placed = |wanted: &Wanted| match place(wanted) {
        Ok(external) => Some(external),
        Err(why) => {
            first.get_or_insert(why);
            None
        }
    };
    let model = write(Graph::new(&mut placed));
    first.map_or(Ok(model), Err)
}

/// The graph being written.
pub(crate) struct Graph<'p> {
    nodes: Vec<Message>,
    initializers: Vec<Message>,
    inputs: Vec<Message>,
    /// Where each weight lies; None if it lies nowhere.
    place: &'p mut dyn FnMut(&Wanted) -> Option<External>,
    /// Weights that are there already, so that two uses are one.
    known: BTreeMap<String, Value>,
    /// Constants by their bytes.
    constants: BTreeMap<(u64, Vec<i64>, Vec<u8>), Value>,
    /// Names of nodes begin so: `/dec/`.
    scope: String,
    count: usize,
}

impl<'p> Graph<'p> {
    pub(crate) fn new(place: &'p mut dyn FnMut(&Wanted) -> Option<External>) -> Self {
        Self {
            nodes: Vec::new(),
            initializers: Vec::new(),
            inputs: Vec::new(),
            place,
            known: BTreeMap::new(),
            constants: BTreeMap::new(),
            scope: String::new(),
            count: 0,
        }
    }

    /// Whatever is written next belongs to this part: `dec/conv_pre`.
    pub(crate) fn scope(&mut self, scope: &str) {
        scope.clone_into(&mut self.scope);
    }

    /// An input; None is a length that only a run knows.
    pub(crate) fn input(&mut self, name: &str, data_type: u64, dims: &[Option<i64>]) -> Value {
        self.inputs.push(port(name, data_type, dims));
        Value(name.to_owned())
    }

    /// A weight as it lies in the file.
    pub(crate) fn weight(&mut self, key: &str, dims: &[usize]) -> Value {
        self.folded(key, dims, Fold::None)
    }

    pub(crate) fn folded(&mut self, key: &str, dims: &[usize], fold: Fold) -> Value {
        let name = match fold {
            Fold::None | Fold::Norm | Fold::Rows => key.to_owned(),
            Fold::From(row) => format!("{key}[{row}..]"),
            Fold::Positions => format!("{key}.positions"),
        };
        if let Some(value) = self.known.get(&name) {
            return value.clone();
        }
        let dims: Vec<i64> = dims.iter().map(|dim| *dim as i64).collect();
        let wanted = Wanted {
            key: key.to_owned(),
            dims,
            fold,
        };
        let Some(external) = (self.place)(&wanted) else {
            // Nobody gets this graph.
            return Value(name);
        };
        let mut tensor = Message::default();
        for dim in &wanted.dims {
            tensor.number(field::tensor::DIMS, dim.cast_unsigned());
        }
        tensor
            .number(field::tensor::DATA_TYPE, external.data_type)
            .bytes(field::tensor::NAME, name.as_bytes());
        let mut entry = |what: &str, value: &str| {
            let mut entry = Message::default();
            entry
                .bytes(field::entry::KEY, what.as_bytes())
                .bytes(field::entry::VALUE, value.as_bytes());
            tensor.message(field::tensor::EXTERNAL_DATA, entry);
        };
        entry("location", &external.location);
        entry("offset", &external.offset.to_string());
        entry("length", &external.bytes.to_string());
        tensor.number(field::tensor::DATA_LOCATION, field::tensor::EXTERNAL);
        self.initializers.push(tensor);
        let value = match external.data_type {
            element::FLOAT => Value(name.clone()),
            _ => self.one(
                "Cast",
                &[&Value(name.clone())],
                &[("to", Attribute::Int(element::FLOAT.cast_signed()))],
            ),
        };
        self.known.insert(name, value.clone());
        value
    }

    pub(crate) fn ints(&mut self, values: &[i64]) -> Value {
        let bytes = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        self.constant(element::INT64, vec![values.len() as i64], bytes)
    }

    /// A whole number without an axis.
    pub(crate) fn int(&mut self, value: i64) -> Value {
        self.constant(element::INT64, Vec::new(), value.to_le_bytes().to_vec())
    }

    /// A number without an axis.
    pub(crate) fn float(&mut self, value: f32) -> Value {
        self.constant(element::FLOAT, Vec::new(), value.to_le_bytes().to_vec())
    }

    fn constant(&mut self, data_type: u64, dims: Vec<i64>, bytes: Vec<u8>) -> Value {
        let key = (data_type, dims, bytes);
        if let Some(value) = self.constants.get(&key) {
            return value.clone();
        }
        let value = self.fresh("constant");
        let mut tensor = Message::default();
        for dim in &key.1 {
            tensor.number(field::tensor::DIMS, dim.cast_unsigned());
        }
        tensor
            .number(field::tensor::DATA_TYPE, data_type)
            .bytes(field::tensor::NAME, value.0.as_bytes())
            .bytes(field::tensor::RAW_DATA, &key.2);
        self.initializers.push(tensor);
        self.constants.insert(key, value.clone());
        value
    }

    fn fresh(&mut self, what: &str) -> Value {
        self.count += 1;
        Value(format!("{what}_{}", self.count))
    }

    /// A node with one output.
    pub(crate) fn one(
        &mut self,
        operator: &str,
        inputs: &[&Value],
        attributes: &[(&str, Attribute<'_>)],
    ) -> Value {
        let output = self.fresh(operator);
        self.node(operator, inputs, &[&output], attributes);
        output
    }

    pub(crate) fn node(
        &mut self,
        operator: &str,
        inputs: &[&Value],
        outputs: &[&Value],
        attributes: &[(&str, Attribute<'_>)],
    ) {
        let mut node = Message::default();
        for input in inputs {
            node.bytes(field::node::INPUT, input.0.as_bytes());
        }
        for output in outputs {
            node.bytes(field::node::OUTPUT, output.0.as_bytes());
        }
        let name = format!("/{}/{operator}_{}", self.scope, self.nodes.len());
        node.bytes(field::node::NAME, name.as_bytes())
            .bytes(field::node::OP_TYPE, operator.as_bytes());
        for (name, attribute) in attributes {
            node.message(field::node::ATTRIBUTE, attribute.write(name));
        }
        self.nodes.push(node);
    }

    /// A binary operator.
    pub(crate) fn add(&mut self, a: &Value, b: &Value) -> Value {
        self.one("Add", &[a, b], &[])
    }

    pub(crate) fn mul(&mut self, a: &Value, b: &Value) -> Value {
        self.one("Mul", &[a, b], &[])
    }

    pub(crate) fn sub(&mut self, a: &Value, b: &Value) -> Value {
        self.one("Sub", &[a, b], &[])
    }

    pub(crate) fn div(&mut self, a: &Value, b: &Value) -> Value {
        self.one("Div", &[a, b], &[])
    }

    pub(crate) fn reshape(&mut self, value: &Value, shape: &Value) -> Value {
        self.one("Reshape", &[value, shape], &[])
    }

    pub(crate) fn transpose(&mut self, value: &Value, order: &[i64]) -> Value {
        self.one("Transpose", &[value], &[("perm", Attribute::Ints(order))])
    }

    /// `value[from..to]` on one axis; negative places count from its end.
    pub(crate) fn slice(&mut self, value: &Value, axis: i64, from: &Value, to: &Value) -> Value {
        let axis = self.ints(&[axis]);
        self.one("Slice", &[value, from, to, &axis], &[])
    }

    /// The same with places that are known.
    pub(crate) fn cut(&mut self, value: &Value, axis: i64, from: i64, to: i64) -> Value {
        let (from, to) = (self.ints(&[from]), self.ints(&[to]));
        self.slice(value, axis, &from, &to)
    }

    pub(crate) fn concat(&mut self, values: &[&Value], axis: i64) -> Value {
        self.one("Concat", values, &[("axis", Attribute::Int(axis))])
    }

    pub(crate) fn unsqueeze(&mut self, value: &Value, axis: i64) -> Value {
        let axis = self.ints(&[axis]);
        self.one("Unsqueeze", &[value, &axis], &[])
    }

    /// The length of one axis, as a row of one number.
    pub(crate) fn length(&mut self, value: &Value, axis: i64) -> Value {
        let (start, end) = (Attribute::Int(axis), Attribute::Int(axis + 1));
        self.one("Shape", &[value], &[("start", start), ("end", end)])
    }

    /// The model with this output, a float tensor that a node has made.
    pub(crate) fn finish(self, output: &Value, dims: &[Option<i64>]) -> Vec<u8> {
        let mut graph = Message::default();
        graph.bytes(field::graph::NAME, b"graph");
        for node in self.nodes {
            graph.message(field::graph::NODE, node);
        }
        for initializer in self.initializers {
            graph.message(field::graph::INITIALIZER, initializer);
        }
        for input in self.inputs {
            graph.message(field::graph::INPUT, input);
        }
        let output = port(&output.0, element::FLOAT, dims);
        graph.message(field::graph::OUTPUT, output);
        let mut operators = Message::default();
        operators
            .bytes(field::operator_set::DOMAIN, b"")
            .number(field::operator_set::VERSION, OPERATOR_SET);
        let mut model = Message::default();
        model
            .number(field::model::IR_VERSION, IR_VERSION)
            .message(field::model::OPERATOR_SET, operators)
            .message(field::model::GRAPH, graph);
        model.finish()
    }
}

/// A tensor as an input or output of a graph. `data_type` is ONNX's number of
/// its elements; of an axis that is None only a run knows the length.
pub fn port(name: &str, data_type: u64, dims: &[Option<i64>]) -> Message {
    let mut shape = Message::default();
    for length in dims {
        let mut dim = Message::default();
        if let Some(length) = length {
            dim.number(1, length.cast_unsigned());
        }
        shape.message(1, dim);
    }
    let mut tensor = Message::default();
    tensor.number(1, data_type).message(2, shape);
    let mut kind = Message::default();
    kind.message(1, tensor);
    let mut message = Message::default();
    message
        .bytes(field::port::NAME, name.as_bytes())
        .message(field::port::TYPE, kind);
    message
}

impl Attribute<'_> {
    /// As a node has it.
    pub fn write(&self, name: &str) -> Message {
        const OF_FLOAT: u64 = 1;
        const OF_INT: u64 = 2;
        const OF_TEXT: u64 = 3;
        const OF_FLOATS: u64 = 6;
        const OF_INTS: u64 = 7;
        let mut attribute = Message::default();
        attribute.bytes(field::attribute::NAME, name.as_bytes());
        match self {
            Self::Float(value) => attribute
                .fixed32(field::attribute::FLOAT, value.to_bits())
                .number(field::attribute::TYPE, OF_FLOAT),
            Self::Int(value) => attribute
                .number(field::attribute::INT, value.cast_unsigned())
                .number(field::attribute::TYPE, OF_INT),
            Self::Text(text) => attribute
                .bytes(field::attribute::TEXT, text.as_bytes())
                .number(field::attribute::TYPE, OF_TEXT),
            Self::Floats(values) => {
                for value in *values {
                    attribute.fixed32(field::attribute::FLOATS, value.to_bits());
                }
                attribute.number(field::attribute::TYPE, OF_FLOATS)
            }
            Self::Ints(values) => {
                for value in *values {
                    attribute.number(field::attribute::INTS, value.cast_unsigned());
                }
                attribute.number(field::attribute::TYPE, OF_INTS)
            }
        };
        attribute
    }
}
