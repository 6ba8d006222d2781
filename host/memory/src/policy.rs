//! `[memory]` in koemasu.toml: plain data, checked.

mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::de::Deserialize;
use serde::ser::Serialize;

use crate::units::{Bytes, Span};

/// How memory is shared out and who has to go when it runs short.
///
/// `P` is how the caller refers to a plugin that proposes evictions; this crate
/// knows no plugins, and [`split`](Self::split) takes the reference out.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(
    deny_unknown_fields,
    default,
    bound(deserialize = "P: Deserialize<'de>", serialize = "P: Serialize")
)]
pub struct MemoryPolicy<P = NoPlugin> {
    /// Who owns the tensors' memory. Bites at start.
    pub mode: Mode,
    /// All memory for tensors. Auto is found at start.
    pub budget: Amount,
    /// The most that a session of a BERT may take of it. Auto: as much as it
    /// needs.
    pub bert: Amount,
    /// Of the budget, for what a run computes with; the rest is for voices.
    pub workspace: Amount,
    /// Of the budget, for the one allocation that goes over, so that it ends in
    /// an error and not in a crash.
    pub reserve: Amount,
    /// Voices that can run without a copy, for each template.
    pub slots: usize,
    /// Rearranged weights: faster on a CPU, but a session for each voice.
    pub prepack: bool,
    /// Write to every page at start, so that the memory is there when it is
    /// needed. Bites at start.
    pub touch: bool,
    /// Decoder frames of one window; 0 decodes a sentence as a whole.
    pub window: u32,
    /// Voices that are not on the device wait as this says.
    pub tiers: Tiers,
    /// Voices give way to each other as this says.
    pub eviction: Eviction<P>,
    /// These shares of the device start evictions that nobody waits for.
    pub watermarks: Watermarks,
    /// A run waits for its workspace as this says.
    pub permits: Permits,
    /// Slots are rebuilt as this says; by default never.
    pub renew: Renew,
    /// Decisions are written down as this says; by default not.
    pub trace: Trace,
}

/// Who owns the memory of the tensors. The two arena modes are kept for
/// comparison.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One allocation of ours holds every tensor.
    Slab,
    /// One growing arena of ONNX Runtime's, shared by all sessions.
    SharedArena,
    /// An arena for each session.
    Arena,
}

/// Bytes, or `"auto"`: as measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// The server measures and decides.
    Auto,
    /// The operator has said how many.
    Of(Bytes),
}

/// `[memory.tiers]`: where voices wait that have no place on the device.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tiers {
    /// Weights kept in host memory below the device.
    pub host: Bytes,
    /// How weights wait, from the next load on.
    pub precision: Precision,
}

/// Of weights that wait for a slot; in it they are what the graph has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As in a slot.
    #[default]
    Full,
    /// Floats as halves: twice the voices in the same bytes. On a processor.
    Half,
}

/// `[memory.eviction]`: who goes first.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(
    deny_unknown_fields,
    default,
    bound(deserialize = "P: Deserialize<'de>", serialize = "P: Serialize")
)]
pub struct Eviction<P = NoPlugin> {
    /// The host's own order, which decides alone where no plugin does.
    pub order: Order,
    /// A voice used within this time goes only under pressure.
    pub keep_idle: Span,
    /// A voice loaded within this time goes only if nothing else can.
    pub churn_guard: Span,
    /// Voices that never go.
    pub pins: BTreeSet<String>,
    /// A voice of higher priority goes after all of lower; 0 if not named.
    pub priorities: BTreeMap<String, i32>,
    /// A policy that is asked before `order` decides.
    pub plugin: Option<P>,
}

/// Which of two voices of equal priority goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Longest unused first.
    Lru,
    /// Least often used first, recent uses counting for more.
    Lfu,
    /// Cheapest to miss first: uses, recent ones counting for more, times
    /// seconds of reload, by bytes.
    Cost,
}

/// `[memory.watermarks]`: parts of the device in use, by whomever.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Watermarks {
    /// Above it the log says so and voices past `keep_idle` go.
    pub warn: f64,
    /// Above it voices go until it is reached again.
    pub relieve: f64,
}

/// `[memory.permits]`: what a request must be granted before it runs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Permits {
    /// How long a run waits for workspace before the caller is told to come
    /// back.
    pub wait: Span,
    /// The most workspace one request may take. Auto: all there is.
    pub request_max: Amount,
    /// What a run of this many padded tokens is known to need. Others are
    /// measured.
    #[serde(deserialize_with = "written::by_tokens")]
    pub by_tokens: BTreeMap<u32, Bytes>,
}

/// `[memory.renew]`: rebuild the slots one after the other, as a precaution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Renew {
    /// After so many runs of a slot; 0 never.
    pub requests: u64,
    /// After so long; 0 never.
    pub every: Span,
}

/// `[memory.trace]`: decisions and uses as JSON lines, for `koemasu policy
/// replay`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trace {
    /// None writes nothing.
    pub file: Option<std::path::PathBuf>,
    /// Of the file and the one before it together.
    pub bytes_max: Bytes,
}

/// No value of this exists, so that a policy without plugins cannot name one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlugin {}

impl<P> Default for MemoryPolicy<P> {
    fn default() -> Self {
        Self {
            // The only one of the three that does not grow with use.
            mode: Mode::Slab,
            budget: Amount::Auto,
            bert: Amount::Auto,
            workspace: Amount::Auto,
            reserve: Amount::Auto,
            // One speaks while the next is copied in.
            slots: 2,
            // 13 to 18 % of a CPU run, for a copy of the weights each voice.
            prepack: false,
            // Start would take a second for every few GiB.
            touch: false,
            // 1.5 s of sound: the decoder's peak no longer grows with the text.
            window: 128,
            tiers: Tiers::default(),
            eviction: Eviction::default(),
            watermarks: Watermarks::default(),
            permits: Permits::default(),
            renew: Renew::default(),
            trace: Trace::default(),
        }
    }
}

impl Default for Tiers {
    fn default() -> Self {
        // The system's file cache holds the same bytes already.
        Self {
            host: Bytes(0),
            // Nothing is lost that nobody asked to lose.
            precision: Precision::Full,
        }
    }
}

impl<P> Default for Eviction<P> {
    fn default() -> Self {
        Self {
            // What everybody expects; BENCHMARKS.md compares it.
            order: Order::Lru,
            keep_idle: Span(Duration::ZERO),
            // A load takes about as long: two voices that take turns must not
            // throw each other out on every request.
            churn_guard: Span::seconds(2),
            pins: BTreeSet::new(),
            priorities: BTreeMap::new(),
            plugin: None,
        }
    }
}

impl Default for Watermarks {
    fn default() -> Self {
        // What operators of such servers watch for by hand.
        Self {
            warn: 0.90,
            relieve: 0.95,
        }
    }
}

impl Default for Permits {
    fn default() -> Self {
        Self {
            // A few sentences: longer, and the caller's retry is as good.
            wait: Span::seconds(10),
            request_max: Amount::Auto,
            by_tokens: BTreeMap::new(),
        }
    }
}

impl Default for Renew {
    fn default() -> Self {
        // Nothing grows that renewal would bring back.
        Self {
            requests: 0,
            every: Span(Duration::ZERO),
        }
    }
}

impl Default for Trace {
    fn default() -> Self {
        // A use is about 100 bytes, a decision over 40 voices 6 KiB: days.
        Self {
            file: None,
            bytes_max: Bytes::mebibytes(64),
        }
    }
}

/// More than anybody has memory for.
const SLOTS_MAX: usize = 256;
/// Twelve minutes of sound: longer than any sentence.
const WINDOW_MAX: u32 = 65_536;

/// Why a policy cannot be obeyed. The operator can act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct PolicyError {
    /// In the table, parts between dots.
    pub key: String,
    /// A sentence for the operator: what is wrong, and what would be right.
    pub what: String,
}

impl PolicyError {
    fn new(key: impl Into<String>, what: String) -> Self {
        Self {
            key: key.into(),
            what,
        }
    }
}

impl<P> MemoryPolicy<P> {
    /// What no type can say.
    pub fn check(&self) -> Result<(), PolicyError> {
        let wrong = |key: &str, what: String| Err(PolicyError::new(key, what));
        let Watermarks { warn, relieve } = self.watermarks;
        if !(0.0 < warn && warn <= relieve && relieve <= 1.0) {
            return wrong(
                "watermarks.warn",
                format!(
                    "`watermarks.warn` is {warn} and `watermarks.relieve` {relieve}; right is 0 < warn <= relieve <= 1, such as 0.90 and 0.95"
                ),
            );
        }
        if self.slots == 0 {
            return wrong(
                "slots",
                "`slots` is at least 1: a voice speaks from a slot".to_owned(),
            );
        }
        if self.slots > SLOTS_MAX {
            return wrong(
                "slots",
                format!(
                    "`slots` is {}; it is {SLOTS_MAX} at most: each is a session for every template",
                    self.slots
                ),
            );
        }
        if self.window > WINDOW_MAX {
            return wrong(
                "window",
                format!(
                    "`window` is {}; it is {WINDOW_MAX} at most, or 0 for a sentence as a whole",
                    self.window
                ),
            );
        }
        if self.budget == Amount::Of(Bytes(0)) {
            return wrong(
                "budget",
                "`budget` is 0: give bytes, such as \"6GiB\", or \"auto\"".to_owned(),
            );
        }
        self.check_sums()?;
        self.check_permits()?;
        for (key, empty) in [
            ("eviction.pins", self.eviction.pins.contains("")),
            (
                "eviction.priorities",
                self.eviction.priorities.contains_key(""),
            ),
        ] {
            if empty {
                return wrong(key, "`eviction` names a voice without a name".to_owned());
            }
        }
        if self.trace.file.is_some() && self.trace.bytes_max < TRACE_BYTES_MIN {
            return wrong(
                "trace.bytes_max",
                format!(
                    "`trace.bytes_max` is {}; it is at least {TRACE_BYTES_MIN}, so that a decision fits",
                    self.trace.bytes_max
                ),
            );
        }
        Ok(())
    }

    /// Known parts must leave something of a known budget to the voices.
    fn check_sums(&self) -> Result<(), PolicyError> {
        let Amount::Of(Bytes(budget)) = self.budget else {
            return Ok(());
        };
        let parts = [
            ("bert", self.bert),
            ("workspace", self.workspace),
            ("reserve", self.reserve),
        ];
        let known: Vec<_> = parts
            .into_iter()
            .filter_map(|(name, amount)| Some((name, amount.bytes()?)))
            .collect();
        let sum = known
            .iter()
            .fold(0u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        if sum < budget {
            return Ok(());
        }
        let named: Vec<_> = known
            .iter()
            .map(|(name, bytes)| format!("`{name}` {}", Bytes(*bytes)))
            .collect();
        Err(PolicyError::new(
            "budget",
            format!(
                "{} leave nothing of `budget` {} to the voices; raise `budget` or lower one of them",
                named.join(" and "),
                Bytes(budget)
            ),
        ))
    }

    fn check_permits(&self) -> Result<(), PolicyError> {
        let permits = &self.permits;
        let bound = match (permits.request_max.bytes(), self.workspace.bytes()) {
            (Some(request), Some(workspace)) if request > workspace => {
                return Err(PolicyError::new(
                    "permits.request_max",
                    format!(
                        "`permits.request_max` is {}, more than `workspace` {}",
                        Bytes(request),
                        Bytes(workspace)
                    ),
                ));
            }
            (Some(request), _) => Some(("permits.request_max", request)),
            (None, Some(workspace)) => Some(("workspace", workspace)),
            (None, None) => None,
        };
        for (tokens, bytes) in &permits.by_tokens {
            if let Some((name, most)) = bound
                && bytes.0 > most
            {
                return Err(PolicyError::new(
                    format!("permits.by_tokens.{tokens}"),
                    format!(
                        "`permits.by_tokens.{tokens}` is {bytes}, more than `{name}` {}: no such run would ever start",
                        Bytes(most)
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The policy, and the plugin it names.
    pub fn split(self) -> (MemoryPolicy, Option<P>) {
        self.exchange(None)
    }

    /// The policy with this plugin, and the one it named before.
    pub fn exchange<Q>(self, plugin: Option<Q>) -> (MemoryPolicy<Q>, Option<P>) {
        let eviction = Eviction {
            order: self.eviction.order,
            keep_idle: self.eviction.keep_idle,
            churn_guard: self.eviction.churn_guard,
            pins: self.eviction.pins,
            priorities: self.eviction.priorities,
            plugin,
        };
        let policy = MemoryPolicy {
            mode: self.mode,
            budget: self.budget,
            bert: self.bert,
            workspace: self.workspace,
            reserve: self.reserve,
            slots: self.slots,
            prepack: self.prepack,
            touch: self.touch,
            window: self.window,
            tiers: self.tiers,
            eviction,
            watermarks: self.watermarks,
            permits: self.permits,
            renew: self.renew,
            trace: self.trace,
        };
        (policy, self.eviction.plugin)
    }

    /// The fields in which `next` differs and which bite at start only: for them
    /// a restart is needed, everything else holds from the next decision on.
    pub fn needs_restart<Q>(&self, next: &MemoryPolicy<Q>) -> Vec<&'static str> {
        let changed = [
            ("mode", self.mode != next.mode),
            ("touch", self.touch != next.touch),
        ];
        let names = changed.into_iter().filter(|(_, changed)| *changed);
        names.map(|(name, _)| name).collect()
    }

    /// The fields in which `next` differs and which shape models as they are
    /// opened: they hold for what a reload opens anew.
    pub fn needs_reload<Q>(&self, next: &MemoryPolicy<Q>) -> Vec<&'static str> {
        let changed = [
            ("bert", self.bert != next.bert),
            ("slots", self.slots != next.slots),
            ("prepack", self.prepack != next.prepack),
            ("window", self.window != next.window),
        ];
        let names = changed.into_iter().filter(|(_, changed)| *changed);
        names.map(|(name, _)| name).collect()
    }

    /// A pin names a voice exactly; there are no patterns.
    pub fn is_pinned(&self, voice: &str) -> bool {
        self.eviction.pins.contains(voice)
    }

    /// Higher stays longer; a voice that is not named has 0.
    pub fn priority(&self, voice: &str) -> i32 {
        self.eviction.priorities.get(voice).copied().unwrap_or(0)
    }
}

/// Less, and the files would turn over within a few decisions.
const TRACE_BYTES_MIN: Bytes = Bytes(64 << 10);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> MemoryPolicy {
        toml::from_str(text).unwrap_or_else(|e| panic!("{e}"))
    }

    fn refused(text: &str) -> String {
        read(text).check().expect_err("refused").to_string()
    }

    #[test]
    fn the_default_is_a_policy_and_an_empty_table_is_the_default() {
        assert_eq!(MemoryPolicy::<NoPlugin>::default().check(), Ok(()));
        assert_eq!(read(""), MemoryPolicy::default());
    }

    #[test]
    fn every_field_can_be_written() {
        let policy = read(
            r#"
            mode = "shared_arena"
            budget = "6GiB"
            bert = "1300MiB"
            workspace = "1GiB"
            reserve = "auto"
            slots = 3
            prepack = true
            touch = true
            window = 0
            tiers = { host = "8GiB" }
            [eviction]
            order = "cost"
            keep_idle = "5min"
            churn_guard = "0s"
            pins = ["haru"]
            priorities = { haru = 10, natsu = -1 }
            [watermarks]
            warn = 0.8
            relieve = 0.8
            [permits]
            wait = "2s"
            request_max = "500MiB"
            by_tokens = { 256 = "80MiB", 512 = "300MiB" }
            [renew]
            requests = 100000
            every = "12h"
            [trace]
            file = "memory.jsonl"
            bytes_max = "1MiB"
            "#,
        );
        assert_eq!(policy.check(), Ok(()));
        assert_eq!(policy.budget, Amount::Of(Bytes(6 << 30)));
        assert_eq!(policy.permits.by_tokens[&512], Bytes::mebibytes(300));
        assert!(policy.is_pinned("haru") && !policy.is_pinned("natsu"));
        assert_eq!((policy.priority("natsu"), policy.priority("aki")), (-1, 0));

        let written = serde_json::to_value(&policy).expect("JSON");
        assert_eq!(
            serde_json::from_value::<MemoryPolicy>(written).ok(),
            Some(policy)
        );
    }

    #[test]
    fn what_cannot_be_obeyed_is_refused_with_what_would_be_right() {
        let error = refused("watermarks = { warn = 0.95, relieve = 0.9 }");
        assert!(error.contains("0 < warn <= relieve <= 1"), "{error}");
        assert!(refused("watermarks = { warn = 0.0 }").contains("`watermarks.warn` is 0"));
        assert!(refused("slots = 0").contains("at least 1"));
        assert_eq!(
            refused("budget = \"2GiB\"\nbert = \"1500MiB\"\nworkspace = \"600MiB\""),
            "`bert` 1.5GiB and `workspace` 600MiB leave nothing of `budget` 2GiB to the voices; raise `budget` or lower one of them"
        );
        let error = refused("workspace = \"64MiB\"\npermits = { by_tokens = { 256 = \"80MiB\" } }");
        assert_eq!(
            error,
            "`permits.by_tokens.256` is 80MiB, more than `workspace` 64MiB: no such run would ever start"
        );
        assert!(
            refused("trace = { file = \"t\", bytes_max = \"1KiB\" }").contains("at least 64KiB")
        );
    }

    #[test]
    fn a_policy_of_this_crate_names_no_plugin() {
        let error = toml::from_str::<MemoryPolicy>("eviction = { plugin = \"evict-cost\" }");
        assert!(error.is_err());
        let named: MemoryPolicy<String> =
            toml::from_str("slots = 5\neviction = { plugin = \"evict-cost\" }").expect("named");
        let (policy, plugin) = named.split();
        assert_eq!((policy.slots, plugin.as_deref()), (5, Some("evict-cost")));
    }

    #[test]
    fn only_what_the_process_begins_with_needs_a_restart() {
        let policy = MemoryPolicy::<NoPlugin>::default();
        let next =
            read("budget = \"6GiB\"\ntouch = true\nslots = 4\neviction = { order = \"lfu\" }");
        assert_eq!(policy.needs_restart(&next), ["touch"]);
        assert_eq!(policy.needs_reload(&next), ["slots"]);
        assert!(policy.needs_restart(&policy.clone()).is_empty());
    }
}
