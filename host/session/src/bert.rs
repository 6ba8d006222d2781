//! The BERT graph: characters in, one feature row per character out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokenizers::Tokenizer;

use crate::error::Error;
use crate::events;
use crate::family::FEATURE_WIDTH;
use crate::files::Sum;
use crate::graph::{Inputs, OpenGraph, floats, tensor};
use crate::library::{Effort, Library, Needs};
use crate::native::tensors::{Region, Used};
use crate::placement::Placement;
use crate::runtime::{Model, Opening, Runtime};
use crate::sessions::{self, Sessions};
use crate::settings::Settings;
use crate::signature::{self, Port, float, int};
use crate::source::{Graph, Source};
use crate::stop::Stop;
use crate::weights;
use crate::workspace::{Permit, Step};
use memory::slab::Tenant;

const KIND: &str = "bert";

const IDS: Port = int("input_ids", 2);
const MASK: Port = int("attention_mask", 2);
/// Some exports keep it; DeBERTa ignores it.
const TYPES: Port = int("token_type_ids", 2);
/// [sequence length, 1024]: row 0 of the batch, so one text a run.
const OUTPUT: Port = float("output", 2);

/// One id for each character is a megabyte; reading takes many times the file.
const TOKENIZER_BYTES_MAX: u64 = 16 << 20;

/// What a session allocates beside its weights.
const OPENING: usize = 16 << 20;

/// A BERT with its tokenizer, and sessions that run it.
pub struct Bert {
    identity: String,
    tokenizer: Tokenizer,
    marks: Marks,
    sessions: Arc<Sessions<BertSession>>,
    library: Arc<Library>,
    graph: Arc<str>,
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
    /// The model has one id for each character, as [`Bert::encode`] gives them.
    pub ids: Vec<i64>,
    /// Positions of the run; the rest after `ids` is padding, which the model
    /// masks.
    pub padded: usize,
}

/// Rows of features, one for each character and both marks.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// Characters of the text and two more, for the start and end marks.
    pub rows: usize,
    /// Numbers in a row: 1024, for every BERT that the voices were trained
    /// with.
    pub width: usize,
    /// `rows × width`, row by row.
    pub data: Vec<f32>,
}

/// One session of ONNX Runtime over a BERT graph; it runs one text at a time.
pub struct BertSession {
    graph: OpenGraph,
    has_types: bool,
    padding: i64,
}

impl Bert {
    /// `needs` is what opening it was found to need before, or 0.
    pub(crate) fn open(
        runtime: &Runtime,
        graph: &Source,
        tokenizer: &Source,
        settings: &Settings,
        needs: usize,
        library: Arc<Library>,
    ) -> Result<Self, Error> {
        let identity = format!(
            "{} {}",
            graph.fingerprint_with_neighbours()?,
            tokenizer.fingerprint()?
        );
        let tokenizer = parse_tokenizer(&tokenizer.read(TOKENIZER_BYTES_MAX)?)?;
        let marks = Marks::of(&tokenizer)?;
        let padding = marks.padding;
        let graph = graph.graph()?;
        let open = {
            let (runtime, settings) = (runtime.clone(), settings.clone());
            let library = Arc::clone(&library);
            let first = OnceLock::new();
            move |needs: &Needs, effort: Effort| {
                let bytes = weights::whole(&graph)?;
                // A session opened later must be of the same file.
                let mut sum = Sum::default();
                sum.add(&bytes);
                if *first.get_or_init(|| sum) != sum
                    && let Graph::File(held) = &graph
                {
                    let path = held.path().to_owned();
                    return Err(Error::Changed { path });
                }
                let placement = library.placement();
                let first = needs.first(bytes.len());
                let settled =
                    library.open_in_region(KIND, Tenant::Bert, first, effort, |region| {
                        BertSession::open(&runtime, &bytes, padding, &settings, placement, region)
                    })?;
                Ok(settled.kept(needs))
            }
        };
        // Nobody waits for it but a reload.
        let waiting = Effort::Waiting(Instant::now() + settings.patience);
        let departures = Arc::clone(library.departures());
        let needs = Needs::new(needs, OPENING);
        let sessions = Sessions::new(KIND, "bert", settings.lanes, needs, &departures, open);
        sessions.open_with(waiting)?;
        library.stands(&sessions);
        let graph = Arc::from(format!("bert {:08x}", short_hash(&identity)));
        Ok(Self {
            identity,
            tokenizer,
            marks,
            sessions,
            library,
            graph,
        })
    }

    /// Bytes that opening a session took.
    pub(crate) fn opening_took(&self) -> usize {
        self.sessions.needs().found()
    }

    /// What runs held where it was tried; those lengths need no approach.
    pub(crate) fn expect(&self, peaks: &[(usize, usize)]) {
        let workspace = self.library.workspace();
        for (length, bytes) in peaks {
            self.library.learn(&self.graph, *length, *bytes);
            workspace.prove(&self.graph, *length, *bytes);
        }
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

    /// Waits for a session, then for workspace for a run of `padded` positions,
    /// `wait` at most for each: as with voices, whoever waits for the room of a
    /// session must not hold the workspace that others need to make it.
    pub async fn checkout(&self, padded: usize, wait: Duration) -> Result<Lease, Error> {
        let session = self.sessions.checkout(wait).await?;
        let permit = self.library.admit(&self.graph, padded, wait).await?;
        Ok(Lease {
            session,
            permit: Some(permit),
            library: Arc::clone(&self.library),
            graph: Arc::clone(&self.graph),
            wait,
            stop: Stop::default(),
        })
    }
}

/// A tokenizer.json. Its reader is another's and states by panicking what it
/// expects of a file; no file may end a reload.
pub(crate) fn parse_tokenizer(json: &[u8]) -> Result<Tokenizer, Error> {
    let read = catch_unwind(AssertUnwindSafe(|| Tokenizer::from_bytes(json)));
    match read {
        Ok(read) => read.map_err(|e| Error::Tokenizer(e.to_string())),
        Err(_) => Err(Error::Tokenizer(
            "its reader cannot take a part of the file".to_owned(),
        )),
    }
}

/// The session on loan for one run, with the right to the bytes it needs.
pub struct Lease {
    session: sessions::Lease<BertSession>,
    permit: Option<Permit>,
    library: Arc<Library>,
    graph: Arc<str>,
    wait: Duration,
    stop: Stop,
}

fn short_hash(text: &str) -> u32 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish() as u32
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

impl Lease {
    /// Ends the run from another thread, with [`Error::Cancelled`].
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Blocks for the length of the run. Rows of padding are left out. Where
    /// memory is short it is run once more, alone.
    pub fn run(&mut self, input: BertInput) -> Result<Features, Error> {
        self.climb(&input)?;
        match self.attempt(input.clone()) {
            Err(Error::OutOfMemory(no_room)) => {
                events::run_retried(&no_room);
                self.alone()?;
                let padded = input.padded;
                let ran = self.attempt(input);
                if matches!(ran, Err(Error::OutOfMemory(_))) {
                    self.library.workspace().disprove(&self.graph, padded);
                }
                ran
            }
            ran => ran,
        }
    }

    /// Attention grows by the square of a length that the caller chose: one
    /// that has never run is approached by shorter ones, so that none is begun
    /// that could not end.
    fn climb(&mut self, input: &BertInput) -> Result<(), Error> {
        loop {
            let workspace = self.library.workspace();
            let shorter = match workspace.step(&self.graph, input.padded) {
                Step::Run => return Ok(()),
                Step::Try(shorter) => shorter,
                Step::Never => {
                    return Err(Error::TooLong {
                        length: input.padded,
                    });
                }
            };
            self.alone()?;
            let mut ids = input.ids.clone();
            ids.truncate(shorter);
            match self.attempt(BertInput {
                ids,
                padded: shorter,
            }) {
                Ok(_) => {}
                Err(Error::OutOfMemory(_)) => {
                    self.library.workspace().disprove(&self.graph, shorter);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn alone(&mut self) -> Result<(), Error> {
        self.permit = None;
        self.permit = Some(self.library.admit_alone(self.wait)?);
        Ok(())
    }

    fn attempt(&mut self, input: BertInput) -> Result<Features, Error> {
        let padded = input.padded;
        let (ran, used) = self.session.session().run(input, &self.stop);
        self.library.learn(&self.graph, padded, used.peak);
        if ran.is_ok() {
            let workspace = self.library.workspace();
            workspace.prove(&self.graph, padded, used.peak);
        }
        ran
    }

    /// The session is lent again. A lease that is only dropped discards it.
    pub fn release(self) {
        self.session.release();
    }
}

impl BertSession {
    fn open(
        runtime: &Runtime,
        graph: &[u8],
        padding: i64,
        settings: &Settings,
        placement: &Placement,
        region: Option<&Arc<Region>>,
    ) -> Result<Self, Error> {
        let opened = runtime.open(&Opening {
            kind: KIND,
            name: KIND,
            model: Model::Bytes(graph),
            settings,
            placement,
            region,
        })?;
        let session = &opened.session;
        let has_types = signature::has_input(session, TYPES.name);
        let inputs: &[&Port] = if has_types {
            &[&IDS, &MASK, &TYPES]
        } else {
            &[&IDS, &MASK]
        };
        signature::check(KIND, session, inputs, &OUTPUT)?;
        Ok(Self {
            graph: OpenGraph::new(KIND, opened, &[OUTPUT.name])?,
            has_types,
            padding,
        })
    }

    fn run(&mut self, input: BertInput, stop: &Stop) -> (Result<Features, Error>, Used) {
        let (rows, padded) = (input.ids.len(), input.padded);
        let inputs = match self.bind(input) {
            Ok(inputs) => inputs,
            Err(error) => return (Err(error), Used::default()),
        };
        self.graph.run(inputs, stop, |outputs| {
            let (shape, data) = floats(outputs, OUTPUT.name)?;
            if *shape != [padded as i64, FEATURE_WIDTH as i64] {
                return Err(Error::Run(format!(
                    "the features have shape {shape:?}, expected [{padded}, {FEATURE_WIDTH}]",
                )));
            }
            Ok(Features {
                rows,
                width: FEATURE_WIDTH,
                data: data[..rows * FEATURE_WIDTH].to_vec(),
            })
        })
    }

    fn bind(&self, input: BertInput) -> Result<Inputs, Error> {
        let rows = input.ids.len();
        if rows == 0 || input.padded < rows {
            return Err(Error::Input(format!(
                "{rows} ids padded to {}",
                input.padded
            )));
        }
        let row = |values: Vec<i64>| tensor(&[1, input.padded], values);
        let mut ids = input.ids;
        ids.resize(input.padded, self.padding);
        let mut mask = vec![1; rows];
        mask.resize(input.padded, 0);
        let mut inputs = vec![(IDS.name, row(ids)?), (MASK.name, row(mask)?)];
        if self.has_types {
            inputs.push((TYPES.name, row(vec![0; input.padded])?));
        }
        Ok(inputs)
    }
}
