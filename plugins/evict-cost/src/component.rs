//! The face to the host: settings, and who may go.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use exports::koemasu::policy::eviction::{
    Action, Guest as Eviction, Item, Pressure, Proposal, Snapshot,
};
use exports::koemasu::policy::plugin::Guest as Plugin;
use guest::config::{self, Value};
use koemasu::policy::types::{Descriptor, Diagnostic, PolicyError, Reuse};

use crate::rule::{Rule, Voice};

wit_bindgen::generate!({
    world: "eviction-policy",
    path: "../../wit",
    with: {
        "koemasu:policy/log@1.0.0": guest::log,
        "koemasu:policy/config@1.0.0": guest::config,
    },
});

struct EvictCost;

export!(EvictCost);

const WEIGHTS: [&str; 4] = ["recency", "frequency", "cost", "size"];
const WEIGHT_MAX: f64 = 8.0;
const ACTIONS_MAX: usize = 256;

impl Plugin for EvictCost {
    fn describe() -> Descriptor {
        Descriptor {
            name: "evict-cost".to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            deterministic: true,
            reuse: Reuse::Safe,
            config_schema: None,
        }
    }

    fn configure() -> Result<(), Vec<Diagnostic>> {
        let mut wrong = guest::unknown_settings(&WEIGHTS);
        let weights = WEIGHTS
            .iter()
            .filter_map(|name| Some((name, weight(name, 0.0).err()?)));
        wrong.extend(weights.map(|(name, message)| (name.to_string(), message)));
        let diagnostics: Vec<_> = wrong
            .into_iter()
            .map(|(path, message)| Diagnostic { path, message })
            .collect();
        if diagnostics.is_empty() {
            Ok(())
        } else {
            Err(diagnostics)
        }
    }
}

impl Eviction for EvictCost {
    fn propose(snapshot: Snapshot) -> Result<Proposal, PolicyError> {
        let actions = match snapshot.level {
            Pressure::Hard => Vec::new(),
            Pressure::Low | Pressure::Soft => actions(&snapshot)?,
        };
        Ok(Proposal {
            revision: snapshot.revision,
            actions,
        })
    }
}

fn actions(snapshot: &Snapshot) -> Result<Vec<Action>, PolicyError> {
    let rule = rule().map_err(PolicyError::Failed)?;
    let may_go = |item: &&Item| {
        let held = item.pinned || item.guarded || item.in_flight > 0;
        item.kind == "voice" && item.tier == snapshot.tier && !held && item.bytes > 0
    };
    let voices: Vec<_> = snapshot.items.iter().filter(may_go).map(voice).collect();
    let going = rule.choose(snapshot.missing, &voices);
    // What the host lacks then, it completes itself.
    Ok(going
        .into_iter()
        .take(ACTIONS_MAX)
        .map(Action::Demote)
        .collect())
}

fn voice(item: &Item) -> Voice {
    Voice {
        id: item.id,
        priority: item.priority,
        bytes: item.bytes,
        reload_us: item.reload_us,
        idle_ms: item.idle_ms,
        hits: item.hits,
    }
}

fn rule() -> Result<Rule, String> {
    let usual = Rule::default();
    Ok(Rule {
        recency: weight("recency", usual.recency)?,
        frequency: weight("frequency", usual.frequency)?,
        cost: weight("cost", usual.cost)?,
        size: weight("size", usual.size)?,
    })
}

fn weight(name: &str, usual: f64) -> Result<f64, String> {
    let weight = match config::get(name) {
        None => return Ok(usual),
        Some(Value::Num(weight)) => weight,
        Some(Value::Int(weight)) => weight as f64,
        Some(_) => -1.0,
    };
    if (0.0..=WEIGHT_MAX).contains(&weight) {
        Ok(weight)
    } else {
        Err(format!("a number from 0 to {WEIGHT_MAX}"))
    }
}
