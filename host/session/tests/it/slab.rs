//! One slab owns all tensors: voices swap in place and come back bit for bit,
//! everything freed is as new, and a run that goes over ends in an error.

use std::sync::Arc;

use memory::slab::Zone;
use session::gate::Verdict;
use session::residency::Residency;
use session::voice::{Voice, VoiceInput};
use session::{Error, Layout, Pointwise, Settings, Source};

use crate::stand::{
    WAIT, demo, fixture, folder_voice, input, largest_difference, policy, residency_with, rules,
    shared, slab, speak,
};

/// Another order of the same sums; a stale weight is heard at 1e-2.
const NOISE: f32 = 1e-5;

fn open(residency: &Residency, source: &Source, settings: &Settings) -> Arc<Voice> {
    residency
        .voice("voice", source, settings)
        .unwrap_or_else(|e| panic!("{source:?}: {e}"))
}

/// Voices of one architecture: the micro model, and copies of it of which some
/// bytes of weights differ.
fn family(folder: &std::path::Path, count: usize) -> Option<Vec<Source>> {
    let micro = shared("micro")?;
    let read = |name: &str| std::fs::read(micro.join(name)).expect("a fixture");
    let model = read("micro.onnx");
    let sources = (0..count).map(|number| {
        let voice = folder.join(format!("voice-{number}"));
        std::fs::create_dir_all(&voice).expect("a folder");
        let mut bytes = model.clone();
        alter(&mut bytes, number);
        std::fs::write(voice.join("model.onnx"), bytes).expect("a model");
        for name in ["config.json", "style_vectors.npy"] {
            std::fs::write(voice.join(name), read(name)).expect("a file");
        }
        Source::Path(voice)
    });
    Some(sources.collect())
}

/// Flips a low mantissa bit of every weight in one long stretch of floats, a
/// different one for each voice.
fn alter(model: &mut [u8], number: usize) {
    // `dec.conv_pre.weight` and what follows it: values, no structure.
    let name = b"dec.conv_pre.weight";
    let place = model
        .windows(name.len())
        .rposition(|window| window == name)
        .expect("the decoder's first weight");
    // The values come after the name: B, J, tag, length, bytes.
    let start = place + name.len() + 8;
    for value in model[start..start + 4_000].chunks_exact_mut(4) {
        value[1] ^= (number as u8) << 1;
    }
}

fn quiet(length_scale: f32) -> VoiceInput {
    VoiceInput {
        length_scale,
        ..input(64)
    }
}

#[tokio::test]
async fn voices_of_one_template_swap_and_come_back_bit_for_bit() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(sources) = family(folder.path(), 5) else {
        return;
    };
    let residency = residency_with(policy("budget = \"512MiB\"\nworkspace = \"128MiB\""));
    let settings = Settings {
        slots: 2,
        ..Settings::default()
    };
    let voices: Vec<_> = sources
        .iter()
        .map(|source| open(&residency, source, &settings))
        .collect();
    let report = residency.report().expect("a report");
    assert_eq!(report.templates.len(), 1, "one template for all");
    let template = &report.templates[0];
    assert!(
        matches!(template.verdict, Verdict::Swappable { difference } if difference < NOISE),
        "{:?}",
        template.verdict
    );
    assert_eq!(template.whole, None, "the graph is cut at its decoder");

    let mut first = Vec::new();
    for voice in &voices {
        first.push(speak(voice, quiet(4.0)).await);
    }
    for pair in first.windows(2) {
        assert!(pair[0] != pair[1], "the voices differ");
    }
    let mut order = 7_usize;
    for _ in 0..40 {
        order = (order * 5 + 3) % 64;
        let number = order % voices.len();
        let again = speak(&voices[number], quiet(4.0)).await;
        assert!(again == first[number], "voice {number} comes back");
    }
}

#[tokio::test]
async fn each_voice_sounds_as_in_a_session_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(sources) = family(folder.path(), 3) else {
        return;
    };
    let residency = residency_with(policy("budget = \"512MiB\"\nworkspace = \"128MiB\""));
    let own = Settings {
        prepack: true,
        window: 0,
        ..Settings::default()
    };
    for source in &sources {
        let swapped = open(&residency, source, &Settings::default());
        let alone = open(&residency, source, &own);
        for scale in [0.3, 1.0, 6.0] {
            let one = speak(&swapped, quiet(scale)).await;
            let other = speak(&alone, quiet(scale)).await;
            let difference = largest_difference(&one, &other);
            assert!(difference < NOISE, "{source:?} at {scale}: {difference:e}");
        }
    }
}

/// As a GPU has them; the trial of the template compares with the file's own.
#[tokio::test]
async fn convolutions_of_kernel_one_as_products_say_the_same() {
    let residency = residency_with(policy("budget = \"512MiB\"\nworkspace = \"128MiB\""));
    for name in ["tiny", "tiny-ml"] {
        let Some(voice) = shared(name) else {
            return;
        };
        let products = Settings {
            pointwise: Pointwise::MatMul,
            ..Settings::default()
        };
        let source = Source::Path(voice);
        let changed = open(&residency, &source, &products);
        let usual = open(&residency, &source, &Settings::default());
        let report = residency.report().expect("a report");
        for template in &report.templates {
            let verdict = &template.verdict;
            assert!(matches!(verdict, Verdict::Swappable { .. }), "{verdict:?}");
        }
        for scale in [0.3, 1.0, 6.0] {
            let one = speak(&changed, quiet(scale)).await;
            let other = speak(&usual, quiet(scale)).await;
            let difference = largest_difference(&one, &other);
            assert!(difference < NOISE, "{name} at {scale}: {difference:e}");
        }
    }
}

#[tokio::test]
async fn after_everything_is_dropped_the_slab_is_as_new() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(sources) = family(folder.path(), 4) else {
        return;
    };
    let residency = residency_with(policy("budget = \"256MiB\"\nworkspace = \"96MiB\""));
    let mut resting = None;
    for round in 0..3 {
        let voices: Vec<_> = sources
            .iter()
            .map(|source| open(&residency, source, &Settings::default()))
            .collect();
        for (index, scale) in [0.5, 2.0, 5.0, 1.0, 3.0].into_iter().enumerate() {
            speak(&voices[index % voices.len()], quiet(scale)).await;
            let slab = slab(&residency);
            let slab = slab.slab();
            assert_eq!(slab.zone(Zone::Activations).in_use, 0, "after a run");
            let owned: usize = slab.owners().iter().map(|owner| owner.in_use).sum();
            assert_eq!(owned, slab.in_use());
        }
        let in_use = slab(&residency).slab().in_use();
        assert_eq!(*resting.get_or_insert(in_use), in_use, "round {round}");
        drop(voices);
        let slab = slab(&residency);
        let slab = slab.slab();
        assert_eq!((slab.in_use(), slab.blocks()), (0, 0), "round {round}");
        for zone in Zone::ALL {
            let census = slab.zone(zone);
            assert_eq!(census.largest_free, census.bytes, "{zone:?} has no holes");
        }
    }
}

/// With as many slots as voices, each stays in its own, and there is no copy
/// beside it; with one voice more all wait as copies.
#[tokio::test]
async fn a_voice_with_a_slot_to_itself_lies_there_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(sources) = family(folder.path(), 3) else {
        return;
    };
    let residency = residency_with(policy("budget = \"256MiB\"\nworkspace = \"96MiB\""));
    let open = |source: &Source| open(&residency, source, &Settings::default());
    let tiers = || {
        let report = residency.report().expect("a report");
        let mut voices = report.library.voices;
        voices.sort_by(|a, b| a.name.cmp(&b.name));
        let tiers: Vec<_> = voices.iter().map(|voice| voice.tier).collect();
        (tiers, slab(&residency).slab().models().blobs)
    };
    let mut voices = vec![open(&sources[0]), open(&sources[1])];
    let mut first = Vec::new();
    for voice in &voices {
        first.push(speak(voice, quiet(1.0)).await);
    }
    assert_eq!(tiers(), (vec!["slot", "slot"], 0));
    for (voice, first) in voices.iter().zip(&first) {
        assert!(speak(voice, quiet(1.0)).await == *first);
    }
    assert_eq!(
        tiers(),
        (vec!["slot", "slot"], 0),
        "nobody took the other's"
    );
    voices.push(open(&sources[2]));
    for number in [2, 0, 1, 2, 0] {
        let said = speak(&voices[number], quiet(1.0)).await;
        assert!(number == 2 || said == first[number], "{number} is itself");
    }
    let (names, blobs) = tiers();
    assert_eq!(names, ["device"; 3]);
    assert!(blobs > 0);
}

#[tokio::test]
async fn more_voices_than_fit_all_speak_and_the_budget_holds() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(sources) = family(folder.path(), 8) else {
        return;
    };
    // Two slots and three blobs of 1.3 MB.
    let residency = residency_with(policy(
        "budget = \"72MiB\"\nworkspace = \"62MiB\"\nreserve = \"2MiB\"\nbert = \"1MiB\"\n[eviction]\nchurn_guard = \"0s\"",
    ));
    let voices: Vec<_> = sources
        .iter()
        .map(|source| open(&residency, source, &Settings::default()))
        .collect();
    let mut first = Vec::new();
    for voice in &voices {
        first.push(speak(voice, quiet(1.0)).await);
    }
    for (number, voice) in voices.iter().enumerate() {
        assert!(speak(voice, quiet(1.0)).await == first[number]);
    }
    let report = residency.report().expect("a report");
    assert!(report.library.evictions > 0, "{:?}", report.library);
    let slab = report.slab.expect("a slab");
    assert!(slab.high_water <= slab.budget);
    assert_eq!(slab.overdrafts, 0);
}

#[tokio::test]
async fn a_run_over_the_budget_ends_in_an_error_and_the_session_goes_on() {
    let Some(tiny) = shared("tiny") else {
        return;
    };
    // Far too little for a long sentence, enough for a short one.
    let residency = residency_with(policy(
        "budget = \"96MiB\"\nworkspace = \"24MiB\"\nreserve = \"16MiB\"\nbert = \"1MiB\"",
    ));
    let settings = Settings {
        window: 0,
        slots: 1,
        ..Settings::default()
    };
    let voice = open(&residency, &Source::Path(tiny), &settings);
    let short = speak(&voice, quiet(0.2)).await;
    let mut lease = voice.checkout(64, WAIT).await.expect("a session");
    let refused = tokio::task::spawn_blocking(move || lease.run(quiet(9.0)))
        .await
        .expect("no panic");
    assert!(matches!(refused, Err(Error::OutOfMemory(_))), "{refused:?}");
    let slab = slab(&residency);
    assert_eq!(slab.overdrafts(), 0, "the reserve was enough");
    assert_eq!(slab.slab().zone(Zone::Activations).in_use, 0);
    assert_eq!(slab.slab().zone(Zone::Reserve).in_use, 0);
    assert!(speak(&voice, quiet(0.2)).await == short, "usable again");
}

/// Speaks on a thread that may block, and says how long the windows were.
async fn windows(voice: &Voice, input: VoiceInput) -> Result<(Vec<f32>, Vec<usize>), Error> {
    let mut lease = voice.checkout(64, WAIT).await?;
    let spoken = tokio::task::spawn_blocking(move || {
        let (mut samples, mut windows) = (Vec::new(), Vec::new());
        lease.speak(input, &mut |window| {
            windows.push(window.len());
            samples.extend_from_slice(window);
            Ok(())
        })?;
        lease.release();
        Ok((samples, windows))
    });
    spoken.await.expect("no panic")
}

const MIB: usize = 1 << 20;

#[tokio::test]
async fn the_way_out_of_a_shortage_is_smaller_windows_then_alone_then_an_error() {
    let Some(tiny) = shared("tiny") else {
        return;
    };
    let residency = residency_with(policy("budget = \"256MiB\"\nworkspace = \"96MiB\""));
    // As it is in the file, the decoder of so small a voice has larger tensors
    // than its front, so that they can be refused alone.
    let settings = Settings {
        layout: Layout::Rows,
        ..Settings::default()
    };
    let voice = open(&residency, &Source::Path(tiny), &settings);
    let (expected, usual) = windows(&voice, quiet(3.0)).await.expect("spoken");
    assert!(usual[0] > 64 * 512);
    let device = slab(&residency);

    // A device that refuses one large tensor, then another.
    device.refuse_next(2, MIB);
    let (samples, smaller) = windows(&voice, quiet(3.0)).await.expect("spoken");
    assert!(smaller[0] < usual[0], "smaller windows: {smaller:?}");
    let difference = largest_difference(&expected, &samples);
    assert!(difference < NOISE, "{difference:e}");

    // The front refused once is run again, alone.
    device.refuse_next(1, 1);
    let (samples, again) = windows(&voice, quiet(3.0)).await.expect("spoken");
    assert!(samples == expected && again == usual);

    // A device that always refuses: an error that says what is missing, and
    // after it everything is as before.
    device.refuse_next(u32::MAX, 1);
    let refused = windows(&voice, quiet(3.0)).await;
    assert!(matches!(refused, Err(Error::OutOfMemory(_))));
    device.refuse_next(0, 0);
    let (samples, _) = windows(&voice, quiet(3.0)).await.expect("spoken");
    assert!(samples == expected, "the session is usable");
    assert_eq!(device.slab().zone(Zone::Activations).in_use, 0);
    let workspace = residency.report().expect("a report").workspace;
    assert_eq!(workspace.free, workspace.bytes, "no permit leaks");
}

#[tokio::test]
async fn whoever_takes_the_samples_may_go_and_the_run_ends() {
    let Some(micro) = shared("micro/micro.aivmx") else {
        return;
    };
    let residency = residency_with(policy("budget = \"256MiB\"\nworkspace = \"96MiB\""));
    let voice = open(&residency, &Source::Path(micro), &Settings::default());
    let mut lease = voice.checkout(64, WAIT).await.expect("a session");
    let (ended, windows) = tokio::task::spawn_blocking(move || {
        let mut windows = 0;
        let ended = lease.speak(quiet(20.0), &mut |_| {
            windows += 1;
            Err(Error::Cancelled)
        });
        lease.release();
        (ended, windows)
    })
    .await
    .expect("no panic");
    assert!(matches!(ended, Err(Error::Cancelled)), "{ended:?}");
    assert_eq!(windows, 1, "within one window");
    assert!(speak(&voice, quiet(1.0)).await.len() > 1_000);
}

#[tokio::test]
async fn a_policy_is_swapped_under_load_and_nothing_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(sources) = family(folder.path(), 6) else {
        return;
    };
    let text = |order: &str, slots: u32| {
        policy(&format!(
            "budget = \"80MiB\"\nworkspace = \"64MiB\"\nreserve = \"2MiB\"\nbert = \"1MiB\"\nslots = {slots}\n[eviction]\norder = \"{order}\"\nchurn_guard = \"0s\"\n[tiers]\nhost = \"{}MiB\"",
            slots * 4
        ))
    };
    let residency = Arc::new(residency_with(text("lru", 2)));
    let voices: Vec<_> = sources
        .iter()
        .map(|source| open(&residency, source, &Settings::default()))
        .collect();
    let mut first = Vec::new();
    for voice in &voices {
        first.push(speak(voice, quiet(1.0)).await);
    }
    let speakers: Vec<_> = (0..3)
        .map(|speaker| {
            let (voices, first) = (voices.clone(), first.clone());
            tokio::spawn(async move {
                for turn in 0..25 {
                    let number = (turn * 7 + speaker * 5) % voices.len();
                    let again = speak(&voices[number], quiet(1.0)).await;
                    assert!(again == first[number], "voice {number}, turn {turn}");
                }
            })
        })
        .collect();
    for turn in 0..20 {
        let order = ["lru", "lfu", "cost"][turn % 3];
        let late = residency.set_policy(rules(text(order, 1 + turn as u32 % 3)));
        assert_eq!(late.expect("obeyed"), [""; 0]);
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
    for speaker in speakers {
        speaker.await.expect("all spoken");
    }
    let mut another = text("lru", 2);
    another.touch = true;
    assert_eq!(
        residency.set_policy(rules(another)).expect("obeyed"),
        ["touch"],
        "at start only"
    );
}

#[tokio::test]
async fn renewed_slots_speak_as_before() {
    let residency = residency_with(policy("budget = \"256MiB\"\nworkspace = \"96MiB\""));
    let mut sources = vec![demo("demo.aivmx")];
    sources.extend(shared("micro/micro.aivmx").map(Source::Path));
    for source in sources {
        let voice = open(&residency, &source, &Settings::default());
        let before = speak(&voice, quiet(1.0)).await;
        let renewed = residency.renew().expect("renewed");
        eprintln!("{source:?}: {renewed} slots renewed");
        assert!(speak(&voice, quiet(1.0)).await == before);
    }
}

/// One is stored in half precision and sums up its phase, the other reads some
/// of its weights when it opens.
#[tokio::test]
async fn voices_swap_whatever_their_graphs_do_with_weights() {
    let folder = folder_voice(&fixture("resized.onnx"), "config.json");
    let resized = Source::Path(folder.path().to_owned());
    let residency = residency_with(policy("budget = \"256MiB\"\nworkspace = \"96MiB\""));
    for source in [demo("demo.aivmx"), resized] {
        let voice = open(&residency, &source, &Settings::default());
        let report = residency.report().expect("a report");
        for template in &report.templates {
            let verdict = &template.verdict;
            assert!(
                matches!(verdict, Verdict::Swappable { difference } if *difference < NOISE),
                "{source:?}: {verdict:?}"
            );
        }
        assert!(!speak(&voice, quiet(1.0)).await.is_empty());
    }
}

#[tokio::test]
async fn a_graph_that_never_says_the_same_twice_may_not_swap() {
    let residency = residency_with(policy("budget = \"256MiB\"\nworkspace = \"96MiB\""));
    let folder = folder_voice(&fixture("restless.onnx"), "config.json");
    let source = Source::Path(folder.path().to_owned());
    let voice = open(&residency, &source, &Settings::default());
    let report = residency.report().expect("a report");
    let template = &report.templates[0];
    assert!(
        matches!(&template.verdict, Verdict::NotSwappable { why } if why.contains("come back")),
        "{:?}",
        template.verdict
    );
    assert_eq!(template.slots, 0);
    assert!(!speak(&voice, quiet(1.0)).await.is_empty());
}

#[tokio::test]
async fn a_voice_with_sessions_of_its_own_has_them_in_the_slab() {
    let residency = residency_with(policy("budget = \"256MiB\"\nworkspace = \"96MiB\""));
    let own = Settings {
        prepack: true,
        ..Settings::default()
    };
    let voice = open(&residency, &demo("demo.aivmx"), &own);
    let first = speak(&voice, quiet(1.0)).await;
    let report = residency.report().expect("a report");
    let template = &report.templates[0];
    assert!(
        template.whole.is_some(),
        "and it cannot be cut: {template:?}"
    );
    assert_eq!(template.slots, 0);
    let known = &report.library.voices[0];
    let slab = slab(&residency);
    let held = slab.slab().models().sessions;
    assert_eq!(
        (known.tier, known.bytes),
        ("device", held),
        "counted as measured"
    );
    assert!(speak(&voice, quiet(1.0)).await == first);
    drop(voice);
    assert_eq!(slab.slab().in_use(), 0, "and all of it comes back");
}

#[tokio::test]
async fn a_model_that_does_not_fit_is_refused_with_a_cure() {
    let Some(tiny) = shared("tiny") else {
        return;
    };
    let residency = residency_with(policy(
        "budget = \"8MiB\"\nworkspace = \"4MiB\"\nreserve = \"1MiB\"\nbert = \"1MiB\"",
    ));
    let refused = residency.voice("voice", &Source::Path(tiny), &Settings::default());
    let message = refused.err().expect("too small").to_string();
    assert!(message.contains("memory.budget"), "{message}");
}
