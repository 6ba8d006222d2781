//! Files that change under a voice, and what is no voice file at all.

use std::fs::File;
use std::path::Path;

use session::{Settings, Source};

use crate::stand::{demo, input, policy, residency_with, speak};

const ROOMY: &str = "budget = \"512MiB\"\nworkspace = \"128MiB\"";

#[tokio::test]
async fn what_is_in_memory_goes_on_though_its_file_is_gone() {
    let residency = residency_with(policy(ROOMY));
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
    let residency = residency_with(policy(ROOMY));
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
    let residency = crate::stand::residency_in(policy(ROOMY), cache.path());
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
