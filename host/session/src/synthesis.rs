//! The synthesis graph: phoneme tokens and features in, samples out.
//!
//! Source of names, order and shapes: Style-Bert-VITS2's ONNX export.

use std::sync::Arc;

use ort::session::{Session, SessionOutputs};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::device::Device;
use crate::error::Error;
use crate::events;
use crate::family::{FEATURE_WIDTH, Family, STYLE_WIDTH};
use crate::graph::{Input, Inputs, OpenGraph, Opened, floats, tensor};
use crate::native::tensors::{Region, Used};
use crate::onnx::{CONDITION, LATENT, NOISE, Part, Template};
pub use crate::onnx::{NOISE_LENGTH, place_of_die};
use crate::placement::Placement;
use crate::runtime::{Model, Opening, Runtime};
use crate::settings::Settings;
use crate::signature::{self, Port, float, int, scalar};
use crate::stop::Stop;
use crate::window::{self, Last, Window};

const KIND: &str = "voice";
const FRONT: &str = "front";
const DECODER: &str = "decoder";

/// The longest input that is ever run: longer ones were never tried.
pub(crate) const TOKENS_MAX: usize = 8_192;

/// Smaller windows are nearly all overlap.
const SMALLEST_WINDOW: usize = 16;

const TOKENS: [Port; 5] = [
    int("x_tst", 2),
    int("x_tst_lengths", 1),
    int("sid", 1),
    int("tones", 2),
    int("language", 2),
];
/// In a JP-Extra graph `bert` takes the Japanese features, in a multilingual
/// one the Chinese.
const BERT: Port = float("bert", 3);
const JA_BERT: Port = float("ja_bert", 3);
const EN_BERT: Port = float("en_bert", 3);
const STYLE: Port = float("style_vec", 2);
const SCALARS: [Port; 4] = [
    scalar("length_scale"),
    scalar("sdp_ratio"),
    scalar("noise_scale"),
    scalar("noise_scale_w"),
];
/// Standard normal numbers, where the graph's own dice were taken from it.
const NOISE_ROW: Port = float(NOISE, 1);
/// [1, 1, frames × 512], within ±1.
const OUTPUT: Port = float("output", 3);

/// One run of the graph. Token rows and features are padded to the same
/// length; the graph masks by `true_length`.
#[derive(Clone, Debug)]
pub struct VoiceInput {
    /// Symbol ids with blanks.
    pub tokens: Vec<i64>,
    /// One for each token, in the numbering that all three languages share.
    pub tones: Vec<i64>,
    /// One for each token; 1 is Japanese, and blanks have 0.
    pub languages: Vec<i64>,
    /// Tokens before padding.
    pub true_length: usize,
    /// [1024, padded length], row by row.
    pub features: Vec<f32>,
    /// 256 numbers, the style already weighed against the mean.
    pub style_vector: Vec<f32>,
    /// The graph's `sid`.
    pub speaker: i64,
    /// Longer is slower.
    pub length_scale: f32,
    /// The share of the stochastic duration predictor, from 0 to 1; the rest is
    /// the deterministic one's.
    pub sdp_ratio: f32,
    /// Standard deviation of the noise in the latent (VITS).
    pub noise_scale: f32,
    /// Standard deviation of the noise in the durations (VITS).
    pub noise_scale_w: f32,
    /// Where the noise comes from.
    pub dice: Dice,
    /// How soon the first sound is wanted.
    pub pace: Pace,
}

/// Where the standard normal numbers come from that a voice varies by. All but
/// fresh ones only of graphs whose dice could be taken from them.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Dice {
    /// Others each time.
    #[default]
    Fresh,
    /// The same for the same seed, on every machine and in every release.
    Seed(u64),
    /// Given: [`NOISE_LENGTH`] of them. The graph's dice, in the order of its
    /// nodes, each take theirs from [`place_of_die`] on.
    Given(Vec<f32>),
}

/// Of a seed, if there is one.
impl From<Option<u64>> for Dice {
    fn from(seed: Option<u64>) -> Self {
        seed.map_or(Self::Fresh, Self::Seed)
    }
}

/// How the decoder's windows follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// All of one length: the least work.
    #[default]
    Even,
    /// The first ones short, so that there is sound soon: somebody waits.
    Soon,
}

impl Pace {
    /// Fresh frames of the window that begins where `kept` are done.
    fn size(self, size: usize, kept: usize) -> usize {
        let short = match self {
            Self::Even => return size,
            Self::Soon if kept == 0 => size / 4,
            // The first one lasts as long as this one takes, and so on.
            Self::Soon if kept < size / 2 => size / 2,
            Self::Soon => return size,
        };
        short.max(SMALLEST_WINDOW).min(size)
    }
}

/// A synthesis graph, open: whole, or cut where its decoder begins.
pub struct VoiceSession {
    body: Body,
    family: Family,
    /// Whether noise is an input of it.
    dice: bool,
    window: usize,
    /// What a last window is, and whether the first ones may be short.
    last: Last,
}

enum Body {
    Whole(OpenGraph),
    Cut {
        front: OpenGraph,
        decoder: OpenGraph,
    },
}

/// Takes samples as they are made. An error ends the run: whoever wanted them
/// has gone.
pub type Sink<'s> = dyn FnMut(&[f32]) -> Result<(), Error> + 's;

impl VoiceSession {
    /// A session of one's own over a whole model, in memory of its own.
    pub(crate) fn whole(
        runtime: &Runtime,
        name: &str,
        model: &[u8],
        settings: &Settings,
        placement: &Placement,
    ) -> Result<Self, Error> {
        Self::open(runtime, name, Model::Bytes(model), settings, placement)
    }

    /// A session of one's own over a user's file as it is.
    pub(crate) fn open(
        runtime: &Runtime,
        name: &str,
        model: Model<'_>,
        settings: &Settings,
        placement: &Placement,
    ) -> Result<Self, Error> {
        let opened = runtime.open(&Opening {
            kind: KIND,
            name,
            model,
            settings,
            placement,
            region: None,
        })?;
        Self::over_whole(opened)
    }

    fn over_whole(opened: Opened) -> Result<Self, Error> {
        let family = check_inputs(&opened.session)?;
        signature::check_output(KIND, &opened.session, &OUTPUT)?;
        Ok(Self {
            dice: signature::has_input(&opened.session, NOISE),
            body: Body::Whole(OpenGraph::new(KIND, opened, &[OUTPUT.name])?),
            family,
            window: 0,
            last: Last::Short,
        })
    }

    /// Sessions with weights of their own in a region of the slab, packed for
    /// speed. `model` gives the parts of the graph with the weights inside.
    pub(crate) fn with_weights(
        runtime: &Runtime,
        name: &str,
        template: &Template,
        settings: &Settings,
        placement: &Placement,
        region: Option<&Arc<Region>>,
        model: impl Fn(Part) -> Result<Vec<u8>, Error>,
    ) -> Result<Self, Error> {
        let open = |part, kind, name: &str| {
            let bytes = model(part)?;
            runtime.open(&Opening {
                kind,
                name,
                model: Model::Bytes(&bytes),
                settings,
                placement,
                region,
            })
        };
        Self::assemble(name, template, settings, open)
    }

    /// Sessions over both parts of a cut graph, or over the whole one.
    pub(crate) fn of_parts<'m>(
        runtime: &Runtime,
        name: &str,
        template: &Template,
        settings: &Settings,
        placement: &Placement,
        region: Option<&Arc<Region>>,
        model: impl Fn(Part) -> Result<Model<'m>, Error>,
    ) -> Result<Self, Error> {
        let open = |part, kind, name: &str| {
            runtime.open(&Opening {
                kind,
                name,
                model: model(part)?,
                settings,
                placement,
                region,
            })
        };
        Self::assemble(name, template, settings, open)
    }

    fn assemble(
        name: &str,
        template: &Template,
        settings: &Settings,
        open: impl Fn(Part, &'static str, &str) -> Result<Opened, Error>,
    ) -> Result<Self, Error> {
        if settings.window == 0 || template.is_cut().is_err() {
            return Self::over_whole(open(Part::Whole, KIND, name)?);
        }
        let front = open(Part::Front, FRONT, &format!("{name}, front"))?;
        let family = check_inputs(&front.session)?;
        let decoder = open(Part::Decoder, DECODER, &format!("{name}, decoder"))?;
        signature::check(
            DECODER,
            &decoder.session,
            &[&float(LATENT, 3), &float(CONDITION, 3)],
            &OUTPUT,
        )?;
        Ok(Self {
            dice: signature::has_input(&front.session, NOISE),
            body: Body::Cut {
                front: OpenGraph::new(FRONT, front, &[LATENT, CONDITION])?,
                decoder: OpenGraph::new(DECODER, decoder, &[OUTPUT.name])?,
            },
            family,
            window: settings.window,
            last: match settings.device {
                Device::Cpu => Last::Short,
                Device::Cuda(_) => Last::Full,
            },
        })
    }

    pub(crate) fn family(&self) -> Family {
        self.family
    }

    /// Speaks into one vector.
    pub(crate) fn collect(&mut self, input: VoiceInput, stop: &Stop) -> Result<Vec<f32>, Error> {
        let mut samples = Vec::new();
        let (ran, _) = self.speak(input, stop, &mut |window| {
            samples.extend_from_slice(window);
            Ok(())
        });
        ran.map(|()| samples)
    }

    /// With the most bytes of the slab that were held at once.
    pub(crate) fn speak(
        &mut self,
        input: VoiceInput,
        stop: &Stop,
        sink: &mut Sink<'_>,
    ) -> (Result<(), Error>, usize) {
        let pace = match self.last {
            Last::Short => input.pace,
            // Another length would cost more than it saves.
            Last::Full => Pace::Even,
        };
        let inputs = match bind(self.family, self.dice, input) {
            Ok(inputs) => inputs,
            Err(error) => return (Err(error), 0),
        };
        match &mut self.body {
            Body::Whole(graph) => {
                let (ran, used) = graph.run(inputs, stop, |outputs| {
                    let (_, samples) = floats(outputs, OUTPUT.name)?;
                    check_samples(samples)?;
                    sink(samples)
                });
                (ran, used.peak)
            }
            Body::Cut { front, decoder } => {
                let (latent, used) = front.run(inputs, stop, Latent::read);
                match latent {
                    Ok(latent) => {
                        let (ran, peak) =
                            latent.decode(decoder, self.window, (pace, self.last), stop, sink);
                        (ran, peak.max(used.peak))
                    }
                    Err(error) => (Err(error), used.peak),
                }
            }
        }
    }
}

/// What the front hands to the decoder.
struct Latent {
    channels: usize,
    frames: usize,
    /// [channels, frames], row by row.
    values: Vec<f32>,
    condition: Vec<f32>,
}

impl Latent {
    fn read(outputs: &SessionOutputs<'_>) -> Result<Self, Error> {
        let (shape, values) = floats(outputs, LATENT)?;
        let (_, condition) = floats(outputs, CONDITION)?;
        match *shape {
            [1, channels, frames] if channels > 0 && frames > 0 => Ok(Self {
                channels: channels as usize,
                frames: frames as usize,
                values: values.to_vec(),
                condition: condition.to_vec(),
            }),
            _ => Err(Error::Run(format!("the latent has shape {shape:?}"))),
        }
    }

    /// Window by window; where memory is short, in smaller ones.
    fn decode(
        &self,
        decoder: &mut OpenGraph,
        mut size: usize,
        (pace, last): (Pace, Last),
        stop: &Stop,
        sink: &mut Sink<'_>,
    ) -> (Result<(), Error>, usize) {
        let mut peak = 0;
        let mut kept = 0;
        while kept < self.frames {
            let window = window::next(self.frames, kept, pace.size(size, kept), last);
            let (ran, used) = self.decode_one(decoder, &window, stop, sink);
            peak = used.peak.max(peak);
            match ran {
                Ok(()) => kept = window.keep.end,
                Err(Error::OutOfMemory(no_room)) if size > SMALLEST_WINDOW => {
                    events::window_halved(&no_room, size / 2);
                    size /= 2;
                }
                Err(error) => return (Err(error), peak),
            }
        }
        (Ok(()), peak)
    }

    fn decode_one(
        &self,
        decoder: &mut OpenGraph,
        window: &Window,
        stop: &Stop,
        sink: &mut Sink<'_>,
    ) -> (Result<(), Error>, Used) {
        let frames = window.frames.len();
        let rows = self.values.chunks_exact(self.frames);
        let latent: Vec<f32> = rows
            .flat_map(|row| &row[window.frames.clone()])
            .copied()
            .collect();
        let condition = [1, self.condition.len(), 1];
        let inputs = tensor(&[1, self.channels, frames], latent).and_then(|latent| {
            let condition = tensor(&condition, self.condition.clone())?;
            Ok(vec![(LATENT, latent), (CONDITION, condition)])
        });
        let inputs = match inputs {
            Ok(inputs) => inputs,
            Err(error) => return (Err(error), Used::default()),
        };
        decoder.run(inputs, stop, |outputs| {
            let (_, samples) = floats(outputs, OUTPUT.name)?;
            if samples.len() % frames != 0 {
                return Err(Error::Run(format!(
                    "{} samples came of {frames} frames",
                    samples.len()
                )));
            }
            let hop = samples.len() / frames;
            let from = (window.keep.start - window.frames.start) * hop;
            let to = (window.keep.end - window.frames.start) * hop;
            check_samples(&samples[from..to])?;
            sink(&samples[from..to])
        })
    }
}

fn check_samples(samples: &[f32]) -> Result<(), Error> {
    if samples.iter().all(|sample| sample.is_finite()) {
        return Ok(());
    }
    let cause = "the audio has samples that are no numbers";
    Err(Error::Run(cause.to_owned()))
}

/// Which family the graph's inputs are those of; anything else is refused.
fn check_inputs(session: &Session) -> Result<Family, Error> {
    let family = if signature::has_input(session, JA_BERT.name) {
        Family::Multilingual
    } else {
        Family::JpExtra
    };
    let features: &[&Port] = match family {
        Family::JpExtra => &[&BERT],
        Family::Multilingual => &[&BERT, &JA_BERT, &EN_BERT],
    };
    let mut inputs: Vec<&Port> = TOKENS.iter().collect();
    inputs.extend(features);
    inputs.push(&STYLE);
    inputs.extend(&SCALARS);
    if signature::has_input(session, NOISE) {
        inputs.push(&NOISE_ROW);
    }
    signature::check_inputs(KIND, session, &inputs)?;
    Ok(family)
}

fn bind(family: Family, dice: bool, input: VoiceInput) -> Result<Inputs, Error> {
    let padded = input.tokens.len();
    let fits = input.tones.len() == padded
        && input.languages.len() == padded
        && (1..=padded).contains(&input.true_length)
        && input.features.len() == FEATURE_WIDTH * padded
        && input.style_vector.len() == STYLE_WIDTH;
    if !fits {
        return Err(Error::Input(format!(
            "{padded} tokens ({} true), {} tones, {} languages, {} feature values, {} style values",
            input.true_length,
            input.tones.len(),
            input.languages.len(),
            input.features.len(),
            input.style_vector.len()
        )));
    }
    let row = [1, padded];
    let feature = [1, FEATURE_WIDTH, padded];
    let silent = || vec![0.0_f32; FEATURE_WIDTH * padded];
    let mut inputs = vec![
        ("x_tst", tensor(&row, input.tokens)?),
        (
            "x_tst_lengths",
            tensor(&[1], vec![input.true_length as i64])?,
        ),
        ("sid", tensor(&[1], vec![input.speaker])?),
        ("tones", tensor(&row, input.tones)?),
        ("language", tensor(&row, input.languages)?),
        ("style_vec", tensor(&[1, STYLE_WIDTH], input.style_vector)?),
        ("length_scale", number(input.length_scale)?),
        ("sdp_ratio", number(input.sdp_ratio)?),
        ("noise_scale", number(input.noise_scale)?),
        ("noise_scale_w", number(input.noise_scale_w)?),
    ];
    match family {
        Family::JpExtra => inputs.push(("bert", tensor(&feature, input.features)?)),
        Family::Multilingual => {
            inputs.push(("bert", tensor(&feature, silent())?));
            inputs.push(("ja_bert", tensor(&feature, input.features)?));
            inputs.push(("en_bert", tensor(&feature, silent())?));
        }
    }
    match (dice, input.dice) {
        (true, dice) => inputs.push((NOISE, tensor(&[NOISE_LENGTH], dice.row()?)?)),
        (false, Dice::Fresh) => {}
        (false, Dice::Seed(_) | Dice::Given(_)) => return Err(Error::NoSeed),
    }
    Ok(inputs)
}

impl Dice {
    fn row(self) -> Result<Vec<f32>, Error> {
        let seed = match self {
            Self::Fresh => rand::random(),
            Self::Seed(seed) => seed,
            Self::Given(row) if row.len() == NOISE_LENGTH => return Ok(row),
            Self::Given(row) => {
                return Err(Error::Input(format!(
                    "{} numbers of noise, expected {NOISE_LENGTH}",
                    row.len()
                )));
            }
        };
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let normal = StandardNormal.sample_iter(&mut dice);
        Ok(normal.take(NOISE_LENGTH).collect())
    }
}

/// Rank 0, as the exporters trace it; graphs that declare rank 1 take it too.
fn number(value: f32) -> Result<Input, Error> {
    tensor(&[], vec![value])
}
