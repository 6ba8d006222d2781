//! Voices that cannot share a slot, among those that can: each has its sessions
//! in a region, and nobody is refused while anything can go. And the limits of
//! memory that move while voices speak.

use std::sync::Arc;
use std::time::Duration;

use memory::slab::{self as books, Zone};
use memory::stretch::{Map, Tenant};
use session::residency::{Residency, SlabReport};
use session::voice::{Voice, VoiceInput};
use session::{Error, Settings, Source};

use crate::stand::{
    WAIT, demo, fixture, folder_voice, input, policy, read, residency_with, rules, speak,
};

const MIB: usize = 1 << 20;

fn report(residency: &Residency) -> SlabReport {
    let report = residency.report().expect("a report");
    report.slab.expect("a slab")
}

fn own() -> Settings {
    Settings {
        prepack: true,
        ..Settings::default()
    }
}

/// Voices of three templates, most of which have sessions of their own.
struct Mixed {
    voices: Vec<Arc<Voice>>,
    _folders: Vec<tempfile::TempDir>,
}

fn mixed(residency: &Residency, of_each: usize) -> Mixed {
    let folders = vec![
        folder_voice(&fixture("restless.onnx"), "config.json"),
        folder_voice(&fixture("multilingual.onnx"), "config-multilingual.json"),
    ];
    let mut voices = Vec::new();
    for number in 0..of_each {
        let mut open = |kind: &str, source: &Source, settings: &Settings| {
            let name = format!("{kind} {number}");
            let voice = residency.voice(&name, source, settings);
            voices.push(voice.unwrap_or_else(|e| panic!("{name}: {e}")));
        };
        open("demo", &demo("demo.aivmx"), &own());
        open("shared", &demo("demo.aivmx"), &Settings::default());
        for folder in &folders {
            let source = Source::Path(folder.path().to_owned());
            open("small", &source, &own());
        }
    }
    Mixed {
        voices,
        _folders: folders,
    }
}

fn map_of(slab: &books::Slab) -> Map {
    let tenant = |lot: books::Lot| Tenant {
        voice: lot.tenant.voice(),
        offset: lot.offset as u64,
        bytes: lot.bytes as u64,
        movable: matches!(lot.tenant, books::Tenant::Blob(_)),
    };
    Map {
        bytes: slab.zone(Zone::Models).bytes as u64,
        tenants: slab.tenants().into_iter().map(tenant).collect(),
    }
}

/// No stretch and no byte of the zone of models is anybody's that the report
/// does not name.
fn check_at_rest(residency: &Residency) {
    let report = residency.report().expect("a report");
    let slab = report.slab.as_ref().expect("a slab");
    for zone in &slab.zones {
        if zone.census.zone != Zone::Models {
            assert_eq!(zone.census.in_use, 0, "{zone:?}");
        }
    }
    let models = &slab.models;
    let resident = report.library.voices.iter();
    let resident = resident.filter(|voice| voice.tier == "device");
    let held: usize = resident.map(|voice| voice.bytes).sum();
    assert_eq!(models.sessions + models.blobs, held, "{report:?}");
    assert_eq!((models.other, slab.overdrafts), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_refused_while_anything_can_go() {
    // The largest takes 30 MiB as it opens, and there are eight of it.
    let residency = Arc::new(residency_with(policy(
        "budget = \"200MiB\"\nworkspace = \"96MiB\"\nreserve = \"8MiB\"\n[eviction]\nchurn_guard = \"100ms\"",
    )));
    let Mixed { voices, _folders } = mixed(&residency, 8);
    let speakers = (0..6_usize).map(|speaker| {
        let voices = voices.clone();
        tokio::spawn(async move {
            for turn in 0..24 {
                let number = (turn * 7 + speaker * 5 + turn * turn) % voices.len();
                let said = try_speak(&voices[number]).await;
                said.unwrap_or_else(|e| panic!("{number}, turn {turn}: {e}"));
            }
        })
    });
    for speaker in speakers.collect::<Vec<_>>() {
        speaker.await.expect("all were spoken");
    }
    check_at_rest(&residency);
    let held = residency.report().expect("a report");
    assert!(held.library.evictions > 20, "{:?}", held.library.evictions);
    let slab = report(&residency);
    assert!(slab.high_water <= slab.budget);
    drop(voices);
    let slab = crate::stand::slab(&residency);
    assert_eq!(slab.slab().in_use(), 0, "all of it comes back");
    assert_eq!(
        slab.slab().zone(Zone::Models).free_entries,
        1,
        "in one piece"
    );
}

async fn try_speak(voice: &Voice) -> Result<usize, Error> {
    let input = VoiceInput {
        length_scale: 0.3,
        ..input(64)
    };
    let mut lease = voice.checkout(64, WAIT).await?;
    let spoken = tokio::task::spawn_blocking(move || {
        let samples = lease.run(input)?;
        lease.release();
        Ok(samples.len())
    });
    spoken.await.expect("no panic")
}

/// Two that run hold all there is; the third waits for them and is not refused.
#[tokio::test(flavor = "multi_thread")]
async fn who_needs_room_that_runs_hold_waits_for_them() {
    let residency = Arc::new(residency_with(policy(
        "budget = \"132MiB\"\nworkspace = \"96MiB\"\nreserve = \"4MiB\"\n[eviction]\nchurn_guard = \"0s\"",
    )));
    let open = |name: &str| {
        let voice = residency.voice(name, &demo("demo.aivmx"), &own());
        voice.expect("it opens when it is wanted")
    };
    let (first, second) = (open("first"), open("second"));
    let held = first.checkout(64, WAIT).await.expect("a session");
    let refused = second.checkout(64, Duration::from_millis(300)).await;
    assert!(
        matches!(refused, Err(Error::NoRoom(_) | Error::NoWorkspace { .. })),
        "it waits as long as it may"
    );
    let waiting = {
        let second = Arc::clone(&second);
        tokio::spawn(async move { second.checkout(64, WAIT).await.map(|lease| lease.release()) })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    held.release();
    waiting.await.expect("no panic").expect("there is room now");
    check_at_rest(&residency);
}

#[tokio::test]
async fn copies_are_moved_together_when_a_stretch_is_missing() {
    let residency = residency_with(policy(
        "budget = \"160MiB\"\nworkspace = \"96MiB\"\nreserve = \"4MiB\"\n[eviction]\nchurn_guard = \"0s\"",
    ));
    let open = |name: &str| {
        let voice = residency.voice(name, &demo("demo.aivmx"), &Settings::default());
        voice.expect("it opens")
    };
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let mut voices: Vec<_> = names.iter().map(|name| open(name)).collect();
    let mut said = Vec::new();
    for voice in &voices {
        said.push(speak(voice, input(64)).await);
    }
    let full = report(&residency);
    let each = full.models.blobs / full.zones[0].census.blocks.saturating_sub(2).max(1);
    // Every other one goes: as many holes as voices.
    for place in [5, 3, 1] {
        voices.remove(place);
        said.remove(place);
    }
    let torn = report(&residency);
    assert!(
        torn.zones[0].census.free_entries >= 3,
        "{:?}",
        torn.zones[0]
    );
    let largest = torn.zones[0].census.largest_free;
    let free = torn.zones[0].census.free;
    assert!(largest < free && each > 0);
    // What is longer than any hole and shorter than all together.
    let big = residency.voice("big", &demo("demo.aivmx"), &own());
    let big = big.expect("it opens when it is wanted");
    speak(&big, input(64)).await;
    let after = report(&residency);
    assert!(after.moved > 0, "{after:?}");
    assert!(
        after.moved <= 4 * each as u64,
        "no more than there was to move"
    );
    for (voice, said) in voices.iter().zip(&said) {
        assert!(speak(voice, input(64)).await == *said, "whatever was moved");
    }
    check_at_rest(&residency);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_budget_moves_while_voices_speak() {
    let text = |budget: usize, workspace: usize| {
        policy(&format!(
            "budget = \"{budget}MiB\"\nworkspace = \"{workspace}MiB\"\nreserve = \"4MiB\"\n[eviction]\nchurn_guard = \"0s\""
        ))
    };
    let residency = Arc::new(residency_with(text(260, 96)));
    let Mixed { voices, _folders } = mixed(&residency, 4);
    let mut first = Vec::new();
    for voice in voices.iter().skip(1).step_by(4) {
        first.push((Arc::clone(voice), speak(voice, input(64)).await));
    }
    let speakers = (0..3_usize).map(|speaker| {
        let (voices, first) = (voices.clone(), first.clone());
        tokio::spawn(async move {
            for turn in 0..30 {
                let (voice, said) = &first[(turn + speaker) % first.len()];
                assert!(speak(voice, input(64)).await == *said, "turn {turn}");
                let number = (turn * 5 + speaker) % voices.len();
                let spoken = try_speak(&voices[number]).await;
                spoken.unwrap_or_else(|e| panic!("{number}, turn {turn}: {e}"));
            }
        })
    });
    let speakers: Vec<_> = speakers.collect();
    for (budget, workspace) in [(600, 200), (180, 64), (400, 96), (170, 80), (260, 96)] {
        let late = residency.set_policy(rules(text(budget, workspace)));
        assert_eq!(late.expect("obeyed"), [""; 0]);
        let now = report(&residency);
        assert_eq!(now.budget, budget * MIB, "at once");
        tokio::time::sleep(Duration::from_millis(400)).await;
        residency.watch();
    }
    for speaker in speakers {
        speaker.await.expect("all were spoken");
    }
    residency.set_policy(rules(text(170, 64))).expect("obeyed");
    residency.watch();
    let settled = report(&residency);
    for zone in &settled.zones {
        assert_eq!(zone.census.over, 0, "{zone:?}");
    }
    assert!(settled.in_use <= 170 * MIB);
    check_at_rest(&residency);
    let beyond = residency.set_policy(rules(text(1 << 30, 64)));
    assert!(
        matches!(&beyond, Err(Error::Memory(why)) if why.contains("restart")),
        "more than the system has"
    );
    for (voice, said) in &first {
        assert!(speak(voice, input(64)).await == *said, "nothing was lost");
    }
}

#[tokio::test]
async fn pages_of_who_goes_go_back_to_the_system() {
    let text = "budget = \"1GiB\"\nworkspace = \"96MiB\"\nreserve = \"4MiB\"";
    let residency = residency_with(policy(text));
    let source = demo("demo.aivmx");
    let mut voices = Vec::new();
    for number in 0..20 {
        let voice = residency.voice(&number.to_string(), &source, &Settings::default());
        let voice = voice.expect("it opens");
        speak(&voice, input(64)).await;
        voices.push(voice);
    }
    residency.tidy();
    let full = (report(&residency), session::watch::anonymous());
    let blobs = full.0.models.blobs;
    assert!(blobs > 100 * MIB, "{blobs}");
    // Nineteen of twenty go, as a watermark would have it.
    voices.truncate(1);
    residency.tidy();
    let less = (report(&residency), session::watch::anonymous());
    let gone = blobs - less.0.models.blobs;
    let told = full.0.resident - less.0.resident;
    assert!(
        told > gone / 10 * 9,
        "{told} of {gone} bytes, as the slab knows"
    );
    let really = full.1.saturating_sub(less.1);
    assert!(
        really as usize > gone / 10 * 9,
        "{really} of {gone} bytes, as the system counts"
    );
    speak(&voices[0], input(64)).await;
}

/// Twice the voices in the same bytes; what is stored as halves comes back to
/// the bit, and what is not is near.
#[tokio::test]
async fn weights_may_wait_as_halves() {
    let text = |precision: &str, host: &str| {
        policy(&format!(
            "budget = \"400MiB\"\nworkspace = \"96MiB\"\n[eviction]\nchurn_guard = \"0s\"\n[tiers]\nprecision = \"{precision}\"\nhost = \"{host}\""
        ))
    };
    let residency = residency_with(text("full", "0B"));
    let mut sources = vec![(demo("demo.aivmx"), 0.0)];
    sources.extend(crate::stand::shared("tiny").map(|path| (Source::Path(path), 5e-3)));
    for (source, most) in sources {
        let open = |name: &str| {
            let voice = residency.voice(name, &source, &Settings::default());
            voice.expect("it opens")
        };
        let voices = [open("a"), open("b"), open("c")];
        let (mut full, mut bytes) = (Vec::new(), 0);
        for voice in &voices {
            full.push(speak(voice, input(64)).await);
        }
        bytes += report(&residency).models.blobs;
        // Away, and back as halves, by way of the file and of host memory.
        for host in ["0B", "200MiB"] {
            residency
                .set_policy(rules(text("half", host)))
                .expect("obeyed");
            let marks = "watermarks = { warn = 0.000001, relieve = 0.000002 }\n";
            let relieved = policy(&format!(
                "{marks}budget = \"400MiB\"\nworkspace = \"96MiB\"\n[eviction]\nchurn_guard = \"0s\"\n[tiers]\nprecision = \"half\"\nhost = \"{host}\""
            ));
            residency.set_policy(rules(relieved)).expect("obeyed");
            residency.watch();
            assert_eq!(report(&residency).models.blobs, 0);
            residency
                .set_policy(rules(text("half", host)))
                .expect("obeyed");
            for (voice, full) in voices.iter().zip(&full) {
                let half = speak(voice, input(64)).await;
                let apart = crate::stand::largest_difference(full, &half);
                eprintln!("{source:?}, {host}: {apart:e} apart");
                assert!(apart <= most, "{source:?}, {host}: {apart:e}");
            }
        }
        // The one that a slot still held did not have to be loaded again.
        let halves = report(&residency).models.blobs;
        assert!(
            halves > 0 && halves * 10 <= bytes * 6,
            "{halves} of {bytes}"
        );
        residency
            .set_policy(rules(text("full", "0B")))
            .expect("obeyed");
    }
}

fn on_device(residency: &Residency) -> Vec<String> {
    let report = residency.report().expect("a report");
    let voices = report.library.voices.into_iter();
    let mut names: Vec<_> = voices
        .filter(|voice| voice.tier == "device")
        .map(|voice| voice.name)
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_watermark_sends_away_who_was_not_used_for_a_while_and_their_memory() {
    let text = |marks: &str, keep: &str| {
        policy(&format!(
            "budget = \"600MiB\"\nworkspace = \"96MiB\"\n[eviction]\nchurn_guard = \"0s\"\nkeep_idle = \"{keep}\"\n[watermarks]\n{marks}"
        ))
    };
    // Whatever is in use is more than so little.
    let warned = "warn = 0.000001\nrelieve = 1.0";
    let relieved = "warn = 0.000001\nrelieve = 0.000002";
    let calm = "warn = 0.99\nrelieve = 1.0";
    let residency = residency_with(text(calm, "1s"));
    // More than slots, so that they wait as copies.
    let Mixed { voices, _folders } = mixed(&residency, 3);
    for voice in &voices {
        try_speak(voice).await.expect("spoken");
    }
    let all = on_device(&residency);
    assert_eq!(all.len(), voices.len());
    residency.watch();
    assert_eq!(on_device(&residency), all, "calm");

    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let used = [&voices[0], &voices[5]];
    for voice in used {
        try_speak(voice).await.expect("spoken");
    }
    let resident = report(&residency).resident;
    residency
        .set_policy(rules(text(warned, "1s")))
        .expect("obeyed");
    residency.watch();
    assert_eq!(
        on_device(&residency),
        ["demo 0", "shared 1"],
        "only who was used within `keep_idle` stays"
    );
    residency
        .set_policy(rules(text(relieved, "1h")))
        .expect("obeyed");
    residency.watch();
    assert_eq!(on_device(&residency), [""; 0], "whoever is idle goes");
    let left = report(&residency);
    assert!(
        left.resident * 2 < resident,
        "{} of {resident}",
        left.resident
    );
    assert_eq!(left.models.sessions + left.models.blobs, 0);
    residency
        .set_policy(rules(text(calm, "1s")))
        .expect("obeyed");
    for voice in &voices {
        try_speak(voice).await.expect("and comes back");
    }
    // One of those that share slots lies in its own still.
    let mut copied = all;
    copied.retain(|name| name != "shared 1");
    assert_eq!(on_device(&residency), copied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn renewal_opens_every_slot_anew_beside_runs() {
    let residency = Arc::new(residency_with(policy(
        "budget = \"300MiB\"\nworkspace = \"96MiB\"\n[eviction]\nchurn_guard = \"0s\"",
    )));
    let Mixed { voices, _folders } = mixed(&residency, 2);
    let shared = Arc::clone(&voices[1]);
    let said = speak(&shared, input(64)).await;
    let slots: usize = {
        let report = residency.report().expect("a report");
        report.templates.iter().map(|it| it.slots).sum()
    };
    let (before, opened) = (report(&residency), residency.renew());
    assert_eq!(opened.expect("renewed"), slots, "each slot once");
    let after = report(&residency);
    assert!(after.allocations > before.allocations, "sessions are new");
    assert_eq!(after.models, before.models, "where they were");
    let speakers = (0..3_usize).map(|speaker| {
        let voices = voices.clone();
        tokio::spawn(async move {
            for turn in 0..10 {
                let number = (turn + speaker) % voices.len();
                try_speak(&voices[number]).await.expect("spoken");
            }
        })
    });
    let speakers: Vec<_> = speakers.collect();
    for _ in 0..5 {
        let residency = Arc::clone(&residency);
        let renewed = tokio::task::spawn_blocking(move || residency.renew());
        renewed.await.expect("no panic").expect("renewed");
    }
    for speaker in speakers {
        speaker.await.expect("nothing was lost");
    }
    assert!(speak(&shared, input(64)).await == said);
    check_at_rest(&residency);
}

/// What a run holds stays; what is idle is opened anew in the gap that a template
/// or a BERT leaves below it, whoever waits there, and says the same.
#[tokio::test(flavor = "multi_thread")]
async fn gaps_below_what_cannot_be_moved_are_closed() {
    let residency = residency_with(policy(
        "budget = \"200MiB\"\nworkspace = \"96MiB\"\nreserve = \"4MiB\"\n[eviction]\nchurn_guard = \"0s\"\npins = [\"kept\"]",
    ));
    let open = |name: &str, source: &Source, settings: &Settings| {
        let voice = residency.voice(name, source, settings);
        voice.unwrap_or_else(|e| panic!("{name}: {e}"))
    };
    let one = Settings {
        slots: 1,
        ..Settings::default()
    };
    // The settings keep its slots apart.
    let old = Settings {
        lanes: 2,
        ..one.clone()
    };
    let old = open("old", &demo("demo.aivmx"), &old);
    let bert = residency.bert(&demo("bert.onnx"), &demo("tokenizer.json"), &one);
    let bert = bert.expect("a BERT");
    let shared = open("shared", &demo("demo.aivmx"), &one);
    let kept = open("kept", &demo("demo.aivmx"), &own());
    let said = (
        speak(&shared, input(64)).await,
        speak(&kept, input(64)).await,
    );
    let ids = bert.encode("きょうはいい").expect("ids");
    let features = read(&bert, ids.clone(), ids.len()).await;
    let slab = crate::stand::slab(&residency);
    let is_own = |lot: &books::Lot| matches!(lot.tenant, books::Tenant::Sessions(_));
    let pinned = slab.slab().tenants().into_iter().find(is_own);
    let pinned = pinned.expect("it has sessions").tenant;
    drop(old);
    // Others come to lie in the gap: one copy at least, and sessions.
    let others: Vec<_> = (0..6)
        .map(|number| open(&format!("other {number}"), &demo("demo.aivmx"), &one))
        .collect();
    let sessions = open("sessions", &demo("demo.aivmx"), &own());
    for voice in others.iter().chain([&sessions]) {
        speak(voice, input(64)).await;
    }
    let of = |wanted: books::Tenant| {
        let lots = slab.slab().tenants().into_iter();
        let mut lots = lots.filter(|lot| lot.tenant == wanted);
        lots.next().expect("it is there").offset
    };
    let divided = || {
        let slab = slab.slab();
        let map = map_of(&slab);
        let voices = map.tenants.iter().filter_map(|it| it.voice);
        let going: Vec<_> = voices.filter(|it| Some(*it) != pinned.voice()).collect();
        map.divided(&going)
    };
    assert!(divided() > 0.1, "a gap: {}", divided());
    let (torn, high) = (of(books::Tenant::Slot), of(pinned));
    let lease = shared.checkout(64, WAIT).await.expect("its slot");
    residency.tidy();
    assert_eq!(of(books::Tenant::Slot), torn, "it is on loan");
    lease.release();
    residency.tidy();
    assert!(of(books::Tenant::Slot) < torn && of(pinned) < high);
    assert!(divided() <= 1.0 / 16.0, "{}", divided());
    let quiet = report(&residency).allocations;
    residency.tidy();
    assert_eq!(report(&residency).allocations, quiet, "it is enough");
    assert!(speak(&shared, input(64)).await == said.0);
    assert!(speak(&kept, input(64)).await == said.1);
    assert!(read(&bert, ids.clone(), ids.len()).await == features);
    for voice in others.iter().chain([&sessions]) {
        speak(voice, input(64)).await;
    }
    check_at_rest(&residency);
}

/// Who asks for less than what stays gets it, whatever lay where: over random
/// histories of regions and copies of fifty sizes.
#[test]
fn whatever_went_before_what_is_free_can_be_had_in_one_piece() {
    let mut random = 7_u64;
    let mut below = |most: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) as usize % most.max(1)
    };
    let sizes: Vec<usize> = (0..50).map(|_| 256 * (1 + below(4_000))).collect();
    let zone = 256 * 40_000;
    let mut slab = books::Slab::new(books::Layout([zone, 0, 0]));
    let owner = slab.owner("voices");
    let mut living: Vec<(u64, Option<books::RegionId>, usize)> = Vec::new();
    let mut asked = (0, 0);
    for turn in 0..4_000_u64 {
        let bytes = sizes[below(sizes.len())];
        // Idle ones go, the oldest first, until it fits once copies have moved.
        let mut going = Vec::new();
        while !map_of(&slab).fits(bytes as u64, &going) {
            going.push(living[going.len()].0);
        }
        for (voice, region, offset) in living.drain(..going.len()) {
            match region {
                Some(region) => slab.close_region(region),
                None => {
                    let place = slab.tenants().into_iter();
                    let mut place = place.filter(|lot| lot.tenant.voice() == Some(voice));
                    let lot = place.next().expect("it is there");
                    assert!(slab.free(lot.offset).is_some(), "{offset}");
                }
            }
        }
        for shift in map_of(&slab).shifts(bytes as u64, &[]).expect("it fits") {
            assert!(slab.relocate(shift.from as usize, shift.to as usize));
            asked.1 += 1;
        }
        let placed = match below(3) {
            0 => {
                let tenant = books::Tenant::Sessions(turn);
                let region = slab.open_region(owner, tenant, bytes).expect("room");
                (turn, Some(region), 0)
            }
            _ => (turn, None, slab.blob(owner, turn, bytes).expect("room")),
        };
        living.push(placed);
        asked.0 += 1;
    }
    assert_eq!(asked.0, 4_000);
    assert!(asked.1 > 100, "copies were moved: {}", asked.1);
}
