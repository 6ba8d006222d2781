//! How long each token lasts: the predictor that always says the same, and
//! the stochastic one (VITS, 2106.06103, section 2.2.2).

use crate::blocks::{Conv, conv, gelu, masked, norm, pointwise};
use crate::graph::{Attribute, Graph, Value};
use crate::sizes::Sizes;
use crate::spline;

/// What both predictors look at.
pub(crate) struct Heard<'v> {
    /// The encoded text, [1, hidden, tokens].
    pub(crate) text: &'v Value,
    /// The speaker's vector, [1, gin, 1].
    pub(crate) speaker: &'v Value,
    pub(crate) mask: &'v Value,
}

/// The logarithm of each token's frames, [1, 1, tokens].
pub(crate) fn predicted(g: &mut Graph<'_>, sizes: &Sizes, heard: &Heard<'_>) -> Value {
    let Sizes {
        hidden,
        gin,
        duration,
        duration_kernel: kernel,
        ..
    } = *sizes;
    let told = pointwise(g, heard.speaker, "dp.cond", gin, hidden);
    let mut x = g.add(heard.text, &told);
    for (layer, from) in [(1, hidden), (2, duration)] {
        x = masked(g, x, Some(heard.mask));
        let of = Conv::new(from, duration, kernel);
        x = conv(g, &x, &format!("dp.conv_{layer}"), of);
        x = g.one("Relu", &[&x], &[]);
        x = norm(g, &x, &format!("dp.norm_{layer}"), duration);
    }
    let x = masked(g, x, Some(heard.mask));
    let x = pointwise(g, &x, "dp.proj", duration, 1);
    masked(g, x, Some(heard.mask))
}

/// Flows with splines, in the order in which they are undone.
const SPLINES: [usize; 3] = [7, 5, 3];

/// The same, as dice have it. `noise_scale` says how far they roll.
pub(crate) fn stochastic(
    g: &mut Graph<'_>,
    sizes: &Sizes,
    heard: &Heard<'_>,
    noise_scale: &Value,
) -> Value {
    let Sizes { hidden, gin, .. } = *sizes;
    let mask = heard.mask;
    let x = pointwise(g, heard.text, "sdp.pre", hidden, hidden);
    let told = pointwise(g, heard.speaker, "sdp.cond", gin, hidden);
    let x = g.add(&x, &told);
    let x = separable(g, sizes, x, "sdp.convs", mask);
    let x = pointwise(g, &x, "sdp.proj", hidden, hidden);
    let heard = masked(g, x, Some(mask));

    let pair = g.concat(&[mask, mask], 1);
    let noise = dice(g, &pair);
    let noise = g.mul(&noise, noise_scale);
    let (mut kept, mut changed) = (g.cut(&noise, 1, 0, 1), g.cut(&noise, 1, 1, 2));
    for flow in SPLINES {
        (kept, changed) = (changed, kept);
        let module = format!("sdp.flows.{flow}");
        let x = pointwise(g, &kept, &format!("{module}.pre"), 1, hidden);
        let x = g.add(&x, &heard);
        let x = separable(g, sizes, x, &format!("{module}.convs"), mask);
        let numbers = 3 * sizes.bins - 1;
        let x = pointwise(g, &x, &format!("{module}.proj"), hidden, numbers);
        let x = masked(g, x, Some(mask));
        let undone = spline::inverse(g, &changed, &x, sizes.bins, hidden);
        changed = masked(g, undone, Some(mask));
        kept = masked(g, kept, Some(mask));
    }
    // Once more they change places; the first row is the duration.
    let row = changed;
    let shift = g.weight("sdp.flows.0.m", &[2, 1]);
    let shift = g.cut(&shift, 0, 0, 1);
    let scale = g.weight("sdp.flows.0.logs", &[2, 1]);
    let scale = g.cut(&scale, 0, 0, 1);
    let scale = g.one("Neg", &[&scale], &[]);
    let scale = g.one("Exp", &[&scale], &[]);
    let row = g.sub(&row, &shift);
    let row = g.mul(&row, &scale);
    masked(g, row, Some(mask))
}

/// Standard normal numbers in the shape of a value.
pub(crate) fn dice(g: &mut Graph<'_>, like: &Value) -> Value {
    const FLOAT: i64 = 1;
    g.one(
        "RandomNormalLike",
        &[like],
        &[
            ("dtype", Attribute::Int(FLOAT)),
            ("mean", Attribute::Float(0.0)),
            ("scale", Attribute::Float(1.0)),
        ],
    )
}

/// Dilated convolutions of each channel by itself, each followed by a product
/// over the channels.
fn separable(g: &mut Graph<'_>, sizes: &Sizes, x: Value, module: &str, mask: &Value) -> Value {
    let (hidden, kernel) = (sizes.hidden, sizes.stochastic_kernel);
    let mut x = x;
    for layer in 0..sizes.stochastic_layers {
        let of = Conv {
            dilation: kernel.pow(layer as u32),
            depthwise: true,
            ..Conv::new(hidden, hidden, kernel)
        };
        let y = masked(g, x.clone(), Some(mask));
        let y = conv(g, &y, &format!("{module}.convs_sep.{layer}"), of);
        let y = norm(g, &y, &format!("{module}.norms_1.{layer}"), hidden);
        let y = gelu(g, &y);
        let y = pointwise(
            g,
            &y,
            &format!("{module}.convs_1x1.{layer}"),
            hidden,
            hidden,
        );
        let y = norm(g, &y, &format!("{module}.norms_2.{layer}"), hidden);
        let y = gelu(g, &y);
        x = g.add(&x, &y);
    }
    masked(g, x, Some(mask))
}
