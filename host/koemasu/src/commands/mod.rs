//! The command line: one file for each command.

pub mod args;
pub mod check;
pub mod g2p;
pub mod key;
pub mod policy;
pub mod say;
pub mod serve;
