//! What every guest needs: an allocator, a panic that says why before it
//! traps, and the host's `log` and `config` in short words.

#![no_std]

extern crate alloc;

#[cfg(target_arch = "wasm32")]
mod host;
mod keys;

#[cfg(target_arch = "wasm32")]
pub use host::{config, log, unknown_settings, warn};
pub use keys::keys;
