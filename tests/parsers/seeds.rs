//! What mutations start from: files of the repository, and `fuzz/seeds/NAME`,
//! where every input that has broken a parser goes.

use std::path::{Path, PathBuf};

pub(crate) fn of(name: &str) -> Vec<Vec<u8>> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<PathBuf> = files(&tests.join("fuzz/seeds").join(name));
    let others: &[&str] = match name {
        "npy" => &["fixtures/style_vectors.npy"],
        "config" => &["fixtures/config.json", "fixtures/config-multilingual.json"],
        "onnx" => &[
            "fixtures/jp-extra.onnx",
            "fixtures/external.onnx",
            "fixtures/decoded.onnx",
        ],
        "trace" => &["cases/memory/trace.jsonl"],
        "vocabulary" => &["fixtures/bert/vocab.txt"],
        "bert_config" => &["fixtures/bert/config.json"],
        "words_toml" => &["cases/readings/words.toml"],
        "pipeline" => &["../pipelines/ja.toml", "../pipelines/ja-sbv2.toml"],
        "settings" => &["../koemasu.toml"],
        "policy" => &["cases/memory/pinned.toml"],
        _ => &[],
    };
    paths.extend(others.iter().map(|path| tests.join(path)));
    let read =
        |path: &PathBuf| std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    paths.iter().map(read).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}
