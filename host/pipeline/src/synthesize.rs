//! One request, top to bottom. Stages, metrics and TOML tables share these
//! names.

use std::sync::Arc;
use std::time::{Duration, Instant};

use speech::moras::Given;
use tokio::sync::{mpsc, oneshot};

use crate::cast::{cast, check_sound};
use crate::clock::Clock;
use crate::colour::check_colour;
use crate::error::Error;
use crate::events;
use crate::generation::Generation;
use crate::master::Master;
use crate::perform::Performance;
use crate::plan::{Plan, Recital};
use crate::request::{Answer, Audio, Head, Loudness, Request, Split};
use crate::stream::Stream;

/// Text in, audio out, in one piece. Everything it touches belongs to
/// `generation`.
pub async fn synthesize(generation: &Arc<Generation>, request: Request) -> Result<Audio, Error> {
    let (performance, stream) = begin(generation, request).await?;
    let (spoken, audio) = tokio::join!(performance.run(), stream.collect());
    spoken.and(audio)
}

/// What is decided before the first sound, and where that sound will come
/// from: the caller runs the performance and reads the stream.
pub async fn begin(
    generation: &Arc<Generation>,
    request: Request,
) -> Result<(Performance, Stream), Error> {
    let plan = generation.plan(request.pipeline.as_deref())?;
    let limit = plan.spec.limits.deadline.0;
    let limit = request.deadline.map_or(limit, |asked| asked.min(limit));
    let clock = Arc::new(Clock::new(Instant::now(), limit));
    let rehearsed = rehearse(generation, plan, request, &clock);
    clock.within(rehearsed).await
}

async fn rehearse(
    generation: &Arc<Generation>,
    plan: &Arc<Plan>,
    request: Request,
    clock: &Arc<Clock>,
) -> Result<(Performance, Stream), Error> {
    plan.speaks(request.language.as_deref())?;
    let (voice, manner) = cast(generation, plan, &request)?;
    check_colour(plan, &request)?;
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

    let script = stage("normalize", plan.normalize(pieces)).await?; // wasm
    if script.is_empty() {
        return Err(Error::Text("nothing of the text can be spoken".to_owned()));
    }
    let mut recital = stage("g2p", plan.pronounce(script)).await?; // CPU
    if let Some(given) = &request.given {
        obey(&mut recital, given)?;
    }

    // bert, bucket, synthesize and encode are sentence by sentence: perform.rs
    let voice_rate = voice.package().sampling_rate();
    let head = head(generation, plan, &request, voice_rate, recital.warnings);
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
    let between = recital.verses.split_last().map_or(&[][..], |(_, it)| it);
    let pauses = between.iter().map(|verse| verse.pause);
    master.check_silence(pauses.fold(Duration::ZERO, Duration::saturating_add))?;
    let performance = Performance {
        master,
        sampling_rate: head.sampling_rate,
        answer: head.answer,
        generation: Arc::clone(generation),
        plan: Arc::clone(plan),
        request,
        voice,
        manner,
        verses: recital.verses,
        ticket,
        clock: Arc::clone(clock),
        chunks,
        behind: Some(tell_behind),
    };
    Ok((performance, Stream::new(head, reader, behind)))
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
    let loudness = loudness.unwrap_or(match request.answer {
        Answer::Whole => Loudness::Whole,
        Answer::Stream => Loudness::Running,
    });
    let rate = sound.sampling_rate.unwrap_or(voice_rate);
    Head {
        format: sound.format,
        sampling_rate: sound.format.rate_for(rate),
        channels: sound.channels,
        loudness,
        // Nobody knows the loudest sample before the last one is made.
        answer: match loudness {
            Loudness::Whole => Answer::Whole,
            Loudness::Running | Loudness::None => request.answer,
        },
        generation: generation.number,
        warnings,
    }
}

/// The phonemes and tones the caller gives, for those of the frontend.
fn obey(recital: &mut Recital, given: &Given) -> Result<(), Error> {
    for verse in &mut recital.verses {
        let said = speech::moras::say(&verse.utterance, given);
        verse.utterance = Arc::new(said.map_err(|e| Error::Request(e.to_string()))?);
    }
    Ok(())
}

/// Runs one stage under its name, and times it even if it is cut short.
pub(crate) async fn stage<T>(
    name: &'static str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let _timer = events::stage(name);
    work.await
}
