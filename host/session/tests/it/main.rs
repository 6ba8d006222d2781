//! Sessions over real graphs in the real ONNX Runtime.

#![expect(
    clippy::disallowed_methods,
    reason = "tests find what set-up left by the environment"
)]

mod berts;
mod files;
#[path = "../../../../tests/it/graft.rs"]
mod graft;
mod hostile;
mod imported;
mod layouts;
mod memory;
mod merged;
mod packages;
mod reference;
mod regions;
mod runs;
mod slab;
mod stand;
