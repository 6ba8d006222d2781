//! The world `text-normalizer`: text as written → text as read.

use std::sync::Arc;

use serde_json::Value;
use wasmtime::Store;
use wasmtime::component::{HasSelf, InstancePre, Linker};

use crate::answer;
use crate::bindings::normalizer::{TextNormalizer, TextNormalizerPre};
use crate::bindings::types::{Descriptor, Diagnostic};
use crate::error::{CallError, LoadError};
use crate::events;
use crate::host::Host;
use crate::lexicon::{Guess, Lexicon, NoWords};
use crate::limits::Limits;
use crate::load::{Identity, Plugin, Source, World};
use crate::sandbox::Sandbox;

/// A loaded normalizer. Calls block for microseconds, at worst for their
/// deadline.
pub struct Normalizer {
    plugin: Plugin<TextNormalizerPre<Host>>,
}

/// A checked answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normalized {
    /// As it is to be read; it may hold control characters of the input's, and
    /// line feeds.
    pub text: String,
    /// Ascending on the output side; may be empty.
    pub spans: Vec<Span>,
    /// Stretches of the input that are read by a guess.
    pub guesses: Vec<Guess>,
}

/// Where a stretch of the output comes from, in code points, end exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The stretch begins here in the output.
    pub start: u32,
    /// It ends before here in the output.
    pub end: u32,
    /// It comes from here on in the input.
    pub source_start: u32,
    /// It comes from before here in the input.
    pub source_end: u32,
}

impl Normalizer {
    pub(crate) fn load(
        sandbox: &Arc<Sandbox>,
        source: Source,
        settings: &Value,
        limits: &Limits,
    ) -> Result<Self, LoadError> {
        let plugin = Plugin::load(sandbox, source, settings, limits)?;
        Ok(Self { plugin })
    }

    /// Which component this is, and what it says of itself.
    pub fn identity(&self) -> &Identity {
        self.plugin.identity()
    }

    /// `language` is a BCP 47 tag. The plugin finds no words of its host's.
    pub fn normalize(&self, text: &str, language: &str) -> Result<Normalized, CallError> {
        self.normalize_with(text, language, Arc::new(NoWords))
    }

    /// The same, with words the plugin may ask for.
    pub fn normalize_with(
        &self,
        text: &str,
        language: &str,
        lexicon: Arc<dyn Lexicon>,
    ) -> Result<Normalized, CallError> {
        let outcome = self.try_normalize(text, language, lexicon);
        if let Err(error) = &outcome {
            events::failed(self.plugin.name(), error.kind());
        }
        outcome
    }

    fn try_normalize(
        &self,
        text: &str,
        language: &str,
        lexicon: Arc<dyn Lexicon>,
    ) -> Result<Normalized, CallError> {
        let limits = &self.plugin.limits;
        if text.len() > limits.input_bytes {
            return Err(CallError::InvalidInput(format!(
                "a sentence has {} bytes, a plugin takes {} at most",
                text.len(),
                limits.input_bytes
            )));
        }
        let (answer, mut guesses) =
            self.plugin
                .call(text.len(), limits.normalize_deadline, |it, store| {
                    store.data_mut().questions.lexicon = lexicon;
                    let answer = it.koemasu_policy_normalizer().call_normalize(
                        &mut *store,
                        text,
                        language,
                    )?;
                    let guesses = std::mem::take(&mut store.data_mut().questions.guesses);
                    Ok((answer, guesses))
                })?;
        let output = answer.map_err(CallError::from)?;
        let spans = output.spans.into_iter().map(|span| Span {
            start: span.start,
            end: span.end,
            source_start: span.source_start,
            source_end: span.source_end,
        });
        let normalized = Normalized {
            text: output.text,
            spans: spans.collect(),
            guesses: Vec::new(),
        };
        answer::check_normalized(text, &normalized, limits.output(text.len()))?;
        let characters = text.chars().count();
        guesses.retain(|guess| guess.end as usize <= characters);
        Ok(Normalized {
            guesses,
            ..normalized
        })
    }
}

/// The plugin's own word for what went wrong.
impl World for TextNormalizerPre<Host> {
    const NAME: &'static str = "text-normalizer";
    const EXPORT: &'static str = "koemasu:policy/normalizer@1.0.0";
    type Instance = TextNormalizer;

    fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
        TextNormalizer::add_to_linker::<_, HasSelf<_>>(linker, |host| host)
    }

    fn prepare(pre: InstancePre<Host>) -> wasmtime::Result<Self> {
        Self::new(pre)
    }

    fn instantiate(&self, store: &mut Store<Host>) -> wasmtime::Result<TextNormalizer> {
        TextNormalizerPre::instantiate(self, store)
    }

    fn describe(it: &TextNormalizer, store: &mut Store<Host>) -> wasmtime::Result<Descriptor> {
        it.koemasu_policy_plugin().call_describe(store)
    }

    fn configure(
        it: &TextNormalizer,
        store: &mut Store<Host>,
    ) -> wasmtime::Result<Result<(), Vec<Diagnostic>>> {
        it.koemasu_policy_plugin().call_configure(store)
    }
}
