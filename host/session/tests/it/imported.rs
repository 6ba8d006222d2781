//! Voices that are tensors alone, against what PyTorch made of the same
//! tensors: lengths exactly, samples within 1e-4.

use std::path::{Path, PathBuf};

use session::gate::Verdict;
use session::voice::{Dice, NOISE_LENGTH, Pace, VoiceInput, place_of_die};
use session::{Settings, Source};

use crate::reference::Vector;
use crate::stand::{fixture, largest_difference, open, residency, shared, speak};

const TOLERANCE: f32 = 1e-4;
/// A few more tokens that are padding.
const PADDED: usize = 9;

/// Half precision, which the repository has: random weights, made by
/// Style-Bert-VITS2's own classes.
#[tokio::test]
async fn a_halved_voice_says_what_pytorch_says() {
    let residency = residency();
    let folder = fixture("import");
    let voice = open(&residency, &Source::Path(folder.clone()));
    for number in 1..=2 {
        let reference = folder.join("reference");
        let input = Vector::open(&reference.join(format!("input{number}.npz")));
        let expected = Vector::open(&reference.join(format!("halved{number}.npz")));
        let samples = speak(&voice, input_of(&input, "bert")).await;
        compare(&samples, &expected, &format!("case {number}"));
    }
    let report = residency.report().expect("a voice is open");
    assert_eq!(report.templates.len(), 1);
    let verdict = &report.templates[0].verdict;
    assert!(matches!(verdict, Verdict::Swappable { .. }), "{verdict:?}");
    // Not under another speaker's name.
    let package = session::package::Package::open(&Source::Path(folder)).expect("a voice");
    assert_eq!(package.speakers().count(), 3);
}

#[tokio::test]
async fn every_case_of_both_networks_is_reproduced() {
    let mut checked = 0;
    let mut voices = Vec::new();
    let residency = residency();
    let open = |name: &str, path: PathBuf| {
        let voice = residency.voice(name, &Source::Path(path), &Settings::default());
        voice.unwrap_or_else(|e| panic!("{name}: {e}"))
    };
    for (name, features) in [
        ("voice-jp-extra", "bert"),
        ("voice-multilingual", "ja_bert"),
    ] {
        let Some(folder) = shared(&format!("import/{name}")) else {
            return;
        };
        let voice = open(name, folder.clone());
        for path in cases(&folder) {
            let vector = Vector::open(&path);
            let input = input_of(&vector, features);
            let samples = speak(&voice, input.clone()).await;
            compare(&samples, &vector, &path.display().to_string());
            // What is padding is not heard.
            let padded = speak(&voice, pad(input)).await;
            compare(&padded, &vector, &format!("{} padded", path.display()));
            checked += 1;
        }
        voices.push(voice);
    }
    // Three speakers or two, floats, halves or an .aivm: one template.
    let Some(aivm) = shared("import/voice-jp-extra.aivm") else {
        return;
    };
    let voice = open("aivm", aivm);
    voices.push(open("halved", fixture("import")));
    let folder = shared("import/voice-jp-extra").expect("as above");
    let vector = Vector::open(&folder.join("reference/case3.npz"));
    let samples = speak(&voice, input_of(&vector, "bert")).await;
    compare(&samples, &vector, "the .aivm");
    let report = residency.report().expect("voices are open");
    assert_eq!(report.templates.len(), 2, "one for each network");
    assert!(checked > 12, "only {checked} cases");
}

/// With dice that PyTorch was given: durations and samples of exactly that
/// throw, far outside of the splines' interval too.
#[tokio::test]
async fn given_dice_give_what_they_gave_to_pytorch() {
    for (name, features) in [
        ("voice-jp-extra", "bert"),
        ("voice-multilingual", "ja_bert"),
    ] {
        let Some(folder) = shared(&format!("import/{name}")) else {
            return;
        };
        let case = Vector::open(&folder.join("reference/noise.npz"));
        let mut row = vec![0.0; NOISE_LENGTH];
        for (die, draws) in ["noise_sdp", "noise_z"].into_iter().enumerate() {
            let (from, draws) = (place_of_die(die), case.floats(draws));
            row[from..from + draws.len()].copy_from_slice(&draws);
        }
        let voice = open(&residency(), &Source::Path(folder));
        let mut input = input_of(&case, features);
        input.dice = Dice::Given(row);
        compare(&speak(&voice, input.clone()).await, &case, name);
        input.dice = Dice::Seed(1);
        let other = speak(&voice, input).await;
        assert!(other.len() != case.floats("audio").len() || other != case.floats("audio"));
    }
}

/// Cases without dice: those with given ones need them from outside.
fn cases(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("reference")).expect("the cases");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|it| it == "npz"))
        .filter(|path| path.file_stem().is_some_and(|it| it != "noise"))
        .collect();
    paths.sort();
    paths
}

pub(crate) fn input_of(vector: &Vector, features: &str) -> VoiceInput {
    VoiceInput {
        true_length: vector.ints("x_tst_lengths")[0] as usize,
        tokens: vector.ints("x_tst"),
        tones: vector.ints("tones"),
        languages: vector.ints("language"),
        features: vector.halves(features),
        style_vector: vector.floats("style_vec"),
        speaker: vector.ints("sid")[0],
        length_scale: vector.floats("length_scale")[0],
        sdp_ratio: vector.floats("sdp_ratio")[0],
        noise_scale: vector.floats("noise_scale")[0],
        noise_scale_w: vector.floats("noise_scale_w")[0],
        dice: Dice::Fresh,
        pace: Pace::Even,
    }
}

fn pad(input: VoiceInput) -> VoiceInput {
    let (tokens, padded) = (input.tokens.len(), input.tokens.len() + PADDED);
    let row = |mut row: Vec<i64>| {
        row.resize(padded, 0);
        row
    };
    let mut features = Vec::with_capacity(padded * input.features.len() / tokens);
    for channel in input.features.chunks_exact(tokens) {
        features.extend_from_slice(channel);
        features.extend([0.0; PADDED]);
    }
    VoiceInput {
        features,
        tones: row(input.tones),
        languages: row(input.languages),
        tokens: row(input.tokens),
        ..input
    }
}

pub(crate) fn compare(samples: &[f32], expected: &Vector, what: &str) {
    let audio = expected.floats("audio");
    assert_eq!(samples.len(), audio.len(), "{what}");
    let difference = largest_difference(samples, &audio);
    assert!(difference < TOLERANCE, "{what}: {difference:e}");
}
