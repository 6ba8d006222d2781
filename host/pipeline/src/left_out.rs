//! What is configured and does not serve as it is written.

/// Something that is configured and could not be prepared.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct LeftOut {
    pub kind: Kind,
    pub name: String,
    pub cause: String,
    /// What served under this name before goes on.
    pub carried_on: bool,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Voice,
    Pipeline,
    /// Of the system, or the user's words of a pipeline.
    Dictionary,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Voice, Self::Pipeline, Self::Dictionary];

    pub fn name(self) -> &'static str {
        match self {
            Self::Voice => "voice",
            Self::Pipeline => "pipeline",
            Self::Dictionary => "dictionary",
        }
    }
}
