//! Memory as the operator sees it: the report, another policy while it runs,
//! renewal, and what a caller is told when there is no room.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use serde_json::json;

use crate::client::{Reply, get, metric, post, send, speak};
use crate::stand::Folder;

async fn put_policy(to: std::net::SocketAddr, toml: &str) -> Reply {
    let request = Request::put("/admin/memory/policy")
        .header("host", "localhost")
        .body(Full::new(Bytes::from(toml.to_owned())));
    send(to, request.expect("a request")).await
}

fn with_memory(memory: &str) -> Folder {
    let folder = Folder::new();
    folder.write(
        "koemasu.toml",
        format!(
            "[pipelines]\nfolder = \"pipelines\"\n[server]\nwatch = false\n[memory]\n{memory}\n"
        ),
    );
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_adds_up_and_a_run_leaves_nothing_behind() {
    let folder = with_memory("budget = \"512MiB\"\nworkspace = \"192MiB\"");
    let server = folder.serve().await;
    let to = server.address();
    let mut resting = Vec::new();
    for text in ["はい。", "今日はいい天気ですね。", "はい。"] {
        let reply = speak(to, json!({ "input": text })).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let report = get(to, "/admin/memory").await.json();
        let slab = &report["memory"]["slab"];
        assert_eq!(slab["budget"], 512 << 20);
        let owned: u64 = slab["owners"]
            .as_array()
            .expect("owners")
            .iter()
            .map(|owner| owner["in_use"].as_u64().expect("bytes"))
            .sum();
        assert_eq!(slab["in_use"], owned, "the sum of owners is what is in use");
        assert_eq!(slab["overdrafts"], 0);
        for zone in slab["zones"].as_array().expect("zones") {
            if zone["zone"] == "activations" || zone["zone"] == "reserve" {
                assert_eq!(zone["in_use"], 0, "{zone}");
            }
        }
        let workspace = &report["memory"]["workspace"];
        assert_eq!(
            workspace["free"], workspace["bytes"],
            "every permit is back"
        );
        resting.push(slab["in_use"].as_u64().expect("bytes"));
    }
    assert_eq!(
        resting[1], resting[2],
        "the same sentence leaves the same bytes"
    );
    assert_eq!(
        metric(to, "koemasu_slab_in_use_bytes").await,
        resting[2] as f64
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_put_is_obeyed_at_once_and_a_wrong_one_changes_nothing() {
    let folder = with_memory("budget = \"512MiB\"\nworkspace = \"192MiB\"");
    let server = folder.serve().await;
    let to = server.address();
    let speaking = tokio::spawn(async move {
        for _ in 0..10 {
            let reply = speak(to, json!({ "input": "今日は、いい天気ですね。" })).await;
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        }
    });
    for order in ["lfu", "cost", "lru", "cost"] {
        let policy = format!(
            "[memory]\nbudget = \"512MiB\"\nworkspace = \"192MiB\"\n[memory.eviction]\norder = \"{order}\""
        );
        let reply = put_policy(to, &policy).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!(reply.json()["policy"]["eviction"]["order"], order);
        assert_eq!(reply.json()["needs_restart"], json!([]));
    }
    speaking.await.expect("nothing was lost");

    let wrong = put_policy(to, "[memory.eviction]\norder = \"newest\"").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.problem().contains("`lru`"), "{}", wrong.problem());
    let larger = put_policy(to, "budget = \"1GiB\"\nslots = 3\nworkspace = \"192MiB\"").await;
    assert_eq!(larger.json()["needs_restart"], json!([]));
    assert_eq!(larger.json()["needs_reload"], json!(["slots"]));
    let report = get(to, "/admin/memory").await.json();
    assert_eq!(report["memory"]["slab"]["budget"], 1 << 30, "at once");
    let none = put_policy(to, "budget = \"8192GiB\"").await;
    assert_eq!(none.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(none.problem().contains("restart"), "{}", none.problem());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn renewal_loses_no_request() {
    let folder = with_memory("budget = \"512MiB\"\nworkspace = \"192MiB\"");
    let server = folder.serve().await;
    let to = server.address();
    let speaking = tokio::spawn(async move {
        let mut first = None;
        for _ in 0..12 {
            let reply = speak(to, json!({ "input": "はい。" })).await;
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
            let sound = reply.body.clone();
            assert!(
                *first.get_or_insert(sound.clone()) == sound,
                "the same sound"
            );
        }
    });
    for _ in 0..3 {
        let reply = post(to, "/admin/memory/renew", "").await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    }
    speaking.await.expect("nothing was lost");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_could_never_run_is_told_so() {
    let folder = with_memory(
        "budget = \"512MiB\"\nworkspace = \"192MiB\"\n[memory.permits]\nrequest_max = \"1MiB\"\nby_tokens = { 64 = \"1MiB\" }",
    );
    let server = folder.serve().await;
    let to = server.address();
    let short = speak(to, json!({ "input": "はい。" })).await;
    assert_eq!(short.status, StatusCode::OK, "{}", short.text());
    // The first long one teaches what it needs; the next is refused.
    let long =
        "今日はとてもいい天気ですから、みんなで近くの公園へ行きましょう、と友達が言いました。";
    speak(to, json!({ "input": long })).await;
    let refused = speak(to, json!({ "input": long })).await;
    assert_eq!(
        refused.status,
        StatusCode::PAYLOAD_TOO_LARGE,
        "{}",
        refused.text()
    );
    assert!(
        refused.openai_error().contains("shorter"),
        "{}",
        refused.openai_error()
    );
    server.stop().await;
}
