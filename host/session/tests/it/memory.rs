//! Decisions about memory: tables of cases, and what holds for all of them.

use std::time::Duration;

use memory::{
    Action, Census, Item, Level, MemoryPolicy, Order, Pressure, Proposal, Step, Tier, Zone,
    complete, plan,
};
use proptest::prelude::*;

use crate::stand::repository;

/// One block of `tests/cases/memory/*.txt`.
struct Case {
    title: String,
    policy: MemoryPolicy,
    census: Census,
    pressure: Pressure,
    proposal: Option<Proposal>,
    /// As written in the case.
    steps: String,
    refused: String,
}

const REVISION: u64 = 7;

fn cases(file: &str) -> Vec<Case> {
    let path = repository().join("tests/cases/memory").join(file);
    let text = std::fs::read_to_string(&path).expect("a readable file of cases");
    let blocks = text.split("\n\n").map(|block| {
        let lines = block.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect::<Vec<_>>()
    });
    blocks.filter(|lines| !lines.is_empty()).map(case).collect()
}

fn case(lines: Vec<String>) -> Case {
    let field = |name: &str| {
        let found = lines[1..]
            .iter()
            .find_map(|line| line.trim().strip_prefix(name));
        found.map(str::trim).unwrap_or_default().to_owned()
    };
    let title = lines[0].clone();
    let policy: MemoryPolicy =
        toml::from_str(&field("policy")).unwrap_or_else(|e| panic!("{title}: {e}"));
    let voices = field("voices");
    let items = voices.split(';').enumerate();
    let census = Census {
        revision: REVISION,
        items: items
            .map(|(id, words)| voice(id as u64, words, &policy))
            .collect(),
        map: None,
    };
    let proposed = field("proposed");
    Case {
        pressure: pressure(&field("wanted"), &census),
        proposal: (!proposed.is_empty()).then(|| proposal(&proposed, &census)),
        steps: field("steps"),
        refused: field("refused"),
        title,
        policy,
        census,
    }
}

/// `haru 100 idle 9 hits 8 running`
fn voice(id: u64, words: &str, policy: &MemoryPolicy) -> Item {
    let mut words = words.split_whitespace();
    let name = words.next().expect("a name").to_owned();
    let number = |words: &mut std::str::SplitWhitespace<'_>| -> u64 {
        words
            .next()
            .and_then(|word| word.parse().ok())
            .expect("a number")
    };
    let mut item = Item {
        id,
        tier: Tier::Device,
        bytes: number(&mut words),
        reload_us: 1_000_000,
        idle: Duration::from_secs(60),
        resident: Duration::from_secs(60),
        hits: 10.0,
        in_flight: 0,
        pinned: policy.is_pinned(&name),
        priority: policy.priority(&name),
        name,
    };
    while let Some(word) = words.next() {
        match word {
            "host" => item.tier = Tier::Host,
            "file" => item.tier = Tier::File,
            "running" => item.in_flight = 1,
            "idle" => item.idle = Duration::from_secs(number(&mut words)),
            "loaded" => item.resident = Duration::from_secs(number(&mut words)),
            "hits" => item.hits = number(&mut words) as f32,
            "reload" => item.reload_us = number(&mut words) * 1_000_000,
            other => panic!("`{other}` is nothing that a voice has"),
        }
    }
    item
}

/// `100 free 50 soft for haru`
fn pressure(words: &str, census: &Census) -> Pressure {
    let mut words = words.split_whitespace();
    let number = |word: Option<&str>| word.and_then(|word| word.parse().ok()).expect("a number");
    let mut pressure = Pressure {
        zone: Zone::Device,
        needed: number(words.next()),
        free: 0,
        level: Level::Low,
        for_voice: None,
    };
    while let Some(word) = words.next() {
        match word {
            "low" => pressure.level = Level::Low,
            "soft" => pressure.level = Level::Soft,
            "hard" => pressure.level = Level::Hard,
            "host" => pressure.zone = Zone::Host,
            "free" => pressure.free = number(words.next()),
            "for" => pressure.for_voice = words.next().map(|name| id(name, census)),
            other => panic!("`{other}` is nothing that is wanted"),
        }
    }
    pressure
}

/// Voices that the census does not know have an id too.
fn id(name: &str, census: &Census) -> u64 {
    let known = census.items.iter().find(|item| item.name == name);
    known.map_or_else(|| name.parse().unwrap_or(1_000), |item| item.id)
}

/// `evict haru, demote natsu of 6`: the last says which census it answers.
fn proposal(words: &str, census: &Census) -> Proposal {
    let (words, revision) = match words.split_once(" of ") {
        Some((words, revision)) => (words, revision.parse().expect("a revision")),
        None => (words, REVISION),
    };
    let actions = words
        .split(", ")
        .filter_map(|action| match action.split_once(' ') {
            Some(("evict", name)) => Some(Action::Evict(id(name, census))),
            Some(("demote", name)) => Some(Action::Demote(id(name, census))),
            _ => None,
        });
    Proposal {
        revision,
        actions: actions.collect(),
    }
}

fn name(id: u64, census: &Census) -> String {
    census
        .item(id)
        .map_or_else(|| id.to_string(), |item| item.name.clone())
}

fn written(steps: &[Step], census: &Census) -> String {
    let words: Vec<_> = steps
        .iter()
        .map(|Step::Demote { id, to, .. }| {
            format!("{}→{}", name(*id, census), format!("{to:?}").to_lowercase())
        })
        .collect();
    match words.is_empty() {
        true => "nobody".to_owned(),
        false => words.join(", "),
    }
}

#[test]
fn the_host_decides_by_the_table() {
    let cases = cases("plan.txt");
    assert!(cases.len() >= 25, "only {} cases", cases.len());
    for case in cases {
        let steps = plan(&case.policy, &case.census, &case.pressure);
        assert_eq!(written(&steps, &case.census), case.steps, "{}", case.title);
    }
}

#[test]
fn proposals_are_checked_and_completed_by_the_table() {
    let cases = cases("proposal.txt");
    assert!(cases.len() >= 10, "only {} cases", cases.len());
    for case in cases {
        let proposal = case.proposal.expect("a proposal");
        let done = complete(&case.policy, &case.census, &case.pressure, &proposal);
        let refused: Vec<_> = done
            .refused
            .iter()
            .map(|(action, why)| {
                let (verb, id) = match action {
                    Action::Evict(id) => ("evict", id),
                    Action::Demote(id) => ("demote", id),
                };
                let why = serde_json::to_value(why).expect("JSON");
                let why = why.as_str().expect("a word").to_owned();
                format!("{verb} {}: {why}", name(*id, &case.census))
            })
            .collect();
        assert_eq!(refused.join(", "), case.refused, "{}", case.title);
        assert_eq!(
            written(&done.steps, &case.census),
            case.steps,
            "{}",
            case.title
        );
    }
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    let tier = prop_oneof![
        3 => Just(Tier::Device),
        1 => Just(Tier::Host),
        1 => Just(Tier::File)
    ];
    let item = (
        tier,
        0u64..500,
        0u64..5_000_000,
        (0u64..20, 0u64..20),
        0f32..50.0,
        (
            prop::bool::weighted(0.2),
            prop::bool::weighted(0.2),
            -1i32..2,
        ),
    );
    prop::collection::vec(item, 0..12).prop_map(|items| {
        let items = items.into_iter().enumerate();
        let item = |(id, (tier, bytes, reload_us, (idle, resident), hits, rest))| {
            let (pinned, running, priority): (bool, bool, i32) = rest;
            let id: usize = id;
            Item {
                id: id as u64,
                name: format!("voice-{id}"),
                tier,
                bytes,
                reload_us,
                idle: Duration::from_secs(idle),
                resident: Duration::from_secs(resident),
                hits,
                in_flight: u32::from(running),
                pinned,
                priority,
            }
        };
        items.map(item).collect()
    })
}

fn policies() -> impl Strategy<Value = MemoryPolicy> {
    let order = prop_oneof![Just(Order::Lru), Just(Order::Lfu), Just(Order::Cost)];
    (order, 0u64..15, 0u64..15, 0u64..800).prop_map(|(order, keep, guard, host)| {
        let mut policy = MemoryPolicy::default();
        policy.eviction.order = order;
        policy.eviction.keep_idle.0 = Duration::from_secs(keep);
        policy.eviction.churn_guard.0 = Duration::from_secs(guard);
        policy.tiers.host.0 = host;
        policy
    })
}

fn pressures() -> impl Strategy<Value = Pressure> {
    let zone = prop_oneof![4 => Just(Zone::Device), 1 => Just(Zone::Host)];
    let level = prop_oneof![Just(Level::Low), Just(Level::Soft), Just(Level::Hard)];
    let wanted = prop::option::of(0u64..14);
    (zone, level, 0u64..1_500, 0u64..500, wanted).prop_map(
        |(zone, level, needed, free, for_voice)| Pressure {
            zone,
            needed,
            free,
            level,
            for_voice,
        },
    )
}

fn proposals() -> impl Strategy<Value = Proposal> {
    let action = prop_oneof![
        (0u64..14).prop_map(Action::Evict),
        (0u64..14).prop_map(Action::Demote)
    ];
    let revision = prop_oneof![4 => Just(REVISION), 1 => Just(REVISION - 1)];
    (revision, prop::collection::vec(action, 0..20))
        .prop_map(|(revision, actions)| Proposal { revision, actions })
}

/// What holds of every list of steps, whoever thought of it.
fn sound(
    policy: &MemoryPolicy,
    census: &Census,
    pressure: &Pressure,
    steps: &[Step],
) -> Result<(), TestCaseError> {
    let mut gone = Vec::new();
    let mut host = census.used(Tier::Host);
    for Step::Demote { id, from, to } in steps {
        let item = census.item(*id).expect("a known voice");
        prop_assert!(!item.pinned && item.in_flight == 0);
        prop_assert!(pressure.for_voice != Some(*id));
        prop_assert!(item.tier == *from && to < from);
        prop_assert!(!gone.contains(id), "twice");
        if *from == pressure.zone.tier() && pressure.level < Level::Hard {
            prop_assert!(item.resident >= policy.eviction.churn_guard.0);
        }
        if *from == pressure.zone.tier() && pressure.level < Level::Soft {
            prop_assert!(item.idle >= policy.eviction.keep_idle.0);
        }
        host -= if *from == Tier::Host { item.bytes } else { 0 };
        host += if *to == Tier::Host { item.bytes } else { 0 };
        prop_assert!(host <= policy.tiers.host.0 || *to != Tier::Host);
        gone.push(*id);
    }
    Ok(())
}

/// What the rules allow to be freed at all.
fn most(policy: &MemoryPolicy, census: &Census, pressure: &Pressure) -> u64 {
    let eviction = &policy.eviction;
    let free = |item: &&Item| {
        item.tier == pressure.zone.tier()
            && !item.pinned
            && item.in_flight == 0
            && pressure.for_voice != Some(item.id)
            && (pressure.level == Level::Hard || item.resident >= eviction.churn_guard.0)
            && (pressure.level >= Level::Soft || item.idle >= eviction.keep_idle.0)
    };
    census
        .items
        .iter()
        .filter(free)
        .map(|item| item.bytes)
        .sum()
}

fn freed(steps: &[Step], census: &Census, pressure: &Pressure) -> u64 {
    let tier = pressure.zone.tier();
    steps.iter().map(|step| step.frees(census, tier)).sum()
}

/// Enough where enough can be had; else all if nobody waits, and nothing if
/// somebody waits in vain.
fn enough(most: u64, freed: u64, pressure: &Pressure) -> Result<(), TestCaseError> {
    let missing = pressure.missing();
    if most >= missing {
        prop_assert!(freed >= missing, "{freed} of {missing}");
    } else if pressure.for_voice.is_some() {
        prop_assert_eq!(freed, 0, "in vain");
    } else {
        prop_assert_eq!(freed, most);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_is_sound_frees_enough_and_nobody_needless(
        policy in policies(),
        items in items(),
        pressure in pressures(),
    ) {
        let census = Census { revision: REVISION, items, map: None };
        let steps = plan(&policy, &census, &pressure);
        sound(&policy, &census, &pressure, &steps)?;
        let freed = freed(&steps, &census, &pressure);
        enough(most(&policy, &census, &pressure), freed, &pressure)?;
        let tier = pressure.zone.tier();
        for step in &steps {
            let bytes = step.frees(&census, tier);
            prop_assert!(bytes == 0 || freed - bytes < pressure.missing(), "needless");
        }
        prop_assert_eq!(plan(&policy, &census, &pressure), steps, "the same twice");
    }

    #[test]
    fn a_completed_proposal_is_as_sound(
        policy in policies(),
        items in items(),
        pressure in pressures(),
        proposal in proposals(),
    ) {
        let census = Census { revision: REVISION, items, map: None };
        let done = complete(&policy, &census, &pressure, &proposal);
        sound(&policy, &census, &pressure, &done.steps)?;
        let freed = freed(&done.steps, &census, &pressure);
        enough(most(&policy, &census, &pressure), freed, &pressure)?;
        if proposal.revision != census.revision {
            prop_assert_eq!(done.steps, plan(&policy, &census, &pressure));
        }
    }
}
