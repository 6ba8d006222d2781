//! One request, top to bottom. Stages, metrics and TOML tables share these
//! names.

use std::sync::Arc;
use std::time::Duration;

use session::voice::Voice;
use speech::align;
use speech::moras::{Given, Mora};
use speech::text::NormalizedText;
use speech::wave;

use crate::batch;
use crate::error::Error;
use crate::events;
use crate::features::model_error;
use crate::generation::Generation;
use crate::plan::{Plan, Recital, Verse, blocking};
use crate::policy::Axis;
use crate::request::{Assist, Audio, Delivery, Format, Request, Split};
use crate::spec::Loudness;

/// Text in, audio out. Everything it touches belongs to `generation`.
pub async fn synthesize(generation: &Arc<Generation>, request: Request) -> Result<Audio, Error> {
    let plan = generation.plan(request.pipeline.as_deref())?;
    let limit = plan.spec.limits.deadline.0;
    tokio::time::timeout(limit, speak(generation, plan, request))
        .await
        .unwrap_or(Err(Error::Deadline { limit }))
}

async fn speak(
    generation: &Arc<Generation>,
    plan: &Arc<Plan>,
    request: Request,
) -> Result<Audio, Error> {
    plan.speaks(request.language.as_deref())?;
    let (voice, manner) = cast(generation, plan, &request)?;
    check_colour(&request)?;
    // What is given is for the whole text.
    let split = match request.given {
        Some(_) => Some(Split::None),
        None => request.split,
    };
    let pieces = plan.split(&request.text, split)?;

    let script = stage("normalize", plan.normalize(pieces)).await?; // wasm
    if script.is_empty() {
        return Err(Error::Request(
            "nothing of the text can be spoken".to_owned(),
        ));
    }
    let mut recital = stage("g2p", plan.pronounce(script)).await?; // CPU
    if let Some(given) = &request.given {
        obey(&mut recital, given)?;
    }
    let features = features(generation, plan, &recital, &request);
    let features = stage("bert", features).await?; // cache, else a run
    let buckets = stage("bucket", bucket(plan, voice.family(), &recital)).await?; // wasm, then checked
    let takes = record(generation, &voice, recital, features, buckets, manner);
    let recording = stage("synthesize", takes).await?; // runs
    stage(
        "encode",
        encode(generation, plan, &voice, recording, request.format),
    )
    .await
}

/// The phonemes and tones the caller gives, for those of the frontend.
fn obey(recital: &mut Recital, given: &Given) -> Result<(), Error> {
    for verse in &mut recital.verses {
        let said = speech::moras::say(&verse.utterance, given);
        verse.utterance = Arc::new(said.map_err(|e| Error::Request(e.to_string()))?);
    }
    Ok(())
}

/// How the words of a text would be said, and no sound.
#[derive(Clone, Debug)]
pub struct Pronounced {
    /// As the caller wrote it, and where it begins, in characters.
    pub written: String,
    pub start: usize,
    pub text: String,
    pub moras: Vec<Mora>,
    pub phonemes: Vec<String>,
    /// 0 low, 1 high; one for each phoneme.
    pub tones: Vec<u8>,
    /// Phonemes of each character of the read text, with both end marks.
    pub phonemes_per_character: Vec<usize>,
    pub warnings: Vec<String>,
}

/// The first two stages alone, unsplit: what `koemasu g2p` prints.
pub async fn pronounce(
    generation: &Arc<Generation>,
    pipeline: Option<&str>,
    text: &str,
) -> Result<Pronounced, Error> {
    let plan = generation.plan(pipeline)?;
    let script = stage("normalize", plan.normalize(plan.whole(text)?)).await?;
    let recital = stage("g2p", plan.pronounce(script)).await?;
    match recital.verses.into_iter().next() {
        Some(verse) => Ok(Pronounced::from(verse)),
        None => Ok(Pronounced::nothing(recital.warnings)),
    }
}

/// The same for each sentence, in order, and the warnings of what is none.
pub async fn recite(
    generation: &Arc<Generation>,
    pipeline: Option<&str>,
    text: &str,
    split: Option<Split>,
) -> Result<(Vec<Pronounced>, Vec<String>), Error> {
    let plan = generation.plan(pipeline)?;
    let script = stage("normalize", plan.normalize(plan.split(text, split)?)).await?;
    let recital = stage("g2p", plan.pronounce(script)).await?;
    let verses = recital.verses.into_iter().map(Pronounced::from).collect();
    Ok((verses, recital.warnings))
}

impl From<Verse> for Pronounced {
    fn from(verse: Verse) -> Self {
        Self {
            text: verse.text.as_str().to_owned(),
            moras: speech::moras::of(&verse.utterance),
            phonemes: verse.utterance.phonemes().map(str::to_owned).collect(),
            tones: verse.utterance.tones().to_vec(),
            phonemes_per_character: verse.utterance.phonemes_per_character().to_vec(),
            written: verse.written,
            start: verse.start,
            warnings: verse.warnings,
        }
    }
}

impl Pronounced {
    /// A text of which nothing is left: the two end marks alone.
    fn nothing(warnings: Vec<String>) -> Self {
        let mark = || speech::phoneme::PADDING.to_owned();
        Self {
            written: String::new(),
            start: 0,
            moras: Vec::new(),
            text: String::new(),
            phonemes: vec![mark(), mark()],
            tones: vec![0, 0],
            phonemes_per_character: vec![1, 1],
            warnings,
        }
    }
}

/// Who speaks, and how: a voice and the scalars of its graph.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    pub(crate) speaker: i64,
    pub(crate) style_vector: Vec<f32>,
    pub(crate) length_scale: f32,
    pub(crate) sdp_ratio: f32,
    pub(crate) noise_scale: f32,
    pub(crate) noise_scale_w: f32,
}

fn cast(
    generation: &Generation,
    plan: &Plan,
    request: &Request,
) -> Result<(Arc<Voice>, Manner), Error> {
    let (name, speaker) = match request.voice.split_once('/') {
        Some((name, speaker)) => (name, Some(speaker)),
        None => (request.voice.as_str(), None),
    };
    let voice = generation.voice(name)?;
    let (defaults, delivery) = (&plan.spec.synthesize, &request.delivery);
    check(delivery)?;
    let package = voice.package();
    let style = delivery.style.as_deref().or(defaults.style.as_deref());
    let weight = delivery.style_weight.unwrap_or(defaults.style_weight);
    let manner = Manner {
        speaker: package.speaker(speaker).ok_or_else(|| Error::Unknown {
            kind: "speaker",
            name: speaker.unwrap_or_default().to_owned(),
            known: package.speakers().map(str::to_owned).collect(),
        })?,
        style_vector: package.style(style, weight).ok_or_else(|| Error::Unknown {
            kind: "style",
            name: style.unwrap_or_default().to_owned(),
            known: package.styles().map(str::to_owned).collect(),
        })?,
        length_scale: 1.0 / delivery.speed.unwrap_or(defaults.speed),
        sdp_ratio: delivery.sdp_ratio.unwrap_or(defaults.sdp_ratio),
        noise_scale: delivery.noise.unwrap_or(defaults.noise),
        noise_scale_w: delivery.noise_w.unwrap_or(defaults.noise_w),
    };
    Ok((Arc::clone(voice), manner))
}

/// Refuses what would make a graph run for minutes or answer with noise.
fn check(delivery: &Delivery) -> Result<(), Error> {
    let within = |name: &str, value: Option<f32>, low: f32, high: f32| match value {
        Some(value) if !(low..=high).contains(&value) => Err(Error::Request(format!(
            "`{name}` is {value}; it lies between {low} and {high}"
        ))),
        _ => Ok(()),
    };
    within("speed", delivery.speed, 0.1, 10.0)?;
    within("style_weight", delivery.style_weight, -10.0, 50.0)?;
    within("sdp_ratio", delivery.sdp_ratio, 0.0, 1.0)?;
    within("noise", delivery.noise, 0.0, 2.0)?;
    within("noise_w", delivery.noise_w, 0.0, 2.0)
}

async fn features(
    generation: &Generation,
    plan: &Arc<Plan>,
    recital: &Recital,
    request: &Request,
) -> Result<Vec<Arc<session::bert::Features>>, Error> {
    let colour = Colour {
        assist: assist(generation, plan, request.assist.as_ref()).await?,
        strength: request.bert_strength.unwrap_or(1.0),
    };
    let mut all = Vec::with_capacity(recital.verses.len());
    for verse in &recital.verses {
        let text = verse.utterance.text();
        let features = generation.features.get(plan, &generation.gate, text);
        all.push(colour.apply(features.await?));
    }
    Ok(all)
}

/// The mean of the assisting text's features, and its weight.
async fn assist(
    generation: &Generation,
    plan: &Arc<Plan>,
    assist: Option<&Assist>,
) -> Result<Option<(Vec<f32>, f32)>, Error> {
    let Some(Assist { text, weight }) = assist else {
        return Ok(None);
    };
    let text = NormalizedText::new(text.clone())
        .map_err(|e| Error::Request(format!("`assist_text`: {e}")))?;
    let reader = Arc::clone(plan);
    let utterance =
        blocking(move || Ok(reader.frontend.pronounce_with(&text, &reader.words.user))).await?;
    let features = generation
        .features
        .get(plan, &generation.gate, utterance.text());
    let features = features.await?;
    let mut mean = vec![0.0; features.width];
    for row in features.data.chunks_exact(features.width.max(1)) {
        for (sum, value) in mean.iter_mut().zip(row) {
            *sum += value / features.rows as f32;
        }
    }
    Ok(Some((mean, *weight)))
}

/// What a request does to the features of its text.
struct Colour {
    assist: Option<(Vec<f32>, f32)>,
    strength: f32,
}

impl Colour {
    fn apply(&self, features: Arc<session::bert::Features>) -> Arc<session::bert::Features> {
        if self.assist.is_none() && self.strength == 1.0 {
            return features;
        }
        let mut coloured = session::bert::Features::clone(&features);
        for row in coloured.data.chunks_exact_mut(features.width.max(1)) {
            if let Some((mean, weight)) = &self.assist {
                for (value, mean) in row.iter_mut().zip(mean) {
                    *value = *value * (1.0 - weight) + mean * weight;
                }
            }
            for value in row {
                *value *= self.strength;
            }
        }
        Arc::new(coloured)
    }
}

fn check_colour(request: &Request) -> Result<(), Error> {
    let within = |name: &str, value: Option<f32>, high: f32| match value {
        Some(value) if !(0.0..=high).contains(&value) => Err(Error::Request(format!(
            "`{name}` is {value}; it lies between 0 and {high}"
        ))),
        _ => Ok(()),
    };
    let weight = request.assist.as_ref().map(|assist| assist.weight);
    within("assist_weight", weight, 1.0)?;
    within("bert_strength", request.bert_strength, 2.0)
}

/// One run of the synthesis graph: its tokens and their padded number.
struct Bucketed {
    tokens: align::Tokens,
    padded: usize,
}

async fn bucket(
    plan: &Arc<Plan>,
    family: session::voice::Family,
    recital: &Recital,
) -> Result<Vec<Bucketed>, Error> {
    let family = match family {
        session::voice::Family::JpExtra => align::Family::JpExtra,
        session::voice::Family::Multilingual => align::Family::Multilingual,
    };
    let utterances: Vec<_> = recital
        .verses
        .iter()
        .map(|verse| Arc::clone(&verse.utterance))
        .collect();
    let plan = Arc::clone(plan);
    blocking(move || {
        let bucket = |utterance: &Arc<speech::utterance::Utterance>| {
            let tokens = align::tokens(utterance, family);
            let padded = plan.padded(Axis::Tokens, tokens.ids.len())?;
            events::padded(Axis::Tokens.name(), padded - tokens.ids.len());
            Ok(Bucketed { tokens, padded })
        };
        utterances.iter().map(bucket).collect()
    })
    .await
}

/// The samples of a request, sentence by sentence.
struct Recording {
    takes: Vec<Take>,
    warnings: Vec<String>,
}

struct Take {
    samples: Vec<f32>,
    /// Silence before the next take.
    pause: Duration,
}

async fn record(
    generation: &Generation,
    voice: &Arc<Voice>,
    recital: Recital,
    features: Vec<Arc<session::bert::Features>>,
    buckets: Vec<Bucketed>,
    manner: Manner,
) -> Result<Recording, Error> {
    let mut takes = Vec::with_capacity(recital.verses.len());
    let parts = recital.verses.into_iter().zip(features).zip(buckets);
    for ((verse, features), bucketed) in parts {
        let lane = generation.gate.enter().await?;
        let lease = voice
            .checkout(bucketed.padded, generation.gate.wait())
            .await;
        let mut lease = lease.map_err(|e| model_error(voice.name(), &e))?;
        let (voice, manner) = (Arc::clone(voice), manner.clone());
        let Verse {
            utterance, pause, ..
        } = verse;
        let samples = blocking(move || {
            let input = batch::voice_input(
                &utterance,
                bucketed.tokens,
                &features,
                bucketed.padded,
                &manner,
            );
            let samples = lease
                .run(input)
                .map_err(|e| model_error(voice.name(), &e))?;
            lease.release();
            drop(lane);
            Ok(samples)
        });
        takes.push(Take {
            samples: samples.await?,
            pause,
        });
    }
    Ok(Recording {
        takes,
        warnings: recital.warnings,
    })
}

async fn encode(
    generation: &Generation,
    plan: &Plan,
    voice: &Voice,
    recording: Recording,
    format: Format,
) -> Result<Audio, Error> {
    let loudness = plan.spec.encode.loudness;
    let sampling_rate = voice.package().sampling_rate();
    let generation = generation.number;
    blocking(move || {
        let mut samples = Vec::new();
        let mut pause = Duration::ZERO;
        for take in recording.takes {
            samples.extend(wave::silence(pause.as_secs_f64(), sampling_rate));
            samples.extend(take.samples);
            pause = take.pause;
        }
        match loudness {
            Loudness::Peak => wave::normalize_peak(&mut samples),
            Loudness::None => {}
        }
        let bytes = match format {
            Format::Wav => wave::wav_s16(&samples, sampling_rate),
            Format::Pcm => wave::pcm_s16(&samples),
        };
        Ok(Audio {
            bytes,
            format,
            sampling_rate,
            samples: samples.len(),
            generation,
            warnings: recording.warnings,
        })
    })
    .await
}

/// Runs one stage under its name, and times it even if it is cut short.
async fn stage<T>(
    name: &'static str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let _timer = events::stage(name);
    work.await
}
