//! `.sbv2`: a zstd-compressed tar with `model.onnx` and `style_vectors.json`.
//! It names neither speakers nor styles.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::Package;
use super::bounds::{Rows, STYLES_MAX};
use super::defect::{ArchiveFault, Defect, of_part};
use super::manifest::Manifest;
use super::styles::{Styles, Vectors};
use super::unpack::{self, Unpacking};
use crate::events;
use crate::family::STYLE_WIDTH;
use crate::files::Held;
use crate::source::Graph;

/// No model of this kind comes near it.
const MODEL_BYTES_MAX: u64 = 2 << 30;
/// Every number with its 17 digits, and room.
const VECTORS_BYTES_MAX: u64 = 8 << 20;
/// Of all that is unpacked, wanted or not.
const REST_BYTES_MAX: u64 = VECTORS_BYTES_MAX + (8 << 20);
const ENTRIES_MAX: usize = 1_000;
/// As zstd's own tool reads without being asked: what level 22 writes.
const WINDOW_LOG_MAX: u32 = 27;
/// Formats after "1" may mean something else by these names.
const VERSION: &str = "1";

#[derive(Deserialize)]
struct StyleVectors {
    data: Rows<STYLE_WIDTH, STYLES_MAX>,
    shape: [usize; 2],
}

pub(super) fn open(path: &Path, unpacking: &Unpacking<'_>) -> Result<Package, Defect> {
    let bytes_max = unpacking.bytes_max;
    let attempt = |folder| unpack_held(path, &Unpacking { folder, bytes_max });
    let read = match (attempt(unpacking.folder), unpacking.folder) {
        // A cache that is full or read-only is no reason to lose a voice.
        (Err(ArchiveFault::Place(cause)), Some(folder)) => {
            events::not_unpacked(folder, &ArchiveFault::Place(cause));
            attempt(None)
        }
        (read, _) => read,
    };
    let (graph, vectors) = read?;
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
        graph,
        told: None,
    })
}

/// One version of the archive, or an error.
fn unpack_held(path: &Path, unpacking: &Unpacking<'_>) -> Result<(Graph, Vectors), ArchiveFault> {
    let held = Held::open(path).map_err(ArchiveFault::Open)?;
    let unpacked = read(held.reader(), unpacking)?;
    match held.intact().map_err(ArchiveFault::Open)? {
        true => Ok(unpacked),
        false => Err(ArchiveFault::Unfinished),
    }
}

/// Names in the archive are compared, never used as paths.
pub(super) fn read(
    file: impl Read,
    unpacking: &Unpacking<'_>,
) -> Result<(Graph, Vectors), ArchiveFault> {
    let model_max = unpacking.bytes_max.min(MODEL_BYTES_MAX);
    let plain = unpack::bounded(file, model_max + REST_BYTES_MAX, |file| {
        let mut plain = zstd::Decoder::new(file)?;
        plain.window_log_max(WINDOW_LOG_MAX)?;
        Ok(plain)
    });
    let mut archive = tar::Archive::new(plain.map_err(ArchiveFault::Read)?);
    let (mut model, mut vectors) = (None, None);
    // Raw: else a name of gigabytes is in memory before anybody sees its entry.
    let entries = archive.entries().map_err(ArchiveFault::Read)?.raw(true);
    for (number, entry) in entries.enumerate() {
        let mut entry = entry.map_err(ArchiveFault::Read)?;
        if number == ENTRIES_MAX {
            return Err(ArchiveFault::Entries(ENTRIES_MAX));
        }
        let name = entry.path_bytes().into_owned();
        let name = String::from_utf8_lossy(&name);
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = name.trim_start_matches("./");
        let taken = match name {
            "model.onnx" => {
                let size = entry.size();
                if size > model_max {
                    return Err(ArchiveFault::Model {
                        bytes: size,
                        most: model_max,
                    });
                }
                model
                    .replace(unpack::to_file(&mut entry, unpacking.folder)?)
                    .is_some()
            }
            "style_vectors.json" => {
                let json = small(entry, VECTORS_BYTES_MAX)?;
                vectors
                    .replace(parse(&json).map_err(|e| ArchiveFault::Vectors(Box::new(e)))?)
                    .is_some()
            }
            "version.txt" => {
                let version = small(entry, 64)?;
                let version = String::from_utf8_lossy(&version).trim().to_owned();
                if version != VERSION {
                    return Err(ArchiveFault::Version {
                        found: version,
                        known: VERSION,
                    });
                }
                false
            }
            _ => false,
        };
        if taken {
            return Err(ArchiveFault::Twice(name.to_owned()));
        }
    }
    Ok((
        model.ok_or(ArchiveFault::Missing("model.onnx"))?,
        vectors.ok_or(ArchiveFault::Missing("style_vectors.json"))?,
    ))
}

pub(super) fn parse(json: &[u8]) -> Result<Vectors, Defect> {
    let vectors: StyleVectors =
        serde_json::from_slice(json).map_err(of_part("its style vectors"))?;
    Vectors::new(vectors.shape[0], vectors.shape[1], &vectors.data.0)
}

fn small(entry: impl Read, most: u64) -> Result<Vec<u8>, ArchiveFault> {
    let mut bytes = Vec::new();
    let read = entry.take(most + 1).read_to_end(&mut bytes);
    read.map_err(ArchiveFault::Read)?;
    if bytes.len() as u64 > most {
        return Err(ArchiveFault::Entry(most));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// An archive of one entry of zeros, which compress to nearly nothing.
    fn bomb(name: &str, kind: tar::EntryType, bytes: u64) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(bytes);
        header.set_path(name).expect("a path");
        header.set_cksum();
        let mut archive = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1).expect("an encoder"));
        archive
            .append(&header, std::io::repeat(0).take(bytes))
            .expect("an entry");
        let encoder = archive.into_inner().expect("a whole archive");
        encoder.finish().expect("a whole file")
    }

    fn refused(archive: &[u8], bytes_max: u64) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let unpacking = Unpacking {
            folder: Some(folder.path()),
            bytes_max,
        };
        let cause = match read(archive, &unpacking) {
            Err(fault @ ArchiveFault::Place(_)) => panic!("{fault}"),
            Err(fault) => fault.to_string(),
            Ok(_) => panic!("not refused"),
        };
        let left = std::fs::read_dir(folder.path())
            .expect("the folder")
            .count();
        assert_eq!(left, 0, "half a model is left: {cause}");
        cause
    }

    #[test]
    fn an_archive_that_unpacks_without_end_is_an_error() {
        use tar::EntryType::{GNULongName, Regular, XHeader};
        for (name, kind) in [
            ("model.onnx", Regular),
            ("junk", Regular),
            // Read into memory by whoever follows them.
            ("junk", GNULongName),
            ("junk", XHeader),
        ] {
            let archive = bomb(name, kind, 256 * MIB);
            assert!(archive.len() < 64 << 10, "{} bytes", archive.len());
            let cause = refused(&archive, u64::MAX);
            assert!(cause.contains("no model is packed so tightly"), "{cause}");
        }
    }

    #[test]
    fn a_model_larger_than_there_is_memory_for_is_refused_unread() {
        let archive = bomb("model.onnx", tar::EntryType::Regular, 8 * MIB);
        assert_eq!(
            refused(&archive, MIB),
            "its model has 8388608 bytes, the most is 1048576"
        );
        let archive = bomb("style_vectors.json", tar::EntryType::Regular, 9 * MIB);
        let cause = refused(&archive, u64::MAX);
        assert!(cause.contains("more than 8388608 bytes"), "{cause}");
    }

    #[test]
    fn style_vectors_that_are_no_matrix_are_refused() {
        let row = |width: usize| format!("[{}]", vec!["0"; width].join(","));
        let json = |shape: &str, rows: &str| format!(r#"{{"shape":{shape},"data":[{rows}]}}"#);
        let many = |row: &str, times: usize| vec![row; times].join(",");
        let good = json("[2,256]", &many(&row(256), 2));
        assert!(parse(good.as_bytes()).is_ok());
        for (json, said) in [
            (
                json("[0,256]", &many("[]", 1_000_000)),
                "a row of 0 numbers",
            ),
            (json("[1,256]", &row(257)), "more than 256"),
            (json("[1,256]", &row(255)), "a row of 255 numbers"),
            (
                json("[1025,256]", &many(&row(256), 1_025)),
                "more than 1024 rows",
            ),
            (json("[3,256]", &row(256)), "3 × 256"),
            (
                json("[72057594037927936,256]", &row(256)),
                "72057594037927936",
            ),
            (json("[1,256]", &"[".repeat(1_000_000)), "its style vectors"),
            ("[".repeat(1_000_000), "its style vectors"),
            ("9".repeat(1_000_000), "its style vectors"),
        ] {
            let cause = parse(json.as_bytes()).expect_err("refused").to_string();
            assert!(cause.contains(said), "{cause}, not {said}");
            assert!(cause.len() < 300, "{cause}");
        }
    }

    #[test]
    fn two_models_are_none() {
        let one = |archive: &mut tar::Builder<Vec<u8>>| {
            let mut header = tar::Header::new_gnu();
            header.set_size(4);
            let added = archive.append_data(&mut header, "model.onnx", &b"onnx"[..]);
            added.expect("an entry");
        };
        let mut archive = tar::Builder::new(Vec::new());
        one(&mut archive);
        one(&mut archive);
        let tar = archive.into_inner().expect("a whole archive");
        let archive = zstd::encode_all(&tar[..], 1).expect("an archive");
        let folder = tempfile::tempdir().expect("a folder");
        let unpacking = Unpacking {
            folder: Some(folder.path()),
            bytes_max: u64::MAX,
        };
        let read = read(&archive[..], &unpacking);
        assert!(matches!(read, Err(ArchiveFault::Twice(name)) if name == "model.onnx"));
    }
}
