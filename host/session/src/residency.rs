//! Which models are open. A model lives as long as somebody uses it, and an
//! unchanged one is carried over from one generation to the next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::bert::Bert;
use crate::device::{self, Device, Wanted};
use crate::error::Error;
use crate::package::Package;
use crate::runtime::Runtime;
use crate::settings::Settings;
use crate::source::Source;
use crate::voice::Voice;

pub struct Residency {
    runtime: Runtime,
    voices: Resident<Voice>,
    berts: Resident<Bert>,
}

/// Open models by fingerprint and settings. Weak: whoever uses one keeps it.
struct Resident<M>(Mutex<HashMap<String, Weak<M>>>);

impl Residency {
    pub fn new(runtime: Runtime) -> Self {
        Self {
            runtime,
            voices: Resident(Mutex::default()),
            berts: Resident(Mutex::default()),
        }
    }

    pub fn device(&self, wanted: Wanted) -> Result<Device, Error> {
        device::choose(wanted, &self.runtime)
    }

    /// The open voice of this source, or a newly opened one.
    pub fn voice(&self, source: &Source, settings: &Settings) -> Result<Arc<Voice>, Error> {
        let key = format!("{} {settings:?}", source.fingerprint()?);
        self.voices.get_or_open(key, || {
            Voice::open(&self.runtime, Package::open(source)?, settings)
        })
    }

    /// The open BERT of these sources, or a newly opened one.
    pub fn bert(
        &self,
        graph: &Source,
        tokenizer: &Source,
        settings: &Settings,
    ) -> Result<Arc<Bert>, Error> {
        let files = (
            graph.fingerprint_with_neighbours()?,
            tokenizer.fingerprint()?,
        );
        let key = format!("{files:?} {settings:?}");
        self.berts.get_or_open(key, || {
            Bert::open(&self.runtime, graph, tokenizer, settings)
        })
    }
}

impl<M> Resident<M> {
    fn get_or_open(
        &self,
        key: String,
        open: impl FnOnce() -> Result<M, Error>,
    ) -> Result<Arc<M>, Error> {
        // Held while opening: two who want the same model must not both pay.
        let mut open_models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open_models.retain(|_, model| model.strong_count() > 0);
        if let Some(model) = open_models.get(&key).and_then(Weak::upgrade) {
            return Ok(model);
        }
        let model = Arc::new(open()?);
        open_models.insert(key, Arc::downgrade(&model));
        Ok(model)
    }
}
