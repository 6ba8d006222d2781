//! Nodes and their attributes, written.

use crate::onnx::graph::plain;
use vits::field;
use vits::message::Message;

pub(super) fn written(operator: &str, inputs: &[&str], output: &str) -> Message {
    plain(operator, inputs, output)
}

pub(super) fn attribute(
    node: &mut Message,
    name: &str,
    kind: u64,
    write: impl FnOnce(&mut Message),
) {
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

pub(super) fn int(node: &mut Message, name: &str, value: i64) {
    attribute(node, name, INT, |it| {
        it.number(field::attribute::INT, value.cast_unsigned());
    });
}

pub(super) fn ints(node: &mut Message, name: &str, values: &[i64]) {
    attribute(node, name, INTS, |it| {
        for value in values {
            it.number(field::attribute::INTS, value.cast_unsigned());
        }
    });
}

pub(super) fn floats(node: &mut Message, name: &str, values: &[f32]) {
    attribute(node, name, FLOATS, |it| {
        for value in values {
            it.fixed32(field::attribute::FLOATS, value.to_bits());
        }
    });
}

pub(super) fn text(node: &mut Message, name: &str, value: &str) {
    attribute(node, name, STRING, |it| {
        it.bytes(field::attribute::TEXT, value.as_bytes());
    });
}
