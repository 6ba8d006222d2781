//! Why a request failed, sorted by who can act.

use std::time::Duration;

/// Everything that can go wrong between a [`Request`](crate::Request) and its
/// audio. The edge turns it into a status; nothing here knows HTTP.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The caller sent something that cannot be spoken as it is.
    #[error("{0}")]
    Request(String),

    /// The text, or the part of it that is named, cannot be spoken.
    #[error("{0}")]
    Text(String),

    /// The caller asked for more than one answer may be, or than a run could
    /// ever have: less will do, later will not.
    #[error("{0}")]
    TooLarge(String),

    /// The caller named something this generation does not have.
    #[error("there is no {kind} `{name}`; there is {}", list(.known))]
    Unknown {
        /// In words, such as `voice` or `style`.
        kind: &'static str,
        /// As the caller wrote it.
        name: String,
        /// Those that there are, for whoever reads the message.
        known: Vec<String>,
    },

    /// Everything that could do the work is busy; later will do.
    #[error("all lanes are busy, none came free in {waited:?}")]
    Busy { waited: Duration },

    /// More work is taken in than can be begun in time; later will do.
    #[error(
        "the server has more to say than it can begin in time; there will be room in {after:.0?}"
    )]
    Full { after: Duration },

    /// There is no memory for it now; later will do.
    #[error("there is no room for this now: {cause}")]
    NoRoom { cause: String, waited: Duration },

    /// The pipeline's own time limit ended the request.
    #[error("the deadline of {limit:?} passed before the audio was ready")]
    Deadline { limit: Duration },

    /// A plugin failed and the pipeline says `closed`: the operator can act.
    #[error("plugin `{plugin}` failed: {cause}")]
    Plugin { plugin: String, cause: String },

    /// It is there and cannot serve: the operator can act.
    #[error("{kind} `{name}` cannot serve: {cause}")]
    Broken {
        /// In words, such as `voice` or `pipeline`.
        kind: &'static str,
        /// As it is configured.
        name: String,
        /// Why it was left out of this generation.
        cause: String,
    },

    /// A model failed while it ran: the operator can act.
    #[error("model `{model}` failed: {cause}")]
    Model { model: String, cause: String },

    /// Whoever wanted it has gone, or reads no more; nobody is told.
    #[error("nobody listens any more")]
    Gone,

    /// A worker ended before its answer: ours to mend.
    #[error("the work was lost: {0}")]
    Lost(String),
}

impl Error {
    /// What a model said, sorted anew.
    pub(crate) fn of_model(name: &str, error: &session::Error) -> Self {
        match error {
            session::Error::Busy { waited } => Self::Busy { waited: *waited },
            session::Error::NoWorkspace { waited, .. } => Self::NoRoom {
                cause: error.to_string(),
                waited: *waited,
            },
            // It was alone in the end: later is no better.
            session::Error::OutOfMemory(_) => Self::TooLarge(format!(
                "model `{name}`: {error}, even alone; a shorter sentence would do, or a larger `memory.workspace`"
            )),
            session::Error::NoRoom(_) => Self::NoRoom {
                cause: format!("model `{name}`: {error}"),
                waited: Duration::from_secs(5),
            },
            session::Error::NoSeed => Self::Request(format!("voice `{name}`: {error}")),
            session::Error::TooLarge { .. }
            | session::Error::TooLong { .. }
            | session::Error::Untried { .. } => {
                Self::TooLarge(format!("{error}; a shorter sentence would do"))
            }
            session::Error::Changed { .. } => Self::Broken {
                kind: "model",
                name: name.to_owned(),
                cause: error.to_string(),
            },
            other => Self::Model {
                model: name.to_owned(),
                cause: other.to_string(),
            },
        }
    }

    /// The caller's text is what is wrong.
    pub(crate) fn of_text(self) -> Self {
        match self {
            Self::Request(cause) => Self::Text(cause),
            other => other,
        }
    }

    /// The same of the part that begins `start` characters into the text.
    pub(crate) fn of_part(self, start: usize, part: &str) -> Self {
        let (first, last) = (start + 1, start + part.chars().count());
        let told = |cause| format!("the text from character {first} to {last}: {cause}");
        match self {
            Self::Request(cause) => Self::Text(told(cause)),
            Self::TooLarge(cause) => Self::TooLarge(told(cause)),
            other => other,
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}
