//! The two forms of a value, plain and in blocks, and what is written on the way
//! from one to the other.

use super::told::Attributes;
use super::{InBlocks, Rewriting, nchwc};
use crate::onnx::graph::plain;
use vits::Attribute;
use vits::field;
use vits::message::Message;

impl<'a> Rewriting<'_, 'a> {
    /// A value that is made in blocks.
    pub(super) fn know(&mut self, value: &'a str, name: String, channels: usize) {
        self.blocked.insert(value, InBlocks { name, channels });
        self.plain.insert(value, None);
    }

    /// The blocked form of a value, made now if there is none.
    pub(super) fn bring_to_blocks(&mut self, value: &'a str, channels: usize) -> String {
        if let Some(known) = self.in_blocks(value, channels) {
            return known.name.clone();
        }
        let plain = self.plain(value);
        let flat = self.reshape(&plain, &[0, 0, 1, -1]);
        let name = self.fresh();
        self.nodes.push(nchwc("ReorderInput", &[&flat], &name, &[]));
        let known = InBlocks {
            name: name.clone(),
            channels,
        };
        self.blocked.insert(value, known);
        name
    }

    /// The plain form of a value, made now if it has only the blocked one.
    pub(super) fn plain(&mut self, value: &'a str) -> String {
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

    pub(super) fn write_plain(&mut self, value: &str, name: &str) {
        let InBlocks {
            name: blocked,
            channels,
        } = self.blocked[value].clone();
        let flat = self.fresh();
        let channels = [("channels", Attribute::Int(channels as i64))];
        self.nodes
            .push(nchwc("ReorderOutput", &[&blocked], &flat, &channels));
        let shape = self.constant(&[0, 0, -1]);
        self.nodes.push(plain("Reshape", &[&flat, &shape], name));
    }

    /// What leaves the graph is plain and has its own name.
    pub(super) fn hand_out(&mut self, value: &str) {
        if self.plain.contains_key(value) {
            self.write_plain(value, value);
        }
    }

    pub(super) fn blocked_conv(
        &mut self,
        inputs: &[&str],
        kernel: usize,
        attributes: &Attributes,
        activation: Option<f32>,
    ) -> String {
        let name = self.fresh();
        let [from, to] = attributes.pads;
        let slope = activation.map(|slope| [slope]);
        let (kernel, dilations) = ([1, kernel as i64], [1, attributes.dilation as i64]);
        let pads = [0, from, 0, to];
        let mut told = vec![
            ("kernel_shape", Attribute::Ints(&kernel)),
            ("dilations", Attribute::Ints(&dilations)),
            ("strides", Attribute::Ints(&[1, 1])),
            ("pads", Attribute::Ints(&pads)),
        ];
        if let Some(slope) = &slope {
            told.push(("activation", Attribute::Text("LeakyRelu")));
            told.push(("activation_params", Attribute::Floats(slope)));
        }
        self.nodes.push(nchwc("Conv", inputs, &name, &told));
        name
    }

    pub(super) fn reshape(&mut self, value: &str, shape: &[i64]) -> String {
        let shape = self.constant(shape);
        self.one("Reshape", &[value, &shape])
    }

    pub(super) fn one(&mut self, operator: &str, inputs: &[&str]) -> String {
        let name = self.fresh();
        self.nodes.push(plain(operator, inputs, &name));
        name
    }

    pub(super) fn constant(&mut self, values: &[i64]) -> String {
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
    pub(super) fn fresh(&mut self) -> String {
        self.count += 1;
        format!("blocked{}", self.count)
    }
}
