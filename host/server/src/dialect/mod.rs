//! What people's clients already speak. Each dialect is one file that maps its
//! words to one [`pipeline::Request`], and its own way to tell a failure;
//! places, limits, metrics and request ids are everyone's.

pub mod openai;
pub mod sbv2;
pub mod sbv2_api;
pub mod voicevox;

use utoipa::OpenApi as _;
use utoipa::openapi::{OpenApi as Document, RefOr, Schema};

use crate::http::answer::Answer;
use crate::http::described;
use crate::http::fault::{Fault, Problem};
use crate::http::parts::Part;

/// A failure as the clients of this part expect it.
pub(crate) fn tell(part: Part, fault: &Fault, request_id: &str) -> Answer {
    match part {
        Part::Core => fault.problem(request_id),
        Part::OpenAi => openai::tell(fault),
        Part::Sbv2 | Part::Voicevox => sbv2::tell(fault),
        Part::Sbv2Api => sbv2_api::tell(fault),
    }
}

/// What the routes of a dialect take and answer; none of our own.
pub(crate) fn described(part: Part) -> Option<Document> {
    let document = match part {
        Part::Core => return None,
        Part::OpenAi => openai::Described::openapi(),
        Part::Sbv2 => sbv2::Described::openapi(),
        Part::Sbv2Api => sbv2_api::Described::openapi(),
        Part::Voicevox => voicevox::Described::openapi(),
    };
    Some(document)
}

/// Content type and shape of what [`tell`] tells.
pub(crate) fn told(part: Part) -> (&'static str, RefOr<Schema>) {
    match part {
        Part::Core => (
            "application/problem+json",
            described::reference::<Problem<'_>>(),
        ),
        Part::OpenAi => (
            "application/json",
            described::reference::<openai::Refusal<'_>>(),
        ),
        Part::Sbv2 | Part::Voicevox => (
            "application/json",
            described::reference::<sbv2::Refusal<'_>>(),
        ),
        Part::Sbv2Api => ("text/plain", described::text()),
    }
}
