//! The voices of a soak: those that are given, copies of them with other
//! weights where there are too few, and voices of every kind.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use pipeline::spec;
use session::package;
use tempfile::TempDir;

use crate::args;
use crate::zoo::{self, Kind};
use server::config::stem;
use server::line;

/// Voices, and the folder they are in if it was made for them.
pub(crate) struct Stock {
    pub(crate) voices: Vec<spec::Voice>,
    pub(crate) made: Option<TempDir>,
}

/// What voices are made of.
enum Origin {
    Given(spec::Voice),
    Kind(&'static Kind),
}

/// Whether voices of every kind are made.
pub(crate) fn is_zoo(args: &args::Args) -> bool {
    args.zoo || args.models.is_none()
}

/// So many voices if nobody says how many.
const USUAL: usize = 25;
const USUAL_ZOO: usize = 40;

/// How many voices there are.
pub(crate) fn count(args: &args::Args) -> usize {
    let usual = if args.zoo { USUAL_ZOO } else { USUAL };
    args.voices.unwrap_or(usual)
}

impl Stock {
    /// Gives what there is, or makes what is missing.
    pub(crate) fn find(args: &args::Args) -> anyhow::Result<Self> {
        let origins = origins(args)?;
        let count = count(args);
        if let Some(voices) = as_they_are(&origins, count) {
            return Ok(Self { voices, made: None });
        }
        let folder = tempfile::Builder::new()
            .prefix("koemasu-soak-")
            .tempdir()
            .context("no temporary folder for the voices")?;
        line::tell(format_args!(
            "making {count} voices in {}",
            folder.path().display()
        ));
        let mut made = vec![0; origins.len()];
        for (number, place) in shares(&origins).take(count).enumerate() {
            let origin = &origins[place];
            let name = format!("{}-{:03}", origin.name(), made[place]);
            made[place] += 1;
            // No voice of another seed's.
            let seed = args.seed.rotate_left(32) ^ number as u64;
            origin.make(folder.path(), &name, seed)?;
        }
        Ok(Self {
            voices: packages(folder.path())?,
            made: Some(folder),
        })
    }
}

/// Given voices, if they are enough and nothing else is wanted.
fn as_they_are(origins: &[Origin], count: usize) -> Option<Vec<spec::Voice>> {
    let given = origins.iter().map(|origin| match origin {
        Origin::Given(voice) => Some(voice.clone()),
        Origin::Kind(_) => None,
    });
    let given: Vec<_> = given.collect::<Option<_>>()?;
    (given.len() >= count).then(|| given.into_iter().take(count).collect())
}

fn origins(args: &args::Args) -> anyhow::Result<Vec<Origin>> {
    let mut origins = Vec::new();
    if is_zoo(args) {
        origins.extend(zoo::small().map(Origin::Kind));
    }
    if args.zoo {
        origins.extend(zoo::real().map(Origin::Kind));
    }
    if let Some(path) = &args.models {
        origins.extend(given(path)?.into_iter().map(Origin::Given));
    }
    Ok(origins)
}

/// Places in `origins`, without end: each once, and then those of which there
/// are many.
fn shares(origins: &[Origin]) -> impl Iterator<Item = usize> {
    let many: Vec<_> = (0..origins.len())
        .filter(|place| origins[*place].is_many())
        .collect();
    (0..origins.len()).chain(many.into_iter().cycle())
}

impl Origin {
    fn is_many(&self) -> bool {
        match self {
            Self::Given(_) => true,
            Self::Kind(kind) => kind.many,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Given(voice) => &voice.name,
            Self::Kind(kind) => kind.name,
        }
    }

    fn make(&self, folder: &Path, name: &str, seed: u64) -> anyhow::Result<()> {
        match self {
            Self::Given(voice) => Ok(package::vary(&voice.source, folder, name, seed)?),
            // No package itself, so nobody takes it for a voice.
            Self::Kind(kind) => kind.make(folder, &folder.join("raw"), name, seed),
        }
    }
}

/// The kind, or the given voice, that a voice was made of.
pub(crate) fn kind_of(name: &str) -> &str {
    name.rsplit_once('-').map_or(name, |(kind, _)| kind)
}

/// The voices in use by a process of the soak.
pub(crate) fn chosen(args: &args::Args) -> anyhow::Result<Vec<spec::Voice>> {
    let voices = match (&args.child.made, &args.models) {
        (Some(folder), _) => packages(folder)?,
        (None, Some(path)) => given(path)?,
        (None, None) => Vec::new(),
    };
    Ok(voices.into_iter().take(count(args)).collect())
}

fn given(path: &Path) -> anyhow::Result<Vec<spec::Voice>> {
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
pub(crate) fn bytes(source: &spec::Source) -> u64 {
    match source {
        spec::Source::Embedded(bytes) => bytes.len() as u64,
        // As large as the first of those it is made of.
        spec::Source::Merged(recipe) => recipe.voices.first().map_or(0, bytes),
        spec::Source::Path(path) if path.is_dir() => weights(path).unwrap_or(0),
        spec::Source::Path(path) => size(path),
    }
}

/// A graph with the weights that lie beside it.
pub(crate) fn graph_bytes(source: &spec::Source) -> u64 {
    match source {
        spec::Source::Embedded(bytes) => bytes.len() as u64,
        spec::Source::Merged(_) => 0,
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
