//! The HTTP of VOICEVOX and AivisSpeech: what their clients send, and what
//! their queries do to the sound.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use crate::client::{Reply, get, metric, post, send};
use crate::sound::Sound;
use crate::stand::{Folder, PIPELINE, wav};

/// The style `Neutral` of the speaker `demo`.
pub(crate) const STYLE: u32 = 1_541_062_048;
pub(crate) const SPEAKER: &str = "f44c8bd7-c770-4d2e-851e-47a6623be534";

/// A pipeline with a dictionary, and a file of presets.
pub(crate) fn folder() -> Folder {
    let folder = Folder::new();
    folder.write(
        "pipelines/ja.toml",
        PIPELINE.replace(
            "[\"normalize-sbv2\"]",
            "[\"ja-words\", \"normalize-sbv2\"]\n[dictionary]\nfile = \"../words.toml\"",
        ),
    );
    folder.write(
        "koemasu.toml",
        "[pipelines]\nfolder = \"pipelines\"\n[server]\nwatch = false\n[dialects.voicevox]\npresets = \"presets.toml\"\n",
    );
    folder
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn call(to: SocketAddr, method: Method, path: &str) -> Reply {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("host", "localhost").body(Full::default());
    send(to, request.expect("a request")).await
}

/// `POST /audio_query` of this text.
async fn query(to: SocketAddr, text: &str) -> Value {
    let path = format!("/audio_query?speaker={STYLE}&text={}", encoded(text));
    let reply = call(to, Method::POST, &path).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply.json()
}

/// With these fields changed.
fn edited(query: &Value, changes: Value) -> Value {
    let mut query = query.clone();
    for (name, value) in changes.as_object().expect("an object") {
        query[name] = value.clone();
    }
    query
}

async fn synthesis(to: SocketAddr, query: &Value) -> Reply {
    let path = format!("/synthesis?speaker={STYLE}");
    post(to, &path, query.to_string()).await
}

/// Channels, samples per second and frames of a WAV file with a length.
fn shape(bytes: &[u8]) -> (u16, u32, usize) {
    let channels = u16::from_le_bytes([bytes[22], bytes[23]]);
    let rate = u32::from_le_bytes([bytes[24], bytes[25], bytes[26], bytes[27]]);
    let size = u32::from_le_bytes([bytes[40], bytes[41], bytes[42], bytes[43]]);
    assert_eq!(size as usize, bytes.len() - 44);
    (channels, rate, size as usize / 2 / usize::from(channels))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_accent_is_heard() {
    let folder = folder();
    let server = folder.serve().await;
    let to = server.address();
    let query = query(to, "雨です。").await;
    assert_eq!(query["kana"], "雨です。");
    assert_eq!(query["accent_phrases"][0]["accent"], 1);
    let texts: Vec<_> = query["accent_phrases"]
        .as_array()
        .expect("phrases")
        .iter()
        .flat_map(|phrase| phrase["moras"].as_array().expect("moras"))
        .map(|mora| mora["text"].as_str().expect("a text"))
        .collect();
    assert_eq!(texts.concat(), "アメデス.");
    for (name, value) in [
        ("speedScale", json!(1.0)),
        ("tempoDynamicsScale", json!(1.0)),
        ("pitchScale", json!(0.0)),
        ("pauseLength", Value::Null),
        ("outputSamplingRate", json!(44_100)),
        ("outputStereo", json!(false)),
    ] {
        assert_eq!(query[name], value, "{name}");
    }

    let plain = synthesis(to, &query).await;
    assert_eq!(plain.status, StatusCode::OK, "{}", plain.text());
    assert_eq!(plain.header("content-type"), "audio/wav");
    // There is noise in it, as in AivisSpeech, so no two are the same: the
    // melody tells one accent from another.
    let even = edited(&query, json!({"tempoDynamicsScale": 0.0}));
    let mut other = even.clone();
    other["accent_phrases"][0]["accent"] = json!(4);
    let melody = |query: Value| async move {
        let reply = synthesis(to, &query).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        Sound::of(&wav(&reply.body).1)
    };
    let (first, again) = (melody(even.clone()).await, melody(even).await);
    let same = again.differences(&first);
    let another = melody(other).await.differences(&first);
    assert!(
        another.cents > 50.0 && another.cents > 3.0 * same.cents,
        "{another:?} and {same:?}"
    );

    // A text is many times as long in moras, the more so as some write JSON.
    let phrases = &query["accent_phrases"];
    let body = format!("{}{phrases}", " ".repeat(256 << 10));
    let reply = post(to, &format!("/mora_data?speaker={STYLE}"), body).await;
    assert_eq!(reply.json(), *phrases);

    // Moras that no longer fit the text are said all the same.
    let mora = query["accent_phrases"][0]["moras"][0].clone();
    let many = json!([{"moras": vec![mora; 40], "accent": 1}]);
    let more = synthesis(to, &edited(&query, json!({"accent_phrases": many}))).await;
    assert_eq!(more.status, StatusCode::OK, "{}", more.text());
    let (_, _, frames) = shape(&more.body);
    assert!(frames > 2 * shape(&plain.body).2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scales_rates_and_silence_are_obeyed() {
    let folder = folder();
    let server = folder.serve().await;
    let to = server.address();
    let query = edited(
        &query(to, "今日はいい天気ですね。").await,
        json!({"tempoDynamicsScale": 0.0}),
    );
    let frames = |changes: Value| {
        let query = edited(&query, changes);
        async move {
            let reply = synthesis(to, &query).await;
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
            shape(&reply.body)
        }
    };
    let silent = json!({"prePhonemeLength": 0.0, "postPhonemeLength": 0.0});
    let (_, _, plain) = frames(silent.clone()).await;
    let (_, _, fast) = frames(edited(&silent, json!({"speedScale": 2.0}))).await;
    let ratio = plain as f64 / fast as f64;
    assert!((1.5..2.6).contains(&ratio), "{plain} and {fast}");

    // The silence is exact where there is nothing else.
    let nothing = json!({"accent_phrases": [], "kana": null});
    assert_eq!(frames(nothing.clone()).await, (1, 44_100, 22_050));
    let other = json!({"outputSamplingRate": 48_000, "outputStereo": true});
    assert_eq!(
        frames(edited(&nothing, other.clone())).await,
        (2, 48_000, 24_000)
    );
    let (channels, rate, _) = frames(other).await;
    assert_eq!((channels, rate), (2, 48_000));

    // Zeros at both ends, as many as the scales say, and the volume.
    let long = json!({"prePhonemeLength": 0.5, "postPhonemeLength": 1.0, "speedScale": 2.0, "volumeScale": 0.5});
    let reply = synthesis(to, &edited(&query, long)).await;
    let (_, samples) = wav(&reply.body);
    assert!(samples[..11_025].iter().all(|it| *it == 0));
    assert!(
        samples[11_025].unsigned_abs() > 0,
        "the voice's own silence is gone"
    );
    assert!(samples[samples.len() - 22_050..].iter().all(|it| *it == 0));
    assert!(samples[samples.len() - 22_051].unsigned_abs() > 0);
    let peak = samples
        .iter()
        .map(|it| it.unsigned_abs())
        .max()
        .expect("sound");
    assert!((16_380..=16_385).contains(&peak), "{peak}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_a_whole_file_and_begins_where_it_should() {
    let folder = folder();
    let server = folder.serve().await;
    let to = server.address();
    let query = edited(
        &query(to, "こんにちは。今日はいい天気ですね。").await,
        json!({"prePhonemeLength": 1.0}),
    );
    let path = |start: &str| {
        format!("/streaming_synthesis?speaker={STYLE}&segment_length=0.5&start_offset={start}")
    };
    let stream = |start: &'static str| {
        let (path, query) = (path(start), query.to_string());
        async move { post(to, &path, query).await }
    };
    for (start, silent) in [("0", 44_100), ("0.75", 11_025), ("1.0", 0)] {
        let reply = stream(start).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!(reply.header("content-type"), "audio/wav");
        let (rate, samples) = wav(&reply.body);
        assert_eq!(rate, 44_100);
        let heard = samples.iter().position(|sample| *sample != 0);
        assert_eq!(heard, Some(silent), "from {start} on");
        assert!(samples.len() > silent + 22_050, "{}", samples.len());
    }
    // Edited, in another rate, and without a text of its own.
    let other = json!({"outputSamplingRate": 24_000, "prePhonemeLength": 0.0, "kana": null});
    let reply = post(to, &path("0.2"), edited(&query, other).to_string()).await;
    assert_eq!(wav(&reply.body).0, 24_000);

    let beyond = stream("900").await;
    assert_eq!(beyond.status, StatusCode::BAD_REQUEST, "{}", beyond.text());
    assert_eq!(
        beyond.json()["detail"][0]["loc"],
        json!(["query", "start_offset"])
    );
    let negative = stream("-1").await;
    assert_eq!(negative.status, StatusCode::UNPROCESSABLE_ENTITY);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_hangs_up_cancels() {
    let folder = folder();
    let server = folder.serve().await;
    let to = server.address();
    let text = "今日はいい天気ですね、明日もいい天気でしょう。".repeat(6);
    let query = query(to, &text).await;
    let path = format!("/cancellable_synthesis?speaker={STYLE}");
    let gone = metric(to, "koemasu_readers_gone_total").await;
    let runs = || {
        let report = server.app().live.residency().report().expect("a report");
        let voices = report.library.voices.iter();
        voices.map(|voice| voice.in_flight).sum::<u32>()
    };
    let stream = tokio::net::TcpStream::connect(to)
        .await
        .expect("the server listens");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("a handshake");
    let driver = tokio::spawn(connection);
    let request = Request::post(path)
        .header("host", "localhost")
        .body(Full::<Bytes>::from(query.to_string()))
        .expect("a request");
    let asking = tokio::spawn(async move { sender.send_request(request).await.map(drop) });
    let begun = async {
        while runs() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let begun = tokio::time::timeout(Duration::from_secs(20), begun).await;
    begun.expect("a run begins");
    driver.abort();
    asking.abort();
    let ended = async {
        while runs() > 0 || metric(to, "koemasu_readers_gone_total").await <= gone {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(20), ended).await;
    ended.expect("it ends with its caller");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_queries_become_one_archive_and_many_waves_one() {
    let folder = folder();
    let server = folder.serve().await;
    let to = server.address();
    let first = query(to, "雨です。").await;
    let empty = edited(&first, json!({"accent_phrases": []}));
    let path = format!("/multi_synthesis?speaker={STYLE}");
    let reply = post(to, &path, json!([first, empty]).to_string()).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(reply.header("content-type"), "application/zip");
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(reply.body)).expect("an archive");
    let names: Vec<_> = (0..archive.len())
        .map(|place| archive.by_index(place).expect("a file").name().to_owned())
        .collect();
    assert_eq!(names, ["001.wav", "002.wav"]);
    let mut waves = Vec::new();
    let mut frames = 0;
    for name in names {
        let mut bytes = Vec::new();
        let mut file = archive.by_name(&name).expect("a file");
        std::io::Read::read_to_end(&mut file, &mut bytes).expect("its bytes");
        let (_, samples) = wav(&bytes);
        frames += samples.len();
        waves.push(base64(&bytes));
    }
    let joined = post(to, "/connect_waves", json!(waves).to_string()).await;
    assert_eq!(joined.status, StatusCode::OK, "{}", joined.text());
    assert_eq!(wav(&joined.body).1.len(), frames);

    let mixed = json!([first, edited(&first, json!({"outputSamplingRate": 24_000}))]);
    for (body, loc) in [
        (json!([]), json!(["body"])),
        (mixed, json!(["body", 1, "outputSamplingRate"])),
    ] {
        let reply = post(to, &path, body.to_string()).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(reply.json()["detail"][0]["loc"], loc);
    }
    server.stop().await;
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_with_its_place() {
    let folder = folder();
    let server = folder.serve().await;
    let to = server.address();
    let good = query(to, "雨です。").await;
    let mut accent = good.clone();
    accent["accent_phrases"][0]["accent"] = json!(9);
    let mut mora = good.clone();
    mora["accent_phrases"][0]["moras"][1]["text"] = json!("め");
    let mut none = good.clone();
    none["accent_phrases"][0]["moras"] = json!([]);
    let mut missing = good.clone();
    missing
        .as_object_mut()
        .expect("an object")
        .remove("speedScale");
    for (query, loc) in [
        (accent, json!(["body", "accent_phrases", 0, "accent"])),
        (
            mora,
            json!(["body", "accent_phrases", 0, "moras", 1, "text"]),
        ),
        (none, json!(["body", "accent_phrases", 0, "moras"])),
        (missing, json!(["body", "speedScale"])),
        (
            edited(&good, json!({"speedScale": 0})),
            json!(["body", "speedScale"]),
        ),
        (
            edited(&good, json!({"volumeScale": -1})),
            json!(["body", "volumeScale"]),
        ),
        (
            edited(&good, json!({"outputSamplingRate": 0})),
            json!(["body", "outputSamplingRate"]),
        ),
        (
            edited(&good, json!({"outputStereo": 5})),
            json!(["body", "outputStereo"]),
        ),
        (
            edited(&good, json!({"prePhonemeLength": 1e9})),
            json!(["body", "prePhonemeLength"]),
        ),
    ] {
        let reply = synthesis(to, &query).await;
        assert_eq!(
            reply.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{}",
            reply.text()
        );
        assert_eq!(reply.header("content-type"), "application/json");
        let detail = &reply.json()["detail"][0];
        assert_eq!(detail["loc"], loc, "{detail}");
        assert!(detail["msg"].is_string() && detail["type"].is_string());
    }
    let reply = call(to, Method::POST, "/audio_query?speaker=x&text=a").await;
    assert_eq!(
        reply.json()["detail"][0]["loc"],
        json!(["query", "speaker"])
    );

    let kana = |text: &str| {
        let path = format!("/validate_kana?text={}", encoded(text));
        async move { call(to, Method::POST, &path).await }
    };
    assert_eq!(kana("コンニチワ'").await.json(), true);
    let reply = kana("ア'//ア'").await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let detail = reply.json()["detail"].clone();
    assert_eq!(detail["error_name"], "EMPTY_PHRASE");
    assert_eq!(detail["error_args"], json!({"position": "2"}));
    assert!(detail["text"].is_string());

    for (method, path, status) in [
        (Method::GET, "/singers", 501),
        (Method::POST, "/frame_synthesis", 501),
        (Method::POST, "/synthesis_morphing", 400),
        (Method::POST, "/setting", 403),
        (Method::POST, "/aivm_models/install", 403),
        (Method::POST, "/aivm_models/x/load", 404),
        (Method::DELETE, "/presets", 405),
    ] {
        let reply = call(to, method, path).await;
        assert_eq!(reply.status, status, "{path}");
        assert!(reply.json()["detail"].is_string(), "{path}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn speakers_have_the_numbers_that_clients_know() {
    let folder = folder();
    let server = folder.serve().await;
    let to = server.address();
    let speakers = get(to, "/speakers").await.json();
    let demo = &speakers[0];
    assert_eq!(demo["speaker_uuid"], SPEAKER);
    assert_eq!(demo["styles"][0]["id"], STYLE);
    assert_eq!(demo["styles"][1]["id"], STYLE + 1);
    assert_eq!(demo["styles"][0]["type"], "talk");
    assert!(
        speakers.as_array().is_some_and(|it| it.len() == 2),
        "{speakers}"
    );

    let info = format!("/speaker_info?speaker_uuid={SPEAKER}");
    let inside = get(to, &info).await.json();
    let icon = inside["style_infos"][0]["icon"]
        .as_str()
        .expect("a picture");
    assert!(!icon.is_empty() && !icon.starts_with("http"));
    let addresses = get(to, &format!("{info}&resource_format=url")).await.json();
    let address = addresses["portrait"].as_str().expect("an address");
    let path = address
        .strip_prefix("http://localhost")
        .expect("of this server");
    let picture = get(to, path).await;
    assert_eq!(picture.status, StatusCode::OK);
    assert!(picture.header("content-type").starts_with("image/"));
    assert_eq!(
        base64(&picture.body),
        inside["portrait"].as_str().expect("a picture")
    );

    let path = format!("/initialize_speaker?speaker={STYLE}");
    assert_eq!(
        call(to, Method::POST, &path).await.status,
        StatusCode::NO_CONTENT
    );
    let path = format!("/is_initialized_speaker?speaker={STYLE}");
    assert_eq!(get(to, &path).await.json(), true);

    let targets = post(to, "/morphable_targets", format!("[{STYLE}]"))
        .await
        .json();
    assert_eq!(
        targets[0][STYLE.to_string()],
        json!({"is_morphable": false})
    );
    let manifest = get(to, "/engine_manifest").await.json();
    assert_eq!(manifest["supported_features"]["streaming_synthesis"], true);
    assert!(get(to, "/version").await.json().is_string());
    let models = get(to, "/aivm_models").await.json();
    let (uuid, model) = models
        .as_object()
        .and_then(|it| it.iter().next())
        .expect("a model");
    assert_eq!(model["is_loaded"], true);
    assert_eq!(model["manifest"]["uuid"], json!(uuid));
    let load = call(to, Method::POST, &format!("/aivm_models/{uuid}/load")).await;
    assert_eq!(load.status, StatusCode::NO_CONTENT);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn voices_that_share_numbers_do_not_share_them_here() {
    let folder = folder();
    let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../voices/demo/demo.aivmx");
    std::fs::create_dir(folder.path().join("voices")).expect("a folder");
    for name in ["a", "b"] {
        let copy = folder.path().join(format!("voices/{name}.aivmx"));
        std::fs::copy(&demo, copy).expect("the voice of this repository");
    }
    folder.write(
        "koemasu.toml",
        "[pipelines]\nfolder = \"pipelines\"\n[voices]\nfolder = \"voices\"\n[server]\nwatch = false\n",
    );
    let server = folder.serve().await;
    let to = server.address();
    let speakers = get(to, "/speakers").await.json();
    assert_eq!(speakers.as_array().map(Vec::len), Some(2), "{speakers}");
    let models = get(to, "/aivm_models").await.json();
    assert_eq!(models.as_object().map(serde_json::Map::len), Some(1));
    let reply = synthesis(to, &query(to, "雨").await).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presets_and_words_outlive_the_server() {
    let folder = folder();
    let server = folder.serve().await;
    let to = server.address();
    let preset = json!({
        "id": 7, "name": "速い", "speaker_uuid": SPEAKER, "style_id": STYLE, "speedScale": 1.5,
        "intonationScale": 1.0, "pitchScale": 0.0, "volumeScale": 1.0, "prePhonemeLength": 0.2,
        "postPhonemeLength": 0.1,
    });
    for id in [7, 8] {
        let reply = post(to, "/add_preset", preset.to_string()).await;
        assert_eq!(reply.json(), id, "a taken number becomes another");
    }
    let word = format!(
        "/user_dict_word?surface=C%23&pronunciation={}&accent_type=4",
        encoded("シーシャープ")
    );
    let uuid = call(to, Method::POST, &word).await.json();
    let uuid = uuid.as_str().expect("a uuid").to_owned();
    assert_eq!(query(to, "C#").await["accent_phrases"][0]["accent"], 4);
    server.stop().await;

    let server = folder.serve().await;
    let to = server.address();
    assert_eq!(get(to, "/presets").await.json()[1]["id"], 8);
    let path = format!(
        "/audio_query_from_preset?text={}&preset_id=7",
        encoded("雨")
    );
    let from = call(to, Method::POST, &path).await.json();
    assert_eq!(
        (&from["speedScale"], &from["prePhonemeLength"]),
        (&json!(1.5), &json!(0.2))
    );
    let gone = call(to, Method::POST, "/delete_preset?id=9").await;
    assert_eq!(gone.status, StatusCode::UNPROCESSABLE_ENTITY);

    let words = get(to, "/user_dict").await.json();
    assert_eq!(words[&uuid]["surface"], "Ｃ＃");
    assert_eq!(words[&uuid]["accent_type"], 4);
    let lists = get(to, "/user_dict?enable_compound_accent=true")
        .await
        .json();
    assert_eq!(lists[&uuid]["accent_type"], json!([4]));
    let import = post(to, "/import_user_dict?override=true", lists.to_string()).await;
    assert_eq!(import.status, StatusCode::NO_CONTENT, "{}", import.text());
    assert_eq!(
        get(to, "/user_dict").await.json(),
        words,
        "nothing has changed"
    );

    let path = format!("/user_dict_word/{uuid}");
    let renamed = word.replace(
        "/user_dict_word?surface=C%23",
        &format!("{path}?surface=D%23"),
    );
    let reply = call(to, Method::PUT, &renamed).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.text());
    assert_eq!(get(to, "/user_dict").await.json()[&uuid]["surface"], "Ｄ＃");
    let reply = call(to, Method::DELETE, &path).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.text());
    assert_eq!(get(to, "/user_dict").await.json(), json!({}));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_keep_its_words_and_presets_as_they_are() {
    let folder = folder();
    folder.write(
        "koemasu.toml",
        "[pipelines]\nfolder = \"pipelines\"\n[server]\nwatch = false\n[dialects.voicevox]\nread_only = true\n",
    );
    let server = folder.serve().await;
    let to = server.address();
    for (method, path) in [
        (Method::POST, "/add_preset"),
        (Method::POST, "/user_dict_word"),
        (Method::DELETE, "/user_dict_word/x"),
        (Method::POST, "/import_user_dict"),
    ] {
        assert_eq!(
            call(to, method, path).await.status,
            StatusCode::FORBIDDEN,
            "{path}"
        );
    }
    assert_eq!(get(to, "/presets").await.json(), json!([]));
    server.stop().await;
}
