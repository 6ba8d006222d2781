//! What is worth telling about plugins: one event, one function.

#![expect(
    clippy::disallowed_macros,
    reason = "the one file of this crate that names metrics"
)]

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

/// Registers names, units and meanings with whatever recorder is installed.
pub fn describe() {
    describe_histogram!(
        "koemasu_plugin_call_seconds",
        Unit::Seconds,
        "Time of one plugin call, new instance included."
    );
    describe_counter!(
        "koemasu_plugin_errors_total",
        "Plugin calls without a usable answer, by plugin and kind."
    );
}

pub(crate) fn called(plugin: &str, took: Duration) {
    histogram!("koemasu_plugin_call_seconds", "plugin" => plugin.to_owned()).record(took);
}

pub(crate) fn failed(plugin: &str, kind: &'static str) {
    counter!("koemasu_plugin_errors_total", "plugin" => plugin.to_owned(), "kind" => kind)
        .increment(1);
}

pub(crate) fn loaded(plugin: &str, sha256: &str, took: Duration) {
    tracing::info!(plugin, sha256, ?took, "plugin loaded");
}

pub(crate) fn no_pool(cause: &dyn std::fmt::Display) {
    tracing::warn!(%cause, "no pool of plugin instances; they are made on demand, with little address space");
}

pub(crate) fn no_cache(folder: &std::path::Path, cause: &str) {
    tracing::warn!(folder = %folder.display(), cause, "compiled plugins are not kept: each start compiles them again");
}

/// A line of the plugin's own.
pub(crate) fn said(plugin: &str, level: tracing::Level, message: &str) {
    // The level of an event is fixed where it stands.
    match level {
        tracing::Level::ERROR => tracing::error!(plugin, "{message}"),
        tracing::Level::WARN => tracing::warn!(plugin, "{message}"),
        tracing::Level::INFO => tracing::info!(plugin, "{message}"),
        _ => tracing::debug!(plugin, "{message}"),
    }
}
