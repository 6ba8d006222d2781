//! The whole graph of a voice: tokens and features in, samples out.
//!
//! Names and order of inputs and output are those of Style-Bert-VITS2's ONNX
//! export, so that both kinds of graph are run alike. One sentence at a time:
//! the first axis of every value is 1. Tokens may be padded; frames never are.

use crate::attention::Frame;
use crate::blocks::{Conv, Transformer, conv, linear, masked, pointwise, transformer};
use crate::duration::{Heard, dice, predicted, stochastic};
use crate::field::element::{FLOAT, INT64};
use crate::graph::{Attribute, External, Fold, Graph, Value, Wanted, written};
use crate::sizes::{Architecture, Sizes};

/// The output's name, [1, 1, samples].
pub const OUTPUT: &str = "output";

/// Slope of the decoder's rectifiers below 0, and of the last one.
const SLOPE: f32 = 0.1;
const LAST_SLOPE: f32 = 0.01;

/// Writes the model of a voice. `rows` is how many speakers its table has room
/// for, at least as many as it has; `place` says where a weight's bytes lie.
///
/// # Errors
/// What `place` says of the first weight that lies nowhere.
pub fn model<E>(
    sizes: &Sizes,
    rows: usize,
    place: &mut dyn FnMut(&Wanted) -> Result<External, E>,
) -> Result<Vec<u8>, E> {
    written(place, |graph| write(graph, sizes, rows))
}

fn write(mut g: Graph<'_>, sizes: &Sizes, rows: usize) -> Vec<u8> {
    let inputs = Inputs::of(&mut g, sizes);
    g.scope("enc_p");
    let table = g.folded("emb_g.weight", &[rows, sizes.gin], Fold::Rows);
    let speaker_row = g.one("Gather", &[&table, &inputs.speaker], &[]);
    let speaker = g.unsqueeze(&speaker_row, 2);
    let text = encode(&mut g, sizes, &inputs, &speaker_row);
    g.scope("duration");
    let frames = durations(&mut g, sizes, &inputs, &text, &speaker);
    g.scope("flow");
    let latent = prior(&mut g, &inputs, &text, &frames);
    let latent = flow(&mut g, sizes, latent, &speaker_row);
    let sound = decode(&mut g, sizes, &latent, &speaker);
    g.finish(&sound, &[Some(1), Some(1), None])
}

struct Inputs {
    tokens: Value,
    lengths: Value,
    speaker: Value,
    tones: Value,
    languages: Value,
    features: Vec<(&'static str, Value)>,
    style: Value,
    length_scale: Value,
    sdp_ratio: Value,
    noise_scale: Value,
    noise_scale_w: Value,
}

impl Inputs {
    fn of(g: &mut Graph<'_>, sizes: &Sizes) -> Self {
        let row = [Some(1), None];
        let features: &[(&str, &str)] = match sizes.architecture {
            Architecture::JpExtra => &[("bert", "enc_p.bert_proj")],
            Architecture::Multilingual => &[
                ("bert", "enc_p.bert_proj"),
                ("ja_bert", "enc_p.ja_bert_proj"),
                ("en_bert", "enc_p.en_bert_proj"),
            ],
        };
        let wide = [Some(1), Some(sizes.bert as i64), None];
        Self {
            tokens: g.input("x_tst", INT64, &row),
            lengths: g.input("x_tst_lengths", INT64, &[Some(1)]),
            speaker: g.input("sid", INT64, &[Some(1)]),
            tones: g.input("tones", INT64, &row),
            languages: g.input("language", INT64, &row),
            features: features
                .iter()
                .map(|(name, module)| (*module, g.input(name, FLOAT, &wide)))
                .collect(),
            style: g.input("style_vec", FLOAT, &[Some(1), Some(sizes.style as i64)]),
            length_scale: g.input("length_scale", FLOAT, &[]),
            sdp_ratio: g.input("sdp_ratio", FLOAT, &[]),
            noise_scale: g.input("noise_scale", FLOAT, &[]),
            noise_scale_w: g.input("noise_scale_w", FLOAT, &[]),
        }
    }
}

/// The encoded text: what is predicted from it, and the prior of each token.
struct Text {
    encoded: Value,
    /// Means and logarithms of deviations, [1, inter, tokens] each.
    means: Value,
    deviations: Value,
    /// 1 where there is a token and 0 where there is padding, [1, 1, tokens].
    mask: Value,
}

fn encode(g: &mut Graph<'_>, sizes: &Sizes, inputs: &Inputs, speaker: &Value) -> Text {
    let hidden = sizes.hidden;
    let mask = token_mask(g, inputs);
    let mut sum: Option<Value> = None;
    for (key, rows, tokens) in [
        ("enc_p.emb.weight", sizes.symbols, &inputs.tokens),
        ("enc_p.tone_emb.weight", sizes.tones, &inputs.tones),
        (
            "enc_p.language_emb.weight",
            sizes.languages,
            &inputs.languages,
        ),
    ] {
        let table = g.weight(key, &[rows, hidden]);
        let found = g.one("Gather", &[&table, tokens], &[]);
        sum = Some(match sum {
            Some(sum) => g.add(&sum, &found),
            None => found,
        });
    }
    let style = linear(g, &inputs.style, "enc_p.style_proj", sizes.style, hidden);
    let style = g.unsqueeze(&style, 1);
    let mut sum = match sum {
        Some(sum) => g.add(&sum, &style),
        None => style,
    };
    for (module, features) in &inputs.features {
        let projected = pointwise(g, features, module, sizes.bert, hidden);
        let projected = g.transpose(&projected, &[0, 2, 1]);
        sum = g.add(&sum, &projected);
    }
    let root = g.float((hidden as f32).sqrt());
    let x = g.mul(&sum, &root);
    let x = g.transpose(&x, &[0, 2, 1]);
    let x = masked(g, x, Some(&mask));
    let of = Transformer {
        module: "enc_p.encoder",
        layers: sizes.layers,
        channels: hidden,
        heads: sizes.heads,
        window: sizes.window,
        shared_positions: sizes.shared_positions,
        filter: sizes.filter,
        kernel: sizes.kernel,
        gin: sizes.gin,
    };
    let frame = Frame::of(g, &x, &of, Some(&mask));
    let encoded = transformer(g, x, &of, speaker, &frame, Some(&mask));
    let stats = pointwise(g, &encoded, "enc_p.proj", hidden, 2 * sizes.inter);
    let stats = masked(g, stats, Some(&mask));
    let inter = sizes.inter as i64;
    Text {
        means: g.cut(&stats, 1, 0, inter),
        deviations: g.cut(&stats, 1, inter, 2 * inter),
        encoded,
        mask,
    }
}

fn token_mask(g: &mut Graph<'_>, inputs: &Inputs) -> Value {
    let length = g.length(&inputs.tokens, 1);
    let none = g.ints(&[]);
    let end = g.reshape(&length, &none);
    let (start, step) = (g.int(0), g.int(1));
    let places = g.one("Range", &[&start, &end, &step], &[]);
    let there = g.one("Less", &[&places, &inputs.lengths], &[]);
    let there = g.one("Cast", &[&there], &[("to", Attribute::Int(1))]);
    let shape = g.ints(&[1, 1, -1]);
    g.reshape(&there, &shape)
}

/// Where each frame's token is.
fn durations(
    g: &mut Graph<'_>,
    sizes: &Sizes,
    inputs: &Inputs,
    text: &Text,
    speaker: &Value,
) -> Value {
    let heard = Heard {
        text: &text.encoded,
        speaker,
        mask: &text.mask,
    };
    let rolled = stochastic(g, sizes, &heard, &inputs.noise_scale_w);
    let rolled = g.mul(&rolled, &inputs.sdp_ratio);
    let said = predicted(g, sizes, &heard);
    let one = g.float(1.0);
    let rest = g.sub(&one, &inputs.sdp_ratio);
    let said = g.mul(&said, &rest);
    let log = g.add(&rolled, &said);
    let frames = g.one("Exp", &[&log], &[]);
    let frames = g.mul(&frames, &text.mask);
    let frames = g.mul(&frames, &inputs.length_scale);
    let frames = g.one("Ceil", &[&frames], &[]);
    regulate(g, &frames)
}

/// Frames of each token, [1, 1, tokens] → the token of each frame. A frame's
/// token is how many of them have ended by then: ends are counted where they
/// lie, and the counts summed up.
fn regulate(g: &mut Graph<'_>, frames: &Value) -> Value {
    let flat = g.ints(&[-1]);
    let frames = g.reshape(frames, &flat);
    let axis = g.int(0);
    let ends = g.one("CumSum", &[&frames, &axis], &[]);
    let ends = g.one("Cast", &[&ends], &[("to", Attribute::Int(7))]);
    let (last, past) = (g.ints(&[-1]), g.ints(&[i64::MAX]));
    let all = g.slice(&ends, 0, &last, &past);
    let least = g.ints(&[1]);
    let all = g.one("Max", &[&all, &least], &[]);
    let room = g.add(&all, &least);
    let nothing = g.one("ConstantOfShape", &[&room], &[]);
    let shape = g.one("Shape", &[&ends], &[]);
    let single = g.float(1.0);
    let ones = g.one("Expand", &[&single, &shape], &[]);
    let counted = g.one(
        "ScatterElements",
        &[&nothing, &ends, &ones],
        &[
            ("axis", Attribute::Int(0)),
            ("reduction", Attribute::Text("add")),
        ],
    );
    let passed = g.one("CumSum", &[&counted, &axis], &[]);
    let passed = g.one("Cast", &[&passed], &[("to", Attribute::Int(7))]);
    let start = g.ints(&[0]);
    let tokens = g.slice(&passed, 0, &start, &all);
    // Of a text that lasts no frame at all the one there is has a token too.
    let most = g.sub(&shape, &least);
    g.one("Min", &[&tokens, &most], &[])
}

/// A draw from each frame's prior, [1, inter, frames].
fn prior(g: &mut Graph<'_>, inputs: &Inputs, text: &Text, tokens: &Value) -> Value {
    let axis = [("axis", Attribute::Int(2))];
    let means = g.one("Gather", &[&text.means, tokens], &axis);
    let axis = [("axis", Attribute::Int(2))];
    let deviations = g.one("Gather", &[&text.deviations, tokens], &axis);
    let noise = dice(g, &means);
    let deviations = g.one("Exp", &[&deviations], &[]);
    let spread = g.mul(&noise, &deviations);
    let spread = g.mul(&spread, &inputs.noise_scale);
    g.add(&means, &spread)
}

/// The flow of VITS2, undone: mean-only couplings with transformers.
fn flow(g: &mut Graph<'_>, sizes: &Sizes, latent: Value, speaker: &Value) -> Value {
    let (inter, half) = (sizes.inter, sizes.inter / 2);
    let backwards: Vec<i64> = (0..inter as i64).rev().collect();
    let backwards = g.ints(&backwards);
    let mut z = latent;
    let mut frame = None;
    for number in (0..sizes.flows).rev() {
        let module = format!("flow.flows.{}", 2 * number);
        z = g.one("Gather", &[&z, &backwards], &[("axis", Attribute::Int(1))]);
        let kept = g.cut(&z, 1, 0, half as i64);
        let changed = g.cut(&z, 1, half as i64, inter as i64);
        let x = pointwise(g, &kept, &format!("{module}.pre"), half, sizes.hidden);
        let inner = format!("{module}.enc");
        let of = Transformer {
            module: &inner,
            layers: sizes.flow_layers,
            channels: sizes.hidden,
            heads: sizes.heads,
            window: sizes.window,
            shared_positions: sizes.shared_positions,
            filter: sizes.flow_filter,
            kernel: sizes.flow_kernel,
            gin: sizes.gin,
        };
        if frame.is_none() {
            frame = Some(Frame::of(g, &x, &of, None));
        }
        if let Some(frame) = &frame {
            let x = transformer(g, x, &of, speaker, frame, None);
            let shift = pointwise(g, &x, &format!("{module}.post"), sizes.hidden, half);
            let changed = g.sub(&changed, &shift);
            z = g.concat(&[&kept, &changed], 1);
        }
    }
    z
}

/// HiFi-GAN's generator: the samples, within ±1.
fn decode(g: &mut Graph<'_>, sizes: &Sizes, latent: &Value, speaker: &Value) -> Value {
    g.scope("dec/conv_pre");
    let pre = Conv::new(sizes.inter, sizes.upsample, sizes.pre_kernel);
    let x = conv(g, latent, "dec.conv_pre", pre);
    g.scope("dec/cond");
    let told = pointwise(g, speaker, "dec.cond", sizes.gin, sizes.upsample);
    g.scope("dec");
    let mut x = g.add(&x, &told);
    let (mut from, mut block) = (sizes.upsample, 0);
    for (number, stage) in sizes.stages.iter().enumerate() {
        x = rectify(g, &x, SLOPE);
        let module = format!("dec.ups.{number}");
        let (channels, kernel) = (stage.channels, stage.kernel);
        let weight = g.folded(
            &format!("{module}.weight"),
            &[from, channels, kernel],
            Fold::Norm,
        );
        let bias = g.weight(&format!("{module}.bias"), &[channels]);
        let pad = ((kernel - stage.rate) / 2) as i64;
        x = g.one(
            "ConvTranspose",
            &[&x, &weight, &bias],
            &[
                ("kernel_shape", Attribute::Ints(&[kernel as i64])),
                ("pads", Attribute::Ints(&[pad, pad])),
                ("strides", Attribute::Ints(&[stage.rate as i64])),
            ],
        );
        let mut sum: Option<Value> = None;
        for of in &stage.blocks {
            let module = format!("dec.resblocks.{block}");
            let mut y = x.clone();
            for (place, dilation) in of.dilations.iter().enumerate() {
                let first = Conv {
                    dilation: *dilation,
                    fold: Fold::Norm,
                    ..Conv::new(channels, channels, of.kernel)
                };
                let mut told = rectify(g, &y, SLOPE);
                if sizes.double_blocks {
                    told = conv(g, &told, &format!("{module}.convs1.{place}"), first);
                    told = rectify(g, &told, SLOPE);
                    let second = Conv {
                        dilation: 1,
                        ..first
                    };
                    told = conv(g, &told, &format!("{module}.convs2.{place}"), second);
                } else {
                    told = conv(g, &told, &format!("{module}.convs.{place}"), first);
                }
                y = g.add(&y, &told);
            }
            sum = Some(match sum {
                Some(sum) => g.add(&sum, &y),
                None => y,
            });
            block += 1;
        }
        if let Some(sum) = sum {
            let count = g.float(stage.blocks.len() as f32);
            x = g.div(&sum, &count);
        }
        from = channels;
    }
    let x = rectify(g, &x, LAST_SLOPE);
    let post = Conv {
        bias: false,
        ..Conv::new(from, 1, sizes.post_kernel)
    };
    let x = conv(g, &x, "dec.conv_post", post);
    let sound = Value(OUTPUT.to_owned());
    g.node("Tanh", &[&x], &[&sound], &[]);
    sound
}

fn rectify(g: &mut Graph<'_>, x: &Value, slope: f32) -> Value {
    g.one("LeakyRelu", &[x], &[("alpha", Attribute::Float(slope))])
}
