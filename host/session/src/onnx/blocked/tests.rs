//! Graphs in blocks against the same as they are, by running both.

use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;

use super::trial::model_of;
use super::*;
use crate::library_of_tests::library;
use crate::placement::Placement;
use crate::runtime::{Model as Opened, Opening, Runtime};
use crate::settings::Settings;

/// Channels of the input, and its columns.
const CHANNELS: usize = 32;
const COLUMNS: usize = 37;

type Ints = &'static [(&'static str, &'static [i64])];

/// A graph over `z` [1, 32, T] and the condition `g` [1, 16, 1].
#[derive(Default)]
struct Drawn {
    graph: Message,
    weights: Vec<(String, Vec<i64>)>,
}

impl Drawn {
    fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attributes: Ints,
    ) -> &mut Self {
        let attribute = |(name, values): &(&'static str, &'static [i64])| match (*name, *values) {
            ("group" | "axis", [value]) => (*name, Attribute::Int(*value)),
            (name, values) => (name, Attribute::Ints(values)),
        };
        let attributes: Vec<_> = attributes.iter().map(attribute).collect();
        let node = told(operator, inputs, output, &attributes);
        self.graph.message(field::graph::NODE, node);
        self
    }

    fn rectified(&mut self, input: &str, output: &str) -> &mut Self {
        let slope = ("alpha", Attribute::Float(0.1));
        let node = told("LeakyRelu", &[input], output, &[slope]);
        self.graph.message(field::graph::NODE, node);
        self
    }

    fn weight(&mut self, name: &str, dims: &[i64]) -> &mut Self {
        self.weights.push((name.to_owned(), dims.to_vec()));
        self
    }

    /// As it is, with weights that may change.
    fn model(&self, outputs: &[&str]) -> Vec<u8> {
        let mut graph = self.graph.clone();
        graph.bytes(field::graph::NAME, b"graph");
        for (name, dims) in &self.weights {
            let bytes: Vec<u8> = values(name, dims)
                .into_iter()
                .flat_map(f32::to_le_bytes)
                .collect();
            let mut tensor = Message::default();
            for dim in dims {
                tensor.number(field::tensor::DIMS, dim.cast_unsigned());
            }
            tensor
                .number(field::tensor::DATA_TYPE, field::element::FLOAT)
                .bytes(field::tensor::NAME, name.as_bytes())
                .bytes(field::tensor::RAW_DATA, &bytes);
            graph.message(field::graph::INITIALIZER, tensor);
            let port = weight_port(name, field::element::FLOAT, dims);
            graph.message(field::graph::INPUT, port);
        }
        for name in ["z", "g"] {
            graph.message(field::graph::INPUT, super::super::graph::float_port(name));
        }
        for name in outputs {
            graph.message(field::graph::OUTPUT, super::super::graph::float_port(name));
        }
        model_of(graph, &[""])
    }
}

/// Other numbers for each name.
fn values(name: &str, dims: &[i64]) -> Vec<f32> {
    let count: i64 = dims.iter().product();
    let start: usize = name.bytes().map(usize::from).sum();
    let value = |place: usize| ((place * 37 + start * 11) % 101) as f32 / 400.0 - 0.12;
    (0..count as usize).map(value).collect()
}

/// What a model makes of one input, by its outputs.
fn heard(
    model: &[u8],
    weights: &[(String, Vec<f32>, Vec<i64>)],
    outputs: &[&str],
    context: Option<[i64; 2]>,
) -> Vec<Vec<f32>> {
    let runtime = Runtime::start(&library()).expect("ONNX Runtime starts");
    let mut session: Session = runtime
        .open(&Opening {
            kind: "trial",
            name: "blocks",
            model: Opened::Bytes(model),
            settings: &Settings::default(),
            placement: &Placement::Arena,
            region: None,
            write_to: None,
        })
        .expect("it opens")
        .session;
    let tensor = |dims: &[i64], values: Vec<f32>| {
        let tensor = Tensor::from_array((dims.to_vec(), values)).expect("a tensor");
        SessionInputValue::from(tensor)
    };
    let z = [1, CHANNELS as i64, COLUMNS as i64];
    let g = [1, 16, 1];
    let mut inputs = vec![
        ("z".to_owned(), tensor(&z, values("z", &z))),
        ("g".to_owned(), tensor(&g, values("g", &g))),
    ];
    for (name, values, dims) in weights {
        inputs.push((name.clone(), tensor(dims, values.clone())));
    }
    if let Some(context) = context {
        let context = Tensor::from_array(([2], context.to_vec())).expect("a tensor");
        inputs.push((CONTEXT.to_owned(), SessionInputValue::from(context)));
    }
    let made = session.run(inputs).expect("it runs");
    let floats = |name: &&str| {
        made[*name]
            .try_extract_tensor::<f32>()
            .expect("floats")
            .1
            .to_vec()
    };
    outputs.iter().map(floats).collect()
}

/// Runs it both ways with other weights than it was opened with; how many of
/// them are in another order.
fn compare(drawn: &Drawn, outputs: &[&str]) -> usize {
    let runtime = Runtime::start(&library()).expect("ONNX Runtime starts");
    let settings = Settings {
        layout: crate::settings::Layout::Blocks,
        ..Settings::default()
    };
    let Some(block) = crate::blocks::Blocks::default().of(&runtime, &settings, None) else {
        return usize::MAX; // No such kernels here.
    };
    let rows = drawn.model(outputs);
    let Some(rewritten) = blocked(&rows, block).expect("a graph") else {
        return 0;
    };
    let changed = |name: &str, dims: &[i64]| values(&format!("other {name}"), dims);
    let plain: Vec<_> = drawn
        .weights
        .iter()
        .map(|(name, dims)| (name.clone(), changed(name, dims), dims.clone()))
        .collect();
    let ordered: Vec<_> = plain
        .iter()
        .map(|(name, values, dims)| match rewritten.orders.get(name) {
            Some(order) => {
                let bytes: Vec<u8> = values.iter().flat_map(|it| it.to_le_bytes()).collect();
                let mut arranged = Vec::new();
                order.arrange(4, &bytes, &mut arranged);
                let (numbers, _) = arranged.as_chunks::<4>();
                let values = numbers.iter().map(|it| f32::from_le_bytes(*it)).collect();
                (name.clone(), values, order.dims())
            }
            None => (name.clone(), values.clone(), dims.clone()),
        })
        .collect();
    let expected = heard(&rows, &plain, outputs, None);
    let near = |one: &[f32], other: &[f32], what: &str| {
        assert_eq!(one.len(), other.len(), "{what}");
        let largest = one.iter().map(|it| it.abs()).fold(0.0, f32::max);
        assert!(largest > 1e-3, "{what} says something");
        for (one, other) in one.iter().zip(other) {
            assert!(
                (one - other).abs() <= 1e-5 * largest.max(1.0),
                "{what}: {one} {other}"
            );
        }
    };
    let none = rewritten.margin.map(|_| [0, 0]);
    let found = heard(&rewritten.graph, &ordered, outputs, none);
    for ((expected, found), name) in expected.iter().zip(&found).zip(outputs) {
        near(expected, found, name);
    }
    let Some(margin) = rewritten.margin else {
        return rewritten.orders.len();
    };
    // What is kept is the same, however many frames around it are left out.
    for context in [[9, 11], [0, 13], [12, 0], [1, 2], [3, 3]] {
        let found = heard(&rewritten.graph, &ordered, outputs, Some(context));
        let hop = expected[0].len() / COLUMNS;
        let [before, after] = context.map(|frames| frames as usize);
        let kept = COLUMNS - before - after;
        let (left, right) = (before.min(margin), after.min(margin));
        assert_eq!(found[0].len(), (left + kept + right) * hop, "{context:?}");
        let whole = &expected[0][before * hop..][..kept * hop];
        near(
            whole,
            &found[0][left * hop..][..kept * hop],
            &format!("{context:?}"),
        );
    }
    rewritten.orders.len()
}

const PADDED: Ints = &[("pads", &[3, 3]), ("kernel_shape", &[7])];

#[test]
fn a_decoder_as_voices_have_it_says_the_same() {
    let mut drawn = Drawn::default();
    drawn
        .weight("pre", &[64, 32, 7])
        .weight("pre bias", &[64])
        .weight("cond", &[64, 16, 1])
        .weight("cond bias", &[64])
        .weight("up", &[64, 32, 16])
        .weight("up bias", &[32])
        .weight("one", &[32, 32, 3])
        .weight("one bias", &[32])
        .weight("two", &[32, 32, 3])
        .weight("two bias", &[32])
        .weight("up two", &[32, 16, 2])
        .weight("up two bias", &[16])
        .weight("post", &[1, 16, 7])
        .weight("three", &[1])
        .node("Conv", &["z", "pre", "pre bias"], "a", PADDED)
        // Later in the file than who uses it first.
        .node("Conv", &["g", "cond", "cond bias"], "b", &[])
        .node("Add", &["a", "b"], "c", &[])
        .rectified("c", "d")
        .node(
            "ConvTranspose",
            &["d", "up", "up bias"],
            "e",
            &[
                ("strides", &[8]),
                ("pads", &[4, 4]),
                ("kernel_shape", &[16]),
            ],
        )
        .rectified("e", "f")
        .node(
            "Conv",
            &["f", "one", "one bias"],
            "h",
            &[("pads", &[3, 3]), ("dilations", &[3])],
        )
        .rectified("h", "i")
        .node("Conv", &["i", "two", "two bias"], "j", &[("pads", &[1, 1])])
        .node("Add", &["j", "e"], "k", &[])
        .node("Add", &["k", "e"], "l", &[])
        .node("Div", &["l", "three"], "m", &[])
        .rectified("m", "n")
        .node(
            "ConvTranspose",
            &["n", "up two", "up two bias"],
            "o",
            &[("strides", &[2])],
        )
        .rectified("o", "p")
        .node("Conv", &["p", "post"], "q", PADDED)
        .node("Tanh", &["q"], "output", &[]);
    assert!(compare(&drawn, &["output"]) >= 5);
}

#[test]
fn nodes_that_are_not_known_get_plain_values() {
    let mut drawn = Drawn::default();
    drawn
        .weight("w", &[32, 32, 3])
        .weight("u", &[32, 32, 3])
        .weight("bias", &[32])
        .weight("wide", &[32, 1, 3])
        .weight("odd", &[5, 32, 1])
        .weight("column", &[1, 32, 1])
        .weight("grouped", &[32, 8, 3])
        .weight("strided", &[32, 32, 3])
        .weight("uneven", &[32, 16, 5])
        .node("Conv", &["z", "w", "bias"], "a", &[("pads", &[1, 1])])
        // Handed out in the middle, used twice, and as blocks again.
        .node("Softmax", &["a"], "b", &[("axis", &[1])])
        .node("Conv", &["b", "u", "bias"], "c", &[("pads", &[1, 1])])
        .node("Add", &["c", "column"], "d", &[])
        .node("Mul", &["c", "column"], "e", &[])
        .node("Add", &["a", "e"], "f", &[])
        .node(
            "Conv",
            &["f", "grouped"],
            "h",
            &[("group", &[4]), ("pads", &[1, 1])],
        )
        .node("Conv", &["f", "wide"], "i", &[("group", &[32])])
        .node("Conv", &["a", "odd"], "j", &[])
        .node("Conv", &["a", "strided"], "k", &[("strides", &[2])])
        .node("ConvTranspose", &["a", "uneven"], "l", &[("strides", &[2])])
        .node("Mul", &["a", "a"], "m", &[])
        .node("Relu", &["a"], "n", &[]);
    let outputs = ["a", "d", "h", "i", "j", "k", "l", "m", "n"];
    assert!(compare(&drawn, &outputs) >= 2);
}

#[test]
fn a_weight_that_serves_two_or_is_made_stays_as_it_is() {
    let mut drawn = Drawn::default();
    drawn
        .weight("w", &[32, 32, 3])
        .weight("u", &[32, 32, 3])
        .node("Conv", &["z", "w"], "a", &[])
        .node("Conv", &["z", "w"], "b", &[])
        .node("Tanh", &["u"], "made", &[])
        .node("Conv", &["z", "made"], "c", &[]);
    let found = compare(&drawn, &["a", "b", "c"]);
    assert!(found == 0 || found == usize::MAX);
}

#[test]
fn what_follows_a_convolution_is_part_of_it_only_where_nobody_else_wants_it() {
    let mut drawn = Drawn::default();
    drawn
        .weight("w", &[32, 32, 1])
        .weight("u", &[32, 32, 1])
        .node("Conv", &["z", "w"], "a", &[])
        .node("Conv", &["z", "u"], "b", &[])
        .node("Add", &["a", "b"], "c", &[])
        .rectified("a", "d")
        .rectified("c", "e")
        .node("Add", &["e", "e"], "f", &[]);
    assert!(compare(&drawn, &["c", "d", "f"]) >= 2);
}
