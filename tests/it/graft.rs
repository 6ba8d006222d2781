//! Nodes grafted onto a fixture's graph: what a hostile or broken voice file
//! holds, as the bytes of an ONNX file. Also used by the tests of `session`.

use std::path::Path;

/// Nodes and constants to be added. Every method gives the name of a value.
#[derive(Default)]
pub(crate) struct Graft {
    nodes: Vec<Vec<u8>>,
    constants: Vec<Vec<u8>>,
    values: usize,
}

pub(crate) const FLOAT: u64 = 1;
pub(crate) const INT64: u64 = 7;
const BOOL: u64 = 9;

impl Graft {
    pub(crate) fn ints(&mut self, dims: &[i64], values: &[i64]) -> String {
        let bytes: Vec<_> = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        self.constant(INT64, dims, &bytes)
    }

    pub(crate) fn floats(&mut self, dims: &[i64], values: &[f32]) -> String {
        let bytes: Vec<_> = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        self.constant(FLOAT, dims, &bytes)
    }

    fn constant(&mut self, element: u64, dims: &[i64], bytes: &[u8]) -> String {
        let name = self.name();
        let mut tensor = Vec::new();
        for dim in dims {
            number(&mut tensor, 1, dim.cast_unsigned());
        }
        number(&mut tensor, 2, element);
        field(&mut tensor, 8, name.as_bytes());
        field(&mut tensor, 9, bytes);
        self.constants.push(tensor);
        name
    }

    pub(crate) fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[Vec<u8>],
    ) -> String {
        let output = self.name();
        self.nodes
            .push(node(operator, inputs, &[&output], attributes));
        output
    }

    /// The sum over a value, so that all of it has to be there.
    pub(crate) fn sum(&mut self, value: &str) -> String {
        self.node("ReduceSum", &[value], &[int("keepdims", 0)])
    }

    pub(crate) fn cast(&mut self, value: &str, element: u64) -> String {
        self.node("Cast", &[value], &[int("to", element.cast_signed())])
    }

    fn name(&mut self) -> String {
        self.values += 1;
        format!("graft{}", self.values)
    }

    /// The model with a float scalar added to every sample it says.
    pub(crate) fn onto(mut self, model: &[u8], added: &str) -> Vec<u8> {
        self.nodes
            .push(node("Add", &["said", added], &["output"], &[]));
        let mut grafted = Vec::new();
        for (number, raw, value) in fields(model) {
            match (number, value) {
                (7, Some(graph)) => field(&mut grafted, 7, &self.graph(graph)),
                _ => grafted.extend_from_slice(raw),
            }
        }
        grafted
    }

    fn graph(&self, graph: &[u8]) -> Vec<u8> {
        let mut grafted = Vec::new();
        for (number, raw, value) in fields(graph) {
            match (number, value) {
                (1, Some(node)) => {
                    let mut renamed = Vec::new();
                    for (number, raw, value) in fields(node) {
                        match (number, value) {
                            (2, Some(b"output")) => field(&mut renamed, 2, b"said"),
                            _ => renamed.extend_from_slice(raw),
                        }
                    }
                    field(&mut grafted, 1, &renamed);
                }
                _ => grafted.extend_from_slice(raw),
            }
        }
        for node in &self.nodes {
            field(&mut grafted, 1, node);
        }
        for constant in &self.constants {
            field(&mut grafted, 5, constant);
        }
        grafted
    }
}

pub(crate) fn node(
    operator: &str,
    inputs: &[&str],
    outputs: &[&str],
    attributes: &[Vec<u8>],
) -> Vec<u8> {
    let mut node = Vec::new();
    for input in inputs {
        field(&mut node, 1, input.as_bytes());
    }
    for output in outputs {
        field(&mut node, 2, output.as_bytes());
    }
    field(&mut node, 4, operator.as_bytes());
    for attribute in attributes {
        field(&mut node, 5, attribute);
    }
    node
}

/// An attribute that is a whole number.
pub(crate) fn int(name: &str, value: i64) -> Vec<u8> {
    let mut attribute = Vec::new();
    field(&mut attribute, 1, name.as_bytes());
    number(&mut attribute, 3, value.cast_unsigned());
    number(&mut attribute, 20, 2);
    attribute
}

/// An attribute that is several.
pub(crate) fn int_list(name: &str, values: &[i64]) -> Vec<u8> {
    let mut attribute = Vec::new();
    field(&mut attribute, 1, name.as_bytes());
    for value in values {
        number(&mut attribute, 8, value.cast_unsigned());
    }
    number(&mut attribute, 20, 7);
    attribute
}

/// An input or output of an inner graph: name, element, rank.
pub(crate) type Inner = (&'static str, u64, usize);

/// An attribute that is a graph.
pub(crate) fn graph_of(
    name: &str,
    nodes: &[Vec<u8>],
    inputs: &[Inner],
    outputs: &[Inner],
) -> Vec<u8> {
    let mut graph = Vec::new();
    for node in nodes {
        field(&mut graph, 1, node);
    }
    field(&mut graph, 2, b"inner");
    for (number, ports) in [(11, inputs), (12, outputs)] {
        for (name, element, rank) in ports {
            let mut shape = Vec::new();
            for _ in 0..*rank {
                field(&mut shape, 1, &[]);
            }
            let mut tensor = Vec::new();
            self::number(&mut tensor, 1, *element);
            field(&mut tensor, 2, &shape);
            let mut kind = Vec::new();
            field(&mut kind, 1, &tensor);
            let mut port = Vec::new();
            field(&mut port, 1, name.as_bytes());
            field(&mut port, 2, &kind);
            field(&mut graph, number, &port);
        }
    }
    let mut attribute = Vec::new();
    field(&mut attribute, 1, name.as_bytes());
    field(&mut attribute, 6, &graph);
    number(&mut attribute, 20, 5);
    attribute
}

/// A voice that may break a server, and what it is called.
pub(crate) type Hostile = (&'static str, fn(&mut Graft) -> String);

/// Asks for more memory than the budgets of tests have, each in another way;
/// some operators have bounds of their own beyond that.
pub(crate) const GREEDY: &[Hostile] = &[
    ("ConstantOfShape 2^33", |g| {
        let shape = g.ints(&[1], &[1 << 33]);
        let made = g.node("ConstantOfShape", &[&shape], &[]);
        g.sum(&made)
    }),
    ("ConstantOfShape 2^40", |g| {
        let shape = g.ints(&[1], &[1 << 40]);
        let made = g.node("ConstantOfShape", &[&shape], &[]);
        g.sum(&made)
    }),
    ("Tile", |g| {
        let one = g.floats(&[1], &[1.0]);
        let times = g.ints(&[1], &[1 << 29]);
        let made = g.node("Tile", &[&one, &times], &[]);
        g.sum(&made)
    }),
    ("Expand", |g| {
        let one = g.floats(&[1], &[1.0]);
        let shape = g.ints(&[2], &[1 << 18, 1 << 18]);
        let made = g.node("Expand", &[&one, &shape], &[]);
        g.sum(&made)
    }),
    ("Pad", |g| {
        let one = g.floats(&[1], &[1.0]);
        let pads = g.ints(&[2], &[0, 1 << 29]);
        let made = g.node("Pad", &[&one, &pads], &[]);
        g.sum(&made)
    }),
    ("Range to 2^40", |g| {
        let start = g.ints(&[], &[0]);
        let end = g.ints(&[], &[1 << 40]);
        let step = g.ints(&[], &[1]);
        let made = g.node("Range", &[&start, &end, &step], &[]);
        let made = g.cast(&made, FLOAT);
        g.sum(&made)
    }),
    ("OneHot", |g| {
        let places = g.ints(&[1], &[0]);
        let depth = g.ints(&[1], &[1 << 29]);
        let values = g.floats(&[2], &[0.0, 1.0]);
        let made = g.node("OneHot", &[&places, &depth, &values], &[]);
        g.sum(&made)
    }),
    ("RandomNormal", |g| {
        let made = g.node(
            "RandomNormal",
            &[],
            &[int_list("shape", &[1 << 18, 1 << 18])],
        );
        g.sum(&made)
    }),
    ("two small ones whose product is not", |g| {
        let column = g.ints(&[2], &[1 << 18, 1]);
        let row = g.ints(&[2], &[1, 1 << 18]);
        let column = g.node("ConstantOfShape", &[&column], &[]);
        let row = g.node("ConstantOfShape", &[&row], &[]);
        let made = g.node("MatMul", &[&column, &row], &[]);
        g.sum(&made)
    }),
    ("a length that a weight decides", |g| {
        let weight = g.floats(&[1], &[1e12]);
        let end = g.cast(&weight, INT64);
        let end = g.node("Squeeze", &[&end], &[]);
        let (start, step) = (g.ints(&[], &[0]), g.ints(&[], &[1]));
        let made = g.node("Range", &[&start, &end, &step], &[]);
        let made = g.cast(&made, FLOAT);
        g.sum(&made)
    }),
    (
        "a length that the input decides, a million times over",
        |g| {
            let tokens = g.node("Shape", &["x_tst"], &[]);
            let million = g.ints(&[1], &[100_000_000]);
            let shape = g.node("Mul", &[&tokens, &million], &[]);
            let made = g.node("ConstantOfShape", &[&shape], &[]);
            g.sum(&made)
        },
    ),
    ("a loop that doubles", |g| {
        let (trip, on) = (g.ints(&[], &[1 << 40]), g.yes());
        let first = g.floats(&[1], &[1.0]);
        let body = graph_of(
            "body",
            &[
                node("Identity", &["on"], &["still_on"], &[]),
                node("Concat", &["held", "held"], &["doubled"], &[int("axis", 0)]),
            ],
            &[("turn", INT64, 0), ("on", BOOL, 0), ("held", FLOAT, 1)],
            &[("still_on", BOOL, 0), ("doubled", FLOAT, 1)],
        );
        let made = g.node("Loop", &[&trip, &on, &first], &[body]);
        g.sum(&made)
    }),
];

/// Fails while it runs, each in another way.
pub(crate) const FAILING: &[Hostile] = &[
    ("ConstantOfShape of 2^31 times 2^31", |g| {
        let shape = g.ints(&[2], &[1 << 31, 1 << 31]);
        let made = g.node("ConstantOfShape", &[&shape], &[]);
        g.sum(&made)
    }),
    ("a negative shape", |g| {
        let shape = g.ints(&[1], &[-5]);
        let made = g.node("ConstantOfShape", &[&shape], &[]);
        g.sum(&made)
    }),
    ("whole numbers divided by zero", |g| {
        let (one, zero) = (g.ints(&[1], &[1]), g.ints(&[1], &[0]));
        let made = g.node("Div", &[&one, &zero], &[]);
        let made = g.cast(&made, FLOAT);
        g.sum(&made)
    }),
    ("a remainder of zero", |g| {
        let tokens = g.node("Shape", &["x_tst"], &[]);
        let zero = g.node("Sub", &[&tokens, &tokens], &[]);
        let made = g.node("Mod", &[&tokens, &zero], &[]);
        let made = g.cast(&made, FLOAT);
        g.sum(&made)
    }),
    ("durations that are no numbers", |g| {
        let nan = g.floats(&[1], &[f32::NAN]);
        let end = g.cast(&nan, INT64);
        let end = g.node("Squeeze", &[&end], &[]);
        let (start, step) = (g.ints(&[], &[0]), g.ints(&[], &[-1]));
        let made = g.node("Range", &[&start, &end, &step], &[]);
        let made = g.cast(&made, FLOAT);
        g.sum(&made)
    }),
    ("samples that are no numbers", |g| {
        let nan = g.floats(&[1], &[f32::NAN]);
        g.sum(&nan)
    }),
];

/// Loops for ever only where a sentence has more than this many tokens: a
/// trial with short ones does not find it.
pub(crate) fn endless_beyond(g: &mut Graft, tokens: i64) -> String {
    let length = g.node("Shape", &["x_tst"], &[]);
    let one = g.ints(&[1], &[1]);
    let length = g.node("Gather", &[&length, &one], &[]);
    let most = g.ints(&[1], &[tokens]);
    let beyond = g.node("Greater", &[&length, &most], &[]);
    let beyond = g.cast(&beyond, INT64);
    let long = g.ints(&[1], &[1 << 61]);
    let trip = g.node("Mul", &[&beyond, &long], &[]);
    let trip = g.node("Squeeze", &[&trip], &[]);
    let on = g.yes();
    let first = g.floats(&[1], &[0.0]);
    let body = graph_of(
        "body",
        &[
            node("Identity", &["on"], &["still_on"], &[]),
            node("Identity", &["held"], &["kept"], &[]),
        ],
        &[("turn", INT64, 0), ("on", BOOL, 0), ("held", FLOAT, 1)],
        &[("still_on", BOOL, 0), ("kept", FLOAT, 1)],
    );
    let made = g.node("Loop", &[&trip, &on, &first], &[body]);
    g.sum(&made)
}

impl Graft {
    pub(crate) fn yes(&mut self) -> String {
        self.constant(BOOL, &[], &[1])
    }
}

/// A fixture's graph with this grafted onto it.
pub(crate) fn grafted(fixture: &Path, graft: impl FnOnce(&mut Graft) -> String) -> Vec<u8> {
    let model = std::fs::read(fixture).expect("a fixture");
    let mut grafting = Graft::default();
    let added = graft(&mut grafting);
    grafting.onto(&model, &added)
}

/// Number, raw bytes, and the value if it has bytes.
type Field<'a> = (u64, &'a [u8], Option<&'a [u8]>);

fn fields(mut message: &[u8]) -> Vec<Field<'_>> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let mut rest = message;
        let tag = varint(&mut rest);
        let value = match tag & 7 {
            0 => {
                varint(&mut rest);
                None
            }
            1 => {
                rest = &rest[8..];
                None
            }
            2 => {
                let length = varint(&mut rest) as usize;
                let (value, after) = rest.split_at(length);
                rest = after;
                Some(value)
            }
            5 => {
                rest = &rest[4..];
                None
            }
            other => panic!("wire type {other}"),
        };
        fields.push((tag >> 3, &message[..message.len() - rest.len()], value));
        message = rest;
    }
    fields
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = rest[0];
        *rest = &rest[1..];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

fn write_varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

pub(crate) fn number(message: &mut Vec<u8>, field: u64, value: u64) {
    write_varint(message, field << 3);
    write_varint(message, value);
}

pub(crate) fn field(message: &mut Vec<u8>, field: u64, value: &[u8]) {
    write_varint(message, field << 3 | 2);
    write_varint(message, value.len() as u64);
    message.extend_from_slice(value);
}
