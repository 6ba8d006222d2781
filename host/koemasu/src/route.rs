//! (method, path) → handler: the whole API on one screen.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use crate::app::App;
use crate::fault::Fault;
use crate::{admin, dictionary, events, memory, read, request_id, speak};

pub type Answer = Response<Full<Bytes>>;

/// Answers one request. Never fails: a failure is an answer too.
pub async fn route(app: &Arc<App>, peer: SocketAddr, request: Request<Incoming>) -> Answer {
    let start = Instant::now();
    let id = request_id::of(&request);
    let path = request.uri().path().to_owned();
    let (name, outcome) = match (request.method(), path.as_str()) {
        (&Method::POST, "/v1/audio/speech") => ("speech", speak::speech(app, request, &id).await),
        (&Method::POST, "/v1/g2p") => ("g2p", read::g2p(app, request).await),
        (&Method::GET, "/v1/audio/voices") => ("voices", speak::voices(app)),
        (&Method::GET, "/healthz") => ("healthz", Ok(admin::healthz())),
        (&Method::GET, "/readyz") => ("readyz", admin::readyz(app)),
        (&Method::GET, "/metrics") => ("metrics", Ok(admin::metrics(app))),
        (&Method::POST, "/admin/reload") => ("reload", admin::reload(app, peer, &request).await),
        (&Method::GET, "/admin/memory") => ("memory", memory::report(app, peer, &request)),
        (&Method::PUT, "/admin/memory/policy") => {
            ("memory-policy", memory::policy(app, peer, request).await)
        }
        (&Method::POST, "/admin/memory/renew") => {
            ("memory-renew", memory::renew(app, peer, &request).await)
        }
        (&Method::GET, "/admin/generations") => {
            ("generations", admin::generations(app, peer, &request))
        }
        (_, path) if path.starts_with(dictionary::PATH) => {
            ("dictionary", dictionary::answer(app, peer, request).await)
        }
        (method, path) => ("none", Err(unrouted(method, path))),
    };
    let mut answer = outcome.unwrap_or_else(|fault| {
        events::failed(&fault.detail, fault.status.as_u16(), &id);
        fault.response(&id)
    });
    if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
        let allowed = HeaderValue::from_static(method_of(&path).unwrap_or("GET"));
        answer.headers_mut().insert(ALLOW, allowed);
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert("x-request-id", id);
    }
    events::answered(name, answer.status().as_u16(), start.elapsed(), &id);
    answer
}

fn method_of(path: &str) -> Option<&'static str> {
    match path {
        "/v1/audio/speech" | "/v1/g2p" | "/admin/reload" | "/admin/memory/renew" => Some("POST"),
        "/admin/memory/policy" => Some("PUT"),
        "/v1/audio/voices" | "/healthz" | "/readyz" | "/metrics" | "/admin/generations"
        | "/admin/memory" => Some("GET"),
        path if path.starts_with(dictionary::PATH) => Some("GET, POST, PUT, DELETE"),
        _ => None,
    }
}

fn unrouted(method: &Method, path: &str) -> Fault {
    match method_of(path) {
        Some(allowed) => Fault::caller(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("{path} takes {allowed}, not {method}"),
        ),
        None => Fault::caller(StatusCode::NOT_FOUND, format!("there is nothing at {path}")),
    }
}

pub fn json(value: &serde_json::Value) -> Answer {
    with_type("application/json", value.to_string())
}

pub fn text(body: impl Into<Bytes>) -> Answer {
    with_type("text/plain; charset=utf-8", body)
}

pub fn with_type(content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
