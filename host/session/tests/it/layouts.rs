//! A decoder's layout and how many of its windows are decoded at a time change
//! nothing that is heard.

use std::collections::BTreeMap;
use std::path::PathBuf;

use session::gate::Verdict;
use session::residency::Residency;
use session::voice::{Dice, Pace};
use session::{Layout, Settings, Source};
use sha2::{Digest, Sha256};

use crate::stand::{
    WAIT, fixture, input, largest_difference, policy, residency_in, residency_with, speak,
};

/// Of samples within ±1.
const NOISE: f32 = 1e-5;

#[tokio::test]
async fn blocks_and_windows_side_by_side_say_the_same() {
    let residency = residency_with(policy("budget = \"512MiB\"\nworkspace = \"256MiB\""));
    let said = || {
        let mut said = input(64);
        said.length_scale = 6.0;
        said.noise_scale = 0.6;
        said.dice = Dice::Seed(7);
        said
    };
    let voice = Source::Path(fixture("import"));
    let usual = Settings {
        layout: Layout::Rows,
        slots: 1,
        ..Settings::default()
    };
    let open = |settings: &Settings| {
        let opened = residency.voice("voice", &voice, settings);
        opened.unwrap_or_else(|e| panic!("{settings:?}: {e}"))
    };
    let first = open(&usual);
    let expected = speak(&first, said()).await;
    let frames = expected.len() / 512;
    assert!(frames > 256, "several windows: {frames} frames");
    let ways = [
        (Layout::Rows, 3, false),
        (Layout::Blocks, 1, false),
        (Layout::Blocks, 3, false),
        (Layout::Blocks, 2, true),
    ];
    for (layout, threads, prepack) in ways {
        let settings = Settings {
            layout,
            threads,
            prepack,
            ..usual.clone()
        };
        let voice = open(&settings);
        for pace in [Pace::Even, Pace::Soon] {
            let mut said = said();
            said.pace = pace;
            let heard = speak(&voice, said).await;
            let difference = largest_difference(&expected, &heard);
            assert!(difference < NOISE, "{settings:?}: {difference:e}");
        }
    }
}

#[tokio::test]
async fn a_voice_in_blocks_swaps_and_comes_back_bit_for_bit() {
    let residency = residency_with(policy("budget = \"512MiB\"\nworkspace = \"256MiB\""));
    let settings = Settings {
        layout: Layout::Blocks,
        threads: 2,
        slots: 1,
        ..Settings::default()
    };
    let source = Source::Path(fixture("import"));
    let voice = residency.voice("voice", &source, &settings);
    let voice = voice.unwrap_or_else(|e| panic!("{e}"));
    for template in residency.report().expect("it is open").templates {
        assert!(matches!(template.verdict, Verdict::Swappable { .. }));
    }
    let first = speak(&voice, input(64)).await;
    assert!(speak(&voice, input(64)).await == first);
}

#[tokio::test]
async fn what_is_left_goes_on_in_any_session_of_the_voice() {
    let residency = residency_with(policy("budget = \"512MiB\"\nworkspace = \"256MiB\""));
    for threads in [1, 2] {
        let settings = Settings {
            threads,
            window: 32,
            slots: 2,
            ..Settings::default()
        };
        let source = Source::Path(fixture("import"));
        let voice = residency.voice("voice", &source, &settings);
        let voice = voice.unwrap_or_else(|e| panic!("{e}"));
        let said = || {
            let mut said = input(64);
            said.length_scale = 6.0;
            said
        };
        let whole = speak(&voice, said()).await;
        let mut samples = Vec::new();
        let mut sink = |window: &[f32]| {
            samples.extend_from_slice(window);
            Ok(())
        };
        let mut lease = voice.checkout(64, WAIT).await.expect("a session");
        let spoken = lease.speak_until(said(), &|| true, &mut sink);
        let mut rest = spoken.expect("a turn");
        let mut leases = 1;
        while let Some(left) = rest {
            // Somebody else has the session meanwhile.
            let mut other = voice.checkout(64, WAIT).await.expect("another one");
            lease.release();
            let mut short = input(64);
            short.length_scale = 0.5;
            other.run(short).expect("a run");
            lease = voice.checkout(64, WAIT).await.expect("a session");
            other.release();
            rest = lease.go_on(left, &|| true, &mut sink).expect("a turn");
            leases += 1;
        }
        lease.release();
        assert!(leases > 3, "{leases} turns");
        assert!(samples == whole, "to the bit, with {threads} threads");
    }
}

/// What lies there instead of a graph.
type Damage<'d> = &'d dyn Fn(&[u8]) -> Vec<u8>;

/// The next start takes it from there; what is damaged is made anew, and what
/// cannot be opened is passed over.
#[tokio::test]
async fn a_graph_that_was_rewritten_is_kept_and_says_the_same() {
    let of = || policy("budget = \"512MiB\"\nworkspace = \"256MiB\"");
    let voice = Source::Path(fixture("import"));
    let settings = Settings {
        layout: Layout::Blocks,
        ..Settings::default()
    };
    let open = |residency: &Residency| {
        let opened = residency.voice("voice", &voice, &settings);
        opened.unwrap_or_else(|e| panic!("{e}"))
    };
    let expected = speak(&open(&residency_with(of())), input(64)).await;
    let cache = tempfile::tempdir().expect("a folder");
    let graphs = || -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = std::fs::read_dir(cache.path().join("graphs")).expect("graphs are kept");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let read = |path: PathBuf| (path.clone(), std::fs::read(path).expect("a graph"));
        paths.map(read).collect()
    };
    let said = async || {
        let residency = residency_in(of(), cache.path());
        speak(&open(&residency), input(64)).await
    };
    let heard = said().await;
    let difference = largest_difference(&heard, &expected);
    assert!(heard == expected, "where it was made: {difference:e}");
    let made = graphs();
    assert_eq!(made.len(), 2, "front and decoder: {:?}", made.keys());
    let weights: usize = 1 << 20;
    assert!(made.values().all(|graph| graph.len() < weights), "weights");
    let whole = |graph: &[u8]| [graph, &Sha256::digest(graph)[..]].concat();
    let damages: [(&str, Damage<'_>, bool); 4] = [
        ("as it was", &|graph| graph.to_vec(), true),
        ("cut off", &|graph| graph[..graph.len() / 2].to_vec(), true),
        ("empty", &|_| Vec::new(), true),
        ("another's", &|_| whole(b"no graph"), false),
    ];
    for (name, damage, mended) in damages {
        for (path, graph) in &made {
            std::fs::write(path, damage(graph)).expect("a write");
        }
        assert!(said().await == expected, "{name}");
        assert_eq!(graphs() == made, mended, "{name}");
    }
}
