//! What a plugin may ask of the host: its settings, and the log.

use std::sync::Arc;

use serde_json::Value;
use wasmtime::{StoreLimits, StoreLimitsBuilder};

use crate::bindings::{config, log, types};
use crate::events;
use crate::lexicon::Questions;
use crate::limits::Limits;

const LOG_LINES_MAX: usize = 64;
const LOG_LINE_BYTES_MAX: usize = 1 << 10;

/// The state of one instance.
pub(crate) struct Host {
    plugin: Arc<str>,
    settings: Arc<Value>,
    lines: usize,
    pub(crate) questions: Questions,
    pub(crate) limits: StoreLimits,
}

impl Host {
    pub(crate) fn new(plugin: Arc<str>, settings: Arc<Value>, limits: &Limits) -> Self {
        let questions = Questions::new(limits.input_bytes.max(limits.output_bytes));
        let limits = StoreLimitsBuilder::new()
            .memory_size(limits.memory_bytes)
            .memories(1)
            .tables(4)
            .table_elements(10_000)
            .instances(8)
            // A guest seldom handles a refused growth; a trap names the cause.
            .trap_on_grow_failure(true)
            .build();
        Self {
            plugin,
            settings,
            lines: 0,
            questions,
            limits,
        }
    }
}

impl Host {
    /// A call begins: the log has room again.
    pub(crate) fn begin(&mut self) {
        self.lines = 0;
    }
}

impl types::Host for Host {}

impl log::Host for Host {
    fn emit(&mut self, level: log::Level, message: String) {
        self.lines += 1;
        if self.lines > LOG_LINES_MAX {
            return;
        }
        let end = message.floor_char_boundary(LOG_LINE_BYTES_MAX);
        let level = match level {
            log::Level::Debug => tracing::Level::DEBUG,
            log::Level::Info => tracing::Level::INFO,
            log::Level::Warn => tracing::Level::WARN,
            log::Level::Error => tracing::Level::ERROR,
        };
        // A plugin must not be able to write log lines that look like ours.
        let line = message[..end].replace(char::is_control, " ");
        events::said(&self.plugin, level, &line);
    }
}

impl config::Host for Host {
    fn get(&mut self, path: String) -> Option<config::Value> {
        let mut value = &*self.settings;
        for key in path.split('.') {
            value = value.get(key)?;
        }
        to_guest(value)
    }

    fn json(&mut self) -> String {
        self.settings.to_string()
    }
}

/// Objects and mixed lists are only in `json`.
fn to_guest(value: &Value) -> Option<config::Value> {
    match value {
        Value::Bool(flag) => Some(config::Value::Flag(*flag)),
        Value::Number(number) => number
            .as_i64()
            .map(config::Value::Int)
            .or_else(|| number.as_f64().map(config::Value::Num)),
        Value::String(text) => Some(config::Value::Text(text.clone())),
        Value::Array(items) => {
            let ints: Option<Vec<_>> = items.iter().map(Value::as_i64).collect();
            let text = |item: &Value| item.as_str().map(str::to_owned);
            let texts = || items.iter().map(text).collect::<Option<Vec<_>>>();
            ints.map(config::Value::Ints)
                .or_else(|| texts().map(config::Value::Texts))
        }
        Value::Null | Value::Object(_) => None,
    }
}
