//! The graph of a DeBERTa-v2 (arXiv 2006.03654, 2111.09543): ids of characters
//! in, the hidden state that voices were trained with out.
//!
//! Weights stand left of what they are multiplied with: `W · x` over columns,
//! one for each character. So they are read as they lie in the file, and ONNX
//! Runtime packs no copy of them; what it packs at each run is the few columns.
//! Norms want rows; those are turned, which costs a thousandth.

mod sizes;

pub use sizes::{Activation, Configured, Sizes, Unfit};

use crate::blocks::gelu;
use crate::field::element::{FLOAT, INT64};
use crate::graph::{Attribute, External, Fold, Graph, Value, Wanted, written};

/// The output's name, [characters and both marks, hidden].
pub const OUTPUT: &str = "output";

/// Added where a position is padding: nothing is left of it behind a softmax.
const UNHEARD: f32 = 1e30;

/// Writes the model. `place` says where a weight's bytes lie.
///
/// # Errors
/// What `place` says of the first weight that lies nowhere.
pub fn model<E>(
    sizes: &Sizes,
    place: &mut dyn FnMut(&Wanted) -> Result<External, E>,
) -> Result<Vec<u8>, E> {
    written(place, |graph| write(graph, sizes))
}

fn write(mut graph: Graph<'_>, sizes: &Sizes) -> Vec<u8> {
    let g = &mut graph;
    let row = [Some(1), None];
    let ids = g.input("input_ids", INT64, &row);
    let mask = g.input("attention_mask", INT64, &row);

    g.scope("embeddings");
    let mask = g.one(
        "Cast",
        &[&mask],
        &[("to", Attribute::Int(FLOAT.cast_signed()))],
    );
    let one_each = g.ints(&[-1, 1]);
    // [positions, 1], for rows.
    let heard = g.reshape(&mask, &one_each);
    let embedded = embed(g, sizes, &ids, &heard);
    let frame = Frame::of(g, sizes, &ids, &mask);
    let mut x = embedded.clone();
    for layer in 0..sizes.layers {
        x = encode(g, sizes, layer, &x, &frame);
        if let (0, Some((kernel, activation))) = (layer, sizes.conv) {
            x = beside(g, sizes, &embedded, &x, &heard, (kernel, activation));
        }
    }
    let output = Value(OUTPUT.to_owned());
    g.node("Identity", &[&x], &[&output], &[]);
    graph.finish(&output, &[None, Some(sizes.hidden as i64)])
}

/// [positions, hidden]; 0 where it is padding.
fn embed(g: &mut Graph<'_>, sizes: &Sizes, ids: &Value, heard: &Value) -> Value {
    let key = format!("{}embeddings.word_embeddings.weight", sizes.prefix);
    let table = g.weight(&key, &[sizes.vocabulary, sizes.hidden]);
    let flat = g.ints(&[-1]);
    let ids = g.reshape(ids, &flat);
    let found = g.one("Gather", &[&table, &ids], &[]);
    let normed = norm(g, sizes, &found, "embeddings.LayerNorm");
    g.mul(&normed, heard)
}

/// Lengths, shapes and rows of the tables that all layers share.
struct Frame {
    /// [heads, head, positions]
    heads: Value,
    /// [hidden, positions]
    columns: Value,
    /// Rows of a table by distance: from the farthest before to the farthest
    /// after, and back.
    falling: Value,
    rising: Value,
    /// Of rows by distance to rows by position.
    flat: Value,
    from: Value,
    to: Value,
    rows: Value,
    length: Value,
    /// 0 where there is a character, far below where there is padding.
    unheard: Value,
    scale: Value,
}

impl Frame {
    fn of(g: &mut Graph<'_>, sizes: &Sizes, ids: &Value, mask: &Value) -> Self {
        let length = g.length(ids, 1);
        let none = g.ints(&[]);
        let count = g.reshape(&length, &none);
        let (one, minus) = (g.int(1), g.int(-1));
        let last = g.sub(&count, &one);
        // One more than there are, so that rows read on within each other.
        let low = g.one("Neg", &[&count], &[]);
        let below = g.sub(&low, &one);
        let falling = g.one("Range", &[&last, &below, &minus], &[]);
        let first = g.one("Neg", &[&last], &[]);
        let above = g.add(&count, &one);
        let rising = g.one("Range", &[&first, &above, &one], &[]);

        let (reach, table) = sizes.rows_by_distance();
        let table = g.ints(&table);
        let (lowest, highest) = (g.int(-reach), g.int(reach));
        let [falling, rising] = [falling, rising].map(|distances| {
            let within = g.one("Clip", &[&distances, &lowest, &highest], &[]);
            let place = g.add(&within, &highest);
            g.one("Gather", &[&table, &place], &[])
        });

        let (single, two) = (g.ints(&[1]), g.ints(&[2]));
        let twice = g.mul(&length, &two);
        let width = g.sub(&twice, &single);
        let from = g.sub(&length, &single);
        let read = g.mul(&length, &width);
        let heads = g.ints(&[sizes.heads as i64, -1]);
        let (float_one, far) = (g.float(1.0), g.float(UNHEARD));
        // [1, positions]: the same for all heads and rows.
        let padding = g.sub(mask, &float_one);
        Self {
            heads: g.ints(&[sizes.heads as i64, sizes.head as i64, -1]),
            columns: g.ints(&[sizes.hidden as i64, -1]),
            falling,
            rising,
            to: g.add(&from, &read),
            from,
            rows: g.concat(&[&heads, &width], 0),
            flat: heads,
            length,
            unheard: g.mul(&padding, &far),
            // The three that are added: content to content, to position, from
            // position.
            scale: g.float(1.0 / ((3 * sizes.head) as f32).sqrt()),
        }
    }

    /// [heads, positions, 2 · positions] by distance → [heads, positions,
    /// positions] by position: row i begins i places earlier.
    fn sheared(&self, g: &mut Graph<'_>, by_distance: &Value) -> Value {
        let flat = g.reshape(by_distance, &self.flat);
        let read = g.slice(&flat, 1, &self.from, &self.to);
        let rows = g.reshape(&read, &self.rows);
        let start = g.ints(&[0]);
        g.slice(&rows, 2, &start, &self.length)
    }
}

/// One layer, [positions, hidden] to the same.
fn encode(g: &mut Graph<'_>, sizes: &Sizes, layer: usize, x: &Value, frame: &Frame) -> Value {
    let Sizes {
        prefix,
        hidden,
        intermediate,
        ..
    } = *sizes;
    g.scope(&format!("encoder/layer.{layer}"));
    let module = format!("encoder.layer.{layer}");
    let columns = g.transpose(x, &[1, 0]);
    let heard = attend(g, sizes, &module, &columns, frame);
    let told = linear(
        g,
        &heard,
        &format!("{prefix}{module}.attention.output.dense"),
        [hidden, hidden],
    );
    let told = g.transpose(&told, &[1, 0]);
    let sum = g.add(&told, x);
    let x = norm(
        g,
        sizes,
        &sum,
        &format!("{module}.attention.output.LayerNorm"),
    );

    let columns = g.transpose(&x, &[1, 0]);
    let wide = linear(
        g,
        &columns,
        &format!("{prefix}{module}.intermediate.dense"),
        [intermediate, hidden],
    );
    let wide = gelu(g, &wide);
    let told = linear(
        g,
        &wide,
        &format!("{prefix}{module}.output.dense"),
        [hidden, intermediate],
    );
    let told = g.transpose(&told, &[1, 0]);
    let sum = g.add(&told, &x);
    norm(g, sizes, &sum, &format!("{module}.output.LayerNorm"))
}

/// What each position hears of the others, [hidden, positions].
fn attend(g: &mut Graph<'_>, sizes: &Sizes, module: &str, x: &Value, frame: &Frame) -> Value {
    let Sizes {
        hidden,
        heads,
        head,
        buckets,
        ..
    } = *sizes;
    let of = |name: &str| format!("{}{module}.attention.self.{name}_proj", sizes.prefix);
    let [q, k, v] = ["query", "key", "value"].map(|name| {
        let made = linear(g, x, &of(name), [hidden, hidden]);
        g.reshape(&made, &frame.heads)
    });
    let [pk, pq] = [("key", &frame.falling), ("query", &frame.rising)].map(|(name, rows)| {
        let table = g.folded(&of(name), &[heads, 2 * buckets, head], Fold::Positions);
        let found = g.one("Gather", &[&table, rows], &[("axis", Attribute::Int(1))]);
        g.transpose(&found, &[0, 2, 1])
    });
    let q = g.transpose(&q, &[0, 2, 1]);
    let by_content = g.one("MatMul", &[&q, &k], &[]);
    let to_position = g.one("MatMul", &[&q, &pk], &[]);
    let to_position = frame.sheared(g, &to_position);
    let k = g.transpose(&k, &[0, 2, 1]);
    let from_position = g.one("MatMul", &[&k, &pq], &[]);
    let from_position = frame.sheared(g, &from_position);
    let from_position = g.transpose(&from_position, &[0, 2, 1]);
    let sum = g.add(&by_content, &to_position);
    let sum = g.add(&sum, &from_position);
    let scaled = g.mul(&sum, &frame.scale);
    let scores = g.add(&scaled, &frame.unheard);
    let weights = g.one("Softmax", &[&scores], &[("axis", Attribute::Int(-1))]);
    let v = g.transpose(&v, &[0, 2, 1]);
    let heard = g.one("MatMul", &[&weights, &v], &[]);
    let heard = g.transpose(&heard, &[0, 2, 1]);
    g.reshape(&heard, &frame.columns)
}

/// The convolution over the embedded text, added to the first layer's output.
fn beside(
    g: &mut Graph<'_>,
    sizes: &Sizes,
    embedded: &Value,
    x: &Value,
    heard: &Value,
    (kernel, activation): (usize, Activation),
) -> Value {
    g.scope("encoder/conv");
    let Sizes { prefix, hidden, .. } = *sizes;
    let weight = g.weight(
        &format!("{prefix}encoder.conv.conv.weight"),
        &[hidden, hidden, kernel],
    );
    let bias = g.weight(&format!("{prefix}encoder.conv.conv.bias"), &[hidden]);
    let columns = g.transpose(embedded, &[1, 0]);
    let columns = g.unsqueeze(&columns, 0);
    let half = (kernel / 2) as i64;
    let made = g.one(
        "Conv",
        &[&columns, &weight, &bias],
        &[
            ("kernel_shape", Attribute::Ints(&[kernel as i64])),
            ("pads", Attribute::Ints(&[half, half])),
        ],
    );
    let flat = g.ints(&[hidden as i64, -1]);
    let made = g.reshape(&made, &flat);
    let made = g.transpose(&made, &[1, 0]);
    let made = g.mul(&made, heard);
    let made = match activation {
        Activation::Gelu => gelu(g, &made),
        Activation::Tanh => g.one("Tanh", &[&made], &[]),
    };
    let sum = g.add(x, &made);
    norm(g, sizes, &sum, "encoder.conv.LayerNorm")
}

/// Rows of a weight that are multiplied at once: what is made of more does not
/// stay in a processor's cache and takes half as long again.
const ROWS: usize = 1_024;

/// `W · x + b` over columns.
fn linear(g: &mut Graph<'_>, x: &Value, module: &str, [to, from]: [usize; 2]) -> Value {
    let mut parts = Vec::new();
    for row in (0..to).step_by(ROWS) {
        let (rows, fold) = match to <= ROWS {
            true => (to, Fold::None),
            false => (ROWS.min(to - row), Fold::From(row)),
        };
        let weight = g.folded(&format!("{module}.weight"), &[rows, from], fold);
        // The same for each column.
        let bias = g.folded(&format!("{module}.bias"), &[rows, 1], fold);
        parts.push(g.one("Gemm", &[&weight, x, &bias], &[]));
    }
    match &parts[..] {
        [whole] => whole.clone(),
        parts => {
            let parts: Vec<_> = parts.iter().collect();
            g.concat(&parts, 0)
        }
    }
}

/// Layer norm over rows (arXiv 1607.06450).
fn norm(g: &mut Graph<'_>, sizes: &Sizes, rows: &Value, module: &str) -> Value {
    let of = |name: &str| format!("{}{module}.{name}", sizes.prefix);
    let weight = g.weight(&of("weight"), &[sizes.hidden]);
    let bias = g.weight(&of("bias"), &[sizes.hidden]);
    g.one(
        "LayerNormalization",
        &[rows, &weight, &bias],
        &[
            ("axis", Attribute::Int(-1)),
            ("epsilon", Attribute::Float(sizes.epsilon)),
        ],
    )
}
