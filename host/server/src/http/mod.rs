//! HTTP as every route has it: who asks, what comes in, what goes out, and the
//! document of it all.

pub mod access;
pub mod admission;
pub mod answer;
pub mod api;
pub(crate) mod body;
pub mod cors;
pub(crate) mod described;
pub mod doors;
pub mod fault;
pub(crate) mod head;
pub mod house;
pub mod openapi;
pub mod parts;
pub mod query;
pub(crate) mod request_id;
pub mod route;
pub mod shares;
pub(crate) mod wire;
