//! An answer as its reader sees it: a head, then bytes as they are made.

use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::answers::Hold;
use crate::error::Error;
use crate::request::{Audio, Head};

/// Dropping it ends the work behind it within one window.
pub struct Stream {
    head: Head,
    chunks: mpsc::Receiver<Result<Chunk, Error>>,
    behind: Option<oneshot::Receiver<()>>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The last bytes, or an error, have come.
    Ended,
}

/// Bytes that left together.
pub(crate) struct Chunk {
    pub(crate) bytes: Vec<u8>,
    /// Samples of one channel in them.
    pub(crate) samples: u64,
    /// Nothing comes after it.
    pub(crate) last: bool,
    /// What they take of all that is kept, until they have left.
    pub(crate) hold: Option<Hold>,
}

impl Chunk {
    fn into_bytes(self) -> Bytes {
        match self.hold {
            None => Bytes::from(self.bytes),
            Some(hold) => hold.keep(self.bytes),
        }
    }
}

impl Stream {
    pub(crate) fn new(
        head: Head,
        chunks: mpsc::Receiver<Result<Chunk, Error>>,
        behind: oneshot::Receiver<()>,
    ) -> Self {
        Self {
            head,
            chunks,
            behind: Some(behind),
            state: State::Open,
        }
    }

    /// It is there before the first bytes are.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Tells once when finished sound has waited for the reader for a second:
    /// it is the reader now who decides how long this takes. Gone when nothing
    /// is made any more.
    pub fn behind(&mut self) -> Option<oneshot::Receiver<()>> {
        self.behind.take()
    }

    /// The next bytes; none after the last ones, and nothing after an error.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// The same, polled: what a body of hyper's is made of.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let chunk = self.poll_chunk(context);
        chunk.map(|chunk| chunk.map(|chunk| chunk.map(Chunk::into_bytes)))
    }

    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Chunk, Error>>> {
        if self.state == State::Ended {
            return Poll::Ready(None);
        }
        let chunk = std::task::ready!(self.chunks.poll_recv(context));
        // Cut off: nobody must take it for the end.
        let chunk = chunk.unwrap_or(Err(Error::Gone));
        if !matches!(&chunk, Ok(chunk) if !chunk.last) {
            self.state = State::Ended;
        }
        Poll::Ready(Some(chunk))
    }

    /// Everything, once it is there.
    pub(crate) async fn collect(mut self) -> Result<Audio, Error> {
        let (mut bytes, mut samples) = (Vec::new(), 0);
        while let Some(chunk) = std::future::poll_fn(|context| self.poll_chunk(context)).await {
            let chunk = chunk?;
            samples += chunk.samples;
            match bytes.is_empty() {
                true => bytes = chunk.bytes,
                false => bytes.extend(chunk.bytes),
            }
        }
        Ok(Audio {
            head: self.head,
            bytes,
            samples,
        })
    }
}
