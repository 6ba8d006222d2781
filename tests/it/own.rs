//! Folders as people have them: voices that are tensors alone, a BERT of
//! Hugging Face beside them, broken ones among the good, mixes and merges.

use std::path::Path;

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::client::{get, metric, post, speak};
use crate::stand::{Folder, wav};

const TEXT: &str = "今日はいい天気ですね。";

/// Nothing but where the voices are.
const ONE_LINE: &str = "[voices]\nfolder = \"model_assets\"\n[server]\nwatch = false\n";

fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/import")
}

fn add_voice(folder: &Folder, name: &str) {
    let voice = folder.path().join("model_assets").join(name);
    std::fs::create_dir_all(&voice).expect("a folder");
    for file in [
        "config.json",
        "style_vectors.npy",
        "voice_e100_s2000.safetensors",
    ] {
        std::fs::copy(fixtures().join(file), voice.join(file)).expect("a copy");
    }
}

/// A BERT as wide as those that voices were trained with, of three layers of
/// which one runs, as Hugging Face's classes would save it.
fn add_bert(folder: &Folder) {
    const HIDDEN: usize = 1024;
    let mut tensors: Vec<(String, Vec<usize>)> = Vec::new();
    let mut both = |name: &str, rows: usize, columns: usize| {
        let shape = if columns == 0 {
            vec![rows]
        } else {
            vec![rows, columns]
        };
        tensors.push((format!("deberta.{name}.weight"), shape));
        tensors.push((format!("deberta.{name}.bias"), vec![rows]));
    };
    both("embeddings.LayerNorm", HIDDEN, 0);
    both("encoder.LayerNorm", HIDDEN, 0);
    let layer = "encoder.layer.0";
    for part in ["query_proj", "key_proj", "value_proj"] {
        both(&format!("{layer}.attention.self.{part}"), HIDDEN, HIDDEN);
    }
    both(&format!("{layer}.attention.output.dense"), HIDDEN, HIDDEN);
    both(&format!("{layer}.attention.output.LayerNorm"), HIDDEN, 0);
    both(&format!("{layer}.intermediate.dense"), 32, HIDDEN);
    both(&format!("{layer}.output.dense"), HIDDEN, 32);
    both(&format!("{layer}.output.LayerNorm"), HIDDEN, 0);
    let kana: Vec<char> = ('ぁ'..='ヺ').collect();
    let mut vocabulary: Vec<String> = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
        .map(str::to_owned)
        .into();
    vocabulary.extend(kana.iter().map(char::to_string));
    tensors.push((
        "deberta.embeddings.word_embeddings.weight".to_owned(),
        vec![vocabulary.len(), HIDDEN],
    ));
    tensors.push((
        "deberta.encoder.rel_embeddings.weight".to_owned(),
        vec![512, HIDDEN],
    ));

    let (mut header, mut data, mut seed) = (serde_json::Map::new(), Vec::new(), 1_u32);
    for (key, shape) in tensors {
        let from = data.len();
        for _ in 0..shape.iter().product() {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = (seed >> 8) as f32 / (1 << 24) as f32 - 0.5;
            let value = if key.contains("Norm.weight") {
                1.0
            } else {
                0.1 * value
            };
            data.extend(value.to_le_bytes());
        }
        let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [from, data.len()]});
        header.insert(key, entry);
    }
    let header = serde_json::to_vec(&header).expect("JSON");
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(data);
    let place = "bert/deberta-v2-large-japanese-char-wwm";
    std::fs::create_dir_all(folder.path().join(place)).expect("a folder");
    folder.write(&format!("{place}/model.safetensors"), file);
    folder.write(&format!("{place}/vocab.txt"), vocabulary.join("\n"));
    let config = json!({
        "model_type": "deberta-v2", "num_hidden_layers": 3, "num_attention_heads": 16,
        "attention_head_size": 64, "position_buckets": 256, "relative_attention": true,
        "share_att_key": true, "norm_rel_ebd": "layer_norm", "pos_att_type": "p2c|c2p",
    });
    folder.write(&format!("{place}/config.json"), config.to_string());
}

fn one_line() -> Folder {
    let folder = Folder::new();
    folder.write("koemasu.toml", ONE_LINE);
    add_voice(&folder, "haru");
    add_bert(&folder);
    folder
}

async fn heard(to: std::net::SocketAddr, own: Value) -> Result<Vec<i16>, String> {
    let mut body = json!({"input": TEXT, "response_format": "wav"});
    let quiet = json!({"noise": 0, "noise_w": 0, "sdp_ratio": 0, "stream": false});
    body["koemasu"] = quiet;
    for (name, value) in own.as_object().expect("an object") {
        match name.as_str() {
            "voice" => body["voice"] = value.clone(),
            name => body["koemasu"][name] = value.clone(),
        }
    }
    let reply = speak(to, body).await;
    match reply.status {
        StatusCode::OK => Ok(wav(&reply.body).1),
        _ => Err(format!("{} {}", reply.status, reply.text())),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_voices_with_a_bert_beside_it_speaks_with_one_line_of_settings() {
    let folder = one_line();
    let server = folder.serve().await;
    let to = server.address();
    assert!(heard(to, json!({})).await.expect("sound").len() > 5_000);
    let voices = get(to, "/admin/voices").await.json();
    let [voice] = &voices["voices"].as_array().expect("voices")[..] else {
        panic!("{voices}");
    };
    assert_eq!(voice["name"], "haru");
    assert_eq!(voice["architecture"], "JP-Extra");
    assert_eq!(voice["speakers"].as_array().map(Vec::len), Some(3));
    assert_eq!(voice["tier"], "slot");
    // The BERT is heard: what lies within the text changes how it is said.
    let other = heard(to, json!({"bert_strength": 0})).await.expect("sound");
    assert_ne!(heard(to, json!({})).await.expect("sound"), other);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_good_and_five_bad_packages_are_a_server_of_one_voice() {
    let folder = one_line();
    let bad = |name: &str, file: &str, bytes: &[u8]| {
        add_voice(&folder, name);
        let voice = folder.path().join("model_assets").join(name);
        std::fs::write(voice.join(file), bytes).expect("a write");
    };
    let model = "voice_e100_s2000.safetensors";
    let whole = std::fs::read(fixtures().join(model)).expect("the voice");
    bad("cut", model, &whole[..whole.len() / 2]);
    bad(
        "pointer",
        model,
        b"version https://git-lfs.github.com/spec/v1\n",
    );
    bad("config", "config.json", b"{");
    bad("vectors", "style_vectors.npy", b"no numbers");
    folder.write("model_assets/broken.aivmx", "no model");
    let server = folder.serve().await;
    let to = server.address();
    heard(to, json!({"voice": "haru"})).await.expect("sound");
    let voices = get(to, "/admin/voices").await.json();
    let out = voices["left_out"].as_array().expect("a list");
    let names: Vec<_> = out.iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(names, ["broken", "config", "cut", "pointer", "vectors"]);
    let cause = |name: &str| {
        let found = out.iter().find(|it| it["name"] == name);
        found.map_or_else(String::new, |it| it["cause"].to_string())
    };
    assert!(cause("cut").contains("cut off"), "{}", cause("cut"));
    assert!(
        cause("pointer").contains("git lfs pull"),
        "{}",
        cause("pointer")
    );
    let ready = get(to, "/readyz").await;
    assert_eq!(ready.status, StatusCode::OK);
    for name in names {
        assert!(
            ready.text().contains(&format!("voice `{name}`")),
            "{}",
            ready.text()
        );
    }
    let told = heard(to, json!({"voice": "cut"}))
        .await
        .expect_err("it cannot speak");
    assert!(told.contains("cut off"), "{told}");

    // Whoever wants all or none says so; the one that serves goes on.
    folder.write(
        "koemasu.toml",
        ONE_LINE.replacen('\n', "\nstrict = true\n", 1),
    );
    let refused = post(to, "/admin/reload", "").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        refused.text().contains("`voices.strict` is on"),
        "{}",
        refused.text()
    );
    heard(to, json!({"voice": "haru"})).await.expect("sound");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_packages_of_one_name_are_told_apart() {
    let folder = one_line();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../voices/demo/demo.aivmx");
    std::fs::copy(demo, folder.path().join("model_assets/haru.aivmx")).expect("a copy");
    let server = folder.serve().await;
    let to = server.address();
    let one = heard(to, json!({"voice": "haru"})).await.expect("sound");
    let other = heard(to, json!({"voice": "haru.aivmx"}))
        .await
        .expect("sound");
    assert_ne!(one, other);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_mixes_voices_within_the_bounds_of_the_settings() {
    let folder = one_line();
    add_voice(&folder, "aki");
    // Another voice: every tensor of its decoder is another's.
    let model = "model_assets/aki/voice_e100_s2000.safetensors";
    let mut bytes = std::fs::read(folder.path().join(model)).expect("the voice");
    let start = bytes.len() / 2;
    bytes[start..].as_chunks_mut::<2>().0.rotate_left(1);
    folder.write(model, bytes);
    let merge = "[[merge]]\nname = \"both\"\nmethod = \"usual\"\nvoices = [\"haru\", \"aki\"]\nweight = 0.5\n[mixes]\nkept = 2\n";
    folder.write("koemasu.toml", format!("{ONE_LINE}{merge}"));
    let server = folder.serve().await;
    let to = server.address();
    let haru = heard(to, json!({"voice": "haru"})).await.expect("sound");
    let mix = |mix: Value| heard(to, json!({ "mix": mix }));
    // All of one is that one; a half is neither, and what is merged in the
    // settings says the same.
    assert_eq!(
        mix(json!([["haru", 1], ["aki", 0]])).await.expect("sound"),
        haru
    );
    let half = mix(json!([["haru", 3], ["aki", 3]])).await.expect("sound");
    assert_ne!(half, haru);
    assert_eq!(
        heard(to, json!({"voice": "both"})).await.expect("sound"),
        half
    );
    // More than are kept: the others go, and nothing is lost.
    for share in 1..8 {
        mix(json!([["haru", share], ["aki", 9]]))
            .await
            .expect("sound");
    }
    assert_eq!(
        mix(json!([["haru", 1], ["aki", 1]])).await.expect("sound"),
        half
    );
    for (wrong, said) in [
        (json!([["haru", 1], ["haru", 1]]), "names `haru` twice"),
        (json!([["haru", 1], ["natsu", 1]]), "no voice `natsu`"),
        (json!([["haru", 0], ["aki", 0]]), "no weight above 0"),
        (json!([["haru", -1], ["aki", 1]]), "lies not between"),
        (json!([["haru", 1e9], ["aki", 1]]), "lies not between"),
        (json!([["haru", 1], ["both", 1]]), "cannot be mixed"),
        (
            json!([["a", 1], ["b", 1], ["c", 1], ["d", 1]]),
            "the most is 3",
        ),
    ] {
        let told = mix(wrong.clone()).await.expect_err("refused");
        assert!(
            told.starts_with("400") && told.contains(said),
            "{wrong}: {told}"
        );
    }
    let both = json!({"voice": "haru", "mix": [["haru", 1], ["aki", 1]]});
    assert!(
        heard(to, both)
            .await
            .expect_err("refused")
            .contains("leave `voice` out")
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_sentence_lets_others_in_and_says_what_it_says_alone() {
    let folder = one_line();
    let more = "[memory]\nwindow = 16\n[models]\nlanes = 1\nthreads = 2\n";
    folder.write("koemasu.toml", format!("{ONE_LINE}{more}"));
    let server = folder.serve().await;
    let to = server.address();
    // One sentence of a minute.
    let long = "とてもながいはなし".repeat(12);
    let body = |text: &str| {
        let own = json!({"noise": 0, "noise_w": 0, "sdp_ratio": 0, "sentence_pause": 0});
        json!({"input": text, "response_format": "pcm", "speed": 0.3, "koemasu": own})
    };
    let alone = speak(to, body(&long)).await;
    assert_eq!(alone.status, StatusCode::OK, "{}", alone.text());
    const LET_IN: &str = "koemasu_runs_let_others_in_total";
    assert_eq!(metric(to, LET_IN).await, 0.0, "nobody else was there");
    let again = tokio::spawn(speak(to, body(&long)));
    let mut others = 0;
    while !again.is_finished() && others < 50 {
        // Another text each time: a reading that is known needs no lane.
        let other = speak(to, body(&"あ".repeat(2 + others))).await;
        assert_eq!(other.status, StatusCode::OK, "{}", other.text());
        others += 1;
    }
    let again = again.await.expect("an answer");
    assert_eq!(again.status, StatusCode::OK);
    assert!(again.body == alone.body, "the same to the bit");
    assert!(metric(to, LET_IN).await > 0.0, "{others} others came");
    server.stop().await;
}
