//! What the Japanese normalizers share: a text that remembers where it comes
//! from, settings, numbers, and the face to the host.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

pub mod characters;
#[cfg(target_arch = "wasm32")]
pub mod component;
pub mod draft;
pub mod letters;
pub mod numerals;
pub mod policy;
pub mod settings;
