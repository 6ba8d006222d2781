//! Who writes files: the list is here, so that a new one is thought about.
//! What others read is written whole or not at all, by `session::whole`.

use std::path::Path;

use crate::stand::cases;

/// Where it is done, and why not by `whole`.
const WRITERS: [(&str, &str); 8] = [
    ("session/src/whole.rs", "it is the one"),
    (
        "koemasu/src/files.rs",
        "a pipe or device that a command is told to write to",
    ),
    (
        "plugin/src/cache.rs",
        "seals, beside the sandbox, which knows no session",
    ),
    (
        "session/src/memory/trace.rs",
        "lines are added, and the file is turned over",
    ),
    ("session/src/native/limits.rs", "a file of the system's"),
    (
        "session/src/package/unpack.rs",
        "gigabytes, piece by piece, into a file of its own",
    ),
    (
        "session/src/package/vary.rs",
        "voices for the soak, in a folder that goes",
    ),
    ("session/src/weights/changes.rs", "tests"),
];

const WAYS: [&str; 6] = [
    "fs::write(",
    "File::create",
    "create_new",
    "OpenOptions::",
    "fs::rename(",
    "persist(",
];

#[test]
fn files_are_written_by_those_who_write_them_whole() {
    let host = cases("../../host");
    let mut found = Vec::new();
    for package in [
        "koemasu", "pipeline", "speech", "sound", "plugin", "session",
    ] {
        look(&host.join(package).join("src"), &mut found);
    }
    assert!(found.len() > 3, "nothing was looked at");
    for path in &found {
        let known = WRITERS.iter().any(|(known, _)| path.ends_with(known));
        assert!(
            known,
            "{path} writes files; let `session::whole` do so, or say why here"
        );
    }
    for (known, _) in WRITERS {
        assert!(
            found.iter().any(|path| path.ends_with(known)),
            "{known} writes none"
        );
    }
}

fn look(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            look(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        if WAYS.iter().any(|way| code.contains(way)) {
            found.push(path.display().to_string());
        }
    }
}
