//! What is configured and does not serve as it is written.

/// Something that is configured and could not be prepared.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct LeftOut {
    /// Whether a voice, a pipeline or a dictionary.
    pub kind: Kind,
    /// By which it is configured; a dictionary goes by its path.
    pub name: String,
    /// Why it could not be prepared, for the operator.
    pub cause: String,
    /// What served under this name before goes on.
    pub carried_on: bool,
}

/// What may be left out while the rest serves.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A file or folder of the voices.
    Voice,
    /// A file of the pipelines.
    Pipeline,
    /// Of the system, or the user's words of a pipeline.
    Dictionary,
}

impl Kind {
    /// Metrics have a row for each, also where nothing is left out.
    pub const ALL: [Self; 3] = [Self::Voice, Self::Pipeline, Self::Dictionary];

    /// Logs and metrics call it so.
    pub fn name(self) -> &'static str {
        match self {
            Self::Voice => "voice",
            Self::Pipeline => "pipeline",
            Self::Dictionary => "dictionary",
        }
    }
}
