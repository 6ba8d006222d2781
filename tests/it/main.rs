//! The integration tests: the real server on a real socket, with real
//! components and real, tiny models.

mod client;
mod config;
mod limits;
mod plugins;
mod reload;
mod speak;
mod stand;
