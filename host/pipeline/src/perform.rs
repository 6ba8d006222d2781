//! A request being spoken: sentences begin ahead of what is heard and leave in
//! their order.
//!
//! Two halves run side by side. One begins sentences as soon as a lane is free
//! and the reader is not too far behind; the other hands on what they say. A
//! slow reader therefore holds finished sound and nothing of the device, and
//! a reader who goes ends every run within one window.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use session::voice::{Lease, Pace, Voice};
use speech::align;
use speech::utterance::Utterance;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::answers::Answers;
use crate::backlog::Ticket;
use crate::batch;
use crate::cast::Manner;
use crate::clock::Clock;
use crate::colour::Colour;
use crate::error::Error;
use crate::events;
use crate::features::model_error;
use crate::gate::{Lane, Turn};
use crate::generation::Generation;
use crate::master::Master;
use crate::plan::{Plan, Verse};
use crate::policy::Axis;
use crate::request::{Answer, Priority, Request};
use crate::stream::Chunk;
use crate::synthesize::stage;
use crate::work::blocking;

/// Everything that is decided of a request, with no sound made yet. Nothing
/// happens until it [`run`](Self::run)s.
pub struct Performance {
    pub(crate) generation: Arc<Generation>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) request: Request,
    pub(crate) voice: Arc<Voice>,
    pub(crate) manner: Manner,
    pub(crate) verses: Vec<Verse>,
    pub(crate) master: Master,
    /// Of the answer.
    pub(crate) sampling_rate: u32,
    pub(crate) ticket: Ticket,
    pub(crate) clock: Arc<Clock>,
    /// Whether it leaves as it is made.
    pub(crate) answer: Answer,
    pub(crate) chunks: mpsc::Sender<Result<Chunk, Error>>,
    pub(crate) behind: Option<oneshot::Sender<()>>,
}

/// What was said in the end.
#[derive(Clone, Copy, Debug)]
pub struct Spoken {
    /// Of sound that left.
    pub seconds: f64,
    /// From the request to the first of it.
    pub first_sound: Option<Duration>,
    pub took: Duration,
}

impl Performance {
    /// Speaks until the last sample has left, the deadline passes or the
    /// reader goes. An error is told to the reader as well.
    pub async fn run(self) -> Result<Spoken, Error> {
        let (chunks, clock) = (self.chunks.clone(), Arc::clone(&self.clock));
        let ended = tokio::select! {
            ended = Box::pin(self.speak()) => ended,
            () = chunks.closed() => Err(Error::Gone),
            late = clock.run_out() => Err(late),
        };
        match &ended {
            Ok(spoken) => {
                if let Some(after) = spoken.first_sound {
                    events::first_sound(after);
                }
            }
            Err(Error::Gone) => events::reader_gone(),
            // It waits for its reader, as the sound does; whoever holds the
            // other end lets go of one who never reads.
            Err(error) => drop(chunks.send(Err(error.clone())).await),
        }
        ended
    }

    async fn speak(self) -> Result<Spoken, Error> {
        let lanes = self.generation.gate.lanes();
        let ahead = Arc::new(Ahead::new(&self));
        let (begun, takes) = mpsc::channel(lanes);
        let begin = Begin {
            generation: self.generation,
            plan: Arc::clone(&self.plan),
            request: self.request,
            voice: self.voice,
            manner: self.manner.clone(),
            ahead: Arc::clone(&ahead),
            clock: Arc::clone(&self.clock),
            answer: self.answer,
        };
        let deliver = Deliver {
            whole: (self.answer == Answer::Whole).then(Vec::new),
            manner: self.manner,
            master: Some(self.master),
            ticket: self.ticket,
            chunks: self.chunks,
            behind: self.behind,
            ahead,
            clock: self.clock,
            samples: 0,
            sampling_rate: self.sampling_rate,
        };
        let (_, spoken) = tokio::try_join!(begin.all(self.verses, begun), deliver.all(takes))?;
        Ok(spoken)
    }
}

/// The half that begins sentences.
struct Begin {
    generation: Arc<Generation>,
    plan: Arc<Plan>,
    request: Request,
    voice: Arc<Voice>,
    manner: Manner,
    ahead: Arc<Ahead>,
    clock: Arc<Clock>,
    answer: Answer,
}

/// Of a sentence in its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    First,
    Later,
}

/// One sentence that is being said.
struct Take {
    heard: mpsc::UnboundedReceiver<Heard>,
    characters: usize,
    /// Silence after it, if another one follows.
    pause: Duration,
    /// Whoever drops the sentence, because its time is over or its reader has
    /// gone, ends the run.
    _stop: session::StopOnDrop,
}

enum Heard {
    Window(Vec<f32>),
    /// All of it was said, in so much time of a lane.
    End(Duration),
    Failed(Error),
}

impl Begin {
    async fn all(self, verses: Vec<Verse>, begun: mpsc::Sender<Take>) -> Result<(), Error> {
        let colour = Colour::mix(&self.generation, &self.plan, &self.request, self.turn()).await?;
        let mut place = Place::First;
        for verse in verses {
            self.ahead.room().await;
            let place = std::mem::replace(&mut place, Place::Later);
            let take = self.one(verse, &colour, place).await?;
            if begun.send(take).await.is_err() {
                break; // The other half has failed, and says why.
            }
        }
        Ok(())
    }

    /// Features, bucket, a lane, a session: and it speaks.
    async fn one(&self, verse: Verse, colour: &Colour, place: Place) -> Result<Take, Error> {
        let Self {
            generation, plan, ..
        } = self;
        let text = verse.utterance.text();
        let features = generation
            .features
            .get(plan, &generation.gate, self.turn(), text);
        let of_part = |error: Error| error.of_part(verse.start, &verse.written);
        let features = stage("bert", features).await.map_err(of_part)?; // cache, else a run
        let features = colour.apply(features);
        let bucketed = bucket(plan, self.voice.family(), &verse.utterance);
        let bucketed = stage("bucket", bucketed).await.map_err(of_part)?; // wasm, then checked

        let lane = generation.gate.enter(self.turn()).await?;
        let wait = generation.gate.wait().min(self.clock.left());
        let lease = self.voice.checkout(bucketed.padded, wait).await;
        let lease = lease.map_err(|e| of_part(model_error(self.voice.name(), &e)))?;
        let pace = self.pace(place);
        let stop = lease.stop().on_drop();
        let (say, heard) = mpsc::unbounded_channel();
        let run = Run {
            lane,
            lease,
            voice: Arc::clone(&self.voice),
            manner: self.manner.clone(),
            ahead: Arc::clone(&self.ahead),
            answers: generation.answers(),
            say,
            written: verse.written,
            start: verse.start,
        };
        let Verse {
            utterance, pause, ..
        } = verse;
        let characters = text_length(&utterance);
        // Not waited for: what it says, it says through the channel.
        tokio::task::spawn_blocking(move || {
            let input = batch::voice_input(
                &utterance,
                bucketed.tokens,
                &features,
                bucketed.padded,
                &run.manner,
                pace,
            );
            run.speak(input);
        });
        Ok(Take {
            heard,
            characters,
            pause,
            _stop: stop,
        })
    }

    /// Short windows cost more work in all: only for a first sound that a
    /// reader waits for, and only while nobody waits for the lane.
    fn pace(&self, place: Place) -> Pace {
        match (self.answer, place) {
            (Answer::Stream, Place::First) if !self.generation.gate.is_crowded() => Pace::Soon,
            (Answer::Stream | Answer::Whole, Place::First | Place::Later) => Pace::Even,
        }
    }

    fn turn(&self) -> Turn {
        let due = self.ahead.due(self.clock.start);
        if self.request.rehearsal {
            // Before all who came, since nobody is asked whether it may come.
            let due = due.checked_sub(LONG_AGO).unwrap_or(due);
            return Turn {
                priority: Priority::High,
                due,
            };
        }
        Turn {
            priority: self.request.priority,
            due,
        }
    }
}

const LONG_AGO: Duration = Duration::from_secs(3600);

fn text_length(utterance: &Utterance) -> usize {
    utterance.text().chars().count()
}

/// One run on its blocking thread, with all it holds.
struct Run {
    lane: Lane,
    lease: Lease,
    voice: Arc<Voice>,
    manner: Manner,
    ahead: Arc<Ahead>,
    answers: Answers,
    say: mpsc::UnboundedSender<Heard>,
    /// As the caller wrote it, and where it begins in their text.
    written: String,
    start: usize,
}

impl Run {
    fn speak(mut self, input: session::voice::VoiceInput) {
        let _timer = events::stage("synthesize");
        let start = Instant::now();
        let (say, ahead) = (&self.say, &self.ahead);
        let mut too_long = false;
        let ran = self.lease.speak(input, &mut |window| {
            if ahead.made(window.len()) > ahead.longest {
                too_long = true;
                return Err(session::Error::Cancelled);
            }
            let heard = say.send(Heard::Window(window.to_vec()));
            heard.map_err(|_| session::Error::Cancelled)
        });
        // Whoever hears of the end may count on what the run held.
        match ran {
            Err(session::Error::Cancelled) if too_long => {
                let error = self.answers.too_long();
                self.lease.release();
                drop(self.lane);
                drop(self.say.send(Heard::Failed(error)));
            }
            Ok(()) | Err(session::Error::Cancelled) => {
                self.lease.release();
                drop(self.lane);
                drop(self.say.send(Heard::End(start.elapsed())));
            }
            Err(error) => {
                let error = match model_error(self.voice.name(), &error) {
                    large @ Error::TooLarge(_) => large.of_part(self.start, &self.written),
                    other => other,
                };
                drop((self.lease, self.lane));
                drop(self.say.send(Heard::Failed(error)));
            }
        }
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

/// Seconds of a sentence whose melody is changed together: what is looked at
/// as a whole must end somewhere.
const CHANGED_SECONDS: usize = 60;

/// The half that hands on what is said.
struct Deliver {
    /// What has come out of an answer that leaves in one piece.
    whole: Option<Vec<u8>>,
    manner: Manner,
    /// None while it is at work on another thread.
    master: Option<Master>,
    ticket: Ticket,
    chunks: mpsc::Sender<Result<Chunk, Error>>,
    /// Until it was told that the reader is behind.
    behind: Option<oneshot::Sender<()>>,
    ahead: Arc<Ahead>,
    clock: Arc<Clock>,
    /// That have left, and how many of them are a second.
    samples: u64,
    sampling_rate: u32,
}

impl Deliver {
    async fn all(mut self, mut takes: mpsc::Receiver<Take>) -> Result<Spoken, Error> {
        let mut pause = None;
        while let Some(take) = takes.recv().await {
            if let Some(pause) = pause.replace(take.pause) {
                self.master(move |master| master.pause(pause)).await?;
            }
            self.take(take).await?;
        }
        self.master(Master::end).await?;
        Ok(Spoken {
            seconds: self.samples as f64 / f64::from(self.sampling_rate),
            first_sound: self.ahead.first.get().map(|at| *at - self.clock.start),
            took: self.clock.start.elapsed(),
        })
    }

    async fn take(&mut self, mut take: Take) -> Result<(), Error> {
        let change = self.manner.change;
        // A change of pitch looks at a sentence as a whole.
        let changes = change.pitch != 1.0 || change.intonation != 1.0;
        let mut held = changes.then(Vec::new);
        let longest = CHANGED_SECONDS * self.ahead.sampling_rate as usize;
        loop {
            match take.heard.recv().await {
                Some(Heard::Window(window)) => match &mut held {
                    Some(held) => {
                        held.extend(window);
                        if held.len() > longest {
                            // Cut where nothing is heard, and not in a word.
                            let from = longest / 2;
                            let at = from + sound::quietest(&held[from..], longest / 1_000);
                            let rest = held.split_off(at);
                            self.change(std::mem::replace(held, rest)).await?;
                        }
                    }
                    None => {
                        let samples = window.len();
                        self.master(move |master| master.push(window)).await?;
                        self.ahead.left(samples);
                    }
                },
                Some(Heard::End(took)) => {
                    self.ticket.spoken(take.characters, took);
                    break;
                }
                Some(Heard::Failed(error)) => return Err(error),
                None => return Err(Error::Lost("a run ended without a word".to_owned())),
            }
        }
        match held {
            Some(held) => self.change(held).await,
            None => Ok(()),
        }
    }

    async fn change(&mut self, held: Vec<f32>) -> Result<(), Error> {
        let change = self.manner.change;
        let (rate, samples) = (self.ahead.sampling_rate, held.len());
        let change = move |master: &mut Master| {
            let changed = sound::prosody::change(&held, rate, change);
            master.push(changed.map_err(|e| Error::Request(e.to_string()))?)
        };
        self.master(change).await?;
        self.ahead.left(samples);
        Ok(())
    }

    /// Lets the master work where it may block, step by step, and sends what
    /// comes of it.
    async fn master(
        &mut self,
        work: impl FnOnce(&mut Master) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let mut work = Some(work);
        loop {
            let Some(mut master) = self.master.take() else {
                return Err(Error::Lost("the master was lost".to_owned()));
            };
            let work = work.take();
            let worked = blocking(move || {
                if let Some(work) = work {
                    work(&mut master)?;
                }
                let chunk = master.step()?;
                Ok((master, chunk))
            });
            let (mut master, chunk) = stage("encode", worked).await?;
            let (done, last) = (master.is_done(), chunk.last);
            let chunk = match &mut self.whole {
                None => Some(chunk),
                Some(whole) => {
                    master.hold().grow(chunk.bytes.len())?;
                    whole.extend(chunk.bytes);
                    self.samples += chunk.samples;
                    last.then(|| Chunk {
                        bytes: std::mem::take(whole),
                        // Counted again when it leaves.
                        samples: std::mem::take(&mut self.samples),
                        last,
                        hold: None,
                    })
                }
            };
            if last {
                if let Some(mut chunk) = chunk {
                    chunk.hold = self.whole.is_some().then(|| master.into_hold());
                    self.send(chunk).await?;
                }
                return Ok(());
            }
            self.master = Some(master);
            if let Some(chunk) = chunk {
                self.send(chunk).await?;
            }
            if done {
                return Ok(());
            }
        }
    }

    /// Waits for the reader, at the reader's expense: others are let past.
    async fn send(&mut self, chunk: Chunk) -> Result<(), Error> {
        if chunk.bytes.is_empty() && !chunk.last {
            return Ok(());
        }
        self.samples += chunk.samples;
        let waiting = self.clock.pause();
        let mut sent = pin!(self.chunks.send(Ok(chunk)));
        let in_time = tokio::time::timeout(PATIENCE, &mut sent).await;
        let sent = match in_time {
            Ok(sent) => sent,
            Err(_) => {
                if let Some(behind) = self.behind.take() {
                    // Nobody has to listen.
                    let _ = behind.send(());
                }
                let _aside = self.ticket.stand_aside();
                sent.await
            }
        };
        sent.map_err(|_| Error::Gone)?;
        drop(waiting);
        self.ahead.first.get_or_init(Instant::now);
        Ok(())
    }
}

/// A reader who keeps up takes what there is at once.
const PATIENCE: Duration = Duration::from_secs(1);

/// How far what is made is ahead of what has left.
struct Ahead {
    sampling_rate: u32,
    /// Samples that may be made before the reader takes them; none bounds an
    /// answer that leaves in one piece.
    most: Option<u64>,
    /// Samples of the longest answer.
    longest: u64,
    made: AtomicU64,
    left: AtomicU64,
    moved: Notify,
    /// When the first sound left.
    first: OnceLock<Instant>,
}

impl Ahead {
    fn new(performance: &Performance) -> Self {
        let sampling_rate = performance.voice.package().sampling_rate();
        let seconds = performance.plan.spec.encode.read_ahead.0.as_secs_f64();
        let answers = performance.generation.answers();
        let longest = answers.sound_max.0.as_secs_f64() * f64::from(sampling_rate);
        Self {
            sampling_rate,
            longest: longest as u64,
            most: match performance.answer {
                Answer::Stream => Some((seconds * f64::from(sampling_rate)) as u64),
                Answer::Whole => None,
            },
            made: AtomicU64::new(0),
            left: AtomicU64::new(0),
            moved: Notify::new(),
            first: OnceLock::new(),
        }
    }

    /// Samples that are made by now.
    fn made(&self, samples: usize) -> u64 {
        let samples = samples as u64;
        self.made.fetch_add(samples, Ordering::Relaxed) + samples
    }

    fn left(&self, samples: usize) {
        self.left.fetch_add(samples as u64, Ordering::Relaxed);
        self.moved.notify_one();
    }

    /// Waits until the reader is not too far behind.
    async fn room(&self) {
        let Some(most) = self.most else { return };
        loop {
            let made = self.made.load(Ordering::Relaxed);
            if made.saturating_sub(self.left.load(Ordering::Relaxed)) < most {
                return;
            }
            self.moved.notified().await;
        }
    }

    /// When the reader of a stream will have heard all that was made.
    fn due(&self, start: Instant) -> Instant {
        match (self.most, self.first.get()) {
            (Some(_), Some(first)) => {
                let made = self.made.load(Ordering::Relaxed) as f64;
                *first + Duration::from_secs_f64(made / f64::from(self.sampling_rate))
            }
            _ => start,
        }
    }
}
