//! What happens beyond the limits, and at the end.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{get, post, speak};
use crate::stand::{Folder, wav};

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_admission_a_caller_is_told_at_once_when_to_come_back() {
    let folder = Folder::new();
    folder.write(
        "koemasu.toml",
        "[pipelines]\nfolder = \"pipelines\"\n[server]\nwatch = false\nrequests_max = 2\n",
    );
    let server = folder.serve().await;
    let to = server.address();
    let text = "今日はいい天気ですね。".repeat(80);
    let requests = (0..12).map(|i| {
        let body = json!({"input": format!("{i}{text}")});
        tokio::task::spawn(async move { speak(to, body).await })
    });
    let mut spoken = 0;
    let mut refused = 0;
    for request in requests.collect::<Vec<_>>() {
        let reply = request.await.expect("an answer");
        match reply.status {
            StatusCode::OK => spoken += 1,
            StatusCode::SERVICE_UNAVAILABLE => {
                // A second, or as long as those before will take.
                let after: u64 = reply.header("retry-after").parse().expect("seconds");
                assert!((1..=60).contains(&after), "{after}");
                assert_eq!(reply.json()["error"]["code"], "overloaded");
                refused += 1;
            }
            other => panic!("{other}: {}", reply.text()),
        }
    }
    assert!(
        spoken >= 2 && refused >= 1,
        "{spoken} spoken, {refused} refused"
    );
    // Every place came back.
    assert_eq!(
        speak(to, json!({"input": "はい"})).await.status,
        StatusCode::OK
    );
    server.stop().await;
}

/// Twice as many ask as can be served, all the time.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_comes_whatever_waits_to_be_spoken() {
    let folder = Folder::new();
    folder.write(
        "koemasu.toml",
        "[pipelines]\nfolder = \"pipelines\"\n[server]\nwatch = false\n[models]\nlanes = 1\nqueue = \"50ms\"\n[reload]\npackage_timeout = \"20s\"\n",
    );
    let server = folder.serve().await;
    let to = server.address();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let askers = (0..8).map(|asker| {
        let stopped = stopped.clone();
        tokio::spawn(async move {
            let (mut spoken, mut refused) = (0, 0);
            while !*stopped.borrow() {
                let text = "今日はいい天気ですね。".repeat(20);
                let reply = speak(to, json!({ "input": format!("{asker}、{text}") })).await;
                match reply.status {
                    StatusCode::OK => spoken += 1,
                    StatusCode::SERVICE_UNAVAILABLE => refused += 1,
                    other => panic!("{other}: {}", reply.text()),
                }
            }
            (spoken, refused)
        })
    });
    let askers: Vec<_> = askers.collect();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let pipeline = std::fs::read(folder.path().join("pipelines/ja.toml")).expect("a pipeline");
    for number in 0..3 {
        // Another pipeline, which has to speak a word before it serves.
        folder.write(&format!("pipelines/more-{number}.toml"), pipeline.clone());
        let reply = post(to, "/admin/reload", "").await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let left_out = &reply.json()["left_out"];
        assert!(left_out.as_array().is_none_or(Vec::is_empty), "{left_out}");
    }
    stop.send(true).expect("they listen");
    let (mut spoken, mut refused) = (0, 0);
    for asker in askers {
        let (of, not) = asker.await.expect("answers");
        spoken += of;
        refused += not;
    }
    assert!(
        spoken > 0 && refused > 0,
        "{spoken} spoken, {refused} refused"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let reply = post(server.address(), "/v1/audio/speech", vec![b' '; 300 << 10]).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_never_finishes_its_head_is_closed() {
    let folder = Folder::new();
    folder.write(
        "koemasu.toml",
        "[pipelines]\nfolder = \"pipelines\"\n[server]\nwatch = false\nheader_timeout = \"200ms\"\nbody_timeout = \"200ms\"\n",
    );
    let server = folder.serve().await;
    let mut stream = TcpStream::connect(server.address())
        .await
        .expect("a connection");
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nx: ")
        .await
        .expect("a write");
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
    closed
        .await
        .expect("closed by the header timeout")
        .expect("a read");

    let mut stream = TcpStream::connect(server.address())
        .await
        .expect("a connection");
    let head = b"POST /v1/audio/speech HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 100\r\n\r\n{";
    stream.write_all(head).await.expect("a write");
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
    closed
        .await
        .expect("answered by the body timeout")
        .expect("a read");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_requests_finish_and_takes_no_new_ones() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let to = server.address();
    let text = "今日はいい天気ですね。".repeat(80);
    let request = tokio::task::spawn(async move { speak(to, json!({"input": text})).await });
    // Until it is in: it holds its generation.
    while server.app().live.report()[0].requests == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    server.stop().await;
    let reply = request.await.expect("an answer");
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    wav(&reply.body);
    assert!(
        TcpStream::connect(to).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_routes_want_the_token_once_there_is_one() {
    let folder = Folder::new();
    folder.write(
        "koemasu.toml",
        "[pipelines]\nfolder = \"pipelines\"\n[server]\nwatch = false\n[admin]\ntoken = \"open sesame\"\n",
    );
    let server = folder.serve().await;
    let to = server.address();
    assert_eq!(
        get(to, "/admin/generations").await.status,
        StatusCode::UNAUTHORIZED
    );
    let request = hyper::Request::get("/admin/generations")
        .header("host", "localhost")
        .header("authorization", "Bearer open sesame")
        .body(http_body_util::Full::default())
        .expect("a request");
    let reply = crate::client::send(to, request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_routes_do_not_answer_web_pages() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let request = hyper::Request::post("/admin/reload")
        .header("host", "localhost")
        .header("origin", "http://example.org")
        .body(http_body_util::Full::default())
        .expect("a request");
    let reply = crate::client::send(server.address(), request).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_goes_away_leaves_nothing_behind() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let to = server.address();
    let body = json!({"input": "今日はいい天気ですね。".repeat(80)}).to_string();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(to).await.expect("a connection");
        let head = format!(
            "POST /v1/audio/speech HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.expect("a write");
        while server.app().live.report()[0].requests == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(stream);
        let gone = async {
            while server.app().live.report()[0].requests > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let gone = tokio::time::timeout(Duration::from_secs(20), gone).await;
        gone.expect("the request ends with its caller");
    }
    let reply = speak(to, json!({"input": "はい"})).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    server.stop().await;
}
