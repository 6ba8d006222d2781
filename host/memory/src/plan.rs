//! The host's own decision: who goes, and where to. Pure.
//!
//! Nobody goes who is in a run, pinned, or the voice that is waited for. Of the
//! others those go first who may go at the lowest level (past `keep_idle` and
//! the churn guard, then past the guard alone, then anybody), among them those
//! of lower priority, among them in the policy's order. No more go than are
//! needed, and if somebody waits and all together would not make room in one
//! piece, nobody goes: it would be in vain.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::census::{Census, Item, Level, Pressure, Tier};
use super::policy::{MemoryPolicy, Order};

/// What the owner of the memory does next, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Give up the copy in `from`; `to` is where it may be had from afterwards.
    Demote { id: u64, from: Tier, to: Tier },
}

/// The steps that free what is missing, or as much of it as can be freed.
pub fn plan(policy: &MemoryPolicy, census: &Census, pressure: &Pressure) -> Vec<Step> {
    let victims = victims(policy, census, pressure, &[]);
    place(
        policy,
        census,
        pressure,
        victims.into_iter().map(Sent::Down),
    )
}

/// Where a victim is sent.
#[derive(Clone, Copy)]
pub(super) enum Sent<'a> {
    /// To the next tier with room for it.
    Down(&'a Item),
    /// Back to its file.
    Away(&'a Item),
}

impl<'a> Sent<'a> {
    pub(super) fn item(self) -> &'a Item {
        match self {
            Self::Down(item) | Self::Away(item) => item,
        }
    }
}

/// Who goes, first to last, beside those who go already.
pub(super) fn victims<'a>(
    policy: &MemoryPolicy,
    census: &'a Census,
    pressure: &Pressure,
    going: &[u64],
) -> Vec<&'a Item> {
    if census.suffices(pressure, going) {
        return Vec::new();
    }
    let mut candidates: Vec<_> = census
        .items
        .iter()
        .filter(|item| item.tier == pressure.zone.tier() && !going.contains(&item.id))
        .filter(|item| item.bytes > 0 && may_go(item, pressure))
        .map(|item| (level(policy, item), item))
        .filter(|(level, _)| *level <= pressure.level)
        .collect();
    candidates.sort_by(|(a_level, a), (b_level, b)| {
        let level = a_level.cmp(b_level);
        level.then_with(|| before(policy.eviction.order, a, b))
    });
    let mut chosen: Vec<_> = candidates.into_iter().map(|(_, item)| item).collect();
    let suffice = |chosen: &[&Item]| {
        let ids = going.iter().copied();
        let ids: Vec<_> = ids.chain(chosen.iter().map(|item| item.id)).collect();
        census.suffices(pressure, &ids)
    };
    if !suffice(&chosen) {
        // For a watermark every byte helps.
        return match pressure.for_voice {
            Some(_) => Vec::new(),
            None => chosen,
        };
    }
    // The more go, the more room there is.
    let (mut few, mut enough) = (0, chosen.len());
    while few + 1 < enough {
        let half = usize::midpoint(few, enough);
        match suffice(&chosen[..half]) {
            true => enough = half,
            false => few = half,
        }
    }
    chosen.truncate(enough);
    // A large one at the end may make some of the others' leaving needless;
    // those worth most stay first.
    for place in (0..chosen.len()).rev() {
        let item = chosen.remove(place);
        if !suffice(&chosen) {
            chosen.insert(place, item);
        }
    }
    chosen
}

/// What no level and no plugin can change.
pub(super) fn may_go(item: &Item, pressure: &Pressure) -> bool {
    item.in_flight == 0 && !item.pinned && pressure.for_voice != Some(item.id)
}

/// The lowest level at which `keep_idle` and the churn guard let it go.
pub fn level(policy: &MemoryPolicy, item: &Item) -> Level {
    let eviction = &policy.eviction;
    if item.resident < eviction.churn_guard.0 {
        Level::Hard
    } else if item.idle < eviction.keep_idle.0 {
        Level::Soft
    } else {
        Level::Low
    }
}

/// Less goes first. Ends in the id, so that equal ones have an order too.
fn before(order: Order, a: &Item, b: &Item) -> Ordering {
    a.priority
        .cmp(&b.priority)
        .then_with(|| match order {
            Order::Lru => Ordering::Equal,
            Order::Lfu => a.hits.total_cmp(&b.hits),
            Order::Cost => worth(a).total_cmp(&worth(b)),
        })
        .then_with(|| b.idle.cmp(&a.idle))
        .then_with(|| a.id.cmp(&b.id))
}

/// What keeping a byte of this voice saves: how often it was used, times what
/// loading it takes, by its size.
///
/// This is the rank of GreedyDual-Size-Frequency (Cherkasova 1998, after Cao
/// and Irani 1997). There a counter that rises with each eviction ages the
/// ranks; a plan keeps no counter, and the uses themselves fade instead
/// ([`usage`](super::usage)). Dividing by the time since the last use as well
/// counts recency twice; measured, it pays only where favourites change.
pub fn worth(item: &Item) -> f64 {
    let hits = f64::from(item.hits.max(f32::MIN_POSITIVE));
    hits * item.reload_us.max(1) as f64 / item.bytes.max(1) as f64
}

/// Finds each victim its place. Those of the host tier who are worth less than
/// a victim make room for it there: else the tier would keep whoever came
/// first.
pub(super) fn place<'a>(
    policy: &MemoryPolicy,
    census: &'a Census,
    pressure: &Pressure,
    victims: impl Iterator<Item = Sent<'a>>,
) -> Vec<Step> {
    let order = policy.eviction.order;
    let host = policy.tiers.host.0;
    // May be more than `host`, after a change of policy.
    let mut held = census.used(Tier::Host);
    let mut waiting: Vec<_> = census
        .items
        .iter()
        .filter(|item| item.tier == Tier::Host && may_go(item, pressure))
        .collect();
    waiting.sort_by(|a, b| before(order, a, b));
    let mut waiting = VecDeque::from(waiting);

    let mut steps = Vec::new();
    for sent in victims {
        let Sent::Down(victim) = sent else {
            steps.push(away(sent.item()));
            continue;
        };
        let lesser = waiting
            .iter()
            .take_while(|item| before(order, item, victim).is_lt())
            .fold(0, |sum: u64, item| sum.saturating_add(item.bytes));
        let fits = |held: u64| held.saturating_add(victim.bytes) <= host;
        if victim.tier != Tier::Device || !fits(held.saturating_sub(lesser)) {
            steps.push(away(victim));
            continue;
        }
        while !fits(held)
            && let Some(item) = waiting.pop_front()
        {
            held = held.saturating_sub(item.bytes);
            steps.push(away(item));
        }
        held = held.saturating_add(victim.bytes);
        steps.push(Step::Demote {
            id: victim.id,
            from: victim.tier,
            to: Tier::Host,
        });
    }
    steps
}

fn away(item: &Item) -> Step {
    Step::Demote {
        id: item.id,
        from: item.tier,
        to: Tier::File,
    }
}

impl Step {
    /// Bytes that this frees in a tier.
    pub fn frees(&self, census: &Census, tier: Tier) -> u64 {
        let Self::Demote { id, from, .. } = self;
        let item = census.item(*id).filter(|_| *from == tier);
        item.map_or(0, |item| item.bytes)
    }
}
