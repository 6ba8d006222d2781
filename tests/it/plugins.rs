//! Third-party components: loaded by path and sha256, and what follows when
//! they fail.

use hyper::StatusCode;
use plugin::testing;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::client::{get, post, speak};
use crate::stand::{Folder, PIPELINE, wav};

fn pinned(folder: &Folder, name: &str, component: &[u8], on_failure: &str) -> String {
    folder.write(&format!("pipelines/{name}.wasm"), component);
    let digest: String = Sha256::digest(component)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    format!("{{ path = \"{name}.wasm\", sha256 = \"{digest}\", on_failure = \"{on_failure}\" }}")
}

fn with_normalizer(plugin: &str) -> String {
    PIPELINE.replace(
        "[\"normalize-sbv2\"]",
        &format!("[{plugin}, \"normalize-sbv2\"]"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_by_path_and_sha256_speaks_for_the_text() {
    let folder = Folder::new();
    let plugin = pinned(
        &folder,
        "always",
        &testing::normalizer_saying("いいえ。"),
        "closed",
    );
    folder.write("pipelines/ja.toml", with_normalizer(&plugin));
    folder.write("pipelines/plain.toml", PIPELINE);
    let server = folder.serve().await;
    let to = server.address();
    let replaced = speak(to, json!({"input": "はい、そうです。"})).await;
    assert_eq!(replaced.status, StatusCode::OK, "{}", replaced.text());
    let plain = speak(
        to,
        json!({"input": "いいえ。", "koemasu": {"pipeline": "plain"}}),
    )
    .await;
    assert!(
        wav(&replaced.body) == wav(&plain.body),
        "the plugin's words were spoken"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_costs_one_request_if_closed_and_one_stage_if_open() {
    let folder = Folder::new();
    // Traps on the caller's text and not on what the load-time checks send.
    let trap = testing::normalizer_trapping_on("わな");
    folder.write(
        "pipelines/ja.toml",
        with_normalizer(&pinned(&folder, "trap", &trap, "closed")),
    );
    folder.write(
        "pipelines/open.toml",
        with_normalizer(&pinned(&folder, "trap", &trap, "open")),
    );
    let server = folder.serve().await;
    let to = server.address();

    let closed = speak(to, json!({"input": "わな"})).await;
    assert_eq!(closed.status, StatusCode::BAD_GATEWAY);
    assert!(
        closed.openai_error().contains("plugin `trap` failed"),
        "{}",
        closed.text()
    );
    assert_eq!(closed.json()["error"]["type"], "server_error");
    let next = speak(to, json!({"input": "はい"})).await;
    assert_eq!(
        next.status,
        StatusCode::OK,
        "the plugin serves on: {}",
        next.text()
    );

    let open = speak(
        to,
        json!({"input": "わな", "koemasu": {"pipeline": "open"}}),
    )
    .await;
    assert_eq!(open.status, StatusCode::OK, "{}", open.text());
    assert!(
        open.header("x-koemasu-warning")
            .contains("plugin `trap` was skipped")
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_bucket_falls_back_to_the_builtin_unless_closed() {
    let folder = Folder::new();
    let short = testing::bucketer_answering(1);
    let bucket = |on_failure| {
        let plugin = pinned(&folder, "short", &short, on_failure);
        PIPELINE.replace("plugin = \"bucket-ladder\"", &format!("plugin = {plugin}"))
    };
    folder.write("pipelines/plain.toml", PIPELINE);
    folder.write("pipelines/ja.toml", PIPELINE);
    let server = folder.serve().await;
    let to = server.address();
    let plain = wav(&speak(to, json!({"input": "はい。"})).await.body);

    folder.write("pipelines/ja.toml", bucket("builtin"));
    let reply = post(to, "/admin/reload", "").await;
    // The load-time check may already refuse a policy that is always wrong.
    if reply.status == StatusCode::OK {
        let spoken = speak(to, json!({"input": "はい。"})).await;
        assert!(
            wav(&spoken.body) == plain,
            "padding never reaches the sound"
        );
        let metrics = get(to, "/metrics").await.text_whole();
        assert!(
            metrics.contains("koemasu_policy_fallbacks_total{plugin=\"short\",mode=\"builtin\"}"),
            "{metrics}"
        );
    } else {
        assert!(reply.problem().contains("short"), "{}", reply.text());
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_component_is_refused_by_its_pin() {
    let folder = Folder::new();
    let component = testing::normalizer_saying("はい");
    let plugin = pinned(&folder, "pin", &component, "closed");
    folder.write("pipelines/ja.toml", with_normalizer(&plugin));
    let server = folder.serve().await;
    folder.write("pipelines/pin.wasm", testing::normalizer_saying("いいえ"));
    let reply = post(server.address(), "/admin/reload", "").await;
    // The pipeline goes on as it was, and the answer says why.
    let told = reply.text();
    assert_eq!(reply.status, StatusCode::OK, "{told}");
    assert!(
        told.contains("left_out") && told.contains("the pipeline pins"),
        "{told}"
    );
    server.stop().await;
}
