//! Loading: compiled, linked, configured, and tried before anybody asks.

use std::sync::Arc;

use serde_json::Value;

use crate::bucketer::Bucketer;
use crate::error::LoadError;
use crate::evictor::Evictor;
use crate::limits::Limits;
use crate::load::Source;
use crate::normalizer::Normalizer;
use crate::sandbox::Sandbox;
use crate::selfcheck;

impl Sandbox {
    /// Compiles, links, configures and tries a normalizer. Takes milliseconds
    /// if it is in the cache, else a fraction of a second.
    pub fn load_normalizer(
        self: &Arc<Self>,
        source: Source,
        settings: &Value,
        limits: &Limits,
    ) -> Result<Normalizer, LoadError> {
        let normalizer = Normalizer::load(self, source, settings, limits)?;
        selfcheck::normalizer(&normalizer)?;
        Ok(normalizer)
    }

    /// Compiles, links, configures and tries a bucketing policy.
    pub fn load_bucketer(
        self: &Arc<Self>,
        source: Source,
        settings: &Value,
        limits: &Limits,
    ) -> Result<Bucketer, LoadError> {
        let bucketer = Bucketer::load(self, source, settings, limits)?;
        selfcheck::bucketer(&bucketer)?;
        Ok(bucketer)
    }

    /// Compiles, links, configures and tries an eviction policy.
    pub fn load_evictor(
        self: &Arc<Self>,
        source: Source,
        settings: &Value,
        limits: &Limits,
    ) -> Result<Evictor, LoadError> {
        let evictor = Evictor::load(self, source, settings, limits)?;
        selfcheck::evictor(&evictor)?;
        Ok(evictor)
    }
}
