//! Attention over a window of relative positions (Shaw et al., 1803.02155).
//!
//! Position j hears position i through a table of 2w + 1 rows, by i - j within
//! the window. Both tables are applied by shearing: rows of 2w + 1 that are
//! padded to T + 2w + 1 and read as rows of T + 2w lie on the diagonals where
//! they belong. No index is made and nothing is larger than [T, T + 2w + 1].

use crate::blocks::{Transformer, pointwise};
use crate::graph::{Attribute, Graph, Value};

/// Lengths and shapes that all layers over the same positions share.
pub(crate) struct Frame {
    /// Of a table's product to the sheared rows: padding, how much is read,
    /// the rows, and the columns that are meant.
    keys_pad: Value,
    keys_read: Value,
    keys_rows: Value,
    keys_from: Value,
    keys_to: Value,
    /// Back from rows of weights to the table's columns.
    values_pad: Value,
    values_more: Value,
    values_rows: Value,
    heads: Value,
    flat: Value,
    columns: Value,
    /// Where one of two positions is padding, if there is any.
    padding: Option<Value>,
}

impl Frame {
    /// For values like `x`, [1, channels, length].
    pub(crate) fn of(
        g: &mut Graph<'_>,
        x: &Value,
        of: &Transformer<'_>,
        mask: Option<&Value>,
    ) -> Self {
        let (heads, window) = (of.heads as i64, of.window as i64);
        let length = g.length(x, 2);
        let sides = g.ints(&[2 * window]);
        let wide = g.add(&length, &sides);
        let one = g.ints(&[1]);
        let wider = g.add(&wide, &one);
        let half = g.ints(&[window]);
        let to = g.add(&length, &half);
        let none = g.ints(&[0; 7]);
        let keys_pad = g.concat(&[&none, &length], 0);
        let five = g.ints(&[0; 5]);
        let values_more = g.concat(&[&five, &length], 0);
        let rows = g.ints(&[1, heads, -1]);
        let read = g.mul(&length, &wide);
        Self {
            keys_pad,
            keys_read: read,
            keys_rows: g.concat(&[&rows, &wide], 0),
            keys_from: half,
            keys_to: to,
            values_pad: g.ints(&[0, 0, 0, window, 0, 0, 0, window]),
            values_more,
            values_rows: g.concat(&[&rows, &wider], 0),
            heads: g.ints(&[1, heads, (of.channels / of.heads) as i64, -1]),
            flat: rows,
            columns: g.ints(&[1, of.channels as i64, -1]),
            padding: mask.map(|mask| {
                // [1, 1, length] of 0 and 1, against itself.
                let row = g.unsqueeze(mask, 2);
                let column = g.unsqueeze(mask, 3);
                let both = g.mul(&row, &column);
                let zero = g.float(0.0);
                g.one("Equal", &[&both, &zero], &[])
            }),
        }
    }
}

/// What a padded position is told: nothing.
const UNHEARD: f32 = -1e4;

pub(crate) fn attention(
    g: &mut Graph<'_>,
    x: &Value,
    of: &Transformer<'_>,
    layer: usize,
    frame: &Frame,
) -> Value {
    let module = format!("{}.attn_layers.{layer}", of.module);
    let (channels, head) = (of.channels, of.channels / of.heads);
    let [q, k, v] = ["conv_q", "conv_k", "conv_v"].map(|name| {
        let made = pointwise(g, x, &format!("{module}.{name}"), channels, channels);
        g.reshape(&made, &frame.heads)
    });
    let root = g.float((head as f32).sqrt());
    let q = g.div(&q, &root);
    let q = g.transpose(&q, &[0, 1, 3, 2]);
    let tables = if of.shared_positions { 1 } else { of.heads };
    let positions = 2 * of.window + 1;
    let keys = g.weight(&format!("{module}.emb_rel_k"), &[tables, positions, head]);
    let keys = g.transpose(&keys, &[0, 2, 1]);

    let scores = g.one("MatMul", &[&q, &k], &[]);
    let near = g.one("MatMul", &[&q, &keys], &[]);
    let near = shear(g, &near, frame);
    let mut scores = g.add(&scores, &near);
    if let Some(padding) = &frame.padding {
        let unheard = g.float(UNHEARD);
        scores = g.one("Where", &[padding, &unheard, &scores], &[]);
    }
    let weights = g.one("Softmax", &[&scores], &[("axis", Attribute::Int(-1))]);

    let v = g.transpose(&v, &[0, 1, 3, 2]);
    let heard = g.one("MatMul", &[&weights, &v], &[]);
    let values = g.weight(&format!("{module}.emb_rel_v"), &[tables, positions, head]);
    let near = unshear(g, &weights, frame, positions);
    let near = g.one("MatMul", &[&near, &values], &[]);
    let heard = g.add(&heard, &near);
    let heard = g.transpose(&heard, &[0, 1, 3, 2]);
    let heard = g.reshape(&heard, &frame.columns);
    pointwise(g, &heard, &format!("{module}.conv_o"), channels, channels)
}

/// [1, heads, T, 2w + 1] by distance → [1, heads, T, T] by position.
fn shear(g: &mut Graph<'_>, near: &Value, frame: &Frame) -> Value {
    let padded = g.one("Pad", &[near, &frame.keys_pad], &[]);
    let flat = g.reshape(&padded, &frame.flat);
    let start = g.ints(&[0]);
    let read = g.slice(&flat, 2, &start, &frame.keys_read);
    let rows = g.reshape(&read, &frame.keys_rows);
    g.slice(&rows, 3, &frame.keys_from, &frame.keys_to)
}

/// [1, heads, T, T] by position → [1, heads, T, 2w + 1] by distance.
fn unshear(g: &mut Graph<'_>, weights: &Value, frame: &Frame, positions: usize) -> Value {
    let padded = g.one("Pad", &[weights, &frame.values_pad], &[]);
    let flat = g.reshape(&padded, &frame.flat);
    let more = g.one("Pad", &[&flat, &frame.values_more], &[]);
    let rows = g.reshape(&more, &frame.values_rows);
    g.cut(&rows, 3, 0, positions as i64)
}
