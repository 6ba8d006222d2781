//! The sandbox with real components: hostile ones from text, and our own.

#![expect(
    clippy::disallowed_methods,
    reason = "tests find what set-up left by the environment"
)]

mod cache;
mod evictors;
mod first_party;
mod hostile;
mod stand;
