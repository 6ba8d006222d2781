//! Reloads: nothing lost, nothing mixed, nothing half done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::StatusCode;
use serde_json::json;

use crate::client::{get, metric, post, speak};
use crate::stand::{Folder, PIPELINE, is_alone, wav};

/// A pipeline that can be heard: its speed shows in every answer's length.
fn pipeline(speed: f32) -> String {
    format!("{PIPELINE}speed = {speed:?}\n")
}

/// Ways in which a generation cannot be made; each must leave the old one.
fn broken(kind: usize) -> String {
    match kind % 5 {
        0 => "language = ".to_owned(),
        1 => PIPELINE.replace("noise = 0.0", "niose = 0.0"),
        2 => PIPELINE.replace("normalize-sbv2", "not-there"),
        3 => PIPELINE.replace("model = \"embedded\"", "model = \"not-there\""),
        _ => PIPELINE.replace(
            "plugins = [\"normalize-sbv2\"]",
            &format!(
                "plugins = [{{ name = \"normalize-sbv2\", sha256 = \"{}\" }}]",
                "0".repeat(64)
            ),
        ),
    }
}

const SPEEDS: [f32; 4] = [0.7, 1.0, 1.5, 2.2];
const TEXT: &str = "今日はいい天気ですね。";

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_reloads_a_third_of_them_broken_lose_and_mix_nothing() {
    let folder = Folder::new();
    folder.write("pipelines/ja.toml", pipeline(SPEEDS[0]));
    let server = folder.serve().await;
    let to = server.address();

    let going = Arc::new(AtomicBool::new(true));
    let askers: Vec<_> = (0..3)
        .map(|_| {
            let going = Arc::clone(&going);
            tokio::task::spawn(async move {
                let mut heard = Vec::new();
                while going.load(Ordering::Relaxed) {
                    let reply = speak(to, json!({"input": TEXT})).await;
                    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
                    let (_, samples) = wav(&reply.body);
                    heard.push((reply.generation(), samples.len()));
                }
                heard
            })
        })
        .collect();

    // Which speed each generation was made from, and how long it speaks.
    let mut speed_of = BTreeMap::from([(1, SPEEDS[0])]);
    let mut length_of = BTreeMap::new();
    let mut good = SPEEDS[0];
    for reload in 0..200usize {
        if reload % 3 == 2 {
            folder.write("pipelines/ja.toml", broken(reload));
            let reply = post(to, "/admin/reload", "").await;
            // What cannot be read changes nothing; what cannot be built goes on
            // as it was, and the rest is new.
            if reload % 5 < 2 {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                assert_eq!(reply.status, status, "{}", reply.text());
            } else {
                assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
                let told = reply.json();
                assert_eq!(told["left_out"][0]["name"], "ja", "{told}");
                assert_eq!(told["left_out"][0]["carried_on"], true, "{told}");
                let generation = told["generation"].as_u64().expect("a number");
                speed_of.insert(generation, good);
            }
        } else {
            let speed = SPEEDS[reload % SPEEDS.len()];
            good = speed;
            folder.write("pipelines/ja.toml", pipeline(speed));
            let reply = post(to, "/admin/reload", "").await;
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
            let generation = reply.json()["generation"].as_u64().expect("a number");
            speed_of.insert(generation, speed);
            if length_of.len() < SPEEDS.len() {
                let reply = speak(to, json!({"input": TEXT})).await;
                length_of.insert(format!("{speed}"), wav(&reply.body).1.len());
            }
        }
    }
    going.store(false, Ordering::Relaxed);

    let lengths: std::collections::BTreeSet<_> = length_of.values().collect();
    assert_eq!(
        lengths.len(),
        SPEEDS.len(),
        "each speed sounds different: {length_of:?}"
    );
    let mut answers = 0;
    let mut generations = std::collections::BTreeSet::new();
    for asker in askers {
        for (generation, length) in asker.await.expect("no answer was lost") {
            let speed = speed_of[&generation];
            assert_eq!(
                length,
                length_of[&format!("{speed}")],
                "generation {generation} at speed {speed}"
            );
            answers += 1;
            generations.insert(generation);
        }
    }
    assert!(
        generations.len() > 20,
        "{answers} answers over {generations:?}"
    );

    // The old generations have drained.
    let report = get(to, "/admin/generations").await.json();
    assert_eq!(
        report["living"].as_array().map(Vec::len),
        Some(1),
        "{report}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_reload_says_where_and_what_would_be_right_and_the_old_one_serves() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let to = server.address();
    folder.write("pipelines/ja.toml", broken(1));
    let reply = post(to, "/admin/reload", "").await;
    let detail = reply.problem();
    assert!(detail.contains("/pipelines/ja.toml:11:1: "), "{detail}");
    assert!(
        detail.contains("unknown field `niose`") && detail.contains("`noise`"),
        "{detail}"
    );

    let report = get(to, "/admin/generations").await.json();
    assert_eq!(report["last_reload"]["outcome"], "refused");
    assert_eq!(report["living"][0]["generation"], 1);
    assert_eq!(report["living"][0]["state"], "serves");
    let spoken = speak(to, json!({"input": TEXT})).await;
    assert_eq!((spoken.status, spoken.generation()), (StatusCode::OK, 1));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_changed_is_carried_over() {
    if !is_alone(module_path!(), "what_has_not_changed_is_carried_over") {
        return;
    }
    let folder = Folder::new();
    let server = folder.serve().await;
    let to = server.address();
    let voice = |server: &server::server::Server| {
        let generation = server.app().live.pin().expect("serves");
        Arc::as_ptr(&generation.voices()["demo"])
    };
    let before = voice(&server);
    folder.write("pipelines/ja.toml", pipeline(1.5));
    assert_eq!(post(to, "/admin/reload", "").await.status, StatusCode::OK);
    assert_eq!(voice(&server), before, "the same open voice");

    // The feature cache as well: the same text costs no second BERT run.
    let misses = "koemasu_feature_cache_misses_total";
    speak(to, json!({"input": TEXT})).await;
    let before = metric(to, misses).await;
    folder.write("pipelines/ja.toml", pipeline(1.0));
    assert_eq!(post(to, "/admin/reload", "").await.status, StatusCode::OK);
    speak(to, json!({"input": TEXT})).await;
    assert_eq!(metric(to, misses).await, before);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_file_is_served_without_asking() {
    let folder = Folder::new();
    folder.write("koemasu.toml", "[pipelines]\nfolder = \"pipelines\"\n");
    let server = folder.serve().await;
    let to = server.address();
    let first = wav(&speak(to, json!({"input": TEXT})).await.body).1.len();
    folder.write("pipelines/ja.toml", pipeline(2.2));
    for _ in 0..200 {
        let reply = speak(to, json!({"input": TEXT})).await;
        if reply.generation() > 1 {
            assert!(wav(&reply.body).1.len() < first);
            server.stop().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the change was not noticed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_start_says_why() {
    let folder = Folder::new();
    folder.write("pipelines/ja.toml", broken(3));
    let error = server::server::Server::start(folder.files())
        .await
        .err()
        .expect("it cannot start");
    let told = format!("{error:#}");
    assert!(
        told.contains("`bert.model` is `not-there`") && told.contains("it has `embedded`"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_voice_is_named_and_the_rest_serves() {
    if !is_alone(
        module_path!(),
        "a_broken_voice_is_named_and_the_rest_serves",
    ) {
        return;
    }
    let folder = Folder::new();
    folder.write(
        "koemasu.toml",
        "[pipelines]\nfolder = \"pipelines\"\n[server]\nwatch = false\n[voices]\nfolder = \"voices\"\nembedded = true\n",
    );
    folder.add_decoded();
    folder.write("voices/torn.aivmx", b"torn");
    std::fs::create_dir(folder.path().join("voices/piped")).expect("a folder");
    let pipe = folder.path().join("voices/piped/config.json");
    let made = std::process::Command::new("mkfifo").arg(pipe).status();
    assert!(made.expect("mkfifo").success());
    folder.write("pipelines/other.toml", broken(2));

    // At the start.
    let server = folder.serve().await;
    let to = server.address();
    let report = get(to, "/admin/generations").await.json();
    let names = |left_out: &serde_json::Value| {
        let left_out = left_out.as_array().expect("a list").iter();
        let name = |out: &serde_json::Value| out["name"].as_str().expect("a name").to_owned();
        left_out.map(name).collect::<Vec<_>>()
    };
    let left_out = &report["living"][0]["left_out"];
    assert_eq!(names(left_out), ["other", "piped", "torn"], "{report}");
    let say = |voice: &str| json!({"input": "はい", "voice": voice});
    for (voice, status, says) in [
        ("demo", 200, ""),
        ("decoded", 200, ""),
        ("torn", 503, "voice `torn` cannot serve"),
        ("piped", 503, "named pipe"),
        ("nobody", 400, "there is no voice"),
    ] {
        let reply = speak(to, say(voice)).await;
        assert_eq!(reply.status.as_u16(), status, "{voice}: {}", reply.text());
        assert!(
            status == 200 || reply.text().contains(says),
            "{}",
            reply.text()
        );
    }

    // And later: what served before and breaks goes on as it was.
    std::fs::write(folder.path().join("voices/new.onnx"), b"").expect("a file");
    folder.write("voices/decoded/config.json", b"{ torn");
    let reloaded = post(to, "/admin/reload", "").await;
    assert_eq!(reloaded.status, StatusCode::OK, "{}", reloaded.text());
    let told = reloaded.json();
    assert_eq!(
        names(&told["left_out"]),
        ["other", "decoded", "piped", "torn"],
        "{told}"
    );
    assert_eq!(told["left_out"][1]["carried_on"], true, "{told}");
    assert_eq!(speak(to, say("decoded")).await.status, StatusCode::OK);
    assert_eq!(metric(to, "koemasu_left_out{kind=\"voice\"}").await, 3.0);
    server.stop().await;
}
