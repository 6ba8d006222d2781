//! An eviction policy of the sandbox, as somebody who proposes to the memory.
//! Neither knows the other.

use std::path::Path;
use std::sync::Arc;

use memory::{Census, MemoryPolicy, Pressure, Proposer, Zone};
use plugin::evictor::{self, Snapshot};

use crate::events;
use crate::prepare::{PrepareError, component, plugin_error};
use crate::spec::PluginRef;

/// Loads the plugin, which `folder` holds if it is named without a path.
pub fn proposer(
    sandbox: &Arc<plugin::Sandbox>,
    folder: &Path,
    plugin: &PluginRef,
) -> Result<Proposer, PrepareError> {
    let (_, source) = component(folder, plugin)?;
    let evictor = sandbox
        .load_evictor(source, &plugin.settings, &plugin.limits())
        .map_err(|e| plugin_error(plugin, &e))?;
    let name = plugin.component.name();
    let told = name.clone();
    Ok(Proposer::new(name, move |policy, census, pressure| {
        let Some(snapshot) = snapshot(policy, census, pressure) else {
            return Ok(memory::Proposal::default());
        };
        match evictor.propose(&snapshot) {
            Ok(proposal) => Ok(proposed(proposal)),
            Err(cause) => {
                events::policy_fallback(&told, "builtin", &cause);
                Err(cause.to_string())
            }
        }
    }))
}

/// None under hard pressure, of which no plugin is told.
fn snapshot(policy: &MemoryPolicy, census: &Census, pressure: &Pressure) -> Option<Snapshot> {
    let level = match pressure.level {
        memory::Level::Low => evictor::Level::Low,
        memory::Level::Soft => evictor::Level::Soft,
        memory::Level::Hard => return None,
    };
    let used = census.used(pressure.zone.tier());
    let items = census.items.iter().map(|item| evictor::Item {
        id: item.id,
        name: item.name.clone(),
        tier: tier(item.tier),
        bytes: item.bytes,
        reload_us: item.reload_us,
        idle_ms: millis(item.idle),
        resident_ms: millis(item.resident),
        hits: item.hits,
        in_flight: item.in_flight,
        pinned: item.pinned || pressure.for_voice == Some(item.id),
        priority: item.priority,
        guarded: memory::plan::level(policy, item) > pressure.level,
    });
    Some(Snapshot {
        revision: census.revision,
        level,
        tier: match pressure.zone {
            Zone::Device => evictor::Tier::Device,
            Zone::Host => evictor::Tier::Host,
        },
        used,
        budget: used.saturating_add(pressure.free),
        missing: pressure.missing(),
        host_free: (policy.tiers.host.0).saturating_sub(census.used(memory::Tier::Host)),
        items: items.collect(),
    })
}

fn tier(tier: memory::Tier) -> evictor::Tier {
    match tier {
        memory::Tier::Device => evictor::Tier::Device,
        memory::Tier::Host => evictor::Tier::Host,
        memory::Tier::File => evictor::Tier::File,
    }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn proposed(proposal: evictor::Proposal) -> memory::Proposal {
    let actions = proposal.actions.into_iter().map(|action| match action {
        evictor::Action::Evict(id) => memory::Action::Evict(id),
        evictor::Action::Demote(id) => memory::Action::Demote(id),
    });
    memory::Proposal {
        revision: proposal.revision,
        actions: actions.collect(),
    }
}
