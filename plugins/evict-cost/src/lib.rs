//! Gives up the voices that are worth least, as a policy component. See
//! README.md.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

#[cfg(target_arch = "wasm32")]
mod component;
pub mod rule;
