//! koemasu.toml, the environment and what set-up left → [`Config`].
//!
//! The one door: start, `koemasu check` and every reload come through
//! [`Config::load`]. It reads and checks; it opens no model.

mod environment;
mod merge;
mod models;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use memory::MemoryPolicy;
use pipeline::Answers;
use pipeline::document::{Document, OpenError, Place, Unfit, Wrong};
use pipeline::spec;
use pipeline::units::{Bytes, Span};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::http::access::KeySpec;
use crate::http::cors::Cors;
use crate::http::parts::{DIALECTS, Dialects};
use crate::http::shares::Network;

pub use environment::{Environment, HubEnvironment};
pub use merge::{Merge, Way};

/// Where configuration comes from, as the command line and environment say.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Named by the user; must exist.
    pub config: Option<PathBuf>,
    /// From the command line; it goes before `server.listen`.
    pub listen: Option<SocketAddr>,
    /// What the environment says beside it.
    pub environment: Environment,
}

impl Files {
    /// What the words on the command line and the environment name.
    pub fn named(config: Option<&Path>, listen: Option<SocketAddr>) -> Self {
        Self {
            config: config.map(Path::to_owned),
            listen,
            environment: Environment::read(),
        }
    }
}

/// What models there are, without anything else that a server needs.
#[derive(Debug)]
pub struct Shelf {
    /// Those that a server would open, wherever they lie.
    pub voices: Vec<spec::Voice>,
    /// By the names that pipelines use.
    pub berts: BTreeMap<String, spec::Bert>,
    /// The one of pipelines that name none.
    pub default_bert: String,
    /// What the operator should know, in sentences.
    pub remarks: Vec<String>,
    /// Where a server would listen.
    pub listen: SocketAddr,
    /// What admin routes ask for.
    pub admin_token: Option<String>,
}

impl Shelf {
    /// What a merge of these voices is made of; paths are as they are written.
    pub fn recipe(&self, merge: Merge) -> Result<session::package::Recipe, String> {
        let recipe = merge.recipe(&self.voices, &|path| path);
        recipe.map_err(|(key, what)| format!("`{key}`: {what}"))
    }

    /// Reads `[voices]` and `[bert]` of koemasu.toml, and looks into folders.
    pub fn look(files: &Files) -> Result<Self, ConfigError> {
        let (path, document, file): (_, _, File) = read_file(files)?;
        let environment = &files.environment;
        let resolve = resolving(path.as_deref());
        let found = models::find(
            &file.voices,
            file.bert,
            file.merge,
            environment,
            &resolve,
            &document,
        )?;
        Ok(Self {
            voices: found.voices,
            berts: found.berts,
            default_bert: found.default_bert,
            remarks: found.remarks,
            listen: files.listen.unwrap_or(file.server.listen),
            admin_token: environment.admin_token.clone().or(file.admin.token),
        })
    }
}

/// Everything that is configured, checked and with paths resolved.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bites at start.
    pub server: Server,
    /// Bites at the next reload, like keys and origins.
    pub entry: Entry,
    /// Bites at start.
    pub dialects: Dialects,
    /// Bites at start: one ONNX Runtime and one sandbox for the process.
    pub onnxruntime: PathBuf,
    /// Bites at start.
    pub compiled_cache: PathBuf,
    /// Unpacked archives, and what was found out about templates. Bites at
    /// start.
    pub model_cache: PathBuf,
    /// Bites at the next reload.
    pub service: spec::Service,
    /// What a change of should cause a reload.
    pub watched: Vec<PathBuf>,
    /// Where the admin token stands, if it is in a file.
    pub token_file: Option<PathBuf>,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Address and port that all dialects share which have no port of their
    /// own.
    pub listen: SocketAddr,
    /// Open connections, or as many as there are file descriptors for. For
    /// another one goes who has been waited for the longest.
    pub connections_max: usize,
    /// Of one address (IPv6: of one network of 64 bits).
    pub connections_per_address: usize,
    /// Addresses that many people share, such as a proxy's: what is bounded
    /// for each address is not for these.
    pub proxies: Vec<Network>,
    /// Speech requests taken in and not yet answered; more are told to come
    /// back.
    pub requests_max: usize,
    /// The same of one address (IPv6: of one network of 64 bits).
    pub requests_per_address: usize,
    /// Streams whose readers are slower than their sound is made; they hold
    /// some of it and a connection, but no place. A quarter of one address.
    pub readers_max: usize,
    /// The largest body, but for routes that say another bound.
    pub body_max: Bytes,
    /// All bodies that are held at a time.
    pub bodies_max: Bytes,
    /// The same of one address (IPv6: of one network of 64 bits).
    pub bodies_per_address: Bytes,
    /// A head of a request that has not come whole by then ends its connection.
    pub header_timeout: Span,
    /// For a body, and what it takes longer at `body_rate`.
    pub body_timeout: Span,
    /// In a second.
    pub body_rate: Bytes,
    /// How long a client may take nothing of its answer before the
    /// connection is closed.
    pub write_timeout: Span,
    /// How long requests may go on after a signal to stop.
    pub drain: Span,
    /// Reload when a configured file changes.
    pub watch: bool,
    /// Serve people on other machines who show no key.
    pub open: bool,
    /// Names by which a proxy or the network knows this server. Who shows no
    /// key must ask by one of them, by `localhost` or by an address: any other
    /// name may be one that a web page let point here.
    pub names: Vec<String>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            connections_max: 1_024,
            // A house full of browsers, and a quarter of what there is.
            connections_per_address: 256,
            // A proxy on this machine, and whoever sits at it.
            proxies: vec![Network::LOOPBACK_V4, Network::LOOPBACK_V6],
            requests_max: 64,
            // Nobody alone keeps the others out.
            requests_per_address: 32,
            // Some seconds of finished sound each: 2 MiB.
            readers_max: 256,
            body_max: Bytes(256 << 10),
            // Four of the largest there are, or a thousand usual ones.
            bodies_max: Bytes::mebibytes(256),
            bodies_per_address: Bytes::mebibytes(128),
            header_timeout: Span::seconds(10),
            body_timeout: Span::seconds(10),
            // Half a megabit: any line, and 64 MiB in 17 minutes.
            body_rate: Bytes(64 << 10),
            write_timeout: Span::seconds(60),
            drain: Span::seconds(30),
            watch: true,
            open: false,
            names: Vec::new(),
        }
    }
}

impl Server {
    /// What no type can say.
    fn check(&self) -> Result<(), Unfit> {
        for (name, number) in [
            ("connections_max", self.connections_max),
            ("requests_max", self.requests_max),
        ] {
            if !(1..=PLACES_MAX).contains(&number) {
                return Err(Unfit::new(
                    format!("server.{name}"),
                    format!("`server.{name}` is {number}; it lies between 1 and {PLACES_MAX}"),
                ));
            }
        }
        if self.readers_max > PLACES_MAX {
            return Err(Unfit::new(
                "server.readers_max",
                format!(
                    "`server.readers_max` is {}; it is {PLACES_MAX} at most",
                    self.readers_max
                ),
            ));
        }
        match (1..=BODY_MAX.0).contains(&self.body_max.0) {
            true => Ok(()),
            false => Err(Unfit::new(
                "server.body_max",
                format!(
                    "`server.body_max` is {}; it is more than 0 and {BODY_MAX} at most",
                    self.body_max
                ),
            )),
        }
    }
}

/// More descriptors than a process has.
const PLACES_MAX: usize = 1 << 20;
const BODY_MAX: Bytes = Bytes::mebibytes(64);

/// `[admin]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Without one, admin routes answer this machine only.
    pub token: Option<String>,
}

/// The tables of koemasu.toml that say who may ask. They are read apart from
/// all others, so that a key can be taken away whatever else is wrong.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// Who may administrate.
    pub admin: Admin,
    /// Who may speak; with none at all, nobody is asked for a key.
    pub keys: Vec<KeySpec>,
    /// Which web pages may ask.
    pub cors: Cors,
}

impl Entry {
    /// Reads and checks these tables alone.
    pub fn load(files: &Files) -> Result<Self, ConfigError> {
        let (_, document, mut entry): (_, _, Self) = read_file(files)?;
        check_keys(&entry.keys, &document)?;
        let own = files.environment.admin_token.clone();
        entry.admin.token = own.or(entry.admin.token);
        Ok(entry)
    }
}

/// koemasu.toml as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    server: Server,
    admin: Admin,
    keys: Vec<KeySpec>,
    cors: Cors,
    dialects: Dialects,
    onnxruntime: OnnxRuntime,
    speech: Speech,
    plugins: Plugins,
    pipelines: Pipelines,
    voices: models::Voices,
    merge: Vec<Merge>,
    bert: BTreeMap<String, models::Bert>,
    models: spec::Models,
    answers: Answers,
    mixes: pipeline::MixLimits,
    memory: MemoryPolicy<spec::PluginRef>,
    cache: Cache,
    reload: Reload,
}

/// `[reload]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Reload {
    /// How long one voice, pipeline or dictionary may take to open and to say
    /// its first word. What takes longer is left out by name, and the rest
    /// serves.
    package_timeout: Span,
}

impl Default for Reload {
    fn default() -> Self {
        // A voice of 250 MB from a disk of 5 MB/s is there after 50 s, and is
        // tried for half a minute when its kind is new.
        Self {
            package_timeout: Span::seconds(120),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct OnnxRuntime {
    /// One's own library instead of the one set-up fetched.
    library: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Speech {
    /// Folder of another compiled dictionary.
    dictionary: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Plugins {
    folder: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Pipelines {
    /// Every `NAME.toml` in it is a pipeline; without one, the built-in
    /// `ja` and `ja-sbv2`.
    folder: Option<PathBuf>,
    default: String,
}

impl Default for Pipelines {
    fn default() -> Self {
        Self {
            folder: None,
            default: "ja".to_owned(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Cache {
    /// Bound of the BERT features kept for texts that come again.
    features: Bytes,
}

impl Default for Cache {
    fn default() -> Self {
        // 4 KiB a character: some 60,000 characters of text.
        Self {
            features: Bytes::mebibytes(256),
        }
    }
}

/// What set-up wrote: `setup.toml` in the home folder.
#[derive(Debug, Deserialize)]
struct Setup {
    onnxruntime: SetupLibrary,
    dictionary: SetupFolder,
    plugins: SetupFolder,
}

#[derive(Debug, Deserialize)]
struct SetupLibrary {
    library: PathBuf,
}

#[derive(Debug, Deserialize)]
struct SetupFolder {
    folder: PathBuf,
}

/// Why there is no configuration to run with. The operator can act on each.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file or folder is not there, or cannot be read.
    #[error("{place}{}: {cause}", path.display())]
    Read {
        /// Of the key that names it.
        place: Place,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// A key or a value of koemasu.toml or of a pipeline does not belong.
    #[error(transparent)]
    Wrong(#[from] Wrong),
    /// Something that `cargo xtask setup` fetches or builds is needed and not
    /// configured.
    #[error("{place}{what} is missing ({} does not exist); run `cargo xtask setup`", path.display())]
    NotSetUp {
        /// Of the key that names it; nowhere if none does.
        place: Place,
        /// What is missing, in words.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The server would answer to strangers, and nobody has said that it
    /// should.
    #[error(
        "{place}{address} can be reached from other machines, and no key is asked for; add `[[keys]]` (`koemasu key` makes one), listen on 127.0.0.1, or say `server.open = true`"
    )]
    OpenToAll { place: Place, address: SocketAddr },
    /// Logs and metrics could not tell two keys apart.
    #[error("{place}two keys are called `{name}`; each has a name of its own")]
    KeyName { place: Place, name: String },
}

impl From<OpenError> for ConfigError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Wrong(wrong) => Self::Wrong(wrong),
            OpenError::Read { path, cause } => Self::Read {
                place: Place::default(),
                path,
                cause,
            },
        }
    }
}

/// The name of the voice and of the BERT inside the program.
pub const EMBEDDED_VOICE: &str = "demo";
/// Pipelines name the BERT inside the program so, in `bert.model`.
pub const EMBEDDED_BERT: &str = "embedded";

const VOICE: &[u8] = include_bytes!("../../../voices/demo/demo.aivmx");
const BERT: &[u8] = include_bytes!("../../../voices/demo/bert.onnx");
const TOKENIZER: &[u8] = include_bytes!("../../../voices/demo/tokenizer.json");
const PIPELINES: [(&str, &str); 2] = [
    ("ja", include_str!("../../../pipelines/ja.toml")),
    ("ja-sbv2", include_str!("../../../pipelines/ja-sbv2.toml")),
];

impl Config {
    /// Keeps the pipelines and, for every model, only the small one inside the
    /// program: reading a text needs no voice.
    pub fn without_models(mut self) -> Self {
        if self
            .service
            .voices
            .iter()
            .all(|voice| voice.name != EMBEDDED_VOICE)
        {
            self.service.voices.push(embedded_voice());
        }
        self.service.use_only_embedded();
        self
    }

    /// The first of its ports that other machines reach.
    pub(crate) fn reachable_from_afar(&self) -> Option<SocketAddr> {
        reachable_from_afar(&self.server, &self.dialects)
    }

    /// Reads koemasu.toml and all that it names, but no model. Start, reload
    /// and `koemasu check` all come through here.
    pub fn load(files: &Files) -> Result<Self, ConfigError> {
        let (path, document, file): (_, _, File) = read_file(files)?;
        let mut memory = checked(&document, &file)?;
        let resolve = resolving(path.as_deref());
        let setup = read_setup(&files.environment.home)?;
        let from_setup = |what, pick: fn(&Setup) -> &Path| match &setup {
            Some(setup) => Ok(pick(setup).to_owned()),
            None => Err(ConfigError::NotSetUp {
                place: Place::default(),
                what,
                path: files.environment.home.join("setup.toml"),
            }),
        };

        let own_library = files.environment.onnxruntime.clone();
        let onnxruntime = match own_library.or(file.onnxruntime.library.map(&resolve)) {
            Some(library) => library,
            None => from_setup("ONNX Runtime", |setup| &setup.onnxruntime.library)?,
        };
        let dictionary = match file.speech.dictionary {
            Some(folder) => resolve(folder),
            None => from_setup("the Japanese dictionary", |setup| &setup.dictionary.folder)?,
        };
        let plugins = match file.plugins.folder {
            Some(folder) => resolve(folder),
            None => from_setup("the plugin folder", |setup| &setup.plugins.folder)?,
        };

        let pipelines_folder = file.pipelines.folder.map(&resolve);
        let environment = &files.environment;
        let found = models::find(
            &file.voices,
            file.bert,
            file.merge,
            environment,
            &resolve,
            &document,
        )?;
        let pipelines = match &pipelines_folder {
            Some(folder) => read_pipelines(folder, &document)?,
            None => built_in_pipelines(&files.environment.data)?,
        };
        let dictionaries = pipelines.values().filter_map(|p| p.dictionary.file.clone());
        // Those of the built-in pipelines may have no folder yet.
        let dictionaries = dictionaries.filter(|file| file.parent().is_none_or(Path::is_dir));
        let token_file = path.clone().filter(|_| file.admin.token.is_some());
        let watched = path
            .into_iter()
            .chain(dictionaries)
            .chain(pipelines_folder.clone())
            .chain(found.watched)
            .chain(Some(plugins.clone()))
            .collect();

        resolve_memory(&mut memory, &resolve);
        let mut server = file.server;
        server.listen = files.listen.unwrap_or(server.listen);
        let mut admin = file.admin;
        admin.token = files.environment.admin_token.clone().or(admin.token);
        let mut dialects = file.dialects;
        for path in [
            &mut dialects.sbv2.audio_folder,
            &mut dialects.voicevox.presets,
        ] {
            *path = path.take().map(&resolve);
        }
        check_open(&server, &dialects, &file.keys, &document)?;

        Ok(Self {
            server,
            entry: Entry {
                admin,
                keys: file.keys,
                cors: file.cors,
            },
            dialects,
            onnxruntime,
            compiled_cache: files.environment.home.join("compiled"),
            model_cache: files.environment.home.join("models"),
            watched,
            token_file,
            service: spec::Service {
                pipelines,
                default_pipeline: file.pipelines.default,
                voices: found.voices,
                strict: file.voices.strict,
                berts: found.berts,
                default_bert: found.default_bert,
                remarks: found.remarks,
                models: file.models,
                answers: file.answers,
                mixes: file.mixes,
                plugins,
                dictionary,
                feature_cache: file.cache.features,
                memory,
                package_timeout: file.reload.package_timeout,
                document,
            },
        })
    }
}

/// Whether settings can be read, before anything that they name.
pub(crate) fn reads(document: &Document) -> bool {
    let file = document.read::<File>();
    file.is_ok_and(|file| checked(document, &file).is_ok())
}

/// What no type can say; and `[memory]`, sound.
fn checked(document: &Document, file: &File) -> Result<spec::Memory, Wrong> {
    let unfit = |unfit| document.unfit(unfit);
    file.answers.check().map_err(unfit)?;
    file.models.check().map_err(unfit)?;
    file.mixes.check().map_err(unfit)?;
    file.server.check().map_err(unfit)?;
    spec::Memory::check(file.memory.clone()).map_err(|wrong| {
        let key = format!("memory.{}", wrong.key);
        unfit(Unfit { key, ..wrong })
    })
}

/// Nothing is open to the world unless somebody says so.
pub(crate) fn check_open(
    server: &Server,
    dialects: &Dialects,
    keys: &[KeySpec],
    document: &Document,
) -> Result<(), ConfigError> {
    check_keys(keys, document)?;
    match reachable_from_afar(server, dialects) {
        Some(address) if keys.is_empty() && !server.open => Err(ConfigError::OpenToAll {
            place: listen_place(address, dialects, document),
            address,
        }),
        Some(_) | None => Ok(()),
    }
}

/// The first port that other machines reach.
fn reachable_from_afar(server: &Server, dialects: &Dialects) -> Option<SocketAddr> {
    let apart = dialects.apart();
    let listens = apart.iter().map(|(address, _)| *address);
    let far = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
    std::iter::once(server.listen).chain(listens).find(far)
}

/// Nowhere if the command line says it.
fn listen_place(address: SocketAddr, dialects: &Dialects, document: &Document) -> Place {
    let mut parts = DIALECTS.iter();
    match parts.find(|part| dialects.listens(**part) == (true, Some(address))) {
        Some(part) => document.place(&["dialects", part.name(), "listen"]),
        None => document.exactly(&["server", "listen"]),
    }
}

fn check_keys(keys: &[KeySpec], document: &Document) -> Result<(), ConfigError> {
    for (number, key) in keys.iter().enumerate() {
        if keys[..number].iter().any(|other| other.name == key.name) {
            return Err(ConfigError::KeyName {
                place: document.place(&["keys", &number.to_string(), "name"]),
                name: key.name.clone(),
            });
        }
    }
    Ok(())
}

/// Paths in a file are relative to that file.
fn resolving(file: Option<&Path>) -> impl Fn(PathBuf) -> PathBuf + use<> {
    let base = file.and_then(Path::parent).map(Path::to_owned);
    move |path| match &base {
        Some(base) => base.join(path),
        None => path,
    }
}

/// Of one file of settings; nobody writes a hundredth by hand.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The named file, else ./koemasu.toml if there is one, else the defaults.
fn read_file<T: Default + DeserializeOwned>(
    files: &Files,
) -> Result<(Option<PathBuf>, Document, T), ConfigError> {
    let path = match &files.config {
        Some(path) => path.clone(),
        None => {
            let usual = PathBuf::from("koemasu.toml");
            if !usual.exists() {
                return Ok((None, Document::default(), T::default()));
            }
            usual
        }
    };
    let document = Document::open(&path, FILE_BYTES_MAX)?;
    let file = document.read()?;
    // Absolute, so that its folder is known to the file watcher as well.
    let path = std::path::absolute(&path).unwrap_or(path);
    Ok((Some(path), document, file))
}

fn read_setup(home: &Path) -> Result<Option<Setup>, ConfigError> {
    let path = home.join("setup.toml");
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(Document::open(&path, FILE_BYTES_MAX)?.read()?))
}

fn built_in_pipelines(data: &Path) -> Result<BTreeMap<String, spec::Pipeline>, ConfigError> {
    let built_in = PIPELINES.iter().map(|(name, text)| {
        let document = Document::named(format!("pipelines/{name}.toml"), *text);
        let mut pipeline = spec::Pipeline::read(document)?;
        // So that words can be taught to a server nobody has configured.
        let words = data.join("dictionaries").join(format!("{name}.toml"));
        pipeline.dictionary.file.get_or_insert(words);
        Ok(((*name).to_owned(), pipeline))
    });
    built_in.collect()
}

fn read_pipelines(
    folder: &Path,
    document: &Document,
) -> Result<BTreeMap<String, spec::Pipeline>, ConfigError> {
    let mut pipelines = BTreeMap::new();
    for path in entries(folder, || document.place(&["pipelines", "folder"]))? {
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let mut pipeline = spec::Pipeline::read(Document::open(&path, FILE_BYTES_MAX)?)?;
        resolve_plugins(&mut pipeline, folder);
        pipelines.insert(stem(&path), pipeline);
    }
    Ok(pipelines)
}

/// Plugin paths are relative to the pipeline file, as every path is to the
/// file that names it.
fn resolve_plugins(pipeline: &mut spec::Pipeline, base: &Path) {
    let normalizers = pipeline.normalize.plugins.iter_mut();
    for plugin in normalizers.chain(&mut pipeline.bucket.plugin) {
        if let spec::Component::File(path) = &mut plugin.component {
            *path = base.join(&*path);
        }
    }
    if let Some(file) = &mut pipeline.dictionary.file {
        *file = base.join(&*file);
    }
}

fn resolve_memory(memory: &mut spec::Memory, resolve: &impl Fn(PathBuf) -> PathBuf) {
    if let Some(plugin) = &mut memory.plugin
        && let spec::Component::File(path) = &mut plugin.component
    {
        *path = resolve(std::mem::take(path));
    }
    let trace = &mut memory.policy.trace.file;
    *trace = trace.take().map(resolve);
}

/// The voice inside the program: small, for a first sound and for tests.
pub fn embedded_voice() -> spec::Voice {
    spec::Voice {
        name: EMBEDDED_VOICE.to_owned(),
        source: spec::Source::Embedded(VOICE),
    }
}

/// The BERT that the voice inside the program was made with.
fn embedded_bert() -> spec::Bert {
    spec::Bert {
        graph: spec::Source::Embedded(BERT),
        tokenizer: spec::Source::Embedded(TOKENIZER),
    }
}

/// The visible entries of a folder, sorted; `place` is where it is named.
fn entries(folder: &Path, place: impl Fn() -> Place) -> Result<Vec<PathBuf>, ConfigError> {
    let failed = |cause| ConfigError::Read {
        place: place(),
        path: folder.to_owned(),
        cause,
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// By this name a voice or a pipeline goes: that of a folder, or of a file
/// without its extension.
pub fn stem(path: &Path) -> String {
    let stem = if path.is_dir() {
        path.file_name()
    } else {
        path.file_stem()
    };
    stem.map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_open_to_the_world_unless_somebody_says_so() {
        let key: KeySpec =
            toml::from_str(&format!("name = \"bot\"\nsha256 = \"{}\"", "00".repeat(32)))
                .expect("a key");
        let near = Server::default();
        let far = Server {
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            ..Server::default()
        };
        let open = Server {
            open: true,
            ..far.clone()
        };
        let shared = Dialects::default();
        let apart: Dialects =
            toml::from_str("[voicevox]\nlisten = \"192.0.2.1:50021\"").expect("dialects");
        let keys = std::slice::from_ref(&key);
        let nowhere = Document::default();
        assert!(check_open(&near, &shared, &[], &nowhere).is_ok());
        assert!(check_open(&far, &shared, keys, &nowhere).is_ok());
        assert!(check_open(&open, &apart, &[], &nowhere).is_ok());
        for (server, dialects) in [(&far, &shared), (&near, &apart)] {
            let refused = check_open(server, dialects, &[], &nowhere).expect_err("no key");
            assert!(
                matches!(refused, ConfigError::OpenToAll { .. }),
                "{refused}"
            );
        }
        let twice = check_open(&near, &shared, &[key.clone(), key], &nowhere);
        assert!(matches!(twice, Err(ConfigError::KeyName { .. })));
    }
}
