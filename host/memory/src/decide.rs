//! One decision, from pressure to steps. The caller takes the steps, and looks
//! again whether the room is there.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::census::{Census, Level, Pressure};
use super::plan::{Step, plan};
use super::policy::MemoryPolicy;
use super::proposal::{Action, Proposal, Why, complete};

/// Somebody who proposes evictions. What it is, this crate does not know.
pub struct Proposer {
    name: String,
    ask: Box<Ask>,
}

type Ask = dyn Fn(&MemoryPolicy, &Census, &Pressure) -> Result<Proposal, String> + Send + Sync;

impl Proposer {
    /// The name is for the trace and the log. `ask` may block until its own
    /// deadline; its error is a reason in words, and the host's order decides
    /// alone.
    pub fn new(
        name: impl Into<String>,
        ask: impl Fn(&MemoryPolicy, &Census, &Pressure) -> Result<Proposal, String>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            ask: Box::new(ask),
        }
    }

    /// Traces and logs show the proposer under this name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Proposer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proposer")
            .field("name", &self.name)
            .finish()
    }
}

/// Everything that led to a decision, and what was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// This is what the steps were decided on: after the proposer has answered.
    pub census: Census,
    /// The question: what was wanted, and how urgently.
    pub pressure: Pressure,
    /// None if nobody was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed: Option<Proposed>,
    /// Proposed actions that the host did not take, with its reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<(Action, Why)>,
    /// These steps are taken in this order; none means that nobody may go.
    pub steps: Vec<Step>,
}

/// What the proposer answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposed {
    /// This is the proposer's own name.
    pub by: String,
    /// Everything it asked for, before any check.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
    /// Why there is no answer; the host's own order decided alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// Decides. `census` is called again after the proposer has answered, since no
/// lock is held meanwhile. A proposer may take its deadline: not on an async
/// thread.
pub fn decide(
    policy: &MemoryPolicy,
    proposer: Option<&Proposer>,
    mut census: impl FnMut() -> Census,
    pressure: &Pressure,
) -> Decision {
    let seen = census();
    let Some(proposer) =
        proposer.filter(|_| pressure.level < Level::Hard && !seen.suffices(pressure, &[]))
    else {
        let steps = plan(policy, &seen, pressure);
        return Decision {
            census: seen,
            pressure: *pressure,
            proposed: None,
            refused: Vec::new(),
            steps,
        };
    };
    let answer = (proposer.ask)(policy, &seen, pressure);
    let now = census();
    let (proposal, failure) = match answer {
        Ok(proposal) => (proposal, None),
        Err(why) => (Proposal::default(), Some(why)),
    };
    let completed = complete(policy, &now, pressure, &proposal);
    Decision {
        census: now,
        pressure: *pressure,
        proposed: Some(Proposed {
            by: proposer.name.clone(),
            actions: proposal.actions,
            failure,
        }),
        refused: completed.refused,
        steps: completed.steps,
    }
}
