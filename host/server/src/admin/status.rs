//! Health, readiness, metrics and the routes of the operator.

use std::fmt::Write as _;
use std::num::NonZeroU64;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use pipeline::{GenerationReport, LeftOut, Published};
use serde::Serialize;
use utoipa::ToSchema;

use crate::events;
use crate::http::answer::{self, Answer};
use crate::http::described::Pinning;
use crate::http::fault::Fault;
use crate::http::route::Call;
use crate::line::Shown;
use crate::reloads::{Cause, LastReload};

/// The process answers. Touches nothing that could block.
#[utoipa::path(get, path = "/healthz", responses(
    (status = 200, description = "It lives", body = String, content_type = "text/plain"),
))]
pub async fn healthz(_: Call) -> Result<Answer, Fault> {
    Ok(answer::text("ok\n"))
}

/// A generation serves and the server is not stopping.
#[utoipa::path(get, path = "/readyz", responses(
    (status = 200, description = "Requests may come", body = String, content_type = "text/plain"),
    Pinning,
))]
pub async fn readyz(call: Call) -> Result<Answer, Fault> {
    if call.app.ready() {
        Ok(answer::text(ready(&call)))
    } else {
        Err(Fault::later(
            "no generation serves, or the server is stopping",
            1,
        ))
    }
}

/// Ready, and the names of what is left out; why, the operator is told
/// elsewhere.
fn ready(call: &Call) -> String {
    let generation = call.app.live.pin();
    let out = generation.as_ref().map_or(&[][..], |it| it.left_out());
    let mut text = "ready\n".to_owned();
    for out in out.iter().take(NAMED_MAX) {
        let (kind, name) = (out.kind.name(), Shown(&out.name));
        // A String takes everything.
        let _ = writeln!(text, "left out: {kind} `{name}`");
    }
    if out.len() > NAMED_MAX {
        let _ = writeln!(text, "left out: {} more", out.len() - NAMED_MAX);
    }
    text
}

/// Of what is left out, in an answer that is asked for every second.
const NAMED_MAX: usize = 20;

/// Metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", responses(
    (status = 200, description = "Version 0.0.4 of the format", body = String, content_type = "text/plain"),
))]
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

/// Reloads and tells how it went.
///
/// Reads koemasu.toml and all it names, opens what is new, and publishes it; if
/// anything is wrong nothing changes.
#[utoipa::path(post, path = "/admin/reload", responses(
    (status = 200, description = "The new generation serves", body = Reloaded),
    (status = 422, description = "The files are wrong; the old generation serves on"),
))]
pub async fn reload(call: Call) -> Result<Answer, Fault> {
    match call.app.reloads.ask_and_wait(Cause::Admin).await {
        Ok(reloaded) => Ok(answer::json(&Reloaded::from(&reloaded))),
        // The files are wrong, not the request; but whoever asked can act.
        Err(reason) => Err(Fault::caller(StatusCode::UNPROCESSABLE_ENTITY, reason)),
    }
}

/// Who serves, who drains, how the last reload went.
#[utoipa::path(get, path = "/admin/generations", responses(
    (status = 200, description = "Every generation that lives", body = Generations),
))]
pub async fn generations(call: Call) -> Result<Answer, Fault> {
    let app = &call.app;
    Ok(answer::json(&Generations {
        living: app.live.report().into_iter().map(Living::from).collect(),
        last_reload: app.reloads.last().map(Last::from),
        without: app.live.without().collect(),
        dangers: app.dangers(),
    }))
}

#[derive(Serialize, ToSchema)]
struct Generations {
    living: Vec<Living>,
    last_reload: Option<Last>,
    /// What this place does not give, and what that costs.
    without: Vec<String>,
    /// What is dangerous together in the settings.
    dangers: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Generation)]
struct Living {
    generation: u64,
    born_unix_seconds: f64,
    state: State,
    /// That have pinned it now.
    requests: usize,
    pipelines: Vec<String>,
    voices: Vec<String>,
    /// What is configured and could not be prepared.
    left_out: Vec<LeftOut>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    Serves,
    /// Until its last request is answered.
    Drains,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LastReload)]
struct Last {
    at_unix_seconds: f64,
    cause: Cause,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase", tag = "outcome", content = "detail")]
enum Outcome {
    Published(Reloaded),
    Refused { reason: String },
}

#[derive(Serialize, ToSchema)]
struct Reloaded {
    generation: u64,
    /// The one that drains now.
    replaced: Option<u64>,
    prepared_in_seconds: f64,
    /// The swap alone: what a request could ever have to wait for.
    swapped_in_seconds: f64,
    /// What is configured and could not be prepared; the rest serves.
    left_out: Vec<LeftOut>,
}

impl From<GenerationReport> for Living {
    fn from(generation: GenerationReport) -> Self {
        Self {
            generation: generation.number.get(),
            born_unix_seconds: unix_seconds(generation.born),
            state: match generation.serves {
                true => State::Serves,
                false => State::Drains,
            },
            requests: generation.requests,
            pipelines: generation.pipelines,
            voices: generation.voices,
            left_out: generation.left_out,
        }
    }
}

impl From<LastReload> for Last {
    fn from(last: LastReload) -> Self {
        Self {
            at_unix_seconds: unix_seconds(last.at),
            cause: last.cause,
            outcome: match last.outcome {
                Ok(reloaded) => Outcome::Published(Reloaded::from(&reloaded)),
                Err(reason) => Outcome::Refused { reason },
            },
        }
    }
}

impl From<&Published> for Reloaded {
    fn from(reloaded: &Published) -> Self {
        Self {
            generation: reloaded.generation.get(),
            replaced: reloaded.replaced.map(NonZeroU64::get),
            prepared_in_seconds: reloaded.prepared_in.as_secs_f64(),
            swapped_in_seconds: reloaded.swapped_in.as_secs_f64(),
            left_out: reloaded.left_out.clone(),
        }
    }
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}
