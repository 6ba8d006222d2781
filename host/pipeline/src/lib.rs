//! What a request does: plans, generations, the synthesis story.
//!
//! The one crate that sees language ([`speech`]), sandbox ([`plugin`]) and
//! models ([`session`]) at once and translates between them: an utterance
//! becomes tensors, a length becomes a bucket. It knows no HTTP.
//!
//! - [`synthesize`](synthesize::synthesize): one request, top to bottom.
//! - [`live`]: which generation serves, and how the next one takes over.

mod ahead;
mod answers;
mod apart;
mod backlog;
mod batch;
mod clock;
mod deliver;
mod depth;
mod dictionary;
pub mod document;
mod error;
mod events;
pub mod evict;
mod feature_mix;
mod features;
mod gate;
mod generation;
mod job;
mod left_out;
mod lexicon;
mod live;
mod master;
mod mix;
mod mixes;
mod plan;
mod policy;
mod prepare;
mod produce;
pub mod range;
mod read;
mod rehearsal;
mod request;
pub mod spec;
mod stream;
mod synthesis;
mod synthesize;
mod trace;
mod voice_settings;
mod work;

pub use answers::{Answers, Hold};
pub use dictionary::{
    DICTIONARY_BYTES_MAX, DictionaryError, DictionaryFormat, WORDS_MAX, WrittenWord,
    check as check_words, open as open_words,
};
pub use error::Error;
pub use events::describe as describe_metrics;
pub use generation::{Generation, Pin};
pub use job::Spoken;
pub use left_out::{Kind, LeftOut};
pub use live::{GenerationReport, Live, Prepared, Published};
pub use memory::units;
pub use mix::{Limits as MixLimits, MixShare};
pub use plan::Plan;
pub use prepare::PrepareError;
pub use read::{Pronounced, fits, pronounce, pronounce_sentences};
pub use request::{
    Assist, Audio, Delivery, Head, Loudness, Pauses, Priority, Request, Sound, Speaker, Split,
    VoiceRef, VoiceSettings,
};
pub use sound::{Channels, Format};
pub use stream::Stream;
pub use synthesis::Synthesis;
pub use synthesize::{begin, synthesize};
pub use work::{Wanted, wanted};
