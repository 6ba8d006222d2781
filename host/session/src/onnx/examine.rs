//! A look at a user's graph before anything is made of it: what no voice has,
//! and what would cost before a run could be refused.

use super::error::Malformed;
use super::wire::{self, Value};

/// A real voice has 5,000.
const NODES_MAX: usize = 50_000;
/// A real voice has 1,000.
const TENSORS_MAX: usize = 50_000;
/// Graphs inside of graphs; ONNX Runtime takes them by recursion.
const DEPTH_MAX: usize = 8;

const STRING: u64 = 8;

/// Refuses what is out of all proportion, and text: strings lie in memory that
/// no budget bounds, and no voice has any.
pub(crate) fn check(model: &[u8]) -> Result<(), Malformed> {
    let mut counts = Counts::default();
    for field in wire::fields(model) {
        match field? {
            (7, Value::Bytes(graph)) => counts.graph(graph, 0)?,
            // A function of its own: nodes that others call.
            (25, Value::Bytes(function)) => {
                for field in wire::fields(function) {
                    if let (7, Value::Bytes(node)) = field? {
                        counts.node(node, 0)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[derive(Default)]
struct Counts {
    nodes: usize,
    tensors: usize,
}

impl Counts {
    fn graph(&mut self, graph: &[u8], depth: usize) -> Result<(), Malformed> {
        if depth > DEPTH_MAX {
            return Err(Malformed::Deep(DEPTH_MAX));
        }
        for field in wire::fields(graph) {
            match field? {
                (1, Value::Bytes(node)) => self.node(node, depth)?,
                (5, Value::Bytes(tensor)) => self.tensor(tensor)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn node(&mut self, node: &[u8], depth: usize) -> Result<(), Malformed> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(Malformed::TooMany {
                what: "nodes",
                most: NODES_MAX,
            });
        }
        let (mut operator, mut makes_text) = (&b""[..], false);
        for field in wire::fields(node) {
            match field? {
                (4, Value::Bytes(name)) => operator = name,
                (5, Value::Bytes(attribute)) => {
                    makes_text |= self.attribute(attribute, depth)?;
                }
                _ => {}
            }
        }
        let text_alone = operator.starts_with(b"String") || operator.starts_with(b"Regex");
        if text_alone || (makes_text && operator == b"Cast") {
            let operator = String::from_utf8_lossy(operator);
            return Err(Malformed::MakesText(operator.escape_debug().to_string()));
        }
        Ok(())
    }

    /// Whether it says that a node makes text.
    fn attribute(&mut self, attribute: &[u8], depth: usize) -> Result<bool, Malformed> {
        let (mut name, mut number) = (&b""[..], 0);
        for field in wire::fields(attribute) {
            match field? {
                (1, Value::Bytes(bytes)) => name = bytes,
                (3, Value::Varint(value)) => number = value,
                (5 | 10, Value::Bytes(tensor)) => self.tensor(tensor)?,
                (6 | 11, Value::Bytes(graph)) => self.graph(graph, depth + 1)?,
                _ => {}
            }
        }
        Ok(name == b"to" && number == STRING)
    }

    fn tensor(&mut self, tensor: &[u8]) -> Result<(), Malformed> {
        self.tensors += 1;
        if self.tensors > TENSORS_MAX {
            return Err(Malformed::TooMany {
                what: "constants",
                most: TENSORS_MAX,
            });
        }
        for field in wire::fields(tensor) {
            if let (2, Value::Varint(STRING)) = field? {
                return Err(Malformed::HoldsText);
            }
        }
        Ok(())
    }
}
