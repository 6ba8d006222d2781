//! Log lines and the Prometheus recorder, set up once for the process.

use std::io::IsTerminal;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::args::{Command, LogFormat};

/// Writes log lines to standard error. Filtered by KOEMASU_LOG; without it a
/// server tells what it does and a command only what goes wrong. A second call
/// changes nothing.
pub fn log(format: LogFormat, command: &Command) {
    let usual = match command {
        Command::Serve(_) => "info",
        Command::Say(_)
        | Command::Check(_)
        | Command::G2p(_)
        | Command::Key(_)
        | Command::Examine
        | Command::Openapi
        | Command::Policy(_) => "warn",
        // A voice that goes is what it is about, not what goes wrong.
        Command::Soak(_) => "error",
    };
    let filter = EnvFilter::try_from_env("KOEMASU_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // Only the first of several servers in one process can install it.
    let _ = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
}

/// From a cached sentence in milliseconds to a long text on a slow machine.
const SECONDS: &[f64] = &[
    0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// The process's metrics, ready to be rendered.
pub fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let builder = PrometheusBuilder::new()
                .set_buckets(SECONDS)
                .expect("the list of bounds is not empty");
            let recorder = builder.build_recorder();
            let handle = recorder.handle();
            // Somebody else's recorder in this process: ours stays empty.
            let _ = metrics::set_global_recorder(recorder);
            pipeline::describe_metrics();
            session::describe_metrics();
            plugin::describe_metrics();
            crate::events::describe();
            handle
        })
        .clone()
}
