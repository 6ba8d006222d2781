//! The program itself: its commands, its signals, its words.

#[path = "../../../tests/it/graft.rs"]
#[expect(dead_code, reason = "the tests of sessions use the rest of it")]
mod graft;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

fn koemasu(folder: &tempfile::TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_koemasu"));
    command
        .current_dir(folder.path())
        // What whoever runs the tests has pulled is not heard.
        .env("KOEMASU_DATA", folder.path().join(".data"))
        .env("KOEMASU_LOG", "info");
    command
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn say_writes_a_wav_and_leaves_nothing_else() {
    let folder = folder();
    let output = koemasu(&folder)
        .args(["say", "こんにちは", "-o", "hello.wav"])
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{}", told(&output));
    let wav = std::fs::read(folder.path().join("hello.wav")).expect("the file");
    assert_eq!(&wav[..4], b"RIFF");
    assert!(wav.len() > 44 + 44_100 / 2, "{} bytes", wav.len());
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .collect();
    assert_eq!(names.len(), 1);

    let output = koemasu(&folder)
        .args(["say", "あ", "-o", "no/such/folder.wav"])
        .output()
        .expect("it starts");
    assert!(!output.status.success());
    assert!(
        told(&output).contains("cannot write no/such/folder.wav"),
        "{}",
        told(&output)
    );
}

#[test]
fn check_tells_what_a_server_would_find() {
    let folder = folder();
    let output = koemasu(&folder).arg("check").output().expect("it starts");
    assert!(output.status.success(), "{}", told(&output));
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(
        report.contains("pipeline   ja: language ja; normalize ja-markup, ja-words"),
        "{report}"
    );
    assert!(
        report.contains("pipeline   ja-sbv2: language ja; normalize normalize-sbv2"),
        "{report}"
    );
    assert!(
        report.contains("voice      demo: speakers demo, demo-low"),
        "{report}"
    );

    std::fs::write(
        folder.path().join("koemasu.toml"),
        "[models]\ndevice = \"cuda\"\n",
    )
    .expect("a file");
    let output = koemasu(&folder).arg("check").output().expect("it starts");
    // A machine with a GPU and the GPU build passes this.
    if !output.status.success() {
        assert!(
            told(&output).contains("`models.device` is \"cuda\", but"),
            "{}",
            told(&output)
        );
    }
}

#[test]
fn g2p_answers_each_line_with_json() {
    let folder = folder();
    let mut child = koemasu(&folder)
        .arg("g2p")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin
        .write_all("{\"text\": \"3時です。\", \"id\": 1}\nはい\n😀\n".as_bytes())
        .expect("a write");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let rows: Vec<serde_json::Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0]["norm"], "三時です.");
    assert_eq!(
        rows[1]["phones"],
        serde_json::json!(["_", "h", "a", "i", "_"])
    );
    assert_eq!(rows[1]["tones"], serde_json::json!([0, 1, 1, 0, 0]));
    assert_eq!(rows[1]["word2ph"], serde_json::json!([1, 2, 1, 1]));
    // Nothing of it can be read: the end marks, and warnings of the character
    // and of the line.
    assert_eq!(rows[2]["phones"], serde_json::json!(["_", "_"]));
    assert_eq!(rows[2]["warnings"].as_array().map(Vec::len), Some(2));
}

#[test]
fn without_set_up_the_cure_is_named() {
    let folder = folder();
    for command in [&["serve"][..], &["check"], &["say", "あ"]] {
        let output = koemasu(&folder)
            .args(command)
            .env("KOEMASU_HOME", folder.path())
            .env_remove("KOEMASU_ONNXRUNTIME")
            .output()
            .expect("it starts");
        assert!(!output.status.success());
        assert!(
            told(&output).contains("run `cargo xtask setup`"),
            "{}",
            told(&output)
        );
    }
}

#[test]
fn a_new_key_is_shown_once_and_its_table_lets_it_in() {
    let folder = folder();
    let make = |name: &str| {
        let output = koemasu(&folder)
            .args(["key", name])
            .output()
            .expect("it starts");
        assert!(output.status.success(), "{}", told(&output));
        let shown = told(&output);
        let words: Vec<_> = shown.split_whitespace().collect();
        let keys: Vec<_> = words
            .iter()
            .filter(|word| word.starts_with("km_"))
            .collect();
        assert_eq!(keys.len(), 1, "{shown}");
        let table = String::from_utf8(output.stdout).expect("text");
        assert!(!table.contains("km_"), "{table}");
        ((*keys[0]).to_owned(), table)
    };
    let (bot, first) = make("bot");
    let (game, second) = make("a \"game\"");
    assert_eq!(bot.len(), 3 + 43, "32 bytes in base64url");
    assert_ne!(bot, game);
    let file = folder.path().join("koemasu.toml");
    std::fs::write(file, format!("{first}{second}")).expect("a file");

    let mut served = Served::start(&folder);
    let asks = |shown: &str| served.get_with("/v1/models", shown);
    for key in [&bot, &game] {
        let answer = asks(&format!("authorization: Bearer {key}\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    for shown in ["", "x-api-key: km_\r\n"] {
        assert!(asks(shown).starts_with("HTTP/1.1 401 "));
    }
    served.signal("TERM");
    assert!(served.child.wait().expect("it ends").success());

    let output = koemasu(&folder)
        .args(["key", ""])
        .output()
        .expect("it starts");
    assert!(!output.status.success(), "a key has a name");
}

/// A server in its own process; ended by its number when dropped.
struct Served {
    child: Child,
    address: String,
    log: std::thread::JoinHandle<String>,
}

impl Served {
    fn start(folder: &tempfile::TempDir) -> Self {
        let mut command = koemasu(folder);
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        Self::of(command)
    }

    fn of(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut all = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(
                lines.read_line(&mut line).expect("a line") > 0,
                "it ended: {all}"
            );
            all.push_str(&line);
            if let Some(address) = line.trim().strip_prefix("koemasu serves on http://") {
                break address.to_owned();
            }
        };
        let log = std::thread::spawn(move || {
            let _ = lines.read_to_string(&mut all);
            all
        });
        Self {
            child,
            address,
            log,
        }
    }

    fn signal(&self, name: &str) {
        let number = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &number]).status();
        assert!(sent.expect("kill starts").success());
    }

    fn get(&self, path: &str) -> String {
        self.get_with(path, "")
    }

    fn get_with(&self, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n"
        )
        .expect("a write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    fn generation(&self) -> u64 {
        let answer = self.get("/v1/audio/voices");
        let body = answer.split("\r\n\r\n").nth(1).expect("a body");
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        body["generation"].as_u64().expect("a number")
    }
}

#[test]
fn sighup_reloads_and_sigterm_drains() {
    let folder = folder();
    let mut served = Served::start(&folder);
    assert!(served.get("/readyz").starts_with("HTTP/1.1 200 "));
    assert_eq!(served.generation(), 1);

    served.signal("HUP");
    let reloaded = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        served.generation() == 2
    });
    assert!(reloaded, "the signal was not heard");

    served.signal("TERM");
    let status = served.child.wait().expect("it ends");
    assert!(status.success(), "{status}");
    let log = served.log.join().expect("its log");
    assert!(log.contains("drained"), "{log}");
}

/// Ends within a bound that is far beyond any drain here.
fn ended(served: &mut Served) -> std::process::ExitStatus {
    for _ in 0..1_200 {
        if let Some(status) = served.child.try_wait().expect("a child") {
            return status;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = served.child.kill();
    panic!("it does not end");
}

/// A request that is never whole: what a drain waits for in vain.
fn half_asked(served: &Served) -> TcpStream {
    let mut stream = TcpStream::connect(&served.address).expect("it listens");
    let head = b"POST /v1/g2p HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";
    stream.write_all(head).expect("a write");
    // Invited, so it is waited for.
    let mut invited = [0; 12];
    stream.read_exact(&mut invited).expect("an invitation");
    assert_eq!(&invited, b"HTTP/1.1 100");
    stream
}

fn with_drain(drain: &str) -> tempfile::TempDir {
    let folder = folder();
    let config = format!("[server]\nbody_timeout = \"1h\"\ndrain = \"{drain}\"\n");
    std::fs::write(folder.path().join("koemasu.toml"), config).expect("a file");
    folder
}

#[test]
fn a_drain_that_cuts_off_says_so_by_its_exit_code() {
    let folder = with_drain("1s");
    let mut served = Served::start(&folder);
    let _asked = half_asked(&served);
    served.signal("TERM");
    assert_eq!(ended(&mut served).code(), Some(3));
}

#[test]
fn a_second_signal_ends_at_once() {
    let folder = with_drain("1h");
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let mut served = Served::start(&folder);
        let _asked = half_asked(&served);
        served.signal("TERM");
        // It drains, and hears.
        std::thread::sleep(Duration::from_millis(500));
        assert!(served.child.try_wait().expect("a child").is_none());
        served.signal(signal);
        assert_eq!(ended(&mut served).code(), Some(code));
    }
}

#[test]
fn whatever_blocks_the_process_ends_after_the_drain() {
    let folder = with_drain("1s");
    let mut served = Served::start(&folder);
    // Whoever reads a pipe that nobody writes waits for ever.
    let pipe = folder.path().join("koemasu.toml");
    std::fs::remove_file(&pipe).expect("a file");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo starts").success());
    for _ in 0..3 {
        served.signal("HUP");
        std::thread::sleep(Duration::from_millis(100));
    }
    served.signal("TERM");
    assert!(ended(&mut served).code().is_some(), "it ends by itself");
}

#[test]
fn few_file_descriptors_are_enough_to_be_asked_for_health() {
    let folder = folder();
    let mut limited = Command::new("sh");
    limited
        .current_dir(folder.path())
        .args([
            "-c",
            "ulimit -n 64 && exec \"$0\" serve --listen 127.0.0.1:0",
        ])
        .arg(env!("CARGO_BIN_EXE_koemasu"));
    let mut served = Served::of(limited);
    let idle: Vec<_> = (0..100)
        .map(|_| TcpStream::connect(&served.address).expect("it listens"))
        .collect();
    for _ in 0..3 {
        assert!(served.get("/healthz").starts_with("HTTP/1.1 200 "));
    }
    drop(idle);
    served.signal("TERM");
    assert_eq!(ended(&mut served).code(), Some(0));
}

/// A file of the committed cases.
fn case(name: &str) -> std::path::PathBuf {
    let cases = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/memory");
    cases.join(name).canonicalize().unwrap_or(cases.join(name))
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "KOEMASU_BLESS rewrites the golden file"
)]
fn policies_are_compared_on_a_trace() {
    let folder = folder();
    let replay = |more: &[&std::ffi::OsStr]| {
        let output = koemasu(&folder)
            .args(["policy", "replay"])
            .arg(case("trace.jsonl"))
            .args(more)
            .output()
            .expect("it starts");
        assert!(output.status.success(), "{}", told(&output));
        String::from_utf8(output.stdout).expect("text")
    };
    let pinned = case("pinned.toml");
    let compared = ["--plugin", "evict-cost", "--policy"].map(std::ffi::OsStr::new);
    let arguments: Vec<_> = compared.into_iter().chain([pinned.as_os_str()]).collect();
    let table = replay(&arguments);
    let golden = case("replay.txt");
    if std::env::var_os("KOEMASU_BLESS").is_some() {
        std::fs::write(&golden, &table).expect("a writable golden file");
    }
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    assert_eq!(table, expected, "KOEMASU_BLESS=1 rewrites replay.txt");

    let more_memory = ["--json", "--device", "4GiB"].map(std::ffi::OsStr::new);
    for row in replay(&more_memory).lines() {
        let row: serde_json::Value = serde_json::from_str(row).expect("JSON");
        assert_eq!(row["report"]["evictions"], 0, "all have room: {row}");
        assert_eq!(row["report"]["loads"], 10, "{row}");
    }
}

#[test]
fn a_made_up_trace_is_the_same_twice_and_can_be_replayed_from_a_pipe() {
    let folder = folder();
    let trace = |seed: &str| {
        let output = koemasu(&folder)
            .args(["policy", "trace", "--pattern", "drift", "--voices", "5"])
            .args(["--requests", "50", "--seed", seed])
            .output()
            .expect("it starts");
        assert!(output.status.success(), "{}", told(&output));
        output.stdout
    };
    assert_eq!(trace("1"), trace("1"));
    assert_ne!(trace("1"), trace("2"));

    let mut child = koemasu(&folder)
        .args(["policy", "replay", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&trace("1")).expect("a write");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.starts_with("50 uses of 5 voices"), "{table}");
}

#[test]
fn a_trace_or_policy_that_cannot_be_read_is_named_with_the_place() {
    let folder = folder();
    let refused = |trace: &str, policy: &str| {
        std::fs::write(folder.path().join("trace.jsonl"), trace).expect("a file");
        std::fs::write(folder.path().join("mine.toml"), policy).expect("a file");
        let output = koemasu(&folder)
            .args(["policy", "replay", "trace.jsonl", "--policy", "mine.toml"])
            .output()
            .expect("it starts");
        assert!(!output.status.success());
        told(&output)
    };
    let start = "{\"kind\":\"start\",\"format\":1,\"device\":1}\n";
    let error = refused("{\"kind\":\"end\"}\n{}\n", "");
    assert!(
        error.contains("the trace trace.jsonl: line 1: unknown variant `end`"),
        "{error}"
    );
    let error = refused("", "");
    assert!(error.contains("give --device"), "{error}");
    let error = refused(start, "[memory]\nslot = 3\n");
    assert!(
        error.contains("koemasu: mine.toml:2:1: unknown field `slot`"),
        "{error}"
    );
    let error = refused(start, "slots = 0\n");
    assert!(
        error.starts_with("koemasu: mine.toml:1:9: `[memory]`: `slots` is at least 1"),
        "{error}"
    );
    assert_eq!(error.matches("mine.toml").count(), 1, "{error}");
    let error = refused(start, "eviction = { plugin = \"no-such\" }\n");
    assert!(error.contains("no-such.wasm"), "{error}");
}

/// A soak that is too short for a slope; what it says, its last line, and
/// whether it passed. The bound is wide: a few hundred requests still warm up.
fn soak(folder: &tempfile::TempDir, arguments: &[&str]) -> (bool, String, String) {
    let output = koemasu(folder)
        .env("KOEMASU_LOG", "off")
        .args(["soak", "--mode", "slab", "--slope-max", "600"])
        .args(arguments)
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let verdict = said.lines().last().unwrap_or_default().to_owned();
    assert!(verdict.starts_with("soak: "), "{said}{}", told(&output));
    (output.status.success(), said, verdict)
}

/// Three copies of one voice, short texts; a slope is judged from 200 requests
/// on.
const FEW: [&str; 6] = ["--voices", "3", "--lengths", "short", "--characters", "4"];
const ENOUGH: [&str; 2] = ["--requests", "200"];

fn demo() -> String {
    let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let voice = repository.join("voices/demo/demo.aivmx");
    voice.display().to_string()
}

#[test]
fn a_soak_passes_and_leaves_a_table_and_a_picture() {
    let folder = folder();
    let demo = demo();
    let more = [
        "--models",
        &demo,
        "--png",
        "soak.png",
        "--json",
        "soak.json",
    ];
    let (passed, said, verdict) = soak(&folder, &[&FEW[..], &ENOUGH, &more].concat());
    assert!(passed, "{said}");
    assert!(
        verdict.starts_with("soak: pass: 12 things held"),
        "{verdict}"
    );
    assert!(
        said.contains("requests failed              0 of 200"),
        "{said}"
    );
    let picture = std::fs::read(folder.path().join("soak.png")).expect("the picture");
    assert_eq!(&picture[1..4], b"PNG");
    let all = std::fs::read(folder.path().join("soak.json")).expect("the figures");
    let all: serde_json::Value = serde_json::from_slice(&all).expect("JSON");
    assert_eq!(all["pass"], true);
    let end = &all["runs"][0]["end"];
    assert_eq!(end["dropped"]["in_use"], 0, "{end}");
    assert_eq!(all["runs"][0]["mode"], "slab");
}

#[test]
fn what_is_planted_is_found_and_the_soak_fails() {
    let folder = folder();
    let demo = demo();
    let with = |fault: &[&str]| {
        let (passed, said, verdict) =
            soak(&folder, &[&FEW[..], &["--models", &demo], fault].concat());
        assert!(!passed, "{said}");
        assert!(verdict.starts_with("soak: fail, as it must: "), "{verdict}");
        verdict
    };
    let leak = with(&[&ENOUGH[..], &["--leak", "2MiB"]].concat());
    assert!(leak.contains("private memory grows: "), "{leak}");
    assert!(leak.contains("held for runs at rest: "), "{leak}");
    // In which there is no room for all three.
    let budget = ["--budget", "352MiB", "--requests", "60"];
    let eviction = with(&[&budget[..], &["--fault", "eviction"]].concat());
    assert!(
        eviction.contains("held by no voice at rest: "),
        "{eviction}"
    );
}

#[test]
fn a_zoo_of_voices_is_asked_and_everything_happens_meanwhile() {
    let folder = folder();
    let arguments = ["--voices", "25", "--requests", "60", "--json", "zoo.json"];
    let (_, said, _) = soak(&folder, &[&arguments[..], &["--characters", "20"]].concat());
    let all = std::fs::read(folder.path().join("zoo.json")).expect("the figures");
    let all: serde_json::Value = serde_json::from_slice(&all).expect("JSON");
    let judged = all["judged"][0][1].as_array().expect("what was judged");
    let named = |verdict: &str| {
        let of_it = judged.iter().filter(|told| told["verdict"] == verdict);
        let things = of_it.filter_map(|told| told["thing"].as_str());
        things.collect::<Vec<_>>()
    };
    for thing in ["failed", "kinds", "happened", "evictions", "dropped"] {
        assert!(named("held").contains(&thing), "{thing}: {said}");
    }
}

#[test]
fn a_voice_is_tried_in_a_process_of_its_own() {
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let folder = folder();
    let voice = folder.path().join("voices/strange");
    std::fs::create_dir_all(&voice).expect("a folder");
    for name in ["config.json", "style_vectors.npy"] {
        std::fs::copy(fixtures.join(name), voice.join(name)).expect("a copy");
    }
    std::fs::write(
        folder.path().join("koemasu.toml"),
        "[voices]\nfolder = \"voices\"\n[models]\ntrial = \"20s\"\n[memory]\nbudget = \"128MiB\"\nworkspace = \"32MiB\"\n",
    )
    .expect("a file");
    let check = |graft: fn(&mut graft::Graft) -> String| {
        let model = graft::grafted(&fixtures.join("jp-extra.onnx"), graft);
        std::fs::write(voice.join("model.onnx"), model).expect("a model");
        koemasu(&folder).arg("check").output().expect("it starts")
    };
    let good = check(|g| g.floats(&[], &[0.0]));
    let report = String::from_utf8_lossy(&good.stdout).into_owned();
    assert!(report.contains("voice      strange"), "{}", told(&good));

    // Found by the longer inputs of the trial alone.
    let endless = told(&check(|g| graft::endless_beyond(g, 100)));
    assert!(endless.contains("strange"), "{endless}");
    assert!(
        endless.contains("loop for ever") || endless.contains("too much time"),
        "{endless}"
    );
    let greedy = told(&check(graft::GREEDY[0].1));
    assert!(greedy.contains("strange"), "{greedy}");
    assert!(greedy.contains("34359738368 bytes"), "{greedy}");
}

/// What is only found when memory is reserved, libraries are loaded and a word
/// is said.
#[test]
fn whatever_check_refuses_is_told_with_the_key_that_leads_to_it() {
    for (toml, at) in [
        ("[memory]\nbudget = \"1MiB\"\n", "koemasu.toml:2:10: "),
        (
            "[memory]\ntouch = true\nbudget = \"9007199254740991B\"\n",
            "koemasu.toml:3:10: ",
        ),
        (
            "[memory]\nbudget = \"300MiB\"\nworkspace = \"1B\"\n",
            "koemasu.toml:3:13: ",
        ),
        (
            "[memory.permits]\nrequest_max = \"1B\"\n",
            "koemasu.toml:2:15: ",
        ),
        (
            "[answers]\nbytes_max = \"1B\"\nsound_max = \"600s\"\n",
            "koemasu.toml:2:13: ",
        ),
        (
            "[onnxruntime]\nlibrary = \"koemasu.toml\"\n",
            "koemasu.toml:2:11: ",
        ),
        (
            "[dialects.sbv2]\nlisten = \"0.0.0.0:1\"\n",
            "koemasu.toml:2:10: ",
        ),
        ("[models]\ndevice = \"gpu\"\n", "koemasu.toml:2:10: "),
    ] {
        let folder = folder();
        std::fs::write(folder.path().join("koemasu.toml"), toml).expect("a file");
        let mut check = koemasu(&folder);
        let output = check.arg("check").output().expect("it starts");
        assert_eq!(output.status.code(), Some(1), "{toml}");
        let all = told(&output) + &String::from_utf8_lossy(&output.stdout);
        assert!(all.contains(at), "{toml}: {all}");
    }
}

/// Bytes of voices that wait in the slab: those that were read.
fn copies(served: &Served) -> u64 {
    let answer = served.get("/admin/memory");
    let body = answer.split("\r\n\r\n").nth(1).expect("a body");
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let blobs = &body["memory"]["slab"]["models"]["blobs"];
    blobs.as_u64().expect("a number")
}

/// A folder of voices is heard once, not after each start; `check` hears them
/// all, and one that has changed is heard again.
#[test]
fn voices_that_have_spoken_are_read_when_they_are_wanted() {
    let folder = folder();
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let voice = |name: &str| folder.path().join("voices").join(name);
    for name in ["a", "b", "c"] {
        std::fs::create_dir_all(voice(name)).expect("a folder");
        for file in [
            "config.json",
            "style_vectors.npy",
            "voice_e100_s2000.safetensors",
        ] {
            let from = fixtures.join("import").join(file);
            std::fs::copy(from, voice(name).join(file)).expect("a copy");
        }
    }
    // With little workspace a trial has not much to try.
    let config = "[voices]\nfolder = \"voices\"\n[server]\nwatch = false\n[memory]\nbudget = \"1GiB\"\nworkspace = \"48MiB\"\n";
    std::fs::write(folder.path().join("koemasu.toml"), config).expect("written");
    let start = || Served::start(&folder);
    let end = |mut served: Served| {
        served.signal("TERM");
        assert!(ended(&mut served).success());
    };
    let first = start();
    let all = copies(&first);
    end(first);
    let second = start();
    assert_eq!(copies(&second) * 3, all, "one is heard for the pipelines");
    let body = r#"{"input":"こんにちは","voice":"c"}"#;
    let answer = post(&second, "/v1/audio/speech", body);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(copies(&second) * 3, 2 * all, "and one was wanted");
    end(second);
    let styles = voice("b").join("style_vectors.npy");
    let written = std::fs::read(&styles).expect("styles");
    std::fs::write(&styles, written).expect("written again");
    let third = start();
    assert_eq!(copies(&third) * 3, 2 * all, "it is another file");
    end(third);
    let checked = koemasu(&folder).arg("check").output().expect("it starts");
    assert!(checked.status.success(), "{}", told(&checked));
}

fn post(served: &Served, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(&served.address).expect("it listens");
    let (length, kind) = (body.len(), "application/json");
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .expect("a write");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    String::from_utf8_lossy(&answer[..answer.len().min(400)]).into_owned()
}
