//! `[voices]` and `[bert]`: which models there are, and where. Looks into
//! folders; opens no model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pipeline::document::{Document, Place, Unfit};
use pipeline::spec;
use serde::Deserialize;
use session::bert::folder;

use super::merge::{self, Merge};
use super::{
    ConfigError, EMBEDDED_BERT, Environment, embedded_bert, embedded_voice, entries, stem,
};

/// `[voices]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Voices {
    /// Every package in it is a voice. Without one: the folder that `koemasu
    /// pull` fetches to, if there is anything in it.
    pub(super) folder: Option<PathBuf>,
    /// Whether the voice inside the program is served; it is if there is no
    /// other.
    pub(super) embedded: Option<bool>,
    /// Whether one voice that cannot be loaded keeps the others from serving.
    pub(super) strict: bool,
}

/// `[bert.NAME]`: a folder, or two files.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bert {
    folder: Option<PathBuf>,
    graph: Option<PathBuf>,
    tokenizer: Option<PathBuf>,
}

/// What was found.
pub(super) struct Models {
    pub(super) voices: Vec<spec::Voice>,
    pub(super) berts: BTreeMap<String, spec::Bert>,
    /// The one of pipelines that name none.
    pub(super) default_bert: String,
    /// What a change of should cause a reload.
    pub(super) watched: Vec<PathBuf>,
    /// What the operator should know, in sentences.
    pub(super) remarks: Vec<String>,
}

/// Models of this name are told apart by what they are.
const USUAL_BERT: &str = "deberta-v2-large-japanese-char-wwm";

pub(super) fn find(
    voices: &Voices,
    berts: BTreeMap<String, Bert>,
    merges: Vec<Merge>,
    environment: &Environment,
    resolve: &impl Fn(PathBuf) -> PathBuf,
    document: &Document,
) -> Result<Models, ConfigError> {
    let mut remarks = Vec::new();
    let configured = voices.folder.clone().map(resolve);
    let place = || document.place(&["voices", "folder"]);
    let (own, paths) = match &configured {
        Some(folder) => (folder.clone(), entries(folder, place)?),
        // Nobody has named it: it need not be there.
        None => {
            let own = environment.voices();
            let paths = entries(&own, place).unwrap_or_default();
            (own, paths)
        }
    };
    let mut found = packages(paths, &mut remarks);
    let embedded = voices.embedded;
    if embedded.unwrap_or(configured.is_none() && found.is_empty()) {
        found.insert(0, embedded_voice());
    }

    let mut known = BTreeMap::from([(EMBEDDED_BERT.to_owned(), embedded_bert())]);
    let mut default_bert = None;
    for (name, bert) in berts {
        let bert = bert.read(&name, resolve, document)?;
        default_bert = match default_bert {
            // Whoever has several says which.
            Some(_) => Some(String::new()),
            None => Some(name.clone()),
        };
        known.insert(name, bert);
    }
    let speaks = found.iter().any(is_real);
    if default_bert.is_none() && speaks {
        default_bert = discover(&own, environment, &mut known, &mut remarks);
    }
    merge::add(merges, &mut found, resolve, document)?;
    let mut watched = vec![own];
    watched.extend(known.values().filter_map(folder_of));
    Ok(Models {
        voices: found,
        berts: known,
        default_bert: default_bert.unwrap_or_else(|| EMBEDDED_BERT.to_owned()),
        watched,
        remarks,
    })
}

fn is_real(voice: &spec::Voice) -> bool {
    !matches!(voice.source, spec::Source::Embedded(_))
}

fn folder_of(bert: &spec::Bert) -> Option<PathBuf> {
    match &bert.graph {
        spec::Source::Path(path) => path.parent().map(Path::to_owned),
        spec::Source::Embedded(_) | spec::Source::Merged(_) => None,
    }
}

/// A name is a voice: of two that would have one, the later is called by its
/// whole file name, and that is said.
fn packages(paths: Vec<PathBuf>, remarks: &mut Vec<String>) -> Vec<spec::Voice> {
    let packages = paths.into_iter().filter_map(|path| {
        let inside = within(&path);
        let is_voice = session::package::is_package(&inside) && folder::find(&path).is_none();
        is_voice.then_some((path, inside))
    });
    let packages: Vec<_> = packages.collect();
    let mut taken = BTreeSet::new();
    let mut voices = Vec::new();
    for (path, inside) in packages {
        let mut name = stem(&path);
        if !taken.insert(name.clone()) {
            let whole = path.file_name().unwrap_or_default().to_string_lossy();
            remarks.push(format!(
                "two packages are called `{name}`: {} goes by `{whole}`; rename one of them",
                path.display()
            ));
            name = whole.into_owned();
            if !taken.insert(name.clone()) {
                continue;
            }
        }
        voices.push(spec::Voice {
            name,
            source: spec::Source::Path(inside),
        });
    }
    voices
}

/// A folder that holds one `.aivm`, `.aivmx` or `.sbv2` and is no voice itself
/// stands for that file: so it is pulled.
fn within(path: &Path) -> PathBuf {
    if !path.is_dir() || path.join("config.json").symlink_metadata().is_ok() {
        return path.to_owned();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path());
    let mut files = files.filter(|file| !file.is_dir() && session::package::is_package(file));
    match (files.next(), files.next()) {
        (Some(only), None) => only,
        _ => path.to_owned(),
    }
}

impl Bert {
    fn read(
        self,
        name: &str,
        resolve: &impl Fn(PathBuf) -> PathBuf,
        document: &Document,
    ) -> Result<spec::Bert, ConfigError> {
        let unfit = |key: &str, cause: String| {
            let key = format!("bert.{name}{key}");
            document.unfit(Unfit { key, what: cause })
        };
        match (self.folder, self.graph, self.tokenizer) {
            (None, Some(graph), Some(tokenizer)) => Ok(spec::Bert {
                graph: spec::Source::Path(resolve(graph)),
                tokenizer: spec::Source::Path(resolve(tokenizer)),
            }),
            (Some(named), None, None) => {
                let path = resolve(named);
                let found = folder::find(&path).ok_or_else(|| {
                    let cause = format!(
                        "{} is no BERT: it wants `model.safetensors` or `pytorch_model.bin` with `config.json` and `vocab.txt`, or `model.onnx` with `tokenizer.json`",
                        path.display()
                    );
                    unfit(".folder", cause)
                })?;
                Ok(of_files(found))
            }
            _ => {
                let cause = "it wants `folder`, or `graph` and `tokenizer`".to_owned();
                Err(unfit("", cause).into())
            }
        }
    }
}

fn of_files(found: folder::Files) -> spec::Bert {
    spec::Bert {
        graph: spec::Source::Path(found.graph),
        tokenizer: spec::Source::Path(found.tokenizer),
    }
}

/// The only BERT near the voices, else of those that were pulled, else in the
/// cache of Hugging Face's own clients.
fn discover(
    voices: &Path,
    environment: &Environment,
    known: &mut BTreeMap<String, spec::Bert>,
    remarks: &mut Vec<String>,
) -> Option<String> {
    let near = voices.parent().map(Path::to_owned).unwrap_or_default();
    let snapshots = environment
        .hub_cache
        .join(format!("models--ku-nlp--{USUAL_BERT}/snapshots"));
    let places = [
        vec![voices.to_owned(), near.join("bert"), near.clone()],
        vec![environment.berts()],
        vec![snapshots.clone()],
    ];
    for place in places {
        let folders = place.iter().flat_map(|folder| visible(folder));
        let found: BTreeMap<_, _> = folders
            .filter_map(|folder| Some((folder.clone(), folder::find(&folder)?)))
            .filter(|(folder, files)| is_meant(folder, files))
            .collect();
        let of_usual_name = |(folder, _): &(&PathBuf, &folder::Files)| stem(folder) == USUAL_BERT;
        let chosen = match found.len() {
            0 => continue,
            1 => found.iter().next(),
            _ if place == [snapshots.clone()] => found.iter().next_back(),
            _ => found.iter().find(of_usual_name),
        };
        let Some((folder, files)) = chosen else {
            let names: Vec<_> = found.keys().map(|it| it.display().to_string()).collect();
            remarks.push(format!(
                "several BERTs were found ({}); `[bert.NAME]` with `folder` says which is meant",
                names.join(", ")
            ));
            break;
        };
        let name = match folder.starts_with(&snapshots) {
            true => USUAL_BERT.to_owned(),
            false => stem(folder),
        };
        known.insert(name.clone(), of_files(files.clone()));
        return Some(name);
    }
    remarks.push(
        "no BERT was found: voices speak with the one inside the program, which knows nothing of the language; `koemasu pull bert` fetches the one they were trained with"
            .to_owned(),
    );
    None
}

/// What is found unasked has to say what it is: tensors by their config, an
/// export by its folder's name.
fn is_meant(folder: &Path, files: &folder::Files) -> bool {
    let export = files.graph.extension().is_some_and(|it| it == "onnx");
    !export || stem(folder).contains("deberta")
}

fn visible(folder: &Path) -> Vec<PathBuf> {
    entries(folder, Place::default).unwrap_or_default()
}
