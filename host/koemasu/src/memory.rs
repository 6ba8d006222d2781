//! The operator's view of memory: what holds what, another policy, renewal,
//! and the task that watches the marks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use pipeline::spec;
use serde_json::json;

use crate::answer::{self, Answer};
use crate::app::App;
use crate::events;
use crate::fault::Fault;
use crate::route::Call;

/// How often the system's own count is looked at.
pub(crate) const EVERY: Duration = Duration::from_secs(5);

/// `GET /admin/memory`.
pub async fn report(call: Call) -> Result<Answer, Fault> {
    let residency = call.app.live.residency();
    let report = residency
        .report()
        .ok_or_else(|| Fault::later("no model is open yet", 2))?;
    Ok(answer::json(&json!({
        "policy": residency.policy(),
        "memory": report,
    })))
}

/// `PUT /admin/memory/policy`: the table `[memory]` as TOML, obeyed from the
/// next decision on and until the next reload, which brings the file's again.
pub async fn policy(mut call: Call) -> Result<Answer, Fault> {
    let text = call.body().await?;
    let app = &call.app;
    let wrong = |cause: String| Fault::caller(StatusCode::UNPROCESSABLE_ENTITY, cause);
    let text = std::str::from_utf8(&text)
        .map_err(|_| wrong("the policy is no UTF-8; it is TOML".to_owned()))?;
    let memory = spec::Memory::parse(text).map_err(|e| wrong(e.to_string()))?;
    let before = app.live.residency().policy();
    let needs_reload = before.needs_reload(&memory.policy);
    let needs_restart = app
        .live
        .set_memory(app.plugins.clone(), memory)
        .await
        .map_err(|e| wrong(e.to_string()))?;
    events::memory_policy_set();
    Ok(answer::json(&json!({
        "obeyed": true,
        "needs_reload": needs_reload,
        "needs_restart": needs_restart,
        "policy": app.live.residency().policy(),
    })))
}

/// `POST /admin/memory/renew`: every slot's sessions are opened anew, one after
/// the other, while the others speak.
pub async fn renew(call: Call) -> Result<Answer, Fault> {
    let renewed = renew_all(call.app).await?;
    Ok(answer::json(&json!({ "slots_renewed": renewed })))
}

async fn renew_all(app: Arc<App>) -> Result<usize, Fault> {
    let work = move || app.live.residency().renew();
    let renewed = tokio::task::spawn_blocking(work).await;
    renewed
        .map_err(|lost| pipeline::Error::Lost(lost.to_string()))?
        .map_err(|e| Fault::operator(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))
}

/// Watches the marks and renews when it is time, beside the server until it
/// stops.
pub async fn tend(app: Arc<App>) {
    let mut ticks = tokio::time::interval(EVERY);
    let mut renewed_at = (Instant::now(), 0);
    loop {
        ticks.tick().await;
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
