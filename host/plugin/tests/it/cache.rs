//! Compiled components are kept, found again, and never trusted blindly.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plugin::{Limits, Pool, Sandbox, SandboxSettings, Source, testing};
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

/// Wasmtime tidies its folder once an hour, when something was compiled.
#[test]
fn what_was_compiled_outlives_the_tidying() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path().join("compiled");
    load(&sandbox(&folder), "はい");
    tidied(&folder).iter().for_each(|lock| {
        std::fs::remove_file(lock).expect("an hour passes");
    });
    let second = sandbox(&folder);
    load(&second, "いいえ");
    tidied(&folder);
    drop(second);

    let third = sandbox(&folder);
    for words in ["はい", "いいえ"] {
        load(&third, words);
    }
    assert_eq!(third.cache_hits_and_misses(), (2, 0));
}

/// Waits for the mark that the tidying leaves when it begins, then for its end.
fn tidied(folder: &Path) -> Vec<PathBuf> {
    for _ in 0..500 {
        let mut marks = Vec::new();
        each(folder, &mut |path| {
            if path.to_string_lossy().contains("/.cleanup.") {
                marks.push(path.to_owned());
            }
        });
        std::thread::sleep(Duration::from_millis(200));
        if !marks.is_empty() {
            return marks;
        }
    }
    panic!("nothing was tidied");
}

type Damage = fn(&Path);

const DAMAGES: [(&str, Damage); 5] = [
    ("cut", cut),
    ("flipped", flip),
    ("zero", zero),
    ("empty", empty),
    ("a folder", replace),
];

#[test]
fn a_broken_entry_is_compiled_again() {
    for (name, damage) in DAMAGES {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let folder = folder.path().join("compiled");
        load(&sandbox(&folder), "はい");
        let mut broken = 0;
        each(&folder.join("code/modules"), &mut |path| {
            damage(path);
            broken += 1;
        });
        assert!(broken > 0, "an entry was there");
        let again = sandbox(&folder);
        assert_eq!(load(&again, "はい"), "はい");
        assert_eq!(
            again.cache_hits_and_misses().0,
            0,
            "the broken entry was no hit"
        );
        let third = sandbox(&folder);
        assert_eq!(load(&third, "はい"), "はい");
        assert_eq!(third.cache_hits_and_misses(), (1, 0), "{name}: whole again");
    }
}

#[test]
fn an_entry_without_a_seal_is_not_run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path().join("compiled");
    load(&sandbox(&folder), "はい");
    each(&folder.join("seals"), &mut |seal| {
        std::fs::write(seal, "nonsense").expect("a write");
    });
    let again = sandbox(&folder);
    assert_eq!(load(&again, "はい"), "はい");
    assert_eq!(again.cache_hits_and_misses(), (0, 1));
}

#[test]
fn two_share_a_folder_from_a_cold_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path().join("compiled");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let sandbox = sandbox(&folder);
                for words in ["はい", "いいえ", "さあ"] {
                    assert_eq!(load(&sandbox, words), words);
                }
            });
        }
    });
    assert_eq!(load(&sandbox(&folder), "はい"), "はい");
}

fn each(folder: &Path, act: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            each(&path, act);
        } else {
            act(&path);
        }
    }
}

fn cut(path: &Path) {
    let bytes = std::fs::read(path).expect("a file");
    std::fs::write(path, &bytes[..bytes.len() / 2]).expect("a write");
}

/// In the middle, where the code lies: what unpacks is another program.
fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).expect("a file");
    let length = bytes.len();
    for place in 1..20 {
        bytes[length * place / 20] ^= 0x10;
    }
    std::fs::write(path, bytes).expect("a write");
}

fn zero(path: &Path) {
    let length = std::fs::metadata(path).expect("a file").len() as usize;
    std::fs::write(path, vec![0; length]).expect("a write");
}

fn empty(path: &Path) {
    std::fs::write(path, "").expect("a write");
}

/// By a folder of the same name.
fn replace(path: &Path) {
    std::fs::remove_file(path).expect("removed");
    std::fs::create_dir(path).expect("a folder");
}

#[test]
fn a_cache_that_cannot_be_used_is_done_without_and_said() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let open = root.path().join("open");
    std::fs::create_dir(&open).expect("a folder");
    let mode = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(&open, mode).expect("permissions");
    std::fs::write(root.path().join("file"), "").expect("a file");
    for (folder, why) in [
        (open, "others may write to it"),
        (root.path().join("file/compiled"), "Not a directory"),
        (Path::new("/proc/compiled").to_owned(), "No such file"),
        (Path::new("/dev/null").to_owned(), ""),
    ] {
        let sandbox = sandbox(&folder);
        let said = sandbox.without_cache().expect("said");
        assert!(said.contains(why), "{said}");
        assert!(said.contains(&*folder.to_string_lossy()), "{said}");
        assert_eq!(load(&sandbox, "はい"), "はい");
    }
}

#[test]
fn tight_memory_gives_the_same_answers() {
    let settings = SandboxSettings {
        compiled_cache: None,
        pool: Pool::Tight,
    };
    let sandbox = Arc::new(Sandbox::new(settings).expect("a sandbox"));
    assert_eq!(load(&sandbox, "はい"), "はい");
}
