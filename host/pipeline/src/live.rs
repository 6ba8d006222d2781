//! What serves now, and how the next generation takes its place.
//!
//! Prepare may fail, publish cannot. Startup is a reload from nothing.

#![expect(
    clippy::disallowed_types,
    reason = "the one place of this crate that swaps"
)]

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use session::library::Ready;

use crate::apart::apart;
use crate::events;
use crate::generation::{Generation, Pin};
use crate::left_out::LeftOut;
use crate::prepare::{PrepareError, Workshop};
use crate::rehearsal::{Trust, rehearse};
use crate::spec::{Memory, Service};

/// The generation that serves, and the way to the next one.
pub struct Live {
    workshop: Arc<Workshop>,
    serving: ArcSwapOption<Generation>,
    /// Generations that may still be alive, for the report.
    known: Mutex<Vec<Weak<Generation>>>,
    numbers: AtomicU64,
}

/// A generation that passed its rehearsal and serves nobody yet.
pub struct Prepared {
    generation: Arc<Generation>,
    rules: Ready,
    took: Duration,
}

impl Prepared {
    /// For commands that work without serving.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// How long it was built and rehearsed.
    pub fn took(&self) -> Duration {
        self.took
    }
}

/// What a reload did.
#[derive(Clone, Debug)]
pub struct Published {
    /// The number of the one that serves now.
    pub generation: NonZeroU64,
    /// The number of the one that served before; None at start.
    pub replaced: Option<NonZeroU64>,
    /// How long it was built and rehearsed, while the old one served.
    pub prepared_in: Duration,
    /// The swap alone: what a request could ever have to wait for.
    pub swapped_in: Duration,
    /// What is configured and does not serve as it is written.
    pub left_out: Vec<LeftOut>,
}

/// One living generation, for `/admin/generations`.
#[derive(Clone, Debug)]
pub struct GenerationReport {
    /// Generations are counted from 1, those that never served included.
    pub number: NonZeroU64,
    /// When it was built, by the wall clock.
    pub born: SystemTime,
    /// Whether new requests get it; others only end what they began.
    pub serves: bool,
    /// Requests that have pinned it now.
    pub requests: usize,
    /// Names of those that serve in it.
    pub pipelines: Vec<String>,
    /// Names of those that serve in it.
    pub voices: Vec<String>,
    /// What is configured and does not serve in it as it is written.
    pub left_out: Vec<LeftOut>,
}

impl Live {
    /// Serves nothing until the first [`publish`](Self::publish).
    pub fn new(sandbox: Arc<plugin::Sandbox>, residency: session::residency::Residency) -> Self {
        Self {
            workshop: Arc::new(Workshop::new(sandbox, residency)),
            serving: ArcSwapOption::empty(),
            known: Mutex::default(),
            numbers: AtomicU64::new(1),
        }
    }

    /// The generation a request keeps for its whole life. None before the
    /// first one is published.
    pub fn pin(&self) -> Option<Pin> {
        self.serving.load_full().map(Pin::new)
    }

    /// Bytes of the BERT features that are kept for texts that come again,
    /// outside of `memory.budget` and within `cache.features`.
    pub fn feature_bytes(&self) -> u64 {
        let serving = self.serving.load();
        serving.as_ref().map_or(0, |it| it.features.bytes())
    }

    /// Builds and rehearses the next generation while the old one serves.
    /// Voices that spoke after an earlier start, and are the same, are not
    /// heard again.
    pub async fn prepare(&self, service: Service) -> Result<Prepared, PrepareError> {
        self.prepare_with(service, Trust::Spoken).await
    }

    /// The same, and every voice is heard.
    pub async fn prove(&self, service: Service) -> Result<Prepared, PrepareError> {
        self.prepare_with(service, Trust::Nobody).await
    }

    async fn prepare_with(&self, service: Service, trust: Trust) -> Result<Prepared, PrepareError> {
        let start = Instant::now();
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let number = NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN);
        let workshop = Arc::clone(&self.workshop);
        let old = self.serving.load_full();
        let before = old.clone();
        let service = Arc::new(service);
        let of = Arc::clone(&service);
        let (next, rules) = apart(move || {
            let rules = workshop.ready_in_time(&of)?;
            let next = workshop.build(&of, number, before.as_deref())?;
            Ok((next, rules))
        })
        .await?;
        let generation = rehearse(next, old.as_deref(), &service, self.residency(), trust).await?;
        Ok(Prepared {
            generation,
            rules,
            took: start.elapsed(),
        })
    }

    /// Swaps. From here on new requests pin the new generation; the old one
    /// drops with its last request.
    pub fn publish(&self, prepared: Prepared) -> Published {
        let generation = prepared.generation;
        let number = generation.number;
        let left_out = generation.left_out.clone();
        {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|generation| generation.strong_count() > 0);
            known.push(Arc::downgrade(&generation));
        }
        self.residency().obey(prepared.rules);
        let start = Instant::now();
        let replaced = self.serving.swap(Some(generation));
        let swapped_in = start.elapsed();
        events::generation_published(number.get(), prepared.took);
        events::left_out(&left_out);
        Published {
            generation: number,
            replaced: replaced.map(|old| old.number),
            prepared_in: prepared.took,
            swapped_in,
            left_out,
        }
    }

    /// Waits until a generation has gone, with the models that only it held.
    pub async fn ended(&self) {
        self.workshop.ended.notified().await;
    }

    /// What this place does not give, and what that costs; for reports.
    pub fn without(&self) -> impl Iterator<Item = String> {
        self.workshop.without().into_iter()
    }

    /// The owner of the models' memory: reports, renewal, watching.
    pub fn residency(&self) -> &session::residency::Residency {
        self.workshop.residency()
    }

    /// Swaps the memory policy alone; models stay as they are. What bites at
    /// start only is named.
    pub async fn set_memory(
        &self,
        plugins: PathBuf,
        memory: Memory,
    ) -> Result<Vec<&'static str>, PrepareError> {
        let workshop = Arc::clone(&self.workshop);
        let swap = move || {
            let rules = workshop.ready(&plugins, &memory)?; // may fail
            Ok(workshop.residency().obey(rules)) // cannot
        };
        tokio::task::spawn_blocking(swap)
            .await
            .map_err(|lost| PrepareError::Lost(lost.to_string()))?
    }

    /// The living generations, oldest first.
    pub fn report(&self) -> Vec<GenerationReport> {
        let serving = self.serving.load().as_ref().map(|it| it.number);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .iter()
            .filter_map(Weak::upgrade)
            .map(|generation| GenerationReport {
                number: generation.number,
                born: generation.born,
                serves: serving == Some(generation.number),
                requests: generation.requests.load(Ordering::Relaxed),
                pipelines: generation.plans.keys().cloned().collect(),
                voices: generation.voices.keys().cloned().collect(),
                left_out: generation.left_out.clone(),
            })
            .collect()
    }
}
