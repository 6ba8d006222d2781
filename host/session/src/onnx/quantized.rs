//! Products with constant matrices, in 8 bits (arXiv 1712.05877): matrices are
//! rounded once, column by column, and what they are multiplied with as it
//! comes, row by row.
//!
//! `x · W` becomes `MatMulIntegerToFloat` of ONNX Runtime (`com.microsoft`)
//! between rows that are divided by their own largest number first. One number
//! for a whole text would be that of its loudest character, and in a BERT some
//! are a hundred times as loud as the rest.

use std::collections::{HashMap, HashSet};

use super::blocked::operator_set;
use super::embed::Filling;
use super::error::Malformed;
use super::graph::{Model, Names, Node, constant, plain, told};
use super::template::{Element, Template};
use vits::Attribute;
use vits::field;
use vits::message::Message;

/// Smaller ones are not worth the rounding.
const NUMBERS_MIN: usize = 1 << 10;

/// The largest number of a column, in steps. AVX2 adds two products of 8 bits
/// in 16 before it widens them; with 7 bits on one side they always fit, and
/// every processor comes to the same sums.
const STEPS: f32 = 64.0;

/// Of ONNX Runtime's own operators.
const DOMAIN: &str = "com.microsoft";

/// A row of nothing but zeros is divided by this.
const LEAST: f32 = 1e-20;

/// A weight that is a matrix to multiply with from the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Matrix {
    /// Numbers that are added up: rows.
    inner: usize,
    columns: usize,
    /// Whether it is stored with its columns as rows.
    turned: bool,
}

/// A graph whose products are in 8 bits, before its weights are in it.
pub(crate) struct Quantized {
    /// By the number of the weight.
    matrices: HashMap<usize, Matrix>,
    filling: Filling,
}

impl Quantized {
    /// Of a template's whole graph.
    pub(crate) fn of(template: &Template) -> Result<Self, Malformed> {
        let model = Model::parse(&template.whole)?;
        let matrices = find(template, &model)?;
        let mut head = model.head();
        if model.version_of(DOMAIN).is_none() {
            head.message(field::model::OPERATOR_SET, operator_set(DOMAIN, 1));
        }
        let mut rewriting = Rewriting {
            matrices: &matrices,
            axes_are_given: model.operator_set() >= 18,
            filling: Filling::begin(head),
            rows: HashMap::new(),
            made: 0,
        };
        for node in &model.graph.nodes {
            rewriting.node(node)?;
        }
        let mut filling = rewriting.filling;
        let weights: HashSet<_> = template.weights.iter().map(|it| it.name.as_str()).collect();
        for tensor in &model.graph.tensors {
            if !weights.contains(tensor.name) {
                filling.add(field::graph::INITIALIZER, tensor.write_shaped(None)?);
            }
        }
        filling.add(field::graph::INITIALIZER, scalar(LEAST_NAME, LEAST));
        filling.add(field::graph::INITIALIZER, last_axis());
        for input in &model.graph.inputs {
            if !weights.contains(input.name) {
                filling.add(field::graph::INPUT, input.write());
            }
        }
        for output in &model.graph.outputs {
            filling.add(field::graph::OUTPUT, output.write());
        }
        let by_number = |(number, weight): (usize, &super::Weight)| {
            let matrix = matrices.get(weight.name.as_str())?;
            Some((number, *matrix))
        };
        let numbered = template.weights.iter().enumerate();
        Ok(Self {
            matrices: numbered.filter_map(by_number).collect(),
            filling,
        })
    }

    /// Matrices that were found.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.matrices.len()
    }

    /// Puts a weight into it: in 8 bits if it is a matrix, else as it is.
    /// `bytes` are all of it.
    pub(crate) fn fill(&mut self, template: &Template, number: usize, bytes: &[u8]) {
        let weight = &template.weights[number];
        let (dims, element) = (&weight.dims, weight.element);
        let Some(matrix) = self.matrices.get(&number) else {
            let tensor = constant(&weight.name, dims, element.data_type(), bytes);
            self.filling.add(field::graph::INITIALIZER, tensor);
            return;
        };
        let (numbers, scales) = matrix.round(bytes);
        let dims = [matrix.inner as i64, matrix.columns as i64];
        let rounded = constant(&weight.name, &dims, Element::Int8.data_type(), &numbers);
        let name = scale_of(&weight.name);
        let dims = [matrix.columns as i64];
        let scales = constant(&name, &dims, Element::Float.data_type(), &scales);
        self.filling.add(field::graph::INITIALIZER, rounded);
        self.filling.add(field::graph::INITIALIZER, scales);
    }

    /// The model, once every weight was put into it.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.filling.finish()
    }
}

/// Matrices that products with what comes in are taken of, and nothing else;
/// by name. What only other constants are multiplied with stays: it is computed
/// once, when a session opens.
fn find<'t>(
    template: &'t Template,
    model: &Model<'_>,
) -> Result<HashMap<&'t str, Matrix>, Malformed> {
    let weights: HashMap<&'t str, &'t super::Weight> = template
        .weights
        .iter()
        .map(|weight| (weight.name.as_str(), weight))
        .collect();
    let mut come_in: HashSet<&str> = model.graph.inputs.iter().map(|it| it.name).collect();
    come_in.retain(|name| !weights.contains_key(name));
    let mut found: HashMap<&'t str, Matrix> = HashMap::new();
    let mut others: HashSet<&str> = model.graph.outputs.iter().map(|it| it.name).collect();
    for node in &model.graph.nodes {
        let product = Product::of(node, &|name| weights.contains_key(name))?;
        let of_weight = product.filter(|it| come_in.contains(it.rows));
        let matrix = of_weight.and_then(|it| Some((it, it.shape(weights.get(it.matrix)?)?)));
        for name in &node.inputs {
            match (matrix, weights.get_key_value(*name)) {
                (Some((product, matrix)), Some((name, _))) if *name == product.matrix => {
                    // Two products may want it turned differently.
                    if *found.entry(name).or_insert(matrix) != matrix {
                        others.insert(name);
                    }
                }
                (_, Some((name, _))) => {
                    others.insert(name);
                }
                (_, None) => {}
            }
        }
        // A graph inside may use any value from around it.
        if node.has_graphs || node.inputs.iter().any(|it| come_in.contains(it)) {
            come_in.extend(&node.outputs);
        }
    }
    let inside: Vec<_> = model
        .graph
        .nodes
        .iter()
        .filter(|it| it.has_graphs)
        .collect();
    found.retain(|name, _| !others.contains(name) && !inside.iter().any(|node| node.may_use(name)));
    Ok(found)
}

/// A node that multiplies something with a matrix.
#[derive(Clone, Copy)]
struct Product<'a> {
    matrix: &'a str,
    rows: &'a str,
    bias: Option<&'a str>,
    /// Whether the matrix is the left factor, and rows are columns.
    left: bool,
    /// Whether a right factor is stored turned.
    turned: bool,
}

impl<'a> Product<'a> {
    fn of(node: &Node<'a>, is_weight: &dyn Fn(&str) -> bool) -> Result<Option<Self>, Malformed> {
        if !node.is_standard() || node.outputs.len() != 1 {
            return Ok(None);
        }
        match (node.operator, &node.inputs[..]) {
            ("MatMul", &[rows, matrix]) => Ok(Some(Self {
                matrix,
                rows,
                bias: None,
                left: false,
                turned: false,
            })),
            ("Gemm", &[first, second, ref rest @ ..]) if rest.len() <= 1 => {
                let mut turned = false;
                for attribute in node.attributes() {
                    let attribute = attribute?;
                    match (attribute.name, &attribute.numbers[..]) {
                        (b"alpha" | b"beta", _) if attribute.float == 1.0 => {}
                        (b"transA", [0]) => {}
                        (b"transB", [0 | 1]) => turned = attribute.numbers == [1],
                        _ => return Ok(None),
                    }
                }
                let left = !turned && is_weight(first);
                let (matrix, rows) = if left {
                    (first, second)
                } else {
                    (second, first)
                };
                Ok(Some(Self {
                    matrix,
                    rows,
                    bias: rest.first().copied().filter(|it| !it.is_empty()),
                    left,
                    turned: left || turned,
                }))
            }
            _ => Ok(None),
        }
    }

    fn shape(&self, weight: &super::Weight) -> Option<Matrix> {
        let &[first, second] = &weight.dims[..] else {
            return None;
        };
        let (first, second) = (usize::try_from(first).ok()?, usize::try_from(second).ok()?);
        let large = first.checked_mul(second)? >= NUMBERS_MIN;
        let (inner, columns) = if self.turned {
            (second, first)
        } else {
            (first, second)
        };
        (large && weight.element == Element::Float).then_some(Matrix {
            inner,
            columns,
            turned: self.turned,
        })
    }
}

/// Names of this module's own values begin so; a template's begin with a letter.
const OWN: &str = "~";
const LEAST_NAME: &str = "~least";
const AXIS_NAME: &str = "~axis";

fn scale_of(weight: &str) -> String {
    format!("{OWN}scale {weight}")
}

struct Rewriting<'r> {
    matrices: &'r HashMap<&'r str, Matrix>,
    /// Whether axes are an input (operator set 18), not an attribute.
    axes_are_given: bool,
    filling: Filling,
    /// Rows that were rounded, by what they are of.
    rows: HashMap<(String, bool), Rows>,
    made: usize,
}

/// Rows in 8 bits: `numbers − zero`, times `step`, times `largest`.
#[derive(Clone)]
struct Rows {
    numbers: String,
    step: String,
    zero: String,
    /// One for each row.
    largest: String,
}

impl Rewriting<'_> {
    fn node(&mut self, node: &Node<'_>) -> Result<(), Malformed> {
        let product = Product::of(node, &|name| self.matrices.contains_key(name))?;
        let Some(product) = product.filter(|it| self.matrices.contains_key(it.matrix)) else {
            let node = node.write(&Names::default());
            self.filling.add(field::graph::NODE, node);
            return Ok(());
        };
        let rows = self.rows(product.rows, product.left);
        let scale = scale_of(product.matrix);
        let inputs = [
            &rows.numbers,
            product.matrix,
            &rows.step,
            &scale,
            &rows.zero,
        ];
        let sums = self.fresh();
        let mut multiply = plain("MatMulIntegerToFloat", &inputs, &sums);
        multiply.bytes(field::node::DOMAIN, DOMAIN.as_bytes());
        self.filling.add(field::graph::NODE, multiply);
        let mut made = self.one("Mul", &[&sums, &rows.largest], &[]);
        if product.left {
            made = self.turn(&made);
        }
        let output = node.outputs[0];
        let last = match product.bias {
            Some(bias) => plain("Add", &[&made, bias], output),
            None => plain("Identity", &[&made], output),
        };
        self.filling.add(field::graph::NODE, last);
        Ok(())
    }

    /// Each once, whatever it is multiplied with.
    fn rows(&mut self, of: &str, columns: bool) -> Rows {
        let key = (of.to_owned(), columns);
        if let Some(known) = self.rows.get(&key) {
            return known.clone();
        }
        let of = match columns {
            true => self.turn(of),
            false => of.to_owned(),
        };
        let sizes = self.one("Abs", &[&of], &[]);
        let largest = match self.axes_are_given {
            true => self.one("ReduceMax", &[&sizes, AXIS_NAME], &[]),
            false => self.one("ReduceMax", &[&sizes], &[("axes", Attribute::Ints(&[-1]))]),
        };
        let largest = self.one("Max", &[&largest, LEAST_NAME], &[]);
        let within = self.one("Div", &[&of, &largest], &[]);
        let [numbers, step, zero] = [self.fresh(), self.fresh(), self.fresh()];
        let mut round = plain("DynamicQuantizeLinear", &[&within], &numbers);
        round
            .bytes(field::node::OUTPUT, step.as_bytes())
            .bytes(field::node::OUTPUT, zero.as_bytes());
        self.filling.add(field::graph::NODE, round);
        let rows = Rows {
            numbers,
            step,
            zero,
            largest,
        };
        self.rows.insert(key, rows.clone());
        rows
    }

    fn turn(&mut self, matrix: &str) -> String {
        let order = Attribute::Ints(&[1, 0]);
        self.one("Transpose", &[matrix], &[("perm", order)])
    }

    fn one(&mut self, operator: &str, inputs: &[&str], told_: &[(&str, Attribute<'_>)]) -> String {
        let name = self.fresh();
        let node = told(operator, inputs, &name, told_);
        self.filling.add(field::graph::NODE, node);
        name
    }

    fn fresh(&mut self) -> String {
        self.made += 1;
        format!("{OWN}{}", self.made)
    }
}

impl Matrix {
    /// Its numbers in steps, rows by columns, and the step of each column as
    /// bytes of floats.
    fn round(&self, bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let float = |bits: &[u8; 4]| f32::from_le_bytes(*bits);
        let values = bytes.as_chunks::<4>().0;
        let mut largest = vec![0.0_f32; self.columns];
        match self.turned {
            true => {
                for (column, most) in values.chunks_exact(self.inner).zip(&mut largest) {
                    *most = column
                        .iter()
                        .map(float)
                        .fold(0.0, |it, value| it.max(value.abs()));
                }
            }
            false => {
                for row in values.chunks_exact(self.columns) {
                    for (value, most) in row.iter().zip(&mut largest) {
                        *most = most.max(float(value).abs());
                    }
                }
            }
        }
        let steps: Vec<f32> = largest.iter().map(|most| most / STEPS).collect();
        let inverse = |step: &f32| if *step > 0.0 { 1.0 / step } else { 0.0 };
        let inverses: Vec<f32> = steps.iter().map(inverse).collect();
        let mut numbers = vec![0_u8; values.len()];
        match self.turned {
            true => {
                // A square at a time, so that both sides stay in the cache.
                for from in (0..self.columns).step_by(SQUARE) {
                    let to = self.columns.min(from + SQUARE);
                    for inner in 0..self.inner {
                        let row = &mut numbers[inner * self.columns..][from..to];
                        for (number, column) in row.iter_mut().zip(from..) {
                            let value = float(&values[column * self.inner + inner]);
                            *number = nearest(value * inverses[column]);
                        }
                    }
                }
            }
            false => {
                let rows = values.chunks_exact(self.columns);
                for (row, numbers) in rows.zip(numbers.chunks_exact_mut(self.columns)) {
                    for ((value, inverse), number) in row.iter().zip(&inverses).zip(numbers) {
                        *number = nearest(float(value) * inverse);
                    }
                }
            }
        }
        let steps = steps.iter().flat_map(|step| step.to_le_bytes()).collect();
        (numbers, steps)
    }
}

const SQUARE: usize = 16;

/// The nearest whole number from -64 to 64, as a byte of two's complement; even
/// where two are as near. Adding 1.5 · 2^23 leaves no bits for a fraction.
fn nearest(value: f32) -> u8 {
    const WHOLE: f32 = 12_582_912.0;
    (value + WHOLE).to_bits() as u8
}

fn scalar(name: &str, value: f32) -> Message {
    constant(name, &[], field::element::FLOAT, &value.to_le_bytes())
}

fn last_axis() -> Message {
    constant(
        AXIS_NAME,
        &[1],
        field::element::INT64,
        &(-1_i64).to_le_bytes(),
    )
}

#[cfg(test)]
mod tests;
