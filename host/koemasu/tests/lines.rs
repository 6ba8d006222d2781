//! Whatever callers and files say: a record of the log stays one line, what is
//! printed stays where it is printed, and no terminal is told what to do.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// What would end a line, begin a terminal sequence or turn the order of what
/// is around it. `FAKE` follows whatever ends a line.
const HOSTILE: &[&str] = &[
    "x\n2026-01-01T00:00:00.000000Z ERROR koemasu: FAKE LINE",
    "x\nFAKE",
    "x\r\nFAKE",
    "x\rFAKE",
    "x\u{b}FAKE\u{c}FAKE\u{1c}FAKE",
    "x\u{85}FAKE\u{2028}FAKE\u{2029}FAKE",
    "\u{1b}[31mred\u{1b}[2J\u{1b}]0;title\u{7}",
    "\u{9b}31m\u{9d}0;title\u{9c}",
    "a\0b\u{8}\u{8}c\u{7f}\t",
    "\u{202e}EKAF\u{202c}\u{2066}x\u{2069}\u{200f}\u{61c}\u{206a}",
    "x\"}\n{\"level\":\"ERROR\",\"fields\":{\"message\":\"FAKE\"}}",
];

fn obeyed(character: char) -> bool {
    let number = u32::from(character);
    character != '\n'
        && (number < 0x20
            || (0x7f..0xa0).contains(&number)
            || [0x61c, 0x200e, 0x200f, 0x2028, 0x2029].contains(&number)
            || (0x202a..=0x202e).contains(&number)
            || (0x2066..=0x206f).contains(&number))
}

/// What was written, once it is known to do nothing but stand there.
fn plain(what: &str, written: &[u8]) -> String {
    let text = String::from_utf8(written.to_vec());
    let text = text.unwrap_or_else(|_| panic!("{what}: not UTF-8"));
    assert!(!text.contains(obeyed), "{what}: {text:?}");
    for line in text.lines() {
        let fake = ["FAKE", "2026-01-01T", "{\"level\":\"ERROR\""];
        let fake = fake.iter().any(|begins| line.starts_with(begins));
        assert!(!fake, "{what}: a line of its own: {line}");
    }
    text
}

/// A home of hostile names: voices, speakers, styles, a pipeline, keys.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path();
    for name in ["voices", "pipelines"] {
        std::fs::create_dir(root.join(name)).expect("a folder");
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let pipeline = own.join("pipelines/ja-sbv2.toml");
    for name in ["ja", "x\nFAKE\u{1b}[31m\u{202e}"] {
        let to = root.join("pipelines").join(format!("{name}.toml"));
        std::fs::copy(&pipeline, to).expect("a copy");
    }
    // One that speaks, and some that cannot.
    let good = root.join("voices/good\nFAKE\u{202e}");
    std::fs::create_dir(&good).expect("a folder");
    let fixtures = own.join("tests/fixtures");
    std::fs::copy(fixtures.join("decoded.onnx"), good.join("model.onnx")).expect("a copy");
    let styles = "style_vectors.npy";
    std::fs::copy(fixtures.join(styles), good.join(styles)).expect("a copy");
    let config = std::fs::read_to_string(fixtures.join("config.json")).expect("a config");
    let mut config: Value = serde_json::from_str(&config).expect("JSON");
    config["model_name"] = json!(HOSTILE[0]);
    config["data"]["spk2id"] = json!({ HOSTILE[1]: 0, HOSTILE[6]: 1 });
    config["data"]["style2id"] = json!({ "Neutral": 0, HOSTILE[5]: 1, HOSTILE[9]: 2 });
    std::fs::write(good.join("config.json"), config.to_string()).expect("a file");
    for (number, hostile) in HOSTILE.iter().enumerate() {
        let name = hostile.replace(['\0', '/'], "");
        let path = root.join("voices").join(format!("{number}{name}.aivmx"));
        std::fs::write(path, b"torn").expect("a file");
    }
    std::fs::write(
        root.join("koemasu.toml"),
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nwatch = false\n[voices]\nfolder = \"voices\"\nembedded = true\n\
             [pipelines]\nfolder = \"pipelines\"\n[dialects.voicevox]\npresets = \"presets.toml\"\n\
             [memory.eviction]\npins = [{}]\n",
            json!(HOSTILE[0])
        ),
    )
    .expect("a file");
    std::fs::write(
        root.join("pipelines/ja.toml"),
        std::fs::read_to_string(&pipeline).expect("a pipeline")
            + "\n[dictionary]\nfile = \"../words.toml\"\n",
    )
    .expect("a file");
    folder
}

fn koemasu(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_koemasu"));
    command.current_dir(folder).env("KOEMASU_LOG", "info");
    command
}

struct Served {
    child: Child,
    address: String,
    log: PathBuf,
}

impl Served {
    fn start(folder: &Path, format: &str) -> Self {
        let log = folder.join(format!("{format}.log"));
        let child = koemasu(folder)
            .args(["--log", format, "serve"])
            .stderr(File::create(&log).expect("a file"))
            .spawn()
            .expect("it starts");
        let mut served = Self {
            child,
            address: String::new(),
            log,
        };
        for _ in 0..600 {
            std::thread::sleep(Duration::from_millis(100));
            let told = std::fs::read_to_string(&served.log).unwrap_or_default();
            let mut lines = told.lines();
            let address = lines.find_map(|line| line.strip_prefix("koemasu serves on http://"));
            if let Some(address) = address {
                served.address = address.to_owned();
                return served;
            }
        }
        panic!("it does not serve");
    }

    /// The status of the answer.
    fn ask(&self, head: &[u8], body: &[u8]) -> u16 {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let mut request = head.to_vec();
        request.extend(b"\r\nconnection: close\r\n");
        request.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
        request.extend(body);
        stream.write_all(&request).expect("a write");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let head = String::from_utf8_lossy(&answer[..answer.len().min(2_000)]).into_owned();
        let head = head.split("\r\n\r\n").next().unwrap_or_default();
        assert!(!head.replace("\r\n", "").contains(obeyed), "{head:?}");
        let status = head.split(' ').nth(1).expect("a status");
        status.parse().expect("a number")
    }

    fn post(&self, path: &str, body: &[u8]) -> u16 {
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost");
        self.ask(head.as_bytes(), body)
    }

    fn end(mut self) -> Vec<u8> {
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(killed.expect("kill").success());
        self.child.wait().expect("it ends");
        std::fs::read(&self.log).expect("the log")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It has ended already, if all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// All that callers can say, in every field they have; how many were refused.
fn say_everything(served: &Served) -> usize {
    let mut statuses = Vec::new();
    for &hostile in HOSTILE {
        let quoted = percent(hostile);
        let speech = |field: &str| {
            let mut body = json!({"input": "あ", "voice": "demo"});
            body[field] = json!(hostile);
            body.to_string()
        };
        for field in [
            "input",
            "voice",
            "model",
            "response_format",
            "instructions",
            hostile,
        ] {
            statuses.push(served.post("/v1/audio/speech", speech(field).as_bytes()));
        }
        for own in [
            "pipeline", "style", "speaker", "language", "loudness", hostile,
        ] {
            let body = json!({"input": "あ", "voice": "demo", "koemasu": {own: hostile}});
            statuses.push(served.post("/v1/audio/speech", body.to_string().as_bytes()));
        }
        for body in [
            json!({"text": hostile}),
            json!({"text": "あ", "pipeline": hostile}),
            json!({"text": "あ", hostile: 1}),
        ] {
            statuses.push(served.post("/v1/g2p", body.to_string().as_bytes()));
        }
        for body in [
            json!({"text": "あ", "ident": hostile}),
            json!({"text": hostile, "ident": "demo"}),
            json!({"text": "あ", "ident": "demo", hostile: hostile}),
        ] {
            statuses.push(served.post("/synthesize", body.to_string().as_bytes()));
        }
        for field in [
            "text",
            "model_name",
            "speaker_name",
            "style",
            "language",
            "encoding",
        ] {
            let text = if field == "text" {
                ""
            } else {
                "&text=%E3%81%82"
            };
            let path = format!("/voice?{field}={quoted}{text}&{quoted}={quoted}");
            statuses.push(served.post(&path, b""));
        }
        // VOICEVOX: words, presets, queries, styles.
        for path in [
            format!("/audio_query?text={quoted}&speaker={quoted}"),
            format!("/user_dict_word?surface={quoted}&pronunciation={quoted}&accent_type=0"),
            format!("/user_dict_word?surface=a&pronunciation={quoted}&accent_type={quoted}"),
            format!("/delete_preset?id={quoted}"),
            format!("/validate_kana?text={quoted}"),
            format!("/{quoted}"),
            format!("/{quoted}?{quoted}"),
        ] {
            statuses.push(served.post(&path, b""));
        }
        let preset =
            json!({"id": 1, "name": hostile, "speaker_uuid": hostile, "style_id": hostile});
        statuses.push(served.post("/add_preset", preset.to_string().as_bytes()));
        // Administration: words, imports, policies.
        let word = json!({"surface": hostile, "reading": hostile, hostile: 1});
        statuses.push(served.post("/admin/dictionary/ja", word.to_string().as_bytes()));
        let path = format!("/admin/dictionary/{quoted}");
        statuses.push(served.post(&path, b"{}"));
        let import = format!("[[word]]\nsurface = {0}\nreading = {0}\n", json!(hostile));
        let import = import.replace('\u{7f}', "");
        statuses.push(served.post("/admin/dictionary/ja/import", import.as_bytes()));
        let policy = format!("[memory.eviction]\n{0} = {0}\n", json!(hostile));
        let put = b"PUT /admin/memory/policy HTTP/1.1\r\nhost: localhost";
        statuses.push(served.ask(put, policy.as_bytes()));
        // What a header can hold, as it is.
        let header = hostile.replace(['\n', '\r', '\0'], "");
        for name in [
            "x-request-id",
            "origin",
            "authorization",
            "user-agent",
            "host",
        ] {
            let host = if name == "host" {
                ""
            } else {
                "host: localhost\r\n"
            };
            let head = format!("GET /v1/models/{quoted} HTTP/1.1\r\n{host}{name}: {header}");
            let status = served.ask(head.as_bytes(), b"");
            // A header that is none is no request, and hyper's to refuse.
            let legal = |c: char| !c.is_ascii_control() || c == '\t';
            match header.chars().all(legal) {
                true => statuses.push(status),
                false => assert_eq!(status, 400),
            }
        }
    }
    statuses.push(served.post("/admin/reload", b""));
    let refused = statuses.iter().filter(|status| **status >= 400).count();
    assert!(refused > 200, "{refused} of {}", statuses.len());
    refused
}

#[test]
fn nothing_that_is_said_makes_a_line_of_its_own_in_the_text_log() {
    let folder = folder();
    let served = Served::start(folder.path(), "text");
    let refused = say_everything(&served);
    let log = plain("the log", &served.end());
    let mut told = 0;
    for line in log.lines() {
        let record = line.starts_with("20") && line.as_bytes()[10] == b'T';
        let ours = line.starts_with("koemasu serves on http://");
        assert!(record || ours, "no record: {line}");
        told += usize::from(line.contains("status=") && line.contains("request_id="));
    }
    assert_eq!(told, refused, "a record for each refusal");
    // It is shown, not lost.
    assert!(log.contains("x\\nFAKE") && log.contains("\\u202e"), "{log}");
    eprintln!("{} lines, {told} refusals told", log.lines().count());
}

#[test]
fn nothing_that_is_said_makes_a_line_of_its_own_in_the_json_log() {
    let folder = folder();
    let served = Served::start(folder.path(), "json");
    let refused = say_everything(&served);
    let log = plain("the log", &served.end());
    let mut told = 0;
    for line in log.lines() {
        if line.starts_with("koemasu serves on http://") {
            continue;
        }
        let record: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(record["timestamp"].is_string(), "{line}");
        let fields = &record["fields"];
        told += usize::from(fields["status"].is_u64() && fields["request_id"].is_string());
    }
    assert_eq!(told, refused, "a record for each refusal");
    eprintln!("{} lines, {told} refusals told", log.lines().count());
}

#[test]
fn nothing_that_is_said_makes_a_line_of_its_own_on_the_command_line() {
    let folder = folder();
    let root = folder.path();
    let run = |words: &[&str], stdin: &str| {
        let mut child = koemasu(root)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut pipe = child.stdin.take().expect("a pipe");
        // Some end without reading it.
        let _ = pipe.write_all(stdin.as_bytes());
        drop(pipe);
        let output = child.wait_with_output().expect("it ends");
        let what = format!("{words:?}");
        (plain(&what, &output.stdout), plain(&what, &output.stderr))
    };
    let (report, _) = run(&["check"], "");
    let left_out = report
        .lines()
        .filter(|it| it.starts_with("LEFT OUT "))
        .count();
    assert_eq!(left_out, HOSTILE.len(), "{report}");
    let voices = report.lines().filter(|it| it.starts_with("voice ")).count();
    assert_eq!(voices, 2, "{report}");
    assert!(
        report.contains("good\\nFAKE\\u202e: speakers x\\nFAKE"),
        "{report}"
    );

    let start = "{\"kind\":\"start\",\"format\":1,\"device\":1000}\n";
    std::fs::write(root.join("trace.jsonl"), start).expect("a file");
    for &hostile in HOSTILE {
        let name = hostile.replace(['\0', '/'], "");
        let (_, told) = run(&["say", "あ", "--voice", &name, "-o", "a.wav"], "");
        assert!(told.contains("there is no voice"), "{told}");
        run(&["check", "--config", &name], "");
        run(&["--log", "json", "check", "--config", &name], "");
        run(&["say", "あ", &format!("--{name}")], "");
        run(&[&name], "");
        run(&["key", &name], "");
        let policy = format!("{name}.toml");
        std::fs::write(root.join(&policy), "slots = 1\n").expect("a file");
        let (table, _) = run(
            &["policy", "replay", "trace.jsonl", "--policy", &policy],
            "",
        );
        // Uses, head, three orders, the policy, foresight.
        assert_eq!(table.lines().count(), 7, "{table}");
        std::fs::write(root.join(&policy), format!("{} = 1", json!(hostile))).expect("a file");
        run(
            &["policy", "replay", "trace.jsonl", "--policy", &policy],
            "",
        );
    }
    let row = |hostile: &&str| json!({ "text": format!("{hostile}。") }).to_string() + "\n";
    let (rows, _) = run(&["g2p"], &HOSTILE.iter().map(row).collect::<String>());
    assert_eq!(rows.lines().count(), HOSTILE.len());
    for row in rows.lines() {
        let _: Value = serde_json::from_str(row).expect("JSON");
    }
    // Sound goes beside names.
    let to = "x\nFAKE\u{1b}[31m.wav";
    let (_, told) = run(
        &["say", "あ😀\u{202e}い\u{85}", "--voice", "demo", "-o", to],
        "",
    );
    assert!(told.contains("x\\nFAKE\\u001b[31m.wav: "), "{told}");
}
