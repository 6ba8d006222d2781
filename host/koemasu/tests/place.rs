//! Faults of the place the program runs in: full disks, closed streams, odd
//! masks, small limits. It does what can be done and says what cannot; it
//! never ends by a panic or a signal, and never leaves half a file.

use std::path::Path;
use std::process::{Command, Output};

/// `script` in a shell, in an empty folder; `$K` is the program.
fn sh(folder: &Path, script: &str) -> Output {
    Command::new("sh")
        .current_dir(folder)
        .env("K", env!("CARGO_BIN_EXE_koemasu"))
        .env("KOEMASU_DATA", folder.join("data"))
        .args(["-c", script])
        .output()
        .expect("a shell")
}

fn told(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    let text = [out.as_slice(), err.as_slice()].concat();
    format!("{} {}", output.status, String::from_utf8_lossy(&text))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// What a place lacks, what is run, how it ends, and a word of what is said.
const PLACES: [(&str, &str, i32, &str); 21] = [
    ("a full disk", "$K check > /dev/full", 1, "No space left"),
    (
        "a full disk",
        "echo あ | $K g2p > /dev/full",
        1,
        "No space left",
    ),
    ("a full disk", "$K openapi > /dev/full", 1, "No space left"),
    (
        "a full disk",
        "$K say あ -o - > /dev/full",
        1,
        "No space left",
    ),
    ("a full disk", "$K say あ -o /dev/full", 1, "No space left"),
    ("a full log", "$K check 2> /dev/full", 0, "voice "),
    ("a full log", "$K say -o no/such あ 2> /dev/full", 1, ""),
    ("no streams", "$K check >&- 2>&- <&-", 0, ""),
    ("no streams", "$K say あ -o a.wav >&- 2>&- <&-", 0, ""),
    ("a reader that goes", "$K openapi | head -c 9", 0, "{"),
    ("files of no size", "ulimit -f 0; $K check", 0, "voice "),
    (
        "small files",
        "ulimit -f 1; $K say あ -o a.wav",
        1,
        "File too large",
    ),
    (
        "no rights",
        "umask 0777; $K say あ -o a.wav",
        0,
        "s of sound",
    ),
    (
        "no time zone",
        "TZ=No/Where $K say あ -o a.wav",
        0,
        "s of sound",
    ),
    (
        "no language",
        "LC_ALL=x_Y.z LANG=C $K say あ -o a.wav",
        0,
        "s of sound",
    ),
    (
        "no environment",
        "for n in HOME KOEMASU_HOME XDG_CACHE_HOME KOEMASU_ONNXRUNTIME; do eval v=\\$$n; \
         [ -z \"$v\" ] || set -- \"$@\" \"$n=$v\"; done; env -i \"$@\" $K check",
        0,
        "voice ",
    ),
    (
        "a small stack",
        "ulimit -s 256; $K say あ -o a.wav",
        0,
        "s of sound",
    ),
    (
        "few files",
        "ulimit -n 12; $K check",
        1,
        "Too many open files",
    ),
    (
        "no folder",
        "mkdir g; cd g; rmdir ../g; $K check",
        0,
        "voice ",
    ),
    (
        "a home that is a file",
        ": > f; KOEMASU_HOME=$PWD/f $K check",
        1,
        "cargo xtask setup",
    ),
    (
        "a home of pipes",
        "mkdir h; mkfifo h/setup.toml; KOEMASU_HOME=$PWD/h $K check",
        1,
        "named pipe",
    ),
];

#[test]
fn the_program_does_what_its_place_allows_and_says_what_it_does_not() {
    for (lacks, script, code, says) in PLACES {
        let folder = folder();
        let output = sh(folder.path(), script);
        let told = told(&output);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{lacks}: {script}: {told}"
        );
        assert!(told.contains(says), "{lacks}: {script}: {told}");
        assert!(!told.contains("panicked"), "{lacks}: {script}: {told}");
        // Whole files or none.
        for entry in std::fs::read_dir(folder.path()).expect("a folder") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(!name.contains(".part"), "{lacks}: {name} is left");
            if name == "a.wav" {
                let bytes = entry.metadata().expect("a file").len();
                assert!(bytes > 10_000, "{lacks}: half a file of {bytes} bytes");
            }
        }
    }
}

#[test]
fn what_set_up_wrote_is_read_with_care() {
    for (written, says) in [
        (&b"garbage["[..], "setup.toml:1:"),
        (b"", "setup.toml"),
        (b"\xff\xfe", "setup.toml:1:1"),
        (b"onnxruntime = 1\n", "setup.toml:1:"),
        (b"[onnxruntime]\nlibrary = \"/no/such.so\"\n[dictionary]\nfolder = \"/no\"\n[plugins]\nfolder = \"/no\"\n", "/no/such.so"),
        (b"[onnxruntime]\nlibrary = \"/etc/passwd\"\n[dictionary]\nfolder = \"/etc\"\n[plugins]\nfolder = \"/etc\"\n", "/etc/passwd"),
        (b"[onnxruntime]\nlibrary = \"/\"\n[dictionary]\nfolder = \"/\"\n[plugins]\nfolder = \"/\"\n", "ONNX Runtime"),
    ] {
        let folder = folder();
        std::fs::write(folder.path().join("setup.toml"), written).expect("a file");
        let output = sh(folder.path(), "KOEMASU_HOME=$PWD $K check");
        let told = told(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(says), "{written:?}: {told}");
    }
}

#[test]
fn a_device_or_pipe_that_is_written_to_stays_one() {
    let folder = folder();
    let output = sh(
        folder.path(),
        "mkfifo p && (cat p > heard & $K say あ -o p; wait) && test -p p",
    );
    assert!(output.status.success(), "{}", told(&output));
    let heard = std::fs::read(folder.path().join("heard")).expect("what was heard");
    assert!(heard.starts_with(b"RIFF") && heard.len() > 10_000);
    assert!(told(&output).contains(" s of sound"));
    assert!(!told(&output).contains("0.00 s"), "{}", told(&output));
}

#[test]
fn numbers_of_the_command_line_have_bounds() {
    let folder = folder();
    for words in [
        "policy trace --requests 18446744073709551615",
        "policy trace --requests 99999999999 -o t",
        "policy trace --voices 9999999999",
        "policy trace --requests 0",
        "policy trace --requests -1",
        "soak --rounds 9999999999",
        "soak --texts 9999999999",
        "soak --voices 9999999999",
        "soak --characters 9999999999",
        "soak --slots 9999999999",
        "soak --lanes 9999999999",
        "soak --threads 9999999999",
        "soak --requests 9999999999999",
    ] {
        let output = sh(folder.path(), &format!("$K {words}"));
        assert_eq!(output.status.code(), Some(2), "{words}: {}", told(&output));
    }
}
