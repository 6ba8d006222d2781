//! Files that change under a voice: it says so, or it goes on as it was. Never
//! another voice's sound, never a mix, and nobody else is disturbed.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use session::voice::Voice;
use session::{Settings, Source};

use crate::stand::{WAIT, demo, input, policy, residency_with, speak};

/// So little room that every change of voice reads a file.
const SMALL: &str = "budget = \"72MiB\"\nworkspace = \"56MiB\"\nreserve = \"4MiB\"\nslots = 1";

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

async fn try_speak(voice: &Voice) -> Result<Vec<f32>, String> {
    let input = input(0);
    let mut lease = voice
        .checkout(input.tokens.len(), WAIT)
        .await
        .expect("a slot");
    let said = lease.run(input).map_err(|e| e.to_string())?;
    lease.release();
    Ok(said)
}

#[tokio::test]
async fn a_file_that_changes_is_named_and_nobody_hears_another_voice() {
    let residency = residency_with(policy(SMALL));
    let folder = tempfile::tempdir().expect("a folder");
    let open = |name: &str, seed| -> Arc<Voice> {
        let source = demo("demo.aivmx");
        session::package::vary(&source, folder.path(), name, seed).expect("another voice");
        let path = folder.path().join(format!("{name}.aivmx"));
        let voice = residency.voice(name, &Source::Path(path), &Settings::default());
        voice.expect("a voice")
    };
    let other = open("other", 1);
    let other_sound = speak(&other, input(0)).await;
    let other_bytes = std::fs::read(folder.path().join("other.aivmx")).expect("the file");
    for (number, (how, change, goes_on)) in CHANGES.into_iter().enumerate() {
        let name = format!("voice-{number}");
        let voice = open(&name, 2 + number as u64);
        let sound = speak(&voice, input(0)).await;
        assert!(sound != other_sound, "the voices differ");
        assert!(speak(&other, input(0)).await == other_sound, "{how}");
        let report = residency.report().expect("a report").library;
        assert!(
            report.voices.iter().all(|voice| voice.tier == "file"),
            "there is room for none: {report:?}"
        );
        change(&folder.path().join(format!("{name}.aivmx")), &other_bytes);
        for _ in 0..2 {
            match try_speak(&voice).await {
                Ok(said) => assert!(goes_on && said == sound, "{how}"),
                Err(error) => assert!(
                    !goes_on && error.contains(&name) && error.contains("changed"),
                    "{how}: {error}"
                ),
            }
            assert!(speak(&other, input(0)).await == other_sound, "{how}");
        }
        assert_eq!(voice.lasts(), goes_on || how.contains("set back"), "{how}");
    }
}

#[tokio::test]
async fn what_lies_in_a_slot_goes_on_though_its_file_is_gone() {
    let residency = residency_with(policy(SMALL));
    let folder = tempfile::tempdir().expect("a folder");
    session::package::vary(&demo("demo.aivmx"), folder.path(), "haru", 1).expect("a voice");
    let path = folder.path().join("haru.aivmx");
    let source = Source::Path(path.clone());
    let voice = residency.voice("haru", &source, &Settings::default());
    let voice = voice.expect("a voice");
    let sound = speak(&voice, input(0)).await;
    drop(File::create(&path));
    assert!(speak(&voice, input(0)).await == sound);
}

#[test]
fn what_is_no_voice_file_is_refused_at_once() {
    let residency = residency_with(policy(SMALL));
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let pipe = |path: &Path| {
        let made = std::process::Command::new("mkfifo").arg(path).status();
        assert!(made.expect("mkfifo").success());
    };
    let voice = |name: &str, external: Option<&Path>| {
        let home = at(name);
        std::fs::create_dir(&home).expect("a folder");
        for (from, to) in [
            ("external.onnx", "voice.onnx"),
            ("config.json", "config.json"),
            ("style_vectors.npy", "style_vectors.npy"),
        ] {
            std::fs::copy(crate::stand::fixture(from), home.join(to)).expect("a copy");
        }
        let weights = home.join("external.weights");
        match external {
            Some(target) => std::os::unix::fs::symlink(target, &weights).expect("a link"),
            None => pipe(&weights),
        }
        home
    };
    pipe(&at("pipe.aivmx"));
    pipe(&at("pipe.sbv2"));
    std::os::unix::fs::symlink("/dev/zero", at("zero.aivmx")).expect("a link");
    std::os::unix::fs::symlink("nowhere", at("dangling.aivmx")).expect("a link");
    let linked = voice("linked", Some(Path::new("/etc/passwd")));
    let endless = voice("endless", Some(Path::new("/dev/zero")));
    let piped = voice("piped", None);
    let config = voice("config", Some(&crate::stand::fixture("external.weights")));
    std::fs::remove_file(config.join("config.json")).expect("gone");
    std::os::unix::fs::symlink("/dev/zero", config.join("config.json")).expect("a link");
    for (path, says) in [
        (at("pipe.aivmx"), "named pipe"),
        (at("pipe.sbv2"), "named pipe"),
        (at("zero.aivmx"), "device"),
        (at("dangling.aivmx"), "No such file"),
        (linked, "leads out of its folder"),
        (endless, "leads out of its folder"),
        (piped, "named pipe"),
        (config, "leads out of its folder"),
    ] {
        assert!(
            session::package::is_package(&path),
            "{path:?} is not passed over"
        );
        let opened = residency.voice("voice", &Source::Path(path.clone()), &Settings::default());
        let error = opened.err().expect("refused").to_string();
        assert!(error.contains(says), "{path:?}: {error}");
    }
}

#[tokio::test]
async fn an_unpacked_archive_that_was_tampered_with_is_unpacked_anew() {
    let cache = tempfile::tempdir().expect("a folder");
    let folder = tempfile::tempdir().expect("a folder");
    let Source::Path(graph) = demo("demo.aivmx") else {
        unreachable!("a path")
    };
    let path = folder.path().join("haru.sbv2");
    let vectors = serde_json::json!({"shape": [2, 256], "data": [vec![0.0; 256], vec![0.5; 256]]});
    let graph = std::fs::read(graph).expect("the graph");
    crate::packages::archive(
        &path,
        &[
            ("version.txt", b"1"),
            ("model.onnx", &graph),
            ("style_vectors.json", vectors.to_string().as_bytes()),
        ],
    );
    let residency = crate::stand::residency_in(policy(SMALL), cache.path());
    let open = |name: &str| {
        let source = Source::Path(path.clone());
        let voice = residency.voice(name, &source, &Settings::default());
        voice.expect("a voice")
    };
    let sound = speak(&open("first"), input(0)).await;
    let unpacked = std::fs::read_dir(cache.path().join("unpacked")).expect("the cache");
    for entry in unpacked {
        let file = entry.expect("an entry").path();
        let mut bytes = std::fs::read(&file).expect("unpacked");
        let half = bytes.len() / 2;
        bytes[half..].fill(0x40);
        std::fs::write(&file, bytes).expect("tampered with");
    }
    assert!(speak(&open("second"), input(0)).await == sound);
}
