//! Products with constant matrices, in 8 bits (arXiv 1712.05877): matrices are
//! rounded once, column by column, and what they are multiplied with as it
//! comes, row by row. And tables whose rows are looked up, row by row.
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

/// The largest number of a table's row, in steps: nothing is added up.
const TABLE_STEPS: f32 = 127.0;

/// From this one on initializers are no inputs.
const IR_VERSION_MIN: u64 = 4;

/// Of ONNX Runtime's own operators.
const DOMAIN: &str = "com.microsoft";

/// A row of nothing but zeros is divided by this.
const LEAST: f32 = 1e-20;

/// A weight that is kept in 8 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// To multiply with from the right.
    Matrix(Matrix),
    /// To look rows up in.
    Table { rows: usize, columns: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Matrix {
    /// Numbers that are added up: rows.
    inner: usize,
    columns: usize,
    /// Whether it is stored with its columns as rows.
    turned: bool,
}

/// A graph whose products are in 8 bits, before its weights are in it.
pub(crate) struct Quantized {
    /// By the number of the weight.
    kept: HashMap<usize, Kept>,
    filling: Filling,
}

impl Quantized {
    /// Of a template's whole graph.
    pub(crate) fn of(template: &Template) -> Result<Self, Malformed> {
        let model = Model::parse(&template.whole)?;
        let kept = find(template, &model)?;
        // Of an older version all initializers would come out as inputs.
        let mut head = model.head_from(IR_VERSION_MIN);
        if model.version_of(DOMAIN).is_none() {
            head.message(field::model::OPERATOR_SET, operator_set(DOMAIN, 1));
        }
        let mut rewriting = Rewriting {
            kept: &kept,
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
            let kept = kept.get(weight.name.as_str())?;
            Some((number, *kept))
        };
        let numbered = template.weights.iter().enumerate();
        Ok(Self {
            kept: numbered.filter_map(by_number).collect(),
            filling,
        })
    }

    /// Weights that are kept in 8 bits.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.kept.len()
    }

    /// Puts a weight into it: in 8 bits if it is kept so, else as it is.
    /// `bytes` are all of it.
    pub(crate) fn fill(&mut self, template: &Template, number: usize, bytes: &[u8]) {
        let weight = &template.weights[number];
        let mut add = |name: &str, dims: &[i64], element: Element, bytes: &[u8]| {
            let tensor = constant(name, dims, element.data_type(), bytes);
            self.filling.add(field::graph::INITIALIZER, tensor);
        };
        let (rounded, dims, step_dims) = match self.kept.get(&number) {
            None => return add(&weight.name, &weight.dims, weight.element, bytes),
            Some(Kept::Matrix(matrix)) => {
                let (inner, columns) = (matrix.inner as i64, matrix.columns as i64);
                (matrix.round(bytes), [inner, columns], vec![columns])
            }
            Some(Kept::Table { rows, columns }) => {
                let (rows, columns) = (*rows as i64, *columns as i64);
                let rounded = round_rows(bytes, columns as usize);
                (rounded, [rows, columns], vec![rows, 1])
            }
        };
        let (numbers, steps) = rounded;
        add(&weight.name, &dims, Element::Int8, &numbers);
        add(&step_of(&weight.name), &step_dims, Element::Float, &steps);
    }

    /// The model, once every weight was put into it.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.filling.finish()
    }
}

/// Matrices that products with what comes in are taken of, and tables that are
/// looked up by it, and nothing else; by name. What only other constants are multiplied with stays: it is computed
/// once, when a session opens.
fn find<'t>(
    template: &'t Template,
    model: &Model<'_>,
) -> Result<HashMap<&'t str, Kept>, Malformed> {
    let weights: HashMap<&'t str, &'t super::Weight> = template
        .weights
        .iter()
        .map(|weight| (weight.name.as_str(), weight))
        .collect();
    let mut come_in: HashSet<&str> = model.graph.inputs.iter().map(|it| it.name).collect();
    come_in.retain(|name| !weights.contains_key(name));
    let mut found: HashMap<&'t str, Kept> = HashMap::new();
    let mut others: HashSet<&str> = model.graph.outputs.iter().map(|it| it.name).collect();
    for node in &model.graph.nodes {
        let use_ = Use::of(node, &|name| weights.contains_key(name))?;
        let of_what_comes = use_.filter(|it| come_in.contains(it.rows()));
        let kept = of_what_comes.and_then(|it| Some((it, it.kept(weights.get(it.weight())?)?)));
        for name in &node.inputs {
            match (kept, weights.get_key_value(*name)) {
                (Some((use_, kept)), Some((name, _))) if *name == use_.weight() => {
                    // Two may want it turned differently.
                    if *found.entry(name).or_insert(kept) != kept {
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

/// A node that does with a weight what can be done in 8 bits.
#[derive(Clone, Copy)]
enum Use<'a> {
    Product(Product<'a>),
    /// Rows of a table, by their numbers.
    LookUp {
        table: &'a str,
        numbers: &'a str,
    },
}

impl<'a> Use<'a> {
    fn of(node: &Node<'a>, is_weight: &dyn Fn(&str) -> bool) -> Result<Option<Self>, Malformed> {
        let product = Product::of(node, is_weight)?;
        if let Some(product) = product {
            return Ok(Some(Self::Product(product)));
        }
        let &[table, numbers] = &node.inputs[..] else {
            return Ok(None);
        };
        if !node.is_standard() || node.operator != "Gather" || node.outputs.len() != 1 {
            return Ok(None);
        }
        for attribute in node.attributes() {
            if attribute?.numbers != [0] {
                return Ok(None);
            }
        }
        Ok(Some(Self::LookUp { table, numbers }))
    }

    fn weight(&self) -> &'a str {
        match self {
            Self::Product(product) => product.matrix,
            Self::LookUp { table, .. } => table,
        }
    }

    /// What comes in.
    fn rows(&self) -> &'a str {
        match self {
            Self::Product(product) => product.rows,
            Self::LookUp { numbers, .. } => numbers,
        }
    }

    fn kept(&self, weight: &super::Weight) -> Option<Kept> {
        let &[first, second] = &weight.dims[..] else {
            return None;
        };
        let (first, second) = (usize::try_from(first).ok()?, usize::try_from(second).ok()?);
        let large = first.checked_mul(second)? >= NUMBERS_MIN;
        if !large || weight.element != Element::Float {
            return None;
        }
        let turned = match self {
            Self::Product(product) => product.turned,
            Self::LookUp { .. } => {
                let (rows, columns) = (first, second);
                return Some(Kept::Table { rows, columns });
            }
        };
        let (inner, columns) = if turned {
            (second, first)
        } else {
            (first, second)
        };
        Some(Kept::Matrix(Matrix {
            inner,
            columns,
            turned,
        }))
    }
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
}

/// Names of this module's own values begin so; a template's begin with a letter.
const OWN: &str = "~";
const LEAST_NAME: &str = "~least";
const AXIS_NAME: &str = "~axis";

fn step_of(weight: &str) -> String {
    format!("{OWN}step {weight}")
}

struct Rewriting<'r> {
    kept: &'r HashMap<&'r str, Kept>,
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
        let use_ = Use::of(node, &|name| self.kept.contains_key(name))?;
        match use_.filter(|it| self.kept.contains_key(it.weight())) {
            None => self
                .filling
                .add(field::graph::NODE, node.write(&Names::default())),
            Some(Use::Product(product)) => self.product(&product, node.outputs[0]),
            Some(Use::LookUp { table, numbers }) => self.look_up(table, numbers, node.outputs[0]),
        }
        Ok(())
    }

    fn look_up(&mut self, table: &str, numbers: &str, output: &str) {
        let rows = self.one("Gather", &[table, numbers], &[]);
        let float = Attribute::Int(field::element::FLOAT.cast_signed());
        let rows = self.one("Cast", &[&rows], &[("to", float)]);
        let steps = self.one("Gather", &[&step_of(table), numbers], &[]);
        let found = plain("Mul", &[&rows, &steps], output);
        self.filling.add(field::graph::NODE, found);
    }

    fn product(&mut self, product: &Product<'_>, output: &str) {
        let rows = self.rows(product.rows, product.left);
        let scale = step_of(product.matrix);
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
        let last = match product.bias {
            Some(bias) => plain("Add", &[&made, bias], output),
            None => plain("Identity", &[&made], output),
        };
        self.filling.add(field::graph::NODE, last);
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
        let (steps, inverses) = steps(&largest, STEPS);
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
        (numbers, steps)
    }
}

/// Steps as bytes of floats, so many for the largest number of each, and what
/// to multiply with to count in them.
fn steps(largest: &[f32], most: f32) -> (Vec<u8>, Vec<f32>) {
    let steps = largest.iter().map(|largest| largest / most);
    let inverse = |step: f32| if step > 0.0 { 1.0 / step } else { 0.0 };
    let inverses = steps.clone().map(inverse).collect();
    (steps.flat_map(f32::to_le_bytes).collect(), inverses)
}

/// Numbers of a table in steps, and the step of each row.
fn round_rows(bytes: &[u8], columns: usize) -> (Vec<u8>, Vec<u8>) {
    let float = |bits: &[u8; 4]| f32::from_le_bytes(*bits);
    let rows = bytes.as_chunks::<4>().0.chunks_exact(columns);
    let most = |row: &[[u8; 4]]| {
        let sizes = row.iter().map(|it| float(it).abs());
        sizes.fold(0.0, f32::max)
    };
    let largest: Vec<f32> = rows.clone().map(most).collect();
    let (steps, inverses) = steps(&largest, TABLE_STEPS);
    let mut numbers = Vec::with_capacity(bytes.len() / 4);
    for (row, inverse) in rows.zip(inverses) {
        numbers.extend(row.iter().map(|it| nearest(float(it) * inverse)));
    }
    (numbers, steps)
}

const SQUARE: usize = 16;

/// The nearest whole number from -127 to 127, as a byte of two's complement; even
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
