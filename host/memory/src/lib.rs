//! What is decided about memory, and how. Values in, values out: nothing here
//! allocates a tensor, opens a model, takes a lock or knows ONNX Runtime; the
//! crate `session` acts.
//!
//! - [`policy`]: `[memory]` as written. - [`census`]: who is resident, and what
//!   is wanted. - [`usage`]: how a voice was used.
//! - [`slab`]: whose bytes are whose. - [`units`]: bytes and times as written.
//! - [`stretch`]: what has to be moved for a stretch in one piece.
//! - [`plan`](mod@plan): the host's own decision. - [`proposal`]: somebody else's, checked
//!   and completed. - [`decide`](mod@decide): one decision from question to steps.
//! - [`trace`]: decisions and uses as JSON lines. - [`replay`]: policies compared
//!   on a trace. - [`synthetic`]: traces from a pattern and a seed.

pub mod census;
pub mod decide;
pub mod plan;
pub mod policy;
pub mod proposal;
pub mod replay;
pub mod slab;
pub mod stretch;
pub mod synthetic;
pub mod trace;
pub mod units;
pub mod usage;

pub use census::{Census, Item, Level, NO_VOICE, Pressure, Tier, Zone};
pub use decide::{Decision, Proposer, decide};
pub use plan::{Step, plan};
pub use policy::{MemoryPolicy, Order};
pub use proposal::{Action, Completed, Proposal, Why, complete};
pub use usage::Usage;
