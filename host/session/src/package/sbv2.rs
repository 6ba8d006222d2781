//! `.sbv2`: a zstd-compressed tar with `model.onnx` and `style_vectors.json`.
//! It names neither speakers nor styles.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::Package;
use super::manifest::Manifest;
use super::styles::{Styles, Vectors};
use crate::files::Held;
use crate::source::Graph;

/// No model of this kind comes near it; an archive that claims more is not
/// one, or wants the memory.
const MODEL_BYTES_MAX: u64 = 2 << 30;
const VECTORS_BYTES_MAX: u64 = 16 << 20;
/// Over all entries: even one that nobody wants has to be unpacked to be
/// skipped, and long names are read before anybody sees them.
const UNPACKED_BYTES_MAX: u64 = MODEL_BYTES_MAX + VECTORS_BYTES_MAX;
/// Formats after "1" may mean something else by these names.
const VERSION: &str = "1";

#[derive(Deserialize)]
struct StyleVectors {
    data: Vec<Vec<f32>>,
    shape: [usize; 2],
}

pub(super) fn open(path: &Path) -> Result<Package, String> {
    let held = Held::open(path).map_err(|e| e.to_string())?;
    let entries = read_entries(held.reader(), UNPACKED_BYTES_MAX)?;
    let model = entries.model.ok_or("the archive has no `model.onnx`")?;
    let vectors = entries
        .vectors
        .ok_or("the archive has no `style_vectors.json`")?;
    let vectors: StyleVectors =
        serde_json::from_slice(&vectors).map_err(|e| format!("its style vectors: {e}"))?;
    let data: Vec<f32> = vectors.data.concat();
    let vectors = Vectors::new(vectors.shape[0], vectors.shape[1], &data)?;
    let name = path.file_stem().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let speakers = vec![("0".to_owned(), 0)];
    let styles = Styles::numbered(vectors);
    // Decided by the graph's inputs.
    let family = None;
    Ok(Package {
        manifest: Arc::new(Manifest::of_names(&name, &speakers, &styles, family)),
        name,
        licence: None,
        // Not written down anywhere; every model of this kind has it.
        sampling_rate: 44_100,
        speakers,
        styles,
        family,
        graph: Graph::Memory(Arc::from(model)),
        told: None,
    })
}

#[derive(Default)]
struct Entries {
    model: Option<Vec<u8>>,
    vectors: Option<Vec<u8>>,
}

/// Names in the archive are compared, never used as paths.
fn read_entries(file: impl Read, unpacked_max: u64) -> Result<Entries, String> {
    let said = |e: std::io::Error| format!("the archive: {e}");
    let plain = zstd::Decoder::new(file).map_err(said)?;
    let mut archive = tar::Archive::new(Bounded {
        inner: plain,
        left: unpacked_max,
        most: unpacked_max,
    });
    let mut found = Entries::default();
    for entry in archive.entries().map_err(said)? {
        let entry = entry.map_err(said)?;
        let name = entry.path().map_err(said)?.to_string_lossy().into_owned();
        match name.trim_start_matches("./") {
            "model.onnx" => found.model = Some(bounded(entry, MODEL_BYTES_MAX)?),
            "style_vectors.json" => found.vectors = Some(bounded(entry, VECTORS_BYTES_MAX)?),
            "version.txt" => {
                let version = bounded(entry, 64)?;
                let version = String::from_utf8_lossy(&version).trim().to_owned();
                if version != VERSION {
                    return Err(format!(
                        "it has format version {version}, known is {VERSION}"
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// A reader that ends in an error, not in the last byte of memory.
struct Bounded<R> {
    inner: R,
    left: u64,
    most: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            std::io::Error::other(format!("it unpacks to more than {} bytes", self.most))
        })?;
        Ok(read)
    }
}

fn bounded(entry: impl Read, most: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = entry.take(most + 1).read_to_end(&mut bytes);
    read.map_err(|e| format!("the archive: {e}"))?;
    if bytes.len() as u64 > most {
        return Err(format!(
            "an entry of the archive has more than {most} bytes"
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of one entry of zeros, which compress to nearly nothing.
    fn bomb(kind: tar::EntryType, bytes: u64) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(bytes);
        header.set_path("junk").expect("a path");
        header.set_cksum();
        let mut archive = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1).expect("an encoder"));
        archive
            .append(&header, std::io::repeat(0).take(bytes))
            .expect("an entry");
        let encoder = archive.into_inner().expect("a whole archive");
        encoder.finish().expect("a whole file")
    }

    #[test]
    fn an_archive_that_unpacks_without_end_is_an_error() {
        const MIB: u64 = 1 << 20;
        // A long name is read into memory before anybody sees the entry.
        for kind in [tar::EntryType::Regular, tar::EntryType::GNULongName] {
            let archive = bomb(kind, 8 * MIB);
            assert!(archive.len() < 64 << 10, "{} bytes", archive.len());
            let error = read_entries(&archive[..], MIB).err().expect("refused");
            assert_eq!(
                error, "the archive: it unpacks to more than 1048576 bytes",
                "{kind:?}"
            );
        }
        let modest = bomb(tar::EntryType::Regular, MIB / 2);
        assert!(read_entries(&modest[..], MIB).is_ok());
    }
}
