//! The BERT graph: characters in, one feature row per character out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionInputValue};
use ort::value::Tensor;
use tokenizers::Tokenizer;

use crate::error::Error;
use crate::events;
use crate::pool::{Lease, Pool};
use crate::runtime::Runtime;
use crate::settings::Settings;
use crate::signature::{self, Port, float, int};
use crate::source::Source;
use crate::voice::FEATURE_WIDTH;

const KIND: &str = "bert";

const IDS: Port = int("input_ids", 2);
const MASK: Port = int("attention_mask", 2);
/// Some exports keep it; DeBERTa ignores it.
const TYPES: Port = int("token_type_ids", 2);
/// [sequence length, 1024]: row 0 of the batch, so one text a run.
const OUTPUT: Port = float("output", 2);

/// A BERT with its tokenizer, and sessions that run it.
pub struct Bert {
    identity: String,
    tokenizer: Tokenizer,
    marks: Marks,
    pool: Arc<Pool<BertSession>>,
}

/// Ids with a meaning of their own.
struct Marks {
    padding: i64,
    start: i64,
    end: i64,
    unknown: i64,
}

/// One text as ids, start and end marks included, and the length to pad to.
#[derive(Clone, Debug)]
pub struct BertInput {
    pub ids: Vec<i64>,
    pub padded: usize,
}

/// Rows of features, one for each character and both marks.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    pub rows: usize,
    pub width: usize,
    /// `rows × width`, row by row.
    pub data: Vec<f32>,
}

pub struct BertSession {
    session: Session,
    has_types: bool,
    padding: i64,
    options: RunOptions<HasSelectedOutputs>,
    _counted: events::OpenSession,
}

impl Bert {
    pub(crate) fn open(
        runtime: &Runtime,
        graph: &Source,
        tokenizer: &Source,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let identity = format!("{} {}", graph.fingerprint()?, tokenizer.fingerprint()?);
        let tokenizer = Tokenizer::from_bytes(tokenizer.read()?)
            .map_err(|e| Error::Tokenizer(e.to_string()))?;
        let marks = Marks::of(&tokenizer)?;
        let padding = marks.padding;
        let graph = graph.graph();
        let open = {
            let (runtime, settings) = (runtime.clone(), settings.clone());
            move || BertSession::open(&runtime, &graph, padding, &settings)
        };
        let first = open()?;
        Ok(Self {
            identity,
            tokenizer,
            marks,
            pool: Pool::new(KIND, "bert", settings.lanes, first, open),
        })
    }

    /// Equal for equal files: a key for caches of its features.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// One id for each character, between start and end marks: always
    /// `characters + 2`, whatever the tokenizer makes of a character. Applied
    /// to one character at a time, since users' tokenizer files turn a whole
    /// run of characters into one unknown.
    pub fn encode(&self, text: &str) -> Result<Vec<i64>, Error> {
        let mut ids = vec![self.marks.start];
        let mut buffer = [0; 4];
        for character in text.chars() {
            let encoded = self
                .tokenizer
                .encode(&*character.encode_utf8(&mut buffer), false)
                .map_err(|e| Error::Tokenizer(e.to_string()))?;
            ids.push(match encoded.get_ids() {
                [id] => i64::from(*id),
                _ => self.marks.unknown,
            });
        }
        ids.push(self.marks.end);
        Ok(ids)
    }

    pub async fn checkout(&self, wait: Duration) -> Result<Lease<BertSession>, Error> {
        self.pool.checkout(wait).await
    }
}

impl Marks {
    fn of(tokenizer: &Tokenizer) -> Result<Self, Error> {
        let id = |token: &str| {
            tokenizer
                .token_to_id(token)
                .map(i64::from)
                .ok_or_else(|| Error::Tokenizer(format!("it has no `{token}`")))
        };
        Ok(Self {
            padding: id("[PAD]")?,
            start: id("[CLS]")?,
            end: id("[SEP]")?,
            unknown: id("[UNK]")?,
        })
    }
}

impl Lease<BertSession> {
    /// Blocks for the length of the run. Rows of padding are left out.
    pub fn run(&mut self, input: &BertInput) -> Result<Features, Error> {
        self.session().run(input)
    }
}

impl BertSession {
    fn open(
        runtime: &Runtime,
        graph: &crate::source::Graph,
        padding: i64,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let (session, counted) = runtime.open(KIND, KIND, graph, settings)?;
        let has_types = signature::has_input(&session, TYPES.name);
        let inputs: &[&Port] = if has_types {
            &[&IDS, &MASK, &TYPES]
        } else {
            &[&IDS, &MASK]
        };
        signature::check(KIND, &session, inputs, &OUTPUT)?;
        let options = RunOptions::new()
            .map_err(|e| Error::Open(e.to_string()))?
            .with_outputs(OutputSelector::no_default().with(OUTPUT.name));
        Ok(Self {
            session,
            has_types,
            padding,
            options,
            _counted: counted,
        })
    }

    fn run(&mut self, input: &BertInput) -> Result<Features, Error> {
        let rows = input.ids.len();
        if rows == 0 || input.padded < rows {
            return Err(Error::Input(format!(
                "{rows} ids padded to {}",
                input.padded
            )));
        }
        let row = |data: Vec<i64>| -> Result<SessionInputValue<'static>, Error> {
            Tensor::from_array(([1, input.padded], data))
                .map(SessionInputValue::from)
                .map_err(|e| Error::Input(e.to_string()))
        };
        let mut ids = input.ids.clone();
        ids.resize(input.padded, self.padding);
        let mut mask = vec![1; rows];
        mask.resize(input.padded, 0);
        let mut inputs = vec![(IDS.name, row(ids)?), (MASK.name, row(mask)?)];
        if self.has_types {
            inputs.push((TYPES.name, row(vec![0; input.padded])?));
        }
        let failed = |e: ort::Error| Error::Run(e.to_string());
        // The run alone: copies in and out are ours, not ONNX Runtime's.
        let start = Instant::now();
        let outputs = self.session.run_with_options(inputs, &self.options);
        events::ran(KIND, start.elapsed());
        let outputs = outputs.map_err(failed)?;
        let output = outputs
            .get(OUTPUT.name)
            .ok_or_else(|| Error::Run("no output came back".to_owned()))?;
        let (shape, data) = output.try_extract_tensor::<f32>().map_err(failed)?;
        if shape[..] != [input.padded as i64, FEATURE_WIDTH as i64] {
            return Err(Error::Run(format!(
                "the features have shape {shape:?}, expected [{}, {FEATURE_WIDTH}]",
                input.padded
            )));
        }
        Ok(Features {
            rows,
            width: FEATURE_WIDTH,
            data: data[..rows * FEATURE_WIDTH].to_vec(),
        })
    }
}
