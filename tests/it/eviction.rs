//! Eviction plugins between the sandbox and the memory: what they propose is
//! checked and completed, and what they break costs nothing.

use std::sync::Arc;
use std::time::Duration;

use memory::{
    Action, Census, Decision, Item, Level, MemoryPolicy, Pressure, Proposer, Step, Tier, Why, Zone,
    decide,
};
use pipeline::spec::{Memory, PluginRef};
use plugin::testing::{TRIGGER_REVISION, evictor, hostile_evictor};
use plugin::{Pool, Sandbox, SandboxSettings};

use crate::stand::Folder;

fn load(folder: &Folder, plugin: &PluginRef) -> Result<Proposer, String> {
    let settings = SandboxSettings {
        pool: Pool::None,
        ..SandboxSettings::default()
    };
    let sandbox = Arc::new(Sandbox::new(settings).expect("a sandbox"));
    let patient = PluginRef {
        deadline: Some(memory::units::Span::seconds(20)),
        ..plugin.clone()
    };
    pipeline::evict::proposer(&sandbox, folder.path(), &patient).map_err(|e| e.to_string())
}

/// Voices 1 to 3 of 100 bytes, unused for 30, 20 and 10 s; 2 is pinned.
fn census(revision: u64) -> Census {
    let item = |id| Item {
        id,
        name: format!("voice-{id}"),
        tier: Tier::Device,
        bytes: 100,
        reload_us: if id == 3 { 1_000 } else { 1_000_000 },
        idle: Duration::from_secs(10 * (4 - id)),
        resident: Duration::from_secs(60),
        hits: 3.0,
        in_flight: 0,
        pinned: id == 2,
        priority: 0,
    };
    Census {
        revision,
        items: (1..=3).map(item).collect(),
        map: None,
    }
}

fn decided(proposer: &Proposer, revision: u64, level: Level, needed: u64) -> Decision {
    let pressure = Pressure {
        zone: Zone::Device,
        needed,
        free: 0,
        level,
        for_voice: None,
    };
    let policy = MemoryPolicy::default();
    decide(&policy, Some(proposer), || census(revision), &pressure)
}

fn gone(decision: &Decision) -> Vec<u64> {
    let steps = decision.steps.iter();
    steps.map(|Step::Demote { id, .. }| *id).collect()
}

#[test]
fn a_plugin_of_the_plugin_folder_decides_who_goes() {
    let folder = Folder::new();
    let home = server::config::Environment::read().home;
    let component = std::fs::read(home.join("plugins/evict-cost.wasm"))
        .expect("evict-cost; run `cargo xtask setup`");
    folder.write("evict-cost.wasm", component);
    let memory = Memory::parse("[memory.eviction]\nplugin = \"evict-cost\"").expect("a policy");
    let proposer = load(&folder, &memory.plugin.expect("a plugin")).expect("loads");

    let decision = decided(&proposer, 1, Level::Soft, 100);
    assert_eq!(gone(&decision), [3], "it is loaded again most quickly");
    let proposed = decision.proposed.expect("it was asked");
    assert_eq!(proposed.actions, [Action::Demote(3)]);
    assert_eq!(
        (proposed.by.as_str(), proposed.failure),
        ("evict-cost", None)
    );

    let decision = decided(&proposer, 2, Level::Hard, 100);
    assert_eq!(
        gone(&decision),
        [1],
        "under hard pressure the host's order decides"
    );
    assert_eq!(decision.proposed, None);
}

#[test]
fn whatever_a_plugin_does_room_is_made() {
    let cases = [
        "unreachable",
        "(loop $again (br $again))",
        "(loop $again (drop (memory.grow (i32.const 16))) (br $again))",
        "(local.set $revision (i64.const 1))",
    ];
    for does in cases {
        let folder = Folder::new();
        folder.write("hostile.wasm", hostile_evictor(true, does));
        let plugin = PluginRef::named("hostile").expect("a name");
        let proposer = load(&folder, &plugin).expect("it behaves while it is loaded");
        let decision = decided(&proposer, TRIGGER_REVISION, Level::Soft, 200);
        assert_eq!(gone(&decision), [1, 3], "{does}");
        let failure = decision.proposed.and_then(|proposed| proposed.failure);
        assert!(failure.is_some(), "{does}");
    }
}

#[test]
fn what_a_plugin_may_not_have_is_refused_and_the_rest_completed() {
    let folder = Folder::new();
    let greedy = "(call $evict (i64.const 2)) (call $evict (i64.const 99)) (call $evict (i64.const 3)) (call $evict (i64.const 3))";
    folder.write("greedy.wasm", hostile_evictor(true, greedy));
    let plugin = PluginRef::named("greedy").expect("a name");
    let proposer = load(&folder, &plugin).expect("it behaves while it is loaded");
    let decision = decided(&proposer, TRIGGER_REVISION, Level::Soft, 200);
    assert_eq!(gone(&decision), [3, 1]);
    let refused = [
        (Action::Evict(2), Why::Pinned),
        (Action::Evict(99), Why::Unknown),
        (Action::Evict(3), Why::Twice),
    ];
    assert_eq!(decision.refused, refused);
}

#[test]
fn a_plugin_that_evicts_the_pinned_is_not_loaded() {
    let folder = Folder::new();
    let first = "(if (local.get $count) (then (call $evict (i64.load (local.get $items)))))";
    folder.write("rude.wasm", evictor(true, first));
    let error = load(&folder, &PluginRef::named("rude").expect("a name")).expect_err("refused");
    assert!(
        error.starts_with("plugin `rude`: the check at load failed: for every voice pinned"),
        "{error}"
    );
}
