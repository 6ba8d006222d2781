//! `cargo xtask test`: everything from a fresh clone to checked code and passed
//! tests.

use std::process::Command;

use anyhow::Result;

use crate::check;
use crate::gpu_kit;
use crate::guests::clean_cargo;
use crate::home::repository;
use crate::process;
use crate::setup::{self, Wishes};

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    setup::run(&Wishes::from_environment()?)?;

    // Whoever names tests wants those.
    let all = arguments.is_empty();
    if all {
        println!("formatting and lints …");
        check::run()?;
    }
    println!("tests of the guests' own logic …");
    let guests = repository().join("plugins");
    let mut native = clean_cargo();
    native
        .args(["test", "--quiet", "--locked", "--manifest-path"])
        .arg(guests.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(guests.join("target"));
    process::run(&mut native)?;

    let runner: &[&str] = if process::exists("cargo", &["nextest", "--version"]) {
        &["nextest", "run"]
    } else {
        &["test"]
    };
    println!("tests of the workspace, by cargo {} …", runner.join(" "));
    let mut tests = Command::new("cargo");
    tests
        .current_dir(repository())
        .args(runner)
        .args(["--workspace", "--locked"])
        .args(arguments);
    process::run(&mut tests)?;
    if all {
        println!("the kit for GPU machines, on the processor …");
        gpu_kit::rehearse()?;
    }
    Ok(())
}
