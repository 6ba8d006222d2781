//! A template with a voice's weights in it again: a model that needs no other
//! file.

use std::collections::HashMap;

use super::error::Malformed;
use super::graph::{Model, Names, constant};
use vits::field;
use vits::message::{Begun, Message};

/// How the weights of a model that has them inside may be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inside {
    /// As what they are: whoever opens it may compute with them.
    Constant,
    /// As in the template, where they change.
    Variable,
}

/// A model that is given its weights one after the other: each is copied once,
/// and those of a BERT are a gigabyte.
pub(crate) struct Filling {
    model: Message,
    graph: Begun,
    /// Shape and element type of each weight that its graph has.
    wanted: HashMap<String, (Vec<i64>, u64)>,
}

impl Filling {
    /// Of one of a template's graphs, in which `is_weight` says whose values
    /// are missing.
    pub(crate) fn of(
        graph: &[u8],
        inside: Inside,
        is_weight: impl Fn(&str) -> bool,
    ) -> Result<Self, Malformed> {
        let template = Model::parse(graph)?;
        let mut filling = Self::begin(template.head());
        for node in &template.graph.nodes {
            filling.add(field::graph::NODE, node.write(&Names::default()));
        }
        for tensor in &template.graph.tensors {
            if is_weight(tensor.name) {
                let form = (tensor.dims.clone(), tensor.data_type);
                filling.wanted.insert(tensor.name.to_owned(), form);
            } else {
                filling.add(field::graph::INITIALIZER, tensor.write_shaped(None)?);
            }
        }
        for input in &template.graph.inputs {
            if inside == Inside::Variable || !is_weight(input.name) {
                filling.add(field::graph::INPUT, input.write());
            }
        }
        for output in &template.graph.outputs {
            filling.add(field::graph::OUTPUT, output.write());
        }
        Ok(filling)
    }

    /// Of nothing yet but what a model has beside its graph.
    pub(super) fn begin(head: Message) -> Self {
        let mut model = head;
        let graph = model.begin(field::model::GRAPH);
        model.bytes(field::graph::NAME, b"graph");
        Self {
            model,
            graph,
            wanted: HashMap::new(),
        }
    }

    /// A node, a port or an initializer.
    pub(super) fn add(&mut self, field: u64, message: Message) {
        self.model.message(field, message);
    }

    /// All of a weight's values. One that its graph has not is passed over.
    pub(crate) fn weight(&mut self, name: &str, bytes: &[u8]) {
        if let Some((dims, data_type)) = self.wanted.get(name) {
            let weight = constant(name, dims, *data_type, bytes);
            self.model.message(field::graph::INITIALIZER, weight);
        }
    }

    /// The model, once every weight was put into it.
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut model = self.model;
        model.end(&self.graph);
        model.finish()
    }
}
