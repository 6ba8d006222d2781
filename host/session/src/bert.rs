//! The BERT: characters in, one feature row per character out.
//!
//! `model`: what its sessions are opened from. `session`: one of them.
//! `characters`: ids. `folder`: tensors as Hugging Face has them.

mod characters;
pub mod folder;
mod model;
mod session;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use characters::{parse_tokenizer, parse_vocabulary};

use crate::error::Error;
use crate::events;
use crate::library::{Effort, Library, Needs};
use crate::runtime::Runtime;
use crate::sessions::{self, Sessions};
use crate::settings::Settings;
use crate::source::Source;
use crate::stop::Stop;
use crate::workspace::{Permit, Step};
use characters::Characters;
use model::Model;
use session::{BertSession, Opener};

pub use crate::family::FEATURE_WIDTH as WIDTH;

const KIND: &str = "bert";

/// What a session allocates beside its weights.
const OPENING: usize = 16 << 20;

/// A BERT with its tokenizer, and sessions that run it.
pub struct Bert {
    identity: String,
    characters: Characters,
    /// Numbers of a feature.
    width: usize,
    sessions: Arc<Sessions<BertSession>>,
    library: Arc<Library>,
    graph: Arc<str>,
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
    /// Numbers in a row: 1024, for every BERT that voices were trained with.
    pub width: usize,
    /// `rows × width`, row by row.
    pub data: Vec<f32>,
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
        // Its features are its own at each precision.
        let identity = format!(
            "{} {} {:?}",
            graph.fingerprint_with_neighbours()?,
            tokenizer.fingerprint()?,
            settings.precision,
        );
        let characters = Characters::open(tokenizer)?;
        let padding = characters.padding();
        let model = Model::open(graph, settings.precision)?;
        let width = model.width();
        let open = {
            let (runtime, settings) = (runtime.clone(), settings.clone());
            let library = Arc::clone(&library);
            move |needs: &Needs, effort: Effort| {
                let opener = Opener {
                    runtime: &runtime,
                    settings: &settings,
                    placement: library.placement(),
                    padding,
                    width,
                };
                model.session(opener, &library, needs, effort)
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
            characters,
            width,
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

    /// Numbers of a feature. Voices take 1024.
    pub fn width(&self) -> usize {
        self.width
    }

    /// One id for each character, between start and end marks: always
    /// `characters + 2`, whatever the tokenizer makes of a character.
    pub fn encode(&self, text: &str) -> Result<Vec<i64>, Error> {
        self.characters.encode(text)
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
