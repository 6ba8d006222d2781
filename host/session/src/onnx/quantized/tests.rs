//! Products in 8 bits against the same in floats, by running both.

use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;

use super::super::blocked::operator_set;
use super::super::graph::float_matrix;
use super::super::split;
use super::*;
use crate::library_of_tests::library;
use crate::placement::Placement;
use crate::runtime::{self, Opening, Runtime};
use crate::settings::Settings;

const ROWS: usize = 7;
const INNER: usize = 48;
const COLUMNS: usize = 40;

/// Spread over both signs, without a pattern that rounding would follow.
fn values(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next() + next()).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|it| it.to_le_bytes()).collect()
}

/// A graph over `x` [7, 48], with weights of these names and shapes.
fn model(nodes: Vec<Message>, weights: &[(&str, [i64; 2])], version: u64) -> Vec<u8> {
    let mut graph = Message::default();
    graph.bytes(field::graph::NAME, b"graph");
    for node in nodes {
        graph.message(field::graph::NODE, node);
    }
    for (seed, (name, dims)) in weights.iter().enumerate() {
        let count = (dims[0] * dims[1]) as usize;
        let values = bytes(&values(seed as u64 + 1, count));
        let weight = constant(name, dims, field::element::FLOAT, &values);
        graph.message(field::graph::INITIALIZER, weight);
    }
    graph.message(field::graph::INPUT, float_matrix("x"));
    graph.message(field::graph::OUTPUT, float_matrix("y"));
    let mut model = Message::default();
    // The oldest, where initializers have to be inputs as well.
    model.number(field::model::IR_VERSION, 3);
    model.message(field::model::OPERATOR_SET, operator_set("", version));
    model.message(field::model::GRAPH, graph);
    model.finish()
}

/// The same in 8 bits, and how many matrices are.
fn in_eight_bits(model: &[u8]) -> (Vec<u8>, usize) {
    let nowhere = |_: &str, _: u64, _: Option<u64>| unreachable!("all is in one file");
    let (template, pieces) = split(model, "y", nowhere).expect("a graph");
    let mut quantized = Quantized::of(&template).expect("rewritten");
    let found = quantized.count();
    for (number, piece) in pieces.iter().enumerate() {
        let bytes = &model[piece.offset..piece.offset + piece.bytes];
        quantized.fill(&template, number, bytes);
    }
    (quantized.finish(), found)
}

fn run(model: &[u8], x: &[f32]) -> Vec<f32> {
    let runtime = Runtime::start(&library()).expect("ONNX Runtime starts");
    let mut session: Session = runtime
        .open(&Opening {
            kind: "trial",
            name: "eight bits",
            model: runtime::Model::Bytes(model),
            settings: &Settings::default(),
            placement: &Placement::Arena,
            region: None,
            write_to: None,
        })
        .expect("it opens")
        .session;
    let tensor = Tensor::from_array(([x.len() / INNER, INNER], x.to_vec())).expect("a tensor");
    let inputs: Vec<(&str, SessionInputValue<'_>)> = vec![("x", tensor.into())];
    let outputs = session.run(inputs).expect("it runs");
    let (_, data) = outputs["y"].try_extract_tensor::<f32>().expect("floats");
    data.to_vec()
}

/// What is right, over what is wrong, in decibels.
fn signal(right: &[f32], found: &[f32]) -> f32 {
    assert_eq!(right.len(), found.len());
    let power = |it: f32| it * it;
    let wrong: f32 = right.iter().zip(found).map(|(a, b)| power(a - b)).sum();
    let whole: f32 = right.iter().map(|it| power(*it)).sum();
    10.0 * (whole / wrong.max(1e-30)).log10()
}

fn compare(model: &[u8]) -> (f32, usize) {
    let x = values(99, ROWS * INNER);
    let (rewritten, found) = in_eight_bits(model);
    (signal(&run(model, &x), &run(&rewritten, &x)), found)
}

const W: (&str, [i64; 2]) = ("w", [INNER as i64, COLUMNS as i64]);
const TURNED: (&str, [i64; 2]) = ("t", [COLUMNS as i64, INNER as i64]);
const BACK: (&str, [i64; 2]) = ("v", [COLUMNS as i64, INNER as i64]);

#[test]
fn products_of_every_form_come_out_nearly_the_same() {
    let bias = ("b", [1, COLUMNS as i64]);
    let column = ("c", [COLUMNS as i64, 1]);
    let turned = [("transB", Attribute::Int(1))];
    let forms = [
        ("MatMul", vec![plain("MatMul", &["x", "w"], "y")], vec![W]),
        (
            "two, one after the other",
            vec![
                plain("MatMul", &["x", "w"], "a"),
                plain("MatMul", &["a", "v"], "y"),
            ],
            vec![W, BACK],
        ),
        (
            "one row for two",
            vec![
                plain("MatMul", &["x", "w"], "a"),
                plain("MatMul", &["x", "u"], "c"),
                plain("Add", &["a", "c"], "y"),
            ],
            vec![W, ("u", W.1)],
        ),
        (
            "Gemm with a bias",
            vec![plain("Gemm", &["x", "w", "b"], "y")],
            vec![W, bias],
        ),
        (
            "Gemm, turned",
            vec![told("Gemm", &["x", "t", "b"], "y", &turned)],
            vec![TURNED, bias],
        ),
        (
            "Gemm from the left",
            vec![
                told(
                    "Transpose",
                    &["x"],
                    "columns",
                    &[("perm", Attribute::Ints(&[1, 0]))],
                ),
                plain("Gemm", &["t", "columns", "c"], "y"),
            ],
            vec![TURNED, column],
        ),
    ];
    for (name, nodes, weights) in forms {
        let matrices = weights
            .iter()
            .filter(|(_, dims)| !dims.contains(&1))
            .count();
        for version in [17, 18] {
            let (decibels, found) = compare(&model(nodes.clone(), &weights, version));
            assert_eq!(found, matrices, "{name}");
            assert!(decibels > 32.0, "{name}: {decibels} dB");
            assert!(decibels < 80.0, "{name}: nothing was rounded");
        }
    }
}

#[test]
fn a_loud_row_takes_nothing_from_the_others() {
    let model = model(vec![plain("MatMul", &["x", "w"], "y")], &[W], 17);
    let mut x = values(7, ROWS * INNER);
    x[..INNER].iter_mut().for_each(|it| *it *= 1e3);
    let (rewritten, _) = in_eight_bits(&model);
    let (right, found) = (run(&model, &x), run(&rewritten, &x));
    let decibels = signal(&right[COLUMNS..], &found[COLUMNS..]);
    assert!(decibels > 32.0, "{decibels} dB beside it");
    x.fill(0.0);
    assert!(
        run(&rewritten, &x).iter().all(|it| *it == 0.0),
        "of silence"
    );
}

#[test]
fn only_what_comes_in_is_multiplied_in_eight_bits() {
    let constant = [("k", [ROWS as i64, INNER as i64]), W];
    let small = ("s", [INNER as i64, 2]);
    let of = |nodes: Vec<Message>, weights: &[(&str, [i64; 2])]| {
        in_eight_bits(&model(nodes, weights, 17)).1
    };
    let product = |weight| plain("MatMul", &["x", weight], "y");
    assert_eq!(of(vec![product("w")], &[W]), 1);
    assert_eq!(of(vec![product("s")], &[small]), 0, "too small");
    let folded = vec![
        plain("MatMul", &["k", "w"], "a"),
        plain("MatMul", &["x", "t"], "c"),
        plain("Add", &["a", "c"], "y"),
    ];
    let turned = ("t", W.1);
    assert_eq!(of(folded, &[constant[0], W, turned]), 1, "of constants");
    let looked_at = vec![product("w"), plain("Abs", &["w"], "other")];
    assert_eq!(of(looked_at, &[W]), 0, "it is used as it is, too");
    let twice = vec![
        plain("MatMul", &["x", "q"], "a"),
        told("Gemm", &["a", "q"], "y", &[("transB", Attribute::Int(1))]),
    ];
    let square = ("q", [INNER as i64, INNER as i64]);
    assert_eq!(of(twice, &[square]), 0, "and turned");
}

#[test]
fn rows_are_looked_up_in_a_table_of_8_bits() {
    let table = ("e", [30, COLUMNS as i64]);
    let to_numbers = Attribute::Int(field::element::INT64.cast_signed());
    let nodes = |axis| {
        vec![
            told("Cast", &["x"], "numbers", &[("to", to_numbers)]),
            told("Gather", &["e", "numbers"], "rows", &[("axis", axis)]),
            // [7, 48, 40] to what the graph says it gives.
            told(
                "ReduceSum",
                &["rows", "axes"],
                "y",
                &[("keepdims", Attribute::Int(0))],
            ),
        ]
    };
    let with_axes = |axis: i64| {
        let mut nodes = nodes(Attribute::Int(axis));
        let one = constant("", &[1], field::element::INT64, &1_i64.to_le_bytes());
        let mut axes = plain("Constant", &[], "axes");
        let mut value = Message::default();
        value.bytes(1, b"value").message(5, one).number(20, 4);
        axes.message(field::node::ATTRIBUTE, value);
        nodes.insert(0, axes);
        model(nodes, &[table], 17)
    };
    let model = with_axes(0);
    let (rewritten, found) = in_eight_bits(&model);
    assert_eq!(found, 1);
    assert_eq!(in_eight_bits(&with_axes(1)).1, 0, "of columns");
    let x: Vec<f32> = (0..ROWS * INNER).map(|it| (it * 7 % 30) as f32).collect();
    let decibels = signal(&run(&model, &x), &run(&rewritten, &x));
    assert!(decibels > 38.0, "{decibels} dB");
    assert!(decibels < 80.0, "nothing was rounded");
}

#[test]
fn every_number_is_as_near_as_a_step_lets_it() {
    let (inner, columns) = (33, 65);
    let mut weight = values(5, inner * columns);
    for row in weight.chunks_exact_mut(columns) {
        row[3] = 0.0;
        row[4] *= 1e-30;
    }
    let turned: Vec<f32> = (0..columns)
        .flat_map(|column| (0..inner).map(move |row| (row, column)))
        .map(|(row, column)| weight[row * columns + column])
        .collect();
    let plain = Matrix {
        inner,
        columns,
        turned: false,
    };
    let (numbers, steps) = plain.round(&bytes(&weight));
    let other = Matrix {
        turned: true,
        ..plain
    };
    assert_eq!(
        other.round(&bytes(&turned)),
        (numbers.clone(), steps.clone())
    );
    let steps: Vec<f32> = steps
        .as_chunks::<4>()
        .0
        .iter()
        .map(|it| f32::from_le_bytes(*it))
        .collect();
    for (place, (number, value)) in numbers.iter().zip(&weight).enumerate() {
        let (number, step) = (f32::from(number.cast_signed()), steps[place % columns]);
        assert!(number.abs() <= STEPS, "{number}");
        let away = (number * step - value).abs();
        assert!(away <= 0.501 * step, "{value} as {number} of {step}");
    }
    assert_eq!(steps[3], 0.0);
}
