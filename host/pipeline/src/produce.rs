//! The half of a request that begins sentences: features, bucket, a lane, a
//! session, and a run on a blocking thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use session::voice::{Lease, Pace};
use speech::align;
use speech::utterance::Utterance;
use tokio::sync::mpsc;

use crate::batch;
use crate::error::Error;
use crate::events;
use crate::feature_mix::FeatureMix;
use crate::gate::{Due, Lane, Turn};
use crate::job::Job;
use crate::plan::{Plan, Sentence};
use crate::policy::Axis;
use crate::request::{Delivery, Priority};
use crate::work::{blocking, stage};

/// The half that begins sentences.
pub(crate) struct Producer {
    pub(crate) job: Arc<Job>,
}

/// Of a sentence in its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    First,
    Later,
}

/// One sentence that is being said.
pub(crate) struct SentenceRun {
    pub(crate) events: mpsc::UnboundedReceiver<RunEvent>,
    pub(crate) characters: usize,
    /// Silence after it, if another one follows.
    pub(crate) pause: Duration,
    /// Whoever drops the sentence, because its time is over or its reader has
    /// gone, ends the run.
    _stop: session::StopOnDrop,
}

pub(crate) enum RunEvent {
    Window(Vec<f32>),
    /// All of it was said, in so much time of a lane.
    End(Duration),
    Failed(Error),
}

impl Producer {
    pub(crate) async fn all(
        self,
        sentences: Vec<Sentence>,
        begun: mpsc::Sender<SentenceRun>,
    ) -> Result<(), Error> {
        let job = &self.job;
        let mix = FeatureMix::of(&job.generation, &job.plan, &job.request, job.turn(0)).await?;
        let mut place = Place::First;
        for (number, sentence) in sentences.into_iter().enumerate() {
            job.ahead.room().await;
            let place = std::mem::replace(&mut place, Place::Later);
            let run = self.one(sentence, number, &mix, place).await?;
            if begun.send(run).await.is_err() {
                break; // The other half has failed, and says why.
            }
        }
        Ok(())
    }

    /// A lane, features, bucket, a session: and it speaks.
    async fn one(
        &self,
        sentence: Sentence,
        number: usize,
        mix: &FeatureMix,
        place: Place,
    ) -> Result<SentenceRun, Error> {
        let job = &self.job;
        let (generation, plan) = (&job.generation, &job.plan);
        let text = sentence.utterance.text();
        let gate = &generation.gate;
        let of_part = |error: Error| error.of_part(sentence.start, &sentence.written);
        let lane = gate.enter(job.turn(number)).await?;
        let features = generation.features.get(plan, gate, lane, text);
        let (features, lane) = stage("bert", features).await.map_err(of_part)?; // cache, else a run
        let features = mix.apply(features);
        let bucketed = bucket(plan, job.voice.family(), &sentence.utterance);
        let bucketed = stage("bucket", bucketed).await.map_err(of_part)?; // wasm, then checked

        let wait = gate.wait().min(job.clock.left());
        let lease = job.voice.checkout(bucketed.padded, wait).await;
        let lease = lease.map_err(|e| of_part(Error::of_model(job.voice.name(), &e)))?;
        let pace = job.pace(place);
        let stop = lease.stop().on_drop();
        let (said, events) = mpsc::unbounded_channel();
        let run = Run {
            job: Arc::clone(job),
            lane,
            lease,
            said,
            turn: job.turn(number),
            padded: bucketed.padded,
            written: sentence.written,
            start: sentence.start,
            waiting: tokio::runtime::Handle::current(),
        };
        let Sentence {
            utterance, pause, ..
        } = sentence;
        let characters = text_length(&utterance);
        // Not waited for: what it says, it says through the channel.
        tokio::task::spawn_blocking(move || {
            let input = batch::voice_input(
                &utterance,
                bucketed.tokens,
                &features,
                bucketed.padded,
                &run.job.settings,
                pace,
            );
            run.speak(input);
        });
        Ok(SentenceRun {
            events,
            characters,
            pause,
            _stop: stop,
        })
    }
}

impl Job {
    /// Short windows cost more work in all: only for a first sound that a
    /// reader waits for. Where many wait each soon has theirs, since who has
    /// begun lets in who has not; and then no more than that.
    fn pace(&self, place: Place) -> Pace {
        match (self.delivery, place) {
            (Delivery::Stream, Place::First) if self.generation.gate.is_crowded() => Pace::First,
            (Delivery::Stream, Place::First) => Pace::Soon,
            (Delivery::Stream | Delivery::Whole, Place::First | Place::Later) => Pace::Even,
        }
    }

    fn turn(&self, sentence: usize) -> Turn {
        let start = self.clock.start;
        if self.request.rehearsal {
            // Before all who came, since nobody is asked whether it may come.
            return Turn {
                priority: Priority::High,
                due: Due::At(start.checked_sub(LONG_AGO).unwrap_or(start)),
                sentence,
            };
        }
        Turn {
            priority: self.request.priority,
            due: Due::Heard(Arc::clone(&self.ahead), start),
            sentence,
        }
    }
}

const LONG_AGO: Duration = Duration::from_secs(3600);

fn text_length(utterance: &Utterance) -> usize {
    utterance.text().chars().count()
}

/// One run on its blocking thread, with all it holds.
struct Run {
    job: Arc<Job>,
    lane: Lane,
    lease: Lease,
    said: mpsc::UnboundedSender<RunEvent>,
    turn: Turn,
    /// Tokens, with padding.
    padded: usize,
    /// For what has to be waited for between two turns.
    waiting: tokio::runtime::Handle,
    /// As the caller wrote it, and where it begins in their text.
    written: String,
    start: usize,
}

impl Run {
    fn speak(self, input: session::voice::VoiceInput) {
        let _timer = events::stage("synthesize");
        let Self {
            job,
            lane,
            lease,
            said,
            turn,
            padded,
            waiting,
            written,
            start,
        } = self;
        let mut too_long = false;
        let mut sink = |window: &[f32]| {
            if job.ahead.made(window.len()) > job.ahead.longest {
                too_long = true;
                return Err(session::Error::Cancelled);
            }
            let sent = said.send(RunEvent::Window(window.to_vec()));
            sent.map_err(|_| session::Error::Cancelled)
        };
        let mut taken = Duration::ZERO;
        let mut part = Part::All(input);
        let mut held = Some((lane, lease));
        let event = loop {
            // Between two turns nothing is held, and both are waited for.
            let again = || waiting.block_on(job.again(&turn, padded));
            let (lane, mut lease) = match held.take().map_or_else(again, Ok) {
                Ok(held) => held,
                Err(error) => break RunEvent::Failed(error),
            };
            let began = Instant::now();
            let lets_in = || job.generation.gate.is_wanted_before(&turn);
            let ran = match part {
                Part::All(input) => lease.speak_until(input, &lets_in, &mut sink),
                Part::Left(rest) => lease.go_on(rest, &lets_in, &mut sink),
            };
            taken += began.elapsed();
            match ran {
                Ok(Some(rest)) => {
                    lease.release();
                    drop(lane);
                    events::let_in();
                    part = Part::Left(rest);
                }
                Ok(None) | Err(session::Error::Cancelled) => {
                    lease.release();
                    break RunEvent::End(taken);
                }
                Err(error) => {
                    // The lease goes without being released: its session with it.
                    drop(lease);
                    break RunEvent::Failed(match Error::of_model(job.voice.name(), &error) {
                        large @ Error::TooLarge(_) => large.of_part(start, &written),
                        other => other,
                    });
                }
            }
        };
        let event = match too_long {
            true => RunEvent::Failed(job.generation.answers().too_long()),
            false => event,
        };
        // Whoever hears of the end may count on what the run held.
        drop(job);
        drop(said.send(event));
    }
}

/// What a lane and a lease are for.
enum Part {
    All(session::voice::VoiceInput),
    Left(session::voice::Rest),
}

impl Job {
    /// A lane and a lease once more, for what is left of a sentence.
    async fn again(&self, turn: &Turn, padded: usize) -> Result<(Lane, Lease), Error> {
        let wait = self.clock.left();
        let lane = self
            .generation
            .gate
            .enter_within(turn.clone(), wait)
            .await?;
        let lease = self.voice.checkout(padded, self.clock.left()).await;
        let lease = lease.map_err(|e| Error::of_model(self.voice.name(), &e))?;
        Ok((lane, lease))
    }
}

/// One run of the synthesis graph: its tokens and their padded number.
struct Bucketed {
    tokens: align::Tokens,
    padded: usize,
}

async fn bucket(
    plan: &Arc<Plan>,
    family: session::voice::Family,
    utterance: &Arc<Utterance>,
) -> Result<Bucketed, Error> {
    let family = match family {
        session::voice::Family::JpExtra => align::Family::JpExtra,
        session::voice::Family::Multilingual => align::Family::Multilingual,
    };
    let (plan, utterance) = (Arc::clone(plan), Arc::clone(utterance));
    blocking(move || {
        let tokens = align::tokens(&utterance, family);
        let padded = plan.padded(Axis::Tokens, tokens.ids.len())?;
        events::padded(Axis::Tokens.name(), padded - tokens.ids.len());
        Ok(Bucketed { tokens, padded })
    })
    .await
}
