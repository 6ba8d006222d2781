//! The voices of a soak: those that are given, or copies of them with other
//! weights where there are too few.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use pipeline::spec;
use session::Source;
use session::package;
use tempfile::TempDir;

use crate::args;
use crate::config::{Config, embedded_voice, stem};

/// Voices, and the folder they are in if it was made for them.
pub(super) struct Stock {
    pub(super) voices: Vec<spec::Voice>,
    pub(super) made: Option<TempDir>,
}

impl Stock {
    /// Gives what there is, or makes what is missing.
    pub(super) fn find(args: &args::Soak, config: &Config) -> anyhow::Result<Self> {
        let given = given(args, config)?;
        if given.len() >= args.voices {
            let voices = given.into_iter().take(args.voices).collect();
            return Ok(Self { voices, made: None });
        }
        let folder = tempfile::Builder::new()
            .prefix("koemasu-soak-")
            .tempdir()
            .context("no temporary folder for the voices")?;
        for number in 0..args.voices {
            let source = match &given[number % given.len()].source {
                spec::Source::Path(path) => Source::Path(path.clone()),
                spec::Source::Embedded(bytes) => Source::Embedded(bytes),
            };
            let (name, seed) = (format!("voice-{number:03}"), args.seed ^ number as u64);
            package::vary(&source, folder.path(), &name, seed)?;
        }
        Ok(Self {
            voices: packages(folder.path())?,
            made: Some(folder),
        })
    }
}

/// The voices in use by a process of the soak.
pub(super) fn chosen(args: &args::Soak, config: &Config) -> anyhow::Result<Vec<spec::Voice>> {
    let voices = match &args.child.made {
        Some(folder) => packages(folder)?,
        None => given(args, config)?,
    };
    Ok(voices.into_iter().take(args.voices).collect())
}

/// `--models`, else the configured ones, else the one inside the program.
fn given(args: &args::Soak, config: &Config) -> anyhow::Result<Vec<spec::Voice>> {
    let Some(path) = &args.models else {
        let of_files = |voice: &&spec::Voice| matches!(voice.source, spec::Source::Path(_));
        let mut voices: Vec<_> = config
            .service
            .voices
            .iter()
            .filter(of_files)
            .cloned()
            .collect();
        if voices.is_empty() {
            voices.push(embedded_voice());
        }
        return Ok(voices);
    };
    if package::is_package(path) {
        return Ok(vec![voice(path)]);
    }
    let voices = packages(path)?;
    if voices.is_empty() {
        bail!(
            "{} is no voice and has none in it; --models takes an .aivmx, or a folder with config.json, or a folder of such",
            path.display()
        );
    }
    Ok(voices)
}

fn packages(folder: &Path) -> anyhow::Result<Vec<spec::Voice>> {
    let unreadable = || format!("cannot read {}", folder.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        paths.push(entry.with_context(unreadable)?.path());
    }
    paths.sort();
    paths.retain(|path| package::is_package(path));
    Ok(paths.iter().map(|path| voice(path)).collect())
}

fn voice(path: &Path) -> spec::Voice {
    spec::Voice {
        name: stem(path),
        source: spec::Source::Path(path.to_owned()),
    }
}

/// Bytes of a model's files, for a first idea of what it takes.
pub(super) fn bytes(source: &spec::Source) -> u64 {
    match source {
        spec::Source::Embedded(bytes) => bytes.len() as u64,
        spec::Source::Path(path) if path.is_dir() => weights(path).unwrap_or(0),
        spec::Source::Path(path) => size(path),
    }
}

/// A graph with the weights that lie beside it.
pub(super) fn graph_bytes(source: &spec::Source) -> u64 {
    match source {
        spec::Source::Embedded(bytes) => bytes.len() as u64,
        spec::Source::Path(path) => {
            let beside = path.parent().and_then(weights).unwrap_or(0);
            beside.max(size(path))
        }
    }
}

/// The files of a folder that can hold weights; of several graphs, one.
fn weights(folder: &Path) -> Option<u64> {
    let (mut graph, mut beside) = (0, 0);
    for entry in std::fs::read_dir(folder).ok()? {
        let path: PathBuf = entry.ok()?.path();
        match path.extension().and_then(|it| it.to_str()) {
            Some("onnx") => graph = size(&path).max(graph),
            Some("json" | "npy" | "txt" | "aivmx" | "sbv2" | "safetensors" | "py") => {}
            _ => beside += size(&path),
        }
    }
    Some(graph + beside)
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}
