//! One request, top to bottom. Stages, metrics and TOML tables share these
//! names.

use std::sync::Arc;
use std::time::{Duration, Instant};

use speech::moras::Given;
use tokio::sync::{mpsc, oneshot};

use crate::ahead::Ahead;
use crate::clock::Clock;
use crate::error::Error;
use crate::feature_mix::check_mix;
use crate::generation::Generation;
use crate::job::Job;
use crate::master::Master;
use crate::plan::{Plan, Sentences};
use crate::request::{Audio, Delivery, Head, Loudness, Request, Split};
use crate::stream::Stream;
use crate::synthesis::Synthesis;
use crate::voice_settings::{check_sound, find_voice, settings_of};
use crate::work::stage;

/// Text in, audio out, in one piece. Everything it touches belongs to
/// `generation`.
pub async fn synthesize(generation: &Arc<Generation>, request: Request) -> Result<Audio, Error> {
    let (synthesis, stream) = begin(generation, request).await?;
    let (spoken, audio) = tokio::join!(synthesis.run(), stream.collect());
    spoken.and(audio)
}

/// What is decided before the first sound, and where that sound will come
/// from: the caller runs the synthesis and reads the stream.
pub async fn begin(
    generation: &Arc<Generation>,
    request: Request,
) -> Result<(Synthesis, Stream), Error> {
    let plan = generation.plan(request.pipeline.as_deref())?;
    let limit = plan.spec.limits.deadline.0;
    let limit = request.deadline.map_or(limit, |asked| asked.min(limit));
    let clock = Arc::new(Clock::new(Instant::now(), limit));
    let planned = plan_request(generation, plan, request, &clock);
    clock.within(planned).await
}

async fn plan_request(
    generation: &Arc<Generation>,
    plan: &Arc<Plan>,
    request: Request,
    clock: &Arc<Clock>,
) -> Result<(Synthesis, Stream), Error> {
    plan.speaks(request.language.as_deref())?;
    let voice = find_voice(generation, &request).await?;
    let settings = settings_of(&voice, plan, &request)?;
    check_mix(plan, &request)?;
    check_sound(&request.sound)?;
    // What is given is for the whole text.
    let split = match request.given {
        Some(_) => Some(Split::None),
        None => request.split,
    };
    let pieces = plan.split(&request.text, split, request.pauses)?;
    let characters = request.text.chars().count();
    let ticket = match request.rehearsal {
        true => generation.gate.admit_always(characters),
        false => generation.gate.admit(characters)?,
    };

    let normalized = stage("normalize", plan.normalize(pieces)).await?; // wasm
    if normalized.is_empty() {
        return Err(Error::Text("nothing of the text can be spoken".to_owned()));
    }
    let mut sentences = stage("g2p", plan.pronounce(normalized)).await?; // CPU
    if let Some(given) = &request.given {
        override_reading(&mut sentences, given)?;
    }

    // bert, bucket and synthesize are sentence by sentence, produce.rs; encode is
    // deliver.rs
    let voice_rate = voice.package().sampling_rate();
    let head = head(generation, plan, &request, voice_rate, sentences.warnings);
    let (chunks, reader) = mpsc::channel(CHUNKS);
    let (tell_behind, behind) = oneshot::channel();
    let gate = &generation.gate;
    let master = Master::new(
        request.sound,
        &head,
        voice_rate,
        gate.answers(),
        gate.hold(),
    )?;
    let between = sentences.list.split_last().map_or(&[][..], |(_, it)| it);
    let pauses = between.iter().map(|sentence| sentence.pause);
    master.check_silence(pauses.fold(Duration::ZERO, Duration::saturating_add))?;
    let read_ahead = match head.delivery {
        Delivery::Stream => Some(plan.spec.encode.read_ahead.0),
        Delivery::Whole => None,
    };
    let longest = generation.answers().sound_max.0;
    let ahead = Arc::new(Ahead::new(voice_rate, longest, read_ahead));
    let job = Job {
        generation: Arc::clone(generation),
        plan: Arc::clone(plan),
        request,
        voice,
        settings,
        delivery: head.delivery,
        sampling_rate: head.sampling_rate,
        clock: Arc::clone(clock),
        ahead,
    };
    let synthesis = Synthesis {
        job: Arc::new(job),
        sentences: sentences.list,
        master,
        ticket,
        chunks,
        behind: Some(tell_behind),
    };
    Ok((synthesis, Stream::new(head, reader, behind)))
}

/// Chunks that wait for the reader; a chunk is a window's sound at most.
const CHUNKS: usize = 2;

fn head(
    generation: &Generation,
    plan: &Plan,
    request: &Request,
    voice_rate: u32,
    warnings: Vec<String>,
) -> Head {
    let sound = &request.sound;
    let loudness = sound.loudness.or(plan.spec.encode.loudness);
    let loudness = loudness.unwrap_or(match request.delivery {
        Delivery::Whole => Loudness::Whole,
        Delivery::Stream => Loudness::Running,
    });
    let rate = sound.sampling_rate.unwrap_or(voice_rate);
    Head {
        format: sound.format,
        sampling_rate: sound.format.rate_for(rate),
        channels: sound.channels,
        loudness,
        // Nobody knows the loudest sample before the last one is made.
        delivery: match loudness {
            Loudness::Whole => Delivery::Whole,
            Loudness::Running | Loudness::None => request.delivery,
        },
        generation: generation.number,
        warnings,
    }
}

/// The phonemes and tones the caller gives, for those of the frontend.
fn override_reading(sentences: &mut Sentences, given: &Given) -> Result<(), Error> {
    for sentence in &mut sentences.list {
        let said = speech::moras::say(&sentence.utterance, given);
        sentence.utterance = Arc::new(said.map_err(|e| Error::Request(e.to_string()))?);
    }
    Ok(())
}
