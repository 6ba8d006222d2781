//! What is decided of a request, before there is any sound of it.

use std::sync::Arc;
use std::time::Duration;

use session::voice::Voice;

use crate::ahead::Ahead;
use crate::clock::Clock;
use crate::generation::Generation;
use crate::plan::Plan;
use crate::request::{Delivery, Request};
use crate::voice_settings::SynthesisSettings;

/// What is decided of a request. Both halves and every run look at the same.
pub(crate) struct Job {
    pub(crate) generation: Arc<Generation>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) request: Request,
    pub(crate) voice: Arc<Voice>,
    pub(crate) settings: SynthesisSettings,
    /// Whether the sound leaves as it is made.
    pub(crate) delivery: Delivery,
    /// Samples per second of the answer.
    pub(crate) sampling_rate: u32,
    pub(crate) clock: Arc<Clock>,
    pub(crate) ahead: Arc<Ahead>,
}

/// What was said in the end.
#[derive(Clone, Copy, Debug)]
pub struct Spoken {
    /// Of sound that left.
    pub seconds: f64,
    /// From the request to the first of it.
    pub first_sound: Option<Duration>,
    /// From the request to the last of it.
    pub took: Duration,
}
