//! The text normalization of Style-Bert-VITS2 2.5 for Japanese, as a policy
//! component. Written from its behaviour; see README.md.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

#[cfg(target_arch = "wasm32")]
mod component;
pub mod normalize;
pub mod numerals;
