//! The half of a request that hands on what is said: the sentences in order,
//! through the master, into the chunks of the answer.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::backlog::Ticket;
use crate::error::Error;
use crate::job::{Job, Spoken};
use crate::master::Master;
use crate::produce::{RunEvent, SentenceRun};
use crate::request::Delivery;
use crate::stream::Chunk;
use crate::work::{blocking, stage};

/// Seconds of a sentence whose melody is changed together: what is looked at
/// as a whole must end somewhere.
const CHANGED_SECONDS: usize = 60;

/// The half that hands on what is said.
pub(crate) struct Consumer {
    job: Arc<Job>,
    /// What has come out of an answer that leaves in one piece.
    whole: Option<Vec<u8>>,
    /// None while it is at work on another thread.
    master: Option<Master>,
    ticket: Ticket,
    chunks: mpsc::Sender<Result<Chunk, Error>>,
    /// Until it was told that the reader is behind.
    behind: Option<oneshot::Sender<()>>,
    /// Samples of one channel that have left.
    samples: u64,
}

impl Consumer {
    pub(crate) fn new(
        job: Arc<Job>,
        master: Master,
        ticket: Ticket,
        chunks: mpsc::Sender<Result<Chunk, Error>>,
        behind: Option<oneshot::Sender<()>>,
    ) -> Self {
        Self {
            whole: (job.delivery == Delivery::Whole).then(Vec::new),
            job,
            master: Some(master),
            ticket,
            chunks,
            behind,
            samples: 0,
        }
    }

    pub(crate) async fn all(
        mut self,
        mut runs: mpsc::Receiver<SentenceRun>,
    ) -> Result<Spoken, Error> {
        let mut pause = None;
        while let Some(run) = runs.recv().await {
            if let Some(pause) = pause.replace(run.pause) {
                self.master(move |master| master.pause(pause)).await?;
            }
            self.run(run).await?;
        }
        self.master(Master::end).await?;
        Ok(Spoken {
            seconds: self.samples as f64 / f64::from(self.job.sampling_rate),
            first_sound: self
                .job
                .ahead
                .first
                .get()
                .map(|at| *at - self.job.clock.start),
            took: self.job.clock.start.elapsed(),
        })
    }

    async fn run(&mut self, mut run: SentenceRun) -> Result<(), Error> {
        let change = self.job.settings.change;
        // A change of pitch looks at a sentence as a whole.
        let changes = change.pitch != 1.0 || change.intonation != 1.0;
        let mut held = changes.then(Vec::new);
        let longest = CHANGED_SECONDS * self.job.ahead.sampling_rate as usize;
        loop {
            match run.events.recv().await {
                Some(RunEvent::Window(window)) => match &mut held {
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
                        self.job.ahead.left(samples);
                    }
                },
                Some(RunEvent::End(took)) => {
                    self.ticket.spoken(run.characters, took);
                    break;
                }
                Some(RunEvent::Failed(error)) => return Err(error),
                None => return Err(Error::Lost("a run ended without a word".to_owned())),
            }
        }
        match held {
            Some(held) => self.change(held).await,
            None => Ok(()),
        }
    }

    async fn change(&mut self, held: Vec<f32>) -> Result<(), Error> {
        let change = self.job.settings.change;
        let (rate, samples) = (self.job.ahead.sampling_rate, held.len());
        let change = move |master: &mut Master| {
            let changed = sound::prosody::change(&held, rate, change);
            master.push(changed.map_err(|e| Error::Request(e.to_string()))?)
        };
        self.master(change).await?;
        self.job.ahead.left(samples);
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
        let waiting = self.job.clock.pause();
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
        self.job.ahead.first.get_or_init(Instant::now);
        Ok(())
    }
}

/// A reader who keeps up takes what there is at once.
const PATIENCE: Duration = Duration::from_secs(1);
