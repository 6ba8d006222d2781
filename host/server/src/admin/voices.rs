//! The operator's view of the voices: who serves, and who could not be loaded.

use std::collections::HashMap;

use pipeline::LeftOut;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::answer::{self, Answer};
use crate::http::described::Pinning;
use crate::http::fault::Fault;
use crate::http::route::Call;

/// Voices that serve, and those that could not be loaded.
#[utoipa::path(get, path = "/admin/voices", responses(
    (status = 200, description = "Each voice by the name that requests use", body = Voices),
    Pinning,
))]
pub async fn list(call: Call) -> Result<Answer, Fault> {
    let generation = call.app.pin()?;
    let report = call.app.live.residency().report();
    let census = report.iter().flat_map(|report| &report.library.voices);
    let tiers: HashMap<_, _> = census
        .map(|voice| (voice.name.as_str(), voice.tier))
        .collect();
    let voices = generation.voices().iter().map(|(name, voice)| {
        let package = voice.package();
        Voice {
            name: name.clone(),
            package: package.name().to_owned(),
            architecture: package.architecture(),
            speakers: package.speakers().map(str::to_owned).collect(),
            styles: package.styles().map(str::to_owned).collect(),
            licence: package.licence().map(str::to_owned),
            sampling_rate: package.sampling_rate(),
            bytes: package.bytes(),
            tier: tiers.get(name.as_str()).copied(),
        }
    });
    Ok(answer::json(&Voices {
        voices: voices.collect(),
        left_out: generation.left_out().to_vec(),
    }))
}

#[derive(Serialize, ToSchema)]
#[schema(as = ServingVoices)]
struct Voices {
    /// Those that serve.
    voices: Vec<Voice>,
    /// What is configured or lies in the folder and could not be prepared.
    left_out: Vec<LeftOut>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ServingVoice)]
struct Voice {
    /// Requests name it so.
    name: String,
    /// As its package says; not unique.
    package: String,
    /// `JP-Extra` or `multilingual`.
    architecture: &'static str,
    speakers: Vec<String>,
    styles: Vec<String>,
    /// Its text or its name; null if the package has none.
    licence: Option<String>,
    /// Samples per second.
    sampling_rate: u32,
    /// Of its model, as it lies in its file.
    bytes: u64,
    /// Where its weights are now: `device`, `host` or `file`.
    tier: Option<&'static str>,
}
