//! `cargo xtask serve`: everything from a fresh clone to a server.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::home::repository;
use crate::process;
use crate::setup::{self, Wishes};

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    setup::run(&Wishes::from_environment()?)?;
    println!("building koemasu …");
    let mut build = Command::new("cargo");
    build
        .current_dir(repository())
        .args(["build", "--release", "--package", "koemasu"]);
    process::run(&mut build)?;
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| repository().join("target"), Into::into);
    // Takes our place: signals reach the server itself.
    let error = Command::new(target.join("release/koemasu"))
        .current_dir(repository())
        .arg("serve")
        .args(arguments)
        .exec();
    Err(error).context("cannot start koemasu")
}
