//! A small HTTP client over a real socket: one connection a request.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no header {name} in {:?}: {}", self.headers, self.text()))
            .to_str()
            .expect("printable header")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("no JSON ({e}): {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body[..self.body.len().min(2_000)]).into_owned()
    }

    pub(crate) fn text_whole(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The message of an OpenAI error; fails if this is none.
    pub(crate) fn openai_error(&self) -> String {
        assert_eq!(self.header("content-type"), "application/json");
        let error = &self.json()["error"];
        assert!(error["type"].is_string(), "{error}");
        error["message"].as_str().expect("a message").to_owned()
    }

    /// The problem's detail; fails if this is not problem+json.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        problem["detail"].as_str().expect("a detail").to_owned()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.header("x-koemasu-generation")
            .parse()
            .expect("a number")
    }
}

pub(crate) async fn send(to: SocketAddr, request: Request<Full<Bytes>>) -> Reply {
    let stream = TcpStream::connect(to).await.expect("the server listens");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("a handshake");
    let driver = tokio::task::spawn(connection);
    let reply = sender.send_request(request).await.expect("an answer");
    let (head, body) = reply.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    drop(sender);
    let _ = driver.await;
    Reply {
        status: head.status,
        headers: head.headers,
        body,
    }
}

/// An answer that is read piece by piece. Dropping it closes the connection.
pub(crate) struct Reading {
    pub(crate) status: StatusCode,
    pub(crate) headers: hyper::HeaderMap,
    body: hyper::body::Incoming,
    _driver: AbortOnDrop,
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Reading {
    /// The next bytes; none at the end. An answer that is cut off is an error.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            let frame = self.body.frame().await?;
            match frame.map(|frame| frame.into_data()) {
                Ok(Ok(bytes)) => return Some(Ok(bytes)),
                Ok(Err(_trailers)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    pub(crate) async fn rest(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(more) = self.next().await {
            bytes.extend(more.expect("a whole body"));
        }
        bytes
    }
}

/// Posts JSON and gives the answer as soon as its head is there.
pub(crate) async fn begin(to: SocketAddr, path: &str, body: serde_json::Value) -> Reading {
    begin_with(to, path, &[], body).await
}

/// The same, with these headers.
pub(crate) async fn begin_with(
    to: SocketAddr,
    path: &str,
    headers: &[(&'static str, &str)],
    body: serde_json::Value,
) -> Reading {
    let stream = TcpStream::connect(to).await.expect("the server listens");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("a handshake");
    let driver = tokio::task::spawn(async move {
        let _ = connection.await;
    });
    let mut request = Request::post(path)
        .header("host", "localhost")
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body.to_string())));
    let request = request.expect("a request");
    let answer = sender.send_request(request).await.expect("an answer");
    let (head, body) = answer.into_parts();
    Reading {
        status: head.status,
        headers: head.headers,
        body,
        _driver: AbortOnDrop(driver),
    }
}

pub(crate) async fn get(to: SocketAddr, path: &str) -> Reply {
    let request = Request::get(path)
        .header("host", "localhost")
        .body(Full::default());
    send(to, request.expect("a request")).await
}

pub(crate) async fn post(to: SocketAddr, path: &str, body: impl Into<Bytes>) -> Reply {
    let request = Request::post(path)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::new(body.into()));
    send(to, request.expect("a request")).await
}

/// Any request, with these headers.
pub(crate) async fn ask(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Reply {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "localhost");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into()));
    send(to, request.expect("a request")).await
}

/// The value of a metric without labels; 0 if it has never been counted.
pub(crate) async fn metric(to: SocketAddr, name: &str) -> f64 {
    let metrics = get(to, "/metrics").await.text_whole();
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.map_or(0.0, |value| value.parse().expect("a number"))
}

/// `POST /v1/audio/speech` with this JSON.
pub(crate) async fn speak(to: SocketAddr, body: serde_json::Value) -> Reply {
    post(to, "/v1/audio/speech", body.to_string()).await
}
