//! Against servers on this machine that answer as the hub does, and as nobody
//! should.

mod breaks;
mod hostile;
mod places;
mod pulls;
mod refusals;
mod server;
mod shelf;
mod stand;
mod tls;
