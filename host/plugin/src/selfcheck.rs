//! Tries a plugin when it is loaded, so that what is wrong with it is found by
//! whoever configured it and not by a caller.

use crate::bucketer::{Axis, Bucketer, Shape};
use crate::error::{CallError, LoadError};
use crate::evictor::{Action, Evictor, Item, Level, Snapshot, Tier};
use crate::normalizer::Normalizer;

/// Texts that break careless code: nothing, one character, a family joined by
/// zero-width joiners, half-width kana with its mark apart, a bare mark.
const TEXTS: [&str; 5] = ["", "あ", "👨\u{200d}👩\u{200d}👧", "ｶﾞ1０", "\u{3099}"];

/// No language has this tag (BCP 47 reserves `qaa` for private use).
const NO_LANGUAGE: &str = "qaa";

pub(crate) fn normalizer(plugin: &Normalizer) -> Result<(), LoadError> {
    let failed = |what: String| Err(LoadError::SelfCheck(what));
    for text in TEXTS {
        let first = plugin.normalize(text, "ja");
        if let Err(
            error @ (CallError::Trap(_)
            | CallError::TooLong { .. }
            | CallError::Answer(_)
            | CallError::Failed(_)),
        ) = &first
        {
            return failed(format!("for {text:?}: {error}"));
        }
        if plugin.identity().deterministic && plugin.normalize(text, "ja") != first {
            return failed(format!(
                "it says `deterministic`, but {text:?} gave two answers"
            ));
        }
    }
    match plugin.normalize("あ", NO_LANGUAGE) {
        Err(CallError::Unsupported(_)) => Ok(()),
        other => failed(format!(
            "for a language nobody speaks it must answer `unsupported`, not {other:?}"
        )),
    }
}

/// A ladder, and lengths below, on and above its steps.
const ALLOWED: [u32; 3] = [8, 64, 512];
const LENGTHS: [u32; 6] = [1, 8, 9, 64, 512, 2_000];

pub(crate) fn bucketer(plugin: &Bucketer) -> Result<(), LoadError> {
    let failed = |what: String| Err(LoadError::SelfCheck(what));
    for name in ["tokens", "bert"] {
        for len in LENGTHS {
            let shape = Shape {
                batch: 1,
                axes: vec![Axis {
                    name: name.to_owned(),
                    len,
                    allowed: ALLOWED.to_vec(),
                    max: 4_096,
                }],
            };
            let first = plugin.choose(&shape);
            if let Err(error) = &first {
                return failed(format!("for {len} {name}: {error}"));
            }
            if plugin.identity().deterministic && plugin.choose(&shape) != first {
                return failed(format!(
                    "it says `deterministic`, but {len} {name} gave two answers"
                ));
            }
        }
    }
    Ok(())
}

const MEBIBYTE: u64 = 1 << 20;

pub(crate) fn evictor(plugin: &Evictor) -> Result<(), LoadError> {
    let failed = |what: String| Err(LoadError::SelfCheck(what));
    let held = snapshot(4, |item| item.pinned = true);
    let all_in_runs = snapshot(4, |item| item.in_flight = 1);
    let questions = [
        ("no voice", snapshot(0, |_| ())),
        ("every voice pinned", held),
        ("every voice in a run", all_in_runs),
        ("four voices", snapshot(4, |_| ())),
        ("200 voices", snapshot(200, |_| ())),
    ];
    for (what, question) in &questions {
        let first = plugin.propose_at_load(question);
        let proposal = match &first {
            Ok(proposal) => proposal,
            Err(error) => return failed(format!("for {what}: {error}")),
        };
        let held = |id: u64| {
            let item = question.items.iter().find(|item| item.id == id);
            item.is_none_or(|item| item.pinned || item.in_flight > 0)
        };
        for Action::Evict(id) | Action::Demote(id) in &proposal.actions {
            if held(*id) {
                return failed(format!(
                    "for {what} it proposes to give up {id}, which is pinned, in a run or not there"
                ));
            }
        }
        // Twice: the second time in the instance that has served, if it is
        // kept, so that neither word of its descriptor is taken on trust.
        if plugin.identity().deterministic && plugin.propose_at_load(question) != first {
            return failed(format!(
                "it says `deterministic`, but {what} gave two answers"
            ));
        }
    }
    Ok(())
}

/// A device of which all is in use, by voices of all sizes and ages.
fn snapshot(voices: u64, change: fn(&mut Item)) -> Snapshot {
    let items: Vec<_> = (0..voices)
        .map(|number| {
            let mut item = Item {
                id: number + 1,
                name: format!("voice-{number}"),
                tier: Tier::Device,
                bytes: (number % 3 + 1) * 80 * MEBIBYTE,
                reload_us: (number % 5 + 1) * 100_000,
                idle_ms: number * 1_000,
                resident_ms: number * 2_000,
                hits: (number % 7) as f32,
                in_flight: 0,
                pinned: false,
                priority: 0,
                guarded: false,
            };
            change(&mut item);
            item
        })
        .collect();
    let used = items.iter().map(|item| item.bytes).sum();
    Snapshot {
        revision: 1,
        level: Level::Soft,
        tier: Tier::Device,
        used,
        budget: used,
        missing: 100 * MEBIBYTE,
        host_free: 0,
        items,
    }
}
