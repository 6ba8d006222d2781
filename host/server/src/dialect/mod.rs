//! What people's clients already speak. Each dialect is one file that maps its
//! words to one [`pipeline::Request`], and its own way to tell a failure;
//! places, limits, metrics and request ids are everyone's.

pub mod openai;
pub mod sbv2;
pub mod sbv2_api;
pub mod voicevox;

use std::sync::Arc;

use hyper::http::Extensions;
use utoipa::openapi::{RefOr, Schema};

use crate::config::Config;

use crate::http::answer::Answer;
use crate::http::described::{self, Shapes};
use crate::http::fault::{Fault, Problem};
use crate::http::parts::Part;

/// What dialects keep between requests, by its type.
pub(crate) fn states(config: &Config) -> Extensions {
    let mut states = Extensions::new();
    let presets = config.dialects.voicevox.presets.clone();
    states.insert(Arc::new(voicevox::presets::Presets::new(presets)));
    states
}

/// A failure as the clients of this part expect it.
pub(crate) fn tell(part: Part, fault: &Fault, request_id: &str) -> Answer {
    match part {
        Part::Core => fault.problem(request_id),
        Part::OpenAi => openai::tell(fault),
        Part::Sbv2 | Part::Voicevox => sbv2::tell(fault),
        Part::Sbv2Api => sbv2_api::tell(fault),
    }
}

/// Content type of what [`tell`] tells, its shape, and what describes that.
pub(crate) fn told(part: Part) -> (&'static str, RefOr<Schema>, Shapes) {
    let mut shapes = Shapes::default();
    let json = "application/json";
    let (content_type, shape) = match part {
        Part::Core => ("application/problem+json", shapes.add::<Problem<'_>>()),
        Part::OpenAi => {
            // Sent in events, which no description of an answer can name.
            shapes.add::<openai::Event<'_>>();
            (json, shapes.add::<openai::Refusal<'_>>())
        }
        Part::Sbv2 | Part::Voicevox => (json, shapes.add::<sbv2::Refusal<'_>>()),
        Part::Sbv2Api => ("text/plain", described::text()),
    };
    (content_type, shape, shapes)
}
