//! What happens to a file between two readings: the second gives the same
//! weights or names the file. Never other weights, never a mix.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use super::*;
use crate::source::Source;

/// What somebody does to the file, and whether the voice can go on.
type Change = fn(&Path, &[u8]);

const CHANGES: [(&str, Change, bool); 7] = [
    ("emptied", |path, _| drop(File::create(path)), false),
    (
        "cut in half",
        |path, other| {
            let file = OpenOptions::new().write(true).open(path).expect("a file");
            file.set_len(other.len() as u64 / 2).expect("shorter");
        },
        false,
    ),
    ("another voice in its place", write_over, false),
    (
        "another voice, and the time set back",
        |path, other| {
            let before = path
                .metadata()
                .and_then(|it| it.modified())
                .expect("a time");
            write_over(path, other);
            let file = OpenOptions::new().write(true).open(path).expect("a file");
            file.set_modified(before).expect("a time set back");
        },
        false,
    ),
    (
        "half of another voice",
        |path, other| {
            let mut file = OpenOptions::new().write(true).open(path).expect("a file");
            file.write_all(&other[..other.len() / 2]).expect("a write");
        },
        false,
    ),
    (
        "replaced",
        |path, other| {
            let part = path.with_extension("part");
            std::fs::write(&part, other).expect("a file");
            std::fs::rename(part, path).expect("a rename");
        },
        true,
    ),
    (
        "deleted",
        |path, _| std::fs::remove_file(path).expect("gone"),
        true,
    ),
];

fn write_over(path: &Path, other: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(path).expect("a file");
    file.write_all(other).expect("a write");
}

fn open(path: &Path) -> (Template, Weights) {
    let graph = Source::Path(path.to_owned()).graph().expect("a file");
    Weights::split(&graph).expect("a graph")
}

#[test]
fn a_file_that_changes_is_named_and_gives_nothing_of_another_voice() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../voices/demo/demo.aivmx");
    let bytes = std::fs::read(&demo).expect("the demo voice");
    let (_, weights) = open(&demo);
    let other = weights.vary(1).expect("another voice").graph;
    assert_eq!(other.len(), bytes.len(), "of the same size");
    assert!(other != bytes, "another voice");
    let folder = tempfile::tempdir().expect("a folder");
    for (number, (how, change, goes_on)) in CHANGES.into_iter().enumerate() {
        let path = folder.path().join(format!("voice-{number}.aivmx"));
        std::fs::write(&path, &bytes).expect("a file");
        let (template, weights) = open(&path);
        let first = weights
            .gather(&template, InOrder::Template)
            .expect("the first reading");
        assert!(
            weights
                .gather(&template, InOrder::Template)
                .expect("the second")
                == first
        );
        change(&path, &other);
        for _ in 0..2 {
            match weights.gather(&template, InOrder::Template) {
                Ok(again) => assert!(goes_on && again == first, "{how}"),
                Err(Error::Changed { path: named }) => {
                    assert!(!goes_on, "{how}");
                    assert_eq!(named, path, "{how}");
                }
                Err(error) => panic!("{how}: {error}"),
            }
        }
    }
}
