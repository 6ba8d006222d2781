//! Which files of a repository are the voice, or the BERT, that is meant.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::foreign::Foreign;
use crate::listing::Listed;
use crate::names;
use crate::source::{Kind, OnHub, PACKAGES};

const CONFIG: &str = "config.json";
const STYLES: &str = "style_vectors.npy";

/// Where training begins; such files do not speak.
const BASES: [&str; 4] = ["G_", "D_", "WD_", "DUR_"];

/// Folders or files that a message names.
const NAMED_MAX: usize = 20;

/// What is to be fetched.
#[derive(Clone, Debug)]
pub(crate) struct Choice<'a> {
    /// Their folder in the repository; empty at the root.
    pub(crate) folder: String,
    pub(crate) files: Vec<&'a Listed>,
}

/// Of a listing's files those that the source means; `file` is the model that
/// was asked for.
pub(crate) fn choose<'a>(
    files: &'a [Listed],
    hub: &OnHub,
    file: Option<&str>,
    page: &str,
) -> Result<Choice<'a>, Error> {
    match hub.kind {
        Kind::Voice => voice(files, hub, file, page),
        Kind::Bert if file.is_some() => Err(Error::NoChoice {
            from: Foreign::new("bert"),
        }),
        Kind::Bert => bert(files, hub),
    }
}

fn voice<'a>(
    files: &'a [Listed],
    hub: &OnHub,
    file: Option<&str>,
    page: &str,
) -> Result<Choice<'a>, Error> {
    let from = Foreign::new(&named(hub, &hub.path));
    // A path may name a file, which is a folder and a choice in it.
    let is_file = files.iter().any(|it| it.path == hub.path);
    let (scope, file) = match names::split(&hub.path) {
        (folder, name) if is_file => (folder, Some(file.unwrap_or(name))),
        _ => (hub.path.as_str(), file),
    };
    let folders = folders(files, scope, is_file);
    if folders.is_empty() && !hub.path.is_empty() {
        let page = Foreign::new(page);
        return Err(Error::NoPath { from, page });
    }
    let mut voices = BTreeMap::new();
    for (path, folder) in &folders {
        if let Some(models) = folder.models(file) {
            voices.insert(*path, (folder, models));
        }
    }
    // The folder that was named comes before those below it.
    let only = match voices.len() {
        1 => voices.first_key_value(),
        _ => voices.get_key_value(scope),
    };
    let Some((path, (folder, models))) = only else {
        return Err(match file {
            _ if !voices.is_empty() => several(hub, from, voices.keys()),
            Some(file) => Error::NoFile {
                from,
                file: Foreign::new(file),
            },
            None => Error::NoVoice {
                from,
                only_bases: folders.values().any(Folder::has_bases),
            },
        });
    };
    let model = best(models).map_err(|names| Error::SeveralModels {
        from: Foreign::new(&named(hub, path)),
        left_off: names.len().saturating_sub(NAMED_MAX),
        files: names
            .into_iter()
            .take(NAMED_MAX)
            .map(Foreign::new)
            .collect(),
    })?;
    Ok(Choice {
        folder: (*path).to_owned(),
        files: folder.with(model),
    })
}

fn several<'a>(
    hub: &OnHub,
    from: Foreign,
    folders: impl ExactSizeIterator<Item = &'a &'a str>,
) -> Error {
    Error::SeveralVoices {
        from,
        left_off: folders.len().saturating_sub(NAMED_MAX),
        folders: folders
            .take(NAMED_MAX)
            .map(|folder| Foreign::new(&named(hub, folder)))
            .collect(),
    }
}

/// As whoever wants it would write it.
fn named(hub: &OnHub, path: &str) -> String {
    let revision = hub.revision.as_ref().map(|it| it.replace('/', "%2F"));
    let revision = revision.map(|it| format!("@{it}")).unwrap_or_default();
    let slash = if path.is_empty() { "" } else { "/" };
    format!("hf:{}{revision}{slash}{path}", hub.id())
}

/// The files that lie in one folder, not those in folders below.
#[derive(Default)]
struct Folder<'a> {
    files: BTreeMap<&'a str, &'a Listed>,
}

/// A folder and those below it, or it alone.
fn folders<'a>(files: &'a [Listed], scope: &str, alone: bool) -> BTreeMap<&'a str, Folder<'a>> {
    let mut folders: BTreeMap<&str, Folder<'_>> = BTreeMap::new();
    for file in files {
        let (folder, name) = names::split(&file.path);
        let below = || {
            scope.is_empty()
                || folder
                    .strip_prefix(scope)
                    .is_some_and(|rest| rest.starts_with('/'))
        };
        if folder == scope || (!alone && below()) {
            folders.entry(folder).or_default().files.insert(name, file);
        }
    }
    folders
}

/// The models of a folder, of which one is to be chosen.
struct Models<'a> {
    /// A model lies beside its configuration, a package has it inside.
    packaged: bool,
    names: Vec<&'a str>,
}

impl<'a> Folder<'a> {
    /// If it has a voice: what its model could be. What is asked for by name
    /// may be anything that is a model.
    fn models(&self, file: Option<&str>) -> Option<Models<'a>> {
        let loose = self.files.contains_key(CONFIG) && self.files.contains_key(STYLES);
        let of = |endings: &[&str], packaged: bool| {
            let names = self.files.keys().copied();
            let names: Vec<_> = names
                .filter(|name| endings.contains(&extension(name)))
                // What could not lie here is not chosen.
                .filter(|name| names::check(name).is_ok())
                .filter(|name| file.map_or(!is_base(name), |file| file == *name))
                .collect();
            let fits = !names.is_empty() && (packaged || loose);
            fits.then_some(Models { packaged, names })
        };
        of(&["safetensors"], false)
            .or_else(|| of(&PACKAGES, true))
            .or_else(|| of(&["onnx"], false))
    }

    fn has_bases(&self) -> bool {
        let mut names = self.files.keys();
        names.any(|name| extension(name) == "safetensors" && is_base(name))
    }

    fn with(&self, model: Chosen<'_>) -> Vec<&'a Listed> {
        let beside: &[&str] = if model.packaged {
            &[]
        } else {
            &[CONFIG, STYLES]
        };
        let names = beside.iter().copied().chain([model.name]);
        names
            .filter_map(|name| self.files.get(name).copied())
            .collect()
    }
}

struct Chosen<'a> {
    packaged: bool,
    name: &'a str,
}

/// The only one, or the one that was trained longest; else all names.
fn best<'a>(models: &Models<'a>) -> Result<Chosen<'a>, Vec<&'a str>> {
    let packaged = models.packaged;
    let trained = |name: &str| name.rsplit_once('.').and_then(|(stem, _)| steps(stem));
    let longest = models.names.iter().max_by_key(|name| trained(name));
    match (models.names.as_slice(), longest) {
        ([name], _) => Ok(Chosen { packaged, name }),
        (_, Some(name)) if trained(name).is_some() => Ok(Chosen { packaged, name }),
        (names, _) => Err(names.to_vec()),
    }
}

/// How long a model was trained, by its name: `NAME_e100_s2000`.
fn steps(stem: &str) -> Option<u64> {
    let (rest, step) = stem.rsplit_once("_s")?;
    let (_, epoch) = rest.rsplit_once("_e")?;
    epoch.parse::<u64>().ok()?;
    step.parse().ok()
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

fn is_base(name: &str) -> bool {
    extension(name) == "safetensors" && BASES.iter().any(|base| name.starts_with(base))
}

fn bert<'a>(files: &'a [Listed], hub: &OnHub) -> Result<Choice<'a>, Error> {
    let find = |name: &str| files.iter().find(|file| file.path == name);
    let need = |name: &'static str| {
        find(name).ok_or_else(|| Error::NoBert {
            from: Foreign::new(&named(hub, "")),
            file: name,
        })
    };
    let mut chosen = vec![need(CONFIG)?, need("vocab.txt")?];
    chosen.extend(
        ["tokenizer_config.json", "tokenizer.json"]
            .into_iter()
            .filter_map(find),
    );
    chosen.push(match find("model.safetensors") {
        Some(weights) => weights,
        None => find("pytorch_model.bin").map_or_else(|| need("model.safetensors"), Ok)?,
    });
    Ok(Choice {
        folder: String::new(),
        files: chosen,
    })
}
