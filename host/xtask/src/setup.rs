//! All of set-up, in order; `setup.toml` is written last and tells the server
//! where everything is.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::home::{self, Home};
use crate::onnxruntime::{self, Flavour, Library};
use crate::{dictionary, guests};

/// What the user asked for.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    flavour: Option<Flavour>,
    onnxruntime: Option<PathBuf>,
}

impl Wishes {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut wishes = Self::from_environment()?;
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let value = arguments
                .next()
                .with_context(|| format!("{argument} needs a value"))?;
            match argument.as_str() {
                "--device" => wishes.flavour = flavour(value)?,
                "--onnxruntime" => wishes.onnxruntime = Some(PathBuf::from(value)),
                other => bail!("unknown option {other}; known are --device and --onnxruntime"),
            }
        }
        Ok(wishes)
    }

    /// For the commands whose arguments are another program's.
    pub(crate) fn from_environment() -> Result<Self> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Ok(Self {
            flavour: match variable("KOEMASU_DEVICE") {
                Some(device) => flavour(&device)?,
                None => None,
            },
            onnxruntime: variable("KOEMASU_ONNXRUNTIME").map(PathBuf::from),
        })
    }
}

pub(crate) fn flavour(device: &str) -> Result<Option<Flavour>> {
    match device {
        "auto" => Ok(None),
        "cpu" => Ok(Some(Flavour::Cpu)),
        "cuda" => Ok(Some(Flavour::Cuda)),
        other => bail!("unknown device {other}; it is auto, cpu or cuda"),
    }
}

#[derive(Serialize)]
struct Setup {
    onnxruntime: Library,
    dictionary: Folder,
    plugins: Folder,
}

#[derive(Serialize)]
struct Folder {
    folder: PathBuf,
}

pub(crate) fn run(wishes: &Wishes) -> Result<()> {
    let home = Home::find()?;
    let _lock = home.lock()?;
    println!("set-up in {}", home.root.display());
    let library = match &wishes.onnxruntime {
        Some(library) => onnxruntime::own(library)?,
        None => onnxruntime::ensure(&home, wishes.flavour)?,
    };
    let dictionary = dictionary::ensure(&home)?;
    guests::build(&home)?;
    let setup = Setup {
        onnxruntime: library,
        dictionary: Folder { folder: dictionary },
        plugins: Folder {
            folder: guests::folder(&home),
        },
    };
    home::write(
        &home.root.join("setup.toml"),
        toml::to_string(&setup)?.as_bytes(),
    )
}

/// Says what a step does and, when it is done, how long it took.
pub(crate) fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("  {what} …");
    let start = Instant::now();
    let done = work()?;
    println!("  {what}: done in {:.1} s", start.elapsed().as_secs_f64());
    Ok(done)
}

pub(crate) fn found(what: &str) {
    println!("  {what}: there");
}
