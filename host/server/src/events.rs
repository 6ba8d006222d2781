//! What is worth telling about the server: one event, one function, so that
//! the log line and the number never part.

#![expect(
    clippy::disallowed_macros,
    reason = "the one file of this crate that names metrics"
)]

use std::num::NonZeroU64;
use std::time::Duration;

use metrics::{counter, gauge, histogram};
use pipeline::{Published, Spoken};

use crate::http::fault::{Fault, Who};
use crate::reloads::Cause;

/// Registers names, units and meanings with whatever recorder is installed.
pub(crate) fn describe() {
    session::describe_metrics! {
        histogram "koemasu_http_request_seconds" Seconds "Time from head to answer, by route and status.";
        gauge "koemasu_requests_in_flight" Count "Speech requests taken in and not yet answered.";
        counter "koemasu_requests_refused_total" Count "Speech requests told to come back later.";
        gauge "koemasu_backlog_seconds" Seconds "Until the work that was taken in is done, as far as is known.";
        histogram "koemasu_audio_seconds" Seconds "Length of the sound of one answer.";
        counter "koemasu_warnings_total" Count "Characters and stages dropped, guessed or skipped.";
        counter "koemasu_memory_policies_set_total" Count "Memory policies that were put over HTTP and are obeyed.";
        counter "koemasu_reloads_total" Count "Reloads by outcome and cause.";
        gauge "koemasu_reload_swap_seconds" Seconds "Time of the last pointer swap.";
        gauge "koemasu_connections" Count "Open connections.";
        counter "koemasu_connections_refused_total" Count "Connections for which there was no place.";
    }
}

pub(crate) fn answered(route: &'static str, status: u16, took: Duration, request_id: &str) {
    histogram!("koemasu_http_request_seconds", "route" => route, "status" => status.to_string())
        .record(took);
    tracing::debug!(route, status, ?took, request_id, "answered");
}

/// Two voices have a style of the same number; the first by name has it.
pub(crate) fn style_taken(id: u32, by: &str, from: &str) {
    tracing::warn!(
        id,
        by,
        from,
        "two voices have a style of the same VOICEVOX id; the first by name keeps it"
    );
}

pub(crate) fn admitted() {
    gauge!("koemasu_requests_in_flight").increment(1.0);
}

pub(crate) fn backlog(wait: Duration) {
    gauge!("koemasu_backlog_seconds").set(wait.as_secs_f64());
}

pub(crate) fn left() {
    gauge!("koemasu_requests_in_flight").decrement(1.0);
}

pub(crate) fn refused(in_flight: usize) {
    counter!("koemasu_requests_refused_total").increment(1);
    tracing::warn!(
        in_flight,
        "request refused: as many as are allowed are in flight"
    );
}

pub(crate) fn spoken(
    spoken: &Spoken,
    voice: &str,
    generation: NonZeroU64,
    warnings: usize,
    request_id: &str,
) {
    histogram!("koemasu_audio_seconds").record(spoken.seconds);
    counter!("koemasu_warnings_total").increment(warnings as u64);
    tracing::info!(
        voice,
        request_id,
        generation = generation.get(),
        audio_seconds = spoken.seconds,
        first_sound = ?spoken.first_sound,
        took = ?spoken.took,
        warnings,
        "spoken"
    );
}

/// The sound did not reach its end. What its reader is told, is told there.
pub(crate) fn unspoken(error: &pipeline::Error, voice: &str, after: Duration, request_id: &str) {
    tracing::info!(voice, request_id, ?after, %error, "not spoken to the end");
}

pub(crate) fn failed(fault: &Fault, request_id: &str) {
    let (status, detail) = (fault.status.as_u16(), &fault.detail);
    // Only what somebody can mend at this server is an error of it.
    match fault.who {
        Who::Operator => tracing::error!(status, request_id, "{detail}"),
        Who::Caller | Who::Time => tracing::info!(status, request_id, "{detail}"),
    }
}

pub(crate) fn reloaded(cause: Cause, published: &Published) {
    counter!("koemasu_reloads_total", "outcome" => "published", "cause" => cause.name())
        .increment(1);
    gauge!("koemasu_reload_swap_seconds").set(published.swapped_in);
    tracing::info!(
        cause = cause.name(),
        generation = published.generation.get(),
        prepared_in = ?published.prepared_in,
        swapped_in = ?published.swapped_in,
        "reloaded"
    );
}

pub(crate) fn reload_failed(cause: Cause, error: &dyn std::fmt::Display) {
    counter!("koemasu_reloads_total", "outcome" => "refused", "cause" => cause.name()).increment(1);
    tracing::error!(cause = cause.name(), %error, "reload refused; the old generation serves on");
}

pub(crate) fn access_unread(error: &dyn std::fmt::Display) {
    tracing::error!(%error, "keys, the admin token and origins stay as they were: they cannot be read");
}

pub(crate) fn token_kept() {
    tracing::warn!(
        "there is no `admin.token` any more; the old one is asked for until the next start"
    );
}

pub(crate) fn nobody_may_ask() {
    tracing::warn!(
        "there is no key any more: nobody is let in; without keys the server is open from its next start on"
    );
}

pub(crate) fn revoked(keys: usize) {
    tracing::info!(
        keys,
        "keys taken away; what was under way for them has ended"
    );
}

pub(crate) fn restart_needed(what: &str) {
    tracing::warn!("{what} changed; it takes effect at the next start");
}

pub(crate) fn danger(danger: &str) {
    tracing::warn!("{danger}");
}

pub(crate) fn connected() {
    gauge!("koemasu_connections").increment(1.0);
}

pub(crate) fn disconnected() {
    gauge!("koemasu_connections").decrement(1.0);
}

/// Everybody who is connected is being served.
pub(crate) fn turned_away() {
    counter!("koemasu_connections_refused_total").increment(1);
    tracing::debug!("connection refused: all there may be are being served");
}

pub(crate) fn few_descriptors(connections: usize, wanted: usize) {
    tracing::warn!(
        connections,
        wanted,
        "fewer connections than `server.connections_max`: the limit of open files (`ulimit -n`) is low"
    );
}

/// Nobody waits for it, and it does not end by itself.
pub fn left_working() {
    tracing::warn!("blocking work was left where it was");
}

pub(crate) fn connection_failed(error: &dyn std::error::Error) {
    // A peer that goes away or talks nonsense is no fault of ours.
    tracing::debug!(%error, "connection ended badly");
}

pub(crate) fn draining(limit: Duration) {
    tracing::info!(?limit, "draining: no new connections, requests may finish");
}

pub(crate) fn drained(complete: bool) {
    if complete {
        tracing::info!("drained");
    } else {
        tracing::warn!("the drain limit passed; unfinished requests were cut off");
    }
}

pub(crate) fn watch_failed(error: &dyn std::fmt::Display) {
    tracing::warn!(%error, "files are not watched; reload by SIGHUP or POST /admin/reload");
}

pub(crate) fn memory_policy_set() {
    counter!("koemasu_memory_policies_set_total").increment(1);
    tracing::info!("another memory policy is obeyed; the next reload brings the file's again");
}

pub(crate) fn renewal_failed(why: &str) {
    tracing::error!(
        why,
        "slots could not be renewed; they are opened anew at their next run"
    );
}
