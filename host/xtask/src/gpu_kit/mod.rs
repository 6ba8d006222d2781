//! `cargo xtask gpu-kit`: everything that `tests/gpu/on-device.sh` needs on a
//! machine that has a driver, Python with CUDA 13's libraries, and neither
//! network nor compiler.
//!
//! - `slim`: the CUDA provider for one architecture.
//! - `splice`: what travels with the repository is taken out of the programs.
//!
//! The kit is two archives and travels beside the tracked files; together they
//! stay below [`TOGETHER_MAX`].

mod slim;
mod splice;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::guests;
use crate::home::{Home, repository, tracked};
use crate::onnxruntime::{self, Flavour, Library};
use crate::process;
use crate::setup::{self, step};

/// Of tracked files and kit, in bytes.
const TOGETHER_MAX: u64 = 62 << 20;

struct Wishes {
    folder: PathBuf,
    device: Flavour,
    architecture: u32,
    models: Option<PathBuf>,
    /// Programs as the tests have them, and archives made in seconds.
    quick: bool,
}

impl Wishes {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut wishes = Self {
            folder: repository().join("gpu-kit"),
            device: Flavour::Cuda,
            architecture: 90,
            models: shared_models(),
            quick: false,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.with_context(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--device" => {
                    let flavour = setup::flavour(value()?)?;
                    wishes.device = flavour.context("a kit is for cuda or for cpu")?;
                }
                "--architecture" => {
                    let text = value()?;
                    let number = text.parse().ok();
                    wishes.architecture =
                        number.with_context(|| format!("{text} is no architecture such as 90"))?;
                }
                "--models" => wishes.models = Some(PathBuf::from(value()?)),
                "--quick" => wishes.quick = true,
                folder if !folder.starts_with('-') => wishes.folder = PathBuf::from(folder),
                other => bail!(
                    "unknown option {other}; known are --device, --architecture, --models and --quick"
                ),
            }
        }
        Ok(wishes)
    }
}

/// Models of the real architecture, where somebody has put them.
fn shared_models() -> Option<PathBuf> {
    let shared = std::env::var_os("KOEMASU_SHARED")
        .map_or_else(|| repository().join("../shared"), PathBuf::from);
    let models = shared.join("models");
    models.is_dir().then_some(models)
}

/// What the machine with the GPU is told, `kit.json`.
#[derive(Serialize)]
struct Kit {
    device: Flavour,
    onnxruntime: String,
    commit: String,
    programs: &'static str,
}

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let wishes = Wishes::parse(arguments)?;
    std::fs::create_dir_all(&wishes.folder)
        .with_context(|| format!("cannot make {}", wishes.folder.display()))?;
    let folder = wishes.folder.canonicalize()?;
    for old in ["ort.tar.xz", "rest.tar.xz", "slim.json"] {
        let _ = std::fs::remove_file(folder.join(old));
    }
    let stage = folder.join("part");
    let _ = std::fs::remove_dir_all(&stage);
    let packed = pack(&wishes, &folder, &stage);
    let _ = std::fs::remove_dir_all(&stage);
    packed
}

fn pack(wishes: &Wishes, folder: &Path, stage: &Path) -> Result<()> {
    let home = Home::find()?;
    let _lock = home.lock()?;
    let Library {
        library, version, ..
    } = match wishes.device {
        Flavour::Cuda => onnxruntime::gpu_build(&home)?,
        other => onnxruntime::ensure(&home, Some(other))?,
    };
    guests::build(&home)?;
    let ort = stage.join("ort");
    let rest = stage.join("rest");
    for folder in [&ort, &rest.join("bin"), &rest.join("plugins")] {
        std::fs::create_dir_all(folder)?;
    }
    copy(&library, &ort.join("libonnxruntime.so"))?;
    if wishes.device == Flavour::Cuda {
        let shared = "libonnxruntime_providers_shared.so";
        copy(&library.with_file_name(shared), &ort.join(shared))?;
        step("the CUDA provider, slimmed", || {
            provider(wishes.architecture, &library, &ort, folder)
        })?;
    }
    programs(wishes.quick, &rest)?;
    for plugin in std::fs::read_dir(guests::folder(&home))? {
        let plugin = plugin?.path();
        if plugin.extension().is_some_and(|it| it == "wasm") {
            let name = plugin.file_name().unwrap_or_default();
            copy(&plugin, &rest.join("plugins").join(name))?;
        }
    }
    match &wishes.models {
        Some(models) => carry_models(models, &rest)?,
        None => println!("  no models: what needs them will be left out"),
    }
    let kit = Kit {
        device: wishes.device,
        onnxruntime: version,
        commit: process::run_quietly(
            Command::new("git")
                .current_dir(repository())
                .args(["rev-parse", "HEAD"]),
        )
        .unwrap_or_default(),
        programs: if wishes.quick { "dev" } else { "release" },
    };
    std::fs::write(rest.join("kit.json"), serde_json::to_vec_pretty(&kit)?)?;
    step("archives", || {
        squeeze(&ort, &folder.join("ort.tar.xz"), wishes.quick)?;
        squeeze(&rest, &folder.join("rest.tar.xz"), wishes.quick)
    })?;
    weigh(folder, wishes.quick)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

fn provider(architecture: u32, library: &Path, to: &Path, folder: &Path) -> Result<()> {
    let name = "libonnxruntime_providers_cuda.so";
    let source = library.with_file_name(name);
    let mut bytes =
        std::fs::read(&source).with_context(|| format!("cannot read {}", source.display()))?;
    let report = slim::slim(&mut bytes, architecture)
        .with_context(|| format!("{} cannot be slimmed", source.display()))?;
    std::fs::write(to.join(name), bytes)?;
    std::fs::write(
        folder.join("slim.json"),
        serde_json::to_vec_pretty(&report)?,
    )?;
    Ok(())
}

/// The server, and the tests that only a GPU can pass.
fn programs(quick: bool, rest: &Path) -> Result<()> {
    let profile: &[&str] = if quick { &[] } else { &["--release"] };
    let mut build = Command::new("cargo");
    build
        .current_dir(repository())
        .args(["build", "--workspace", "--locked"])
        .args(profile);
    let mut tests = Command::new("cargo");
    tests
        .current_dir(repository())
        .args(["test", "--workspace", "--locked", "--no-run"])
        .args(["--test", "gpu"])
        .args(profile);
    let server = built(&mut build, "koemasu/Cargo.toml", "koemasu")?;
    let tests = built(&mut tests, "session/Cargo.toml", "gpu")?;
    for (program, name) in [(server, "koemasu"), (tests, "gpu")] {
        let mut strip = Command::new("strip");
        strip
            .arg("-o")
            .arg(rest.join("bin").join(name))
            .arg(program);
        process::run(&mut strip)?;
    }
    let taken = splice::take_out(&rest.join("bin"))?;
    println!("  taken out of the programs: {}", taken.join(", "));
    Ok(())
}

#[derive(Deserialize)]
struct Artifact {
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Where cargo says that this target of this package lies.
fn built(cargo: &mut Command, manifest: &str, name: &str) -> Result<PathBuf> {
    cargo.arg("--message-format=json-render-diagnostics");
    let said = process::run_quietly(cargo)?;
    let mut found = said.lines().filter_map(|line| {
        let artifact: Artifact = serde_json::from_str(line).ok()?;
        let ours = artifact.target?.name == name && artifact.manifest_path?.ends_with(manifest);
        artifact.executable.filter(|_| ours)
    });
    found
        .next_back()
        .with_context(|| format!("cargo has built no {name}"))
}

/// The tiny models as they are; of the real-size ones the graphs, since their
/// weights are made on the machine.
fn carry_models(models: &Path, rest: &Path) -> Result<()> {
    for name in ["micro", "real-size"] {
        let to = rest.join("models").join(name);
        std::fs::create_dir_all(&to)?;
        for file in std::fs::read_dir(models.join(name))
            .with_context(|| format!("no {name} in {}", models.display()))?
        {
            let file = file?.path();
            let wanted = match name {
                "micro" => file.file_name().is_some_and(|it| it == "micro.aivmx"),
                _ => file.extension().is_none_or(|it| it != "weights"),
            };
            if wanted && file.is_file() {
                copy(&file, &to.join(file.file_name().unwrap_or_default()))?;
            }
        }
    }
    Ok(())
}

/// By the same code that unpacks it there.
fn squeeze(folder: &Path, archive: &Path, quick: bool) -> Result<()> {
    let preset = if quick { "0" } else { "9" };
    let mut python = Command::new("python3");
    python
        .arg(repository().join("tests/gpu/archive.py"))
        .arg(folder)
        .arg(archive)
        .arg(preset);
    process::run(&mut python)
}

fn weigh(folder: &Path, quick: bool) -> Result<()> {
    let size = |path: PathBuf| path.metadata().map_or(0, |it| it.len());
    let tree: u64 = tracked()?
        .iter()
        .map(|it| size(repository().join(it)))
        .sum();
    let mut kit = 0;
    for name in ["ort.tar.xz", "rest.tar.xz"] {
        let bytes = size(folder.join(name));
        println!("  {name}: {:.1} MB", bytes as f64 / 1e6);
        kit += bytes;
    }
    println!(
        "  {}: {:.1} MB, tracked files {:.1} MB, together {:.1} of {:.1} MB",
        folder.display(),
        kit as f64 / 1e6,
        tree as f64 / 1e6,
        (kit + tree) as f64 / 1e6,
        TOGETHER_MAX as f64 / 1e6
    );
    ensure!(
        quick || kit + tree <= TOGETHER_MAX,
        "kit and tracked files are too large to travel together"
    );
    Ok(())
}

/// Packs a kit for the processor and runs it, in short: what runs on the
/// machine with the GPU is run here as well, and finds its own faults.
pub(crate) fn rehearse() -> Result<()> {
    let folder = repository().join("target/gpu-kit");
    let given = ["--device", "cpu", "--quick"].map(str::to_owned);
    let mut arguments = given.to_vec();
    arguments.push(folder.display().to_string());
    run(&arguments)?;
    let mut kit = Command::new("bash");
    kit.current_dir(repository())
        .arg("tests/gpu/on-device.sh")
        .arg(&folder)
        .env("OUT", folder.join("out"))
        .env("KIT_ROOT", folder.join("unpacked"))
        .env("KIT_SHORT", "1");
    process::run(&mut kit)
}
