//! Who writes files: the list is here, so that a new one is thought about.
//! What others read is written whole or not at all, by `session::whole`.

use crate::stand::{SERVING, sources};

/// Where it is done, and why not by `whole`.
const WRITERS: [(&str, &str); 11] = [
    ("session/src/whole.rs", "it is the one"),
    (
        "server/src/files.rs",
        "a pipe or device that a command is told to write to",
    ),
    (
        "plugin/src/cache.rs",
        "seals, beside the sandbox, which knows no session",
    ),
    (
        "session/src/recorder.rs",
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
    (
        "session/src/package/folder_of.rs",
        "gigabytes, piece by piece, in a folder that is moved when it is whole",
    ),
    (
        "hub/src/staging.rs",
        "a folder that gathers and is moved when it is whole, in a crate that knows no session",
    ),
    (
        "hub/src/transfer.rs",
        "a part that a later pull goes on with",
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
    let sources = SERVING.iter().flat_map(|package| sources(package));
    let writes = |(path, text): (String, String)| {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        WAYS.iter().any(|way| code.contains(way)).then_some(path)
    };
    let found: Vec<_> = sources.filter_map(writes).collect();
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
