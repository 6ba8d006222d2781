//! [`session::files`] off the async threads: a disk may take its time.

use std::io::{Error, Result};
use std::path::Path;

use pipeline::document::{Document, OpenError};
use session::files;

pub(crate) async fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || files::read(&path, most));
    read.await.unwrap_or_else(|lost| Err(Error::other(lost)))
}

pub(crate) async fn document(path: &Path) -> std::result::Result<Document, OpenError> {
    let named = path.to_owned();
    let open = move || Document::open(&named, files::TEXT_MAX);
    let open = tokio::task::spawn_blocking(open);
    open.await.unwrap_or_else(|lost| {
        Err(OpenError::Read {
            path: path.to_owned(),
            cause: Error::other(lost),
        })
    })
}
