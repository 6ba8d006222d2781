//! What every test here starts from.

#[path = "library.rs"]
mod library;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use memory::MemoryPolicy;
use session::bert::{Bert, BertInput, Features};
use session::library::Rules;
use session::native::Tensors;
use session::residency::Residency;
use session::runtime::Runtime;
use session::voice::{Dice, Pace, Voice, VoiceInput};
use session::{Settings, Source};

use library::library;

pub(crate) const WAIT: Duration = Duration::from_secs(60);

pub(crate) fn residency() -> Residency {
    residency_with(MemoryPolicy::default())
}

/// The first one in a process decides where its tensors lie.
pub(crate) fn residency_with(policy: MemoryPolicy) -> Residency {
    let runtime = Runtime::start(&library()).expect("ONNX Runtime starts");
    Residency::new(runtime, policy, None)
}

pub(crate) fn rules(policy: MemoryPolicy) -> Rules {
    Rules {
        policy,
        proposer: None,
    }
}

/// Where the tensors of this process lie.
pub(crate) fn slab(residency: &Residency) -> Arc<Tensors> {
    let placement = residency.placement().expect("a model was opened");
    Arc::clone(placement.tensors().expect("a slab"))
}

/// With a cache in this folder.
pub(crate) fn residency_in(policy: MemoryPolicy, cache: &Path) -> Residency {
    let runtime = Runtime::start(&library()).expect("ONNX Runtime starts");
    Residency::new(runtime, policy, Some(cache.to_owned()))
}

/// `[memory]` as somebody would write it.
pub(crate) fn policy(text: &str) -> MemoryPolicy {
    toml::from_str(text).expect("a policy")
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn demo(name: &str) -> Source {
    Source::Path(repository().join("voices/demo").join(name))
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    repository().join("tests/fixtures").join(name)
}

/// The models of real architecture, where somebody has put them.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("KOEMASU_SHARED")
        .map_or_else(|| repository().join("../shared"), PathBuf::from);
    let path = folder.join("models").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is not there", path.display());
    None
}

/// A folder with a voice of these fixtures in it.
pub(crate) fn folder_voice(graph: &Path, config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copy = |from: &Path, to: &str| {
        std::fs::copy(from, folder.path().join(to)).expect("a copy");
    };
    copy(graph, "voice.onnx");
    copy(&fixture(config), "config.json");
    copy(&fixture("style_vectors.npy"), "style_vectors.npy");
    folder
}

pub(crate) fn open(residency: &Residency, source: &Source) -> Arc<Voice> {
    residency
        .voice("voice", source, &Settings::default())
        .unwrap_or_else(|e| panic!("{source:?}: {e}"))
}

pub(crate) async fn speak(voice: &Voice, input: VoiceInput) -> Vec<f32> {
    let tokens = input.tokens.len();
    let mut lease = voice.checkout(tokens, WAIT).await.expect("a session");
    let samples = lease.run(input).expect("a run");
    lease.release();
    samples
}

pub(crate) async fn read(bert: &Bert, ids: Vec<i64>, padded: usize) -> Features {
    let mut lease = bert.checkout(padded, WAIT).await.expect("a session");
    let features = lease.run(BertInput { ids, padded }).expect("a run");
    lease.release();
    features
}

/// Eleven phonemes with blanks, padded to `padded`, with features that differ
/// from place to place. No noise: the same input gives the same samples.
pub(crate) fn input(padded: usize) -> VoiceInput {
    let true_length = 23;
    let padded = padded.max(true_length);
    let row = |value: fn(usize) -> i64| {
        (0..padded)
            .map(|i| {
                if i < true_length && i % 2 == 1 {
                    value(i)
                } else {
                    0
                }
            })
            .collect::<Vec<i64>>()
    };
    let feature = |i: usize| {
        let (channel, place) = (i / padded, i % padded);
        if place < true_length {
            ((channel * 31 + place * 17) % 101) as f32 / 50.0 - 1.0
        } else {
            0.0
        }
    };
    VoiceInput {
        tokens: row(|i| 8 + (i as i64 * 7) % 90),
        tones: row(|i| 6 + (i as i64 / 4) % 2),
        languages: row(|_| 1),
        true_length,
        features: (0..1024 * padded).map(feature).collect(),
        style_vector: vec![0.1; 256],
        speaker: 0,
        length_scale: 1.0,
        sdp_ratio: 0.0,
        noise_scale: 0.0,
        noise_scale_w: 0.0,
        dice: Dice::Fresh,
        pace: Pace::Even,
    }
}

pub(crate) fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "lengths");
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |largest, next| {
        assert!(!next.is_nan(), "no number");
        next.max(largest)
    })
}
