//! Each thing that is judged, broken once: the controls, without the hours.

use super::super::measure::{Dropped, End, Sample};
use super::super::zones::{Slab, Zone};
use super::*;

const BUDGET: usize = 100_000_000;
const ONE: Bound = Bound {
    slope_max: 1.0,
    requests_min: 200,
};

/// A sound run: 100 samples, 10 requests each, flat but for `wrong`.
fn run(wrong: impl Fn(usize, &mut Sample)) -> Run {
    let zone = |zone: &str, bytes, in_use| Zone {
        zone: zone.to_owned(),
        bytes,
        in_use,
        largest_free: bytes - in_use,
        free_entries: 1,
        fragmentation: 0.0,
    };
    let sample = |number: usize| {
        // One of three voices comes and goes.
        let voices = 2_000 + number % 2 * 1_000;
        let mut sample = Sample {
            requests: number * 10,
            rss: 200_000_000 + (number as u64 % 3) * 4_096,
            private: 150_000_000,
            evictions: number as u64,
            lanes: 2,
            slots: vec![2, 2],
            cast: number as u64 % 2,
            generations: 1,
            slab: Some(Slab {
                in_use: 7_000 + voices,
                high_water: 20_000,
                overdrafts: 0,
                voices,
                reachable: 43_000,
                zones: vec![
                    zone("models", 50_000, 7_000 + voices),
                    zone("activations", 10_000, 0),
                    zone("reserve", 1_000, 0),
                ],
            }),
            ..Sample::default()
        };
        wrong(number, &mut sample);
        sample
    };
    Run {
        mode: "slab".to_owned(),
        samples: (0..100).map(sample).collect(),
        end: End {
            budget: BUDGET,
            dropped: Some(Dropped::default()),
            happened: Some(happened()),
            ..End::default()
        },
    }
}

fn happened() -> Happened {
    Happened {
        made: 25,
        templates: 16,
        refused: 2,
        reloads: 3,
        words: 1,
        voices: 1,
        lanes: vec![2, 3],
        streams: 5,
        slow: 5,
        vanished: 5,
    }
}

fn slab(sample: &mut Sample) -> &mut Slab {
    sample.slab.as_mut().expect("a slab")
}

/// A block that nobody accounts for.
fn block(sample: &mut Sample, zone: usize, bytes: usize) {
    let slab = slab(sample);
    slab.in_use += bytes;
    slab.zones[zone].in_use += bytes;
    slab.zones[zone].largest_free -= bytes;
    if zone == 0 {
        slab.reachable -= bytes;
    }
}

fn broken(run: &Run) -> Vec<String> {
    let judged = judge(run, ONE).into_iter();
    let broken = judged.filter(|told| told.verdict == Verdict::Broken);
    broken.map(|told| told.to_string()).collect()
}

type Wrong = fn(usize, &mut Sample);

#[test]
fn each_fault_is_found_and_named() {
    let cases: [(&str, Wrong, &[&str]); 14] = [
        ("nothing wrong", |_, _| {}, &[]),
        (
            "growth below the bound",
            |number, it| it.private += number as u64 * 9_000,
            &[],
        ),
        (
            "growth above the bound",
            |number, it| it.private += number as u64 * 11_000,
            &["private memory grows: 1.10 MB/1,000 requests, by least squares 1.10 (1 at most)"],
        ),
        (
            "one step is no slope",
            |number, it| it.rss += if number > 80 { 50_000_000 } else { 0 },
            &[],
        ),
        (
            "growth that ends in the first half",
            |number, it| it.rss += number.min(50) as u64 * 1_000_000,
            &[],
        ),
        (
            "a GPU that fills",
            |number, it| it.gpu = Some(number as u64 * 20_000),
            &["GPU memory grows: 2.00 MB/1,000 requests, by least squares 2.00 (1 at most)"],
        ),
        (
            "a block of a run that stays",
            |number, it| block(it, 1, usize::from(number > 50) * 256),
            &[
                "held for runs at rest: 256 bytes (0 after every burst)",
                "the same voices, another sum: 49 of 98 times (never)",
            ],
        ),
        (
            "a block that stays in a voice's region",
            |number, it| block(it, 0, usize::from(number == 99) * 256),
            &[
                "held by no voice at rest: 7,000 to 7,256 bytes at 2 lanes with 4 slots (to the byte the same after every burst)",
                "the same voices, another sum: 1 of 98 times (never)",
            ],
        ),
        (
            "a voice whose eviction is lost",
            |number, it| slab(it).voices -= usize::from(number > 90) * 1_000,
            &[
                "held by no voice at rest: 7,000 to 8,000 bytes at 2 lanes with 4 slots (to the byte the same after every burst)",
            ],
        ),
        (
            "a voice that accounts for too much",
            |number, it| slab(it).voices += usize::from(number > 90) * 9_000,
            &[
                "held by no voice at rest: -2000 to 7,000 bytes at 2 lanes with 4 slots (to the byte the same after every burst)",
            ],
        ),
        (
            "memory in pieces",
            |_, it| slab(it).reachable = 10_000,
            &[
                "divided by what stays: 66.0 % of the models' memory; of what is free 0.0 % is not in its longest piece (25 % of the models' memory at most)",
            ],
        ),
        (
            "over the budget",
            |_, it| slab(it).high_water = BUDGET + 1,
            &["most in use: 100,000,001 bytes (the budget, 100,000,000)"],
        ),
        (
            "a generation that does not end",
            |number, it| it.generations += usize::from(number == 7),
            &["generations at rest: 2 (1 after every burst)"],
        ),
        (
            "nothing was evicted",
            |_, it| it.evictions = 0,
            &["evictions: 0 (at least 1)"],
        ),
    ];
    for (name, wrong, faults) in cases {
        let found = broken(&run(wrong));
        assert_eq!(found, faults, "{name}");
    }
}

#[test]
fn what_is_kept_may_be_another_with_other_lanes() {
    let mut run = run(|number, it| {
        if number > 50 {
            (it.lanes, it.slots) = (3, vec![3, 3]);
            block(it, 0, 3_500);
        }
    });
    assert_eq!(broken(&run), Vec::<String>::new());
    run.samples[99].lanes = 2;
    run.samples[99].slots = vec![2, 2];
    assert_eq!(broken(&run).len(), 2);
}

#[test]
fn every_planted_fault_has_a_thing_that_finds_it() {
    let judged: Vec<_> = judge(&run(|_, _| {}), ONE);
    for fault in [
        SoakFault::Heap,
        SoakFault::Slab,
        SoakFault::Region,
        SoakFault::Eviction,
    ] {
        for thing in finds(fault) {
            assert!(judged.iter().any(|told| told.thing == *thing), "{fault:?}");
        }
    }
}

#[test]
fn what_is_left_at_the_end_and_what_failed_is_told() {
    let mut run = run(|_, _| {});
    run.end.failed = 2;
    run.end.reasons = vec!["no room".to_owned()];
    run.end.left_out = 1;
    run.end.left_out_reasons = vec!["voice `a`: no room".to_owned()];
    run.end.dropped = Some(Dropped {
        in_use: 512,
        blocks: 2,
        holders: vec!["leak (512 bytes)".to_owned()],
        torn: vec![],
    });
    run.end.happened = Some(Happened {
        refused: 0,
        slow: 0,
        ..happened()
    });
    assert_eq!(
        broken(&run),
        [
            "requests failed: 2 of 990 (none of at least 1)",
            "voices left out: 1 (none)",
            "left with every model gone: 512 bytes in 2 blocks of leak (512 bytes) (nothing, and each zone in one piece)",
            "templates, refused ones: 16, 0 (at least 12, 2)",
            "what happened meanwhile: 3 reloads (1 of the words, 1 of a voice, lanes 2 3), 5 streams, 0 slow readers, 5 vanished (each at least once)",
        ]
    );
}

#[test]
fn few_requests_have_no_slope_and_need_not_be_lively() {
    let mut run = run(|number, it| it.rss += number as u64 * 1_000_000);
    run.samples.truncate(5);
    run.end.happened = Some(Happened::default());
    assert_eq!(broken(&run), Vec::<String>::new());
    let open = |run: &Run| {
        let judged = judge(run, ONE).into_iter();
        judged.filter(|told| told.verdict == Verdict::Open).count()
    };
    assert_eq!(open(&run), 5);
    assert_eq!(Bound::new(Some(1.0)), ONE);
    assert_eq!(Bound::new(None).requests_min, WARM);
}

#[test]
fn few_voices_need_not_be_of_every_kind_or_be_evicted() {
    let mut run = run(|_, it| it.evictions = 0);
    run.end.happened = Some(Happened {
        made: 3,
        templates: 3,
        refused: 1,
        ..happened()
    });
    assert_eq!(broken(&run), Vec::<String>::new());
}

#[test]
fn nothing_is_proven_by_no_request() {
    let mut run = run(|_, _| {});
    run.samples.truncate(1);
    let nothing = "requests failed: 0 of 0 (none of at least 1)";
    assert_eq!(broken(&run), [nothing]);
}

#[test]
fn arenas_are_only_held_to_their_requests() {
    let mut run = run(|number, it| {
        it.slab = None;
        it.rss += number as u64 * 1_000_000;
    });
    run.end.budget = 0;
    run.end.dropped = None;
    assert_eq!(broken(&run), Vec::<String>::new());
    assert_eq!(judge(&run, ONE).len(), 2);
    assert!(run.figures().rss.robust > 90.0);
}

#[test]
fn beside_the_slab_an_arena_is_only_compared() {
    let slab = run(|_, _| {});
    let mut arena = run(|_, it| it.slab = None);
    arena.mode = "arena".to_owned();
    (arena.end.budget, arena.end.failed) = (0, 7);
    let verdict = |runs: &[Run]| {
        let judged = judge_all(runs, ONE);
        judged.last().map(|(_, judged)| judged[0].verdict)
    };
    assert_eq!(verdict(std::slice::from_ref(&arena)), Some(Verdict::Broken));
    assert_eq!(verdict(&[slab, arena]), Some(Verdict::Compared));
}
