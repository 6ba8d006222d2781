//! Writes a template: whole, and where it can be, in two. What is left of dice
//! and weights are inputs.

use std::collections::{HashMap, HashSet};

use super::dice;
use super::error::{Malformed, Uncut};
use super::graph::{Model, Names, Node, Port, Tensor, float_port};
use super::template::{Cut, Weight};
use vits::field;
use vits::message::Message;

/// Names of the two values at the cut.
pub(crate) const LATENT: &str = "z";
pub(crate) const CONDITION: &str = "g";

/// What a template is written from.
pub(super) struct Writer<'w, 'a> {
    /// Number of each die, by its output.
    pub(super) dice: HashMap<&'a str, usize>,
    pub(super) model: &'w Model<'a>,
    pub(super) names: &'w Names<'a>,
    pub(super) order: &'w [&'w Tensor<'a>],
    /// Initializers that are no weights, as they are written.
    pub(super) constants: &'w HashMap<&'a str, Vec<u8>>,
    pub(super) weights: &'w [Weight],
    /// Of the initializers that are weights.
    pub(super) place: &'w HashMap<&'a str, usize>,
}

impl<'a> Writer<'_, 'a> {
    /// The whole graph, of which only `output` is ever fetched.
    pub(super) fn whole(&self, output: &str, flat: bool) -> Result<Vec<u8>, Malformed> {
        let graph = &self.model.graph;
        let port = graph.outputs.iter().find(|port| port.name == output);
        let port = port.ok_or_else(|| Malformed::NoOutput(output.to_owned()))?;
        let mut message = self.start();
        self.nodes(&mut message, graph.nodes.iter(), self.names);
        for tensor in self.order {
            self.initializer(&mut message, tensor);
        }
        let initializers: HashSet<_> = graph.tensors.iter().map(|tensor| tensor.name).collect();
        for input in &graph.inputs {
            let given = !initializers.contains(input.name);
            if given || !flat && !self.place.contains_key(input.name) {
                message.message(field::graph::INPUT, input.write());
            }
        }
        if !self.dice.is_empty() {
            message.message(field::graph::INPUT, dice::port());
        }
        message.message(field::graph::OUTPUT, port.write());
        Ok(self.model.around(message))
    }

    /// A constant, or a weight, and then which.
    fn initializer(&self, graph: &mut Message, tensor: &Tensor<'a>) -> Option<usize> {
        let weight = self.place.get(tensor.name).copied();
        match weight {
            Some(weight) => self.weights[weight].write(graph),
            None => {
                graph.bytes(field::graph::INITIALIZER, &self.constants[tensor.name]);
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
                        message.message(field::graph::NODE, node);
                    }
                }
                None => {
                    message.message(field::graph::NODE, node.write(names));
                }
            }
        }
    }

    fn start(&self) -> Message {
        let mut message = Message::default();
        message.bytes(field::graph::NAME, b"graph");
        message
    }

    /// Cuts at the decoder's two inputs: the latent, which has the length of
    /// the speech, and the speaker's condition, which has none.
    pub(super) fn cut(&self, output: &str) -> Result<Cut, Uncut> {
        let graph = &self.model.graph;
        let (decoder, front): (Vec<_>, Vec<_>) =
            graph.nodes.iter().partition(|node| in_decoder(node));
        let seam = Seam::find(&front, &decoder, output)?;
        let mut renamed = Names::default();
        for (name, new) in self.iterate_names() {
            renamed.set(name, new);
        }
        renamed.set(seam.latent, LATENT.to_owned());
        renamed.set(seam.condition, CONDITION.to_owned());
        let between = || [LATENT, CONDITION].map(float_port).into();
        let output = graph.outputs.iter().find(|port| port.name == output);
        let output = output.ok_or(Uncut::NoDecoder)?.write();
        let (front, front_weights) = self.part(&front, &renamed, self.inputs(), between());
        let (decoder, decoder_weights) = self.part(&decoder, &renamed, between(), vec![output]);
        Ok(Cut {
            front,
            decoder,
            margin: None,
            front_weights,
            decoder_weights,
        })
    }

    /// What callers give, and the dice.
    fn inputs(&self) -> Vec<Message> {
        let graph = &self.model.graph;
        let initializers: HashSet<_> = graph.tensors.iter().map(|tensor| tensor.name).collect();
        let given = graph.inputs.iter();
        let given = given.filter(|port| !initializers.contains(port.name));
        let dice = (!self.dice.is_empty()).then(dice::port);
        given.map(Port::write).chain(dice).collect()
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
            message.message(field::graph::INPUT, input);
        }
        for output in outputs {
            message.message(field::graph::OUTPUT, output);
        }
        (self.model.around(message), weights)
    }
}

/// The two values at which a graph falls into two.
struct Seam<'a> {
    latent: &'a str,
    condition: &'a str,
}

impl<'a> Seam<'a> {
    fn find(front: &[&Node<'a>], decoder: &[&Node<'a>], output: &str) -> Result<Self, Uncut> {
        let made_by = |nodes: &[&Node<'a>]| -> HashSet<&str> {
            nodes.iter().flat_map(|node| node.outputs.clone()).collect()
        };
        let (made_in_front, made_in_decoder) = (made_by(front), made_by(decoder));
        if !made_in_decoder.contains(output) {
            return Err(Uncut::NoDecoder);
        }
        let mut used_in_front = front.iter().flat_map(|node| &node.inputs);
        if used_in_front.any(|name| made_in_decoder.contains(name)) {
            return Err(Uncut::Feeds);
        }
        let (mut latent, mut condition) = (None, None);
        for node in decoder {
            let crossing = node
                .inputs
                .iter()
                .filter(|name| made_in_front.contains(*name));
            for name in crossing {
                let port = match (node.operator, node.name) {
                    ("Conv", conv) if conv.contains("/conv_pre/") => &mut latent,
                    ("Conv", conv) if conv.contains("/cond/") => &mut condition,
                    _ => return Err(Uncut::TakesMore),
                };
                if port.is_some_and(|known| known != *name) {
                    return Err(Uncut::TwoLatents);
                }
                *port = Some(*name);
            }
        }
        match (latent, condition) {
            (Some(latent), Some(condition)) if latent == condition => Err(Uncut::OneAsBoth),
            (Some(latent), Some(condition)) => Ok(Self { latent, condition }),
            _ => Err(Uncut::NoLatent),
        }
    }
}

/// By the exporter's names.
pub(super) fn in_decoder(node: &Node<'_>) -> bool {
    node.name.starts_with("/dec/")
}
