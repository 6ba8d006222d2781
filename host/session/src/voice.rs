//! A voice as callers have it: who it is, how it comes to a session, and the
//! lease of one run.

use std::sync::Arc;
use std::time::Duration;

use crate::entry::TemplateEntry;
use crate::error::Error;
use crate::events;
use crate::library::{Flight, Library, Own, Record};
use crate::package::Package;
use crate::sessions;
use crate::slot::{self, Slots};
use crate::stop::Stop;
use crate::workspace::Permit;

pub use crate::decode::LetsIn;
pub use crate::family::{FEATURE_WIDTH, Family, STYLE_WIDTH};
use crate::synthesis::TOKENS_MAX;
pub use crate::synthesis::{
    Dice, NOISE_LENGTH, Pace, Rest, Sink, VoiceInput, VoiceSession, place_of_die,
};

/// One voice: who it is, and how it is spoken with.
pub struct Voice {
    package: Package,
    family: Family,
    record: Arc<Record>,
    way: Way,
    library: Arc<Library>,
    /// Kept: the slots live as long as a voice of their template.
    _template: Arc<TemplateEntry>,
    /// Names its files and all else that its first word depends on; none if it
    /// has to say one after each start.
    mark: Option<String>,
}

/// How a voice comes to a session.
pub(crate) enum Way {
    /// Its weights are copied into a slot that all voices of its template use.
    Slots(Arc<Slots>),
    /// It has sessions of its own.
    Own(Arc<Own>),
}

impl Voice {
    pub(crate) fn new(
        package: Package,
        family: Family,
        record: Arc<Record>,
        way: Way,
        library: Arc<Library>,
        template: Arc<TemplateEntry>,
    ) -> Result<Self, Error> {
        if let Some(said) = package.family()
            && said != family
        {
            return Err(Error::Signature {
                kind: "voice",
                cause: format!("its config says {said:?}, its inputs are those of {family:?}"),
            });
        }
        Ok(Self {
            package,
            family,
            record,
            way,
            library,
            _template: template,
            mark: None,
        })
    }

    /// What it shows once need not be shown again under the same mark. Voices
    /// with sessions of their own have none: opening one may fail.
    pub(crate) fn marked(self, mark: Option<String>) -> Self {
        let mark = mark.filter(|_| matches!(self.way, Way::Slots(_)));
        Self { mark, ..self }
    }

    pub(crate) fn mark(&self) -> Option<&str> {
        self.mark.as_deref()
    }

    /// As its own package says; requests know the voice by the operator's name.
    pub fn name(&self) -> &str {
        self.package.name()
    }

    /// Who the voice is, and its speakers, styles and licence.
    pub fn package(&self) -> &Package {
        &self.package
    }

    /// Which inputs its graph takes.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Whether it can go on speaking, though its files may have changed.
    pub fn lasts(&self) -> bool {
        self.record.lasts()
    }

    /// Bytes that opening a session of its own took; 0 if it has none.
    pub(crate) fn opening_took(&self) -> usize {
        match &self.way {
            Way::Slots(_) => 0,
            Way::Own(own) => own.needs().found(),
        }
    }

    /// Waits for a session, then for workspace for a run of `tokens` tokens
    /// (after padding), `wait` at most for each. While it waits and runs, the
    /// voice is not evicted; so whoever waits for the room of a session must
    /// not hold the workspace that others need to make it.
    pub async fn checkout(&self, tokens: usize, wait: Duration) -> Result<Lease, Error> {
        if tokens > TOKENS_MAX {
            return Err(Error::Untried {
                tokens,
                most: TOKENS_MAX,
            });
        }
        let flight = self.record.flight();
        let graph = self.record.graph();
        let seat = match &self.way {
            Way::Slots(slots) => Seat::Slot(slots.checkout(self.record.id(), wait).await?),
            Way::Own(own) => Seat::Own(own.checkout(wait).await?),
        };
        let permit = self.library.admit(&graph, tokens, wait).await?;
        Ok(Lease {
            seat,
            record: Arc::clone(&self.record),
            library: Arc::clone(&self.library),
            permit: Some(permit),
            tokens,
            wait,
            stop: Stop::default(),
            _flight: flight,
        })
    }
}

/// A session on loan for one run, with the right to the bytes it needs. Moves
/// into the closure that blocks. A lease that is dropped without
/// [`release`](Self::release) ended in an error: its session is discarded.
pub struct Lease {
    seat: Seat,
    record: Arc<Record>,
    library: Arc<Library>,
    permit: Option<Permit>,
    tokens: usize,
    wait: Duration,
    stop: Stop,
    _flight: Flight,
}

enum Seat {
    Slot(slot::Lease),
    Own(sessions::Lease<VoiceSession>),
}

/// Of a run.
enum Part {
    All(VoiceInput),
    Left(Rest),
}

impl Lease {
    /// Ends the run from another thread, with [`Error::Cancelled`].
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Blocks for the length of the run; all samples at once, within ±1.
    pub fn run(&mut self, input: VoiceInput) -> Result<Vec<f32>, Error> {
        let mut samples = Vec::new();
        self.speak(input, &mut |window| {
            samples.extend_from_slice(window);
            Ok(())
        })?;
        Ok(samples)
    }

    /// Blocks for the length of the run and hands on the samples window by
    /// window, as they come.
    pub fn speak(&mut self, input: VoiceInput, sink: &mut Sink<'_>) -> Result<(), Error> {
        self.speak_until(input, &|| false, sink).map(drop)
    }

    /// The same, up to where others are to be let in, which is asked before
    /// each turn of windows but the first; then with what is left, which any
    /// lease of the voice can [`go_on`](Self::go_on) with.
    pub fn speak_until(
        &mut self,
        input: VoiceInput,
        lets_in: &LetsIn<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<Option<Rest>, Error> {
        let begun = std::cell::Cell::new(false);
        let mut sink = |samples: &[f32]| {
            begun.set(true);
            sink(samples)
        };
        let first = self.attempt(Part::All(input.clone()), lets_in, &mut sink);
        // The ladder: the run itself has tried smaller windows. What is left
        // is to run once more, alone; after sound has left, the same words must
        // not be said again.
        let ran = match first {
            Err(Error::OutOfMemory(no_room)) if !begun.get() => {
                events::run_retried(&no_room);
                self.permit = None;
                self.permit = Some(self.library.admit_alone(self.wait)?);
                self.attempt(Part::All(input), lets_in, &mut sink)
            }
            ran => ran,
        };
        self.library.spoken(&self.record);
        ran
    }

    /// What another lease of the same voice has left, up to where others are
    /// to be let in again. What ends that one's run ends this.
    pub fn go_on(
        &mut self,
        rest: Rest,
        lets_in: &LetsIn<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<Option<Rest>, Error> {
        let ran = self.attempt(Part::Left(rest), lets_in, sink);
        self.library.spoken(&self.record);
        ran
    }

    fn attempt(
        &mut self,
        part: Part,
        lets_in: &LetsIn<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<Option<Rest>, Error> {
        let session = match &mut self.seat {
            Seat::Slot(slot) => slot.activate(&self.record, &self.library)?,
            Seat::Own(lease) => {
                self.library.used(&self.record);
                lease.session()
            }
        };
        let (ran, peak) = match part {
            Part::All(input) => session.speak(input, (&self.stop, lets_in), sink),
            Part::Left(rest) => session.go_on(rest, lets_in, sink),
        };
        self.library.learn(&self.record.graph(), self.tokens, peak);
        ran
    }

    /// The run ended well: the next one may have the session.
    pub fn release(self) {
        match self.seat {
            Seat::Slot(slot) => slot.release(),
            Seat::Own(lease) => lease.release(),
        }
    }
}
