//! The numbers of a DeBERTa-v2: what its tensors' shapes say, and what only its
//! configuration can.
//!
//! Keys are those of Hugging Face's `DebertaV2Model`, with or without the
//! prefix `deberta.` that models with a head have.

/// `config.json` of a BERT, as far as it decides about the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Configured {
    /// `model_type`: which network it is.
    pub model_type: String,
    /// `num_hidden_layers`.
    pub layers: usize,
    /// `num_attention_heads`.
    pub heads: usize,
    /// `attention_head_size`, or the width divided by the heads.
    pub head: Option<usize>,
    /// `position_buckets`: relative positions that are told apart to each side.
    pub buckets: i64,
    /// `max_relative_positions` if it is above 0, else
    /// `max_position_embeddings`: from there on all positions are one.
    pub positions: usize,
    /// `layer_norm_eps`.
    pub epsilon: f32,
    /// `hidden_act`, behind the first half of a feed-forward layer.
    pub activation: String,
    /// `conv_act`, behind the convolution.
    pub conv_activation: String,
    /// `norm_rel_ebd`.
    pub position_norm: String,
    /// `pos_att_type`: what attends to what.
    pub attends: Vec<String>,
    /// `relative_attention`.
    pub relative: bool,
    /// `share_att_key`.
    pub shared: bool,
}

/// All numbers that the graph of a BERT is written from.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizes {
    /// What keys begin with: `deberta.` or nothing.
    pub prefix: &'static str,
    /// Rows of the table of tokens.
    pub vocabulary: usize,
    /// Width of a feature.
    pub hidden: usize,
    /// Width of the feed-forward layers.
    pub intermediate: usize,
    /// Layers that run: voices take the third last of the hidden states, so
    /// the last two never do.
    pub layers: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Elements of one head.
    pub head: usize,
    /// Relative positions that are told apart to each side.
    pub buckets: usize,
    /// From there on all positions are one.
    pub positions: usize,
    /// Added to the variance within a norm.
    pub epsilon: f32,
    /// Kernel and activation of the convolution beside the first layer.
    pub conv: Option<(usize, Activation)>,
}

/// What comes behind the convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// With the error function (arXiv 1606.08415).
    Gelu,
    /// The hyperbolic tangent.
    Tanh,
}

/// Why tensors are no BERT that a graph can be written for. Whoever has the
/// file can act: another file. In sentences, "it" is the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error(
        "it is a `{0}`, no `deberta-v2`; voices were trained with ku-nlp/deberta-v2-large-japanese-char-wwm"
    )]
    Kind(String),
    #[error("its config says `{name}` is {value}; only {expected} is known here")]
    Setting {
        name: &'static str,
        value: String,
        expected: &'static str,
    },
    #[error("it has no tensor `{0}`: it is cut off, or no DeBERTa-v2")]
    Missing(String),
    #[error("its tensor `{key}` is {found:?}, expected {expected}")]
    Shape {
        key: String,
        found: Vec<usize>,
        expected: String,
    },
    #[error("its config says `{name}` is {value}, it must be {bound}")]
    Bound {
        name: &'static str,
        value: String,
        bound: String,
    },
}

/// What no BERT comes near; it bounds the graph before it is written.
const LAYERS_MAX: usize = 128;
const WIDTH_MAX: usize = 16_384;
const BUCKETS_MAX: usize = 4_096;
const POSITIONS_MAX: usize = 65_536;
const KERNEL_MAX: usize = 63;
/// Hidden states behind the one that voices take.
const UNUSED: usize = 2;

impl Sizes {
    /// Finds the numbers. `shape` gives the shape of a tensor by its key.
    ///
    /// # Errors
    /// What the file lacks or has otherwise than any BERT of this kind.
    pub fn find(
        shape: &dyn Fn(&str) -> Option<Vec<usize>>,
        config: &Configured,
    ) -> Result<Self, Unfit> {
        config.check()?;
        let words = "embeddings.word_embeddings.weight";
        let prefix = ["deberta.", ""].into_iter().find(|prefix| {
            let key = format!("{prefix}{words}");
            shape(&key).is_some()
        });
        let prefix = prefix.ok_or_else(|| Unfit::Missing(format!("deberta.{words}")))?;
        let of = |key: &str| shape(&format!("{prefix}{key}"));
        for (key, name) in [
            (
                "embeddings.position_embeddings.weight",
                "position_biased_input",
            ),
            ("embeddings.token_type_embeddings.weight", "type_vocab_size"),
            ("embeddings.embed_proj.weight", "embedding_size"),
        ] {
            if of(key).is_some() {
                return Err(Unfit::Setting {
                    name,
                    value: format!("such that `{key}` is there"),
                    expected: "a model without it",
                });
            }
        }
        let matrix = |key: &str| match of(key) {
            None => Err(Unfit::Missing(format!("{prefix}{key}"))),
            Some(found) => match found[..] {
                [rows, columns] => Ok((rows, columns)),
                _ => Err(Unfit::Shape {
                    key: format!("{prefix}{key}"),
                    found,
                    expected: "[rows, columns]".to_owned(),
                }),
            },
        };
        let (vocabulary, hidden) = matrix(words)?;
        let (intermediate, _) = matrix("encoder.layer.0.intermediate.dense.weight")?;
        let conv = match of("encoder.conv.conv.weight").as_deref() {
            None => None,
            Some(&[_, _, kernel]) => Some((kernel, config.conv_activation()?)),
            Some(found) => {
                return Err(Unfit::Shape {
                    key: format!("{prefix}encoder.conv.conv.weight"),
                    found: found.to_vec(),
                    expected: "[width, width, kernel]".to_owned(),
                });
            }
        };
        let heads = bounded("num_attention_heads", config.heads, hidden.max(1))?;
        let sizes = Self {
            prefix,
            vocabulary,
            hidden: bounded("hidden_size", hidden, WIDTH_MAX)?,
            intermediate: bounded("intermediate_size", intermediate, WIDTH_MAX)?,
            layers: bounded("num_hidden_layers", config.layers, LAYERS_MAX)?,
            heads,
            head: bounded(
                "attention_head_size",
                config.head.unwrap_or(hidden / heads),
                WIDTH_MAX,
            )?,
            buckets: usize::try_from(config.buckets).unwrap_or(0),
            positions: bounded("max_position_embeddings", config.positions, POSITIONS_MAX)?,
            epsilon: config.epsilon,
            conv,
        };
        sizes.checked()
    }

    fn checked(mut self) -> Result<Self, Unfit> {
        let bound = |name, value: String, bound: &str| Unfit::Bound {
            name,
            value,
            bound: bound.to_owned(),
        };
        if self.heads * self.head != self.hidden {
            let value = format!("{} of {}", self.heads, self.head);
            let expected = format!("such that they are {} together", self.hidden);
            return Err(bound("num_attention_heads", value, &expected));
        }
        if self.layers <= UNUSED {
            return Err(bound(
                "num_hidden_layers",
                self.layers.to_string(),
                "more than 2",
            ));
        }
        self.layers -= UNUSED;
        bounded("position_buckets", self.buckets, BUCKETS_MAX)?;
        // Else the logarithm that buckets grow by has no base.
        if self.buckets < 2 || self.positions <= self.buckets / 2 + 1 {
            let value = format!("{} over {} positions", self.buckets, self.positions);
            return Err(bound(
                "position_buckets",
                value,
                "2 or more, over more positions than half of it",
            ));
        }
        if !(self.epsilon > 0.0 && self.epsilon < 1.0) {
            return Err(bound(
                "layer_norm_eps",
                self.epsilon.to_string(),
                "between 0 and 1",
            ));
        }
        if let Some((kernel, _)) = self.conv
            && (kernel % 2 == 0 || kernel > KERNEL_MAX)
        {
            let expected = format!("an odd number up to {KERNEL_MAX}");
            return Err(bound("conv_kernel_size", kernel.to_string(), &expected));
        }
        Ok(self)
    }

    /// Of each relative position from `-reach` to `reach` the row of the
    /// table; beyond, all are those at the ends. One by one up to half of the
    /// buckets, then by the logarithm (arXiv 2006.03654, 2111.09543).
    pub(super) fn rows_by_distance(&self) -> (i64, Vec<i64>) {
        let most = self.buckets as i64;
        let row = |distance: i64| (self.bucket(distance) + most).clamp(0, 2 * most - 1);
        let mut reach = 1;
        while reach < 2 * self.positions as i64 && (row(reach) < 2 * most - 1 || row(-reach) > 0) {
            reach += 1;
        }
        (reach, (-reach..=reach).map(row).collect())
    }

    fn bucket(&self, distance: i64) -> i64 {
        let middle = self.buckets as i64 / 2;
        let far = distance.abs();
        if far <= middle {
            return distance;
        }
        let middle_f = middle as f64;
        let by_log = (far as f64 / middle_f).ln() / ((self.positions - 1) as f64 / middle_f).ln();
        let bucket = (by_log * (middle_f - 1.0)).ceil() as i64 + middle;
        distance.signum() * bucket
    }
}

fn bounded(name: &'static str, value: usize, most: usize) -> Result<usize, Unfit> {
    match (1..=most).contains(&value) {
        true => Ok(value),
        false => Err(Unfit::Bound {
            name,
            value: value.to_string(),
            bound: format!("1 to {most}"),
        }),
    }
}

impl Configured {
    fn check(&self) -> Result<(), Unfit> {
        if self.model_type != "deberta-v2" {
            return Err(Unfit::Kind(self.model_type.clone()));
        }
        let setting = |name, value: String, expected| {
            Err(Unfit::Setting {
                name,
                value,
                expected,
            })
        };
        if !self.relative {
            return setting("relative_attention", "false".to_owned(), "true");
        }
        if !self.shared {
            return setting("share_att_key", "false".to_owned(), "true");
        }
        if self.position_norm != "layer_norm" {
            return setting("norm_rel_ebd", self.position_norm.clone(), "\"layer_norm\"");
        }
        if self.activation != "gelu" {
            return setting("hidden_act", self.activation.clone(), "\"gelu\"");
        }
        let mut attends = self.attends.clone();
        attends.sort();
        if attends != ["c2p", "p2c"] {
            return setting(
                "pos_att_type",
                self.attends.join("|"),
                "\"p2c\" and \"c2p\" together",
            );
        }
        Ok(())
    }

    fn conv_activation(&self) -> Result<Activation, Unfit> {
        match self.conv_activation.as_str() {
            "gelu" => Ok(Activation::Gelu),
            "tanh" => Ok(Activation::Tanh),
            other => Err(Unfit::Setting {
                name: "conv_act",
                value: other.to_owned(),
                expected: "\"gelu\" or \"tanh\"",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_told_apart_one_by_one_and_then_by_the_logarithm() {
        let sizes = Sizes {
            prefix: "",
            vocabulary: 1,
            hidden: 1,
            intermediate: 1,
            layers: 1,
            heads: 1,
            head: 1,
            buckets: 256,
            positions: 512,
            epsilon: 1e-7,
            conv: None,
        };
        let (reach, rows) = sizes.rows_by_distance();
        let row = |distance: i64| rows[(distance + reach) as usize];
        assert_eq!(reach, 512);
        assert_eq!([row(0), row(-128), row(128)], [256, 128, 384]);
        assert_eq!([row(129), row(511), row(512)], [385, 511, 511]);
        assert_eq!([row(-511), row(-512)], [1, 0]);
    }
}
