//! What memory costs, in one run: a voice's change against a session's
//! creation, runs from a slot against ordinary sessions, and the decoder's
//! memory whole and in windows.
//!
//! usage: memory_cost LIBRARY VOICE VOICE   (two voices of one architecture)

#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use memory::MemoryPolicy;
use session::residency::Residency;
use session::runtime::Runtime;
use session::voice::{Dice, Pace, Voice, VoiceInput};
use session::{Settings, Source, watch};

const WAIT: Duration = Duration::from_secs(300);

/// Wall and CPU seconds.
type Cost = (f64, f64);

fn main() {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(library), Some(a), Some(b)) = (arguments.next(), arguments.next(), arguments.next())
    else {
        eprintln!("usage: memory_cost LIBRARY VOICE VOICE");
        std::process::exit(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(measure(library, [a, b]));
}

async fn measure(library: PathBuf, voices: [PathBuf; 2]) {
    let policy: MemoryPolicy =
        toml::from_str("budget = \"5GiB\"\nworkspace = \"2GiB\"\nbert = \"1MiB\"\ntouch = true")
            .expect("a policy");
    let runtime = Runtime::start(&library).expect("ONNX Runtime starts");
    let residency = Residency::new(runtime, policy, None);
    let sources = voices.map(Source::Path);
    changes(&residency, &sources).await;
    runs(&residency, &sources[0]).await;
    let report = residency.report().expect("a report");
    println!(
        "\nresident {} MiB, of it the slab {} MiB, outside {} MiB",
        watch::rss() >> 20,
        report.slab.map_or(0, |slab| slab.budget) >> 20,
        report.outside.beyond_slab >> 20
    );
}

fn one_slot() -> Settings {
    Settings {
        slots: 1,
        ..Settings::default()
    }
}

fn own_session(window: usize) -> Settings {
    Settings {
        prepack: true,
        window,
        ..one_slot()
    }
}

async fn changes(residency: &Residency, sources: &[Source; 2]) {
    let voices = sources.each_ref().map(|source| {
        residency
            .voice("voice", source, &one_slot())
            .expect("opens")
    });
    let (mut turns, mut stays, mut created) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..12 {
        turns.push(timed(&voices[turn % 2], sentence(1, 1.0)).await.1);
    }
    for _ in 0..12 {
        stays.push(timed(&voices[0], sentence(1, 1.0)).await.1);
    }
    for turn in 0..4 {
        // Another window each time, so that a session is really created.
        let settings = own_session(129 + turn);
        let voice = residency
            .voice("voice", &sources[0], &settings)
            .expect("opens");
        let start = (Instant::now(), cpu());
        let lease = voice.checkout(3, WAIT).await.expect("a session");
        created.push((start.0.elapsed().as_secs_f64(), cpu() - start.1));
        lease.release();
    }
    let (turn, stay) = (median(&turns[4..]), median(&stays[2..]));
    println!("| what | wall s | CPU s |\n|---|---|---|");
    row("a run that changes the voice", turn);
    row("the same run without a change", stay);
    row("the change alone", (turn.0 - stay.0, turn.1 - stay.1));
    row("creating a session for a voice", median(&created));
}

async fn runs(residency: &Residency, source: &Source) {
    println!("\n| how | audio s | wall s | CPU s | CPU s per audio s | peak MiB of a run |");
    println!("|---|---|---|---|---|---|");
    let whole = Settings {
        window: 0,
        ..one_slot()
    };
    for (name, settings) in [
        ("slot, windows of 128", one_slot()),
        ("own session, prepacked, windows of 128", own_session(128)),
        ("slot, whole", whole),
    ] {
        let voice = residency.voice("voice", source, &settings).expect("opens");
        for (phonemes, scale) in [(12, 1.0), (40, 1.0), (100, 2.7)] {
            residency.forget_needs();
            let mut costs = Vec::new();
            let mut samples = 0;
            for _ in 0..3 {
                let (count, cost) = timed(&voice, sentence(phonemes, scale)).await;
                samples = count;
                costs.push(cost);
            }
            let (wall, cpu) = median(&costs);
            let audio = samples as f64 / 44_100.0;
            let needs = residency.report().expect("a report").workspace.needs;
            let peak = needs.iter().map(|need| need.bytes).max().unwrap_or(0);
            println!(
                "| {name} | {audio:.1} | {wall:.2} | {cpu:.2} | {:.3} | {:.1} |",
                cpu / audio,
                peak as f64 / f64::from(1 << 20)
            );
        }
    }
}

fn row(name: &str, (wall, cpu): Cost) {
    println!("| {name} | {wall:.3} | {cpu:.3} |");
}

async fn timed(voice: &Arc<Voice>, input: VoiceInput) -> (usize, Cost) {
    let tokens = input.tokens.len();
    let start = (Instant::now(), cpu());
    let mut lease = voice.checkout(tokens, WAIT).await.expect("a session");
    let run = move || {
        let samples = lease.run(input).expect("a run");
        lease.release();
        samples.len()
    };
    let samples = tokio::task::spawn_blocking(run).await.expect("no panic");
    (samples, (start.0.elapsed().as_secs_f64(), cpu() - start.1))
}

fn median(of: &[Cost]) -> Cost {
    let pick = |part: fn(&Cost) -> f64| {
        let mut values: Vec<_> = of.iter().map(part).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    (pick(|it| it.0), pick(|it| it.1))
}

/// CPU seconds of this process, in steps of 10 ms.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("proc");
    let after = stat.rsplit(") ").next().expect("fields");
    let ticks = after.split_whitespace().skip(11).take(2);
    ticks
        .map(|ticks| ticks.parse::<f64>().expect("a number"))
        .sum::<f64>()
        / 100.0
}

/// So many phonemes, without noise.
fn sentence(phonemes: usize, length_scale: f32) -> VoiceInput {
    let length = 2 * phonemes + 1;
    let row = |value: fn(usize) -> i64| {
        (0..length)
            .map(|i| if i % 2 == 1 { value(i) } else { 0 })
            .collect::<Vec<i64>>()
    };
    VoiceInput {
        tokens: row(|i| [8, 57, 40, 82, 26, 65, 76, 62][i / 2 % 8]),
        tones: row(|i| 6 + (i as i64 / 4) % 2),
        languages: row(|_| 1),
        true_length: length,
        features: vec![0.1; 1024 * length],
        style_vector: vec![0.05; 256],
        speaker: 0,
        length_scale,
        sdp_ratio: 0.0,
        noise_scale: 0.0,
        noise_scale_w: 0.0,
        dice: Dice::Fresh,
        pace: Pace::Even,
    }
}
