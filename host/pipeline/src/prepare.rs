//! From a [`Service`] as written to a [`Generation`] that could serve: compile,
//! open, rehearse. May fail at any line and changes nothing that serves.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use session::library::Rules;
use sha2::{Digest, Sha256};
use speech::dictionary::{Dictionary, DictionaryFiles};
use speech::g2p::Frontend;
use speech::user::UserWords;

use crate::events;
use crate::features::{BertModel, FeatureCache};
use crate::gate::{self, Gate};
use crate::generation::Generation;
use crate::lexicon::{self, Words};
use crate::plan::Plan;
use crate::policy::{BucketStep, NormalizeStep};
use crate::spec::{Component, Memory, OnFailure, Pipeline, PluginRef, Service, Source};

/// Why the next generation cannot serve. The one that serves still does.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    #[error("pipeline `{pipeline}`: {cause}")]
    Pipeline { pipeline: String, cause: String },
    #[error("plugin `{plugin}`: {cause}")]
    Plugin { plugin: String, cause: String },
    #[error("voice `{voice}`: {cause}")]
    Voice { voice: String, cause: String },
    #[error("BERT model `{model}`: {cause}")]
    Bert { model: String, cause: String },
    #[error("dictionary {}: {cause}; `cargo xtask setup` unpacks it", folder.display())]
    Dictionary { folder: PathBuf, cause: String },
    #[error("{0}")]
    Device(String),
    #[error("there is no {what}")]
    Empty { what: &'static str },
    #[error("rehearsal: voice `{voice}` through pipeline `{pipeline}`: {cause}")]
    Rehearsal {
        voice: String,
        pipeline: String,
        cause: crate::Error,
    },
    #[error("preparing was cut short: {0}")]
    Lost(String),
}

/// What outlives generations: the sandbox, the models' runtime, and what an
/// unchanged part of the next generation is carried over from.
pub(crate) struct Workshop {
    sandbox: Arc<plugin::Sandbox>,
    residency: session::residency::Residency,
    carried: Mutex<Carried>,
}

#[derive(Default)]
struct Carried {
    normalizers: BTreeMap<String, Weak<plugin::Normalizer>>,
    bucketers: BTreeMap<String, Weak<plugin::Bucketer>>,
    frontends: BTreeMap<PathBuf, Weak<Frontend>>,
    gate: Weak<Gate>,
    features: Option<(u64, FeatureCache)>,
}

/// Plugins built once for a generation, by what makes them what they are.
#[derive(Default)]
struct Tools {
    normalizers: BTreeMap<String, Arc<plugin::Normalizer>>,
    bucketers: BTreeMap<String, Arc<plugin::Bucketer>>,
}

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
                "a pool of plugin instances: address space is limited, each call is slower"
                    .to_owned(),
            ),
            plugin::Pool::Of(_) | plugin::Pool::None => None,
        };
        [compiled, models, pool].into_iter().flatten().collect()
    }

    /// What a policy says, with the plugin it names loaded.
    pub(crate) fn rules(&self, plugins: &Path, memory: &Memory) -> Result<Rules, PrepareError> {
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
        }
    }

    /// Builds generation `number`. Slow: reads files, compiles, opens models.
    pub(crate) fn build(
        &self,
        service: &Service,
        number: NonZeroU64,
    ) -> Result<Generation, PrepareError> {
        if service.voices.is_empty() {
            return Err(PrepareError::Empty { what: "voice" });
        }
        if service.pipelines.is_empty() {
            return Err(PrepareError::Empty { what: "pipeline" });
        }
        let mut carried = self.carried.lock().unwrap_or_else(PoisonError::into_inner);

        let frontend = carried.frontend(&service.dictionary)?;
        let settings = self.session_settings(service)?;
        let mut tools = Tools::default();
        let mut berts = BTreeMap::new();
        let mut plans = BTreeMap::new();
        for (name, spec) in &service.pipelines {
            let bert = self.bert(service, &settings, &mut berts, name, spec)?;
            let words = Arc::new(Words::new(&frontend, user_words(name, spec)?));
            let plan = Plan {
                name: name.clone(),
                normalizers: self.normalizers(service, &carried, &mut tools, spec)?,
                bucketer: self.bucketer(service, &carried, &mut tools, spec)?,
                frontend: Arc::clone(&frontend),
                words,
                bert,
                spec: spec.clone(),
            };
            plans.insert(name.clone(), Arc::new(plan));
        }
        if !plans.contains_key(&service.default_pipeline) {
            return Err(PrepareError::Pipeline {
                pipeline: service.default_pipeline.clone(),
                cause: "it is the default and does not exist".to_owned(),
            });
        }

        let mut voices = BTreeMap::new();
        for voice in &service.voices {
            let opened = self
                .residency
                .voice(&voice.name, &model_source(&voice.source), &settings)
                .map_err(|e| PrepareError::Voice {
                    voice: voice.name.clone(),
                    cause: e.to_string(),
                })?;
            voices.insert(voice.name.clone(), opened);
        }

        for name in service.memory.unknown_voices(&service.voices) {
            events::unknown_voice_in_policy(name);
        }
        carried.keep(tools);
        events::generation_born(number.get());
        Ok(Generation {
            number,
            born: SystemTime::now(),
            plans,
            default_plan: service.default_pipeline.clone(),
            voices,
            features: carried.features(service.feature_cache.0),
            gate: carried.gate(service),
            device: settings.device,
            requests: AtomicUsize::new(0),
        })
    }

    fn session_settings(&self, service: &Service) -> Result<session::Settings, PrepareError> {
        let models = &service.models;
        let device = self
            .residency
            .device(models.device)
            .map_err(|e| PrepareError::Device(e.to_string()))?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let lanes = models.lanes.max(1);
        let threads = match models.threads {
            0 => (cores / lanes).max(1),
            threads => threads,
        };
        Ok(session::Settings {
            device,
            lanes,
            threads,
            window: service.memory.policy.window as usize,
            slots: service.memory.policy.slots.max(lanes),
            prepack: service.memory.policy.prepack,
            ..session::Settings::default()
        })
    }

    fn bert(
        &self,
        service: &Service,
        settings: &session::Settings,
        opened: &mut BTreeMap<String, Arc<BertModel>>,
        pipeline: &str,
        spec: &Pipeline,
    ) -> Result<Arc<BertModel>, PrepareError> {
        let name = &spec.bert.model;
        if let Some(model) = opened.get(name) {
            return Ok(Arc::clone(model));
        }
        let source = service.berts.get(name).ok_or_else(|| {
            let known: Vec<_> = service
                .berts
                .keys()
                .map(|name| format!("`{name}`"))
                .collect();
            PrepareError::Pipeline {
                pipeline: pipeline.to_owned(),
                cause: format!(
                    "`bert.model` is `{name}`, which koemasu.toml does not define; it has {}",
                    known.join(", ")
                ),
            }
        })?;
        // One lane: BERT is a few percent of a request, and each lane would
        // hold its own copy of the weights.
        let settings = session::Settings {
            lanes: 1,
            ..settings.clone()
        };
        let failed = |e: session::Error| PrepareError::Bert {
            model: name.clone(),
            cause: e.to_string(),
        };
        let (graph, tokenizer) = (model_source(&source.graph), model_source(&source.tokenizer));
        let model = self
            .residency
            .bert(&graph, &tokenizer, &settings)
            .map_err(failed)?;
        let model = Arc::new(BertModel {
            name: name.clone(),
            identity: Arc::from(model.identity()),
            model,
        });
        opened.insert(name.clone(), Arc::clone(&model));
        Ok(model)
    }

    fn normalizers(
        &self,
        service: &Service,
        carried: &Carried,
        tools: &mut Tools,
        spec: &Pipeline,
    ) -> Result<Vec<NormalizeStep>, PrepareError> {
        let step = |plugin: &PluginRef| {
            let (key, source) = component(&service.plugins, plugin)?;
            let handle = match carried.find(&carried.normalizers, &tools.normalizers, &key) {
                Some(handle) => handle,
                None => Arc::new(
                    self.sandbox
                        .load_normalizer(source, &plugin.settings, &plugin.limits())
                        .map_err(|e| plugin_error(plugin, &e))?,
                ),
            };
            tools.normalizers.insert(key, Arc::clone(&handle));
            Ok(NormalizeStep {
                name: plugin.component.name(),
                plugin: handle,
                on_failure: plugin.on_failure.unwrap_or(OnFailure::Closed),
            })
        };
        spec.normalize.plugins.iter().map(step).collect()
    }

    fn bucketer(
        &self,
        service: &Service,
        carried: &Carried,
        tools: &mut Tools,
        spec: &Pipeline,
    ) -> Result<Option<BucketStep>, PrepareError> {
        let Some(plugin) = &spec.bucket.plugin else {
            return Ok(None);
        };
        let (key, source) = component(&service.plugins, plugin)?;
        let handle = match carried.find(&carried.bucketers, &tools.bucketers, &key) {
            Some(handle) => handle,
            None => Arc::new(
                self.sandbox
                    .load_bucketer(source, &plugin.settings, &plugin.limits())
                    .map_err(|e| plugin_error(plugin, &e))?,
            ),
        };
        tools.bucketers.insert(key, Arc::clone(&handle));
        Ok(Some(BucketStep {
            name: plugin.component.name(),
            plugin: handle,
            on_failure: plugin.on_failure.unwrap_or(OnFailure::Builtin),
        }))
    }
}

impl Carried {
    /// A living handle of the same component and settings.
    fn find<T>(
        &self,
        carried: &BTreeMap<String, Weak<T>>,
        fresh: &BTreeMap<String, Arc<T>>,
        key: &str,
    ) -> Option<Arc<T>> {
        fresh
            .get(key)
            .map(Arc::clone)
            .or_else(|| carried.get(key).and_then(Weak::upgrade))
    }

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

    fn frontend(&mut self, folder: &Path) -> Result<Arc<Frontend>, PrepareError> {
        if let Some(frontend) = self.frontends.get(folder).and_then(Weak::upgrade) {
            return Ok(frontend);
        }
        let failed = |cause: String| PrepareError::Dictionary {
            folder: folder.to_owned(),
            cause,
        };
        let map = |file: &str| -> Result<speech::dictionary::Blob, PrepareError> {
            let path = folder.join(file);
            let mapped =
                session::native::Mapped::open(&path).map_err(|e| failed(format!("{file}: {e}")))?;
            Ok(Arc::new(mapped))
        };
        let dictionary = Dictionary::new(DictionaryFiles {
            sys: map("sys.dic")?,
            unk: map("unk.dic")?,
            char: map("char.bin")?,
            matrix: map("matrix.bin")?,
        })
        .map_err(|e| failed(e.to_string()))?;
        let frontend = Arc::new(Frontend::new(dictionary));
        self.frontends
            .insert(folder.to_owned(), Arc::downgrade(&frontend));
        Ok(frontend)
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

fn user_words(pipeline: &str, spec: &Pipeline) -> Result<UserWords, PrepareError> {
    let Some(file) = &spec.dictionary.file else {
        return Ok(UserWords::default());
    };
    let words = lexicon::open(file).and_then(|words| lexicon::check(&words));
    words.map_err(|e| PrepareError::Pipeline {
        pipeline: pipeline.to_owned(),
        cause: format!("its dictionary {e}"),
    })
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
    let bytes = session::read_at_most(&path, PLUGIN_BYTES_MAX).map_err(|e| {
        failed(format!(
            "{}: {e}; first-party plugins are built by `cargo xtask setup`",
            path.display()
        ))
    })?;
    let digest = hex(&Sha256::digest(&bytes));
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn plugin_error(plugin: &PluginRef, error: &plugin::LoadError) -> PrepareError {
    PrepareError::Plugin {
        plugin: plugin.component.name(),
        cause: error.to_string(),
    }
}

fn model_source(source: &Source) -> session::Source {
    match source {
        Source::Path(path) => session::Source::Path(path.clone()),
        Source::Embedded(bytes) => session::Source::Embedded(bytes),
    }
}
