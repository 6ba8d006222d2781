//! A trace's uses, once more under another policy. Simulated: no model is
//! opened, and time is the trace's own.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;

use super::census::{Census, Item, Level, Pressure, Tier, Zone};
use super::decide::{Proposer, decide};
use super::plan::Step;
use super::policy::MemoryPolicy;
use super::trace::{Line, Use};
use super::usage::Usage;

/// How the policy did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
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
    pub failures: u64,
    /// Proposed actions that were not taken.
    pub actions_refused: u64,
}

impl Report {
    pub fn hit_rate(&self) -> f64 {
        self.hits as f64 / self.uses.max(1) as f64
    }

    pub fn load_time(&self) -> Duration {
        Duration::from_micros(self.load_us)
    }
}

/// What a trace says without its decisions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Accesses {
    /// Bytes for voices on the device, if the trace knows.
    pub device: Option<u64>,
    pub uses: Vec<Use>,
}

impl Accesses {
    pub fn of(lines: impl IntoIterator<Item = Line>) -> Self {
        let mut accesses = Self::default();
        for line in lines {
            match line {
                Line::Start { device, .. } => accesses.device = Some(device),
                Line::Use(used) => accesses.uses.push(used),
                Line::Policy { .. } | Line::Decision { .. } => {}
            }
        }
        accesses
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
        }
    }
}
