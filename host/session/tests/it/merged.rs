//! Voices that are made of others: tensors as PyTorch makes them, sound as it
//! speaks with them, and nothing left of those that have gone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use session::package::{Groups, MergedStyle, Method, Package, Recipe, write_merged};
use session::{Settings, Source};

use crate::imported::{compare, input_of};
use crate::reference::Vector;
use crate::stand::{fixture, input, policy, residency, residency_with, shared, speak};

const GROUPS: Groups = Groups {
    voice: 0.3,
    pitch: 0.6,
    style: 0.2,
    tempo: 0.8,
};

/// Of sums over a tensor, against their size.
const TOLERANCE: f64 = 1e-4;

fn recipe(voices: &[&Path], method: Method) -> Recipe {
    Recipe {
        voices: voices
            .iter()
            .map(|it| Source::Path((*it).to_owned()))
            .collect(),
        method,
        speaker: "merged".to_owned(),
        styles: Vec::new(),
    }
}

/// The fixture's B and C: each tensor of A backwards, and turned by one.
fn altered(from: &Path, to: &Path, alter: fn(&mut Vec<[u8; 4]>)) {
    std::fs::create_dir_all(to).expect("a folder");
    for name in ["config.json", "style_vectors.npy"] {
        std::fs::copy(from.join(name), to.join(name)).expect("a copy");
    }
    let mut file = Tensors::read(&model_of(from));
    for (key, place) in file.places.clone() {
        if key == "iteration" {
            continue;
        }
        let bytes = &mut file.bytes[place.clone()];
        let mut values: Vec<[u8; 4]> = bytes.as_chunks::<4>().0.to_vec();
        alter(&mut values);
        bytes.copy_from_slice(values.as_flattened());
    }
    std::fs::write(to.join("voice.safetensors"), &file.bytes).expect("a write");
}

fn model_of(folder: &Path) -> PathBuf {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut paths = entries.map(|entry| entry.expect("an entry").path());
    let found = paths.find(|path| path.extension().is_some_and(|it| it == "safetensors"));
    found.expect("a model")
}

struct Tensors {
    bytes: Vec<u8>,
    places: BTreeMap<String, std::ops::Range<usize>>,
}

impl Tensors {
    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).expect("a model");
        let length = u64::from_le_bytes(*bytes.first_chunk().expect("a length")) as usize;
        let header: BTreeMap<String, Value> =
            serde_json::from_slice(&bytes[8..8 + length]).expect("a header");
        let entries = header.into_iter().filter(|(key, _)| key != "__metadata__");
        let places = entries.map(|(key, entry)| {
            let at = |number: usize| {
                let at = entry["data_offsets"][number].as_u64().expect("a place");
                8 + length + at as usize
            };
            (key, at(0)..at(1))
        });
        let places = places.collect();
        Self { bytes, places }
    }

    fn floats(&self, key: &str) -> Vec<f64> {
        let bytes = &self.bytes[self.places[key].clone()];
        let values = bytes.as_chunks::<4>().0.iter();
        values
            .map(|it| f64::from(f32::from_le_bytes(*it)))
            .collect()
    }
}

fn methods() -> [(&'static str, usize, Method); 5] {
    let usual = |slerp| Method::Usual {
        weights: GROUPS,
        slerp,
    };
    [
        ("usual_lerp", 2, usual(false)),
        ("usual_slerp", 2, usual(true)),
        ("add_diff", 3, Method::AddDifference(GROUPS)),
        ("add_null", 2, Method::AddNull(vec![GROUPS])),
        ("weighted_sum", 3, Method::WeightedSum(vec![0.5, 0.7, -0.2])),
    ]
}

#[tokio::test]
async fn five_ways_of_merging_give_the_tensors_and_the_sound_of_pytorch() {
    let (Some(a), Some(check)) = (shared("import/voice-jp-extra"), shared("import/merge")) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (b, c) = (folder.path().join("b"), folder.path().join("c"));
    altered(&a, &b, |values| values.reverse());
    altered(&a, &c, |values| values.rotate_right(1));
    let voices = [a.as_path(), &b, &c];
    let expected = std::fs::read(check.join("merge-check.json")).expect("what is expected");
    let expected: Value = serde_json::from_slice(&expected).expect("JSON");
    let residency = residency();
    for (name, count, method) in methods() {
        let made = recipe(&voices[..count], method);
        let written = folder.path().join(name);
        write_merged(&made, &written).unwrap_or_else(|e| panic!("{name}: {e}"));
        let tensors = Tensors::read(&written.join("merged.safetensors"));
        let told = expected["methods"][name].as_object().expect("a method");
        let mut checked = 0;
        let all: f64 = told["all_float_keys_abs_sum"].as_f64().expect("a number");
        let keys = tensors.places.keys();
        let sizes = keys.map(|key| tensors.floats(key).iter().map(|it| it.abs()).sum::<f64>());
        let sum: f64 = sizes.sum();
        assert!((sum - all).abs() < TOLERANCE * all, "{name}: {sum} {all}");
        for (key, told) in told.iter().filter(|(_, told)| told["first"].is_array()) {
            if key == "iteration" {
                continue;
            }
            let values = tensors.floats(key);
            let number = |what: &str| told[what].as_f64().expect("a number");
            let size = number("abs_sum").max(1.0);
            let sum: f64 = values.iter().sum();
            let sizes: f64 = values.iter().map(|it| it.abs()).sum();
            assert!(
                (sum - number("sum")).abs() < TOLERANCE * size,
                "{name} {key}"
            );
            let sizes_told = number("abs_sum");
            assert!(
                (sizes - sizes_told).abs() < TOLERANCE * size,
                "{name} {key}"
            );
            for (value, first) in values.iter().zip(told["first"].as_array().expect("four")) {
                let first = first.as_f64().expect("a number");
                assert!((value - first).abs() < TOLERANCE, "{name} {key}");
            }
            checked += 1;
        }
        assert!(checked > 14, "{name}: only {checked} tensors");

        // As it is read, and as it was written: one voice.
        let open = |name: &str, source: &Source| {
            let voice = residency.voice(name, source, &Settings::default());
            voice.unwrap_or_else(|e| panic!("{name}: {e}"))
        };
        let read = open(name, &Source::Merged(Arc::new(made)));
        let folder = open(&format!("{name} written"), &Source::Path(written));
        assert_eq!(
            read.package().speakers().count(),
            3,
            "not one: they keep their names"
        );
        assert_eq!(read.package().styles().collect::<Vec<_>>(), ["Neutral"]);
        let case = Vector::open(&a.join("reference/case1.npz"));
        let mut heard = input_of(&case, "bert");
        heard.sdp_ratio = 0.4;
        let samples = speak(&read, heard.clone()).await;
        let again = speak(&folder, heard).await;
        assert!(samples == again, "{name}");
        let sound = check.join(format!("{name}.npz"));
        if sound.exists() {
            compare(&samples, &Vector::open(&sound), name);
        }
        let report = residency.report().expect("voices are open");
        assert_eq!(report.templates.len(), 1, "merged or not, one template");
    }
}

#[test]
fn what_cannot_be_merged_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = fixture("import");
    let half = Method::Mix(vec![0.5, 0.5]);
    let refused = |recipe: Recipe| {
        let opened = Package::open(&Source::Merged(Arc::new(recipe)));
        opened.expect_err("refused").to_string()
    };
    let demo = crate::stand::demo("demo.aivmx");
    let export = demo.clone();
    let told = refused(Recipe {
        voices: vec![Source::Path(a.clone()), export],
        ..recipe(&[], half.clone())
    });
    assert!(told.contains("tensors alone"), "{told}");
    let told = refused(recipe(&[&a], half.clone()));
    assert!(told.contains("takes 2 voices, 1 are named"), "{told}");
    let nowhere = folder.path().join("nowhere");
    assert!(refused(recipe(&[&a, &nowhere], half.clone())).contains("nowhere"));
    let styles = vec![MergedStyle {
        name: "Sad".to_owned(),
        of: vec!["Neutral".to_owned(), "Nobody".to_owned()],
    }];
    let told = refused(Recipe {
        styles,
        ..recipe(&[&a, &a], half)
    });
    assert!(told.contains("no style `Nobody`"), "{told}");
    if let (Some(one), Some(other)) = (
        shared("import/voice-jp-extra"),
        shared("import/voice-multilingual"),
    ) {
        let told = refused(recipe(&[&one, &other], Method::Mix(vec![0.5, 0.5])));
        assert!(told.contains("one architecture and size"), "{told}");
    }
    // A folder that is there already is not written over.
    let there = folder.path().join("there");
    std::fs::create_dir(&there).expect("a folder");
    let made = recipe(&[&a, &a], Method::Mix(vec![0.5, 0.5]));
    write_merged(&made, &there).expect_err("it is there");
    let left = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 1, "nothing half-written");
}

/// Made, heard and dropped: memory is what it was, to the byte. One that is
/// held on to shows that the check can fail.
#[tokio::test]
async fn three_hundred_mixes_leave_nothing_behind() {
    let residency = residency_with(policy("slots = 1"));
    let a = fixture("import");
    let own = residency
        .voice("a", &Source::Path(a.clone()), &Settings::default())
        .expect("a voice");
    let mix = |number: u32| {
        let share = number as f32 / 400.0;
        let recipe = recipe(&[&a, &a], Method::Mix(vec![1.0 - share, share]));
        let source = Source::Merged(Arc::new(recipe));
        let name = format!("mix {number}");
        residency
            .voice(&name, &source, &Settings::default())
            .unwrap_or_else(|e| panic!("{name}: {e}"))
    };
    speak(&own, input(0)).await;
    speak(&mix(1), input(0)).await;
    let held = || {
        let report = residency.report().expect("a voice is open");
        report.slab.expect("a slab").in_use
    };
    let before = held();
    for number in 2..300 {
        speak(&mix(number), input(0)).await;
    }
    // One more than there are slots.
    let kept = [mix(300), mix(301)];
    for mix in &kept {
        speak(mix, input(0)).await;
    }
    assert!(held() > before, "a mix that is kept is seen");
    drop(kept);
    assert_eq!(held(), before);
    let report = residency.report().expect("a voice is open");
    assert_eq!(
        report.library.voices.len(),
        1,
        "only its own voice is known"
    );
}
