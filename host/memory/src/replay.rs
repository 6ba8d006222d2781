//! A trace's uses, once more under another policy. Simulated: no model is
//! opened, and time is the trace's own.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::Serialize;

use super::census::{Census, Item, Level, Pressure, Tier, Zone};
use super::decide::{Decision, Proposer, decide};
use super::plan::Step;
use super::policy::MemoryPolicy;
use super::trace::{Line, Use};
use super::usage::Usage;

/// How the policy did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Uses that were replayed, refused ones included.
    pub uses: u64,
    /// The voice was on the device.
    pub hits: u64,
    /// It came from the host tier.
    pub host_hits: u64,
    /// It came from its file.
    pub loads: u64,
    /// No room could be made for it.
    pub refused: u64,
    /// Voices that lost their place on the device.
    pub evictions: u64,
    /// Copied or read to the device.
    pub bytes_loaded: u64,
    /// What all loads took together.
    pub load_us: u64,
    /// Times the proposer was asked, and gave no answer.
    pub asked: u64,
    /// Of `asked`, how often it failed or came too late.
    pub failures: u64,
    /// Proposed actions that were not taken.
    pub actions_refused: u64,
}

impl Report {
    /// The share of uses that found their voice on the device, from 0 to 1; 0
    /// for a trace without uses.
    pub fn hit_rate(&self) -> f64 {
        self.hits as f64 / self.uses.max(1) as f64
    }

    /// All waiting for copies and files together, as simulated.
    pub fn load_time(&self) -> Duration {
        Duration::from_micros(self.load_us)
    }
}

/// A trace, sorted by kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// Bytes for voices on the device, as last said.
    pub device: Option<u64>,
    /// They are by time, on one clock that goes on over restarts of the server.
    pub uses: Vec<Use>,
    /// They are in the order they were written.
    pub decisions: Vec<Decision>,
    /// The policy that held last, and its plugin's name.
    pub policy: Option<(MemoryPolicy, Option<String>)>,
}

impl Trace {
    /// Lines must come in the order they were written: a use whose time is
    /// before the last one's begins a new run of the server.
    pub fn of(lines: impl IntoIterator<Item = Line>) -> Self {
        let mut trace = Self::default();
        // Each start of a server begins its clock anew; time goes on here.
        let (mut before, mut last) = (0u64, 0u64);
        for line in lines {
            match line {
                Line::Start { device, .. } => trace.device = Some(device),
                Line::Policy { policy, plugin, .. } => trace.policy = Some((*policy, plugin)),
                Line::Use(mut used) => {
                    if used.at_us < last {
                        before = before.saturating_add(last);
                    }
                    last = used.at_us;
                    used.at_us = used.at_us.saturating_add(before);
                    trace.uses.push(used);
                }
                Line::Decision { decision, .. } => trace.decisions.push(*decision),
            }
        }
        trace
    }

    /// Voices, and the bytes of all of them together.
    pub fn voices(&self) -> (usize, u64) {
        let uses = self.uses.iter();
        let sizes: HashMap<_, _> = uses.map(|used| (&used.voice, used.bytes)).collect();
        (sizes.len(), sizes.values().sum())
    }
}

/// How many of a trace's decisions come out the same once more: under the
/// policy they were made by, all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// How many were decided once more.
    pub decisions: u64,
    /// Of them, how many came to the same steps in the same order.
    pub alike: u64,
}

/// Decides each one again on its own census and pressure. A proposer is asked
/// anew, so that it may answer otherwise than it did.
pub fn agreement(
    policy: &MemoryPolicy,
    proposer: Option<&Proposer>,
    decisions: &[Decision],
) -> Agreement {
    let again = |decision: &&Decision| {
        let census = || decision.census.clone();
        decide(policy, proposer, census, &decision.pressure).steps == decision.steps
    };
    Agreement {
        decisions: decisions.len() as u64,
        alike: decisions.iter().filter(again).count() as u64,
    }
}

/// From host memory to the device: PCIe 3.0 with sixteen lanes at its usual
/// half. A copy within one memory is faster.
const HOST_BYTES_PER_MICROSECOND: u64 = 6_000;

/// Serves `uses` in order with `device` bytes for voices.
pub fn replay(
    policy: &MemoryPolicy,
    proposer: Option<&Proposer>,
    device: u64,
    uses: &[Use],
) -> Report {
    let mut world = World {
        policy,
        proposer,
        device,
        voices: Vec::new(),
        ids: HashMap::new(),
        revision: 0,
        report: Report::default(),
    };
    for used in uses {
        world.serve(used);
    }
    world.report
}

/// The yardstick: on each miss those go whose next use is furthest away. Best
/// possible for voices of one size (Bélády 1966), near it for others; no policy
/// can know it.
pub fn foresight(device: u64, uses: &[Use]) -> Report {
    let next = next_uses(uses);
    let mut report = Report::default();
    // By the index of the next use, the furthest last; those never used again
    // lie beyond all of them, each at a place of its own.
    let mut resident: BTreeMap<usize, u64> = BTreeMap::new();
    let mut used_bytes = 0u64;
    for (index, used) in uses.iter().enumerate() {
        report.uses += 1;
        if let Some(bytes) = resident.remove(&index) {
            report.hits += 1;
            resident.insert(next[index], bytes);
            continue;
        }
        if used.bytes > device {
            report.refused += 1;
            continue;
        }
        while used_bytes.saturating_add(used.bytes) > device
            && let Some((_, bytes)) = resident.pop_last()
        {
            used_bytes -= bytes;
            report.evictions += 1;
        }
        used_bytes += used.bytes;
        resident.insert(next[index], used.bytes);
        report.loads += 1;
        report.bytes_loaded += used.bytes;
        report.load_us += used.reload_us;
    }
    report
}

fn next_uses(uses: &[Use]) -> Vec<usize> {
    let mut next: Vec<_> = (uses.len()..2 * uses.len()).collect();
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (index, used) in uses.iter().enumerate().rev() {
        if let Some(later) = seen.insert(&used.voice, index) {
            next[index] = later;
        }
    }
    next
}

struct World<'a> {
    policy: &'a MemoryPolicy,
    proposer: Option<&'a Proposer>,
    device: u64,
    voices: Vec<Voice>,
    ids: HashMap<String, usize>,
    revision: u64,
    report: Report,
}

struct Voice {
    name: String,
    tier: Tier,
    bytes: u64,
    reload_us: u64,
    usage: Usage,
}

impl World<'_> {
    fn serve(&mut self, used: &Use) {
        let now = Duration::from_micros(used.at_us);
        let id = self.known(used, now);
        self.report.uses += 1;
        let from = self.voices[id].tier;
        if from == Tier::Device {
            self.report.hits += 1;
        } else if self.room_for(id, now) {
            self.load(id, from, now);
        } else {
            self.report.refused += 1;
        }
        self.voices[id].usage.touch(now);
    }

    fn known(&mut self, used: &Use, now: Duration) -> usize {
        let next = self.voices.len();
        let id = *self.ids.entry(used.voice.clone()).or_insert(next);
        if id == next {
            self.voices.push(Voice {
                name: used.voice.clone(),
                tier: Tier::File,
                bytes: used.bytes,
                reload_us: used.reload_us,
                usage: Usage::new(now),
            });
        }
        let voice = &mut self.voices[id];
        if voice.tier == Tier::File {
            voice.bytes = used.bytes;
        }
        voice.reload_us = used.reload_us;
        id
    }

    /// As the owner of the memory does it: softly first.
    fn room_for(&mut self, id: usize, now: Duration) -> bool {
        let needed = self.voices[id].bytes;
        for level in [Level::Soft, Level::Hard] {
            let free = self.free();
            if needed <= free {
                return true;
            }
            if needed > self.device {
                return false;
            }
            let pressure = Pressure {
                zone: Zone::Device,
                needed,
                free,
                level,
                for_voice: Some(id as u64),
            };
            self.relieve(&pressure, now);
        }
        needed <= self.free()
    }

    fn relieve(&mut self, pressure: &Pressure, now: Duration) {
        let decision = decide(self.policy, self.proposer, || self.census(now), pressure);
        if let Some(proposed) = &decision.proposed {
            self.report.asked += 1;
            self.report.failures += u64::from(proposed.failure.is_some());
        }
        self.report.actions_refused += decision.refused.len() as u64;
        for step in decision.steps {
            self.take(step, now);
        }
    }

    fn take(&mut self, step: Step, now: Duration) {
        let Step::Demote { id, from, to } = step;
        let voice = usize::try_from(id)
            .ok()
            .and_then(|id| self.voices.get_mut(id));
        let Some(voice) = voice else { return };
        voice.tier = to;
        voice.usage.arrive(now);
        self.revision += 1;
        self.report.evictions += u64::from(from == Tier::Device);
    }

    fn load(&mut self, id: usize, from: Tier, now: Duration) {
        let voice = &mut self.voices[id];
        voice.tier = Tier::Device;
        voice.usage.arrive(now);
        self.revision += 1;
        self.report.bytes_loaded += voice.bytes;
        if from == Tier::Host {
            self.report.host_hits += 1;
            self.report.load_us += voice.bytes / HOST_BYTES_PER_MICROSECOND;
        } else {
            self.report.loads += 1;
            self.report.load_us += voice.reload_us;
        }
    }

    fn free(&self) -> u64 {
        let there = self
            .voices
            .iter()
            .filter(|voice| voice.tier == Tier::Device);
        let used: u64 = there.map(|voice| voice.bytes).sum();
        self.device.saturating_sub(used)
    }

    fn census(&self, now: Duration) -> Census {
        let items = self.voices.iter().enumerate().map(|(id, voice)| Item {
            id: id as u64,
            name: voice.name.clone(),
            tier: voice.tier,
            bytes: voice.bytes,
            reload_us: voice.reload_us,
            idle: voice.usage.idle(now),
            resident: voice.usage.resident(now),
            hits: voice.usage.hits(now),
            in_flight: 0,
            pinned: self.policy.is_pinned(&voice.name),
            priority: self.policy.priority(&voice.name),
        });
        Census {
            revision: self.revision,
            items: items.collect(),
            map: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Order;
    use crate::proposal::{Action, Proposal};
    use crate::synthetic::{Pattern, Synthesis, uses};
    use crate::units::Span;

    /// `a b a`: one use a second, every voice of 100 bytes and 1 s.
    fn spoken(voices: &str) -> Vec<Use> {
        let voices = voices.split_whitespace().enumerate();
        voices
            .map(|(second, voice)| Use {
                at_us: second as u64 * 1_000_000,
                voice: voice.to_owned(),
                bytes: 100,
                reload_us: 1_000_000,
            })
            .collect()
    }

    fn policy(order: Order) -> MemoryPolicy {
        let mut policy = MemoryPolicy::default();
        policy.eviction.order = order;
        policy.eviction.churn_guard = Span::seconds(0);
        policy
    }

    fn hits(order: Order, voices: &str) -> u64 {
        replay(&policy(order), None, 200, &spoken(voices)).hits
    }

    #[test]
    fn orders_differ_as_they_should() {
        assert_eq!(hits(Order::Lru, "a b a b"), 2);
        assert_eq!(
            hits(Order::Lru, "a a a b c a"),
            2,
            "a is the longest unused"
        );
        assert_eq!(hits(Order::Lfu, "a a a b c a"), 3, "a is used most");
        assert_eq!(foresight(200, &spoken("a b c a b c")).hits, 2);
    }

    #[test]
    fn everything_is_counted() {
        let report = replay(&policy(Order::Lru), None, 200, &spoken("a b c a"));
        let expected = Report {
            uses: 4,
            loads: 4,
            evictions: 2,
            bytes_loaded: 400,
            load_us: 4_000_000,
            ..Report::default()
        };
        assert_eq!(report, expected);
        let refused = replay(&policy(Order::Lru), None, 99, &spoken("a a"));
        assert_eq!((refused.refused, refused.loads), (2, 0));
    }

    #[test]
    fn the_host_tier_saves_reloads() {
        let mut policy = policy(Order::Lru);
        policy.tiers.host.0 = 100;
        let report = replay(&policy, None, 200, &spoken("a b c a"));
        assert_eq!((report.loads, report.host_hits), (3, 1));
        assert_eq!(report.load_us, 3_000_000);
    }

    #[test]
    fn the_churn_guard_yields_where_nothing_else_can_go() {
        let mut policy = policy(Order::Lru);
        policy.eviction.churn_guard = Span::seconds(60);
        let report = replay(&policy, None, 100, &spoken("a b a"));
        assert_eq!((report.loads, report.refused), (3, 0));
    }

    #[test]
    fn a_proposer_is_asked_and_its_failures_cost_nothing() {
        let newest = Proposer::new(
            "newest",
            |_: &MemoryPolicy, census: &Census, _: &Pressure| {
                let items = census.items.iter();
                let there = items.filter(|item| item.tier == Tier::Device);
                let newest = there.min_by_key(|item| item.idle);
                Ok(Proposal {
                    revision: census.revision,
                    actions: newest
                        .map(|item| Action::Evict(item.id))
                        .into_iter()
                        .collect(),
                })
            },
        );
        let scan = spoken("a b c a b c a b c");
        let report = replay(&policy(Order::Lru), Some(&newest), 200, &scan);
        assert!(report.hits > 0 && report.asked > 0, "{report:?}");
        assert_eq!(replay(&policy(Order::Lru), None, 200, &scan).hits, 0);

        let broken = Proposer::new("broken", |_: &_, _: &_, _: &_| Err("broken".to_owned()));
        let report = replay(&policy(Order::Lru), Some(&broken), 200, &scan);
        assert_eq!((report.hits, report.failures, report.refused), (0, 7, 0));
    }

    #[test]
    fn decisions_come_out_the_same_under_their_own_policy() {
        let policy = policy(Order::Cost);
        let item = |id: u64| Item {
            id,
            name: format!("voice-{id}"),
            tier: Tier::Device,
            bytes: 100,
            reload_us: 1_000 * (id + 1),
            idle: Duration::from_secs(id),
            resident: Duration::from_secs(60),
            hits: 1.0,
            in_flight: 0,
            pinned: false,
            priority: 0,
        };
        let census = Census {
            revision: 1,
            items: (0..3).map(item).collect(),
            map: None,
        };
        let pressure = Pressure {
            zone: Zone::Device,
            needed: 100,
            free: 0,
            level: Level::Soft,
            for_voice: None,
        };
        let decisions = [decide(&policy, None, || census.clone(), &pressure)];
        let alike = |order| {
            let mut policy = policy.clone();
            policy.eviction.order = order;
            agreement(&policy, None, &decisions).alike
        };
        assert_eq!((alike(Order::Cost), alike(Order::Lru)), (1, 0));
    }

    #[test]
    fn time_goes_on_over_a_restart() {
        let at = |at_us| Use {
            at_us,
            ..spoken("a").remove(0)
        };
        let lines = [5, 9, 2, 3].map(|at_us| Line::Use(at(at_us)));
        let times: Vec<_> = Trace::of(lines)
            .uses
            .iter()
            .map(|used| used.at_us)
            .collect();
        assert_eq!(times, [5, 9, 11, 12]);
    }

    #[test]
    fn made_up_traces_are_the_same_everywhere_and_no_policy_beats_foresight() {
        for pattern in [
            Pattern::Zipf,
            Pattern::Drift,
            Pattern::Uniform,
            Pattern::Scan,
        ] {
            let wanted = Synthesis {
                pattern,
                voices: 20,
                requests: 500,
                seed: 7,
                gap_us: 1_000_000,
            };
            let made = uses(&wanted);
            assert_eq!(made, uses(&wanted));
            assert_eq!(made.len(), 500);
            let one_size: Vec<_> = made
                .into_iter()
                .map(|used| Use { bytes: 100, ..used })
                .collect();
            let best = foresight(800, &one_size).hits;
            for order in [Order::Lru, Order::Lfu, Order::Cost] {
                let hits = replay(&policy(order), None, 800, &one_size).hits;
                assert!(hits <= best, "{pattern:?} {order:?}: {hits} of {best}");
            }
        }
    }
}
