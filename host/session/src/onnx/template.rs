//! A user's ONNX file → a template without weights, and where the weights are.
//!
//! Voices of one architecture give the same template byte for byte: values and
//! nodes are renamed in the order of the file, and what differs between voices
//! — every float initializer that is no scalar — is left out. What is left out is
//! also an input, so that nobody takes it for a constant: ONNX Runtime would
//! compute with its values when a session opens, and keep what came of it. At
//! the same time the graph is cut where its decoder begins, and its dice are
//! taken from it, if that can be.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};

use super::dice;
use super::graph::{Data, Graph, Model, Names, Node, Tensor, float_port, weight_port};
use super::widen;
use super::wire::Message;
use crate::slab::round_up;
use crate::source::hex;

/// A graph without weights, shared by all voices of its architecture.
pub struct Template {
    /// Hex sha256 of the whole graph's bytes.
    pub digest: String,
    whole: Vec<u8>,
    cut: Result<Cut, String>,
    pub weights: Vec<Weight>,
    /// Of one voice's weights, each at its offset.
    pub blob_bytes: usize,
}

/// The graph in two: features and tokens → latent, latent → samples.
struct Cut {
    front: Vec<u8>,
    decoder: Vec<u8>,
    front_weights: Vec<usize>,
    decoder_weights: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Whole,
    Front,
    Decoder,
}

/// One tensor of a voice, and its place in the voice's blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    pub name: String,
    pub dims: Vec<i64>,
    pub element: Element,
    pub offset: usize,
    pub bytes: usize,
}

impl Weight {
    /// An initializer without values, which come from elsewhere, and the input
    /// that it fills.
    fn write(&self, graph: &mut Message) {
        let data_type = self.element.data_type();
        let mut tensor = Message::default();
        for dim in &self.dims {
            tensor.number(1, dim.cast_unsigned());
        }
        tensor.number(2, data_type).bytes(8, self.name.as_bytes());
        let mut entry = |key: &str, value: &str| {
            let mut entry = Message::default();
            entry.bytes(1, key.as_bytes()).bytes(2, value.as_bytes());
            tensor.message(13, entry);
        };
        entry("location", "weights");
        entry("offset", &self.offset.to_string());
        entry("length", &self.bytes.to_string());
        tensor.number(14, 1);
        graph.message(5, tensor);
        graph.message(11, weight_port(&self.name, data_type, &self.dims));
    }
}

/// The element types that weights are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    Float,
    Float16,
    BFloat16,
    Int8,
    Uint8,
}

impl Element {
    pub(super) fn of(data_type: u64) -> Option<Self> {
        match data_type {
            1 => Some(Self::Float),
            2 => Some(Self::Uint8),
            3 => Some(Self::Int8),
            10 => Some(Self::Float16),
            16 => Some(Self::BFloat16),
            _ => None,
        }
    }

    /// Of one value as an ONNX file has it.
    pub(super) fn data_type(self) -> u64 {
        match self {
            Self::Float => 1,
            Self::Uint8 => 2,
            Self::Int8 => 3,
            Self::Float16 => 10,
            Self::BFloat16 => 16,
        }
    }

    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Float => 4,
            Self::Float16 | Self::BFloat16 => 2,
            Self::Int8 | Self::Uint8 => 1,
        }
    }
}

/// Where a weight's bytes lie in a user's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// None is the model file itself.
    pub(crate) file: Option<String>,
    pub(crate) offset: usize,
    pub(crate) bytes: usize,
    /// As it is stored; a half that every use casts to float first is one in
    /// the template.
    pub(crate) element: Element,
}

impl Template {
    /// Enough of the digest to tell templates apart in a log.
    pub(crate) fn short(&self) -> String {
        self.digest.chars().take(8).collect()
    }

    pub fn graph(&self, part: Part) -> &[u8] {
        match (part, &self.cut) {
            (Part::Front, Ok(cut)) => &cut.front,
            (Part::Decoder, Ok(cut)) => &cut.decoder,
            (_, _) => &self.whole,
        }
    }

    /// The weights that a part of the graph uses.
    pub fn weights_of(&self, part: Part) -> impl Iterator<Item = &Weight> {
        let chosen = match (part, &self.cut) {
            (Part::Front, Ok(cut)) => Some(&cut.front_weights),
            (Part::Decoder, Ok(cut)) => Some(&cut.decoder_weights),
            (_, _) => None,
        };
        let all = chosen.is_none().then_some(&self.weights);
        let some = chosen.into_iter().flatten().map(|i| &self.weights[*i]);
        all.into_iter().flatten().chain(some)
    }

    /// Whether the decoder can run by itself, in windows; else why not.
    pub fn is_cut(&self) -> Result<(), &str> {
        self.cut.as_ref().map(|_| ()).map_err(String::as_str)
    }
}

/// Takes a model apart. `external` reads what an initializer that is no weight
/// keeps in another file.
pub(crate) fn split(
    bytes: &[u8],
    output: &str,
    external: impl Fn(&str, u64, Option<u64>) -> Result<Vec<u8>, String>,
) -> Result<(Template, Vec<Piece>), String> {
    super::examine::check(bytes)?;
    let mut model = Model::parse(bytes)?;
    let simple = model.graph.is_flat();
    let widened = match simple {
        true => widen::take_casts(&mut model.graph),
        false => HashSet::new(),
    };
    let graph = &model.graph;
    let names = if simple {
        canonical(graph, output)
    } else {
        // Names inside an inner graph may mean values of the outer one.
        Names::default()
    };

    let mut weights = Vec::new();
    let mut pieces = Vec::new();
    let mut place = HashMap::new();
    let mut offset = 0;
    let mut order: Vec<_> = graph.tensors.iter().collect();
    if simple {
        // Files may list them in another order than the nodes use them.
        let rank = |tensor: &&Tensor<'_>| number_of(names.get(tensor.name));
        order.retain(|tensor| names.has(tensor.name));
        order.sort_by_key(rank);
    }
    for tensor in &order {
        let Some(piece) = weight(tensor, bytes)? else {
            continue;
        };
        place.insert(tensor.name, weights.len());
        let element = match widened.contains(tensor.name) {
            true => Element::Float,
            false => piece.element,
        };
        let bytes = piece.bytes / piece.element.bytes() * element.bytes();
        weights.push(Weight {
            name: names.get(tensor.name).to_owned(),
            dims: tensor.dims.clone(),
            element,
            offset,
            bytes,
        });
        offset += round_up(bytes);
        pieces.push(piece);
    }

    let mut constants = HashMap::new();
    for tensor in &order {
        if place.contains_key(tensor.name) {
            continue;
        }
        let name = names.get(tensor.name);
        let written = match &tensor.data {
            Data::External {
                location,
                offset,
                length,
            } => tensor.write(name, Some(&external(location, *offset, *length)?))?,
            Data::Inline(_) | Data::Other => tensor.write(name, None)?,
        };
        constants.insert(tensor.name, written.finish());
    }
    let writer = Writer {
        dice: if simple {
            find_dice(graph)
        } else {
            HashMap::new()
        },
        model: &model,
        names: &names,
        order: &order,
        constants: &constants,
        weights: &weights,
        place: &place,
    };
    let whole = writer.whole(output, simple)?;
    let cut = if simple {
        writer.cut(output)
    } else {
        Err("it has graphs inside its nodes".to_owned())
    };
    let digest = hex(&Sha256::digest(&whole));
    let template = Template {
        digest,
        whole,
        cut,
        weights,
        blob_bytes: offset.max(1),
    };
    Ok((template, pieces))
}

/// The dice by their outputs, counted; none if they cannot all be replaced, or
/// if the decoder throws some of them.
fn find_dice<'a>(graph: &Graph<'a>) -> HashMap<&'a str, usize> {
    let nodes: Vec<_> = graph.nodes.iter().collect();
    let found = dice::find(&nodes).unwrap_or_default();
    if found.iter().any(|place| in_decoder(nodes[*place])) {
        return HashMap::new();
    }
    let output = |place: &usize| nodes[*place].outputs.first().copied();
    let outputs = found.iter().filter_map(output);
    outputs
        .enumerate()
        .map(|(number, output)| (output, number))
        .collect()
}

fn in_decoder(node: &Node<'_>) -> bool {
    node.name.starts_with("/dec/")
}

/// Names by first appearance: `v0`, `v1`, … for values, `w0`, `w1`, … for
/// initializers. Inputs and `output` keep theirs: they are the interface.
fn canonical<'a>(graph: &Graph<'a>, output: &str) -> Names<'a> {
    let initializers: HashSet<_> = graph.tensors.iter().map(|tensor| tensor.name).collect();
    let mut names = Names::default();
    for port in &graph.inputs {
        if !initializers.contains(port.name) {
            names.set(port.name, port.name.to_owned());
        }
    }
    let (mut values, mut weights) = (0, 0);
    for node in &graph.nodes {
        for name in &node.inputs {
            if initializers.contains(name) && !names.has(name) {
                names.set(name, format!("w{weights}"));
                weights += 1;
            }
        }
        for name in &node.outputs {
            if *name == output {
                names.set(name, output.to_owned());
            } else if !name.is_empty() && !names.has(name) {
                names.set(name, format!("v{values}"));
                values += 1;
            }
        }
    }
    names
}

fn number_of(name: &str) -> usize {
    name.get(1..)
        .unwrap_or_default()
        .parse()
        .unwrap_or(usize::MAX)
}

/// Where the tensor's bytes lie if it is a weight: what voices differ in.
/// Scalars are the architecture's own constants.
fn weight(tensor: &Tensor<'_>, model: &[u8]) -> Result<Option<Piece>, String> {
    let Some(element) = Element::of(tensor.data_type) else {
        return Ok(None);
    };
    if tensor.dims.is_empty() {
        return Ok(None);
    }
    let wrong = |said: &str| format!("the weight `{}` {said}", tensor.name);
    let bytes = tensor
        .dims
        .iter()
        .try_fold(element.bytes(), |product, dim| {
            product.checked_mul(usize::try_from(*dim).ok()?)
        })
        .ok_or_else(|| wrong("has an impossible shape"))?;
    let piece = match &tensor.data {
        Data::Other => return Ok(None),
        Data::Inline(values) => Piece {
            file: None,
            // Both are parts of one slice.
            offset: (values.as_ptr() as usize).wrapping_sub(model.as_ptr() as usize),
            bytes: values.len(),
            element,
        },
        Data::External {
            location,
            offset,
            length,
        } => Piece {
            file: Some((*location).to_owned()),
            offset: usize::try_from(*offset).map_err(|_| wrong("lies too far"))?,
            bytes: match length {
                Some(length) => usize::try_from(*length).map_err(|_| wrong("is too long"))?,
                None => bytes,
            },
            element,
        },
    };
    if piece.bytes != bytes {
        return Err(wrong(&format!(
            "has {} bytes, its shape {:?} says {bytes}",
            piece.bytes, tensor.dims
        )));
    }
    Ok((bytes > 0).then_some(piece))
}

struct Writer<'w, 'a> {
    /// Number of each die, by its output.
    dice: HashMap<&'a str, usize>,
    model: &'w Model<'a>,
    names: &'w Names<'a>,
    order: &'w [&'w Tensor<'a>],
    /// Initializers that are no weights, as they are written.
    constants: &'w HashMap<&'a str, Vec<u8>>,
    weights: &'w [Weight],
    /// Of the initializers that are weights.
    place: &'w HashMap<&'a str, usize>,
}

impl<'a> Writer<'_, 'a> {
    /// The whole graph, of which only `output` is ever fetched.
    fn whole(&self, output: &str, simple: bool) -> Result<Vec<u8>, String> {
        let graph = &self.model.graph;
        let port = graph.outputs.iter().find(|port| port.name == output);
        let port = port.ok_or_else(|| format!("it has no output `{output}`"))?;
        let mut message = self.start();
        self.nodes(&mut message, graph.nodes.iter(), self.names);
        for tensor in self.order {
            self.initializer(&mut message, tensor);
        }
        let initializers: HashSet<_> = graph.tensors.iter().map(|tensor| tensor.name).collect();
        for input in &graph.inputs {
            let given = !initializers.contains(input.name);
            if given || !simple && !self.place.contains_key(input.name) {
                message.message(11, input.write());
            }
        }
        if !self.dice.is_empty() {
            message.message(11, dice::port());
        }
        message.message(12, port.write());
        Ok(self.model.around(message))
    }

    /// A constant, or a weight, and then which.
    fn initializer(&self, graph: &mut Message, tensor: &Tensor<'a>) -> Option<usize> {
        let weight = self.place.get(tensor.name).copied();
        match weight {
            Some(weight) => self.weights[weight].write(graph),
            None => {
                graph.bytes(5, &self.constants[tensor.name]);
            }
        }
        weight
    }

    /// Nodes, and for a die what stands in its place.
    fn nodes<'n>(
        &self,
        message: &mut Message,
        nodes: impl Iterator<Item = &'n Node<'a>>,
        names: &Names<'a>,
    ) where
        'a: 'n,
    {
        for node in nodes {
            let die = node
                .outputs
                .first()
                .and_then(|output| self.dice.get(output));
            match die {
                Some(number) => {
                    for node in dice::replace(node, names, *number) {
                        message.message(1, node);
                    }
                }
                None => {
                    message.message(1, node.write(names));
                }
            }
        }
    }

    fn start(&self) -> Message {
        let mut message = Message::default();
        message.bytes(2, b"graph");
        message
    }

    /// Cuts at the decoder's two inputs: the latent, which has the length of
    /// the speech, and the speaker's condition, which has none.
    fn cut(&self, output: &str) -> Result<Cut, String> {
        let graph = &self.model.graph;
        let (decoder, front): (Vec<_>, Vec<_>) =
            graph.nodes.iter().partition(|node| in_decoder(node));
        let makes = |nodes: &[&Node<'a>]| -> HashSet<&str> {
            nodes.iter().flat_map(|node| node.outputs.clone()).collect()
        };
        let (made_in_decoder, made_in_front) = (makes(&decoder), makes(&front));
        if !made_in_decoder.contains(output) {
            return Err("no nodes called `/dec/…` make its output".to_owned());
        }
        if front.iter().any(|node| {
            node.inputs
                .iter()
                .any(|name| made_in_decoder.contains(name))
        }) {
            return Err("its decoder feeds what comes before it".to_owned());
        }
        let mut latent = None;
        let mut condition = None;
        for node in &decoder {
            for name in &node.inputs {
                if !made_in_front.contains(name) {
                    continue;
                }
                let part = match (node.operator, node.name) {
                    ("Conv", conv) if conv.contains("/conv_pre/") => &mut latent,
                    ("Conv", conv) if conv.contains("/cond/") => &mut condition,
                    (_, other) => {
                        return Err(format!(
                            "its decoder takes more than a latent, at `{other}`"
                        ));
                    }
                };
                if part.is_some_and(|known| known != *name) {
                    return Err("its decoder takes two latents".to_owned());
                }
                *part = Some(*name);
            }
        }
        let (Some(latent), Some(condition)) = (latent, condition) else {
            return Err("its decoder takes no latent and condition".to_owned());
        };
        if latent == condition {
            return Err("its decoder takes one value as both".to_owned());
        }

        let mut renamed = Names::default();
        for (name, new) in self.iterate_names() {
            renamed.set(name, new);
        }
        renamed.set(latent, LATENT.to_owned());
        renamed.set(condition, CONDITION.to_owned());
        let front_ports = [LATENT, CONDITION].map(float_port);
        let decoder_ports = [LATENT, CONDITION].map(float_port);
        let output_port = graph.outputs.iter().find(|port| port.name == output);
        let output_port = output_port.ok_or("it has no such output")?.write();
        let initializers: HashSet<_> = graph.tensors.iter().map(|tensor| tensor.name).collect();
        let front_inputs = graph
            .inputs
            .iter()
            .filter(|port| !initializers.contains(port.name))
            .map(super::graph::Port::write)
            .chain((!self.dice.is_empty()).then(dice::port))
            .collect();
        let (front_bytes, front_weights) =
            self.part(&front, &renamed, front_inputs, front_ports.into());
        let (decoder_bytes, decoder_weights) =
            self.part(&decoder, &renamed, decoder_ports.into(), vec![output_port]);
        Ok(Cut {
            front: front_bytes,
            decoder: decoder_bytes,
            front_weights,
            decoder_weights,
        })
    }

    fn iterate_names(&self) -> impl Iterator<Item = (&'a str, String)> {
        let nodes = self.model.graph.nodes.iter();
        nodes
            .flat_map(|node| node.inputs.iter().chain(&node.outputs))
            .map(|name| (*name, self.names.get(name).to_owned()))
    }

    /// One part as a model of its own, with the initializers its nodes use.
    fn part(
        &self,
        nodes: &[&Node<'a>],
        names: &Names<'a>,
        inputs: Vec<Message>,
        outputs: Vec<Message>,
    ) -> (Vec<u8>, Vec<usize>) {
        let mut message = self.start();
        self.nodes(&mut message, nodes.iter().copied(), names);
        let used: HashSet<_> = nodes.iter().flat_map(|node| node.inputs.clone()).collect();
        let mut weights = Vec::new();
        for tensor in self.order {
            if used.contains(tensor.name) {
                weights.extend(self.initializer(&mut message, tensor));
            }
        }
        for input in inputs {
            message.message(11, input);
        }
        for output in outputs {
            message.message(12, output);
        }
        (self.model.around(message), weights)
    }
}

/// Names of the two values at the cut.
pub(crate) const LATENT: &str = "z";
pub(crate) const CONDITION: &str = "g";

/// How the weights of a model that has them inside may be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inside {
    /// As what they are: whoever opens it may compute with them.
    Constant,
    /// As in the template, where they change.
    Variable,
}

/// Puts values back into a template's initializers: a model that needs no
/// other file.
pub(crate) fn embed<'b>(
    template: &[u8],
    inside: Inside,
    bytes_of: impl Fn(&str) -> Option<&'b [u8]>,
) -> Result<Vec<u8>, String> {
    let template = Model::parse(template)?;
    let mut graph = Message::default();
    graph.bytes(2, b"graph");
    for node in &template.graph.nodes {
        graph.message(1, node.write(&Names::default()));
    }
    for tensor in &template.graph.tensors {
        match bytes_of(tensor.name) {
            Some(bytes) => graph.message(5, tensor.write(tensor.name, Some(bytes))?),
            None => graph.message(5, tensor.write_shaped(None)?),
        };
    }
    for input in &template.graph.inputs {
        if inside == Inside::Variable || bytes_of(input.name).is_none() {
            graph.message(11, input.write());
        }
    }
    for output in &template.graph.outputs {
        graph.message(12, output.write());
    }
    Ok(template.around(graph))
}
