//! The synthesis graph: phoneme tokens and features in, samples out.
//!
//! Source of names, order and shapes: Style-Bert-VITS2's ONNX export.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ort::session::HasSelectedOutputs;
use ort::session::{OutputSelector, RunOptions, Session, SessionInputValue};
use ort::value::Tensor;

use crate::error::Error;
use crate::events;
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
    session: Session,
    family: Family,
    options: RunOptions<HasSelectedOutputs>,
    _counted: events::OpenSession,
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
    pub fn run(&mut self, input: &VoiceInput) -> Result<Vec<f32>, Error> {
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
        // Users' graphs have six more outputs, one of them quadratic in length.
        let only_output = OutputSelector::no_default().with(OUTPUT.name);
        let options = RunOptions::new()
            .map_err(|e| Error::Open(e.to_string()))?
            .with_outputs(only_output);
        Ok(Self {
            session,
            family,
            options,
            _counted: counted,
        })
    }

    fn run(&mut self, input: &VoiceInput) -> Result<Vec<f32>, Error> {
        let inputs = self.bind(input)?;
        let failed = |e: ort::Error| Error::Run(e.to_string());
        // The run alone: copies in and out are ours, not ONNX Runtime's.
        let start = Instant::now();
        let outputs = self.session.run_with_options(inputs, &self.options);
        events::ran(KIND, start.elapsed());
        let outputs = outputs.map_err(failed)?;
        let output = outputs
            .get(OUTPUT.name)
            .ok_or_else(|| Error::Run("no output came back".to_owned()))?;
        let (_, samples) = output.try_extract_tensor::<f32>().map_err(failed)?;
        if samples.iter().any(|sample| !sample.is_finite()) {
            return Err(Error::Run(
                "the audio has samples that are no numbers".to_owned(),
            ));
        }
        Ok(samples.to_vec())
    }

    fn bind(
        &self,
        input: &VoiceInput,
    ) -> Result<Vec<(&'static str, SessionInputValue<'static>)>, Error> {
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
            ("x_tst", tensor(&row, input.tokens.clone())?),
            (
                "x_tst_lengths",
                tensor(&[1], vec![input.true_length as i64])?,
            ),
            ("sid", tensor(&[1], vec![input.speaker])?),
            ("tones", tensor(&row, input.tones.clone())?),
            ("language", tensor(&row, input.languages.clone())?),
            (
                "style_vec",
                tensor(&[1, STYLE_WIDTH], input.style_vector.clone())?,
            ),
            ("length_scale", number(input.length_scale)?),
            ("sdp_ratio", number(input.sdp_ratio)?),
            ("noise_scale", number(input.noise_scale)?),
            ("noise_scale_w", number(input.noise_scale_w)?),
        ];
        match self.family {
            Family::JpExtra => inputs.push(("bert", tensor(&feature, input.features.clone())?)),
            Family::Multilingual => {
                inputs.push(("bert", tensor(&feature, silent())?));
                inputs.push(("ja_bert", tensor(&feature, input.features.clone())?));
                inputs.push(("en_bert", tensor(&feature, silent())?));
            }
        }
        Ok(inputs)
    }
}

/// Rank 0, as the exporters trace it; graphs that declare rank 1 take it too.
fn number(value: f32) -> Result<SessionInputValue<'static>, Error> {
    tensor(&[], vec![value])
}

fn tensor<T>(shape: &[usize], data: Vec<T>) -> Result<SessionInputValue<'static>, Error>
where
    T: ort::value::PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static,
{
    Tensor::from_array((shape.to_vec(), data))
        .map(SessionInputValue::from)
        .map_err(|e| Error::Input(e.to_string()))
}
