//! The models: sessions of ONNX Runtime, and which of them there are.
//!
//! The only crate that knows `ort` and `tokenizers`. It takes tensors and gives
//! tensors; of language and of requests it knows nothing.
//!
//! - [`residency`]: which models are open, and who owns the memory.
//! - [`placement`]: where tensors lie. - `recorder`: writes the trace of memory.
//! - [`onnx`]: a user's file apart into template and weights. - [`gate`]: may
//!   its voices be swapped in place? - [`slot`]: sessions that all voices of a
//!   template use. - `sessions`: those of one voice or one BERT alone.
//! - [`library`]: weights by tier, and who has to go. - `halves`: weights that
//!   wait in half precision.
//!   What is decided about memory is the crate [`memory`]; here it is done.
//! - [`workspace`]: who may run. - [`watch`]: what the system counts.
//! - [`examine`]: a voice is tried in a process of its own.
//! - [`files`]: files of others, read with care. - [`stop`]: ends a run.
//! - `blocks`: whether decoders run in blocks of channels.
//! - `synthesis`, [`bert`]: one struct per graph. - [`voice`]: who speaks, and
//!   the lease of one run.

pub mod bert;
mod blocks;
mod bounds;
mod choose;
mod decode;
mod derived;
pub mod device;
mod entry;
mod error;
mod events;
pub mod examine;
mod export;
mod family;
pub mod files;
mod finding;
pub mod gate;
mod graph;
mod halves;
pub mod library;
pub mod native;
pub mod onnx;
mod optimized;
pub mod package;
#[doc(hidden)]
pub mod parse;
pub mod placement;
mod processor;
mod recorder;
pub mod residency;
pub mod runtime;
mod sessions;
mod settings;
mod signature;
mod skeleton;
pub mod slot;
mod source;
mod stop;
mod synthesis;
pub mod voice;
pub mod watch;
mod weights;
pub mod whole;
pub mod window;
pub mod workspace;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests find what set-up left by the environment"
)]
#[path = "../tests/it/library.rs"]
mod library_of_tests;

pub use error::Error;
pub use events::describe as describe_metrics;
pub use export::export;
pub use settings::{Layout, Optimization, Pointwise, Precision, Settings};
pub use source::Source;
pub use stop::{Stop, StopOnDrop};

/// Registers metrics, a line each: kind, name, unit, meaning.
#[macro_export]
macro_rules! describe_metrics {
    ($($kind:ident $name:literal $unit:ident $about:literal;)*) => {$(
        $crate::describe_metrics!(@ $kind $name, metrics::Unit::$unit, $about);
    )*};
    (@ counter $($rest:tt)*) => { metrics::describe_counter!($($rest)*) };
    (@ gauge $($rest:tt)*) => { metrics::describe_gauge!($($rest)*) };
    (@ histogram $($rest:tt)*) => { metrics::describe_histogram!($($rest)*) };
}
