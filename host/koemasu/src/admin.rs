//! Health, readiness, metrics and the routes of the operator.

use std::time::{SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use pipeline::Published;
use serde_json::{Value, json};

use crate::answer::{self, Answer};
use crate::events;
use crate::fault::Fault;
use crate::reload::Cause;
use crate::route::Call;

/// `GET /healthz`: the process answers. Touches nothing that could block.
pub async fn healthz(_: Call) -> Result<Answer, Fault> {
    Ok(answer::text("ok\n"))
}

/// `GET /readyz`: a generation serves and the server is not stopping.
pub async fn readyz(call: Call) -> Result<Answer, Fault> {
    if call.app.ready() {
        Ok(answer::text("ready\n"))
    } else {
        Err(Fault::later(
            "no generation serves, or the server is stopping",
            1,
        ))
    }
}

/// `GET /metrics` in Prometheus' text format.
pub async fn metrics(call: Call) -> Result<Answer, Fault> {
    let app = &call.app;
    if let Some(report) = app.live.residency().report() {
        session::export(&report);
    }
    if let Some(generation) = app.live.pin() {
        events::backlog(generation.backlog());
    }
    app.metrics.run_upkeep();
    let metrics = app.metrics.render();
    Ok(answer::with_type("text/plain; version=0.0.4", metrics))
}

/// `POST /admin/reload`: reloads and tells how it went.
pub async fn reload(call: Call) -> Result<Answer, Fault> {
    match call.app.reloads.ask_and_wait(Cause::Admin).await {
        Ok(reloaded) => Ok(answer::json(&published(&reloaded))),
        // The files are wrong, not the request; but whoever asked can act.
        Err(reason) => Err(Fault::caller(StatusCode::UNPROCESSABLE_ENTITY, reason)),
    }
}

/// `GET /admin/generations`: who serves, who drains, how the last reload went.
pub async fn generations(call: Call) -> Result<Answer, Fault> {
    let app = &call.app;
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
    Ok(answer::json(
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
