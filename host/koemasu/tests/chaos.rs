//! Two minutes of `tests/chaos`: everything at once against the program, and
//! an oracle over all that it answers. The oracle itself is tested first.

use std::path::{Path, PathBuf};
use std::process::Command;

fn chaos(arguments: &[&str]) {
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/chaos/run.py");
    let told = Command::new("python3")
        // Nothing is left behind in the source tree.
        .arg("-B")
        .arg(run)
        .args(arguments)
        .output()
        .expect("python3 is there, as the README asks");
    assert!(
        told.status.success(),
        "{}\n{}{}",
        told.status,
        String::from_utf8_lossy(&told.stdout),
        String::from_utf8_lossy(&told.stderr)
    );
}

#[test]
fn the_oracle_of_chaos_finds_what_is_wrong() {
    chaos(&["--self-test"]);
}

#[test]
fn two_minutes_of_chaos_end_well() {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_koemasu"));
    let program = program.to_str().expect("a plain path");
    chaos(&["--minutes", "2", "--seed", "14", "--server", program]);
}
