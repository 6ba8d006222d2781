//! Sound that leaves as it is made: what comes is what would have come in one
//! piece, a reader who is slow or goes holds nothing, and turns are kept.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::client::{begin, get, metric, post, speak};
use crate::stand::{Folder, PIPELINE};

const SPEECH: &str = "/v1/audio/speech";

/// A server with the voice that can be cut, in windows of this many frames.
fn folder(window: u32, models: &str, encode: &str) -> Folder {
    let folder = Folder::new();
    folder.add_decoded();
    folder.write(
        "koemasu.toml",
        format!(
            "[pipelines]\nfolder = \"pipelines\"\n[voices]\nfolder = \"voices\"\nembedded = true\n\
             [server]\nwatch = false\n[models]\n{models}\n\
             [memory]\nbudget = \"512MiB\"\nworkspace = \"192MiB\"\nwindow = {window}\n"
        ),
    );
    folder.write(
        "pipelines/ja.toml",
        format!("{PIPELINE}\n[encode]\n{encode}\n"),
    );
    folder
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let samples = bytes.chunks_exact(4);
    samples
        .map(|it| f32::from_le_bytes(it.try_into().expect("4 bytes")))
        .collect()
}

/// The raw samples at the model's own level.
fn raw(text: &str, stream: bool) -> Value {
    json!({
        "input": text,
        "voice": "decoded",
        "response_format": "pcm_float",
        "koemasu": {"stream": stream, "loudness": "none"},
    })
}

fn largest_difference(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len(), "lengths");
    let differences = one
        .iter()
        .zip(other)
        .map(|(one, other)| (one - other).abs());
    differences.fold(0.0, f32::max)
}

const TEXT: &str = "今日はとてもいい天気ですね。散歩に行きませんか。\nはい、行きましょう。";

#[tokio::test(flavor = "multi_thread")]
async fn windows_and_sentences_join_without_a_trace() {
    // One run of the whole graph for each sentence, and one answer.
    let whole = folder(0, "", "");
    let server = whole.serve().await;
    let expected = speak(server.address(), raw(TEXT, false)).await;
    assert_eq!(expected.status, StatusCode::OK, "{}", expected.text());
    let length = expected.header("content-length").parse().ok();
    assert_eq!(length, Some(expected.body.len()));
    let expected = floats(&expected.body);
    server.stop().await;

    // Window by window, by two lanes, while it is made.
    let windows = folder(16, "lanes = 2", "");
    let server = windows.serve().await;
    let mut reading = begin(server.address(), SPEECH, raw(TEXT, true)).await;
    assert_eq!(reading.status, StatusCode::OK);
    assert!(!reading.headers.contains_key("content-length"));
    assert_eq!(reading.headers["x-koemasu-loudness"], "none");
    let (mut bytes, mut pieces) = (Vec::new(), 0);
    while let Some(piece) = reading.next().await {
        bytes.extend(piece.expect("a whole body"));
        pieces += 1;
    }
    let frames = expected.len() / 512;
    assert!(
        pieces > frames / 16 / 2,
        "{frames} frames in {pieces} pieces"
    );
    let difference = largest_difference(&expected, &floats(&bytes));
    assert!(difference <= 1e-4, "{difference:e}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_level_is_told_and_kept() {
    let folder = folder(16, "", "");
    let server = folder.serve().await;
    let to = server.address();
    let say = async |loudness: Option<&str>, stream: Option<bool>| {
        let mut body = raw(TEXT, true);
        body["koemasu"] = json!({});
        if let Some(loudness) = loudness {
            body["koemasu"]["loudness"] = json!(loudness);
        }
        if let Some(stream) = stream {
            body["koemasu"]["stream"] = json!(stream);
        }
        let reply = speak(to, body).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let peak = floats(&reply.body)
            .iter()
            .map(|it| it.abs())
            .fold(0.0, f32::max);
        (reply.header("x-koemasu-loudness").to_owned(), peak)
    };
    let (told, own) = say(Some("none"), None).await;
    assert_eq!(told, "none");
    // Whoever says nothing gets what fits: a stream cannot know its peak.
    let (told, running) = say(None, None).await;
    assert_eq!(told, "running");
    assert!(running > own && running <= 1.0, "{running} of {own}");
    let (told, whole) = say(None, Some(false)).await;
    assert_eq!(told, "whole");
    assert!((whole - 1.0).abs() < 1e-6, "{whole}");
    let (told, whole) = say(Some("whole"), Some(true)).await;
    assert_eq!((told.as_str(), whole), ("whole", 1.0));
    server.stop().await;
}

/// Some forty sentences, 44 characters each.
fn long_text() -> String {
    "今日はとてもいい天気ですから散歩に行きませんか、それとも家で本を読みましょうか。".repeat(20)
}

async fn at_rest(to: std::net::SocketAddr) {
    let patience = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let report = get(to, "/admin/memory").await.json();
        let workspace = &report["memory"]["workspace"];
        let in_flight = metric(to, "koemasu_requests_in_flight").await;
        if workspace["free"] == workspace["bytes"] && in_flight == 0.0 {
            return;
        }
        let late = tokio::time::Instant::now() > patience;
        assert!(!late, "{workspace}, {in_flight} requests");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Runs of the synthesis graph so far.
async fn runs(to: std::net::SocketAddr) -> f64 {
    metric(to, "koemasu_stage_seconds_count{stage=\"synthesize\"}").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_goes_ends_the_work() {
    let folder = folder(16, "", "read_ahead = \"60s\"");
    let server = folder.serve().await;
    let to = server.address();
    let opened = metric(to, "koemasu_sessions_opened_total").await;
    let before = runs(to).await;
    let mut reading = begin(to, SPEECH, raw(&long_text(), true)).await;
    let first = reading.next().await.expect("sound").expect("bytes");
    assert!(!first.is_empty());
    drop(reading);
    at_rest(to).await;
    assert_eq!(metric(to, "koemasu_readers_gone_total").await, 1.0);
    let begun = runs(to).await - before;
    assert!(begun < 20.0, "{begun} of 20 sentences were said to nobody");

    // What was cut off is as good as before: nothing is opened anew for it.
    let reply = speak(to, raw("はい。", true)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(metric(to, "koemasu_sessions_opened_total").await, opened);

    // Who goes before the first sound is noticed as well.
    let text = long_text();
    let waiting = tokio::spawn(begin(to, SPEECH, raw(&text, false)));
    tokio::time::sleep(Duration::from_millis(50)).await;
    waiting.abort();
    at_rest(to).await;
    assert_eq!(metric(to, "koemasu_readers_gone_total").await, 2.0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_sound_and_nothing_else() {
    let folder = folder(16, "", "read_ahead = \"1s\"");
    let server = folder.serve().await;
    let to = server.address();
    let text = long_text();
    let expected = speak(to, loud(&text)).await;
    assert_eq!(expected.status, StatusCode::OK, "{}", expected.text());

    let before = runs(to).await;
    let mut reading = begin(to, SPEECH, loud(&text)).await;
    let first = reading.next().await.expect("sound").expect("bytes");
    // It reads no more; what is made ahead fills the socket and the bound.
    let mut said = -1.0;
    while said != runs(to).await {
        said = runs(to).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(
        said - before < 20.0,
        "all was said to a reader who does not read"
    );
    let report = get(to, "/admin/memory").await.json();
    let workspace = &report["memory"]["workspace"];
    assert_eq!(workspace["free"], workspace["bytes"], "{workspace}");
    // The only lane is free for others meanwhile.
    let other = speak(to, raw("はい。", true)).await;
    assert_eq!(other.status, StatusCode::OK, "{}", other.text());

    let mut bytes = first.to_vec();
    bytes.extend(reading.rest().await);
    assert!(bytes == expected.body, "nothing is lost by waiting");
    server.stop().await;
}

/// However many read slowly, the next one is answered; beyond the bound on
/// such readers their places are theirs.
#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_keep_nobody_from_speaking() {
    let folder = folder(16, "", "read_ahead = \"1s\"");
    let written = std::fs::read_to_string(folder.path().join("koemasu.toml")).expect("a file");
    let few = "[server]\nrequests_max = 4\nreaders_max = 6";
    folder.write("koemasu.toml", written.replace("[server]", few));
    let server = folder.serve().await;
    let to = server.address();
    let mut readers = Vec::new();
    // Six stand aside; of four more each keeps a place.
    while readers.len() < 10 {
        let patience = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            let mut reading = begin(to, SPEECH, loud(&long_text())).await;
            if reading.status == StatusCode::OK {
                assert!(reading.next().await.expect("sound").is_ok());
                readers.push(reading);
                break;
            }
            assert_eq!(reading.status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(
                tokio::time::Instant::now() < patience,
                "{} readers",
                readers.len()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    // Now there is none left for anybody, and it is said at once.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let refused = speak(to, raw("はい。", true)).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    // One that goes makes room, whichever it is.
    drop(readers.pop());
    let patience = tokio::time::Instant::now() + Duration::from_secs(60);
    while speak(to, raw("はい。", true)).await.status != StatusCode::OK {
        assert!(tokio::time::Instant::now() < patience, "no place came free");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(readers);
    at_rest(to).await;
    server.stop().await;
}

/// As many bytes a second as there can be, so that sockets are soon full.
fn loud(text: &str) -> Value {
    let mut body = raw(text, true);
    body["koemasu"]["sampling_rate"] = json!(192_000);
    body["koemasu"]["channels"] = json!(2);
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_stops_is_given_up_and_sees_that_it_was() {
    let folder = folder(16, "", "read_ahead = \"1s\"");
    let written = std::fs::read_to_string(folder.path().join("koemasu.toml")).expect("a file");
    let impatient = "[server]\nwrite_timeout = \"300ms\"";
    folder.write("koemasu.toml", written.replace("[server]", impatient));
    let server = folder.serve().await;
    let to = server.address();
    let mut reading = begin(to, SPEECH, loud(&long_text())).await;
    assert!(reading.next().await.expect("sound").is_ok());
    while metric(to, "koemasu_readers_gone_total").await == 0.0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    at_rest(to).await;
    // What is in the socket comes; its end is no end.
    let mut last = Ok(bytes::Bytes::new());
    while let Some(next) = reading.next().await {
        last = next;
    }
    assert!(last.is_err(), "an answer cut off looks whole");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_sent_events_carry_the_same_sound() {
    let folder = folder(16, "", "");
    let server = folder.serve().await;
    let to = server.address();
    let plain = speak(to, raw(TEXT, true)).await;
    let mut body = raw(TEXT, true);
    body["stream_format"] = json!("sse");
    let told = speak(to, body).await;
    assert_eq!(told.header("content-type"), "text/event-stream");
    let (mut sound, mut events) = (Vec::new(), Vec::new());
    for line in told.text_whole().split("\n\n").filter(|it| !it.is_empty()) {
        let event = line.strip_prefix("data: ").expect("an event");
        let event: Value = serde_json::from_str(event).expect("JSON");
        if let Some(audio) = event["audio"].as_str() {
            sound.extend(STANDARD.decode(audio).expect("base64"));
        }
        events.push(event);
    }
    assert!(sound == plain.body, "the same bytes");
    assert!(events.len() > 3);
    assert!(
        events[..events.len() - 1]
            .iter()
            .all(|it| it["type"] == "speech.audio.delta")
    );
    assert_eq!(events[events.len() - 1]["type"], "speech.audio.done");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_would_wait_too_long_is_told_at_once() {
    let folder = folder(16, "queue = \"0ms\"", "");
    let server = folder.serve().await;
    let to = server.address();
    // Whole, so that its work stays taken in until the end.
    let text = long_text();
    let long = tokio::spawn(begin(to, SPEECH, raw(&text, false)));
    while metric(to, "koemasu_requests_in_flight").await == 0.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let refused = speak(to, raw("はい。", true)).await;
    assert_eq!(
        refused.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        refused.text()
    );
    let seconds: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!(seconds >= 1);
    assert!(
        refused.openai_error().contains("more to say"),
        "{}",
        refused.text()
    );
    assert_eq!(metric(to, "koemasu_turned_away_total").await, 1.0);
    drop(long.await.expect("an answer"));
    at_rest(to).await;
    assert_eq!(speak(to, raw("はい。", true)).await.status, StatusCode::OK);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_own_deadline_ends_its_request() {
    let folder = folder(16, "", "");
    let server = folder.serve().await;
    let mut body = raw(&long_text(), false);
    body["koemasu"]["deadline"] = json!(0.05);
    let late = post(server.address(), SPEECH, body.to_string()).await;
    assert_eq!(late.status, StatusCode::GATEWAY_TIMEOUT, "{}", late.text());
    at_rest(server.address()).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_brings_the_same_noise_again() {
    let folder = folder(16, "", "");
    let server = folder.serve().await;
    let to = server.address();
    let say = async |voice: &str, seed: Option<u64>, noise: f32| {
        let mut body = raw("今日はいい天気ですね。", true);
        body["voice"] = json!(voice);
        body["koemasu"]["noise"] = json!(noise);
        if let Some(seed) = seed {
            body["koemasu"]["seed"] = json!(seed);
        }
        let reply = speak(to, body).await;
        assert_eq!(reply.status, StatusCode::OK, "{voice}: {}", reply.text());
        reply.body
    };
    let first = say("decoded", Some(7), 0.6).await;
    assert!(first == say("decoded", Some(7), 0.6).await, "the same seed");
    assert!(first != say("decoded", Some(8), 0.6).await, "another one");
    let free = say("decoded", None, 0.6).await;
    assert!(
        free != say("decoded", None, 0.6).await,
        "none is another each time"
    );
    // The noise is noise: as loud as the graph's own, around the quiet voice.
    let (noisy, quiet) = (floats(&first), floats(&say("decoded", Some(7), 0.0).await));
    assert_eq!(noisy.len(), quiet.len());
    let differences = noisy.iter().zip(&quiet).map(|(noisy, quiet)| noisy - quiet);
    let mean = differences.clone().sum::<f32>() / noisy.len() as f32;
    let power = differences.map(|it| it * it).sum::<f32>() / noisy.len() as f32;
    assert!(power > 1e-4 && mean.abs() < 0.05, "{power} {mean}");
    server.stop().await;
}
