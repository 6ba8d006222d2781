//! The synthesis graph: phoneme tokens and features in, samples out.
//!
//! Source of names, order and shapes: Style-Bert-VITS2's ONNX export.

use std::sync::Arc;

use ort::session::{Session, SessionOutputs};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::decode::{Latent, LetsIn};
use crate::device::Device;
use crate::error::Error;
use crate::family::{FEATURE_WIDTH, Family, STYLE_WIDTH};
use crate::graph::{Input, Inputs, OpenGraph, Opened, floats, tensor};
use crate::native::tensors::Region;
use crate::onnx::{CONDITION, CONTEXT, LATENT, NOISE, Part, Template};
pub use crate::onnx::{NOISE_LENGTH, place_of_die};
use crate::placement::Placement;
use crate::runtime::{Model, Opening, Runtime};
use crate::settings::Settings;
use crate::signature::{self, Port, float, int, scalar};
use crate::stop::Stop;
use crate::window;
pub use crate::window::Pace;

const KIND: &str = "voice";
const FRONT: &str = "front";
const DECODER: &str = "decoder";

/// The longest input that is ever run: longer ones were never tried.
pub(crate) const TOKENS_MAX: usize = 8_192;

/// Windows that are decoded at a time for one run, at most.
const SIDE_MAX: usize = 8;

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
/// What the decoder takes of the front, and how many frames of a window are
/// surroundings.
const Z: Port = float(LATENT, 3);
const G: Port = float(CONDITION, 3);
const AROUND: Port = int(CONTEXT, 1);
/// [1, 1, frames × 512], within ±1.
pub(crate) const OUTPUT: Port = float("output", 3);

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

/// A synthesis graph, open: whole, or cut where its decoder begins.
pub struct VoiceSession {
    body: Body,
    family: Family,
    /// Whether noise is an input of it.
    dice: bool,
    window: usize,
    /// Whether windows of another length cost more than they save.
    one_length: bool,
}

enum Body {
    Whole(OpenGraph),
    Cut {
        front: OpenGraph,
        /// Each decodes windows of its own, at the same time.
        decoders: Vec<OpenGraph>,
        /// Frames of surroundings that they give samples of.
        margin: Option<usize>,
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
            write_to: None,
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
            one_length: false,
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
        let open = |part, kind, name: &str, settings: &Settings| {
            let bytes = model(part)?;
            runtime.open(&Opening {
                kind,
                name,
                model: Model::Bytes(&bytes),
                settings,
                placement,
                region,
                write_to: None,
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
        let open = |part, kind, name: &str, settings: &Settings| {
            runtime.open(&Opening {
                kind,
                name,
                model: model(part)?,
                settings,
                placement,
                region,
                write_to: None,
            })
        };
        Self::assemble(name, template, settings, open)
    }

    fn assemble(
        name: &str,
        template: &Template,
        settings: &Settings,
        open: impl Fn(Part, &'static str, &str, &Settings) -> Result<Opened, Error>,
    ) -> Result<Self, Error> {
        if settings.window == 0 || template.is_cut().is_err() {
            return Self::over_whole(open(Part::Whole, KIND, name, settings)?);
        }
        let front = open(Part::Front, FRONT, &format!("{name}, front"), settings)?;
        let family = check_inputs(&front.session)?;
        let side = match settings.device {
            Device::Cpu => settings.threads.clamp(1, SIDE_MAX),
            // It divides a window well, and works on one at a time.
            Device::Cuda(_) => 1,
        };
        let alone = Settings {
            threads: (settings.threads / side).max(1),
            ..settings.clone()
        };
        let margin = template.margin();
        let mut ports = vec![&Z, &G];
        ports.extend(margin.is_some().then_some(&AROUND));
        let mut decoders = Vec::with_capacity(side);
        for number in 0..side {
            let name = format!("{name}, decoder {number}");
            let decoder = open(Part::Decoder, DECODER, &name, &alone)?;
            signature::check(DECODER, &decoder.session, &ports, &OUTPUT)?;
            decoders.push(OpenGraph::new(DECODER, decoder, &[OUTPUT.name])?);
        }
        Ok(Self {
            dice: signature::has_input(&front.session, NOISE),
            body: Body::Cut {
                front: OpenGraph::new(FRONT, front, &[LATENT, CONDITION])?,
                decoders,
                margin,
            },
            family,
            window: settings.window,
            one_length: matches!(settings.device, Device::Cuda(_)),
        })
    }

    pub(crate) fn family(&self) -> Family {
        self.family
    }

    /// Speaks into one vector.
    pub(crate) fn collect(&mut self, input: VoiceInput, stop: &Stop) -> Result<Vec<f32>, Error> {
        let mut samples = Vec::new();
        let mut sink = |window: &[f32]| {
            samples.extend_from_slice(window);
            Ok(())
        };
        let (ran, _) = self.speak(input, (stop, &|| false), &mut sink);
        ran.map(|_| samples)
    }

    /// Speaks, all of it or up to where others are let in, and then with what
    /// is left. With the most bytes of the slab that were held at once.
    pub(crate) fn speak(
        &mut self,
        input: VoiceInput,
        (stop, lets_in): (&Stop, &LetsIn<'_>),
        sink: &mut Sink<'_>,
    ) -> (Result<Option<Rest>, Error>, usize) {
        let pace = input.pace;
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
                (ran.map(|()| None), used.peak)
            }
            Body::Cut {
                front,
                decoders,
                margin,
            } => {
                let read = |outputs: &SessionOutputs<'_>| Latent::read(outputs, *margin);
                let (latent, used) = front.run(inputs, stop, read);
                let latent = match latent {
                    Ok(latent) => latent,
                    Err(error) => return (Err(error), used.peak),
                };
                let windows = match self.one_length {
                    true => window::of_one_length(latent.frames(), self.window),
                    false => {
                        let side = decoders.len();
                        window::side_by_side(latent.frames(), self.window, side, pace)
                    }
                };
                let stop = stop.clone();
                let rest = Rest {
                    latent,
                    windows,
                    stop,
                };
                let (ran, peak) = rest.decode(decoders, lets_in, sink);
                (ran, peak.max(used.peak))
            }
        }
    }

    /// What was left of a run of the same voice, in any session of it.
    pub(crate) fn go_on(
        &mut self,
        rest: Rest,
        lets_in: &LetsIn<'_>,
        sink: &mut Sink<'_>,
    ) -> (Result<Option<Rest>, Error>, usize) {
        match &mut self.body {
            Body::Cut { decoders, .. } => rest.decode(decoders, lets_in, sink),
            Body::Whole(_) => {
                let cause = "this session has no decoder of its own";
                (Err(Error::Run(cause.to_owned())), 0)
            }
        }
    }
}

/// What is left of a run that has let others in: the latent, and the windows of
/// it that are still to be decoded. It holds nothing of any session, and what
/// ended the run ends it.
pub struct Rest {
    latent: Latent,
    windows: Vec<window::Window>,
    stop: Stop,
}

impl Rest {
    fn decode(
        mut self,
        decoders: &mut [OpenGraph],
        lets_in: &LetsIn<'_>,
        sink: &mut Sink<'_>,
    ) -> (Result<Option<Self>, Error>, usize) {
        let stops = (&self.stop, lets_in);
        let (decoded, peak) = self.latent.decode(decoders, &self.windows, stops, sink);
        let rest = decoded.map(|done| {
            self.windows.drain(..done);
            (!self.windows.is_empty()).then_some(self)
        });
        (rest, peak)
    }
}

pub(crate) fn check_samples(samples: &[f32]) -> Result<(), Error> {
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
