//! The models: ONNX Runtime sessions, pools, residency.
//!
//! The only crate that knows `ort` and `tokenizers`. It takes tensors and gives
//! tensors; of language and of requests it knows nothing.
//!
//! - [`residency`]: which models are open. The slab that will own all tensor
//!   memory, and with it eviction, has its place beside it.
//! - [`memory`]: what is decided about memory: policy, plan, trace.
//! - [`pool`]: lends sessions. - [`voice`], [`bert`]: one struct per graph.

pub mod bert;
pub mod device;
mod error;
mod events;
mod graph;
pub mod memory;
pub mod native;
pub mod package;
pub mod pool;
pub mod residency;
pub mod runtime;
mod settings;
mod signature;
mod source;
pub mod units;
pub mod voice;

pub use error::Error;
pub use events::describe as describe_metrics;
pub use settings::{Optimization, Settings};
pub use source::Source;
