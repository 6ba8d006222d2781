//! Compiled components are kept, found again, and never trusted blindly.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use plugin::{Limits, Sandbox, SandboxSettings, Source, testing};
use serde_json::json;

fn sandbox(folder: &Path) -> Arc<Sandbox> {
    let settings = SandboxSettings {
        compiled_cache: Some(folder.to_owned()),
        ..SandboxSettings::default()
    };
    Arc::new(Sandbox::new(settings).expect("a sandbox"))
}

fn load(sandbox: &Arc<Sandbox>, words: &str) -> String {
    let source = Source {
        name: "test".to_owned(),
        bytes: testing::normalizer_saying(words),
    };
    let plugin = sandbox
        .load_normalizer(source, &json!({}), &Limits::default())
        .unwrap_or_else(|e| panic!("{e}"));
    plugin.normalize("あ", "ja").expect("an answer").text
}

#[test]
fn a_component_is_compiled_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path().join("compiled");
    let first = sandbox(&folder);
    load(&first, "はい");
    assert_eq!(first.cache_hits_and_misses(), (0, 1));
    let mode = std::fs::metadata(&folder)
        .expect("made")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700, "nobody else may put code there");

    let second = sandbox(&folder);
    load(&second, "はい");
    assert_eq!(second.cache_hits_and_misses(), (1, 0));
    load(&second, "いいえ");
    assert_eq!(
        second.cache_hits_and_misses(),
        (1, 1),
        "another component is another entry"
    );
}

#[test]
fn a_broken_entry_is_compiled_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path().join("compiled");
    load(&sandbox(&folder), "はい");
    let mut broken = 0;
    damage(&folder, &mut broken);
    assert!(broken > 0, "an entry was there");
    let again = sandbox(&folder);
    assert_eq!(load(&again, "はい"), "はい");
    assert_eq!(
        again.cache_hits_and_misses().0,
        0,
        "the broken entry was no hit"
    );
}

/// Cuts every file short.
fn damage(folder: &Path, count: &mut usize) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            damage(&path, count);
        } else {
            let bytes = std::fs::read(&path).expect("a file");
            std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("a write");
            *count += 1;
        }
    }
}

#[test]
fn a_folder_that_others_may_write_to_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(folder.path(), open).expect("permissions");
    let settings = SandboxSettings {
        compiled_cache: Some(folder.path().to_owned()),
        ..SandboxSettings::default()
    };
    let error = Sandbox::new(settings).err().expect("refused");
    assert!(
        error.to_string().contains("others may write to it"),
        "{error}"
    );
}
