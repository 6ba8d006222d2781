//! Every parser of bytes from outside as one plain function, with how much it
//! may cost. libFuzzer calls them, and the tests do so with damage of their
//! own making (`parsers/`).

use std::sync::{Arc, LazyLock};

use speech::dictionary::{Dictionary, DictionaryFiles};

/// A parser that bytes from outside reach.
pub struct Target {
    pub name: &'static str,
    /// What it reads, and from whom.
    pub reads: &'static str,
    /// The most bytes that reach it, by whom they are counted.
    pub bytes_max: u64,
    /// Whether the bytes were taken. Never a panic.
    pub run: fn(&[u8]) -> bool,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// All of them. What a parser may use in memory is 64 MiB and 64 times its
/// input; every depth is bounded by it or by 128 levels of JSON, 80 of TOML.
pub const TARGETS: &[Target] = &[
    target(
        "npy",
        "style_vectors.npy of a voice",
        2_228_224,
        session::parse::npy,
    ),
    target(
        "config",
        "config.json of a voice",
        MIB,
        session::parse::config,
    ),
    target(
        "style_vectors",
        "style_vectors.json in an .sbv2",
        8 * MIB,
        session::parse::style_vectors,
    ),
    target("sbv2", "zstd and tar of a voice", 2 << 30, archive),
    target(
        "aivmx",
        "a voice in one ONNX file, base64 within",
        2 << 30,
        session::parse::aivmx,
    ),
    target(
        "safetensors",
        "the tensors of a voice, and the graph written for them",
        2 << 30,
        session::parse::tensors,
    ),
    target(
        "torch",
        "the tensors of a voice or BERT as PyTorch saves them",
        32 * MIB,
        session::parse::torch,
    ),
    target(
        "vocabulary",
        "vocab.txt of a BERT",
        16 * MIB,
        session::parse::vocabulary,
    ),
    target(
        "bert_config",
        "config.json of a BERT",
        MIB,
        session::parse::bert_config,
    ),
    target(
        "manifest",
        "the JSON of an AIVM manifest",
        256 * MIB,
        session::parse::manifest,
    ),
    target(
        "onnx",
        "the graph of a voice",
        2 << 30,
        session::parse::graph,
    ),
    target(
        "tokenizer",
        "tokenizer.json of a BERT",
        16 * MIB,
        session::parse::tokenizer,
    ),
    target(
        "trace",
        "JSON lines for `policy replay`",
        512 * MIB,
        session::parse::trace,
    ),
    target("mecab", "compiled dictionaries", 1 << 30, mecab),
    target("wav", "/connect_waves", 64 * MIB, wav),
    target("kana", "accent phrases in writing", 64 * KIB, kana),
    target(
        "words_toml",
        "a dictionary of the user's as TOML",
        64 * MIB,
        words_toml,
    ),
    target(
        "words_csv",
        "a dictionary of the user's as CSV",
        64 * MIB,
        words_csv,
    ),
    target("pipeline", "pipelines/*.toml", 4 * MIB, pipeline_toml),
    target("policy", "[memory] as TOML or JSON", 4 * MIB, policy),
    target("query", "the query of a URL", 64 * KIB, query),
    target("settings", "koemasu.toml", 4 * MIB, settings),
    target("presets", "the presets' file", 4 * MIB, presets),
    target(
        "speech",
        "the body of /v1/audio/speech",
        MIB,
        server::parse::speech,
    ),
    target(
        "synthesize",
        "the body of sbv2-api's /synthesize",
        MIB,
        server::parse::synthesize,
    ),
    target(
        "audio_query",
        "the body of /synthesis",
        MIB,
        server::parse::audio_query,
    ),
    target(
        "accent_phrases",
        "the body of /mora_data",
        MIB,
        server::parse::accent_phrases,
    ),
    target(
        "waves",
        "the body of /connect_waves, base64 within",
        64 * MIB,
        server::parse::waves,
    ),
    target(
        "imported_words",
        "the body of /import_user_dict",
        8 * MIB,
        server::parse::imported_words,
    ),
    target(
        "preset",
        "the body of /add_preset",
        MIB,
        server::parse::preset,
    ),
    target(
        "word",
        "the body of /admin/dictionary",
        MIB,
        server::parse::word,
    ),
    target("g2p", "the body of /v1/g2p", MIB, server::parse::g2p),
];

const fn target(
    name: &'static str,
    reads: &'static str,
    bytes_max: u64,
    run: fn(&[u8]) -> bool,
) -> Target {
    Target {
        name,
        reads,
        bytes_max,
        run,
    }
}

/// The target of this name.
pub fn run(name: &str, bytes: &[u8]) -> bool {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a target of this name").run)(bytes)
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn archive(bytes: &[u8]) -> bool {
    static FOLDER: LazyLock<tempfile::TempDir> =
        LazyLock::new(|| tempfile::tempdir().expect("a folder"));
    let taken = session::parse::archive(bytes, FOLDER.path());
    for entry in std::fs::read_dir(FOLDER.path())
        .expect("the folder")
        .flatten()
    {
        let path = entry.path();
        assert!(
            path.extension().is_some_and(|it| it == "onnx"),
            "half a model is left"
        );
        std::fs::remove_file(path).expect("a file");
    }
    taken
}

fn wav(bytes: &[u8]) -> bool {
    let Ok(wav) = sound::wav::read(bytes) else {
        return false;
    };
    assert!(wav.rate > 0 && wav.channels > 0);
    assert_eq!(
        wav.samples.len() % usize::from(wav.channels),
        0,
        "whole frames"
    );
    assert!(wav.samples.iter().all(|sample| sample.is_finite()));
    true
}

fn kana(bytes: &[u8]) -> bool {
    let Ok(phrases) = speech::phrases::parse_kana(&text(bytes)) else {
        return false;
    };
    let written = speech::phrases::write_kana(&phrases);
    let again = speech::phrases::parse_kana(&written).expect("what is written is read");
    assert_eq!(speech::phrases::write_kana(&again), written);
    true
}

fn words_toml(bytes: &[u8]) -> bool {
    words(pipeline::DictionaryFormat::Toml, bytes)
}

fn words_csv(bytes: &[u8]) -> bool {
    words(pipeline::DictionaryFormat::Csv, bytes)
}

fn words(format: pipeline::DictionaryFormat, bytes: &[u8]) -> bool {
    let Ok(words) = format.read(&text(bytes)) else {
        return false;
    };
    let written = format.write(&words).expect("what was read is written");
    assert_eq!(
        format.read(&written).as_ref().map(Vec::len),
        Ok(words.len())
    );
    true
}

fn pipeline_toml(bytes: &[u8]) -> bool {
    pipeline::spec::Pipeline::parse(&text(bytes)).is_ok()
}

fn policy(bytes: &[u8]) -> bool {
    pipeline::spec::Memory::parse(&text(bytes)).is_ok()
}

fn settings(bytes: &[u8]) -> bool {
    server::parse::settings(&text(bytes))
}

fn presets(bytes: &[u8]) -> bool {
    server::parse::presets(&text(bytes))
}

fn query(bytes: &[u8]) -> bool {
    let text = text(bytes);
    let query = server::http::query::Query::new(&text);
    query.float("speed").is_ok() & query.flag("split").is_ok() & query.needed("text").is_ok()
}

/// The first byte says which of the four files the rest is; the others are
/// small and whole.
fn mecab(bytes: &[u8]) -> bool {
    let Some((which, damaged)) = bytes.split_first() else {
        return false;
    };
    let lexicon = || {
        let mut file = damaged.to_vec();
        mend_lexicon(&mut file);
        file
    };
    let mut characters = vec![0; 4 + 32 + 0xffff * 4];
    // One class without a name, which the smallest of tries has.
    characters[0] = 1;
    let mut matrix = vec![1, 0, 1, 0, 0, 0];
    let mut sys = lexicon();
    match which % 4 {
        0 => {}
        1 => sys = damaged.to_vec(),
        2 => matrix = damaged.to_vec(),
        _ => {
            for (place, byte) in damaged.iter().enumerate() {
                characters[36 + place % 1_024] = *byte;
            }
        }
    }
    let dictionary = Dictionary::new(DictionaryFiles {
        unk: Arc::new(sys.clone()),
        sys: Arc::new(sys),
        char: Arc::new(characters),
        matrix: Arc::new(matrix),
    });
    let Ok(dictionary) = dictionary else {
        return false;
    };
    let text = "これはテストです。123 abc";
    let words = dictionary.divide(text);
    let together: String = words.iter().map(|word| word.surface).collect();
    assert!(together.is_empty() || together == text);
    true
}

/// Past the magic number, which chance would seldom meet.
fn mend_lexicon(file: &mut Vec<u8>) {
    file.resize(file.len().max(72), 0);
    let parts = (file.len() - 72) / 16 * 16;
    file.truncate(72 + parts);
    let trie = parts / 32 * 16;
    let tokens = (parts - trie) / 32 * 16;
    let features = parts - trie - tokens;
    let magic = 0xef71_8f77 ^ file.len() as u32;
    for (place, number) in [
        (0, magic),
        (16, 1),
        (20, 1),
        (24, trie as u32),
        (28, tokens as u32),
        (32, features as u32),
    ] {
        file[place..place + 4].copy_from_slice(&number.to_le_bytes());
    }
    file[40..72].fill(0);
    file[40..45].copy_from_slice(b"utf-8");
}
