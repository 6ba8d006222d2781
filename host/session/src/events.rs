//! What is worth telling about sessions: one event, one function.

#![expect(
    clippy::disallowed_macros,
    reason = "the one file of this crate that names metrics"
)]

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

/// Registers names, units and meanings with whatever recorder is installed.
pub fn describe() {
    describe_histogram!(
        "koemasu_session_run_seconds",
        Unit::Seconds,
        "Time inside one ONNX Runtime run, by kind of graph."
    );
    describe_histogram!(
        "koemasu_session_open_seconds",
        Unit::Seconds,
        "Time to open one session, by kind of graph."
    );
    describe_gauge!(
        "koemasu_sessions_open",
        "Sessions that exist now, by kind of graph."
    );
    describe_counter!(
        "koemasu_leases_discarded_total",
        "Sessions dropped because their run did not end well."
    );
    describe_histogram!(
        "koemasu_session_wait_seconds",
        Unit::Seconds,
        "Time a run waited for a session, by kind of graph."
    );
    describe_counter!(
        "koemasu_memory_trace_lines_lost_total",
        "Lines of the memory trace that were not written."
    );
}

pub(crate) fn ran(kind: &'static str, took: Duration) {
    histogram!("koemasu_session_run_seconds", "kind" => kind).record(took);
}

/// Counts a session as open for as long as it is kept beside it, so that no
/// way out of a constructor leaves the gauge too high.
pub(crate) struct OpenSession {
    kind: &'static str,
}

pub(crate) fn opened(kind: &'static str, name: &str, took: Duration) -> OpenSession {
    gauge!("koemasu_sessions_open", "kind" => kind).increment(1.0);
    histogram!("koemasu_session_open_seconds", "kind" => kind).record(took);
    tracing::debug!(kind, name, ?took, "session opened");
    OpenSession { kind }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        gauge!("koemasu_sessions_open", "kind" => self.kind).decrement(1.0);
    }
}

pub(crate) fn waited(kind: &'static str, took: Duration) {
    histogram!("koemasu_session_wait_seconds", "kind" => kind).record(took);
}

pub(crate) fn discarded(kind: &'static str, name: &str) {
    counter!("koemasu_leases_discarded_total", "kind" => kind).increment(1);
    tracing::warn!(kind, name, "session discarded: its run did not end well");
}

pub(crate) fn device_chosen(device: &dyn std::fmt::Debug, why: &str) {
    tracing::info!(?device, why, "device chosen");
}

pub(crate) fn trace_line_lost(first: bool, why: &dyn std::fmt::Display) {
    counter!("koemasu_memory_trace_lines_lost_total").increment(1);
    if first {
        tracing::warn!(%why, "a line of the memory trace is lost; more are only counted");
    }
}
