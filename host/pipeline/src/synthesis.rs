//! A request being spoken: sentences begin ahead of what is heard and leave in
//! their order.
//!
//! Two halves run side by side. One ([`Producer`]) begins sentences as soon as
//! a lane is free and the reader is not too far behind; the other
//! ([`Consumer`]) hands on what they say. A slow reader therefore holds
//! finished sound and nothing of the device, and a reader who goes ends every
//! run within one window.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::backlog::Ticket;
use crate::deliver::Consumer;
use crate::error::Error;
use crate::events;
use crate::job::{Job, Spoken};
use crate::master::Master;
use crate::plan::Sentence;
use crate::produce::Producer;
use crate::stream::Chunk;

/// A request with everything decided and no sound made yet. Nothing happens
/// until it [`run`](Self::run)s.
pub struct Synthesis {
    pub(crate) job: Arc<Job>,
    pub(crate) sentences: Vec<Sentence>,
    pub(crate) master: Master,
    pub(crate) ticket: Ticket,
    pub(crate) chunks: mpsc::Sender<Result<Chunk, Error>>,
    /// Told once the reader is behind.
    pub(crate) behind: Option<oneshot::Sender<()>>,
}

impl Synthesis {
    /// Speaks until the last sample has left, the deadline passes or the
    /// reader goes. An error is told to the reader as well.
    pub async fn run(self) -> Result<Spoken, Error> {
        let (chunks, clock) = (self.chunks.clone(), Arc::clone(&self.job.clock));
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
        let lanes = self.job.generation.gate.lanes();
        let (begun, runs) = mpsc::channel(lanes);
        let producer = Producer {
            job: Arc::clone(&self.job),
        };
        let consumer = Consumer::new(self.job, self.master, self.ticket, self.chunks, self.behind);
        let (_, spoken) =
            tokio::try_join!(producer.all(self.sentences, begun), consumer.all(runs))?;
        Ok(spoken)
    }
}
