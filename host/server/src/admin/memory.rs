//! The operator's view of memory: what holds what, another policy, renewal,
//! and the task that watches the marks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use memory::MemoryPolicy;
use pipeline::document::Document;
use pipeline::spec;
use serde::Serialize;
use session::residency::MemoryReport;
use utoipa::ToSchema;

use crate::app::App;
use crate::events;
use crate::files;
use crate::http::answer::{self, Answer};
use crate::http::described::{Free, Pinning, Taking};
use crate::http::fault::Fault;
use crate::http::route::Call;

/// How often the system's own count is looked at.
pub const EVERY: Duration = Duration::from_secs(5);

/// What holds how much memory, and by which policy.
#[utoipa::path(get, path = "/admin/memory", responses(
    (status = 200, description = "Zones, owners, voices by tier, slots, workspace, and what lies outside", body = Report),
    Pinning,
))]
pub async fn report(call: Call) -> Result<Answer, Fault> {
    let residency = call.app.live.residency();
    let report = residency
        .report()
        .ok_or_else(|| Fault::later("no model is open yet", 2))?;
    Ok(answer::json(&Report {
        policy: residency.policy(),
        memory: report,
    }))
}

#[derive(Serialize, ToSchema)]
#[schema(as = Memory)]
struct Report {
    /// The table `[memory]`.
    #[schema(value_type = Free)]
    policy: MemoryPolicy,
    memory: MemoryReport,
}

/// Another policy, until the next reload.
///
/// The body is the table `[memory]` as TOML, obeyed from the next decision on. A
/// reload brings the file's again.
#[utoipa::path(put, path = "/admin/memory/policy",
    request_body(content = Option<String>, content_type = "application/toml", description = "As in koemasu.toml, without its head line; nothing is the usual policy"),
    responses(
        (status = 200, description = "The policy is obeyed", body = Obeyed),
        Taking,
        (status = 422, description = "It is no policy"),
    ),
)]
pub async fn policy(mut call: Call) -> Result<Answer, Fault> {
    let text = call.body();
    let app = &call.app;
    let wrong = |cause: String| Fault::caller(StatusCode::UNPROCESSABLE_ENTITY, cause);
    let text = std::str::from_utf8(&text)
        .map_err(|_| wrong("the policy is no UTF-8; it is TOML".to_owned()))?;
    let document = Document::unnamed(text);
    let memory = spec::Memory::read(&document).map_err(|e| wrong(e.to_string()))?;
    let before = app.live.residency().policy();
    let needs_reload = before.needs_reload(&memory.policy);
    let needs_restart = app
        .live
        .set_memory(app.plugins.clone(), memory)
        .await
        .map_err(|e| e.at(spec::Memory::plugin_place(&document)))
        .map_err(|e| wrong(e.to_string()))?;
    events::memory_policy_set();
    Ok(answer::json(&Obeyed {
        obeyed: true,
        needs_reload,
        needs_restart,
        policy: app.live.residency().policy(),
    }))
}

#[derive(Serialize, ToSchema)]
struct Obeyed {
    obeyed: bool,
    /// Fields that wait for a reload.
    needs_reload: Vec<&'static str>,
    /// Fields that wait for a start.
    needs_restart: Vec<&'static str>,
    /// The table `[memory]`.
    #[schema(value_type = Free)]
    policy: MemoryPolicy,
}

/// Opens every slot's sessions anew.
///
/// One after the other, while the others speak.
#[utoipa::path(post, path = "/admin/memory/renew", responses(
    (status = 200, description = "Every slot has new sessions", body = Renewed),
    (status = 500, description = "A session did not open"),
))]
pub async fn renew(call: Call) -> Result<Answer, Fault> {
    let renewed = renew_all(call.app).await?;
    Ok(answer::json(&Renewed {
        slots_renewed: renewed,
    }))
}

#[derive(Serialize, ToSchema)]
struct Renewed {
    slots_renewed: usize,
}

async fn renew_all(app: Arc<App>) -> Result<usize, Fault> {
    let work = move || app.live.residency().renew();
    let renewed = files::aside(work).await?;
    renewed.map_err(|e| Fault::operator(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))
}

/// Watches the marks and renews when it is time, beside the server until it
/// stops.
pub async fn tend(app: Arc<App>) {
    let mut ticks = tokio::time::interval(EVERY);
    let mut renewed_at = (Instant::now(), 0);
    loop {
        // What a generation leaves is tidied up at once.
        tokio::select! {
            _ = ticks.tick() => {}
            () = app.live.ended() => {}
        }
        let watched = Arc::clone(&app);
        let watch = move || {
            watched.live.residency().watch();
            watched.live.residency().tidy();
        };
        // Evicting frees memory of others: not on the thread that serves.
        let _ = tokio::task::spawn_blocking(watch).await;
        let residency = app.live.residency();
        let renew = residency.policy().renew;
        let (at, runs) = renewed_at;
        let by_runs = renew.requests > 0 && residency.runs() >= runs + renew.requests;
        let by_time = !renew.every.0.is_zero() && at.elapsed() >= renew.every.0;
        if by_runs || by_time {
            if let Err(fault) = renew_all(Arc::clone(&app)).await {
                events::renewal_failed(&fault.detail);
            }
            renewed_at = (Instant::now(), app.live.residency().runs());
        }
    }
}
