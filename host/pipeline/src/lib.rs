//! What a request does: plans, generations, the synthesis story.
//!
//! The one crate that sees language ([`speech`]), sandbox ([`plugin`]) and
//! models ([`session`]) at once and translates between them: an utterance
//! becomes tensors, a length becomes a bucket. It knows no HTTP.
//!
//! - [`synthesize`](synthesize::synthesize): one request, top to bottom.
//! - [`live`]: which generation serves, and how the next one takes over.

mod answers;
mod apart;
mod backlog;
mod batch;
mod cast;
mod clock;
mod colour;
mod depth;
pub mod document;
mod error;
mod events;
pub mod evict;
mod features;
mod gate;
mod generation;
mod left_out;
mod lexicon;
mod live;
mod master;
mod perform;
mod plan;
mod policy;
mod prepare;
mod read;
mod rehearsal;
mod request;
pub mod spec;
mod stream;
mod synthesize;
mod trace;
mod work;

pub use answers::{Answers, Hold};
pub use error::Error;
pub use events::describe as describe_metrics;
pub use generation::{Generation, Pin};
pub use left_out::{Kind, LeftOut};
pub use lexicon::{
    DICTIONARY_BYTES_MAX, DictionaryError, DictionaryFormat, WORDS_MAX, WrittenCase,
    WrittenPartOfSpeech, WrittenWord, check as check_words, open as open_words,
};
pub use live::{GenerationReport, Live, Prepared, Published};
pub use memory::units;
pub use perform::{Performance, Spoken};
pub use plan::Plan;
pub use prepare::PrepareError;
pub use read::{Pronounced, fits, pronounce, recite};
pub use request::{
    Answer, Assist, Audio, Delivery, Head, Loudness, Pauses, Priority, Request, Sound, Speaker,
    Split, VoiceRef,
};
pub use sound::{Channels, Format};
pub use stream::Stream;
pub use synthesize::{begin, synthesize};
pub use work::{Wanted, wanted};
