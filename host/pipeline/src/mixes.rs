//! Voices that a request mixes of others: made when one asks for them, kept
//! while they are asked for again, gone when others take their place.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use session::package::{Method, Recipe};
use session::voice::Voice;
use tokio::sync::{AcquireError, Semaphore};

use crate::error::Error;
use crate::events;
use crate::mix::{Limits, MixShare};
use crate::range;

/// The mixes of one generation.
pub(crate) struct Mixes {
    open: Box<Open>,
    limits: Limits,
    /// Voices that have a file; of others nobody can read a part.
    sources: BTreeMap<String, session::Source>,
    /// The last one was asked for last.
    kept: Mutex<VecDeque<(String, Arc<Voice>)>>,
    /// One is made at a time.
    making: Semaphore,
}

/// Opens a voice under a name. Slow.
type Open = dyn Fn(&str, &session::Source) -> Result<Arc<Voice>, session::Error> + Send + Sync;

impl Mixes {
    pub(crate) fn new(
        limits: Limits,
        sources: BTreeMap<String, session::Source>,
        open: Box<Open>,
    ) -> Self {
        Self {
            open,
            limits,
            sources,
            kept: Mutex::default(),
            making: Semaphore::new(1),
        }
    }

    /// The voice that these make by their [`weights`](Self::weights), in their order: speakers and what belongs to
    /// no group are the first one's. All of them are served.
    pub(crate) async fn voice(
        self: &Arc<Self>,
        shares: &[MixShare],
        weights: Vec<f32>,
    ) -> Result<Arc<Voice>, Error> {
        let mut voices = Vec::new();
        for share in shares {
            let source = self.sources.get(&share.voice).ok_or_else(|| {
                Error::Request(format!(
                    "voice `{}` cannot be mixed: it is no voice that is tensors alone",
                    share.voice
                ))
            })?;
            voices.push(source.clone());
        }
        let name = name(shares, &weights);
        if let Some(known) = self.find(&name) {
            return Ok(known);
        }
        let lost = |e: AcquireError| Error::Lost(e.to_string());
        let _one = self.making.acquire().await.map_err(lost)?;
        if let Some(known) = self.find(&name) {
            return Ok(known);
        }
        self.make_room()?;
        let recipe = Recipe {
            voices,
            method: Method::Mix(weights),
            speaker: name.clone(),
            styles: Vec::new(),
        };
        let source = session::Source::Merged(Arc::new(recipe));
        let (this, named) = (Arc::clone(self), name.clone());
        let opened = tokio::task::spawn_blocking(move || (this.open)(&named, &source)).await;
        let opened = opened.map_err(|lost| Error::Lost(lost.to_string()))?;
        let voice = opened.map_err(|error| match &error {
            // They do not fit together: another choice of voices would.
            session::Error::Package { .. } => Error::Request(format!("`mix`: {error}")),
            _ => Error::of_model(&name, &error),
        })?;
        let mut kept = self.kept();
        kept.push_back((name, Arc::clone(&voice)));
        events::mixes_kept(kept.len());
        Ok(voice)
    }

    /// What a mix counts each of its voices, whoever they are. Hundredths, so
    /// that what nobody hears makes no new voice.
    pub(crate) fn weights(&self, shares: &[MixShare]) -> Result<Vec<f32>, Error> {
        let most = self.limits.voices;
        if most == 0 {
            return Err(Error::Request(
                "`mix`: this server mixes no voices (`mixes.voices`)".to_owned(),
            ));
        }
        if shares.len() > most {
            return Err(Error::Request(format!(
                "`mix` has {} voices, the most is {most}",
                shares.len()
            )));
        }
        for (number, share) in shares.iter().enumerate() {
            if !range::MIX_WEIGHT.has(share.weight) {
                return Err(Error::Request(format!(
                    "`mix`: the weight {} of `{}` lies not between {}",
                    share.weight,
                    share.voice,
                    range::MIX_WEIGHT
                )));
            }
            if shares[..number].iter().any(|it| it.voice == share.voice) {
                return Err(Error::Request(format!(
                    "`mix` names `{}` twice",
                    share.voice
                )));
            }
        }
        let sum: f32 = shares.iter().map(|share| share.weight).sum();
        if sum <= 0.0 {
            return Err(Error::Request("`mix` has no weight above 0".to_owned()));
        }
        let hundredths = shares
            .iter()
            .map(|it| (100.0 * it.weight / sum).round() / 100.0);
        let mut weights: Vec<f32> = hundredths.collect();
        // The first takes what rounding leaves.
        if let Some((first, rest)) = weights.split_first_mut() {
            *first = 1.0 - rest.iter().sum::<f32>();
        }
        Ok(weights)
    }

    fn find(&self, name: &str) -> Option<Arc<Voice>> {
        let mut kept = self.kept();
        let place = kept.iter().position(|(known, _)| known == name)?;
        let found = kept.remove(place)?;
        let voice = Arc::clone(&found.1);
        kept.push_back(found);
        Some(voice)
    }

    /// The one that was not asked for the longest goes, of those that nobody
    /// speaks with.
    fn make_room(&self) -> Result<(), Error> {
        let mut kept = self.kept();
        while kept.len() >= self.limits.kept {
            let idle = kept.iter().position(|(_, it)| Arc::strong_count(it) == 1);
            let Some(idle) = idle else {
                return Err(Error::Busy {
                    waited: Duration::ZERO,
                });
            };
            kept.remove(idle);
        }
        events::mixes_kept(kept.len());
        Ok(())
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<(String, Arc<Voice>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Mixes {
    fn drop(&mut self) {
        events::mixes_kept(0);
    }
}

fn name(shares: &[MixShare], weights: &[f32]) -> String {
    let parts = shares.iter().zip(weights);
    let parts = parts.map(|(share, weight)| format!("{} {weight:.2}", share.voice));
    format!("mix of {}", parts.collect::<Vec<_>>().join(" + "))
}
