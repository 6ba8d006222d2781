//! BERT features, cached by (model, text), bounded in bytes, one computation
//! for each key however many requests want it.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use session::bert::{Bert, BertInput, Features};

use crate::error::Error;
use crate::events;
use crate::gate::{Gate, Lane};
use crate::plan::Plan;
use crate::policy::Axis;
use crate::work::blocking;

/// A BERT with the name pipelines know it by.
pub(crate) struct BertModel {
    pub(crate) name: String,
    /// Tells models apart in the cache, across names and generations.
    pub(crate) identity: Arc<str>,
    pub(crate) model: Arc<Bert>,
}

/// Outlives generations: an edited pipeline finds its features again.
#[derive(Clone)]
pub(crate) struct FeatureCache {
    entries: Cache<Key, Arc<Features>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    model: Arc<str>,
    text: Arc<str>,
}

impl FeatureCache {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let entries = Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|key: &Key, features: &Arc<Features>| {
                let floats = features.data.len() * size_of::<f32>();
                u32::try_from(floats + key.text.len()).unwrap_or(u32::MAX)
            })
            .build();
        Self { entries }
    }

    /// Bytes of the features that are kept, within the bound that is configured.
    pub(crate) fn bytes(&self) -> u64 {
        self.entries.weighted_size()
    }

    /// The features of an utterance's text, from the cache or from a run in this
    /// lane, which comes back for what follows: whoever gave it up between the
    /// two would wait for it twice. As all come with a lane, the one whose
    /// computation the others wait for has one, too.
    pub(crate) async fn get(
        &self,
        plan: &Arc<Plan>,
        gate: &Gate,
        lane: Lane,
        text: &str,
    ) -> Result<(Arc<Features>, Lane), Error> {
        let key = Key {
            model: Arc::clone(&plan.bert.identity),
            text: Arc::from(text),
        };
        if let Some(features) = self.entries.get(&key).await {
            events::feature_hit();
            return Ok((features, lane));
        }
        // Whoever comes first computes; the others wait for it. If the first
        // one goes away, the next takes over.
        let mut lane = Some(lane);
        let compute = compute(plan, gate.wait(), &mut lane, Arc::clone(&key.text));
        let features = self.entries.try_get_with(key, compute).await;
        events::feature_cache_size(self.bytes());
        let features = features.map_err(|error| Error::clone(&error))?;
        let lost = || Error::Lost("a run kept its lane".to_owned());
        Ok((features, lane.ok_or_else(lost)?))
    }
}

/// The lane goes with the run, and comes back with what it gave.
async fn compute(
    plan: &Arc<Plan>,
    wait: Duration,
    held: &mut Option<Lane>,
    text: Arc<str>,
) -> Result<Arc<Features>, Error> {
    events::feature_miss();
    let encoder = Arc::clone(plan);
    let (ids, padded) = blocking(move || {
        let failed = |e: session::Error| Error::of_model(&encoder.bert.name, &e);
        let ids = encoder.bert.model.encode(&text).map_err(failed)?;
        let padded = encoder.padded(Axis::Bert, ids.len())?;
        events::padded(Axis::Bert.name(), padded - ids.len());
        Ok((ids, padded))
    })
    .await?;

    let failed = |e: session::Error| Error::of_model(&plan.bert.name, &e);
    let lease = plan.bert.model.checkout(padded, wait).await;
    let mut lease = lease.map_err(failed)?;
    let lane = held.take();
    // Dropped with this future: when nobody waits any more, the run ends.
    let _stop = lease.stop().on_drop();
    let (ran, lane) = blocking(move || {
        let ran = lease.run(BertInput { ids, padded });
        if matches!(ran, Ok(_) | Err(session::Error::Cancelled)) {
            lease.release();
        }
        Ok((ran, lane))
    })
    .await?;
    *held = lane;
    ran.map(Arc::new).map_err(failed)
}
