//! [`session::files`] off the async threads: a disk may take its time.

use std::io::{Error, Result};
use std::path::Path;

use session::files;

pub(crate) async fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || files::read(&path, most));
    read.await.unwrap_or_else(|lost| Err(Error::other(lost)))
}

pub(crate) async fn text(path: &Path) -> Result<String> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || files::read_text(&path, files::TEXT_MAX));
    read.await.unwrap_or_else(|lost| Err(Error::other(lost)))
}
