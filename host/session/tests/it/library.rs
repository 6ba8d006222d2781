//! Where set-up leaves ONNX Runtime; for the tests inside the crate as well.

use std::path::PathBuf;

/// Not there is a failure, not a skip.
pub(crate) fn library() -> PathBuf {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    if let Some(library) = variable("KOEMASU_ONNXRUNTIME") {
        return library;
    }
    let home = variable("KOEMASU_HOME")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("koemasu")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/koemasu")))
        .expect("a home");
    let setup = std::fs::read_to_string(home.join("setup.toml"))
        .expect("setup.toml; run `cargo xtask setup`");
    let line = setup
        .lines()
        .find_map(|line| line.strip_prefix("library = "))
        .expect("a library in setup.toml");
    PathBuf::from(line.trim().trim_matches('"'))
}
