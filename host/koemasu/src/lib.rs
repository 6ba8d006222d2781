//! The server and the command line: hyper, files, signals, metrics.
//!
//! A library too, so that the tests run the real server in their own process.
//! - [`speak`]: one speech request. - [`reload`]: one reload.

#![warn(clippy::print_stderr)]

pub mod access;
pub mod admin;
pub mod admission;
pub mod answer;
pub mod api;
pub mod app;
pub mod args;
mod body;
pub mod check;
pub mod config;
pub mod cors;
pub mod dangers;
mod described;
pub mod dialect;
pub mod dictionary;
pub mod doors;
pub mod events;
pub mod fault;
mod files;
pub mod g2p;
mod head;
pub mod house;
pub mod key;
pub mod line;
mod machine;
pub mod memory;
pub mod openapi;
#[doc(hidden)]
pub mod parse;
pub mod parts;
pub mod platform;
pub mod policy;
pub mod query;
pub mod read;
pub mod reload;
pub mod reloads;
mod request_id;
pub mod route;
pub mod say;
pub mod serve;
pub mod server;
pub mod shares;
pub mod signal;
pub mod soak;
pub mod speak;
pub mod telemetry;
mod wire;
