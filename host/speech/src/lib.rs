//! Language, pure: text, phonemes, accents, alignment.
//!
//! Values in, values out: no async, no files, no GPU. Whoever holds a
//! dictionary's files hands in their bytes.

pub mod align;
pub mod dictionary;
pub mod english;
pub mod g2p;
pub mod moras;
pub mod phoneme;
pub mod phrases;
pub mod sentence;
pub mod text;
pub mod user;
pub mod utterance;

mod accent;
mod chain;
mod filler;
mod kana;
mod words;
