//! The synthesis graph: phoneme tokens and features in, samples out.
//!
//! Source of names, order and shapes: Style-Bert-VITS2's ONNX export.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::graph::{Input, Inputs, OpenGraph, tensor};
use crate::package::Package;
use crate::pool::{Lease, Pool};
use crate::runtime::Runtime;
use crate::settings::Settings;
use crate::signature::{self, Port, float, int, scalar};

const KIND: &str = "voice";

/// Width of a BERT feature and of a style vector.
pub const FEATURE_WIDTH: usize = 1024;
pub const STYLE_WIDTH: usize = 256;

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
/// [1, 1, frames × 512], within ±1.
const OUTPUT: Port = float("output", 3);

/// Which of the two shapes of graph a voice has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Japanese only: 11 inputs, one feature.
    JpExtra,
    /// Chinese, Japanese, English: 13 inputs, three features.
    Multilingual,
}

/// One voice: who it is, and sessions that speak with it.
pub struct Voice {
    package: Package,
    family: Family,
    pool: Arc<Pool<VoiceSession>>,
}

/// One run of the graph. Token rows and features are padded to the same
/// length; the graph masks by `true_length`.
#[derive(Clone, Debug)]
pub struct VoiceInput {
    /// Symbol ids with blanks.
    pub tokens: Vec<i64>,
    pub tones: Vec<i64>,
    pub languages: Vec<i64>,
    /// Tokens before padding.
    pub true_length: usize,
    /// [1024, padded length], row by row.
    pub features: Vec<f32>,
    pub style_vector: Vec<f32>,
    pub speaker: i64,
    /// Longer is slower.
    pub length_scale: f32,
    pub sdp_ratio: f32,
    pub noise_scale: f32,
    pub noise_scale_w: f32,
}

/// A session with the graph's family; lent by [`Voice::checkout`].
pub struct VoiceSession {
    graph: OpenGraph,
    family: Family,
}

impl Voice {
    /// Opens the first session and checks that the graph is what its package
    /// says. The other lanes open when they are first needed.
    pub(crate) fn open(
        runtime: &Runtime,
        package: Package,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let first = VoiceSession::open(runtime, &package, settings)?;
        let family = first.family;
        if let Some(said) = package.family()
            && said != family
        {
            return Err(Error::Signature {
                kind: KIND,
                cause: format!("its config says {said:?}, its inputs are those of {family:?}"),
            });
        }
        let make = {
            let (runtime, package, settings) = (runtime.clone(), package.clone(), settings.clone());
            move || VoiceSession::open(&runtime, &package, &settings)
        };
        let pool = Pool::new(KIND, package.name(), settings.lanes, first, make);
        Ok(Self {
            package,
            family,
            pool,
        })
    }

    pub fn name(&self) -> &str {
        self.package.name()
    }

    pub fn package(&self) -> &Package {
        &self.package
    }

    pub fn family(&self) -> Family {
        self.family
    }

    pub async fn checkout(&self, wait: Duration) -> Result<Lease<VoiceSession>, Error> {
        self.pool.checkout(wait).await
    }
}

impl Lease<VoiceSession> {
    /// Blocks for the length of the run. The samples are within ±1.
    pub fn run(&mut self, input: VoiceInput) -> Result<Vec<f32>, Error> {
        self.session().run(input)
    }
}

impl VoiceSession {
    fn open(runtime: &Runtime, package: &Package, settings: &Settings) -> Result<Self, Error> {
        let (session, counted) = runtime.open(KIND, package.name(), package.graph(), settings)?;
        let family = if signature::has_input(&session, JA_BERT.name) {
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
        signature::check(KIND, &session, &inputs, &OUTPUT)?;
        Ok(Self {
            graph: OpenGraph::new(KIND, session, counted, OUTPUT.name)?,
            family,
        })
    }

    fn run(&mut self, input: VoiceInput) -> Result<Vec<f32>, Error> {
        let inputs = self.bind(input)?;
        self.graph.run(inputs, |_, samples| {
            if samples.iter().any(|sample| !sample.is_finite()) {
                let cause = "the audio has samples that are no numbers";
                return Err(Error::Run(cause.to_owned()));
            }
            Ok(samples.to_vec())
        })
    }

    fn bind(&self, input: VoiceInput) -> Result<Inputs, Error> {
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
        match self.family {
            Family::JpExtra => inputs.push(("bert", tensor(&feature, input.features)?)),
            Family::Multilingual => {
                inputs.push(("bert", tensor(&feature, silent())?));
                inputs.push(("ja_bert", tensor(&feature, input.features)?));
                inputs.push(("en_bert", tensor(&feature, silent())?));
            }
        }
        Ok(inputs)
    }
}

/// Rank 0, as the exporters trace it; graphs that declare rank 1 take it too.
fn number(value: f32) -> Result<Input, Error> {
    tensor(&[], vec![value])
}
