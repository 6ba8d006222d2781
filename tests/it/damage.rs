//! Every kind of TOML file that is read, damaged in every way that hands and
//! disks have: nothing panics, and whatever is said names file, line and column.

use std::collections::BTreeSet;

use pipeline::Live;
use pipeline::document::Document;
use server::config::{Config, Files};
use server::platform;

use crate::client::get;
use crate::stand::Folder;

/// Of all kinds together.
const MUTANTS: usize = 500;

const SETTINGS: &str = r#"
[server]
listen = "127.0.0.1:8080"
requests_max = 64
connections_max = 1024
body_max = "256KiB"
header_timeout = "10s"
drain = "30s"
watch = false
names = ["a.example"]
[[keys]]
name = "bot"
sha256 = "abababababababababababababababababababababababababababababababab"
requests_per_minute = 60
[[keys]]
name = "other"
sha256 = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
priority = "normal"
[cors]
origins = ["local"]
[dialects.sbv2]
enabled = true
listen = "127.0.0.1:5000"
pipeline = "ja"
[dialects.voicevox]
presets = "presets.toml"
[pipelines]
folder = "pipelines"
default = "ja"
[voices]
folder = "voices"
embedded = true
[bert.tiny]
graph = "bert.onnx"
tokenizer = "tokenizer.json"
[models]
device = "cpu"
lanes = 1
threads = 1
wait = "60s"
[answers]
sound_max = "600s"
bytes_max = "256MiB"
held_max = "1GiB"
[cache]
features = "256MiB"
[reload]
package_timeout = "120s"
"#;

const MEMORY: &str = r#"
[memory]
budget = "600MiB"
workspace = "150MiB"
slots = 2
window = 128
[memory.eviction]
order = "lru"
pins = ["micro"]
priorities = { micro = 3 }
plugin = { name = "evict-cost", settings = { recency = 0.5 }, deadline = "50ms" }
[memory.watermarks]
warn = 0.9
relieve = 0.95
[memory.permits]
request_max = "100MiB"
by_tokens = { 256 = "80MiB" }
[memory.trace]
bytes_max = "64MiB"
"#;

const PIPELINE: &str = r#"
language = "ja"
[split]
by = "sentence"
characters_max = 100
[normalize]
plugins = ["ja-words", { name = "ja-english", deadline = "500ms" }, "normalize-sbv2"]
[dictionary]
file = "../words.toml"
[bert]
model = "embedded"
[bucket]
plugin = "bucket-ladder"
allowed = { tokens = [64, 128, 256, 512], bert = [] }
[synthesize]
style_weight = 1.0
speed = 1.0
noise_w = 0.8
[encode]
silence_between_lines = "500ms"
read_ahead = "20s"
[limits]
characters_max = 1000
deadline = "120s"
"#;

const WORDS: &str = r#"
[[word]]
surface = "C#"
reading = "シーシャープ"
accent = 4
part_of_speech = "noun"
priority = 5
case = "any"
[[word]]
surface = "雨"
reading = "アメ"
accent = 1
"#;

const PRESETS: &str = r#"
[[preset]]
id = 1
name = "calm"
speaker_uuid = "7ffcb7ce-00ec-4bdc-82cd-45a8889e43ff"
style_id = 2
speedScale = 1.0
intonationScale = 1.0
pitchScale = 0.0
volumeScale = 1.0
prePhonemeLength = 0.1
postPhonemeLength = 0.1
"#;

/// What stands where a value stood.
const VALUES: &[&str] = &[
    "0",
    "-1",
    "1e400",
    "nan",
    "inf",
    "-0.0",
    "9223372036854775807",
    "9223372036854775808",
    "true",
    "\"\"",
    "\"x\"",
    "[]",
    "{}",
    "[[]]",
    "[\"a\", \"a\"]",
    "{ a = { b = 1 } }",
    "\"99999999999999999999s\"",
    "\"1e400GiB\"",
    "\"-1s\"",
    "\"16EiB\"",
    "\"8191PiB\"",
    "\"0\"",
    "\"1.5h\"",
    "\"1ns\"",
    "\"0s\"",
    "\"0B\"",
    "\"1B\"",
    "\"\\u0000\"",
    "\"\\q\"",
    "1979-05-27",
    "\"nowhere\"",
    "\"../../../etc/passwd\"",
    "\"/dev/zero\"",
    "\"/proc/self/mem\"",
    "\".\"",
    "\"cuda\"",
    "\"0.0.0.0:1\"",
    "{ path = \"no.wasm\", sha256 = \"00\" }",
    "\"no-such-plugin\"",
    "4294967296",
    "\"\"\"\na\n\"\"\"",
    "= 1",
    "",
];

/// What stands where nothing was.
const LINES: &[&str] = &[
    "[nope]",
    "[[keys]]",
    "[server]",
    "[[word]]",
    "garbage",
    "= 3",
    "a = ",
    "\"",
    "[a",
    "]]",
    "x = \"\\q\"",
    "\0",
    "\u{feff}",
    "[memory.nope]",
    "[[server]]",
    "a.b.c = 1",
    "雨 = 1",
    "\r",
    "x = 'a",
];

/// Another one for each seed, and the same for the same.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % most as u64) as usize
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

fn damaged(text: &str, dice: &mut Dice) -> Vec<u8> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let valued: Vec<usize> = (0..lines.len())
        .filter(|at| lines[*at].contains('='))
        .collect();
    let at = valued[dice.below(valued.len())];
    let (key, _) = lines[at].split_once('=').expect("a key");
    let key = key.trim().to_owned();
    match dice.below(20) {
        0..=8 => lines[at] = format!("{key} = {}", dice.of(VALUES)),
        9 => lines[at] = lines[at].replacen(&key, dice.of(&["nope", "", "a b", "a.b", "雨"]), 1),
        10 => lines.insert(at, dice.of(LINES).to_owned()),
        11 => drop(lines.remove(at)),
        12 => {
            let twice = lines[at].clone();
            lines.insert(at, twice);
        }
        13 => {
            // Whatever table stands at another place, twice or not at all.
            let from = dice.below(lines.len());
            let line = lines.remove(from);
            lines.insert(dice.below(lines.len()), line);
        }
        14 => lines[at] = format!("{key} = {}", "[".repeat(1 + dice.below(200))),
        15 => lines[at] = format!("{} = 1", ["a"; 40].join(".")),
        16 => lines.truncate(dice.below(lines.len())),
        _ => {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..=dice.below(3) {
                let at = dice.below(bytes.len());
                let sharp = [0, b'\n', b'"', b'[', b']', b'=', b'#', b'.', 0xff, 0xc0];
                bytes[at] = sharp[dice.below(sharp.len())];
            }
            return bytes;
        }
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text.into_bytes()
}

/// `FILE.toml:LINE:COLUMN: ` is somewhere in it.
fn has_place(told: &str) -> bool {
    told.match_indices(".toml:").any(|(at, sign)| {
        let mut parts = told[at + sign.len()..].splitn(3, ':');
        let mut number = || {
            let part = parts.next().unwrap_or_default();
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        number() && number() && told[at..].contains(": ")
    })
}

/// A place of good files with one that is damaged again and again.
struct Bench {
    folder: Folder,
    live: Live,
}

impl Bench {
    /// One generation serves, so that what is good need not be opened anew.
    async fn new() -> Self {
        let folder = Folder::new();
        std::fs::create_dir(folder.path().join("voices")).expect("a folder");
        std::fs::create_dir(folder.path().join("home")).expect("a folder");
        folder.write("koemasu.toml", SETTINGS.to_owned() + MEMORY);
        folder.write("pipelines/ja.toml", PIPELINE);
        folder.write("words.toml", WORDS);
        let config = Config::load(&folder.files()).expect("good files");
        let live = platform::live(&config).expect("it starts");
        let first = Box::pin(live.prepare(config.service)).await;
        let first = first.expect("it could serve");
        assert!(first.generation().left_out().is_empty());
        live.publish(first);
        Self { folder, live }
    }

    /// What is said about the files as they are.
    async fn told(&self, files: &Files) -> Vec<String> {
        let config = match Config::load(files) {
            Ok(config) => config,
            Err(error) => return vec![error.to_string()],
        };
        match Box::pin(self.live.prepare(config.service)).await {
            Err(error) => vec![error.to_string()],
            Ok(next) => {
                let left_out = next.generation().left_out().iter();
                left_out.map(|out| out.cause.clone()).collect()
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_a_toml_file_is_told_with_file_line_and_column() {
    let bench = Bench::new().await;
    let whole = SETTINGS.to_owned() + MEMORY;
    let setup = Files::named(None, None).environment.home.join("setup.toml");
    let setup = std::fs::read_to_string(setup).expect("set-up");
    let policy = bench.folder.path().join("policy.toml");
    let mut home = bench.folder.files();
    home.environment.home = bench.folder.path().join("home");
    bench.folder.write("home/setup.toml", &setup);
    let files = bench.folder.files();
    assert_eq!(bench.told(&files).await, [""; 0], "good files");

    let kinds = [
        ("koemasu.toml", whole.as_str()),
        ("pipelines/ja.toml", PIPELINE),
        ("words.toml", WORDS),
        ("policy.toml", MEMORY),
        ("home/setup.toml", setup.as_str()),
    ];
    let (mut errors, mut placeless) = (0, BTreeSet::new());
    for seed in 0..MUTANTS - PRESET_MUTANTS {
        // Settings and pipelines are most of what there is.
        let (name, text) = kinds[[0, 1, 0, 1, 2, 0, 1, 3, 0, 4][seed % 10]];
        let mutant = damaged(text, &mut Dice(seed as u64));
        bench.folder.write(name, &mutant);
        let told = match name {
            "policy.toml" => {
                let read = Document::open(&policy, 1 << 20).map_err(|e| e.to_string());
                let read = read
                    .and_then(|it| pipeline::spec::Memory::read(&it).map_err(|e| e.to_string()));
                read.err().into_iter().collect()
            }
            "home/setup.toml" => Config::load(&home)
                .err()
                .map(|e| e.to_string())
                .into_iter()
                .collect(),
            _ => bench.told(&files).await,
        };
        errors += usize::from(!told.is_empty());
        for told in told.iter().filter(|told| !has_place(told)) {
            placeless.insert(format!("{seed} {name}: {told}"));
        }
        bench.folder.write(name, text);
    }
    let placeless: Vec<_> = placeless.into_iter().collect();
    assert!(
        placeless.is_empty(),
        "{}\n{}",
        placeless.len(),
        placeless.join("\n")
    );
    // Most of the damage is noticed, or the test proves nothing.
    assert!(errors > 300, "{errors} errors");
    eprintln!("{errors} errors, all with file, line and column");
}

const PRESET_MUTANTS: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_of_presets_is_told_with_file_line_and_column() {
    let folder = Folder::new();
    folder.write(
        "koemasu.toml",
        "[server]\nwatch = false\n[dialects.voicevox]\npresets = \"presets.toml\"\n",
    );
    let server = folder.serve().await;
    let mut errors = 0;
    for seed in 0..PRESET_MUTANTS {
        folder.write("presets.toml", damaged(PRESETS, &mut Dice(seed as u64)));
        let reply = get(server.address(), "/presets").await;
        if reply.status == 200 {
            continue;
        }
        errors += 1;
        let told = reply.text();
        assert!(has_place(&told), "{seed}: {told}");
    }
    assert!(errors > 20, "{errors} errors");
    server.stop().await;
}

/// What is found wrong later than the file is read.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_file_names_and_is_not_there_is_told_by_the_key_that_names_it() {
    let bench = Bench::new().await;
    let files = bench.folder.files();
    let whole = SETTINGS.to_owned() + MEMORY;
    let table = [
        // A file, what stands there, what shall, and where it is told.
        (
            "koemasu.toml",
            "default = \"ja\"",
            "default = \"jo\"",
            "koemasu.toml:29:11: ",
        ),
        (
            "koemasu.toml",
            "folder = \"pipelines\"",
            "folder = \"no\"",
            "koemasu.toml:28:10: ",
        ),
        (
            "koemasu.toml",
            "folder = \"voices\"",
            "folder = \"no\"",
            "koemasu.toml:31:10: ",
        ),
        (
            "koemasu.toml",
            "name = \"other\"",
            "name = \"bot\"",
            "koemasu.toml:16:8: ",
        ),
        (
            "koemasu.toml",
            "\"evict-cost\"",
            "\"evict-nobody\"",
            "koemasu.toml:59:10: ",
        ),
        (
            "koemasu.toml",
            "[voices]\n",
            "[plugins]\nfolder = \"no\"\n[voices]\n",
            "koemasu.toml:31:10: ",
        ),
        (
            "koemasu.toml",
            "[voices]\n",
            "[speech]\ndictionary = \"no\"\n[voices]\n",
            "koemasu.toml:31:14: ",
        ),
        (
            "pipelines/ja.toml",
            "model = \"embedded\"",
            "model = \"tiny\"",
            "koemasu.toml:34:9: ",
        ),
        (
            "pipelines/ja.toml",
            "model = \"embedded\"",
            "model = \"none\"",
            "pipelines/ja.toml:11:9: ",
        ),
        (
            "pipelines/ja.toml",
            "\"ja-words\"",
            "\"ja-nothing\"",
            "pipelines/ja.toml:7:12: ",
        ),
        (
            "pipelines/ja.toml",
            "name = \"ja-english\"",
            "name = \"x\"",
            "pipelines/ja.toml:7:24: ",
        ),
        (
            "pipelines/ja.toml",
            "\"bucket-ladder\"",
            "\"bucket-none\"",
            "pipelines/ja.toml:13:10: ",
        ),
        (
            "pipelines/ja.toml",
            "\"../words.toml\"",
            "\"../voices\"",
            "pipelines/ja.toml:9:8: ",
        ),
        (
            "pipelines/ja.toml",
            "speed = 1.0\n",
            "speed = 1.0\nstyle = \"none\"\n",
            "pipelines/ja.toml:18:9: ",
        ),
        (
            "pipelines/ja.toml",
            "noise_w = 0.8",
            "noise_w = nan",
            "pipelines/ja.toml:18:11: ",
        ),
        (
            "pipelines/ja.toml",
            "characters_max = 1000",
            "characters_max = 1",
            "pipelines/ja.toml:23:18: ",
        ),
        (
            "words.toml",
            "accent = 4",
            "accent = 40",
            "words.toml:5:10: ",
        ),
        (
            "words.toml",
            "reading = \"アメ\"",
            "reading = \"rain\"",
            "words.toml:11:11: ",
        ),
        (
            "words.toml",
            "priority = 5",
            "priority = 50",
            "words.toml:7:12: ",
        ),
    ];
    let mut wrong = Vec::new();
    for (name, from, to, at) in table {
        let text = match name {
            "koemasu.toml" => whole.as_str(),
            "pipelines/ja.toml" => PIPELINE,
            _ => WORDS,
        };
        assert!(text.contains(from), "{from}");
        bench.folder.write(name, text.replacen(from, to, 1));
        let told = bench.told(&files).await;
        bench.folder.write(name, text);
        if told.len() != 1 || !told[0].contains(at) {
            wrong.push(format!("{to}: {at} {told:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
