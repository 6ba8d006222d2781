//! Many connections that ask for nothing, and who speaks all the same.

use hyper::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{get, metric, speak};
use crate::stand::Folder;

fn folder(server: &str) -> Folder {
    let folder = Folder::new();
    folder.write(
        "koemasu.toml",
        format!("[pipelines]\nfolder = \"pipelines\"\n[server]\nwatch = false\n{server}"),
    );
    folder
}

async fn connect(to: std::net::SocketAddr, sent: &str) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.expect("it listens");
    stream.write_all(sent.as_bytes()).await.expect("a write");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_waited_for_holds_no_place() {
    let folder = folder("requests_max = 2\n");
    let server = folder.serve().await;
    let to = server.address();
    let mut halves = Vec::new();
    for path in [
        "/v1/audio/speech",
        "/v1/g2p",
        "/synthesize",
        "/synthesis?speaker=1",
        "/streaming_synthesis?speaker=1",
        "/multi_synthesis?speaker=1",
        "/connect_waves",
        "/voice?text=a",
        "/audio_query?text=a&speaker=1",
    ] {
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{{");
        halves.push(connect(to, &head).await);
        halves.push(connect(to, &head).await);
    }
    for _ in 0..3 {
        assert_eq!(metric(to, "koemasu_requests_in_flight").await, 0.0);
        let spoken = speak(to, json!({"input": "はい"})).await;
        assert_eq!(spoken.status, StatusCode::OK, "{}", spoken.text());
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_nothing_makes_room_and_who_is_served_stays() {
    let folder = folder("connections_max = 20\n");
    let server = folder.serve().await;
    let to = server.address();
    let mut idle = Vec::new();
    for sent in ["", "GET /healthz HTTP/1.1\r\nx: "] {
        for _ in 0..40 {
            idle.push(connect(to, sent).await);
        }
        assert_eq!(get(to, "/healthz").await.status, StatusCode::OK);
        let spoken = speak(to, json!({"input": "はい"})).await;
        assert_eq!(spoken.status, StatusCode::OK, "{}", spoken.text());
    }
    // The first is closed; it was told nothing, and asked nothing.
    let mut answer = Vec::new();
    let _ = idle[0].read_to_end(&mut answer).await;
    assert!(answer.is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_has_its_share_and_no_more() {
    let folder = folder(
        "proxies = []\nconnections_per_address = 5\nbodies_per_address = \"1000B\"\nbodies_max = \"1500B\"\n",
    );
    let server = folder.serve().await;
    let to = server.address();
    let head = "POST /v1/g2p HTTP/1.1\r\nhost: localhost\r\ncontent-length: 900\r\n\r\n";
    // One of the two is too much, whichever is read later: if that is the half,
    // it goes, and another one takes its place.
    let mut half = connect(to, "").await;
    let mut refused = StatusCode::OK;
    for _ in 0..400 {
        drop(std::mem::replace(
            &mut half,
            connect(to, &format!("{head}{}", " ".repeat(600))).await,
        ));
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        let body = format!("{{\"text\": \"あ\"{}}}", " ".repeat(600));
        refused = crate::client::post(to, "/v1/g2p", body).await.status;
        if refused != StatusCode::OK {
            break;
        }
    }
    assert_eq!(refused, StatusCode::TOO_MANY_REQUESTS);
    // Its own connections go, the oldest first, and with it its bytes.
    for _ in 0..6 {
        connect(to, "").await;
    }
    let mut idle = Vec::new();
    for _ in 0..6 {
        idle.push(connect(to, "").await);
    }
    let reply = crate::client::post(to, "/v1/g2p", "{\"text\": \"あ\"}").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    server.stop().await;
}
