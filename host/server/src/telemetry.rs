//! Log lines and the Prometheus recorder, set up once for the process.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::line::{self, Shown};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For what collects logs: an object a line.
    Json,
}

/// Writes log lines to standard error. Filtered by KOEMASU_LOG, without it by
/// `usual`. A second call changes nothing.
pub fn log(format: Format, usual: &str) {
    let filter = EnvFilter::try_from_env("KOEMASU_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    // No colours from there: they could not be told from a caller's.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        // It would say so on standard error, and end a thread if it cannot.
        .log_internal_errors(false)
        .with_writer(line::errors);
    let coloured = line::is_terminal();
    // Only the first of several servers in one process can install it.
    let _ = match format {
        Format::Text => {
            let line = |format| OneLine { format, coloured };
            lines.map_event_format(line).try_init()
        }
        Format::Json => {
            let line = |format| OneLine {
                format,
                coloured: false,
            };
            lines.json().map_event_format(line).try_init()
        }
    };
    panics();
}

/// What should never be said is said as everything else is.
fn panics() {
    std::panic::set_hook(Box::new(|panic| {
        let trace = Backtrace::capture();
        line::tell(format_args!("koemasu: {panic}"));
        if trace.status() == BacktraceStatus::Captured {
            trace.to_string().lines().for_each(line::tell);
        }
    }));
}

/// Writes an event so that it ends where we end it, whatever is told in it.
struct OneLine<F> {
    format: F,
    coloured: bool,
}

impl<S, N, F> FormatEvent<S, N> for OneLine<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.format
            .format_event(context, Writer::new(&mut line), event)?;
        let line = line.strip_suffix('\n').unwrap_or(&line);
        let line = Shown(line).to_string();
        if !self.coloured {
            return writeln!(writer, "{line}");
        }
        let level = event.metadata().level();
        let coloured = format!("\u{1b}[{}m{level}\u{1b}[0m", colour(*level));
        // It is the first word after the time, which has no letters like it.
        writeln!(writer, "{}", line.replacen(level.as_str(), &coloured, 1))
    }
}

fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    }
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
