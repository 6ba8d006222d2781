//! From a [`Service`] as written to a [`Generation`] that could serve: compile,
//! open. Changes nothing that serves. What fails or takes too long is left out by
//! name and the rest goes on: one package must not stop the others.

use base16ct::lower::encode_string as encode_hex;
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use session::files;
use session::library::{Ready, Rules};
use sha2::{Digest, Sha256};
use speech::dictionary::{Dictionary, DictionaryFiles};
use speech::g2p::Frontend;
use speech::user::UserWords;
use tokio::sync::Notify;

use crate::apart::Apart;
use crate::dictionary::{self, DictionaryError};
use crate::document::{Document, Place};
use crate::events;
use crate::features::{BertModel, FeatureCache};
use crate::gate::{self, Gate};
use crate::generation::{Ended, Generation};
use crate::left_out::Kind;
use crate::lexicon::Words;
use crate::mixes::Mixes;
use crate::plan::Plan;
use crate::policy::{BucketStep, NormalizeStep};
use crate::spec::{Bert, Component, Memory, OnFailure, Pipeline, PluginRef, Service, Source};

/// Why the next generation cannot serve. The one that serves still does.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// This pipeline names something that is not there, or is itself not there.
    #[error("pipeline `{pipeline}`: {cause}")]
    Pipeline { pipeline: String, cause: String },
    /// The component is missing, is another one than was pinned, or failed its
    /// checks.
    #[error("plugin `{plugin}`: {cause}")]
    Plugin { plugin: String, cause: String },
    /// The voice cannot be opened, or failed its trial.
    #[error("voice `{voice}`: {cause}")]
    Voice { voice: String, cause: String },
    /// The BERT cannot be opened, or failed its trial.
    #[error("BERT model `{model}`: {cause}")]
    Bert { model: String, cause: String },
    /// The compiled dictionary of Japanese is missing or damaged.
    #[error("dictionary {}: {cause}; `cargo xtask setup` unpacks it", folder.display())]
    Dictionary { folder: PathBuf, cause: String },
    /// The user's words of a pipeline cannot be read, or one is no word.
    #[error("the dictionary {0}")]
    Words(String),
    /// The device that is wanted cannot be had.
    #[error("{0}")]
    Device(String),
    /// The policy asks for more than there is, or for what cannot be opened.
    #[error("the memory policy: {0}")]
    Memory(String),
    /// None is configured at all.
    #[error("there is no {what}")]
    Empty { what: &'static str },
    /// It was opened, and could not say a word.
    #[error("rehearsal: voice `{voice}` through pipeline `{pipeline}`: {cause}")]
    Rehearsal {
        /// The voice that was to speak.
        voice: String,
        /// The pipeline that it was to speak through.
        pipeline: String,
        /// As a caller would have been told.
        cause: crate::Error,
    },
    /// Something is configured, and all of it was left out: for each, why.
    #[error("nothing can serve: {0}")]
    Nothing(String),
    /// A voice cannot be loaded, and the operator wants all of them or none.
    #[error("`voices.strict` is on: {0}")]
    Strict(String),
    /// A disk or a file hangs. What waits for it goes on alone, until it ends.
    #[error(
        "{what} has not opened in {} s (`reload.package_timeout`); it is left behind", limit.as_secs()
    )]
    Late { what: String, limit: Duration },
    /// Ours to mend: a thread ended, or none could be started.
    #[error("preparing was cut short: {0}")]
    Lost(String),
    /// Where the operator has written what leads to it.
    #[error("{place}{error}")]
    At { place: Place, error: Box<Self> },
}

impl PrepareError {
    /// The outermost place is the first that was known.
    #[must_use]
    pub fn at(self, place: Place) -> Self {
        if matches!(self, Self::At { .. }) || place == Place::default() {
            return self;
        }
        let error = Box::new(self);
        Self::At { place, error }
    }
}

/// What outlives generations: the sandbox, the models' runtime, and what an
/// unchanged part of the next generation is carried over from.
pub(crate) struct Workshop {
    sandbox: Arc<plugin::Sandbox>,
    residency: session::residency::Residency,
    /// Never held while something is opened: what hangs must hang alone.
    carried: Mutex<Carried>,
    apart: Apart,
    /// Told when a generation has gone.
    pub(crate) ended: Arc<Notify>,
}

#[derive(Default)]
struct Carried {
    normalizers: BTreeMap<String, Weak<plugin::Normalizer>>,
    bucketers: BTreeMap<String, Weak<plugin::Bucketer>>,
    frontends: BTreeMap<String, Weak<Frontend>>,
    gate: Weak<Gate>,
    features: Option<(u64, FeatureCache)>,
}

/// What pipelines of one generation share, by what makes it what it is.
#[derive(Default)]
struct Tools {
    berts: BTreeMap<String, Arc<BertModel>>,
    normalizers: BTreeMap<String, Arc<plugin::Normalizer>>,
    bucketers: BTreeMap<String, Arc<plugin::Bucketer>>,
}

/// Each takes the memory of a voice or two while it lasts.
const TRIALS_MAX: usize = 4;

impl Workshop {
    pub(crate) fn residency(&self) -> &session::residency::Residency {
        &self.residency
    }

    /// What this place does not give, and what that costs.
    pub(crate) fn without(&self) -> Vec<String> {
        let compiled = self.sandbox.without_cache();
        let compiled =
            compiled.map(|why| format!("compiled plugins: each start compiles them again ({why})"));
        let models = self.residency.without_cache();
        let models = models.map(|why| {
            format!("model cache: archives are unpacked and templates tried at each start ({why})")
        });
        let pool = match self.sandbox.pool() {
            plugin::Pool::Tight => Some(
                "a pool of plugin instances: address space or the size of files is limited, each call is slower"
                    .to_owned(),
            ),
            plugin::Pool::Of(_) | plugin::Pool::None => None,
        };
        [compiled, models, pool].into_iter().flatten().collect()
    }

    /// What a policy says, with all it asks for opened.
    pub(crate) fn ready(&self, plugins: &Path, memory: &Memory) -> Result<Ready, PrepareError> {
        let ready = self.residency.ready(self.rules(plugins, memory)?);
        ready.map_err(|e| PrepareError::Memory(e.to_string()))
    }

    /// With the plugin it names loaded.
    fn rules(&self, plugins: &Path, memory: &Memory) -> Result<Rules, PrepareError> {
        let proposer = memory
            .plugin
            .as_ref()
            .map(|plugin| crate::evict::proposer(&self.sandbox, plugins, plugin).map(Arc::new));
        Ok(Rules {
            policy: memory.policy.clone(),
            proposer: proposer.transpose()?,
        })
    }

    pub(crate) fn new(
        sandbox: Arc<plugin::Sandbox>,
        residency: session::residency::Residency,
    ) -> Self {
        Self {
            sandbox,
            residency,
            carried: Mutex::default(),
            apart: Apart::default(),
            ended: Arc::default(),
        }
    }

    /// As [`ready`](Self::ready), within the time a package has.
    pub(crate) fn ready_in_time(
        self: &Arc<Self>,
        service: &Arc<Service>,
    ) -> Result<Ready, PrepareError> {
        let (this, of) = (Arc::clone(self), Arc::clone(service));
        let work = move || {
            let plugin = of.memory.plugin.as_ref();
            let key = ["memory", "eviction", "plugin"];
            let place = plugin.map(|plugin| of.plugin_place(&of.document, &key, plugin));
            let table = || of.document.place(&["memory"]);
            let ready = this.ready(&of.plugins, &of.memory);
            ready.map_err(|e| match e {
                PrepareError::Memory(_) => e.at(table()),
                e => e.at(place.unwrap_or_default()),
            })
        };
        self.within(service, "the plugin of the memory policy", work)
    }

    fn within<T: Send + 'static>(
        &self,
        service: &Service,
        what: &str,
        work: impl FnOnce() -> Result<T, PrepareError> + Send + 'static,
    ) -> Result<T, PrepareError> {
        self.within_limit(service, what, service.package_timeout.0, work)
    }

    /// For what opens models: their trial has a time of its own.
    fn within_trial<T: Send + 'static>(
        &self,
        service: &Service,
        what: &str,
        work: impl FnOnce() -> Result<T, PrepareError> + Send + 'static,
    ) -> Result<T, PrepareError> {
        let trial = match self.residency.tries() {
            true => service.models.trial.0,
            false => Duration::ZERO,
        };
        self.within_limit(service, what, service.package_timeout.0 + trial, work)
    }

    fn within_limit<T: Send + 'static>(
        &self,
        service: &Service,
        what: &str,
        limit: Duration,
        work: impl FnOnce() -> Result<T, PrepareError> + Send + 'static,
    ) -> Result<T, PrepareError> {
        let done = self.apart.within(what, limit, work);
        done.map_err(|error| match error {
            PrepareError::Late { .. } => {
                error.at(service.document.place(&["reload", "package_timeout"]))
            }
            error => error,
        })
    }

    /// Builds generation `number`. Slow: reads files, compiles, opens models.
    /// What cannot be built is left out by name; `old` lends what it has.
    pub(crate) fn build(
        self: &Arc<Self>,
        service: &Arc<Service>,
        number: NonZeroU64,
        old: Option<&Generation>,
    ) -> Result<Generation, PrepareError> {
        if service.voices.is_empty() {
            let place = service.document.place(&["voices", "folder"]);
            return Err(PrepareError::Empty { what: "voice" }.at(place));
        }
        if service.pipelines.is_empty() {
            let place = service.document.place(&["pipelines", "folder"]);
            return Err(PrepareError::Empty { what: "pipeline" }.at(place));
        }
        if !service.pipelines.contains_key(&service.default_pipeline) {
            let missing = PrepareError::Pipeline {
                pipeline: service.default_pipeline.clone(),
                cause: "it is the default and does not exist".to_owned(),
            };
            return Err(missing.at(service.document.place(&["pipelines", "default"])));
        }
        let settings = self
            .session_settings(service)
            .map_err(|e| e.at(service.document.place(&["models", "device"])))?;
        let tools = Arc::new(Mutex::new(Tools::default()));
        events::generation_born(number.get());
        let mut next = {
            let mut carried = self.carried();
            Generation {
                number,
                born: SystemTime::now(),
                plans: BTreeMap::new(),
                default_plan: service.default_pipeline.clone(),
                voices: BTreeMap::new(),
                mixes: self.mixes(service, &settings),
                features: carried.features(service.feature_cache.0),
                gate: carried.gate(service),
                device: settings.device,
                left_out: Vec::new(),
                requests: AtomicUsize::new(0),
                ended: Ended(Arc::clone(&self.ended)),
            }
        };

        let frontend = self.frontend_in_time(service, old, &mut next)?;
        for (name, spec) in &service.pipelines {
            let words = self.words_in_time(service, old, &mut next, name, &frontend);
            let (this, of, tools) = (Arc::clone(self), Arc::clone(service), Arc::clone(&tools));
            let (named, settings) = (name.clone(), settings.clone());
            let (frontend, spec) = (Arc::clone(&frontend), spec.clone());
            let work = move || this.plan(&of, &settings, &tools, named, spec, frontend, words);
            match self.within_trial(service, &format!("pipeline `{name}`"), work) {
                Ok(plan) => drop(next.plans.insert(name.clone(), Arc::new(plan))),
                Err(error) => next.leave_out(old, Kind::Pipeline, name, error.to_string()),
            }
        }
        self.examine(service, &settings);
        for voice in &service.voices {
            let (this, settings) = (Arc::clone(self), settings.clone());
            let (name, source) = (voice.name.clone(), voice.source.clone());
            let of = Arc::clone(service);
            let work = move || {
                let opened = this.residency.voice(&name, &source, &settings);
                opened.map_err(|e| {
                    let place = of.room_place(&e);
                    let cause = e.to_string();
                    PrepareError::Voice { voice: name, cause }.at(place)
                })
            };
            let name = &voice.name;
            match self.within_trial(service, &format!("voice `{name}`"), work) {
                Ok(opened) => drop(next.voices.insert(name.clone(), opened)),
                Err(error) => next.leave_out(old, Kind::Voice, name, error.to_string()),
            }
        }

        for name in service.memory.unknown_voices(&service.voices) {
            events::unknown_voice_in_policy(name);
        }
        events::remarks(&service.remarks);
        let tools = std::mem::take(&mut *lock(&tools));
        self.carried().keep(tools);
        Ok(next)
    }

    fn mixes(self: &Arc<Self>, service: &Service, settings: &session::Settings) -> Arc<Mixes> {
        let of = |voice: &crate::spec::Voice| match &voice.source {
            Source::Path(_) => Some((voice.name.clone(), voice.source.clone())),
            Source::Embedded(_) | Source::Merged(_) => None,
        };
        let sources = service.voices.iter().filter_map(of).collect();
        let (this, settings) = (Arc::clone(self), settings.clone());
        let open = move |name: &str, source: &Source| this.residency.voice(name, source, &settings);
        Arc::new(Mixes::new(service.mixes, sources, Box::new(open)))
    }

    /// Tries new voices side by side, one for each core. What comes of it is
    /// said when they are opened.
    fn examine(self: &Arc<Self>, service: &Service, settings: &session::Settings) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let voices = Mutex::new(service.voices.iter());
        std::thread::scope(|threads| {
            for _ in 0..cores.min(TRIALS_MAX).min(service.voices.len()) {
                threads.spawn(|| {
                    loop {
                        let Some(voice) = lock(&voices).next() else {
                            return;
                        };
                        let (this, settings) = (Arc::clone(self), settings.clone());
                        let (name, source) = (voice.name.clone(), voice.source.clone());
                        let work = move || {
                            let tried = this.residency.examine(&name, &source, &settings);
                            tried.map_err(|e| PrepareError::Voice {
                                voice: name,
                                cause: e.to_string(),
                            })
                        };
                        let what = format!("the trial of voice `{}`", voice.name);
                        // Said again, by name, when it is opened.
                        let _ = self.within_trial(service, &what, work);
                    }
                });
            }
        });
    }

    /// The dictionary that serves goes on if the new one cannot be read.
    fn frontend_in_time(
        self: &Arc<Self>,
        service: &Arc<Service>,
        old: Option<&Generation>,
        next: &mut Generation,
    ) -> Result<Arc<Frontend>, PrepareError> {
        let (this, folder) = (Arc::clone(self), service.dictionary.clone());
        let place = service.document.exactly(&["speech", "dictionary"]);
        let work = move || this.frontend(&folder).map_err(|e| e.at(place));
        let before = old.and_then(|old| old.plans.values().next());
        match (self.within(service, "the dictionary", work), before) {
            (Ok(frontend), _) => Ok(frontend),
            (Err(error), None) => Err(error),
            (Err(error), Some(plan)) => {
                let name = service.dictionary.display().to_string();
                next.leave_out(None, Kind::Dictionary, &name, error.to_string());
                Ok(Arc::clone(&plan.frontend))
            }
        }
    }

    /// A dictionary of the user's that is wrong leaves the words as they were,
    /// or none.
    fn words_in_time(
        self: &Arc<Self>,
        service: &Arc<Service>,
        old: Option<&Generation>,
        next: &mut Generation,
        pipeline: &str,
        frontend: &Arc<Frontend>,
    ) -> Arc<Words> {
        let file = service.pipelines[pipeline].dictionary.file.clone();
        let Some(file) = file else {
            return Arc::new(Words::new(frontend, UserWords::default()));
        };
        let (of, with) = (file.clone(), Arc::clone(frontend));
        let written = service.pipelines[pipeline].document.clone();
        let work = move || Ok(Arc::new(Words::new(&with, user_words(&of, &written)?)));
        let what = format!("the dictionary {}", file.display());
        let read = self.within(service, &what, work);
        read.unwrap_or_else(|error| {
            let name = file.display().to_string();
            let known = next.left_out.iter();
            let mut known = known.filter(|out| out.kind == Kind::Dictionary);
            if !known.any(|out| out.name == name) {
                next.leave_out(None, Kind::Dictionary, &name, error.to_string());
            }
            let before = old.and_then(|old| old.plans.get(pipeline));
            let before = before.filter(|plan| plan.spec.dictionary.file == Some(file));
            match before {
                Some(plan) => Arc::clone(&plan.words),
                None => Arc::new(Words::new(frontend, UserWords::default())),
            }
        })
    }

    #[expect(clippy::too_many_arguments, reason = "each is a part of the plan")]
    fn plan(
        &self,
        service: &Service,
        settings: &session::Settings,
        tools: &Mutex<Tools>,
        name: String,
        spec: Pipeline,
        frontend: Arc<Frontend>,
        words: Arc<Words>,
    ) -> Result<Plan, PrepareError> {
        Ok(Plan {
            bert: self.bert(service, settings, tools, &name, &spec)?,
            normalizers: self.normalizers(service, tools, &spec)?,
            bucketer: self.bucketer(service, tools, &spec)?,
            name,
            frontend,
            words,
            spec,
        })
    }

    /// A living handle of the same component and settings.
    fn find<T>(
        &self,
        tools: &Mutex<Tools>,
        key: &str,
        fresh: impl FnOnce(&Tools) -> &BTreeMap<String, Arc<T>>,
        carried: impl FnOnce(&Carried) -> &BTreeMap<String, Weak<T>>,
    ) -> Option<Arc<T>> {
        let found = fresh(&lock(tools)).get(key).map(Arc::clone);
        found.or_else(|| carried(&self.carried()).get(key).and_then(Weak::upgrade))
    }

    fn carried(&self) -> MutexGuard<'_, Carried> {
        lock(&self.carried)
    }

    fn frontend(&self, folder: &Path) -> Result<Arc<Frontend>, PrepareError> {
        let failed = |cause: String| PrepareError::Dictionary {
            folder: folder.to_owned(),
            cause,
        };
        let source = Source::Path(folder.to_owned());
        let key = source.fingerprint().map_err(|e| failed(e.to_string()))?;
        let known = self.carried().frontends.get(&key).and_then(Weak::upgrade);
        if let Some(frontend) = known {
            return Ok(frontend);
        }
        // In memory: a mapped file that shrinks ends the process.
        let read = |file: &str| -> Result<speech::dictionary::Blob, PrepareError> {
            let read = files::read(&folder.join(file), files::DICTIONARY_MAX);
            Ok(Arc::new(read.map_err(|e| failed(format!("{file}: {e}")))?))
        };
        let dictionary = Dictionary::new(DictionaryFiles {
            sys: read("sys.dic")?,
            unk: read("unk.dic")?,
            char: read("char.bin")?,
            matrix: read("matrix.bin")?,
        })
        .map_err(|e| failed(e.to_string()))?;
        if !source.fingerprint().is_ok_and(|after| after == key) {
            return Err(failed("it changed while it was read".to_owned()));
        }
        let frontend = Arc::new(Frontend::new(dictionary));
        let mut carried = self.carried();
        carried.frontends.retain(|_, it| it.strong_count() > 0);
        carried.frontends.insert(key, Arc::downgrade(&frontend));
        Ok(frontend)
    }

    fn session_settings(&self, service: &Service) -> Result<session::Settings, PrepareError> {
        let models = &service.models;
        let device = self
            .residency
            .device(models.device)
            .map_err(|e| PrepareError::Device(e.to_string()))?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let lanes = models.lanes.max(1);
        let threads = match (models.threads, device) {
            // What is left for the host are shapes.
            (0, session::device::Device::Cuda(_)) => 1,
            (0, session::device::Device::Cpu) => (cores / lanes).max(1),
            (threads, _) => threads,
        };
        Ok(session::Settings {
            device,
            lanes,
            threads,
            window: service.memory.policy.window as usize,
            slots: service.memory.policy.slots.max(lanes),
            prepack: service.memory.policy.prepack,
            tf32: models.tf32,
            pointwise: models.pointwise.on(device),
            layout: models.layout,
            ..session::Settings::default()
        })
    }

    fn bert(
        &self,
        service: &Service,
        settings: &session::Settings,
        tools: &Mutex<Tools>,
        pipeline: &str,
        spec: &Pipeline,
    ) -> Result<Arc<BertModel>, PrepareError> {
        let name = service.bert_of(spec);
        if let Some(model) = lock(tools).berts.get(name).map(Arc::clone) {
            return Ok(model);
        }
        let source = service.berts.get(name).ok_or_else(|| {
            let known: Vec<_> = service
                .berts
                .keys()
                .map(|name| format!("`{name}`"))
                .collect();
            let known = known.join(", ");
            let cause = match &spec.bert.model {
                Some(name) => format!(
                    "`bert.model` is `{name}`, which koemasu.toml does not define; it has {known}"
                ),
                None => format!("it names no `bert.model`, and there are several: {known}"),
            };
            let unknown = PrepareError::Pipeline {
                pipeline: pipeline.to_owned(),
                cause,
            };
            unknown.at(spec.document.place(&["bert", "model"]))
        })?;
        // One lane: BERT is a few percent of a request, and each lane would
        // hold its own copy of the weights.
        let settings = session::Settings {
            lanes: 1,
            precision: service.models.bert_precision,
            ..settings.clone()
        };
        if settings.precision == session::Precision::Int8
            && settings.device != session::device::Device::Cpu
        {
            let cause = "`models.bert_precision` is \"int8\", which only the processor has kernels for; on a GPU it is \"full\"".to_owned();
            let model = name.to_owned();
            let place = service.document.place(&["models", "bert_precision"]);
            return Err(PrepareError::Bert { model, cause }.at(place));
        }
        let failed = |e: session::Error| {
            let place = service.bert_place(name, source, &e);
            let cause = e.to_string();
            let model = name.to_owned();
            PrepareError::Bert { model, cause }.at(place)
        };
        let (graph, tokenizer) = (&source.graph, &source.tokenizer);
        let model = self
            .residency
            .bert(graph, tokenizer, &settings)
            .map_err(failed)?;
        // What all voices were trained with.
        if model.width() != session::bert::WIDTH {
            let cause = format!(
                "its features are {} wide, voices take {}",
                model.width(),
                session::bert::WIDTH
            );
            let wrong = PrepareError::Bert {
                model: name.to_owned(),
                cause,
            };
            return Err(wrong.at(service.document.exactly(&["bert", name])));
        }
        let model = Arc::new(BertModel {
            name: name.to_owned(),
            identity: Arc::from(model.identity()),
            model,
        });
        let mut tools = lock(tools);
        tools.berts.insert(name.to_owned(), Arc::clone(&model));
        Ok(model)
    }

    fn normalizers(
        &self,
        service: &Service,
        tools: &Mutex<Tools>,
        spec: &Pipeline,
    ) -> Result<Vec<NormalizeStep>, PrepareError> {
        let step = |plugin: &PluginRef| {
            let (key, source) = component(&service.plugins, plugin)?;
            let handle = match self.find(tools, &key, |it| &it.normalizers, |it| &it.normalizers) {
                Some(handle) => handle,
                None => Arc::new(
                    self.sandbox
                        .load_normalizer(source, &plugin.settings, &plugin.limits())
                        .map_err(|e| plugin_error(plugin, &e))?,
                ),
            };
            lock(tools).normalizers.insert(key, Arc::clone(&handle));
            Ok(NormalizeStep {
                name: plugin.component.name(),
                plugin: handle,
                on_failure: plugin.on_failure.unwrap_or(OnFailure::Closed),
            })
        };
        let plugins = spec.normalize.plugins.iter().enumerate();
        let placed = plugins.map(|(number, plugin)| {
            step(plugin).map_err(|e: PrepareError| {
                let key = ["normalize", "plugins", &number.to_string()];
                e.at(service.plugin_place(&spec.document, &key, plugin))
            })
        });
        placed.collect()
    }

    fn bucketer(
        &self,
        service: &Service,
        tools: &Mutex<Tools>,
        spec: &Pipeline,
    ) -> Result<Option<BucketStep>, PrepareError> {
        let Some(plugin) = &spec.bucket.plugin else {
            return Ok(None);
        };
        let place = || service.plugin_place(&spec.document, &["bucket", "plugin"], plugin);
        let (key, source) = component(&service.plugins, plugin).map_err(|e| e.at(place()))?;
        let handle = match self.find(tools, &key, |it| &it.bucketers, |it| &it.bucketers) {
            Some(handle) => handle,
            None => Arc::new(
                self.sandbox
                    .load_bucketer(source, &plugin.settings, &plugin.limits())
                    .map_err(|e| plugin_error(plugin, &e).at(place()))?,
            ),
        };
        lock(tools).bucketers.insert(key, Arc::clone(&handle));
        Ok(Some(BucketStep {
            name: plugin.component.name(),
            plugin: handle,
            on_failure: plugin.on_failure.unwrap_or(OnFailure::Builtin),
        }))
    }
}

impl Carried {
    /// Remembers what this generation uses; the rest goes with the last
    /// generation that used it.
    fn keep(&mut self, tools: Tools) {
        self.normalizers
            .retain(|_, handle| handle.strong_count() > 0);
        self.bucketers.retain(|_, handle| handle.strong_count() > 0);
        for (key, handle) in tools.normalizers {
            self.normalizers.insert(key, Arc::downgrade(&handle));
        }
        for (key, handle) in tools.bucketers {
            self.bucketers.insert(key, Arc::downgrade(&handle));
        }
    }

    fn gate(&mut self, service: &Service) -> Arc<Gate> {
        let rules = gate::Rules {
            answers: service.answers,
            lanes: service.models.lanes.max(1),
            wait: service.models.wait.0,
            queue: service.models.queue.0,
        };
        match self.gate.upgrade().filter(|gate| gate.is(rules)) {
            Some(gate) => gate,
            None => {
                let gate = Arc::new(Gate::new(rules));
                self.gate = Arc::downgrade(&gate);
                gate
            }
        }
    }

    fn features(&mut self, bytes_max: u64) -> FeatureCache {
        match &self.features {
            Some((bound, cache)) if *bound == bytes_max => cache.clone(),
            _ => {
                let cache = FeatureCache::new(bytes_max);
                self.features = Some((bytes_max, cache.clone()));
                cache
            }
        }
    }
}

fn user_words(file: &Path, pipeline: &Document) -> Result<UserWords, PrepareError> {
    let words = dictionary::open(file).and_then(|words| dictionary::check(&words));
    words.map_err(|e| {
        let words = PrepareError::Words(e.to_string());
        match e {
            DictionaryError::Unread(_) => words.at(pipeline.exactly(&["dictionary", "file"])),
            DictionaryError::Wrong(_) | DictionaryError::Whole(_) => words,
        }
    })
}

/// Where the operator has written what an error is about.
impl Service {
    /// Of a plugin, or of the folder in which it is looked for.
    fn plugin_place(&self, document: &Document, key: &[&str], plugin: &PluginRef) -> Place {
        let named = matches!(plugin.component, Component::Named(_));
        if named && !self.plugins.is_dir() {
            let folder = self.document.exactly(&["plugins", "folder"]);
            if folder != Place::default() {
                return folder;
            }
        }
        document.place(key)
    }

    /// Nowhere if it is not for want of room.
    fn room_place(&self, error: &session::Error) -> Place {
        use session::Error;
        match error {
            Error::NoRoom(_) | Error::NeverFits(_) | Error::Memory(_) => {
                self.document.place(&["memory", "budget"])
            }
            Error::OutOfMemory(_)
            | Error::NoWorkspace { .. }
            | Error::TooLarge { .. }
            | Error::TooLong { .. } => self.document.place(&["memory", "workspace"]),
            other => self.document.named_in(&other.to_string()),
        }
    }

    fn bert_place(&self, name: &str, bert: &Bert, error: &session::Error) -> Place {
        let room = self.room_place(error);
        if room != Place::default() {
            return room;
        }
        let tokenizer = match error {
            session::Error::Tokenizer(_) => true,
            session::Error::Package { path, .. } => {
                matches!(&bert.tokenizer, Source::Path(tokenizer) if tokenizer == path)
            }
            _ => false,
        };
        let key = if tokenizer { "tokenizer" } else { "graph" };
        self.document.exactly(&["bert", name, key])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The largest of ours has 3 MB.
const PLUGIN_BYTES_MAX: u64 = 256 << 20;

/// The component's bytes, and the key under which an equal one is carried
/// over: bytes, settings and limits.
pub(crate) fn component(
    folder: &Path,
    plugin: &PluginRef,
) -> Result<(String, plugin::Source), PrepareError> {
    let failed = |cause: String| PrepareError::Plugin {
        plugin: plugin.component.name(),
        cause,
    };
    let path = match &plugin.component {
        Component::Named(name) => folder.join(format!("{name}.wasm")),
        Component::File(path) => path.clone(),
    };
    let bytes = files::read(&path, PLUGIN_BYTES_MAX).map_err(|e| {
        failed(format!(
            "{}: {e}; first-party plugins are built by `cargo xtask setup`",
            path.display()
        ))
    })?;
    let digest = encode_hex(&Sha256::digest(&bytes));
    if let Some(pinned) = &plugin.sha256
        && *pinned != digest
    {
        return Err(failed(format!(
            "{} has sha256 {digest}, the pipeline pins {pinned}",
            path.display()
        )));
    }
    let source = plugin::Source {
        name: plugin.component.name(),
        bytes,
    };
    let key = format!("{digest} {} {:?}", plugin.settings, plugin.limits());
    Ok((key, source))
}

pub(crate) fn plugin_error(plugin: &PluginRef, error: &plugin::LoadError) -> PrepareError {
    PrepareError::Plugin {
        plugin: plugin.component.name(),
        cause: error.to_string(),
    }
}
