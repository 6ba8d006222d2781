//! Voices and the BERT, fetched from the Hugging Face hub or from an address,
//! and what was fetched: recorded, listed, removed. It reads no configuration
//! and no voice, and it says nothing but through its errors and to whoever
//! asked for [`Progress`].
//!
//! A voice comes whole or not at all. Its files gather beside their place, in
//! the folder `.pull`, and go on from there after a break; when all of them are
//! what the hub says they are, they are moved into their place in one step,
//! with a record of where they came from and of their digests. From then on a
//! source is held to its record.
//!
//! The client is a plain one of HTTP and not the hub's own crate: that keeps a
//! cache which the operator cannot look into, and has no bound of size, no
//! check of what it continues and no rule of ours about redirects and tokens.
//!
//! What comes from a server is taken for hostile: names, sizes and words are
//! bounded before they are used, and printed without control characters. The
//! endpoint and the token are the caller's to say; from the environment come
//! only, by way of their libraries, the usual variables of proxies
//! ([`Proxy::Environment`]) and those that name certificates (`SSL_CERT_FILE`,
//! `SSL_CERT_DIR`).
//!
//! - [`Source`]: what is to be fetched. - [`Hub`]: where it is fetched from.
//! - [`Pull`]: what is to become of it. - `from_hub`, `from_url`: the way there.
//! - `listing`: what a repository has. - `choice`: which of its files are a
//!   voice. - `standing`: whether they may take their place.
//! - `client`: HTTP, redirects and the token. - `transfer`: one file, with
//!   breaks. - `staging`: where files gather, and the way into their place.
//! - [`Record`]: what was fetched. - [`pulled`], [`remove`]: what lies there.

#![forbid(unsafe_code)]

mod address;
mod choice;
mod client;
mod digest;
mod error;
mod faults;
mod foreign;
mod from_hub;
mod from_url;
mod listing;
mod names;
mod progress;
mod pull;
mod record;
mod refusal;
mod settings;
mod shelf;
mod source;
mod staging;
mod standing;
mod transfer;

pub use digest::{BlobId, Commit, Hex, NoHex, Sha256};
pub use error::{Error, Sent};
pub use faults::{AddressFault, NameFault, PathFault, RecordFault, SourceFault};
pub use foreign::Foreign;
pub use progress::Progress;
pub use pull::{Hub, Outcome, Pull, Pulled};
pub use record::{Origin, Record, RecordedFile};
pub use settings::{Patience, Proxy, Settings, Token};
pub use shelf::{Removed, Shelved, pulled, remove};
pub use source::{Kind, Source};
pub use standing::{Check, Standing};
