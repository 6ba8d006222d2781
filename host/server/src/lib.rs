//! The server: hyper, files, signals, metrics. A library, so that the tests run
//! the real server in their own process.
//!
//! - [`speak`]: one speech request. - [`reload`]: one reload.

#![warn(clippy::print_stderr)]

pub mod admin;
pub mod app;
pub mod config;
pub mod dangers;
pub mod dialect;
pub mod events;
pub mod files;
pub mod http;
pub mod line;
mod machine;
#[doc(hidden)]
pub mod parse;
pub mod platform;
pub mod read;
pub mod reload;
pub mod reloads;
pub mod server;
pub mod signal;
pub mod speak;
pub mod telemetry;
