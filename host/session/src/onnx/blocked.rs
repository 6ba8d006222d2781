//! A decoder in blocks of channels.
//!
//! MLAS, ONNX Runtime's library of kernels, convolves fastest where a block of
//! channels, as many as fit a register of the processor, lies side by side:
//! `[N, C / b, H, W, b]`. ONNX Runtime brings a graph into this layout itself
//! when it opens it (`NchwcTransformer`), but only convolutions of two
//! dimensions, and with weights that never change. A voice's have one dimension,
//! and in a slot its weights change. So the decoder is written with those
//! kernels (the operators of `com.microsoft.nchwc`) here, once for a template,
//! with convolutions of height 1 over weights that lie in blocks in the voice's
//! blob ([`Order`]).
//!
//! Every value has a blocked form, a plain one, or both: whatever node is not
//! known here gets plain values, so that any graph is right, and one of known
//! nodes never leaves the blocks. What follows a convolution, an addition and a
//! rectifier, becomes part of it. A transposed convolution whose stride divides
//! its kernel is one convolution that makes all its phases as channels
//! (sub-pixel convolution, arXiv 1609.05158).

mod asked;
mod forms;
mod told;
mod trial;

use std::collections::{HashMap, HashSet};

pub(super) use self::told::Attributes;
use self::told::slope;
pub(crate) use self::trial::{TRIAL_CHANNELS, reorder_model, trial_models};
use super::error::Malformed;
use super::graph::{Graph, Model, Names, Node, Tensor, told, weight_port};
use super::order::{Filter, Order};
use super::reach::{self, Reach};
use super::writer::CONDITION;
use vits::Attribute;
use vits::field;
use vits::message::Message;

/// Name of the input that says how many frames of a window are surroundings,
/// to the left and to the right: two whole numbers.
pub(crate) const CONTEXT: &str = "context";

/// The operators' domain, version 1.
const DOMAIN: &str = "com.microsoft.nchwc";

/// Larger weights stay as they are: one is held twice while it is brought into
/// order. The largest of a stock voice has 8 MiB.
const WEIGHT_MAX: usize = 32 << 20;

/// From this one on the operators take their parameters as inputs.
const OPERATOR_SET_MIN: u64 = 11;

/// A graph in blocks, and what its weights are in it.
pub(super) struct Blocked {
    pub(super) graph: Vec<u8>,
    /// By the names of weights, for those that are not as in the file.
    pub(super) orders: HashMap<String, Order>,
    /// Frames of the surroundings that are still there in the output, to each
    /// side, where there were as many; none if all of them are.
    pub(super) margin: Option<usize>,
}

/// The decoder of a template in blocks of so many channels; none if nothing in
/// it can be.
pub(super) fn blocked(decoder: &[u8], block: usize) -> Result<Option<Blocked>, Malformed> {
    let model = Model::parse(decoder)?;
    let graph = &model.graph;
    let old = model.operator_set() < OPERATOR_SET_MIN;
    if block < 2 || old || !graph.is_flat() {
        return Ok(None);
    }
    let mut rewriting = Rewriting::of(graph, block);
    if let [output] = &graph.outputs[..] {
        rewriting.reaches = reach::find(graph, output.name)?.unwrap_or_default();
    }
    for place in 0..graph.nodes.len() {
        rewriting.node(place)?;
    }
    if rewriting.orders.is_empty() {
        return Ok(None);
    }
    let mut message = Message::default();
    message.bytes(field::graph::NAME, b"graph");
    for port in &graph.outputs {
        rewriting.hand_out(port.name);
    }
    for node in rewriting.nodes {
        message.message(field::graph::NODE, node);
    }
    for tensor in rewriting.constants {
        message.message(field::graph::INITIALIZER, tensor);
    }
    let (orders, margin) = (rewriting.orders, rewriting.margin);
    if margin.is_some() {
        let port = vits::port(CONTEXT, field::element::INT64, &[Some(2)]);
        message.message(field::graph::INPUT, port);
    }
    for tensor in &graph.tensors {
        let dims = orders.get(tensor.name).map(|order| order.dims());
        message.message(
            field::graph::INITIALIZER,
            tensor.write_shaped(dims.as_ref())?,
        );
    }
    for input in &graph.inputs {
        let tensor = rewriting.tensors.get(input.name);
        let port = match (orders.get(input.name), tensor) {
            (Some(order), Some(tensor)) => weight_port(input.name, tensor.data_type, &order.dims()),
            _ => input.write(),
        };
        message.message(field::graph::INPUT, port);
    }
    for output in &graph.outputs {
        message.message(field::graph::OUTPUT, output.write());
    }
    let mut bytes = model.around(message);
    let mut more = Message::default();
    more.message(field::model::OPERATOR_SET, operator_set(DOMAIN, 1));
    // Fields of a message may come in any order.
    bytes.extend(more.finish());
    let orders = orders
        .into_iter()
        .map(|(name, order)| (name.to_owned(), order));
    Ok(Some(Blocked {
        graph: bytes,
        orders: orders.collect(),
        margin,
    }))
}

/// Nodes of this domain have operators of this version.
pub(super) fn operator_set(domain: &str, version: u64) -> Message {
    let mut set = Message::default();
    set.bytes(field::operator_set::DOMAIN, domain.as_bytes())
        .number(field::operator_set::VERSION, version);
    set
}

/// An operator of MLAS's blocked kernels.
fn nchwc(
    operator: &str,
    inputs: &[&str],
    output: &str,
    attributes: &[(&str, Attribute<'_>)],
) -> Message {
    let mut node = told(operator, inputs, output, attributes);
    node.bytes(field::node::DOMAIN, DOMAIN.as_bytes());
    node
}

struct Rewriting<'g, 'a> {
    graph: &'g Graph<'a>,
    block: usize,
    tensors: HashMap<&'a str, &'g Tensor<'a>>,
    /// Those that voices differ in.
    weights: HashSet<&'a str>,
    /// Places of the nodes that use a value, once for each use.
    uses: HashMap<&'a str, Vec<usize>>,
    makers: HashMap<&'a str, usize>,
    /// Nodes that are written, or part of one that is.
    done: HashSet<usize>,
    nodes: Vec<Message>,
    constants: Vec<Message>,
    known_constants: HashMap<Vec<i64>, String>,
    /// The blocked form of a value, and its channels.
    blocked: HashMap<&'a str, InBlocks>,
    /// What is made in blocks, and its plain form once somebody wants it.
    plain: HashMap<&'a str, Option<String>>,
    orders: HashMap<&'a str, Order>,
    reaches: HashMap<&'a str, Reach>,
    /// Frames of the surroundings that are still there.
    margin: Option<usize>,
    count: usize,
}

#[derive(Clone)]
struct InBlocks {
    name: String,
    channels: usize,
}

impl<'g, 'a> Rewriting<'g, 'a> {
    fn of(graph: &'g Graph<'a>, block: usize) -> Self {
        let mut uses: HashMap<_, Vec<_>> = HashMap::new();
        let mut makers = HashMap::new();
        for (place, node) in graph.nodes.iter().enumerate() {
            for name in &node.inputs {
                uses.entry(*name).or_default().push(place);
            }
            for name in &node.outputs {
                makers.insert(*name, place);
            }
        }
        let tensors: HashMap<_, _> = graph.tensors.iter().map(|it| (it.name, it)).collect();
        let inputs = graph.inputs.iter().map(|port| port.name);
        Self {
            graph,
            block,
            weights: inputs.filter(|name| tensors.contains_key(name)).collect(),
            tensors,
            uses,
            makers,
            done: HashSet::new(),
            nodes: Vec::new(),
            constants: Vec::new(),
            known_constants: HashMap::new(),
            blocked: HashMap::new(),
            plain: HashMap::new(),
            orders: HashMap::new(),
            reaches: HashMap::new(),
            margin: None,
            count: 0,
        }
    }

    fn node(&mut self, place: usize) -> Result<(), Malformed> {
        if !self.done.insert(place) {
            return Ok(());
        }
        let node = &self.graph.nodes[place];
        let known = match node.operator {
            _ if !node.is_standard() || node.outputs.len() != 1 => false,
            "Conv" => self.convolution(node)?,
            "ConvTranspose" => self.transposed(node)?,
            "LeakyRelu" | "Relu" | "Tanh" => self.each_number(node),
            "Div" | "Mul" => self.scaled(node)?,
            "Add" => self.sum(node),
            _ => false,
        };
        if known {
            return Ok(());
        }
        let mut names = Names::default();
        for name in &node.inputs {
            let plain = self.plain(name);
            names.set(name, plain);
        }
        self.nodes.push(node.write(&names));
        Ok(())
    }

    /// A convolution with whole blocks on both sides.
    fn convolution(&mut self, node: &Node<'a>) -> Result<bool, Malformed> {
        let Some((filter, attributes)) = self.filter(node, [0, 1])? else {
            return Ok(false);
        };
        if attributes.stride != 1 {
            return Ok(false);
        }
        // A condition is one column: nothing is gained there.
        if node.inputs[0] == CONDITION {
            return Ok(false);
        }
        let mut output = node.outputs[0];
        let mut bias = node.inputs.get(2).map(|name| (*name).to_owned());
        let mut sum = None;
        if let Some((place, other)) = self.only_use(output, "Add") {
            if let Some(other) = self.in_blocks(other, filter.outputs) {
                sum = Some(other.name.clone());
                output = self.take(place);
            } else if self.is_column(other)?
                && let Some(old) = &bias
            {
                // It may come later in the file.
                self.node(self.makers[other])?;
                let column = self.plain(other);
                let row = self.reshape(&column, &[-1]);
                let added = self.one("Add", &[&row, old]);
                bias = Some(added);
                output = self.take(place);
            }
        }
        let mut activation = None;
        if let Some((place, _)) = self.only_use(output, "LeakyRelu")
            && let Some(slope) = slope(&self.graph.nodes[place])?
        {
            activation = Some(slope);
            output = self.take(place);
        }
        let input = self.bring_to_blocks(node.inputs[0], filter.inputs);
        let mut inputs = vec![input.as_str(), node.inputs[1]];
        if let Some(bias) = &bias {
            inputs.push(bias);
        }
        if let Some(sum) = &sum {
            if bias.is_none() {
                inputs.push("");
            }
            inputs.push(sum);
        }
        let made = self.blocked_conv(&inputs, filter.kernel, &attributes, activation);
        self.orders.insert(node.inputs[1], Order::Blocks(filter));
        self.know(output, made, filter.outputs);
        Ok(true)
    }

    /// All phases as channels of one convolution, and then side by side.
    fn transposed(&mut self, node: &Node<'a>) -> Result<bool, Malformed> {
        let Some((filter, attributes)) = self.filter(node, [1, 0])? else {
            return Ok(false);
        };
        let rate = attributes.stride;
        let fits = rate > 0 && filter.kernel % rate == 0 && attributes.dilation == 1;
        if !fits || node.inputs[0] == CONDITION {
            return Ok(false);
        }
        let (taps, block) = (filter.kernel / rate, self.block);
        let wide = Attributes {
            pads: [taps as i64 - 1; 2],
            ..Attributes::default()
        };
        let input = self.bring_to_blocks(node.inputs[0], filter.inputs);
        let bias = node.inputs.get(2).map(|bias| {
            // One for each phase.
            let (groups, block) = ((filter.outputs / block) as i64, block as i64);
            let column = self.reshape(bias, &[groups, 1, block]);
            let shape = self.constant(&[groups, rate as i64, block]);
            let wide = self.one("Expand", &[&column, &shape]);
            self.reshape(&wide, &[-1])
        });
        let mut inputs = vec![input.as_str(), node.inputs[1]];
        inputs.extend(bias.as_deref());
        let phases = self.blocked_conv(&inputs, taps, &wide, None);
        let order = Order::Phases { filter, rate };
        self.orders.insert(node.inputs[1], order);
        let (groups, rate, block) = ((filter.outputs / block) as i64, rate as i64, block as i64);
        let apart = self.reshape(&phases, &[groups, rate, -1, block]);
        let turned = self.fresh();
        let order = Attribute::Ints(&[0, 2, 1, 3]);
        let transpose = told("Transpose", &[&apart], &turned, &[("perm", order)]);
        self.nodes.push(transpose);
        let long = self.reshape(&turned, &[groups, -1, block]);
        let [from, to] = self.cuts(node.outputs[0], attributes.pads);
        let axis = self.constant(&[1]);
        let length = self.one("Shape", &[&long]);
        let two = self.constant(&[2]);
        let length = self.one("Slice", &[&length, &axis, &two]);
        let end = self.one("Sub", &[&length, &to]);
        let cut = self.one("Slice", &[&long, &from, &end, &axis]);
        let made = self.reshape(&cut, &[1, filter.outputs as i64, 1, -1]);
        self.know(node.outputs[0], made, filter.outputs);
        Ok(true)
    }

    /// Positions to leave out on both sides of what a transposed convolution
    /// makes: its padding, and what nobody behind it listens to.
    fn cuts(&mut self, output: &str, pads: [i64; 2]) -> [String; 2] {
        let pads = pads.map(|pad| self.constant(&[pad]));
        let Some(reach) = self.reaches.get(output).copied() else {
            return pads;
        };
        let frames = reach.frames();
        let before = self.margin.replace(frames);
        let context = CONTEXT.to_owned();
        let had = match before {
            None => context.clone(),
            Some(before) => {
                let before = self.constant(&[before as i64]);
                self.one("Min", &[&context, &before])
            }
        };
        let most = self.constant(&[frames as i64]);
        let left = self.one("Min", &[&context, &most]);
        let frames = self.one("Sub", &[&had, &left]);
        let rate = self.constant(&[reach.rate() as i64]);
        let positions = self.one("Mul", &[&frames, &rate]);
        let [zero, one, two] = [0, 1, 2].map(|it| self.constant(&[it]));
        let sides = [(&zero, &one), (&one, &two)];
        let sides = sides.map(|(from, to)| self.one("Slice", &[&positions, from, to]));
        let [from, to] = [0, 1].map(|side| self.one("Add", &[&sides[side], &pads[side]]));
        [from, to]
    }

    /// What looks at one number at a time does not mind where it lies.
    fn each_number(&mut self, node: &Node<'a>) -> bool {
        let Some(input) = node.inputs.first().and_then(|name| self.blocked.get(name)) else {
            return false;
        };
        let InBlocks { name, channels } = input.clone();
        self.like(node, &[(node.inputs[0], name)], channels);
        true
    }

    /// By one number for all.
    fn scaled(&mut self, node: &Node<'a>) -> Result<bool, Malformed> {
        let [input, by] = node.inputs[..] else {
            return Ok(false);
        };
        let Some(InBlocks { name, channels }) = self.blocked.get(input).cloned() else {
            return Ok(false);
        };
        if input == by || !self.is_number(by)? {
            return Ok(false);
        }
        self.like(node, &[(input, name)], channels);
        Ok(true)
    }

    fn sum(&mut self, node: &Node<'a>) -> bool {
        let [one, two] = node.inputs[..] else {
            return false;
        };
        match (self.blocked.get(one), self.blocked.get(two)) {
            (Some(first), Some(second)) if first.channels == second.channels => {
                let channels = first.channels;
                let renamed = [(one, first.name.clone()), (two, second.name.clone())];
                self.like(node, &renamed, channels);
                true
            }
            _ => false,
        }
    }

    /// The same node, over blocked values.
    fn like(&mut self, node: &Node<'a>, inputs: &[(&'a str, String)], channels: usize) {
        let output = self.fresh();
        let mut names = Names::default();
        for (name, new) in inputs {
            names.set(name, new.clone());
        }
        names.set(node.outputs[0], output.clone());
        self.nodes.push(node.write(&names));
        self.know(node.outputs[0], output, channels);
    }

    /// It is part of what was written before it.
    fn take(&mut self, place: usize) -> &'a str {
        self.done.insert(place);
        self.graph.nodes[place].outputs[0]
    }

    fn in_blocks(&self, value: &str, channels: usize) -> Option<&InBlocks> {
        let found = self.blocked.get(value)?;
        (found.channels == channels).then_some(found)
    }
}

#[cfg(test)]
mod tests;
