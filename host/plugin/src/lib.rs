//! The sandbox: wasmtime, limits, typed calls.
//!
//! The only crate that knows wasmtime. A plugin gets only what its world names
//! (`wit/policy.wit`), runs within [`Limits`], in a fresh instance for each
//! call (an evictor keeps one ready), and every answer is checked before anybody
//! sees it. What follows from
//! a failure is not decided here.

mod answer;
mod bindings;
mod bucketer;
mod cache;
mod error;
mod events;
pub mod evictor;
mod host;
mod lexicon;
mod limits;
mod load;
mod normalizer;
mod sandbox;
mod selfcheck;
#[cfg(feature = "testing")]
pub mod testing;
mod worlds;

pub use bucketer::{Axis, Bucketer, Shape};
pub use error::{CallError, LoadError, SandboxError, Trap};
pub use events::describe as describe_metrics;
pub use evictor::Evictor;
pub use lexicon::{Entry, Guess, Kana, Lexicon, NoWords};
pub use limits::Limits;
pub use load::{Identity, Source};
pub use normalizer::{Normalized, Normalizer, Span};
pub use sandbox::{Pool, Sandbox, SandboxSettings};
