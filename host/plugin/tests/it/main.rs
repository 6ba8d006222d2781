//! The sandbox with real components: hostile ones from text, and our own.

mod cache;
mod first_party;
mod hostile;
mod stand;
