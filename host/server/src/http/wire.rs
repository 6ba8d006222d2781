//! A connection's bytes: who reads nothing is let go, who hung up is noticed,
//! and the house is told when all is sent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::Version;
use rustix::net::{Shutdown, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::http::house::Guest;

/// So many bytes a second at least are taken, over a write timeout, by whoever
/// is not to be cut off: well below the slowest sound that anyone listens to.
const TAKEN_MIN: f64 = 256.0;

/// Whoever closes its sending side may still read, or may be gone: it is asked
/// at once, again after this time, and then ever more seldom.
const ASKED_AGAIN: Duration = Duration::from_millis(10);
const ASKED_SELDOM: Duration = Duration::from_secs(5);
#[cfg(not(target_os = "linux"))]
const HALF_CLOSED: Duration = Duration::from_secs(1);

/// Every client has to understand it at any time before its answer (RFC 9110,
/// 15.2); a system whose program is gone answers it by a reset.
const STILL_THERE: &[u8] = b"HTTP/1.1 102 Processing\r\n\r\n";

/// What hyper and its watcher share.
pub(crate) struct Line {
    pub(crate) stream: TcpStream,
    pub(crate) guest: Arc<Guest>,
    /// Nothing of an answer is half sent.
    flushed: AtomicBool,
}

impl Line {
    pub(crate) fn new(stream: TcpStream, guest: Arc<Guest>) -> Arc<Self> {
        Arc::new(Self {
            stream,
            guest,
            flushed: AtomicBool::new(true),
        })
    }

    /// Ends when nobody will read the answer that is being made.
    pub(crate) async fn hung_up(&self, version: Version) {
        tokio::select! {
            _ = self.stream.ready(Interest::ERROR) => {}
            () = self.no_longer_there(version) => {}
        }
    }

    async fn no_longer_there(&self, version: Version) {
        self.half_closed().await;
        let mut wait = ASKED_AGAIN;
        loop {
            // HTTP/1.0 knows no answer before the answer.
            if version == Version::HTTP_11 && self.flushed.load(Ordering::Relaxed) {
                match self.stream.try_write(STILL_THERE) {
                    Ok(written) if written == STILL_THERE.len() => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Ok(_) | Err(_) => return,
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(ASKED_SELDOM);
        }
    }

    /// Ends when the other side will send no more.
    #[cfg(target_os = "linux")]
    async fn half_closed(&self) {
        // Both: that something can be read says nothing of the end.
        while let Ok(ready) = self.stream.ready(Interest::PRIORITY).await {
            if ready.is_read_closed() {
                return;
            }
            tokio::time::sleep(ASKED_AGAIN).await;
        }
    }

    #[cfg(not(target_os = "linux"))]
    async fn half_closed(&self) {
        let mut byte = [0];
        loop {
            let peeked = self.stream.peek(&mut byte).await;
            if peeked.is_ok_and(|bytes| bytes == 0) {
                return;
            }
            tokio::time::sleep(HALF_CLOSED).await;
        }
    }

    /// Says a last word where hyper had none.
    pub(crate) fn say(&self, answer: &[u8]) {
        if self.flushed.load(Ordering::Relaxed) {
            let _ = self.stream.try_write(answer);
        }
    }

    /// Closes so that the last answer is read: bytes that arrive at a closed
    /// socket would make the system take it back.
    pub(crate) async fn linger(&self, most: Duration) {
        let _ = shutdown(&self.stream, Shutdown::Write);
        let rest = async {
            let mut thrown_away = vec![0; 16 << 10];
            while self.stream.readable().await.is_ok() {
                match self.stream.try_read(&mut thrown_away) {
                    Ok(0) => return,
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        };
        let _ = tokio::time::timeout(most, rest).await;
    }
}

/// The same as hyper reads and writes it.
pub(crate) struct Wire {
    line: Arc<Line>,
    patience: Duration,
    /// Since when the reader is slower than we are, and what it took since.
    slow: Option<Pin<Box<Sleep>>>,
    taken: usize,
}

impl Wire {
    pub(crate) fn new(line: Arc<Line>, patience: Duration) -> Self {
        Self {
            line,
            patience,
            slow: None,
            taken: 0,
        }
    }

    fn poll_written(
        &mut self,
        context: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.line.flushed.store(false, Ordering::Relaxed);
        loop {
            match self.line.stream.poll_write_ready(context) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => {
                    ready!(self.poll_patience(context))?;
                    return Poll::Pending;
                }
            }
            match write(&self.line.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(written) => {
                    self.taken = self.taken.saturating_add(written);
                    return Poll::Ready(Ok(written));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Ready, with an error, once it is at its end.
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let patience = self.patience;
        if self.slow.is_none() {
            self.taken = 0;
        }
        let slow = self
            .slow
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        while slow.as_mut().poll(context).is_ready() {
            if (self.taken as f64) < TAKEN_MIN * patience.as_secs_f64() {
                let cause = "the client takes next to nothing of its answer";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, cause)));
            }
            self.taken = 0;
            slow.as_mut().reset(Instant::now() + patience);
        }
        Poll::Pending
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.line.stream.poll_read_ready(context))?;
            match self.line.stream.try_read(buffer.initialize_unfilled()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_written(context, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_written(context, |stream| stream.try_write_vectored(pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper comes here when it has written all it had.
    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.slow = None;
        self.line.flushed.store(true, Ordering::Relaxed);
        self.line.guest.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Who has gone needs no farewell.
        let _ = shutdown(&self.line.stream, Shutdown::Write);
        Poll::Ready(Ok(()))
    }
}
