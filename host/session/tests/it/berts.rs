//! A BERT as Hugging Face has it, against what PyTorch made of the same
//! tensors; and what is none.

use std::path::Path;

use memory::MemoryPolicy;
use session::{Precision, Settings, Source};

use crate::reference::Vector;
use crate::stand::{fixture, largest_difference, read, residency, residency_in};

/// Of the third last of the hidden states, which are about 1.
const TOLERANCE: f32 = 1e-5;

const TEXTS: [(&str, usize); 3] = [
    ("今日はいい天気ですね。", 0),
    ("あ", 0),
    ("彼は3時にABC駅で髙橋さんと会った!😀", 2),
];

#[tokio::test]
async fn tensors_of_hugging_face_give_what_pytorch_gives() {
    let residency = residency();
    let hidden = Vector::open(&fixture("bert").join("hidden.npz"));
    for file in ["model.safetensors", "pytorch_model.bin"] {
        let of = |name: &str| Source::Path(fixture("bert").join(name));
        let settings = Settings::default();
        let bert = residency.bert(&of(file), &of("vocab.txt"), &settings);
        let bert = bert.unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(bert.width(), 48);
        for (number, (text, unknown)) in TEXTS.iter().enumerate() {
            let ids = bert.encode(text).expect("ids");
            assert_eq!(ids, hidden.ints(&format!("ids{number}")), "{text}");
            assert_eq!(ids.iter().filter(|id| **id == 3).count(), *unknown);
        }
        // The last has 303 characters: farther than positions are told apart.
        for number in 0..=3 {
            let ids = hidden.ints(&format!("ids{number}"));
            let expected = hidden.floats(&format!("hidden{number}"));
            // What is padding is not heard.
            for padded in [ids.len(), ids.len() + 37] {
                let features = read(&bert, ids.clone(), padded).await;
                assert_eq!(features.rows, ids.len());
                let apart = largest_difference(&features.data, &expected);
                assert!(apart < TOLERANCE, "{file}, text {number}: {apart}");
            }
        }
    }
}

/// Matrices of 48 by 48 with noise for weights, through five layers: nothing
/// averages out as it does in a real one.
#[tokio::test]
async fn in_eight_bits_it_gives_nearly_the_same() {
    let residency = residency();
    let hidden = Vector::open(&fixture("bert").join("hidden.npz"));
    let of = |name: &str| Source::Path(fixture("bert").join(name));
    let open = |precision| {
        let settings = Settings {
            precision,
            ..Settings::default()
        };
        let bert = residency.bert(&of("model.safetensors"), &of("vocab.txt"), &settings);
        bert.expect("a BERT")
    };
    let (full, eight) = (open(Precision::Full), open(Precision::Int8));
    assert_ne!(full.identity(), eight.identity(), "one cache for both");
    for number in 0..=3 {
        let ids = hidden.ints(&format!("ids{number}"));
        let expected = hidden.floats(&format!("hidden{number}"));
        for padded in [ids.len(), ids.len() + 37] {
            let features = read(&eight, ids.clone(), padded).await;
            let decibels = signal(&expected, &features.data);
            assert!(decibels > 25.0, "text {number}: {decibels} dB");
            assert!(decibels < 80.0, "text {number}: nothing was rounded");
        }
    }
}

/// The next start reads no floats: what was rounded is there, and made anew
/// where it was damaged or the files are others.
#[tokio::test]
async fn what_was_rounded_is_kept() {
    let (folder, cache) = (tempfile::tempdir(), tempfile::tempdir());
    let (folder, cache) = (folder.expect("a folder"), cache.expect("a folder"));
    let (folder, cache) = (folder.path(), cache.path());
    for name in ["config.json", "vocab.txt", "model.safetensors"] {
        std::fs::copy(fixture("bert").join(name), folder.join(name)).expect("a copy");
    }
    let hidden = Vector::open(&fixture("bert").join("hidden.npz"));
    let ids = hidden.ints("ids0");
    let settings = Settings {
        precision: Precision::Int8,
        ..Settings::default()
    };
    let said = async || {
        let residency = residency_in(MemoryPolicy::default(), cache);
        let of = |name: &str| Source::Path(folder.join(name));
        let bert = residency.bert(&of("model.safetensors"), &of("vocab.txt"), &settings);
        let bert = bert.unwrap_or_else(|e| panic!("{e}"));
        read(&bert, ids.clone(), ids.len()).await.data
    };
    let kept = || {
        let entries = std::fs::read_dir(cache.join("int8")).expect("a folder");
        let mut paths: Vec<_> = entries.map(|it| it.expect("an entry").path()).collect();
        paths.sort();
        paths
    };
    let expected = said().await;
    let first = kept();
    assert_eq!(first.len(), 1, "{first:?}");
    let made = std::fs::read(&first[0]).expect("a model");
    assert!(said().await == expected, "from there");
    for damage in [&made[..made.len() / 2], b"", b"no model"] {
        std::fs::write(&first[0], damage).expect("a write");
        assert!(said().await == expected, "made anew");
        assert_eq!(std::fs::read(&first[0]).expect("a model").len(), made.len());
    }
    let model = folder.join("model.safetensors");
    let mut other = std::fs::read(&model).expect("tensors");
    let (from, to) = (other.len() / 4, other.len() / 2);
    other[from..to].fill(0);
    std::fs::write(&model, other).expect("a write");
    assert!(said().await != expected, "of other files");
    assert_eq!(kept().len(), 2, "{:?}", kept());
}

/// What is right, over what is wrong, in decibels.
fn signal(right: &[f32], found: &[f32]) -> f32 {
    assert_eq!(right.len(), found.len());
    let wrong: f32 = right.iter().zip(found).map(|(a, b)| (a - b).powi(2)).sum();
    let whole: f32 = right.iter().map(|it| it.powi(2)).sum();
    10.0 * (whole / wrong.max(1e-30)).log10()
}

/// What people have in such a folder and is no BERT of this kind, each with
/// what is wrong.
#[tokio::test]
async fn tensors_that_are_no_bert_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    for name in ["config.json", "vocab.txt", "model.safetensors"] {
        std::fs::copy(fixture("bert").join(name), folder.join(name)).expect("a copy");
    }
    assert_eq!(refused(folder), None, "as it is");
    let config = std::fs::read_to_string(folder.join("config.json")).expect("the config");
    for (from, to, said) in [
        ("\"deberta-v2\"", "\"bert\"", "a `bert`, no `deberta-v2`"),
        (
            "\"share_att_key\": true",
            "\"share_att_key\": false",
            "`share_att_key` is false",
        ),
        ("\"layer_norm\"", "\"none\"", "`norm_rel_ebd` is none"),
        (
            "\"hidden_act\": \"gelu\"",
            "\"hidden_act\": \"relu\"",
            "`hidden_act` is relu",
        ),
        (
            "\"conv_act\": \"gelu\"",
            "\"conv_act\": \"mish\"",
            "`conv_act` is mish",
        ),
        (
            "\"num_hidden_layers\": 5",
            "\"num_hidden_layers\": 2",
            "`num_hidden_layers` is 2",
        ),
        (
            "\"num_hidden_layers\": 5",
            "\"num_hidden_layers\": 9",
            "encoder.layer.5.",
        ),
        (
            "\"num_hidden_layers\": 5",
            "\"num_hidden_layers\": 4000000000",
            "must be 1 to",
        ),
        (
            "\"num_attention_heads\": 3",
            "\"num_attention_heads\": 0",
            "`num_attention_heads` is 0",
        ),
        (
            "\"num_attention_heads\": 3",
            "\"num_attention_heads\": 4",
            "4 of 16",
        ),
        (
            "\"position_buckets\": 256",
            "\"position_buckets\": -1",
            "`position_buckets`",
        ),
        (
            "\"position_buckets\": 256",
            "\"position_buckets\": 128",
            "rel_embeddings.weight` is [512, 48], expected [256, 48]",
        ),
        ("1e-07", "-1", "`layer_norm_eps`"),
        ("{", "", "config.json"),
    ] {
        let changed = config.replacen(from, to, 1);
        assert_ne!(changed, config, "{from}");
        std::fs::write(folder.join("config.json"), changed).expect("a write");
        let told = refused(folder).unwrap_or_else(|| panic!("{to}"));
        assert!(told.contains(said), "{to}: {told}");
    }
    std::fs::write(folder.join("config.json"), &config).expect("a write");
    std::fs::write(folder.join("vocab.txt"), "[PAD]\n").expect("a write");
    assert!(refused(folder).is_some_and(|told| told.contains("`[CLS]`")));
    std::fs::remove_file(folder.join("vocab.txt")).expect("it was there");
    assert!(refused(folder).is_some_and(|told| told.contains("vocab.txt")));
    std::fs::copy(fixture("bert").join("vocab.txt"), folder.join("vocab.txt")).expect("a copy");
    std::fs::remove_file(folder.join("config.json")).expect("it was there");
    assert!(refused(folder).is_some_and(|told| told.contains("config.json")));
}

fn refused(folder: &Path) -> Option<String> {
    let of = |name: &str| Source::Path(folder.join(name));
    let model = of("model.safetensors");
    let opened = residency().bert(&model, &of("vocab.txt"), &Settings::default());
    opened.err().map(|error| error.to_string())
}
