//! [`session::files`] off the async threads: a disk may take its time. And
//! where a command puts what it made.

use std::io::{Error, Result, Write};
use std::path::Path;

use hyper::StatusCode;
use pipeline::document::{Document, OpenError};
use session::{files, whole};
use tokio::sync::Semaphore;

use crate::http::fault::Fault;
use crate::line;

/// Work for callers that blocks and holds no place: so much at a time. A
/// caller who goes takes nobody else's turn, since the work keeps its own.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::result::Result<T, pipeline::Error> {
    static TURNS: Semaphore = Semaphore::const_new(8);
    let lost = |lost: &dyn std::fmt::Display| pipeline::Error::Lost(lost.to_string());
    let turn = TURNS.acquire().await.map_err(|e| lost(&e))?;
    let work = move || {
        let done = work();
        drop(turn);
        done
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| lost(&e))
}

/// Work that would keep everybody else waiting.
pub(crate) async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> std::result::Result<T, Fault> + Send + 'static,
) -> std::result::Result<T, Fault> {
    let lost = |e: tokio::task::JoinError| {
        Fault::operator(StatusCode::INTERNAL_SERVER_ERROR, e.to_string())
    };
    tokio::task::spawn_blocking(work).await.map_err(lost)?
}

pub(crate) async fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let path = path.to_owned();
    let read = aside(move || files::read(&path, most));
    read.await.unwrap_or_else(|lost| Err(Error::other(lost)))
}

pub(crate) async fn document(path: &Path) -> std::result::Result<Document, OpenError> {
    let named = path.to_owned();
    let open = move || Document::open(&named, files::TEXT_MAX);
    aside(open).await.unwrap_or_else(|lost| {
        Err(OpenError::Read {
            path: path.to_owned(),
            cause: Error::other(lost),
        })
    })
}

/// The whole file or none, for what the server keeps for others. A smaller one
/// is also written where the disk is full, so that something can be deleted to
/// make room.
pub(crate) async fn replace(path: &Path, bytes: Vec<u8>) -> std::result::Result<(), Fault> {
    let path = path.to_owned();
    let write = move || {
        whole::shrink(&path, &bytes).map_err(|e| {
            let full = whole::is_full(&e);
            let cure = if full { "; make room on its disk" } else { "" };
            Fault::operator(
                StatusCode::CONFLICT,
                format!("{} cannot be written: {e}{cure}", path.display()),
            )
        })
    };
    beside(write).await
}

/// The whole file or none. What is no file, such as a pipe, is written to, and
/// `-` is standard output.
pub fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    if path == Path::new("-") {
        let mut out = line::bytes();
        return out.write_all(bytes).and_then(|()| out.flush());
    }
    match path.metadata() {
        Ok(meta) if !meta.is_file() => {
            let mut open = std::fs::OpenOptions::new();
            open.write(true).open(path)?.write_all(bytes)
        }
        _ => {
            // A folder that is not there is more often a slip than a wish.
            let folder = path.parent().filter(|folder| *folder != Path::new(""));
            folder.map_or(Ok(()), |folder| folder.metadata().map(drop))?;
            whole::write(path, bytes)
        }
    }
}
