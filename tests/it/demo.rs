//! The voice inside the program: the file is the one that was measured, and what
//! the server makes of a text sounds as its recipe says.

use std::path::{Path, PathBuf};

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::client::speak;
use crate::sound::Sound;
use crate::stand::{Folder, cases, wav};

/// A sentence as `voices/demo/recipe/reference.py` found it: made from the
/// teacher's phones, without this host.
#[derive(Deserialize)]
struct Case {
    text: String,
    speaker: String,
    style: String,
    samples: usize,
    bands: Vec<[f64; 7]>,
    pitch: Vec<f64>,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_voice_sounds_as_its_recipe_says() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let (mut said, mut wanted) = (Vec::new(), Vec::new());
    for case in reference() {
        let body = json!({
            "input": case.text,
            "voice": format!("demo/{}", case.speaker),
            "koemasu": {"style": case.style},
        });
        let reply = speak(server.address(), body).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        said.push(Sound::of(&wav(&reply.body).1));
        wanted.push(Sound {
            samples: case.samples,
            bands: case.bands,
            pitch: case.pitch,
        });
    }
    // The first sentence in other ways: as near as anything wrong will come.
    for change in [
        json!({"voice": "demo/demo-low"}),
        json!({"koemasu": {"style": "Happy"}}),
        json!({"speed": 1.1}),
    ] {
        let mut body = json!({"input": reference()[0].text, "voice": "demo"});
        let change_of = change.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(change_of);
        let reply = speak(server.address(), body).await;
        let differences = Sound::of(&wav(&reply.body).1).differences(&wanted[0]);
        assert!(!differences.small(), "{change}: {differences:?}");
    }
    server.stop().await;
    for (here, sound) in said.iter().enumerate() {
        for (there, reference) in wanted.iter().enumerate() {
            let differences = sound.differences(reference);
            eprintln!("{here} against {there}: {differences:?}");
            // No other sentence, speaker or style passes for it.
            assert_eq!(
                differences.small(),
                here == there,
                "sentence {here} against reference {there}: {differences:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_rises_at_its_end_and_a_statement_falls() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let ending = async |text: &str| {
        let reply = speak(server.address(), json!({"input": text, "voice": "demo"})).await;
        let pitch = Sound::of(&wav(&reply.body).1).pitch;
        let voiced: Vec<f64> = pitch.into_iter().filter(|hertz| *hertz > 0.0).collect();
        let [.., before, _, last] = voiced[..] else {
            panic!("no voice in {text}")
        };
        12.0 * (last / before).log2()
    };
    let (question, statement) = (
        ending("明日は雨ですか？").await,
        ending("明日は雨ですか。").await,
    );
    server.stop().await;
    assert!(question > 1.5, "{question} semitones");
    assert!(statement < 0.5, "{statement} semitones");
}

#[test]
fn the_demo_voice_is_the_file_that_was_measured() {
    let file = std::fs::read(demo("demo.aivmx")).expect("the voice");
    let hash = std::fs::read_to_string(demo("demo.aivmx.sha256")).expect("its hash");
    let found: String = Sha256::digest(&file)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(hash.split_whitespace().next(), Some(found.as_str()));
    let report = std::fs::read_to_string(demo("REPORT.md")).expect("the report");
    assert!(report.contains(&found), "the report is of another file");
    assert!(file.len() < 6_000_000, "{} bytes", file.len());
}

fn reference() -> Vec<Case> {
    let text = std::fs::read_to_string(cases("demo-voice.json")).expect("the reference");
    serde_json::from_str(&text).expect("cases")
}

fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../voices/demo")
        .join(name)
}
