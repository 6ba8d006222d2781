//! What the network is made of: convolutions, norms, the transformer.
//!
//! Values are [1, channels, length]. Where a text is padded a mask, [1, 1,
//! length], keeps what is padding at 0.

use crate::attention::{Frame, attention};
use crate::graph::{Attribute, Fold, Graph, Value};

/// A convolution over time, without a stride.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conv {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) kernel: usize,
    pub(crate) dilation: usize,
    /// Each channel by itself.
    pub(crate) depthwise: bool,
    pub(crate) fold: Fold,
    pub(crate) bias: bool,
    /// Padding before and after; none keeps the length, the longer half after.
    pub(crate) pads: Option<(usize, usize)>,
}

impl Conv {
    pub(crate) fn new(from: usize, to: usize, kernel: usize) -> Self {
        Self {
            from,
            to,
            kernel,
            dilation: 1,
            depthwise: false,
            fold: Fold::None,
            bias: true,
            pads: None,
        }
    }
}

pub(crate) fn conv(g: &mut Graph<'_>, x: &Value, module: &str, conv: Conv) -> Value {
    let Conv {
        from,
        to,
        kernel,
        dilation,
        ..
    } = conv;
    let (inputs, group) = match conv.depthwise {
        true => (1, from),
        false => (from, 1),
    };
    let weight = g.folded(
        &format!("{module}.weight"),
        &[to, inputs, kernel],
        conv.fold,
    );
    let bias = conv
        .bias
        .then(|| g.weight(&format!("{module}.bias"), &[to]));
    let around = (kernel - 1) * dilation;
    let (before, after) = conv.pads.unwrap_or((around / 2, around - around / 2));
    let inputs: Vec<&Value> = [x, &weight].into_iter().chain(&bias).collect();
    g.one(
        "Conv",
        &inputs,
        &[
            ("dilations", Attribute::Ints(&[dilation as i64])),
            ("group", Attribute::Int(group as i64)),
            ("kernel_shape", Attribute::Ints(&[kernel as i64])),
            ("pads", Attribute::Ints(&[before as i64, after as i64])),
            ("strides", Attribute::Ints(&[1])),
        ],
    )
}

/// A kernel of 1: a product at each position.
pub(crate) fn pointwise(
    g: &mut Graph<'_>,
    x: &Value,
    module: &str,
    from: usize,
    to: usize,
) -> Value {
    conv(g, x, module, Conv::new(from, to, 1))
}

/// A linear layer over a row, [1, from] → [1, to].
pub(crate) fn linear(
    g: &mut Graph<'_>,
    row: &Value,
    module: &str,
    from: usize,
    to: usize,
) -> Value {
    let weight = g.weight(&format!("{module}.weight"), &[to, from]);
    let bias = g.weight(&format!("{module}.bias"), &[to]);
    g.one(
        "Gemm",
        &[row, &weight, &bias],
        &[("transB", Attribute::Int(1))],
    )
}

/// Layer norm over the channels (arXiv 1607.06450).
pub(crate) fn norm(g: &mut Graph<'_>, x: &Value, module: &str, channels: usize) -> Value {
    let gamma = g.weight(&format!("{module}.gamma"), &[channels]);
    let beta = g.weight(&format!("{module}.beta"), &[channels]);
    let rows = g.transpose(x, &[0, 2, 1]);
    let normed = g.one(
        "LayerNormalization",
        &[&rows, &gamma, &beta],
        &[
            ("axis", Attribute::Int(-1)),
            ("epsilon", Attribute::Float(1e-5)),
        ],
    );
    g.transpose(&normed, &[0, 2, 1])
}

/// 0 where it is padding.
pub(crate) fn masked(g: &mut Graph<'_>, x: Value, mask: Option<&Value>) -> Value {
    match mask {
        Some(mask) => g.mul(&x, mask),
        None => x,
    }
}

/// `0.5 x (1 + erf(x / √2))` (arXiv 1606.08415).
pub(crate) fn gelu(g: &mut Graph<'_>, x: &Value) -> Value {
    let (root, half, one) = (
        g.float(std::f32::consts::SQRT_2),
        g.float(0.5),
        g.float(1.0),
    );
    let scaled = g.div(x, &root);
    let erf = g.one("Erf", &[&scaled], &[]);
    let more = g.add(&erf, &one);
    let whole = g.mul(x, &more);
    g.mul(&whole, &half)
}

/// A transformer of the text encoder or of a flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transformer<'t> {
    /// Its module: `enc_p.encoder`.
    pub(crate) module: &'t str,
    pub(crate) layers: usize,
    pub(crate) channels: usize,
    pub(crate) heads: usize,
    pub(crate) window: usize,
    pub(crate) shared_positions: bool,
    pub(crate) filter: usize,
    pub(crate) kernel: usize,
    pub(crate) gin: usize,
}

/// The layer before which a speaker's vector comes in.
const SPEAKER_LAYER: usize = 2;

/// Post-norm layers (arXiv 1706.03762) with windowed relative positions.
/// `speaker` is [1, gin].
pub(crate) fn transformer(
    g: &mut Graph<'_>,
    x: Value,
    of: &Transformer<'_>,
    speaker: &Value,
    frame: &Frame,
    mask: Option<&Value>,
) -> Value {
    let Transformer {
        module, channels, ..
    } = *of;
    let mut x = x;
    for layer in 0..of.layers {
        if layer == SPEAKER_LAYER {
            let row = linear(
                g,
                speaker,
                &format!("{module}.spk_emb_linear"),
                of.gin,
                channels,
            );
            let column = g.unsqueeze(&row, 2);
            let sum = g.add(&x, &column);
            x = masked(g, sum, mask);
        }
        let told = attention(g, &x, of, layer, frame);
        let sum = g.add(&x, &told);
        x = norm(
            g,
            &sum,
            &format!("{module}.norm_layers_1.{layer}"),
            channels,
        );
        let ffn = format!("{module}.ffn_layers.{layer}");
        let told = feed_forward(g, &x, &ffn, of, mask);
        let sum = g.add(&x, &told);
        x = norm(
            g,
            &sum,
            &format!("{module}.norm_layers_2.{layer}"),
            channels,
        );
    }
    masked(g, x, mask)
}

fn feed_forward(
    g: &mut Graph<'_>,
    x: &Value,
    module: &str,
    of: &Transformer<'_>,
    mask: Option<&Value>,
) -> Value {
    let pads = Some(((of.kernel - 1) / 2, of.kernel / 2));
    let first = Conv {
        pads,
        ..Conv::new(of.channels, of.filter, of.kernel)
    };
    let second = Conv {
        pads,
        ..Conv::new(of.filter, of.channels, of.kernel)
    };
    let x = masked(g, x.clone(), mask);
    let x = conv(g, &x, &format!("{module}.conv_1"), first);
    let x = g.one("Relu", &[&x], &[]);
    let x = masked(g, x, mask);
    let x = conv(g, &x, &format!("{module}.conv_2"), second);
    masked(g, x, mask)
}
