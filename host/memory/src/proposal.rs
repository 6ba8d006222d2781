//! Somebody else's decision, checked action by action and completed by the
//! host's own. A bad proposal costs time, never a run and never the room.

use serde::{Deserialize, Serialize};

use super::census::{Census, Item, Pressure};
use super::plan::{Sent, Step, level, may_go, place, victims};
use super::policy::MemoryPolicy;

/// What a policy may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Give the voice up; its file stays.
    Evict(u64),
    /// Move it one tier down, if that has room, else give it up.
    Demote(u64),
}

/// What somebody outside, such as a plugin, would evict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Of the census it answers.
    pub revision: u64,
    /// They are looked at in this order, until enough is free.
    pub actions: Vec<Action>,
}

/// Why an action is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The census has changed since.
    Stale,
    /// Beyond [`ACTIONS_MAX`].
    TooMany,
    /// The census has no voice of this number.
    Unknown,
    /// An action before it has the same voice.
    Twice,
    /// It holds nothing of the zone that runs short.
    Elsewhere,
    /// It is the voice that the room is for.
    Wanted,
    /// The operator has pinned the voice.
    Pinned,
    /// A run uses the voice now.
    InFlight,
    /// `churn_guard` or `keep_idle` holds it at this level.
    Guarded,
    /// Those before it free what is missing.
    Enough,
}

/// A proposal after the host has checked and completed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completed {
    /// What is done, in this order: the accepted actions, then the host's own.
    pub steps: Vec<Step>,
    /// Actions that were not taken, in the order they were proposed.
    pub refused: Vec<(Action, Why)>,
}

/// Actions of one proposal that are looked at.
pub const ACTIONS_MAX: usize = 256;

/// The steps of the actions that may be taken, and the host's own for what is
/// missing then.
pub fn complete(
    policy: &MemoryPolicy,
    census: &Census,
    pressure: &Pressure,
    proposal: &Proposal,
) -> Completed {
    let mut going: Vec<Sent<'_>> = Vec::new();
    let mut ids = Vec::new();
    let mut refused = Vec::new();
    for (number, action) in proposal.actions.iter().enumerate() {
        let checked = if proposal.revision != census.revision {
            Err(Why::Stale)
        } else if number >= ACTIONS_MAX {
            Err(Why::TooMany)
        } else if census.suffices(pressure, &ids) {
            Err(Why::Enough)
        } else {
            check(policy, census, pressure, &going, *action)
        };
        match checked {
            Ok(sent) => {
                ids.push(sent.item().id);
                going.push(sent);
            }
            Err(why) => refused.push((*action, why)),
        }
    }
    let more = victims(policy, census, pressure, &ids);
    // Nobody goes in vain, proposed or not.
    let in_vain = more.is_empty() && !census.suffices(pressure, &ids);
    if in_vain && pressure.for_voice.is_some() {
        going.clear();
    }
    let all = going.into_iter().chain(more.into_iter().map(Sent::Down));
    Completed {
        steps: place(policy, census, pressure, all),
        refused,
    }
}

fn check<'a>(
    policy: &MemoryPolicy,
    census: &'a Census,
    pressure: &Pressure,
    going: &[Sent<'_>],
    action: Action,
) -> Result<Sent<'a>, Why> {
    let (Action::Evict(id) | Action::Demote(id)) = action;
    let item = census.item(id).ok_or(Why::Unknown)?;
    if going.iter().any(|sent| sent.item().id == id) {
        return Err(Why::Twice);
    }
    if item.tier != pressure.zone.tier() || item.bytes == 0 {
        return Err(Why::Elsewhere);
    }
    if !may_go(item, pressure) {
        return Err(held(item, pressure));
    }
    if level(policy, item) > pressure.level {
        return Err(Why::Guarded);
    }
    Ok(match action {
        Action::Evict(_) => Sent::Away(item),
        Action::Demote(_) => Sent::Down(item),
    })
}

/// What holds an item that may not go at all.
fn held(item: &Item, pressure: &Pressure) -> Why {
    if pressure.for_voice == Some(item.id) {
        Why::Wanted
    } else if item.pinned {
        Why::Pinned
    } else {
        Why::InFlight
    }
}
