//! Graphs of templates as ONNX Runtime rewrites them for this machine, kept in
//! the cache. Rewriting the front of a stock voice takes two seconds of a
//! processor; it comes to the same each time, and for every voice, since
//! weights are no constants there. A BERT in 8 bits is kept with its weights:
//! rounding them anew means reading four times as much.

use std::path::{Path, PathBuf};

use base16ct::lower::encode_string as encode_hex;
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::files;
use crate::finding;
use crate::onnx;
use crate::processor::FEATURES;
use crate::whole;

/// Fronts and decoders, for each library and processor.
const KEPT_MAX: usize = 128;

/// BERTs with their weights: half a gigabyte each.
const WHOLE_MAX: usize = 4;

/// Where the rewriting of a graph is kept.
pub(crate) struct Place(PathBuf);

impl Place {
    /// By all that rewriting depends on.
    pub(crate) fn of(cache: &Path, library: &Path, graph: &[u8]) -> Self {
        let graph = encode_hex(&Sha256::digest(graph));
        let key = format!("2 {} {} {graph}", files::identity(library), *FEATURES);
        let name = format!("{}.onnx", finding::name(&key));
        Self(cache.join("graphs").join(name))
    }

    /// Of a BERT in 8 bits, made of files that this names.
    pub(crate) fn of_int8(cache: &Path, library: &Path, files: &str) -> Self {
        let key = format!("2 {} {} {files}", files::identity(library), *FEATURES);
        let name = format!("{}.onnx", finding::name(&key));
        Self(cache.join("int8").join(name))
    }

    /// Of what is kept with its weights; it came there whole.
    pub(crate) fn read_whole(&self) -> Option<Vec<u8>> {
        files::read(&self.0, files::MODEL_MAX).ok()
    }

    /// Opens a session that writes what it makes of a graph into the file that
    /// it is told, weights and all. Where that cannot be written or kept, one
    /// that does not.
    pub(crate) fn keep_whole<S>(
        &self,
        open: impl Fn(Option<&Path>) -> Result<S, Error>,
    ) -> Result<S, Error> {
        let ready = self.0.parent().map(std::fs::create_dir_all);
        if !matches!(ready, Some(Ok(()))) {
            return open(None);
        }
        let part = whole::beside(&self.0);
        let opened = match open(Some(&part)) {
            Err(Error::Open(_)) => open(None),
            opened => opened,
        };
        if opened.is_ok() {
            // Best effort: the next start makes it again.
            let _ = whole::adopt(&part, &self.0, WHOLE_MAX);
        }
        // Where it was not adopted.
        let _ = std::fs::remove_file(&part);
        opened
    }

    /// None if it is not kept, or not as it was written.
    pub(crate) fn read(&self) -> Option<Vec<u8>> {
        let mut bytes = files::read(&self.0, files::MODEL_MAX).ok()?;
        let sum = bytes.split_off(bytes.len().checked_sub(32)?);
        (Sha256::digest(&bytes)[..] == sum).then_some(bytes)
    }

    /// What `rewrite` has ONNX Runtime write into a file, without its weights;
    /// None if anything is in the way, and then a session rewrites for itself.
    pub(crate) fn make(
        &self,
        original: &[u8],
        rewrite: impl FnOnce(&Path) -> Option<()>,
    ) -> Option<Vec<u8>> {
        std::fs::create_dir_all(self.0.parent()?).ok()?;
        let part = whole::beside(&self.0);
        let rewritten = rewrite(&part).and_then(|()| files::read(&part, files::MODEL_MAX).ok());
        // Best effort: what is left goes with the next that is kept here.
        let _ = std::fs::remove_file(&part);
        let graph = onnx::without_weights(&rewritten?, original).ok()?;
        let sum = Sha256::digest(&graph);
        let kept = [&graph[..], &sum[..]].concat();
        whole::keep(&self.0, &kept, KEPT_MAX).ok()?;
        Some(graph)
    }
}
