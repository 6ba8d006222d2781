//! What a request does: plans, generations, the synthesis story.
//!
//! The one crate that sees language ([`speech`]), sandbox ([`plugin`]) and
//! models ([`session`]) at once and translates between them: an utterance
//! becomes tensors, a length becomes a bucket. It knows no HTTP.
//!
//! - [`synthesize`](synthesize::synthesize): one request, top to bottom.
//! - [`live`]: which generation serves, and how the next one takes over.

mod batch;
mod error;
mod events;
pub mod evict;
mod features;
mod gate;
mod generation;
mod lexicon;
mod live;
mod plan;
mod policy;
mod prepare;
mod request;
pub mod spec;
mod synthesize;
mod trace;

pub use error::Error;
pub use events::describe as describe_metrics;
pub use generation::{Generation, Pin};
pub use lexicon::{
    DictionaryError, DictionaryFormat, WrittenWord, check as check_words, open as open_words,
};
pub use live::{GenerationReport, Live, Prepared, Published};
pub use plan::Plan;
pub use prepare::PrepareError;
pub use request::{Assist, Audio, Delivery, Format, Request, Split};
pub use session::units;
pub use synthesize::{Pronounced, pronounce, recite, synthesize};
