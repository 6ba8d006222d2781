//! Guest crates → components in the plugin folder.
//!
//! Guests are built for wasm32-unknown-unknown without WASI and linked by
//! wasm-component-ld, which every Rust toolchain of rustup carries.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::home::{self, Home, repository};
use crate::process;
use crate::setup::{found, step};

const TARGET: &str = "wasm32-unknown-unknown";
const REMEDIES: &str = "no Rust compiler here can build for wasm32-unknown-unknown. Either run `rustup target add wasm32-unknown-unknown`, or on Debian `apt-get install rustc-web rust-web-src`";

/// How the target's standard library is come by.
#[derive(Debug, PartialEq, Eq)]
enum Toolchain {
    /// rustup has it compiled.
    Target,
    /// rustup's own compiler builds it from rust-src.
    Source,
    /// Another compiler, with the library of its own release, builds it.
    Other(PathBuf),
}

pub(crate) fn folder(home: &Home) -> PathBuf {
    home.root.join("plugins")
}

/// Builds every guest; cargo itself knows what has not changed.
pub(crate) fn build(home: &Home) -> Result<()> {
    let guests = guests()?;
    let toolchain = toolchain()?;
    let folder = folder(home);
    std::fs::create_dir_all(&folder)?;
    for guest in &guests {
        step(
            &format!("plugin {guest} ({})", toolchain.describe()),
            || {
                build_one(guest, &toolchain)?;
                let built = target_folder()
                    .join(TARGET)
                    .join("release")
                    .join(format!("{}.wasm", guest.replace('-', "_")));
                let component = std::fs::read(&built)
                    .with_context(|| format!("the built component {}", built.display()))?;
                let place = folder.join(format!("{guest}.wasm"));
                // An unchanged file keeps its time: a running server would reload.
                if std::fs::read(&place).is_ok_and(|old| old == component) {
                    return Ok(());
                }
                home::write(&place, &component)
            },
        )?;
    }
    Ok(())
}

/// Folders of the guest workspace that make a component.
fn guests() -> Result<Vec<String>> {
    let mut guests = Vec::new();
    for entry in std::fs::read_dir(workspace())? {
        let folder = entry?.path();
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        if manifest.contains("cdylib") {
            let name = folder.file_name().unwrap_or_default();
            guests.push(name.to_string_lossy().into_owned());
        }
    }
    guests.sort();
    Ok(guests)
}

fn workspace() -> PathBuf {
    repository().join("plugins")
}

fn target_folder() -> PathBuf {
    workspace().join("target")
}

fn build_one(guest: &str, toolchain: &Toolchain) -> Result<()> {
    let tools = sysroot("rustc")?
        .join("lib/rustlib")
        .join(host()?)
        .join("bin");
    let linker = tools.join("wasm-component-ld");
    if !linker.is_file() {
        bail!(
            "{} is missing: a toolchain of rustup has it",
            linker.display()
        );
    }
    let mut cargo = clean_cargo();
    cargo
        .current_dir(workspace())
        .args([
            "rustc",
            "--quiet",
            "--release",
            "--locked",
            "--target",
            TARGET,
        ])
        .args(["--package", guest, "--crate-type", "cdylib"])
        .arg("--target-dir")
        .arg(target_folder())
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", &linker);
    match toolchain {
        Toolchain::Target => {}
        Toolchain::Source => {
            cargo
                .env("RUSTC_BOOTSTRAP", "1")
                .args(["-Z", "build-std=core,alloc"]);
        }
        Toolchain::Other(rustc) => {
            cargo
                .env("RUSTC_BOOTSTRAP", "1")
                .env("RUSTC", rustc)
                .args(["-Z", "build-std=core,alloc"]);
        }
    }
    let wasm_ld = tools.join("gcc-ld/wasm-ld");
    cargo
        .arg("--")
        // The flavor follows from the target; naming it would be an unstable
        // option, which a released compiler refuses.
        .args([
            "-C",
            &format!("link-arg=--wasm-ld-path={}", wasm_ld.display()),
        ])
        // Guests are shallow; a fresh instance touches less memory.
        .args(["-C", "link-arg=-zstack-size=32768"]);
    process::run(&mut cargo)
}

/// Cargo without what this run of cargo has put into the environment.
pub(crate) fn clean_cargo() -> Command {
    let mut cargo = Command::new("cargo");
    for name in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET",
        "RUSTC",
        "RUSTC_WRAPPER",
    ] {
        cargo.env_remove(name);
    }
    cargo
}

/// The first that fits; what can be installed by itself is.
fn toolchain() -> Result<Toolchain> {
    if let Some(found) = probe()? {
        return Ok(found);
    }
    let added = step("Rust target wasm32-unknown-unknown, by rustup", || {
        Ok(process::exists("rustup", &["target", "add", TARGET]))
    })?;
    if added && let Some(found) = probe()? {
        return Ok(found);
    }
    if let Some(apt) = apt() {
        step("rustc-web and rust-web-src, by apt-get", || install(&apt))?;
        if let Some(found) = probe()? {
            return Ok(found);
        }
    }
    bail!(REMEDIES)
}

fn probe() -> Result<Option<Toolchain>> {
    // Printed even if it is not there.
    let libraries = process::run_quietly(Command::new("rustc").args([
        "--print",
        "target-libdir",
        "--target",
        TARGET,
    ]))?;
    if Path::new(&libraries).is_dir() {
        return Ok(Some(Toolchain::Target));
    }
    if library(&sysroot("rustc")?).join("Cargo.lock").is_file() {
        return Ok(Some(Toolchain::Source));
    }
    let named = std::env::var_os("KOEMASU_GUEST_RUSTC").map(PathBuf::from);
    for rustc in named.into_iter().chain([PathBuf::from("/usr/bin/rustc")]) {
        if rustc.is_file() && fits_its_library(&rustc)? {
            return Ok(Some(Toolchain::Other(rustc)));
        }
    }
    Ok(None)
}

fn library(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/src/rust/library")
}

/// Compiler and library must be of one release: the first knows the second's
/// secrets.
fn fits_its_library(rustc: &Path) -> Result<bool> {
    let sysroot = sysroot(rustc)?;
    let library = library(&sysroot);
    if !library.join("Cargo.lock").is_file() {
        return Ok(false);
    }
    let version = process::run_quietly(Command::new(rustc).arg("-V"))?;
    let version = version
        .split_whitespace()
        .nth(1)
        .unwrap_or_default()
        .to_owned();
    let releases = library.with_file_name("RELEASES.md");
    let releases = std::fs::read_to_string(releases).unwrap_or_default();
    let newest = releases.lines().next().unwrap_or_default();
    Ok(newest.contains(&version))
}

fn sysroot(rustc: impl AsRef<std::ffi::OsStr>) -> Result<PathBuf> {
    process::run_quietly(Command::new(rustc).args(["--print", "sysroot"])).map(PathBuf::from)
}

fn host() -> Result<String> {
    let version = process::run_quietly(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .context("rustc does not name its host")
}

/// How packages can be installed here without asking for a password.
fn apt() -> Option<Vec<&'static str>> {
    if !process::exists("apt-get", &["--version"]) {
        return None;
    }
    let root = process::run_quietly(Command::new("id").arg("-u")).is_ok_and(|id| id == "0");
    match root {
        true => Some(vec!["apt-get"]),
        false if process::exists("sudo", &["-n", "true"]) => Some(vec!["sudo", "-n", "apt-get"]),
        false => None,
    }
}

fn install(apt: &[&str]) -> Result<()> {
    let call = |arguments: &[&str]| {
        let mut command = Command::new(apt[0]);
        command
            .args(&apt[1..])
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive");
        process::run_quietly(&mut command)
    };
    call(&["update", "-qq"])?;
    call(&[
        "install",
        "-y",
        "-qq",
        "--no-install-recommends",
        "rustc-web",
        "rust-web-src",
    ])?;
    found("rustc-web and rust-web-src");
    Ok(())
}

impl Toolchain {
    fn describe(&self) -> String {
        match self {
            Self::Target => "rustup's target".to_owned(),
            Self::Source => "rustup's rust-src".to_owned(),
            Self::Other(rustc) => format!("{} and its own library", rustc.display()),
        }
    }
}
