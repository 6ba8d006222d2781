//! The integration tests: the real server on a real socket, with real
//! components and real, tiny models.

#![expect(
    clippy::disallowed_methods,
    reason = "tests find what set-up left by the environment"
)]

mod accents;
mod access;
mod blame;
mod bounds;
mod client;
mod clients;
mod config;
mod crowd;
mod damage;
mod demo;
mod doors;
mod eviction;
mod features;
mod formats;
mod house;
mod http;
mod limits;
mod memory;
mod metrics;
mod openapi;
mod own;
mod plugins;
mod readings;
mod reload;
mod sound;
mod speak;
mod stand;
mod stream;
mod voicevox;
mod writers;
