//! What convolutions and rectifiers are told beside their inputs.

use crate::onnx::error::Malformed;
use crate::onnx::graph::Node;

/// What a convolution is told, in one dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::onnx) struct Attributes {
    pub(in crate::onnx) kernel: Option<usize>,
    pub(in crate::onnx) dilation: usize,
    pub(in crate::onnx) stride: usize,
    pub(in crate::onnx) pads: [i64; 2],
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
    pub(in crate::onnx) fn of(node: &Node<'_>) -> Result<Option<Self>, Malformed> {
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
pub(super) fn slope(node: &Node<'_>) -> Result<Option<f32>, Malformed> {
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
