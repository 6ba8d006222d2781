//! What only a GPU can show. Without one each test says so and passes.

#![expect(
    clippy::disallowed_methods,
    reason = "tests find what set-up left by the environment"
)]

#[expect(dead_code, reason = "all that the other tests start from")]
#[path = "it/stand.rs"]
mod stand;

use memory::slab::Zone;
use session::device::{Device, Wanted};
use session::gate::Verdict;
use session::native::Kind;
use session::residency::Residency;
use session::voice::VoiceInput;
use session::{Error, Pointwise, Settings, Source};

use stand::{WAIT, input, policy, residency_with, shared, speak};

const MIB: u64 = 1 << 20;

/// A residency on the GPU, the settings for it, and a voice to try it with.
/// `KOEMASU_TEST_DEVICE=cpu` asks the processor the same, so that the tests
/// themselves are tried where there is no GPU.
fn device(memory: &str) -> Option<(Residency, Settings, Source)> {
    let residency = residency_with(policy(memory));
    let instead = std::env::var("KOEMASU_TEST_DEVICE").is_ok_and(|it| it == "cpu");
    let device = match residency.device(Wanted::Auto) {
        _ if instead => Device::Cpu,
        Ok(device @ Device::Cuda(_)) => device,
        Ok(Device::Cpu) | Err(_) => {
            eprintln!("skipped: no CUDA device answers");
            return None;
        }
    };
    let settings = Settings {
        device,
        pointwise: Pointwise::MatMul,
        ..Settings::default()
    };
    let voice = match std::env::var_os("KOEMASU_TEST_VOICE") {
        Some(voice) => Source::Path(voice.into()),
        None => Source::Path(shared("micro/micro.aivmx")?),
    };
    Some((residency, settings, voice))
}

fn quiet(length_scale: f32) -> VoiceInput {
    VoiceInput {
        length_scale,
        ..input(64)
    }
}

#[tokio::test]
async fn tensors_on_the_gpu_lie_in_the_slab() {
    let Some((residency, settings, source)) = device("budget = \"1GiB\"\nworkspace = \"512MiB\"")
    else {
        return;
    };
    let voice = residency.voice("v", &source, &settings).expect("opens");
    speak(&voice, quiet(2.0)).await;
    let report = residency.report().expect("a report");
    let slab = report.slab.expect("a slab");
    eprintln!(
        "slab: {} of {} bytes in use, high water {}, {} overdrafts",
        slab.in_use, slab.kind, slab.high_water, slab.overdrafts
    );
    assert_eq!(slab.kind, Kind::of(settings.device).name());
    let zone = |wanted: Zone| {
        let found = slab.zones.iter().find(|zone| zone.census.zone == wanted);
        found.expect("every zone").census
    };
    assert!(zone(Zone::Models).in_use > 0, "weights are aliased there");
    assert!(
        zone(Zone::Activations).high_water as u64 > MIB,
        "scratch and activations come from there"
    );
    assert_eq!(zone(Zone::Activations).in_use, 0, "and all came back");
    assert_eq!(slab.overdrafts, 0);
}

#[tokio::test]
async fn voices_swap_in_place_on_the_gpu() {
    let Some((residency, settings, source)) = device("budget = \"1GiB\"\nworkspace = \"512MiB\"")
    else {
        return;
    };
    // The template's own trial: A, B, A against fresh sessions on the device.
    let _voice = residency.voice("v", &source, &settings).expect("opens");
    let report = residency.report().expect("a report");
    let verdict = &report.templates[0].verdict;
    eprintln!("verdict: {verdict:?}");
    assert!(matches!(verdict, Verdict::Swappable { .. }), "{verdict:?}");
}

#[tokio::test]
async fn what_lies_outside_the_slab_stays_constant_after_warm_up() {
    let Some((residency, settings, source)) = device("budget = \"1GiB\"\nworkspace = \"512MiB\"")
    else {
        return;
    };
    let voice = residency.voice("v", &source, &settings).expect("opens");
    let run = async |turn: u32| {
        let scale = 0.3 + (turn * 37 % 50) as f32 / 10.0;
        speak(&voice, quiet(scale)).await;
    };
    for turn in 0..100 {
        run(turn).await;
    }
    let before = residency.report().expect("a report").outside;
    let runs = std::env::var("KOEMASU_TEST_RUNS").map_or(1_000, |it| it.parse().expect("a number"));
    for turn in 0..runs {
        run(turn).await;
    }
    let after = residency.report().expect("a report").outside;
    eprintln!("outside the slab: {before:?}, after {runs} runs {after:?}");
    let grown = after.beyond_slab.saturating_sub(before.beyond_slab);
    assert!(grown <= 8 * MIB, "grew by {grown} bytes");
}

#[tokio::test]
async fn the_budget_is_hard_on_the_gpu_too() {
    let Some((residency, settings, source)) =
        device("budget = \"192MiB\"\nworkspace = \"24MiB\"\nreserve = \"64MiB\"\nbert = \"1MiB\"")
    else {
        return;
    };
    let whole = Settings {
        window: 0,
        slots: 1,
        ..settings
    };
    let voice = residency.voice("v", &source, &whole).expect("opens");
    let short = speak(&voice, quiet(0.3)).await;
    let mut lease = voice.checkout(64, WAIT).await.expect("a session");
    let refused = tokio::task::spawn_blocking(move || lease.run(quiet(40.0)))
        .await
        .expect("no panic");
    let refused = refused.map(|samples| samples.len());
    assert!(matches!(refused, Err(Error::OutOfMemory(_))), "{refused:?}");
    eprintln!("refused: {refused:?}");
    assert_eq!(speak(&voice, quiet(0.3)).await.len(), short.len());
    let slab = residency.report().expect("a report").slab.expect("a slab");
    assert!(slab.high_water <= slab.budget);
}
