//! What a caller's numbers may cause: every number and every list of every
//! dialect has a bound, and none of them becomes memory or work without end.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::client::{Reply, begin, get, post, send, speak};
use crate::stand::{Folder, PIPELINE, cases};

/// One line of `bounds.tsv`.
struct Row {
    field: String,
    way: String,
    taken: Vec<String>,
    refused: Vec<String>,
}

fn table() -> Vec<Row> {
    let text = std::fs::read_to_string(cases("bounds.tsv")).expect("the table");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let row = |line: &str| {
        let mut columns = line.split('\t').map(str::to_owned);
        let mut next = || columns.next().unwrap_or_default();
        let (field, way) = (next(), next());
        let values = |text: String| text.split_whitespace().map(str::to_owned).collect();
        Row {
            field,
            way,
            taken: values(next()),
            refused: values(next()),
        }
    };
    lines.map(row).collect()
}

/// The numbers and lists that the document of the interface knows.
fn documented() -> BTreeSet<String> {
    let document = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let document = std::fs::read_to_string(document).expect("the document");
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let mut found = Found {
        schemas: document["components"]["schemas"].clone(),
        seen: BTreeSet::new(),
        fields: BTreeSet::new(),
    };
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for call in methods.as_object().expect("methods").values() {
            for parameter in call["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().expect("a name");
                if counts(&parameter["schema"]) {
                    found.fields.insert(match parameter["in"].as_str() {
                        Some("path") => format!("{{{name}}}"),
                        _ => format!("?{name}"),
                    });
                }
            }
            let bodies = call["requestBody"]["content"].as_object();
            for body in bodies.into_iter().flat_map(|it| it.values()) {
                if counts(&body["schema"]) {
                    found.fields.insert(format!("{path} []"));
                }
                found.walk(&body["schema"], path);
            }
        }
    }
    found.fields
}

fn counts(schema: &Value) -> bool {
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.clone(),
        kind => vec![kind.clone()],
    };
    kinds.iter().any(|kind| {
        ["number", "integer", "array"]
            .map(Value::from)
            .contains(kind)
    })
}

struct Found {
    schemas: Value,
    seen: BTreeSet<String>,
    fields: BTreeSet<String>,
}

impl Found {
    fn walk(&mut self, schema: &Value, name: &str) {
        if let Some(path) = schema["$ref"].as_str() {
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            if self.seen.insert(name.clone()) {
                self.walk(&self.schemas[&name].clone(), &name);
            }
            return;
        }
        for several in ["oneOf", "anyOf", "allOf"] {
            for one in schema[several].as_array().into_iter().flatten() {
                self.walk(one, name);
            }
        }
        for inner in ["items", "additionalProperties"] {
            if schema[inner].is_object() {
                self.walk(&schema[inner], name);
            }
        }
        for (property, schema) in schema["properties"].as_object().into_iter().flatten() {
            if counts(schema) {
                self.fields.insert(format!("{name}.{property}"));
            }
            self.walk(schema, &format!("{name}.{property}"));
        }
    }
}

#[test]
fn every_number_and_list_that_is_documented_has_its_bound_in_the_table() {
    let known: BTreeSet<String> = table().into_iter().map(|row| row.field).collect();
    let missing: Vec<_> = documented().difference(&known).cloned().collect();
    assert!(missing.is_empty(), "not in bounds.tsv: {missing:?}");
    let gone: Vec<_> = known.difference(&documented()).cloned().collect();
    assert!(gone.is_empty(), "in bounds.tsv and nowhere else: {gone:?}");
}

/// A server to be asked, and what its requests are made of.
struct Asked {
    to: SocketAddr,
    style: String,
    query: Value,
}

impl Asked {
    async fn new(to: SocketAddr) -> Self {
        let speakers = get(to, "/speakers").await.json();
        let style = speakers[0]["styles"][0]["id"].to_string();
        let path = format!("/audio_query?speaker={style}&text=%E3%81%82");
        let query = post(to, &path, "").await.json();
        Self { to, style, query }
    }

    async fn send(&self, row: &Row, value: &str) -> Reply {
        // Values are no JSON of ours: numbers too large for any type stay so.
        const PLACE: &str = "\"@\"";
        let name = row.field.rsplit('.').next().unwrap_or_default();
        let mut query = self.query.clone();
        let mut word = json!({"surface": "x", "reading": "ア", "accent": 1});
        let (path, body) = match row.way.as_str() {
            "speech" => (
                "/v1/audio/speech".to_owned(),
                json!({"input": "あ", name: "@"}),
            ),
            "own" => {
                let own = json!({"assist_text": "い", name: "@"});
                let speech = json!({"input": "あ", "response_format": "wav", "koemasu": own});
                ("/v1/audio/speech".to_owned(), speech)
            }
            "phonemes" => {
                let own = json!({"tones": [0], "phonemes": "@"});
                (
                    "/v1/audio/speech".to_owned(),
                    json!({"input": "あ", "koemasu": own}),
                )
            }
            "sbv2-api" => (
                "/synthesize".to_owned(),
                json!({"text": "あ", "ident": "demo", name: "@"}),
            ),
            "query" | "phrase" | "mora" => {
                let phrase = &mut query["accent_phrases"][0];
                match row.way.as_str() {
                    "phrase" => phrase[name] = "@".into(),
                    "mora" => phrase["moras"][0][name] = "@".into(),
                    _ => query[name] = "@".into(),
                }
                (format!("/synthesis?speaker={}", self.style), query)
            }
            "preset" => {
                let mut preset = self.query.clone();
                for (field, value) in [
                    ("id", json!(-1)),
                    ("name", json!("x")),
                    ("speaker_uuid", json!("x")),
                    ("style_id", json!(0)),
                ] {
                    preset[field] = value;
                }
                preset[name] = "@".into();
                ("/add_preset".to_owned(), preset)
            }
            "word" => {
                word["surface"] = format!("語{}", self.number()).into();
                word[name] = "@".into();
                ("/admin/dictionary/ja".to_owned(), word)
            }
            "import" => {
                let word = json!({
                    "surface": "x", "pronunciation": "ア", "accent_type": 1, "priority": "@",
                    "part_of_speech": "名詞", "part_of_speech_detail_1": "一般", "part_of_speech_detail_2": "*",
                    "part_of_speech_detail_3": "*",
                });
                let words = json!({"5f0b1c9e-0000-4000-8000-000000000001": word});
                ("/import_user_dict?override=true".to_owned(), words)
            }
            way => return self.send_by_path(way, value).await,
        };
        let body = body.to_string().replace(PLACE, &list(value));
        post(self.to, &path, body).await
    }

    /// The value in the path, or as the whole body.
    async fn send_by_path(&self, way: &str, value: &str) -> Reply {
        let way = way.replace("STYLE", &self.style);
        let value = value.replace("STYLE", &self.style);
        let value = list(&value.replace("QUERY", &self.query.to_string()));
        let (method, path) = way.split_once(' ').expect("a method and a path");
        let (path, body) = match path.strip_suffix(" []") {
            Some(path) => (path.to_owned(), value),
            None => {
                let encoded: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
                (format!("{path}{encoded}"), self.query.to_string())
            }
        };
        // Kana in the path are written as they are in the table.
        let path: String = path
            .bytes()
            .map(|byte| match byte.is_ascii() {
                true => char::from(byte).to_string(),
                false => format!("%{byte:02X}"),
            })
            .collect();
        let request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).expect("a method"))
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        send(self.to, request).await
    }

    fn number(&self) -> u64 {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }
}

/// `X*N` as a JSON list.
fn list(value: &str) -> String {
    match value.rsplit_once('*') {
        Some((item, count)) if count.parse::<usize>().is_ok() => {
            let count = count.parse().expect("a number");
            format!("[{}]", vec![item; count].join(","))
        }
        _ => value.to_owned(),
    }
}

const FAR: [&str; 9] = [
    "1e308",
    "-1e308",
    "1e400",
    "3.5e38",
    "9223372036854775808",
    "-9223372036854775809",
    "NaN",
    "1e-45",
    "-0.0",
];

/// Most memory of this process so far, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) >> 10
}

fn with_dictionary() -> Folder {
    let folder = Folder::new();
    folder.write(
        "pipelines/ja.toml",
        format!("{PIPELINE}[dictionary]\nfile = \"../words.toml\"\n"),
    );
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn no_number_and_no_list_of_a_caller_is_more_than_its_bound() {
    let folder = with_dictionary();
    let server = folder.serve().await;
    let asked = Asked::new(server.address()).await;
    let before = peak();
    let mut wrong = Vec::new();
    for row in table() {
        let sent = |value: &str, reply: &Reply| {
            format!("{} = {value}: {} {}", row.field, reply.status, reply.text())
        };
        for value in &row.taken {
            let reply = asked.send(&row, value).await;
            if !reply.status.is_success() {
                wrong.push(format!("refused {}", sent(value, &reply)));
            }
        }
        for value in &row.refused {
            let reply = asked.send(&row, value).await;
            if !reply.status.is_client_error() {
                wrong.push(format!("taken {}", sent(value, &reply)));
            }
        }
        for value in FAR {
            let reply = asked.send(&row, value).await;
            // A time that is over already is over.
            let late = reply.status == StatusCode::GATEWAY_TIMEOUT;
            let unsupported = reply.status == StatusCode::NOT_IMPLEMENTED;
            if reply.status.is_server_error() && !late && !unsupported {
                wrong.push(format!("broke at {}", sent(value, &reply)));
            }
        }
    }
    let after = peak();
    let spoken = speak(server.address(), json!({"input": "はい"})).await;
    server.stop().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(spoken.status, StatusCode::OK);
    assert!(after < before + 400, "{before} to {after} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_made_in_pieces_and_ends_at_the_bound_of_an_answer() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let to = server.address();
    let _ = speak(to, json!({"input": "あ。"})).await;
    let before = peak();
    let ask = |own: Value| json!({"input": "あ。い。う。", "response_format": "wav_float", "koemasu": own});
    // Three sentences, two pauses: known before any of it is made.
    for (own, setting) in [
        (json!({"sentence_pause": 301}), "answers.sound_max"),
        (
            json!({"sentence_pause": 301, "stream": false}),
            "answers.sound_max",
        ),
        (
            json!({"sentence_pause": 100, "sampling_rate": 192_000, "channels": 2}),
            "answers.bytes_max",
        ),
    ] {
        let begun = Instant::now();
        let reply = speak(to, ask(own.clone())).await;
        assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE, "{own}");
        assert!(reply.openai_error().contains(setting), "{}", reply.text());
        assert!(begun.elapsed().as_secs() < 30, "at once");
    }
    // As much as there may be: pieces of it are in memory, never the whole.
    let own = json!({"sentence_pause": 80, "sampling_rate": 192_000, "channels": 2});
    let mut reading = begin(to, "/v1/audio/speech", ask(own)).await;
    assert_eq!(reading.status, StatusCode::OK);
    let mut bytes = 0;
    while let Some(more) = reading.next().await {
        bytes += more.expect("a whole answer").len();
    }
    let after = peak();
    server.stop().await;
    assert!(bytes > 160 * 192_000 * 2 * 4, "{bytes}");
    assert!(
        after < before + 100,
        "{before} to {after} MiB for {} MiB",
        bytes >> 20
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_grows_too_long_is_cut_with_its_reason() {
    let folder = Folder::new();
    folder.write(
        "koemasu.toml",
        "[pipelines]\nfolder = \"pipelines\"\n[server]\nwatch = false\n[answers]\nsound_max = \"2s\"\nheld_max = \"256MiB\"\n",
    );
    let server = folder.serve().await;
    let to = server.address();
    let text = "今日はいい天気ですね。".repeat(6);
    let whole = json!({"input": text, "koemasu": {"stream": false}});
    let whole = speak(to, whole).await;
    assert_eq!(
        whole.status,
        StatusCode::PAYLOAD_TOO_LARGE,
        "{}",
        whole.text()
    );
    assert!(whole.openai_error().contains("longer than 2s"));
    let stream = json!({"input": text, "stream_format": "sse"});
    let stream = speak(to, stream).await;
    let short = speak(to, json!({"input": "あ"})).await;
    server.stop().await;
    assert_eq!(stream.status, StatusCode::OK);
    let told = stream.text_whole();
    assert!(told.contains("longer than 2s"), "the reason is told");
    assert_eq!(short.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_until_it_is_whole_has_a_bound_over_all_requests() {
    let folder = Folder::new();
    folder.write(
        "koemasu.toml",
        "[pipelines]\nfolder = \"pipelines\"\n[server]\nwatch = false\n[answers]\nbytes_max = \"8MiB\"\nheld_max = \"8MiB\"\n",
    );
    let server = folder.serve().await;
    let to = server.address();
    let ask = || {
        json!({"input": "あ", "response_format": "wav",
        "koemasu": {"stream": false, "leading_silence": 60}})
    };
    let replies = (0..6).map(|_| tokio::spawn(async move { speak(to, ask()).await }));
    for reply in replies.collect::<Vec<_>>() {
        let reply = reply.await.expect("an answer");
        match reply.status {
            StatusCode::OK => {}
            StatusCode::SERVICE_UNAVAILABLE => {
                assert!(reply.openai_error().contains("kept until they are whole"));
            }
            other => panic!("{other}: {}", reply.text()),
        }
    }
    let after = speak(to, ask()).await;
    server.stop().await;
    assert_eq!(
        after.status,
        StatusCode::OK,
        "it was given back: {}",
        after.text()
    );
}

/// A WAV file of two samples.
fn tiny_wav(rate: u32) -> String {
    use base64::Engine;
    let mut wav = b"RIFF\x28\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    wav.extend(rate.to_le_bytes());
    wav.extend((rate * 2).to_le_bytes());
    wav.extend(b"\x02\0\x10\0data\x04\0\0\0\x01\0\x01\0");
    base64::engine::general_purpose::STANDARD.encode(wav)
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_costs_by_its_work_and_ends_with_its_caller() {
    use tokio::io::AsyncWriteExt;
    let folder = Folder::new();
    let server = folder.serve().await;
    let to = server.address();
    // A rate beside the other: a filter of their own periods would be as long
    // as the rates.
    let mut files = vec![tiny_wav(192_000)];
    files.extend(vec![tiny_wav(191_993); 2_000]);
    let body = json!(files).to_string();
    let joined = post(to, "/connect_waves", body.clone()).await;
    assert_eq!(joined.status, StatusCode::OK, "{}", joined.text());
    for _ in 0..200 {
        let mut stream = tokio::net::TcpStream::connect(to)
            .await
            .expect("a connection");
        let head = format!(
            "POST /connect_waves HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.expect("a write");
    }
    // Those who have gone hold nothing, as soon as it is noticed.
    let begun = Instant::now();
    let spoken = loop {
        let spoken = speak(to, json!({"input": "はい"})).await;
        if spoken.status == StatusCode::OK || begun.elapsed().as_secs() > 60 {
            break spoken;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    let joined = loop {
        let joined = post(to, "/connect_waves", json!([tiny_wav(44_100)]).to_string()).await;
        if joined.status == StatusCode::OK || begun.elapsed().as_secs() > 60 {
            break joined;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    server.stop().await;
    assert!(spoken.status == StatusCode::OK, "{}", spoken.text());
    assert_eq!(joined.status, StatusCode::OK, "{}", joined.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_text_is_as_long_as_a_text_may_be() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let to = server.address();
    let asked = Asked::new(to).await;
    let long = "あ".repeat(1_001);
    let encoded: String = long.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let style = &asked.style;
    let mut replies = Vec::new();
    for path in [
        format!("/voice?text=a&assist_text={encoded}"),
        format!("/voice?text={encoded}"),
    ] {
        replies.push(get(to, &path).await);
    }
    for path in [
        format!("/g2p?text={encoded}"),
        format!("/audio_query?speaker={style}&text={encoded}"),
        format!("/accent_phrases?speaker={style}&text={encoded}"),
        format!("/accent_phrases?speaker={style}&is_kana=true&text={encoded}"),
        format!("/validate_kana?text={encoded}"),
    ] {
        replies.push(post(to, &path, "").await);
    }
    for (path, body) in [
        ("/v1/audio/speech", json!({"input": long})),
        (
            "/v1/audio/speech",
            json!({"input": "a", "koemasu": {"assist_text": long}}),
        ),
        ("/v1/g2p", json!({"text": long})),
        ("/synthesize", json!({"text": long, "ident": "demo"})),
    ] {
        replies.push(post(to, path, body.to_string()).await);
    }
    server.stop().await;
    for reply in replies {
        assert!(reply.status.is_client_error(), "{}", reply.text());
        assert!(reply.text().contains("1001 characters"), "{}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_costs_a_plugin_too_much_is_the_callers() {
    let folder = Folder::new();
    folder.write(
        "pipelines/ja.toml",
        PIPELINE.replace(
            "[\"normalize-sbv2\"]",
            "[\"ja-english\", \"normalize-sbv2\"]",
        ),
    );
    let server = folder.serve().await;
    let to = server.address();
    let marks = format!("{}あ{}", "い。".repeat(20), "\u{301}".repeat(900));
    for text in [
        marks,
        "x".repeat(1_000),
        "9".repeat(1_000),
        "supercalifragilistic".repeat(50),
    ] {
        let body = json!({"text": text, "split": "none"}).to_string();
        let reply = post(to, "/v1/g2p", body).await;
        if reply.status != StatusCode::OK {
            assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.text());
            assert!(
                reply.problem().contains("from character 1 to"),
                "{}",
                reply.text()
            );
        }
        let line = json!({"text": text, "ident": "demo"}).to_string();
        let reply = post(to, "/synthesize", line).await;
        assert!(
            reply.status == StatusCode::OK || reply.status.is_client_error(),
            "{} {}",
            reply.status,
            reply.text()
        );
    }
    let next = speak(to, json!({"input": "はい"})).await;
    server.stop().await;
    assert_eq!(next.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_setting_is_more_than_its_bound() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let to = server.address();
    for policy in [
        "slots = 0",
        "slots = 257",
        "slots = 1000000",
        "window = 65537",
        "window = 4294967295",
        "budget = \"0B\"",
    ] {
        let reply = put(to, "/admin/memory/policy", policy).await;
        assert_eq!(
            reply.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{policy}: {}",
            reply.text()
        );
    }
    let reply = put(to, "/admin/memory/policy", "slots = 256\nwindow = 65536").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    server.stop().await;
    let base = "[pipelines]\nfolder = \"pipelines\"\n";
    for (setting, named) in [
        ("[server]\nrequests_max = 0", "server.requests_max"),
        (
            "[server]\nrequests_max = 9223372036854775807",
            "server.requests_max",
        ),
        (
            "[server]\nconnections_max = 9223372036854775807",
            "server.connections_max",
        ),
        ("[server]\nbody_max = \"1GiB\"", "server.body_max"),
        ("[models]\nlanes = 9223372036854775807", "models.lanes"),
        ("[models]\nthreads = 1025", "models.threads"),
        ("[answers]\nsound_max = \"0s\"", "answers.sound_max"),
        ("[answers]\nsound_max = \"25h\"", "answers.sound_max"),
        ("[answers]\nbytes_max = \"0B\"", "answers.bytes_max"),
        ("[answers]\nbytes_max = \"2GiB\"", "answers.held_max"),
        ("[memory]\nslots = 257", "slots"),
    ] {
        folder.write("koemasu.toml", format!("{base}{setting}\n"));
        let refused = server::config::Config::load(&folder.files()).map(drop);
        let refused = refused.expect_err(setting).to_string();
        assert!(refused.contains(named), "{setting}: {refused}");
    }
    folder.write("koemasu.toml", base);
    for (setting, named) in [
        (
            "[limits]\ncharacters_max = 9223372036854775807",
            "limits.characters_max",
        ),
        ("[split]\ncharacters_max = 100001", "split.characters_max"),
        (
            "[encode]\nsilence_between_lines = \"601s\"",
            "silence_between_lines",
        ),
        ("[encode]\nread_ahead = \"1000h\"", "read_ahead"),
    ] {
        folder.write("pipelines/ja.toml", format!("{PIPELINE}{setting}\n"));
        let refused = server::config::Config::load(&folder.files()).map(drop);
        let refused = refused.expect_err(setting).to_string();
        assert!(refused.contains(named), "{setting}: {refused}");
    }
}

async fn put(to: SocketAddr, path: &str, body: &str) -> Reply {
    let request = Request::put(path)
        .header("host", "localhost")
        .body(Full::new(Bytes::from(body.to_owned())))
        .expect("a request");
    send(to, request).await
}
