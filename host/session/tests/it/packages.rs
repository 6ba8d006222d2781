//! Every kind of package opens, and what is none says why.

use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value, json};
use session::package::{Package, Portrait};
use session::voice::Family;
use session::{Settings, Source};

use crate::stand::{demo, fixture, folder_voice, input, open, residency, shared, speak};

#[tokio::test]
async fn an_aivmx_knows_its_names() {
    let voice = open(&residency(), &demo("demo.aivmx"));
    let package = voice.package();
    assert_eq!(package.name(), "demo");
    let licence = package.licence().expect("a licence");
    for part in [
        "Attribution 4.0",
        "Nagoya Institute of Technology",
        "by/3.0",
    ] {
        assert!(licence.contains(part), "no {part} in {licence}");
    }
    assert_eq!(package.speakers().collect::<Vec<_>>(), ["demo", "demo-low"]);
    assert_eq!(
        package.styles().collect::<Vec<_>>(),
        ["Neutral", "Happy", "Sad", "Angry", "Whisper"]
    );
    assert_eq!(package.sampling_rate(), 44_100);
    let low = package.speaker_ids().find(|(name, _)| *name == "demo-low");
    assert_eq!(low.map(|(_, id)| id), Some(1));
    assert_eq!(voice.family(), Family::JpExtra);
    assert!(!speak(&voice, input(0)).await.is_empty());
}

#[test]
fn an_aivmx_tells_of_its_speakers_by_file_and_inside_the_program() {
    let demo = demo("demo.aivmx");
    let Source::Path(path) = &demo else {
        panic!("{demo:?}");
    };
    let bytes = std::fs::read(path).expect("the demo voice");
    let embedded = Source::Embedded(bytes.leak());
    for source in [demo, embedded] {
        let package = Package::open(&source).expect("a package");
        let manifest = package.manifest();
        assert_eq!(manifest.uuid, "5a5cd51a-190f-4e74-810b-87f529fccc92");
        assert_eq!(manifest.version, "1.0.0");
        assert_eq!(manifest.creators, ["koemasu"]);
        assert!(manifest.description.contains("synthetic voice"));
        let (low, angry) = manifest.style(1_733_487_011).expect("a style");
        assert_eq!(
            (low.name.as_str(), angry.name.as_str()),
            ("demo-low", "Angry")
        );
        assert_eq!(
            (low.local_id, &low.languages[..]),
            (1, &["ja".to_owned()][..])
        );
        assert_eq!(low.style_id(angry), Some(1_733_487_011));

        let portrait = package.portrait(&low.uuid).expect("the file");
        let icon = portrait.icon.expect("an icon");
        assert_eq!(icon.kind, "image/png");
        assert!(icon.bytes.starts_with(b"\x89PNG"));
        assert_eq!(portrait.styles.len(), 5);
        assert!(portrait.styles.iter().all(|style| style.samples.is_empty()));
        let nobody = package.portrait("nobody").expect("the file");
        assert_eq!(nobody, Portrait::default());
    }
}

#[test]
fn a_folder_has_uuids_by_its_names() {
    let open = |folder: &Path| {
        let source = Source::Path(folder.to_owned());
        Package::open(&source).expect("a package")
    };
    let folder = folder_voice(&fixture("jp-extra.onnx"), "config.json");
    let package = open(folder.path());
    let manifest = package.manifest();
    assert_eq!(manifest, open(&folder.path().join("")).manifest());
    let other = folder_voice(&fixture("jp-extra.onnx"), "config.json");
    assert_ne!(manifest.uuid, open(other.path()).manifest().uuid);
    assert_eq!(manifest.version, "1.0.0");
    let shown = manifest
        .speakers
        .iter()
        .map(|speaker| speaker.name.as_str());
    assert_eq!(
        shown.collect::<Vec<_>>(),
        package.speakers().collect::<Vec<_>>()
    );
    let speaker = &manifest.speakers[0];
    let styles = speaker.styles.iter().map(|style| style.name.as_str());
    assert_eq!(
        styles.collect::<Vec<_>>(),
        package.styles().collect::<Vec<_>>()
    );
    let portrait = package.portrait(&speaker.uuid).expect("nothing to read");
    assert_eq!(portrait, Portrait::default());
}

#[tokio::test]
async fn a_folder_is_a_voice_of_the_family_its_config_says() {
    let residency = residency();
    let folder = folder_voice(&fixture("multilingual.onnx"), "config-multilingual.json");
    let voice = open(&residency, &Source::Path(folder.path().to_owned()));
    assert_eq!(voice.family(), Family::Multilingual);
    assert!(!speak(&voice, input(0)).await.is_empty());
    // Another residency has no say over what this one keeps in the slab.
    drop((voice, residency));

    let folder = folder_voice(&fixture("multilingual.onnx"), "config.json");
    let error = refused(folder.path());
    assert!(
        error.contains("its config says JpExtra, its inputs are those of Multilingual"),
        "{error}"
    );
}

#[tokio::test]
async fn weights_may_lie_in_a_file_beside_the_graph() {
    let residency = residency();
    let folder = folder_voice(&fixture("external.onnx"), "config.json");
    let beside = folder.path().join("external.weights");
    std::fs::copy(fixture("external.weights"), &beside).expect("a copy");
    let voice = open(&residency, &Source::Path(folder.path().to_owned()));
    let one_file = folder_voice(&fixture("jp-extra.onnx"), "config.json");
    let whole = open(&residency, &Source::Path(one_file.path().to_owned()));
    assert!(
        speak(&voice, input(0)).await == speak(&whole, input(0)).await,
        "the same graph"
    );
    drop(voice);

    std::fs::remove_file(beside).expect("the weights");
    let error = refused(folder.path());
    assert!(
        error.starts_with("ONNX Runtime cannot open the graph:"),
        "{error}"
    );
    assert!(error.contains("external.weights"), "{error}");
}

#[tokio::test]
async fn an_sbv2_has_numbers_for_names() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("haru.sbv2");
    let Source::Path(graph) = demo("demo.aivmx") else {
        unreachable!("a path")
    };
    let vectors = serde_json::json!({"shape": [2, 256], "data": [vec![0.0; 256], vec![0.5; 256]]});
    archive(
        &path,
        &[
            ("version.txt", b"1"),
            ("model.onnx", &std::fs::read(graph).expect("the graph")),
            ("style_vectors.json", vectors.to_string().as_bytes()),
        ],
    );
    let voice = open(&residency(), &Source::Path(path.clone()));
    assert_eq!(voice.package().name(), "haru");
    assert_eq!(voice.package().styles().collect::<Vec<_>>(), ["0", "1"]);
    assert_eq!(
        voice.package().style(Some("1"), 2.0).map(|v| v[0]),
        Some(1.0)
    );
    assert!(!speak(&voice, input(0)).await.is_empty());

    archive(&path, &[("version.txt", b"9")]);
    assert!(refused(&path).ends_with("it has format version 9, known is 1"));
    archive(&path, &[("version.txt", b"1")]);
    assert!(refused(&path).ends_with("the archive has no `model.onnx`"));
    std::fs::write(&path, b"not an archive").expect("a write");
    assert!(refused(&path).contains("the archive:"));
}

#[tokio::test]
async fn graphs_that_are_no_voices_are_refused_by_name_type_and_rank() {
    let told = |fixture_name: &str| {
        let folder = folder_voice(&fixture(fixture_name), "config.json");
        refused(folder.path())
    };
    assert_eq!(
        told("missing-input.onnx"),
        "the graph is no voice: input `noise_scale` is missing (expected Float32 scalar)"
    );
    assert_eq!(
        told("wrong-type.onnx"),
        "the graph is no voice: input `language` is Float32 of rank 2, expected Int64 of rank 2"
    );
    assert_eq!(
        told("wrong-rank.onnx"),
        "the graph is no voice: input `language` is Int64 of rank 1, expected Int64 of rank 2"
    );
    assert_eq!(
        told("unknown-input.onnx"),
        "the graph is no voice: it has the unknown input `emotion`"
    );
}

#[tokio::test]
async fn files_that_are_no_models_are_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let broken = folder.path().join("broken.aivmx");
    let Source::Path(good) = demo("demo.aivmx") else {
        unreachable!("a path")
    };
    let good = std::fs::read(good).expect("the voice");
    std::fs::write(&broken, &good[..good.len() / 2]).expect("a write");
    let error = refused(&broken);
    assert!(
        error.contains("broken.aivmx: the file is cut off or no ONNX file"),
        "{error}"
    );

    // Metadata intact, graph broken: found by ONNX Runtime, as an error.
    let mut bytes = good.clone();
    bytes[40..4_000].fill(0xff);
    std::fs::write(&broken, &bytes).expect("a write");
    refused(&broken);
}

/// What people keep in such folders and is no voice, each with what cures it.
#[tokio::test]
async fn tensors_that_are_no_voice_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    for name in ["config.json", "style_vectors.npy"] {
        let from = fixture("import").join(name);
        std::fs::copy(from, folder.join(name)).expect("a copy");
    }
    let voice = folder.join("voice.safetensors");
    assert!(refused(folder).contains("neither a .safetensors nor an .onnx"));
    let checkpoint = folder.join("G_0.pth");
    for (bytes, said) in [
        (&b""[..], "G_0.pth: the file is cut off"),
        (&[0x80; 64], "before 1.6"),
        (
            b"PK\x03\x04 and no more of it, if more than its end",
            "cut off",
        ),
    ] {
        std::fs::write(&checkpoint, bytes).expect("a write");
        let told = refused(folder);
        assert!(told.contains(said), "{told}");
    }

    let good = std::fs::read(fixture("import/voice_e100_s2000.safetensors")).expect("the voice");
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n";
    for (bytes, said) in [
        (&b""[..], "cut off"),
        (&good[..8], "cut off"),
        (&good[..good.len() - 1], "cut off"),
        (pointer, "git lfs pull"),
        (&[0xff; 64], "no header"),
    ] {
        std::fs::write(&voice, bytes).expect("a write");
        let error = refused(folder);
        assert!(
            error.contains(said) && error.contains("voice.safetensors"),
            "{error}"
        );
    }

    let style = ["enc_p.style_proj.weight", "enc_p.style_proj.bias"];
    let without = |keys: &'static [&str]| {
        move |header: &mut Map<String, Value>| {
            keys.iter().for_each(|key| drop(header.remove(*key)));
        }
    };
    let renamed = |from: &'static str, to: &'static str| {
        move |header: &mut Map<String, Value>| {
            let tensor = header.remove(from).expect("it is there");
            header.insert(to.to_owned(), tensor);
        }
    };
    type Change = Box<dyn Fn(&mut Map<String, Value>)>;
    let table: [(Change, &str); 8] = [
        (
            Box::new(without(&[
                "enc_p.style_proj.weight",
                "enc_p.style_proj.bias",
                "emb_g.weight",
            ])),
            "base model",
        ),
        (
            Box::new(move |header| style.iter().for_each(|key| drop(header.remove(*key)))),
            "Bert-VITS2",
        ),
        (
            Box::new(|header| {
                let tensor = header["enc_p.tone_emb.weight"].clone();
                header.insert("duration_token_type_emb.weight".to_owned(), tensor);
            }),
            "Nanairo",
        ),
        (
            Box::new(renamed(
                "flow.flows.0.enc.attn_layers.0.conv_q.weight",
                "flow.flows.0.enc.in_layers.0.weight_v",
            )),
            "WaveNet",
        ),
        (
            Box::new(without(&["dec.conv_pre.bias"])),
            "no tensor `dec.conv_pre.bias`",
        ),
        (
            Box::new(|header| {
                let other = header["enc_p.tone_emb.weight"].clone();
                header.insert("dp.proj.weight".to_owned(), other);
            }),
            "its tensor `dp.proj.weight` is [12, 32]",
        ),
        (
            Box::new(|header| header["dp.proj.bias"]["dtype"] = json!("I16")),
            "no tensor `dp.proj.bias`",
        ),
        (
            Box::new(|header| header["dp.proj.bias"]["shape"] = json!([7])),
            "does not lie where its shape says",
        ),
    ];
    for (change, said) in table {
        std::fs::write(&voice, changed(&good, change)).expect("a write");
        let error = refused(folder);
        assert!(error.contains(said), "{error}, not {said}");
    }

    std::fs::write(&voice, &good).expect("a write");
    let config = std::fs::read_to_string(folder.join("config.json")).expect("a config");
    let config: Value = serde_json::from_str(&config).expect("JSON");
    for (key, value, said) in [
        (
            "/data/spk2id",
            json!({"far": 3}),
            "`far` is number 3, but it has 3",
        ),
        ("/data/hop_length", json!(500), "`hop_length` 500"),
        ("/model/upsample_rates", json!([8, 8]), "`upsample_rates` 2"),
        (
            "/model/upsample_rates",
            json!([8, 8, 2, 2, 0]),
            "`hop_length`",
        ),
    ] {
        let mut config = config.clone();
        *config.pointer_mut(key).expect("a key") = value;
        std::fs::write(folder.join("config.json"), config.to_string()).expect("a write");
        let error = refused(folder);
        assert!(error.contains(said), "{error}, not {said}");
    }
}

/// The same tensors under another header.
fn changed(file: &[u8], change: impl Fn(&mut Map<String, Value>)) -> Vec<u8> {
    let (length, rest) = file.split_first_chunk::<8>().expect("a length");
    let (header, tensors) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header: Map<String, Value> = serde_json::from_slice(header).expect("a header");
    change(&mut header);
    let header = Value::from(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(tensors);
    bytes
}

#[tokio::test]
async fn the_packages_of_real_architecture_open() {
    let residency = residency();
    for name in ["micro/micro.aivmx", "micro/micro.sbv2", "tiny", "tiny-ml"] {
        if let Some(path) = shared(name) {
            let voice = open(&residency, &Source::Path(path));
            assert!(!speak(&voice, input(0)).await.is_empty(), "{name}");
        }
    }
}

fn refused(path: &Path) -> String {
    match residency().voice(
        "voice",
        &Source::Path(path.to_owned()),
        &Settings::default(),
    ) {
        Ok(_) => panic!("{} is not refused", path.display()),
        Err(error) => error.to_string(),
    }
}

pub(crate) fn archive(path: &Path, entries: &[(&str, &[u8])]) {
    let file = std::fs::File::create(path).expect("a file");
    let encoder = zstd::Encoder::new(file, 1).expect("an encoder");
    let mut archive = tar::Builder::new(encoder);
    for (name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, name, *bytes)
            .expect("an entry");
    }
    let encoder = archive.into_inner().expect("a whole archive");
    encoder
        .finish()
        .expect("a whole file")
        .flush()
        .expect("a flush");
}
