//! The operator's routes: health, reloads, memory, dictionaries.

pub mod dictionary;
pub mod memory;
pub mod status;
pub mod voices;
