//! Who speaks, and how: a request's names and numbers, checked against the
//! voice and the pipeline's defaults.

use std::sync::Arc;

use session::package::Package;
use session::voice::Voice;
use sound::prosody::Change;

use crate::error::Error;
use crate::generation::Generation;
use crate::plan::Plan;
use crate::range::{self, Range};
use crate::request::{Request, Sound, Speaker, VoiceSettings};

/// Who speaks, and how: a voice and the scalars of its graph.
#[derive(Clone, Debug)]
pub(crate) struct SynthesisSettings {
    pub(crate) speaker: i64,
    pub(crate) style_vector: Vec<f32>,
    pub(crate) length_scale: f32,
    pub(crate) sdp_ratio: f32,
    pub(crate) noise_scale: f32,
    pub(crate) noise_scale_w: f32,
    pub(crate) seed: Option<u64>,
    /// Of pitch, once the samples are there.
    pub(crate) change: Change,
}

pub(crate) fn settings_of(
    voice: &Voice,
    plan: &Plan,
    request: &Request,
) -> Result<SynthesisSettings, Error> {
    let (defaults, asked) = (&plan.spec.synthesize, &request.settings);
    check(asked)?;
    let package = voice.package();
    let style = asked.style.as_deref().or(defaults.style.as_deref());
    let weight = asked.style_weight.unwrap_or(defaults.style_weight);
    let settings = SynthesisSettings {
        speaker: speaker(package, &request.voice.speaker)?,
        style_vector: package.style(style, weight).ok_or_else(|| Error::Unknown {
            kind: "style",
            name: style.unwrap_or_default().to_owned(),
            known: package.styles().map(str::to_owned).collect(),
        })?,
        length_scale: 1.0 / asked.speed.unwrap_or(defaults.speed),
        sdp_ratio: asked.sdp_ratio.unwrap_or(defaults.sdp_ratio),
        noise_scale: asked.noise.unwrap_or(defaults.noise),
        noise_scale_w: asked.noise_w.unwrap_or(defaults.noise_w),
        seed: asked.seed,
        change: Change {
            pitch: asked.pitch.unwrap_or(1.0),
            intonation: asked.intonation.unwrap_or(1.0),
        },
    };
    Ok(settings)
}

/// The voice that a request names, or that its mix makes.
pub(crate) async fn find_voice(
    generation: &Arc<Generation>,
    request: &Request,
) -> Result<Arc<Voice>, Error> {
    if request.mix.is_empty() {
        return generation.voice(&request.voice.name).map(Arc::clone);
    }
    if !request.voice.name.is_empty() {
        return Err(Error::Request(
            "`mix` says who speaks; leave `voice` out".to_owned(),
        ));
    }
    let weights = generation.mixes.weights(&request.mix)?;
    for share in &request.mix {
        generation.voice(&share.voice)?;
    }
    generation.mixes.voice(&request.mix, weights).await
}

/// The graph's number of a speaker.
fn speaker(package: &Package, wanted: &Speaker) -> Result<i64, Error> {
    let mut ids = package.speaker_ids();
    let (found, name) = match wanted {
        Speaker::First => (ids.next(), String::new()),
        Speaker::Numbered(number) => (ids.find(|(_, id)| id == number), number.to_string()),
        Speaker::Written(text) => {
            let named = ids.find(|(known, _)| known == text);
            let number: Option<i64> = text.parse().ok();
            let numbered = || package.speaker_ids().find(|(_, id)| Some(*id) == number);
            (named.or_else(numbered), text.clone())
        }
    };
    found.map(|(_, id)| id).ok_or_else(|| Error::Unknown {
        kind: "speaker",
        name,
        known: package.speakers().map(str::to_owned).collect(),
    })
}

/// Refuses what would make a graph run for minutes or answer with noise.
fn check(asked: &VoiceSettings) -> Result<(), Error> {
    within("speed", asked.speed, range::SPEED)?;
    within("style_weight", asked.style_weight, range::STYLE_WEIGHT)?;
    within("sdp_ratio", asked.sdp_ratio, range::SDP_RATIO)?;
    within("noise", asked.noise, range::NOISE)?;
    within("noise_w", asked.noise_w, range::NOISE_W)?;
    within("pitch", asked.pitch, range::PITCH)?;
    within("intonation", asked.intonation, range::INTONATION)
}

/// What can be made of the samples.
pub(crate) fn check_sound(sound: &Sound) -> Result<(), Error> {
    let rate = sound.sampling_rate.map(|rate| rate as f32);
    within("sampling_rate", rate, range::SAMPLING_RATE)?;
    within("volume", Some(sound.volume), range::VOLUME)?;
    let (leading, trailing) = (sound.leading, sound.trailing);
    within(
        "leading silence",
        Some(leading.as_secs_f32()),
        range::SILENCE,
    )?;
    within(
        "trailing silence",
        Some(trailing.as_secs_f32()),
        range::SILENCE,
    )?;
    if !sound.format.offered() {
        return Err(Error::Request(format!(
            "`{}` is not built into this server; it offers {}",
            sound.format.name(),
            offered().join(", ")
        )));
    }
    Ok(())
}

/// Names of the formats that this program can write.
fn offered() -> Vec<&'static str> {
    let offered = sound::Format::ALL.iter().filter(|it| it.offered());
    offered.map(|it| it.name()).collect()
}

pub(crate) fn within(name: &str, value: Option<f32>, range: Range) -> Result<(), Error> {
    match value {
        Some(value) if !range.has(value) => Err(Error::Request(format!(
            "`{name}` is {value}; it lies between {range}"
        ))),
        _ => Ok(()),
    }
}
