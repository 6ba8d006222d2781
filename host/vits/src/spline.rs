//! Rational-quadratic splines (Durkan et al., 1906.04032), read backwards.

use crate::graph::{Attribute, Graph, Value};

/// Beyond it to each side the map is the identity.
const TAIL: f32 = 5.0;
/// Least width, height and slope of a bin.
const LEAST: f32 = 1e-3;

/// The input whose image is `y`, [1, 1, length]. `numbers` is [1, 3 × bins - 1,
/// length]: widths, heights and inner slopes, not yet made fit; the first two
/// are divided by the root of `channels`.
pub(crate) fn inverse(
    g: &mut Graph<'_>,
    y: &Value,
    numbers: &Value,
    bins: usize,
    channels: usize,
) -> Value {
    let bins = bins as i64;
    let rows = g.transpose(numbers, &[0, 2, 1]);
    let widths = g.cut(&rows, 2, 0, bins);
    let heights = g.cut(&rows, 2, bins, 2 * bins);
    let slopes = g.cut(&rows, 2, 2 * bins, 3 * bins - 1);
    let x_knots = knots(g, &widths, bins, channels);
    let y_knots = knots(g, &heights, bins, channels);
    let slopes = all_slopes(g, &slopes);

    let y = g.transpose(y, &[0, 2, 1]);
    let (low, high) = (g.float(-TAIL), g.float(TAIL));
    let inside = g.one("Clip", &[&y, &low, &high], &[]);
    let bin = bin_of(g, &inside, &y_knots, bins);
    let pick = |g: &mut Graph<'_>, from: &Value| {
        let chosen = g.mul(from, &bin);
        let axis = g.ints(&[2]);
        let keep = [("keepdims", Attribute::Int(1))];
        g.one("ReduceSum", &[&chosen, &axis], &keep)
    };
    let (first, last) = ((0, bins), (1, bins + 1));
    let part = |g: &mut Graph<'_>, of: &Value, (from, to): (i64, i64)| g.cut(of, 2, from, to);
    let (x_low, x_high) = (part(g, &x_knots, first), part(g, &x_knots, last));
    let (y_low, y_high) = (part(g, &y_knots, first), part(g, &y_knots, last));
    let (slope_low, slope_high) = (part(g, &slopes, first), part(g, &slopes, last));
    let widths = g.sub(&x_high, &x_low);
    let heights = g.sub(&y_high, &y_low);
    let steep = g.div(&heights, &widths);
    let [x0, width, y0, height, slope, d0, d1] = [
        &x_low,
        &widths,
        &y_low,
        &heights,
        &steep,
        &slope_low,
        &slope_high,
    ]
    .map(|from| pick(g, from));

    // The quadratic whose root is the place within the bin.
    let t = g.sub(&inside, &y0);
    let two = g.float(2.0);
    let twice = g.mul(&slope, &two);
    let ends = g.add(&d0, &d1);
    let bend = g.sub(&ends, &twice);
    let bent = g.mul(&t, &bend);
    let rise = g.sub(&slope, &d0);
    let rise = g.mul(&height, &rise);
    let a = g.add(&bent, &rise);
    let b = g.mul(&height, &d0);
    let b = g.sub(&b, &bent);
    let c = g.mul(&slope, &t);
    let c = g.one("Neg", &[&c], &[]);
    let square = g.mul(&b, &b);
    let four = g.float(4.0);
    let product = g.mul(&a, &c);
    let product = g.mul(&product, &four);
    let under = g.sub(&square, &product);
    // Below 0 by rounding alone.
    let zero = g.float(0.0);
    let under = g.one("Max", &[&under, &zero], &[]);
    let root = g.one("Sqrt", &[&under], &[]);
    let sum = g.add(&b, &root);
    let sum = g.one("Neg", &[&sum], &[]);
    let twice = g.mul(&c, &two);
    let place = g.div(&twice, &sum);
    let x = g.mul(&place, &width);
    let x = g.add(&x, &x0);

    let above = g.one("GreaterOrEqual", &[&y, &low], &[]);
    let below = g.one("LessOrEqual", &[&y, &high], &[]);
    let within = g.one("And", &[&above, &below], &[]);
    let x = g.one("Where", &[&within, &x, &y], &[]);
    g.transpose(&x, &[0, 2, 1])
}

/// [1, length, bins] → the bins' ends, [1, length, bins + 1], from one tail to
/// the other.
fn knots(g: &mut Graph<'_>, parts: &Value, bins: i64, channels: usize) -> Value {
    let root = g.float((channels as f32).sqrt());
    let parts = g.div(parts, &root);
    let shares = g.one("Softmax", &[&parts], &[("axis", Attribute::Int(-1))]);
    let (least, rest) = (g.float(LEAST), g.float(1.0 - LEAST * bins as f32));
    let shares = g.mul(&shares, &rest);
    let shares = g.add(&shares, &least);
    let axis = g.int(2);
    let sums = g.one("CumSum", &[&shares, &axis], &[]);
    let inner = g.cut(&sums, 2, 0, bins - 1);
    let (all, low) = (g.float(2.0 * TAIL), g.float(-TAIL));
    let inner = g.mul(&inner, &all);
    let inner = g.add(&inner, &low);
    let first = like_first(g, &sums, -TAIL);
    let last = like_first(g, &sums, TAIL);
    g.concat(&[&first, &inner, &last], 2)
}

/// [1, length, 1] of one number.
fn like_first(g: &mut Graph<'_>, of: &Value, number: f32) -> Value {
    let first = g.cut(of, 2, 0, 1);
    let (zero, number) = (g.float(0.0), g.float(number));
    let nothing = g.mul(&first, &zero);
    g.add(&nothing, &number)
}

/// Inner slopes made fit, and 1 at both ends, where the identity goes on.
fn all_slopes(g: &mut Graph<'_>, inner: &Value) -> Value {
    let fit = g.one("Softplus", &[inner], &[]);
    let least = g.float(LEAST);
    let fit = g.add(&fit, &least);
    let end = like_first(g, &fit, 1.0);
    g.concat(&[&end, &fit, &end], 2)
}

/// 1 at the bin that `y` lies in, [1, length, bins].
fn bin_of(g: &mut Graph<'_>, y: &Value, knots: &Value, bins: i64) -> Value {
    let reached = g.one("GreaterOrEqual", &[y, knots], &[]);
    let reached = g.one("Cast", &[&reached], &[("to", Attribute::Int(1))]);
    let from = g.cut(&reached, 2, 0, bins);
    // The last knot belongs to the last bin.
    let inner = g.cut(&reached, 2, 1, bins);
    let first = g.cut(&reached, 2, 0, 1);
    let zero = g.float(0.0);
    let beyond = g.mul(&first, &zero);
    let to = g.concat(&[&inner, &beyond], 2);
    g.sub(&from, &to)
}
