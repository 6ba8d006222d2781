//! Voices as people have them: `.aivm`, `.aivmx`, `.sbv2`, or a folder with
//! `config.json`, `style_vectors.npy` and a `.safetensors` or an `.onnx`.
//!
//! Reads who a voice is; opens no session. Sources of the formats:
//! Style-Bert-VITS2 (folder), sbv2-api (`.sbv2`), aivmlib (`.aivm`, `.aivmx`).
//! For tensors alone a graph is written, see [`vits`].

mod aivm;
mod aivmx;
mod bounds;
mod built;
mod config;
mod defect;
mod folder;
mod folder_of;
mod manifest;
mod merge;
mod merged;
mod npy;
pub(crate) mod parse;
mod portrait;
mod sbv2;
mod style_id;
mod styles;
mod tensors;
mod torch;
mod unpack;
mod vary;

use std::path::Path;
use std::sync::Arc;

pub(crate) use tensors::{Stored, TENSORS, Tensor, Tensors};
pub(crate) use unpack::Unpacking;

pub use folder_of::write_merged;
pub use manifest::{Manifest, Speaker, Style};
pub use merge::{Groups, MergedStyle, Method, Recipe};
pub use portrait::{Media, Portrait, Sample, StylePortrait};
pub use style_id::style_id;
pub use styles::Styles;
pub use vary::vary;

use crate::error::Error;
use crate::family::Family;
use crate::files::Held;
use crate::source::{Graph, Source};
use config::HyperParameters;
use defect::{Defect, TensorsFault};
use manifest::Written;

/// Who a voice is, and where its graph lies.
#[derive(Clone, Debug)]
pub struct Package {
    name: String,
    licence: Option<String>,
    sampling_rate: u32,
    /// Name and the graph's `sid`, by id.
    speakers: Vec<(String, i64)>,
    styles: Styles,
    family: Option<Family>,
    graph: Graph,
    manifest: Arc<Manifest>,
    /// Where a manifest is written, with its pictures and samples.
    told: Option<Graph>,
}

/// Whether this entry of a voice folder looks like a voice at all. A pipe or a
/// link to nowhere that is called like one is refused with its name when it is
/// opened, and not passed over.
pub fn is_package(path: &Path) -> bool {
    match extension(path) {
        Some("aivm" | "aivmx" | "sbv2") => !path.is_dir(),
        _ => path.join("config.json").symlink_metadata().is_ok(),
    }
}

/// A voice that is tensors alone, before a graph is written for it.
struct Parts {
    /// No other voice is.
    known_as: String,
    config: HyperParameters,
    /// The configuration as it is written.
    json: Vec<u8>,
    vectors: styles::Vectors,
    ingredients: merge::Ingredients,
    /// What the file's manifest says, if it has one.
    written: Option<Written>,
}

/// Those of a voice that is to be merged.
fn parts(source: &Source) -> Result<Parts, Defect> {
    let none = || Defect::NotTensors(source.path().to_owned());
    match source {
        Source::Path(path) if extension(path) == Some("aivm") => aivm::parts(path),
        Source::Path(path) if path.is_dir() => match folder::open(path)? {
            folder::Found::Tensors(parts) => Ok(*parts),
            folder::Found::Graph(_) => Err(none()),
        },
        // A sum of sums would need a file of its own: `koemasu merge` writes it.
        Source::Path(_) | Source::Embedded(_) | Source::Merged(_) => Err(none()),
    }
}

fn extension(path: &Path) -> Option<&str> {
    path.extension().and_then(|extension| extension.to_str())
}

impl Package {
    /// An archive is unpacked into a file that goes with the package.
    pub fn open(source: &Source) -> Result<Self, Error> {
        Self::open_unpacked(source, &Unpacking::default())
    }

    /// The same, with a place for what an archive unpacks to.
    pub(crate) fn open_unpacked(source: &Source, unpacking: &Unpacking<'_>) -> Result<Self, Error> {
        let read = match source {
            Source::Embedded(bytes) => aivmx::read(bytes, Graph::Embedded(bytes)),
            Source::Merged(recipe) => merged::open(recipe),
            Source::Path(path) => match extension(path) {
                Some("aivm") => aivm::parts(path).and_then(Self::of_parts),
                Some("aivmx") => aivmx::open(path),
                Some("sbv2") => sbv2::open(path, unpacking),
                _ if path.is_dir() => match folder::open(path) {
                    Ok(folder::Found::Graph(package)) => Ok(*package),
                    Ok(folder::Found::Tensors(parts)) => {
                        let file = parts.ingredients.file_name();
                        Self::of_parts(*parts).map_err(|defect| Defect::OfFile {
                            file,
                            defect: Box::new(defect),
                        })
                    }
                    Err(defect) => Err(defect),
                },
                _ => Err(Defect::Kind),
            },
        };
        read.map_err(|defect| wrong(source, &defect))
    }

    /// Puts a package together from its config and its style vectors. Its uuids
    /// are made of the name by which it is known, which no other voice has.
    fn from_config(
        known_as: &str,
        config: &HyperParameters,
        vectors: styles::Vectors,
        graph: Graph,
    ) -> Result<Self, Defect> {
        let mut speakers: Vec<_> = config.data.spk2id.clone().into_iter().collect();
        speakers.sort_by_key(|(_, id)| *id);
        if speakers.is_empty() {
            return Err(Defect::NamesNo("speaker"));
        }
        let styles = Styles::named(&config.data.style2id, vectors)?;
        let pairs = speakers.len() * styles.names().count();
        if pairs > bounds::PAIRS_MAX {
            return Err(Defect::Pairs {
                pairs,
                most: bounds::PAIRS_MAX,
            });
        }
        let family = Some(config.family());
        Ok(Self {
            manifest: Arc::new(Manifest::of_names(known_as, &speakers, &styles, family)),
            name: config.model_name.clone(),
            licence: None,
            sampling_rate: config.data.sampling_rate,
            speakers,
            styles,
            family,
            graph,
            told: None,
        })
    }

    /// The same with what its file's manifest says of it.
    fn telling(mut self, written: Written) -> Self {
        self.name.clone_from(&written.name);
        self.licence.clone_from(&written.license);
        self.manifest = Arc::new(written.over(&self.manifest));
        self.told = Some(self.graph.clone());
        self
    }

    /// The same over tensors alone: a graph is written for them.
    fn of_parts(parts: Parts) -> Result<Self, Defect> {
        let config = &parts.config;
        let (built, family, speakers) = built::build(&parts.ingredients, config)?;
        let wrong = |(_, id): &(&String, &i64)| usize::try_from(**id).is_ok_and(|id| id < speakers);
        if let Some((name, id)) = config.data.spk2id.iter().find(|it| !wrong(it)) {
            return Err(Defect::SpeakerId {
                name: name.clone(),
                id: *id,
                speakers,
            });
        }
        let graph = Graph::Built(Arc::new(built));
        let mut package = Self::from_config(&parts.known_as, config, parts.vectors, graph)?;
        // The tensors know better than the version.
        package.family = Some(family);
        Ok(match parts.written {
            Some(written) => package.telling(written),
            None => package,
        })
    }

    /// As the package itself says; not unique among packages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text or the name of the licence; None if the package has none.
    pub fn licence(&self) -> Option<&str> {
        self.licence.as_deref()
    }

    /// What it tells of itself besides, or what stands in for that.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What the speaker with this uuid looks and sounds like, from the voice's
    /// file: this reads it.
    pub fn portrait(&self, speaker_uuid: &str) -> Result<Portrait, Error> {
        match &self.told {
            Some(told) => portrait::read(told, speaker_uuid),
            None => Ok(Portrait::default()),
        }
    }

    /// `JP-Extra`, `multilingual`, or `unknown` where the package does not say.
    pub fn architecture(&self) -> &'static str {
        match self.family {
            Some(Family::JpExtra) => "JP-Extra",
            Some(Family::Multilingual) => "multilingual",
            None => "unknown",
        }
    }

    /// Of the file that its weights lie in.
    pub fn bytes(&self) -> u64 {
        match &self.graph {
            Graph::File(held) | Graph::Unlinked(held) => held.bytes(),
            Graph::Embedded(bytes) => bytes.len() as u64,
            Graph::Built(built) => built.tensors.bytes(),
        }
    }

    /// Samples per second.
    pub fn sampling_rate(&self) -> u32 {
        self.sampling_rate
    }

    /// Names as requests have them, by the graph's id.
    pub fn speakers(&self) -> impl Iterator<Item = &str> {
        self.speakers.iter().map(|(name, _)| name.as_str())
    }

    /// With the graph's own ids.
    pub fn speaker_ids(&self) -> impl Iterator<Item = (&str, i64)> {
        self.speakers.iter().map(|(name, id)| (name.as_str(), *id))
    }

    /// Names as requests have them, by the rows of their vectors.
    pub fn styles(&self) -> impl Iterator<Item = &str> {
        self.styles.names()
    }

    /// With the rows of the style vectors.
    pub fn style_ids(&self) -> impl Iterator<Item = (&str, u32)> {
        self.styles.rows()
    }

    /// The style vector: mean + (style - mean) × weight. None is the first
    /// style, which is the mean itself.
    pub fn style(&self, name: Option<&str>, weight: f32) -> Option<Vec<f32>> {
        self.styles.vector(name, weight)
    }

    /// What the config says of the graph; `.sbv2` says nothing.
    pub(crate) fn family(&self) -> Option<Family> {
        self.family
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }
}

/// The header of a file of tensors, whichever kind it is.
pub(crate) fn tensors_of(held: &Held) -> Result<Tensors, TensorsFault> {
    match extension(held.path()) {
        Some("safetensors" | "aivm") => Tensors::read(held),
        _ => torch::read(held),
    }
}

fn wrong(source: &Source, defect: &Defect) -> Error {
    Error::Package {
        path: source.path().to_owned(),
        cause: defect.to_string(),
    }
}
