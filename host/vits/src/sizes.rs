//! The numbers of a voice: what its tensors' shapes say, and what only its
//! configuration can.
//!
//! Keys are the module paths of Style-Bert-VITS2's inference network, as its
//! `.safetensors` files have them.

/// Which network a voice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Japanese only: one BERT projection.
    JpExtra,
    /// Chinese, Japanese and English: a BERT projection for each.
    Multilingual,
}

/// What a configuration says and no shape can: `model` of `config.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configured {
    /// `upsample_rates`, a stage of the decoder each.
    pub upsample_rates: Vec<usize>,
    /// `resblock_dilation_sizes`, a list for each block of a stage.
    pub resblock_dilations: Vec<Vec<usize>>,
    /// `data.hop_length`: samples of one frame, the product of the rates.
    pub hop_length: usize,
}

impl Default for Configured {
    fn default() -> Self {
        Self {
            upsample_rates: vec![8, 8, 2, 2, 2],
            resblock_dilations: vec![vec![1, 3, 5]; 3],
            hop_length: 512,
        }
    }
}

/// All numbers that the graph of a voice is written from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Which of the two networks it is.
    pub architecture: Architecture,
    /// Rows of `emb_g.weight`: one more than the largest speaker id.
    pub speakers: usize,
    /// `gin_channels`: width of a speaker's vector.
    pub gin: usize,
    /// `hidden_channels`: width of the text encoder.
    pub hidden: usize,
    /// `inter_channels`: width of the latent.
    pub inter: usize,
    /// `filter_channels`: width of the feed-forward layers.
    pub filter: usize,
    /// Width of the feed-forward layers within a flow.
    pub flow_filter: usize,
    /// Kernel of the feed-forward layers, in tokens.
    pub kernel: usize,
    /// Kernel of the feed-forward layers within a flow, in frames.
    pub flow_kernel: usize,
    /// `n_heads`: heads of attention.
    pub heads: usize,
    /// Elements of one head: `hidden` divided by `heads`.
    pub head: usize,
    /// Positions to each side that attention tells apart.
    pub window: usize,
    /// Whether all heads have one table of relative positions.
    pub shared_positions: bool,
    /// Transformer layers of the text encoder.
    pub layers: usize,
    /// Transformer layers of each flow.
    pub flow_layers: usize,
    /// Couplings of the flow, each with a reversal of the channels.
    pub flows: usize,
    /// Rows of the embedding of symbols.
    pub symbols: usize,
    /// Rows of the embedding of tones, over all languages.
    pub tones: usize,
    /// Rows of the embedding of languages.
    pub languages: usize,
    /// Width of a BERT feature.
    pub bert: usize,
    /// Width of a style vector.
    pub style: usize,
    /// Width of the duration predictor.
    pub duration: usize,
    /// Kernel of the duration predictor, in tokens.
    pub duration_kernel: usize,
    /// Bins of the splines of the stochastic duration predictor.
    pub bins: usize,
    /// Kernel of its dilated convolutions, in tokens.
    pub stochastic_kernel: usize,
    /// Dilated convolutions of one stack; each dilates by the kernel to the
    /// power of its number.
    pub stochastic_layers: usize,
    /// Channels before the first stage of the decoder.
    pub upsample: usize,
    /// Stages of the decoder, in order; their rates multiplied are the samples
    /// of a frame.
    pub stages: Vec<Stage>,
    /// Kernel of the first convolution of the decoder, in frames.
    pub pre_kernel: usize,
    /// Kernel of the last convolution of the decoder, in samples.
    pub post_kernel: usize,
    /// Whether a block has two convolutions for each dilation (HiFi-GAN's
    /// "1") or one ("2").
    pub double_blocks: bool,
}

/// One stage of the decoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Channels behind the stage.
    pub channels: usize,
    /// Kernel of its transposed convolution, in samples.
    pub kernel: usize,
    /// How many times longer a signal is behind the stage.
    pub rate: usize,
    /// Residual blocks, whose mean goes on.
    pub blocks: Vec<ResBlock>,
}

/// One residual block of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResBlock {
    /// Kernel of its convolutions, an odd number of samples.
    pub kernel: usize,
    /// Dilation of each convolution, in order.
    pub dilations: Vec<usize>,
}

/// Why tensors are no voice that a graph can be written for. Whoever has the
/// file can act: another file. In sentences, "it" is the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error(
        "it is a base model for training, which has no style and no speaker; a voice that was trained from it would do"
    )]
    Base,
    #[error(
        "it is a voice of Bert-VITS2, which has no `enc_p.style_proj`; one of Style-Bert-VITS2 would do"
    )]
    BertVits2,
    #[error("it is a Nanairo voice, a later generation that this program does not speak yet")]
    Nanairo,
    #[error("its flow is the WaveNet of VITS, not the transformers of Style-Bert-VITS2")]
    WaveNet,
    #[error("it has no tensor `{0}`: it is cut off, or no voice of Style-Bert-VITS2")]
    Missing(String),
    #[error("its tensor `{key}` is {found:?}, expected {expected}")]
    Shape {
        key: String,
        found: Vec<usize>,
        expected: String,
    },
    #[error("its config says `{what}` {said}, but its tensors say {found}")]
    Config {
        what: &'static str,
        said: usize,
        found: usize,
    },
    #[error("it has {count} {what}, the most is {most}")]
    TooMany {
        what: &'static str,
        count: usize,
        most: usize,
    },
}

/// Names of a normed weight's direction and length ([`crate::Fold::Norm`]): as
/// training leaves them, and as newer code saves them.
pub const NORMED: [(&str, &str); 2] = [
    ("weight_v", "weight_g"),
    (
        "parametrizations.weight.original1",
        "parametrizations.weight.original0",
    ),
];

/// What no voice comes near; it bounds the graph before it is written.
const LAYERS_MAX: usize = 64;
const STAGES_MAX: usize = 16;
const BLOCKS_MAX: usize = 16;
const DILATIONS_MAX: usize = 16;
/// Channels, and elements of a speaker's vector.
const WIDTH_MAX: usize = 65_536;
/// Tokens that a dilated convolution reaches.
const REACH_MAX: usize = 65_536;
/// Samples of a frame: a second of sound at any rate.
const RATE_MAX: usize = 4_096;

impl Sizes {
    /// Finds the numbers of a voice. `shape` gives the shape of a tensor by
    /// its key.
    ///
    /// # Errors
    /// What the file lacks or has otherwise than any voice of these kinds.
    pub fn find(
        shape: &dyn Fn(&str) -> Option<Vec<usize>>,
        config: &Configured,
    ) -> Result<Self, Unfit> {
        let shapes = Shapes(shape);
        shapes.recognise()?;
        let [symbols, hidden] = shapes.of("enc_p.emb.weight")?;
        if shapes.has("duration_token_type_emb.weight") || symbols == NANAIRO_SYMBOLS {
            return Err(Unfit::Nanairo);
        }
        let architecture = match shapes.has("enc_p.ja_bert_proj.weight") {
            true => Architecture::Multilingual,
            false => Architecture::JpExtra,
        };
        let [speakers, gin] = shapes.of("emb_g.weight")?;
        let [tones, _] = shapes.of("enc_p.tone_emb.weight")?;
        let [languages, _] = shapes.of("enc_p.language_emb.weight")?;
        let [_, bert, _] = shapes.of("enc_p.bert_proj.weight")?;
        let [_, style] = shapes.of("enc_p.style_proj.weight")?;
        let [stats, _, _] = shapes.of("enc_p.proj.weight")?;
        let [filter, _, kernel] = shapes.of("enc_p.encoder.ffn_layers.0.conv_1.weight")?;
        let table = "enc_p.encoder.attn_layers.0.emb_rel_k";
        let [tables, positions, head] = shapes.of(table)?;
        if head == 0 || hidden % head != 0 || positions % 2 == 0 || stats % 2 != 0 {
            return Err(shapes.unlike(table, "an odd number of positions and whole heads"));
        }
        let heads = hidden / head;
        let ffn = "flow.flows.0.enc.ffn_layers.0.conv_1.weight";
        let [flow_filter, _, flow_kernel] = shapes.of(ffn)?;
        let [duration, _, duration_kernel] = shapes.of("dp.conv_1.weight")?;
        let [_, _, stochastic_kernel] = shapes.of("sdp.convs.convs_sep.0.weight")?;
        let last = "sdp.flows.7.proj.weight";
        let [numbers, _, _] = shapes.of(last)?;
        if (numbers + 1) % 3 != 0 || numbers < 5 {
            return Err(shapes.unlike(last, "3 × bins - 1 rows"));
        }
        let [upsample, _, pre_kernel] = shapes.of("dec.conv_pre.weight")?;
        let [_, _, post_kernel] = shapes.of("dec.conv_post.weight")?;
        for (what, count) in [
            ("elements of a speaker", gin),
            ("channels", hidden),
            ("channels of its latent", stats),
            ("numbers of a spline", numbers),
        ] {
            if count > WIDTH_MAX {
                let most = WIDTH_MAX;
                return Err(Unfit::TooMany { what, count, most });
            }
        }
        let double_blocks = shapes.has_weight("dec.resblocks.0.convs1.0");
        let stochastic_layers = shapes.count("layers", LAYERS_MAX, |it| {
            format!("sdp.convs.convs_sep.{it}.weight")
        })?;
        let reach = stochastic_kernel.checked_pow(stochastic_layers as u32);
        if reach.is_none_or(|reach| reach > REACH_MAX) {
            return Err(shapes.unlike("sdp.convs.convs_sep.0.weight", "a kernel such as 3"));
        }
        let layers = "transformer layers";
        Ok(Self {
            architecture,
            speakers,
            gin,
            hidden,
            inter: stats / 2,
            filter,
            flow_filter,
            kernel,
            flow_kernel,
            heads,
            head,
            window: (positions - 1) / 2,
            shared_positions: tables == 1,
            layers: shapes.count(layers, LAYERS_MAX, |it| {
                format!("enc_p.encoder.attn_layers.{it}.conv_q.weight")
            })?,
            flow_layers: shapes.count(layers, LAYERS_MAX, |it| {
                format!("flow.flows.0.enc.attn_layers.{it}.conv_q.weight")
            })?,
            flows: shapes.count("flows", LAYERS_MAX, |it| {
                format!("flow.flows.{}.pre.weight", 2 * it)
            })?,
            symbols,
            tones,
            languages,
            bert,
            style,
            duration,
            duration_kernel,
            bins: (numbers + 1) / 3,
            stochastic_kernel,
            stochastic_layers,
            upsample,
            stages: shapes.stages(config, double_blocks)?,
            pre_kernel,
            post_kernel,
            double_blocks,
        })
    }

    /// Samples of one frame.
    pub fn hop(&self) -> usize {
        self.stages.iter().map(|stage| stage.rate).product()
    }
}

/// A generation with 39 emoji more.
const NANAIRO_SYMBOLS: usize = 151;

struct Shapes<'s>(&'s dyn Fn(&str) -> Option<Vec<usize>>);

impl Shapes<'_> {
    fn has(&self, key: &str) -> bool {
        (self.0)(key).is_some()
    }

    /// Folded or not: see [`crate::Fold::Norm`].
    fn has_weight(&self, module: &str) -> bool {
        self.weight(module).is_some()
    }

    fn weight(&self, module: &str) -> Option<Vec<usize>> {
        NORMED
            .into_iter()
            .map(|(direction, _)| direction)
            .chain(["weight"])
            .find_map(|it| (self.0)(&format!("{module}.{it}")))
    }

    /// Other networks that people keep in the same folders, by name.
    fn recognise(&self) -> Result<(), Unfit> {
        let style = self.has("enc_p.style_proj.weight");
        match (style, self.has("enc_p.emb.weight")) {
            (true, _) => {}
            (false, false) => return Err(Unfit::Missing("enc_p.emb.weight".to_owned())),
            (false, true) if !self.has("emb_g.weight") => return Err(Unfit::Base),
            (false, true) => return Err(Unfit::BertVits2),
        }
        let wavenet = (self.0)("flow.flows.0.enc.cond_layer.weight_v").is_some()
            || self.has_weight("flow.flows.0.enc.in_layers.0");
        match wavenet {
            true => Err(Unfit::WaveNet),
            false => Ok(()),
        }
    }

    fn of<const RANK: usize>(&self, key: &str) -> Result<[usize; RANK], Unfit> {
        let found = (self.0)(key).ok_or_else(|| Unfit::Missing(key.to_owned()))?;
        let shape: Result<[usize; RANK], _> = found.try_into();
        let shape = shape.map_err(|found| Unfit::Shape {
            key: key.to_owned(),
            found,
            expected: format!("{RANK} axes"),
        })?;
        match shape.contains(&0) {
            true => Err(self.unlike(key, "no empty axis")),
            false => Ok(shape),
        }
    }

    fn unlike(&self, key: &str, expected: &str) -> Unfit {
        Unfit::Shape {
            key: key.to_owned(),
            found: (self.0)(key).unwrap_or_default(),
            expected: expected.to_owned(),
        }
    }

    /// How many there are, one after the other.
    fn count(
        &self,
        what: &'static str,
        most: usize,
        key: impl Fn(usize) -> String,
    ) -> Result<usize, Unfit> {
        let count = (0..=most).take_while(|it| self.has(&key(*it))).count();
        match count {
            0 => Err(Unfit::Missing(key(0))),
            _ if count > most => Err(Unfit::TooMany { what, count, most }),
            _ => Ok(count),
        }
    }

    fn stages(&self, config: &Configured, double: bool) -> Result<Vec<Stage>, Unfit> {
        let up = |it: usize| self.weight(&format!("dec.ups.{it}"));
        let count = (0..=STAGES_MAX).take_while(|it| up(*it).is_some()).count();
        let block = |it: usize| match double {
            true => self.weight(&format!("dec.resblocks.{it}.convs1.0")),
            false => self.weight(&format!("dec.resblocks.{it}.convs.0")),
        };
        let most = STAGES_MAX * BLOCKS_MAX;
        let blocks = (0..=most).take_while(|it| block(*it).is_some()).count();
        if count == 0 {
            return Err(Unfit::Missing("dec.ups.0.weight_v".to_owned()));
        }
        if blocks == 0 {
            return Err(Unfit::Missing(
                "dec.resblocks.0.convs1.0.weight_v".to_owned(),
            ));
        }
        for (what, count, most) in [
            ("stages", count, STAGES_MAX),
            ("blocks of a stage", blocks / count, BLOCKS_MAX),
        ] {
            if count > most {
                return Err(Unfit::TooMany { what, count, most });
            }
        }
        agree("upsample_rates", config.upsample_rates.len(), count)?;
        agree(
            "resblock_kernel_sizes",
            config.resblock_dilations.len() * count,
            blocks,
        )?;
        // A rate of nothing, or of more than any rate of samples.
        let hop = config.upsample_rates.iter().try_fold(1_usize, |hop, rate| {
            hop.checked_mul(*rate)
                .filter(|hop| (1..=RATE_MAX).contains(hop))
        });
        agree("hop_length", config.hop_length, hop.unwrap_or(0))?;
        let mut stages = Vec::with_capacity(count);
        for (number, rate) in config.upsample_rates.iter().enumerate() {
            let key = format!("dec.ups.{number}");
            let shape: Result<[usize; 3], _> = up(number).unwrap_or_default().try_into();
            let wrong = |found: Vec<usize>| Unfit::Shape {
                key: key.clone(),
                found,
                expected: format!("three axes and a kernel of at least its rate, {rate}"),
            };
            let [from, channels, kernel] = shape.map_err(wrong)?;
            if kernel < *rate || (kernel - rate) % 2 != 0 || channels == 0 {
                return Err(wrong(vec![from, channels, kernel]));
            }
            let each = config.resblock_dilations.iter().enumerate();
            let each = each.map(|(place, dilations)| {
                let at = number * config.resblock_dilations.len() + place;
                let shape = block(at).unwrap_or_default();
                if dilations.len() > DILATIONS_MAX || dilations.is_empty() {
                    return Err(Unfit::TooMany {
                        what: "dilations",
                        count: dilations.len(),
                        most: DILATIONS_MAX,
                    });
                }
                match shape[..] {
                    [_, _, kernel] if kernel % 2 == 1 && dilations.iter().all(|it| *it > 0) => {
                        Ok(ResBlock {
                            kernel,
                            dilations: dilations.clone(),
                        })
                    }
                    _ => Err(Unfit::Shape {
                        key: format!("dec.resblocks.{at}"),
                        found: shape,
                        expected: "three axes and an odd kernel".to_owned(),
                    }),
                }
            });
            stages.push(Stage {
                channels,
                kernel,
                rate: *rate,
                blocks: each.collect::<Result<_, _>>()?,
            });
        }
        Ok(stages)
    }
}

fn agree(what: &'static str, said: usize, found: usize) -> Result<(), Unfit> {
    match said == found {
        true => Ok(()),
        false => Err(Unfit::Config { what, said, found }),
    }
}
