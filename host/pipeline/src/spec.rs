//! Pipelines as written: one struct per TOML table, unknown keys refused.
//!
//! Values only. Nothing here opens a file; [`crate::plan`] resolves the names.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use memory::MemoryPolicy;
use serde::de::{self, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Serialize, Serializer};
pub use session::Source;

use crate::answers::Answers;
use crate::document::{Document, Place, Unfit, Wrong};
use crate::mix::Limits as MixLimits;
use crate::range;
use crate::request::{Loudness, Split};
use crate::units::{Bytes, Span};

/// Everything one generation is made from, with every path already resolved.
#[derive(Clone, Debug)]
pub struct Service {
    /// By the names of their files, without `.toml`.
    pub pipelines: BTreeMap<String, Pipeline>,
    /// The pipeline of a request that names none.
    pub default_pipeline: String,
    /// Those that should be opened, wherever they lie.
    pub voices: Vec<Voice>,
    /// Whether one voice that cannot be loaded keeps the others from serving.
    pub strict: bool,
    /// By the names that pipelines use.
    pub berts: BTreeMap<String, Bert>,
    /// The BERT of pipelines that name none; empty if there are several.
    pub default_bert: String,
    /// What the operator should know of what was found, in sentences.
    pub remarks: Vec<String>,
    /// How sessions of models run.
    pub models: Models,
    /// How large answers may become.
    pub answers: Answers,
    /// What voices requests may mix.
    pub mixes: MixLimits,
    /// Folder in which a plugin named without a path is looked for.
    pub plugins: PathBuf,
    /// Folder of the compiled dictionary.
    pub dictionary: PathBuf,
    /// Bound of the BERT feature cache.
    pub feature_cache: Bytes,
    /// How memory is shared out.
    pub memory: Memory,
    /// How long one voice, pipeline or dictionary may take to open.
    pub package_timeout: Span,
    /// koemasu.toml, for what it names and is not there.
    pub document: Document,
}

impl Service {
    /// Drops every model but those inside the program, for work that needs
    /// pipelines and no sound.
    pub fn use_only_embedded(&mut self) {
        self.voices
            .retain(|voice| matches!(voice.source, Source::Embedded(_)));
        self.berts
            .retain(|_, bert| matches!(bert.graph, Source::Embedded(_)));
        if let Some(embedded) = self.berts.keys().next() {
            self.use_bert(&embedded.clone());
        }
    }

    /// Lets every pipeline have this BERT.
    pub fn use_bert(&mut self, name: &str) {
        name.clone_into(&mut self.default_bert);
        for pipeline in self.pipelines.values_mut() {
            pipeline.bert.model = None;
        }
    }

    /// The name of the BERT that a pipeline takes.
    pub fn bert_of<'s>(&'s self, pipeline: &'s Pipeline) -> &'s str {
        pipeline.bert.model.as_ref().unwrap_or(&self.default_bert)
    }
}

/// A voice as it is configured, before anybody has looked into it.
#[derive(Clone, Debug)]
pub struct Voice {
    /// Requests name it so.
    pub name: String,
    /// Its file or folder, in one of the forms that people have voices in.
    pub source: Source,
}

/// A BERT as it is configured.
#[derive(Clone, Debug)]
pub struct Bert {
    /// An ONNX file, whose weights may lie in others beside it; or Hugging
    /// Face's `model.safetensors` or `pytorch_model.bin` with `config.json`
    /// beside it.
    pub graph: Source,
    /// A `tokenizer.json` or a `vocab.txt` as Hugging Face has them.
    pub tokenizer: Source,
}

/// How model sessions run; `[models]` in koemasu.toml.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Models {
    /// The processor, a GPU, or whichever there is.
    pub device: session::device::Wanted,
    /// Model runs at the same time, over all voices.
    pub lanes: usize,
    /// Threads of one run; 0 means one for each core, shared by the lanes.
    pub threads: usize,
    /// How long a request waits for a free lane before it is told to come back.
    pub wait: Span,
    /// A request that would wait longer than this before it begins is told so
    /// at once.
    pub queue: Span,
    /// Whether a GPU may round what it multiplies to ten bits of fraction:
    /// faster, and heard by nobody, but no longer the same as elsewhere.
    pub tf32: bool,
    /// How convolutions of kernel 1 are computed.
    pub pointwise: Pointwise,
    /// Whether decoders run in blocks of channels, on a processor.
    pub layout: session::Layout,
    /// How every BERT's matrices are kept and multiplied with.
    pub bert_precision: session::Precision,
    /// How long a new voice or BERT may be tried, in a process of its own,
    /// before it counts as broken.
    pub trial: Span,
}

/// `models.pointwise`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pointwise {
    /// As products on a GPU, where a convolution plans anew for each length.
    Auto,
    /// As the voice's file has them.
    Conv,
    /// As products on every device.
    MatMul,
}

impl Pointwise {
    pub(crate) fn on(self, device: session::device::Device) -> session::Pointwise {
        match (self, device) {
            (Self::Conv, _) | (Self::Auto, session::device::Device::Cpu) => {
                session::Pointwise::Conv
            }
            (Self::MatMul, _) | (Self::Auto, session::device::Device::Cuda(_)) => {
                session::Pointwise::MatMul
            }
        }
    }
}

impl Models {
    /// What no type can say.
    pub fn check(&self) -> Result<(), Unfit> {
        for (name, number) in [("lanes", self.lanes), ("threads", self.threads)] {
            if number > RUNS_MAX {
                return Err(Unfit::new(
                    format!("models.{name}"),
                    format!("`models.{name}` is {number}; it is {RUNS_MAX} at most"),
                ));
            }
        }
        Ok(())
    }
}

/// More than any machine has cores for.
const RUNS_MAX: usize = 1_024;

impl Default for Models {
    fn default() -> Self {
        Self {
            device: session::device::Wanted::Auto,
            // One run over all cores ends sooner than two over half of them
            // and holds one set of weights per voice (BENCHMARKS.md, "Lanes").
            lanes: 1,
            threads: 0,
            wait: Span::seconds(60),
            // Well below a deadline of two minutes, so that what is begun is
            // also ended.
            queue: Span::seconds(30),
            tf32: false,
            pointwise: Pointwise::Auto,
            layout: session::Layout::Auto,
            bert_precision: session::Precision::Full,
            // The first real voice takes ninety seconds on two cores that have
            // nothing else to do, and a folder of them is tried at once.
            trial: Span::seconds(600),
        }
    }
}

/// `[memory]` in koemasu.toml: the policy, and the plugin that proposes
/// evictions, which only this crate can load.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Everything in the table but the plugin.
    pub policy: MemoryPolicy,
    /// None leaves evictions to the policy's own order.
    pub plugin: Option<PluginRef>,
}

/// As it would be written.
impl Serialize for Memory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (written, _) = self.policy.clone().exchange(self.plugin.clone());
        written.serialize(serializer)
    }
}

impl Memory {
    /// A policy on its own, as `PUT /admin/memory/policy` and `koemasu policy
    /// replay` take it: the table `[memory]`, or what is in it, as TOML or as
    /// the JSON that it serializes to.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        Self::read(&Document::unnamed(text))
    }

    /// The same of a file.
    pub fn read(document: &Document) -> Result<Self, SpecError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            memory: MemoryPolicy<PluginRef>,
        }
        if document.text().trim_start().starts_with('{') {
            let written = serde_json::from_str(document.text());
            let written = written.map_err(|e| SpecError::Json(e.to_string()))?;
            return Self::check(written).map_err(|unfit| SpecError::Json(unfit.what));
        }
        let table: toml::Table = document.read()?;
        let (written, within) = match table.contains_key("memory") {
            true => (document.read::<File>()?.memory, "memory."),
            false => (document.read()?, ""),
        };
        Self::check(written).map_err(|unfit| {
            let key = format!("{within}{}", unfit.key);
            document.unfit(Unfit { key, ..unfit }).into()
        })
    }

    /// What no type can say; its key is one of the table.
    pub fn check(written: MemoryPolicy<PluginRef>) -> Result<Self, Unfit> {
        written
            .check()
            .map_err(|wrong| Unfit::new(wrong.key, format!("`[memory]`: {}", wrong.what)))?;
        let (policy, plugin) = written.split();
        if let Some(plugin) = &plugin
            && matches!(plugin.on_failure, Some(OnFailure::Closed | OnFailure::Open))
        {
            return Err(Unfit::new(
                "eviction.plugin.on_failure",
                format!(
                    "plugin `{}`: when it fails, `memory.eviction.order` decides; `on_failure` is \"builtin\" or left out",
                    plugin.component.name()
                ),
            ));
        }
        Ok(Self { policy, plugin })
    }

    /// Where a policy's text names its plugin.
    pub fn plugin_place(document: &Document) -> Place {
        let within = document.exactly(&["memory", "eviction", "plugin"]);
        match within == Place::default() {
            true => document.exactly(&["eviction", "plugin"]),
            false => within,
        }
    }

    /// Voices that are pinned or ranked and not there: most likely misspelt.
    pub fn unknown_voices<'a>(&'a self, voices: &[Voice]) -> Vec<&'a str> {
        let eviction = &self.policy.eviction;
        let named = eviction.pins.iter().chain(eviction.priorities.keys());
        let unknown = |name: &&String| voices.iter().all(|voice| voice.name != **name);
        let mut unknown: Vec<_> = named.filter(unknown).map(String::as_str).collect();
        unknown.sort_unstable();
        unknown.dedup();
        unknown
    }
}

/// One `pipelines/NAME.toml`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// BCP 47 language of the texts it takes.
    pub language: String,
    /// Where a text is cut first.
    #[serde(default)]
    pub split: SplitTable,
    /// How text as written becomes text as read.
    #[serde(default)]
    pub normalize: Normalize,
    /// The user's own words.
    #[serde(default)]
    pub dictionary: DictionaryTable,
    /// The model that gives the features.
    #[serde(default)]
    pub bert: BertTable,
    /// How runs are padded.
    #[serde(default)]
    pub bucket: Bucket,
    /// How it is spoken where a request says nothing.
    #[serde(default)]
    pub synthesize: Synthesize,
    /// How the pieces become one answer.
    #[serde(default)]
    pub encode: Encode,
    /// What one request may ask.
    #[serde(default)]
    pub limits: Limits,
    /// As it is written, for what it names and is not there.
    #[serde(skip)]
    pub document: Document,
}

/// `[split]`: where a text is cut before anything else happens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SplitTable {
    /// A request may ask for another cut.
    pub by: Split,
    /// A longer sentence is cut at its commas, else where it must be.
    pub characters_max: usize,
}

impl Default for SplitTable {
    fn default() -> Self {
        Self {
            by: Split::Sentence,
            // About 15 s of speech: beyond it the flow's quadratic attention
            // is the peak of a request's memory.
            characters_max: 100,
        }
    }
}

/// `[normalize]`: sandboxed normalizers, applied in order.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Normalize {
    /// Each reads what the one before it wrote; none leaves texts as they are.
    pub plugins: Vec<PluginRef>,
}

/// `[dictionary]`: the user's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DictionaryTable {
    /// A `.toml` or `.csv` of words; it need not be there yet.
    pub file: Option<PathBuf>,
}

/// `[bert]`: the model that gives the features, by its name in koemasu.toml.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BertTable {
    /// One of `[bert]` in koemasu.toml, or the one inside the program. None is
    /// the only one there is.
    pub model: Option<String>,
}

/// `[bucket]`: the policy that chooses padded lengths.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bucket {
    /// None pads nothing.
    pub plugin: Option<PluginRef>,
    /// Padded lengths the policy may choose from; empty allows any.
    pub allowed: Allowed,
}

/// Lengths in tokens (synthesis) and in characters + 2 (BERT).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Allowed {
    /// Phonemes with their blanks.
    pub tokens: Vec<u32>,
    /// Characters with both marks.
    pub bert: Vec<u32>,
}

/// `[synthesize]`: what a request leaves open. SBV2's own defaults.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Synthesize {
    /// None is the voice's first style.
    pub style: Option<String>,
    /// 0 is the mean style, 1 the style as recorded.
    pub style_weight: f32,
    /// Speech rate, 1 as recorded.
    pub speed: f32,
    /// Share of the stochastic duration predictor, 0 to 1.
    pub sdp_ratio: f32,
    /// The graph's `noise_scale`: variation of the voice.
    pub noise: f32,
    /// The graph's `noise_scale_w`: variation of the durations.
    pub noise_w: f32,
}

impl Default for Synthesize {
    fn default() -> Self {
        Self {
            style: None,
            style_weight: 1.0,
            speed: 1.0,
            sdp_ratio: 0.2,
            noise: 0.6,
            noise_w: 0.8,
        }
    }
}

/// `[encode]`: from waves to one answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Encode {
    /// After each line but the last.
    pub silence_between_lines: Span,
    /// After each sentence within a line, beside the voice's own pause.
    pub silence_between_sentences: Span,
    /// Left out: `whole` for an answer in one piece, `running` for a stream.
    pub loudness: Option<Loudness>,
    /// Sound that is made before the reader of a stream has taken it; then
    /// the next sentence waits.
    pub read_ahead: Span,
}

impl Default for Encode {
    fn default() -> Self {
        Self {
            silence_between_lines: Span::millis(500),
            // A full stop already ends in the model's own pause.
            silence_between_sentences: Span::millis(150),
            loudness: None,
            // A sentence or two: nobody who listens runs dry, and a reader
            // who stops holds a few megabytes and nothing of the device.
            read_ahead: Span::seconds(20),
        }
    }
}

/// `[limits]`: what one request may ask of this pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The longest text, in characters, before it is split.
    pub characters_max: usize,
    /// From the request to its last sound, without waiting for the reader.
    pub deadline: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            characters_max: 1_000,
            deadline: Span::seconds(120),
        }
    }
}

/// A plugin, named (`"normalize-sbv2"`) or described (`{ path = "…" }`).
#[derive(Clone, Debug, PartialEq)]
pub struct PluginRef {
    /// Where the component's bytes are.
    pub component: Component,
    /// Hex sha256 the component must have.
    pub sha256: Option<String>,
    /// Handed to the plugin as its `config`.
    pub settings: serde_json::Value,
    /// None is `closed` for a normalizer, and `builtin` for other plugins.
    pub on_failure: Option<OnFailure>,
    /// Wall time of one call, where the usual one is too short for this
    /// machine. Instructions are the first limit, and the same everywhere.
    pub deadline: Option<Span>,
    /// Linear memory of an instance, 32 MiB at most.
    pub memory: Option<Bytes>,
}

impl PluginRef {
    /// `NAME.wasm` of the plugin folder, with its own defaults.
    pub fn named(name: &str) -> Result<Self, SpecError> {
        let named: Result<Self, toml::de::Error> = PluginVisitor.visit_str(name);
        named.map_err(|wrong| SpecError::Json(wrong.message().to_owned()))
    }

    /// What one call of this plugin may cost.
    pub(crate) fn limits(&self) -> plugin::Limits {
        let mut limits = plugin::Limits::default();
        if let Some(Span(deadline)) = self.deadline {
            limits.normalize_deadline = deadline;
            limits.choose_deadline = deadline;
            limits.propose_deadline = deadline;
        }
        if let Some(Bytes(memory)) = self.memory {
            limits.memory_bytes = usize::try_from(memory).unwrap_or(usize::MAX);
        }
        limits
    }
}

/// Of one request: a short novel.
const CHARACTERS_MAX: usize = 100_000;
const SILENCE_MAX: Span = Span::seconds(600);

/// What the sandbox reserves for an instance.
const MEMORY_MAX: Bytes = Bytes::mebibytes(32);

/// Where a plugin's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Component {
    /// `NAME.wasm` in the plugin folder.
    Named(String),
    /// A file; its sha256 must be given.
    File(PathBuf),
}

impl Component {
    /// The name used in logs and errors.
    pub fn name(&self) -> String {
        match self {
            Self::Named(name) => name.clone(),
            Self::File(path) => path
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default(),
        }
    }
}

/// What happens to a request when a plugin traps, overruns or fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// The request fails, naming the plugin.
    Closed,
    /// The stage is skipped and the answer says so.
    Open,
    /// The host's own rule takes its place.
    Builtin,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginTable {
    name: Option<String>,
    path: Option<PathBuf>,
    sha256: Option<String>,
    #[serde(default)]
    settings: toml::Table,
    on_failure: Option<OnFailure>,
    deadline: Option<Span>,
    memory: Option<Bytes>,
}

/// The table it could be written as.
impl Serialize for PluginRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Table<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            name: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            path: Option<&'a Path>,
            #[serde(skip_serializing_if = "Option::is_none")]
            sha256: Option<&'a str>,
            settings: &'a serde_json::Value,
            #[serde(skip_serializing_if = "Option::is_none")]
            on_failure: Option<OnFailure>,
            #[serde(skip_serializing_if = "Option::is_none")]
            deadline: Option<Span>,
            #[serde(skip_serializing_if = "Option::is_none")]
            memory: Option<Bytes>,
        }
        let (name, path) = match &self.component {
            Component::Named(name) => (Some(name.as_str()), None),
            Component::File(path) => (None, Some(path.as_path())),
        };
        let table = Table {
            name,
            path,
            sha256: self.sha256.as_deref(),
            settings: &self.settings,
            on_failure: self.on_failure,
            deadline: self.deadline,
            memory: self.memory,
        };
        table.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PluginRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand and not `untagged`, which would lose line, column and the
        // list of expected keys.
        deserializer.deserialize_any(PluginVisitor)
    }
}

struct PluginVisitor;

impl<'de> Visitor<'de> for PluginVisitor {
    type Value = PluginRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plugin's name, or a table with `name` or `path`")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<PluginRef, E> {
        Ok(PluginRef {
            component: Component::Named(plain_name(name)?),
            sha256: None,
            settings: serde_json::Value::Object(serde_json::Map::new()),
            on_failure: None,
            deadline: None,
            memory: None,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PluginRef, A::Error> {
        let table = PluginTable::deserialize(MapAccessDeserializer::new(map))?;
        let component = match (table.name, table.path) {
            (Some(name), None) => Component::Named(plain_name(&name)?),
            (None, Some(path)) if table.sha256.is_some() => Component::File(path),
            (None, Some(path)) => {
                return Err(de::Error::custom(format!(
                    "the plugin at {} needs its `sha256`: a file from elsewhere is pinned",
                    path.display()
                )));
            }
            (Some(_), Some(_)) | (None, None) => {
                return Err(de::Error::custom(
                    "a plugin has either a `name` or a `path`",
                ));
            }
        };
        if let Some(digest) = &table.sha256
            && !(digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            return Err(de::Error::custom("`sha256` is 64 hexadecimal digits"));
        }
        if let Some(memory) = table.memory
            && memory > MEMORY_MAX
        {
            return Err(de::Error::custom(format!(
                "`memory` is {memory}; an instance has {MEMORY_MAX} at most"
            )));
        }
        Ok(PluginRef {
            component,
            sha256: table.sha256.map(|digest| digest.to_ascii_lowercase()),
            settings: serde_json::to_value(table.settings).map_err(de::Error::custom)?,
            on_failure: table.on_failure,
            deadline: table.deadline,
            memory: table.memory,
        })
    }
}

/// A named plugin is one file of the plugin folder, never a way out of it.
fn plain_name<E: de::Error>(name: &str) -> Result<String, E> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        return Err(E::custom(format!(
            "`{name}` is no plugin name: letters, digits, `-`, `_` and `.`; a file is given by `path` and `sha256`"
        )));
    }
    Ok(name.to_owned())
}

impl Pipeline {
    /// Reads one pipeline. `allowed` is sorted and values are checked, so that
    /// whoever holds a `Pipeline` need not ask again.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        Self::read(Document::unnamed(text)).map_err(SpecError::Toml)
    }

    /// The same of a file.
    pub fn read(document: Document) -> Result<Self, Wrong> {
        let mut spec: Self = document.read()?;
        spec.bucket.allowed.tokens.sort_unstable();
        spec.bucket.allowed.bert.sort_unstable();
        spec.check().map_err(|unfit| document.unfit(unfit))?;
        spec.document = document;
        Ok(spec)
    }

    fn check(&self) -> Result<(), Unfit> {
        let say = &self.synthesize;
        for (name, value, range) in [
            ("style_weight", say.style_weight, range::STYLE_WEIGHT),
            ("speed", say.speed, range::SPEED),
            ("sdp_ratio", say.sdp_ratio, range::SDP_RATIO),
            ("noise", say.noise, range::NOISE),
            ("noise_w", say.noise_w, range::NOISE_W),
        ] {
            if !range.has(value) {
                return Err(Unfit::new(
                    format!("synthesize.{name}"),
                    format!("`synthesize.{name}` is {value}; it lies between {range}"),
                ));
            }
        }
        if self.split.characters_max < 10 {
            return Err(Unfit::new(
                "split.characters_max",
                "`split.characters_max` is at least 10",
            ));
        }
        if self.limits.characters_max == 0 {
            return Err(Unfit::new(
                "limits.characters_max",
                "`limits.characters_max` is at least 1",
            ));
        }
        for (name, characters) in [
            ("split.characters_max", self.split.characters_max),
            ("limits.characters_max", self.limits.characters_max),
        ] {
            if characters > CHARACTERS_MAX {
                return Err(Unfit::new(
                    name,
                    format!("`{name}` is {characters}; it is {CHARACTERS_MAX} at most"),
                ));
            }
        }
        for (name, span) in [
            (
                "encode.silence_between_lines",
                self.encode.silence_between_lines,
            ),
            (
                "encode.silence_between_sentences",
                self.encode.silence_between_sentences,
            ),
            ("encode.read_ahead", self.encode.read_ahead),
        ] {
            if span > SILENCE_MAX {
                return Err(Unfit::new(
                    name,
                    format!(
                        "`{name}` is {:?}; it is {:?} at most",
                        span.0, SILENCE_MAX.0
                    ),
                ));
            }
        }
        for (place, plugin) in self.normalize.plugins.iter().enumerate() {
            if plugin.on_failure == Some(OnFailure::Builtin) {
                return Err(Unfit::new(
                    format!("normalize.plugins.{place}.on_failure"),
                    format!(
                        "plugin `{}`: a normalizer has no built-in replacement; `on_failure` is \"closed\" or \"open\"",
                        plugin.component.name()
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// What cannot be read, with line, column and what is expected.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SpecError {
    /// It is no TOML, or a key or value does not belong.
    #[error(transparent)]
    Toml(#[from] Wrong),
    /// JSON, which tells its own place, or a name alone.
    #[error("{0}")]
    Json(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_policy_is_written_back_as_it_was_read() {
        let text = r#"
            [memory]
            budget = "6GiB"
            [memory.eviction]
            order = "cost"
            pins = ["haru"]
            plugin = { name = "evict-cost", settings = { recency = 0.5 }, deadline = "50ms" }
        "#;
        let memory = Memory::parse(text).expect("a policy");
        let plugin = memory.plugin.as_ref().expect("a plugin");
        assert_eq!(plugin.settings, serde_json::json!({"recency": 0.5}));
        let json = serde_json::to_string(&memory).expect("JSON");
        assert_eq!(Memory::parse(&json).expect("the same"), memory);
    }

    #[test]
    fn a_policy_may_come_without_its_table() {
        let bare = Memory::parse("slots = 3").expect("a policy");
        assert_eq!(
            bare,
            Memory::parse("[memory]\nslots = 3").expect("a policy")
        );
        assert_eq!(Memory::parse("").expect("a policy"), Memory::default());
        let error = Memory::parse("{\"slots\": 0}")
            .expect_err("refused")
            .to_string();
        assert!(error.contains("`slots` is at least 1"), "{error}");
        let error = Memory::parse("[memory]\nslots = 3\n[models]").expect_err("refused");
        assert!(
            error.to_string().contains("unknown field `models`"),
            "{error}"
        );
    }

    #[test]
    fn names_that_no_voice_has_are_found() {
        let text = "eviction = { pins = [\"haru\", \"hary\"], priorities = { hary = 1 } }";
        let memory = Memory::parse(text).expect("a policy");
        let voices = [Voice {
            name: "haru".to_owned(),
            source: Source::Embedded(&[]),
        }];
        assert_eq!(memory.unknown_voices(&voices), ["hary"]);
    }
}
