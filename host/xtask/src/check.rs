//! `cargo xtask check`: what a reviewer should not have to say.

use std::process::Command;

use anyhow::Result;

use crate::guests::clean_cargo;
use crate::home::repository;
use crate::process;

pub(crate) fn run() -> Result<()> {
    let cargo = |arguments: &[&str]| {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(repository()).args(arguments);
        process::run(&mut cargo)
    };
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ])?;
    let mut documents = Command::new("cargo");
    documents
        .current_dir(repository())
        .args([
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
            "--quiet",
        ])
        // Private items are shown, so that links to them lead somewhere.
        .env(
            "RUSTDOCFLAGS",
            "-D warnings -A rustdoc::private_intra_doc_links",
        );
    process::run(&mut documents)?;
    let mut guests = clean_cargo();
    guests
        .current_dir(repository().join("plugins"))
        .args(["fmt", "--all", "--check"]);
    process::run(&mut guests)?;
    if process::exists("typos", &["--version"]) {
        let mut typos = Command::new("typos");
        process::run(typos.current_dir(repository()))?;
    } else {
        println!("spelling is not checked: `cargo install typos-cli` brings what checks it");
    }
    if process::exists("cargo", &["deny", "--version"]) {
        cargo(&["deny", "check", "licenses", "bans", "sources"])
    } else {
        println!("licences are not checked: `cargo install cargo-deny` brings what checks them");
        Ok(())
    }
}
