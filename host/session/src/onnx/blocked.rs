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

use std::collections::{HashMap, HashSet};

use super::error::Malformed;
use super::graph::{Graph, Model, Names, Node, Tensor, weight_port};
use super::order::{Filter, Order};
use super::reach::{self, Reach};
use super::writer::CONDITION;
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
        let tensor = graph.tensors.iter().find(|it| it.name == input.name);
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
    let mut set = Message::default();
    set.bytes(field::operator_set::DOMAIN, DOMAIN.as_bytes())
        .number(field::operator_set::VERSION, 1);
    let mut more = Message::default();
    more.message(field::model::OPERATOR_SET, set);
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

/// A value of four channels, brought into blocks: its shape says how many a
/// block has here.
pub(crate) fn reorder_model() -> Vec<u8> {
    let mut graph = Message::default();
    let mut node = written("ReorderInput", &["x"], "y");
    node.bytes(field::node::DOMAIN, DOMAIN.as_bytes());
    graph.bytes(field::graph::NAME, b"graph");
    graph.message(field::graph::NODE, node);
    let port = |name| vits::port(name, field::element::FLOAT, &[None; 4]);
    graph.message(field::graph::INPUT, port("x"));
    graph.message(field::graph::OUTPUT, port("y"));
    model_of(graph, &["", DOMAIN])
}

/// Channels of the convolution that is tried, and its kernel: those of a stock
/// voice's second stage.
pub(crate) const TRIAL_CHANNELS: usize = 128;
const KERNEL: usize = 7;

/// One convolution over weights that may change, in blocks and as it is.
pub(crate) fn trial_models(block: usize) -> Result<(Vec<u8>, Vec<u8>), Malformed> {
    let channels = TRIAL_CHANNELS;
    let dims = [channels as i64, channels as i64, KERNEL as i64];
    let mut graph = Message::default();
    let mut node = written("Conv", &["x", "w"], "y");
    let pad = KERNEL as i64 / 2;
    ints(&mut node, "pads", &[pad, pad]);
    graph.bytes(field::graph::NAME, b"graph");
    graph.message(field::graph::NODE, node);
    let values = (0..channels * channels * KERNEL).map(|it| (it * 31 % 97) as f32 / 5e4);
    let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
    let mut tensor = Message::default();
    for dim in dims {
        tensor.number(field::tensor::DIMS, dim.cast_unsigned());
    }
    tensor
        .number(field::tensor::DATA_TYPE, field::element::FLOAT)
        .bytes(field::tensor::NAME, b"w")
        .bytes(field::tensor::RAW_DATA, &bytes);
    graph.message(field::graph::INITIALIZER, tensor);
    graph.message(field::graph::INPUT, super::graph::float_port("x"));
    graph.message(
        field::graph::INPUT,
        weight_port("w", field::element::FLOAT, &dims),
    );
    graph.message(field::graph::OUTPUT, super::graph::float_port("y"));
    let rows = model_of(graph, &[""]);
    let blocks = blocked(&rows, block)?.ok_or(Malformed::Has("nothing for blocks"))?;
    Ok((blocks.graph, rows))
}

fn model_of(graph: Message, domains: &[&str]) -> Vec<u8> {
    let mut model = Message::default();
    model.number(field::model::IR_VERSION, 8);
    for domain in domains {
        let version = if domain.is_empty() { 17 } else { 1 };
        let mut set = Message::default();
        set.bytes(field::operator_set::DOMAIN, domain.as_bytes())
            .number(field::operator_set::VERSION, version);
        model.message(field::model::OPERATOR_SET, set);
    }
    model.message(field::model::GRAPH, graph);
    model.finish()
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
        let mut transpose = written("Transpose", &[&apart], &turned);
        ints(&mut transpose, "perm", &[0, 2, 1, 3]);
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

    /// The sizes of a convolution that can be in blocks, where its weight is
    /// a voice's and serves nothing else. `axes` are those of the weight's
    /// outputs and inputs.
    fn filter(
        &self,
        node: &Node<'a>,
        axes: [usize; 2],
    ) -> Result<Option<(Filter, Attributes)>, Malformed> {
        let (Some(input), Some(weight)) = (node.inputs.first(), node.inputs.get(1)) else {
            return Ok(None);
        };
        let own = self.weights.contains(weight)
            && self.uses.get(weight).is_some_and(|uses| uses.len() == 1)
            && !self.tensors.contains_key(input);
        let Some(tensor) = self.tensors.get(weight).filter(|_| own) else {
            return Ok(None);
        };
        let dims: Vec<usize> = tensor.dims.iter().map(|dim| *dim as usize).collect();
        let (Some(attributes), &[_, _, kernel]) = (Attributes::of(node)?, &dims[..]) else {
            return Ok(None);
        };
        let filter = Filter {
            outputs: dims[axes[0]],
            inputs: dims[axes[1]],
            kernel,
            block: self.block,
        };
        let whole = |channels: usize| channels > 0 && channels.is_multiple_of(self.block);
        let small = dims.iter().product::<usize>() <= WEIGHT_MAX / 4;
        let biased = match node.inputs.get(2) {
            Some(bias) => {
                let dims = self.tensors.get(bias).map(|it| it.dims.as_slice());
                dims == Some(&[filter.outputs as i64])
            }
            None => true,
        };
        let fits = kernel > 0
            && tensor.data_type == field::element::FLOAT
            && whole(filter.outputs)
            && whole(filter.inputs)
            && small
            && biased
            && attributes.kernel.is_none_or(|it| it == kernel);
        Ok(fits.then_some((filter, attributes)))
    }

    /// The one node that uses a value, if it is of this kind, and what else
    /// that uses.
    fn only_use(&self, value: &str, operator: &str) -> Option<(usize, &'a str)> {
        let [place] = self.uses.get(value)?[..] else {
            return None;
        };
        let handed_out = self.graph.outputs.iter().any(|port| port.name == value);
        let node = &self.graph.nodes[place];
        let fits = node.operator == operator && node.is_standard() && node.outputs.len() == 1;
        if handed_out || !fits {
            return None;
        }
        let other = node.inputs.iter().find(|name| **name != value);
        Some((place, other.copied().unwrap_or_default()))
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

    /// Whether a value has one number for each channel: what a convolution of
    /// kernel 1 makes of the condition.
    fn is_column(&self, value: &str) -> Result<bool, Malformed> {
        let Some(node) = self.makers.get(value).map(|it| &self.graph.nodes[*it]) else {
            return Ok(false);
        };
        if node.operator != "Conv" || !node.is_standard() || node.inputs[0] != CONDITION {
            return Ok(false);
        }
        let attributes = Attributes::of(node)?;
        let weight = node.inputs.get(1).and_then(|name| self.tensors.get(name));
        let pointwise = weight.is_some_and(|it| matches!(it.dims[..], [_, _, 1]));
        Ok(pointwise && attributes.is_some_and(|it| it.pads == [0, 0]))
    }

    /// Whether a value is one number that the graph itself has.
    fn is_number(&self, value: &str) -> Result<bool, Malformed> {
        if let Some(tensor) = self.tensors.get(value) {
            return Ok(matches!(tensor.dims[..], [] | [1]));
        }
        let Some(node) = self.makers.get(value).map(|it| &self.graph.nodes[*it]) else {
            return Ok(false);
        };
        if node.operator != "Constant" || !node.is_standard() {
            return Ok(false);
        }
        for attribute in node.attributes() {
            let attribute = attribute?;
            match attribute.name {
                b"value_float" => return Ok(true),
                b"value" => {
                    let dims = Tensor::parse(attribute.tensor)?.dims;
                    return Ok(matches!(dims[..], [] | [1]));
                }
                _ => {}
            }
        }
        Ok(false)
    }

    /// A value that is made in blocks.
    fn know(&mut self, value: &'a str, name: String, channels: usize) {
        self.blocked.insert(value, InBlocks { name, channels });
        self.plain.insert(value, None);
    }

    /// The blocked form of a value, made now if there is none.
    fn bring_to_blocks(&mut self, value: &'a str, channels: usize) -> String {
        if let Some(known) = self.in_blocks(value, channels) {
            return known.name.clone();
        }
        let plain = self.plain(value);
        let flat = self.reshape(&plain, &[0, 0, 1, -1]);
        let name = self.fresh();
        let mut node = written("ReorderInput", &[&flat], &name);
        node.bytes(field::node::DOMAIN, DOMAIN.as_bytes());
        self.nodes.push(node);
        let known = InBlocks {
            name: name.clone(),
            channels,
        };
        self.blocked.insert(value, known);
        name
    }

    /// The plain form of a value, made now if it has only the blocked one.
    fn plain(&mut self, value: &'a str) -> String {
        match self.plain.get(value) {
            None => value.to_owned(),
            Some(Some(name)) => name.clone(),
            Some(None) => {
                let name = self.fresh();
                self.write_plain(value, &name);
                self.plain.insert(value, Some(name.clone()));
                name
            }
        }
    }

    fn write_plain(&mut self, value: &str, name: &str) {
        let InBlocks {
            name: blocked,
            channels,
        } = self.blocked[value].clone();
        let flat = self.fresh();
        let mut node = written("ReorderOutput", &[&blocked], &flat);
        int(&mut node, "channels", channels as i64);
        node.bytes(field::node::DOMAIN, DOMAIN.as_bytes());
        self.nodes.push(node);
        let shape = self.constant(&[0, 0, -1]);
        self.nodes.push(written("Reshape", &[&flat, &shape], name));
    }

    /// What leaves the graph is plain and has its own name.
    fn hand_out(&mut self, value: &str) {
        if self.plain.contains_key(value) {
            self.write_plain(value, value);
        }
    }

    fn blocked_conv(
        &mut self,
        inputs: &[&str],
        kernel: usize,
        attributes: &Attributes,
        activation: Option<f32>,
    ) -> String {
        let name = self.fresh();
        let mut node = written("Conv", inputs, &name);
        let [from, to] = attributes.pads;
        ints(&mut node, "kernel_shape", &[1, kernel as i64]);
        ints(&mut node, "dilations", &[1, attributes.dilation as i64]);
        ints(&mut node, "strides", &[1, 1]);
        ints(&mut node, "pads", &[0, from, 0, to]);
        if let Some(slope) = activation {
            text(&mut node, "activation", "LeakyRelu");
            floats(&mut node, "activation_params", &[slope]);
        }
        node.bytes(field::node::DOMAIN, DOMAIN.as_bytes());
        self.nodes.push(node);
        name
    }

    fn reshape(&mut self, value: &str, shape: &[i64]) -> String {
        let shape = self.constant(shape);
        self.one("Reshape", &[value, &shape])
    }

    fn one(&mut self, operator: &str, inputs: &[&str]) -> String {
        let name = self.fresh();
        self.nodes.push(written(operator, inputs, &name));
        name
    }

    fn constant(&mut self, values: &[i64]) -> String {
        if let Some(name) = self.known_constants.get(values) {
            return name.clone();
        }
        let name = self.fresh();
        let bytes: Vec<u8> = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        let mut tensor = Message::default();
        tensor
            .number(field::tensor::DIMS, values.len() as u64)
            .number(field::tensor::DATA_TYPE, field::element::INT64)
            .bytes(field::tensor::NAME, name.as_bytes())
            .bytes(field::tensor::RAW_DATA, &bytes);
        self.constants.push(tensor);
        self.known_constants.insert(values.to_vec(), name.clone());
        name
    }

    /// A name that a template has for nothing.
    fn fresh(&mut self) -> String {
        self.count += 1;
        format!("blocked{}", self.count)
    }
}

/// What a convolution is told, in one dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) kernel: Option<usize>,
    pub(super) dilation: usize,
    pub(super) stride: usize,
    pub(super) pads: [i64; 2],
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            kernel: None,
            dilation: 1,
            stride: 1,
            pads: [0, 0],
        }
    }
}

impl Attributes {
    /// None if it is told what is not known here.
    pub(super) fn of(node: &Node<'_>) -> Result<Option<Self>, Malformed> {
        let mut found = Self::default();
        for attribute in node.attributes() {
            let attribute = attribute?;
            let small = |it: u64| u32::try_from(it).ok();
            let numbers: Option<Vec<u32>> = attribute.numbers.iter().map(|it| small(*it)).collect();
            let numbers = numbers.unwrap_or_default();
            match (attribute.name, &numbers[..]) {
                (b"kernel_shape", [kernel]) => found.kernel = Some(*kernel as usize),
                (b"dilations", [dilation]) => found.dilation = *dilation as usize,
                (b"strides", [stride]) => found.stride = *stride as usize,
                (b"pads", [from, to]) => found.pads = [i64::from(*from), i64::from(*to)],
                (b"group", [1]) | (b"output_padding", [0]) => {}
                (b"auto_pad", []) if attribute.text == b"NOTSET" => {}
                _ => return Ok(None),
            }
        }
        Ok(Some(found))
    }
}

/// Below zero; ONNX's own if none is told.
fn slope(node: &Node<'_>) -> Result<Option<f32>, Malformed> {
    let mut slope = 0.01;
    for attribute in node.attributes() {
        let attribute = attribute?;
        match attribute.name {
            b"alpha" => slope = attribute.float,
            _ => return Ok(None),
        }
    }
    Ok(Some(slope))
}

fn written(operator: &str, inputs: &[&str], output: &str) -> Message {
    super::graph::plain(operator, inputs, output)
}

fn attribute(node: &mut Message, name: &str, kind: u64, write: impl FnOnce(&mut Message)) {
    let mut attribute = Message::default();
    attribute.bytes(field::attribute::NAME, name.as_bytes());
    write(&mut attribute);
    attribute.number(field::attribute::TYPE, kind);
    node.message(field::node::ATTRIBUTE, attribute);
}

/// Kinds of attributes, `AttributeProto.AttributeType`.
const INT: u64 = 2;
const STRING: u64 = 3;
const FLOATS: u64 = 6;
const INTS: u64 = 7;

fn int(node: &mut Message, name: &str, value: i64) {
    attribute(node, name, INT, |it| {
        it.number(field::attribute::INT, value.cast_unsigned());
    });
}

fn ints(node: &mut Message, name: &str, values: &[i64]) {
    attribute(node, name, INTS, |it| {
        for value in values {
            it.number(field::attribute::INTS, value.cast_unsigned());
        }
    });
}

fn floats(node: &mut Message, name: &str, values: &[f32]) {
    attribute(node, name, FLOATS, |it| {
        for value in values {
            it.fixed32(field::attribute::FLOATS, value.to_bits());
        }
    });
}

fn text(node: &mut Message, name: &str, value: &str) {
    attribute(node, name, STRING, |it| {
        it.bytes(field::attribute::TEXT, value.as_bytes());
    });
}

#[cfg(test)]
mod tests;
