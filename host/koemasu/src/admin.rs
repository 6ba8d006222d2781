//! Health, readiness, metrics and the routes of the operator.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::header::{AUTHORIZATION, ORIGIN};
use hyper::{Request, StatusCode};
use pipeline::Published;
use serde_json::{Value, json};

use crate::app::App;
use crate::fault::Fault;
use crate::reload::Cause;
use crate::route::{self, Answer};

/// `GET /healthz`: the process answers. Touches nothing that could block.
pub fn healthz() -> Answer {
    route::text("ok\n")
}

/// `GET /readyz`: a generation serves and the server is not stopping.
pub fn readyz(app: &App) -> Result<Answer, Fault> {
    if app.ready() {
        Ok(route::text("ready\n"))
    } else {
        Err(Fault::later(
            "no generation serves, or the server is stopping",
            1,
        ))
    }
}

/// `GET /metrics` in Prometheus' text format.
pub fn metrics(app: &App) -> Answer {
    if let Some(report) = app.live.residency().report() {
        session::export(&report);
    }
    app.metrics.run_upkeep();
    route::with_type("text/plain; version=0.0.4", app.metrics.render())
}

/// `POST /admin/reload`: reloads and tells how it went.
pub async fn reload<B>(
    app: &Arc<App>,
    peer: SocketAddr,
    request: &Request<B>,
) -> Result<Answer, Fault> {
    authorize(app, peer, request)?;
    match app.reloads.ask_and_wait(Cause::Admin).await {
        Ok(reloaded) => Ok(route::json(&published(&reloaded))),
        // The files are wrong, not the request; but whoever asked can act.
        Err(reason) => Err(Fault::caller(StatusCode::UNPROCESSABLE_ENTITY, reason)),
    }
}

/// `GET /admin/generations`: who serves, who drains, how the last reload went.
pub fn generations<B>(app: &App, peer: SocketAddr, request: &Request<B>) -> Result<Answer, Fault> {
    authorize(app, peer, request)?;
    let living: Vec<_> = app
        .live
        .report()
        .into_iter()
        .map(|generation| {
            json!({
                "generation": generation.number,
                "born_unix_seconds": unix_seconds(generation.born),
                "state": if generation.serves { "serves" } else { "drains" },
                "requests": generation.requests,
                "pipelines": generation.pipelines,
                "voices": generation.voices,
            })
        })
        .collect();
    let last = app.reloads.last().map(|last| {
        let (outcome, detail) = match &last.outcome {
            Ok(reloaded) => ("published", published(reloaded)),
            Err(reason) => ("refused", json!({ "reason": reason })),
        };
        json!({
            "at_unix_seconds": unix_seconds(last.at),
            "cause": last.cause.name(),
            "outcome": outcome,
            "detail": detail,
        })
    });
    Ok(route::json(
        &json!({ "living": living, "last_reload": last }),
    ))
}

fn published(reloaded: &Published) -> Value {
    json!({
        "generation": reloaded.generation,
        "replaced": reloaded.replaced,
        "prepared_in_seconds": reloaded.prepared_in.as_secs_f64(),
        "swapped_in_seconds": reloaded.swapped_in.as_secs_f64(),
    })
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// With a token: whoever has it. Without one: this machine, and no web page
/// that a browser on it has open.
pub(crate) fn authorize<B>(app: &App, peer: SocketAddr, request: &Request<B>) -> Result<(), Fault> {
    let Some(token) = &app.admin_token else {
        if !peer.ip().to_canonical().is_loopback() {
            return Err(Fault::caller(
                StatusCode::FORBIDDEN,
                "admin routes answer this machine only; set `admin.token` to open them",
            ));
        }
        if request.headers().contains_key(ORIGIN) {
            return Err(Fault::caller(
                StatusCode::FORBIDDEN,
                "admin routes do not answer web pages; set `admin.token` and send it",
            ));
        }
        return Ok(());
    };
    let given = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    if given.is_some_and(|given| equal_in_constant_time(given.as_bytes(), token.as_bytes())) {
        Ok(())
    } else {
        Err(Fault::caller(
            StatusCode::UNAUTHORIZED,
            "admin routes need `Authorization: Bearer TOKEN`",
        ))
    }
}

/// The time tells the length of what was given, and nothing of the token.
fn equal_in_constant_time(given: &[u8], token: &[u8]) -> bool {
    let mut difference = given.len() ^ token.len();
    for (index, byte) in given.iter().enumerate() {
        let other = token[index % token.len().max(1)];
        difference |= usize::from(byte ^ other);
    }
    difference == 0 && !token.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_equal() {
        assert!(equal_in_constant_time(b"secret", b"secret"));
        assert!(!equal_in_constant_time(b"secret", b"secrets"));
        assert!(!equal_in_constant_time(b"secretsecret", b"secret"));
        assert!(!equal_in_constant_time(b"Secret", b"secret"));
        assert!(!equal_in_constant_time(b"", b""));
    }
}
