//! A graph without weights, and what each weight is.
//!
//! Voices of one architecture give the same template byte for byte: values and
//! nodes are renamed in the order of the file, and what differs between voices
//! — every float initializer that is no scalar — is left out. What is left out is
//! also an input, so that nobody takes it for a constant: ONNX Runtime would
//! compute with its values when a session opens, and keep what came of it.

use super::blocked::blocked;
use super::error::{Malformed, Uncut};
use super::graph::weight_port;
use super::order::Order;
use super::pointwise::Shapes;
use vits::field;
use vits::message::Message;

/// A graph without weights, shared by all voices of its architecture.
pub struct Template {
    /// Hex sha256 of the whole graph's bytes.
    pub digest: String,
    pub(super) whole: Vec<u8>,
    pub(super) cut: Result<Cut, Uncut>,
    /// In the order of the file; each lies at its own offset in a blob.
    pub weights: Vec<Weight>,
    /// Of one voice's weights, each at its offset.
    pub blob_bytes: usize,
}

/// The graph in two: features and tokens → latent, latent → samples.
pub(super) struct Cut {
    pub(super) front: Vec<u8>,
    pub(super) decoder: Vec<u8>,
    /// Frames of a window's surroundings that the decoder gives samples of, to
    /// each side at the most; none if of all of them.
    pub(super) margin: Option<usize>,
    pub(super) front_weights: Vec<usize>,
    pub(super) decoder_weights: Vec<usize>,
}

/// Which of a template's graphs is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// From tokens to samples.
    Whole,
    /// From tokens and features to the latent and its condition.
    Front,
    /// From the latent and its condition to samples.
    Decoder,
}

/// One tensor of a voice, and its place in the voice's blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    /// In the template, where all values are renamed; not the file's name.
    pub name: String,
    /// Its shape.
    pub dims: Vec<i64>,
    /// How its numbers are stored in the blob.
    pub element: Element,
    /// Bytes from the blob's start, aligned.
    pub offset: usize,
    /// How long it is.
    pub bytes: usize,
    /// In which order its numbers lie there, if it is not the file's.
    pub order: Option<Order>,
}

impl Weight {
    /// An initializer without values, which come from elsewhere, and the input
    /// that it fills.
    pub(super) fn write(&self, graph: &mut Message) {
        let data_type = self.element.data_type();
        let mut tensor = Message::default();
        for dim in &self.dims {
            tensor.number(field::tensor::DIMS, dim.cast_unsigned());
        }
        tensor
            .number(field::tensor::DATA_TYPE, data_type)
            .bytes(field::tensor::NAME, self.name.as_bytes());
        let mut entry = |key: &str, value: &str| {
            let mut entry = Message::default();
            entry
                .bytes(field::entry::KEY, key.as_bytes())
                .bytes(field::entry::VALUE, value.as_bytes());
            tensor.message(field::tensor::EXTERNAL_DATA, entry);
        };
        entry("location", "weights");
        entry("offset", &self.offset.to_string());
        entry("length", &self.bytes.to_string());
        tensor.number(field::tensor::DATA_LOCATION, field::tensor::EXTERNAL);
        graph.message(field::graph::INITIALIZER, tensor);
        graph.message(
            field::graph::INPUT,
            weight_port(&self.name, data_type, &self.dims),
        );
    }
}

/// The element types that weights are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// 32 bits, IEEE 754.
    Float,
    /// 16 bits, IEEE 754.
    Float16,
    /// The upper 16 bits of a float of 32.
    BFloat16,
    /// 8 bits, signed, of a quantized weight.
    Int8,
    /// 8 bits, unsigned, of a quantized weight.
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

    /// Names it with the layout that its decoder has.
    pub(crate) fn kind(&self) -> String {
        let blocks = self.weights.iter().find_map(|weight| weight.order);
        match blocks {
            Some(order) => format!("{} in blocks of {}", self.digest, order.block()),
            None => self.digest.clone(),
        }
    }

    /// An ONNX file without weights. Both halves are the whole where the graph
    /// could not be cut.
    pub fn graph(&self, part: Part) -> &[u8] {
        match (part, &self.cut) {
            (Part::Front, Ok(cut)) => &cut.front,
            (Part::Decoder, Ok(cut)) => &cut.decoder,
            (_, _) => &self.whole,
        }
    }

    /// The same with its decoder in blocks of so many channels, where it has
    /// convolutions that can be; see [`blocked`]. The whole graph stays as it is,
    /// and then no longer fits a blob.
    pub(crate) fn in_blocks(mut self, block: usize) -> Result<Self, Malformed> {
        let Ok(cut) = &mut self.cut else {
            return Ok(self);
        };
        let Some(rewritten) = blocked(&cut.decoder, block)? else {
            return Ok(self);
        };
        let ordered = |place: &usize| rewritten.orders.contains_key(&self.weights[*place].name);
        if cut.front_weights.iter().any(ordered) {
            return Ok(self);
        }
        cut.decoder = rewritten.graph;
        cut.margin = rewritten.margin;
        for weight in &mut self.weights {
            weight.order = rewritten.orders.get(&weight.name).copied();
        }
        Ok(self)
    }

    /// Frames of a window's surroundings that the decoder gives samples of, to
    /// each side at the most, and then it is told how many there are; none if of
    /// all of them.
    pub(crate) fn margin(&self) -> Option<usize> {
        self.cut.as_ref().ok()?.margin
    }

    /// Whether its decoder is in blocks of channels.
    pub fn is_in_blocks(&self) -> bool {
        self.weights.iter().any(|weight| weight.order.is_some())
    }

    /// The shapes of weights that a part of the graph has in another one than
    /// the whole.
    pub(crate) fn shapes(&self, part: Part) -> Shapes {
        let ordered = self.weights_of(part).filter(|_| part == Part::Decoder);
        let shape = |weight: &Weight| Some((weight.name.clone(), weight.order?.dims()));
        ordered.filter_map(shape).collect()
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
    pub fn is_cut(&self) -> Result<(), Uncut> {
        self.cut.as_ref().map(|_| ()).map_err(|why| *why)
    }
}
