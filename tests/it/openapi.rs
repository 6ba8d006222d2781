//! The document that a port serves, and what schemathesis found by it.

use hyper::{Method, Request, StatusCode};
use serde_json::json;

use crate::client::{get, post, send, speak};
use crate::stand::Folder;

#[tokio::test(flavor = "multi_thread")]
async fn a_port_describes_the_dialects_it_speaks() {
    let folder = Folder::new();
    folder.write(
        "koemasu.toml",
        "[pipelines]\nfolder = \"pipelines\"\n[server]\nwatch = false\n[admin]\ntoken = \"root\"\n[dialects.sbv2]\nenabled = false\n[dialects.openai]\nlisten = \"127.0.0.1:0\"\n",
    );
    let server = folder.serve().await;
    let shared = get(server.address(), "/openapi.json").await.json();
    let apart = get(server.addresses()[1].0, "/openapi.json").await.json();
    server.stop().await;
    assert_eq!(shared["openapi"], "3.1.0");
    let has = |document: &serde_json::Value, path: &str| document["paths"].get(path).is_some();
    assert!(has(&shared, "/healthz") && has(&shared, "/synthesize"));
    assert!(!has(&shared, "/voice") && !has(&shared, "/v1/audio/speech"));
    assert!(has(&apart, "/healthz") && has(&apart, "/v1/audio/speech"));
    assert!(!has(&apart, "/synthesize"));
    let locked = |path: &str| shared["paths"][path].to_string().contains("\"admin\":[]");
    assert!(locked("/admin/memory") && !locked("/synthesize"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_can_be_got_has_a_head() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let ask = async |method: Method, path: &str| {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("host", "test").body(Default::default());
        send(server.address(), request.expect("a request")).await
    };
    let head = ask(Method::HEAD, "/healthz").await;
    let voices = ask(Method::HEAD, "/v1/models").await;
    let trace = ask(Method::TRACE, "/healthz").await;
    server.stop().await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert_eq!(head.header("content-length"), "3");
    assert_eq!((voices.status, voices.body.len()), (StatusCode::OK, 0));
    assert_eq!(trace.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(trace.header("allow"), "GET, HEAD");
}

#[tokio::test(flavor = "multi_thread")]
async fn control_characters_in_a_text_are_no_failure_of_a_plugin() {
    let folder = Folder::new();
    folder.write(
        "pipelines/ja.toml",
        "language = \"ja\"\n[normalize]\nplugins = [\"ja-markup\", \"ja-words\", \"normalize-sbv2\"]\n[bert]\nmodel = \"embedded\"\n[bucket]\nplugin = \"bucket-ladder\"\n",
    );
    let server = folder.serve().await;
    let text = "雨\tです\u{7}\r\n。";
    let spoken = speak(server.address(), json!({"input": text, "voice": "demo"})).await;
    let read = post(
        server.address(),
        "/v1/g2p",
        json!({"text": text}).to_string(),
    )
    .await;
    let alone = speak(
        server.address(),
        json!({"input": "\u{97}", "voice": "demo"}),
    )
    .await;
    server.stop().await;
    assert_eq!(spoken.status, StatusCode::OK, "{}", spoken.text());
    assert_eq!(read.status, StatusCode::OK, "{}", read.text());
    assert_ne!(alone.status, StatusCode::BAD_GATEWAY, "{}", alone.text());
}
