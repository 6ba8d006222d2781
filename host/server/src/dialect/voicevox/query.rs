//! From a text to a query that clients can edit, and back: accent phrases,
//! scales, and what of them can be spoken.

use hyper::StatusCode;
use pipeline::range;
use serde::{Deserialize, Serialize};
use serde_json::json;
use speech::phrases::{self, KanaError, Phrase, PhraseError};

use super::body::{self, Loc, whole};
use super::catalog::Catalog;
use super::presets::{Preset, Presets};
use super::style_id;
use crate::http::answer::{self, Answer};
use crate::http::described::{Asking, Entering, Flag, Pinning, Taking, Working};
use crate::http::fault::Fault;
use crate::http::query::{Query, wrong};
use crate::http::route::Call;

/// How a text is spoken. Clients edit it and send it back.
#[derive(Clone, Debug, Deserialize, Serialize, utoipa::ToSchema)]
pub(super) struct AudioQuery {
    pub(super) accent_phrases: Vec<AccentPhrase>,
    #[serde(rename = "speedScale")]
    #[schema(exclusive_minimum = 0.0)]
    pub(super) speed: f32,
    /// How much of the style; AivisSpeech gave the field this sense.
    #[serde(rename = "intonationScale")]
    #[schema(minimum = 0.0)]
    pub(super) intonation: f32,
    #[serde(rename = "tempoDynamicsScale", default = "one")]
    #[schema(minimum = 0.0)]
    pub(super) tempo_dynamics: f32,
    #[serde(rename = "pitchScale")]
    pub(super) pitch: f32,
    #[serde(rename = "volumeScale")]
    #[schema(minimum = 0.0)]
    pub(super) volume: f32,
    /// Seconds.
    #[serde(rename = "prePhonemeLength")]
    #[schema(minimum = 0.0)]
    pub(super) leading: f32,
    #[serde(rename = "postPhonemeLength")]
    #[schema(minimum = 0.0)]
    pub(super) trailing: f32,
    /// The models decide how long they pause.
    #[serde(rename = "pauseLength", default)]
    #[schema(minimum = 0.0)]
    pub(super) pause: Option<f32>,
    #[serde(rename = "pauseLengthScale", default = "one")]
    #[schema(minimum = 0.0)]
    pub(super) pause_scale: f32,
    #[serde(rename = "outputSamplingRate", deserialize_with = "whole")]
    #[schema(minimum = 8000, maximum = 192_000)]
    pub(super) sampling_rate: i64,
    #[serde(rename = "outputStereo")]
    pub(super) stereo: bool,
    /// The text that was asked for, by which the models find its mood.
    #[serde(default)]
    pub(super) kana: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize, utoipa::ToSchema)]
pub(super) struct AccentPhrase {
    moras: Vec<Mora>,
    #[serde(deserialize_with = "whole")]
    accent: i64,
    #[serde(default)]
    pause_mora: Option<Mora>,
    #[serde(default)]
    is_interrogative: bool,
}

/// Lengths and pitch are always 0: the models keep them to themselves.
#[derive(Clone, Debug, Deserialize, Serialize, utoipa::ToSchema)]
struct Mora {
    text: String,
    #[serde(default)]
    consonant: Option<String>,
    #[serde(default)]
    consonant_length: Option<f32>,
    vowel: String,
    vowel_length: f32,
    pitch: f32,
}

fn one() -> f32 {
    1.0
}

/// Samples per second of a query that nobody has edited.
pub(super) const SAMPLING_RATE: u32 = 44_100;

/// Of a query's JSON: a text is many times as long in moras.
pub(super) const QUERY_BYTES: usize = 2 << 20;

/// From a text to a query that clients can edit.
#[utoipa::path(post, path = "/audio_query",
    params(
        ("text" = String, Query, example = "こんにちは"),
        ("speaker" = i64, Query, description = "Number of a style, as GET /speakers has it"),
        ("core_version" = Option<String>, Query, description = "Passed over"),
    ),
    responses(
        (status = 200, description = "The query", body = AudioQuery),
        Entering,
        Working,
        (status = 400, description = "The text cannot be read"),
        (status = 404, description = "There is no such style"),
        Asking,
        (status = 501, description = "The pipeline does not read in kana"),
    ),
)]
pub(crate) async fn audio_query(call: Call) -> Result<Answer, Fault> {
    let _place = call.enter()?;
    let query = Query::new(call.query());
    let id = style_id(&query)?;
    let text = query.needed("text")?;
    Ok(answer::json(&asked(&call, text, id).await?))
}

/// The same with the scales of a preset.
#[utoipa::path(post, path = "/audio_query_from_preset",
    params(
        ("text" = String, Query, example = "こんにちは"),
        ("preset_id" = i64, Query),
        ("core_version" = Option<String>, Query, description = "Passed over"),
    ),
    responses(
        (status = 200, description = "The query", body = AudioQuery),
        Entering,
        Working,
        (status = 400, description = "The text cannot be read"),
        (status = 404, description = "There is no such style"),
        Asking,
        (status = 501, description = "The pipeline does not read in kana"),
    ),
)]
pub(crate) async fn from_preset(call: Call) -> Result<Answer, Fault> {
    let _place = call.enter()?;
    let query = Query::new(call.query());
    let text = query.needed("text")?;
    query.needed("preset_id")?;
    let id: i64 = query.number("preset_id")?.unwrap_or_default();
    let presets = call.app.state::<Presets>()?.all().await?;
    let preset = presets.into_iter().find(|preset| preset.id == id);
    let preset = preset.ok_or_else(|| wrong("preset_id", format!("there is no preset {id}")))?;
    let asked = asked(&call, text, preset.style_id).await?;
    Ok(answer::json(&asked.with(&preset)))
}

/// The accent phrases of a text, or of kana notation.
#[utoipa::path(post, path = "/accent_phrases",
    params(
        ("text" = String, Query, example = "こんにちは"),
        ("speaker" = i64, Query, description = "Number of a style, as GET /speakers has it"),
        ("is_kana" = inline(Option<Flag>), Query, description = "Whether `text` is kana notation"),
        ("core_version" = Option<String>, Query, description = "Passed over"),
    ),
    responses(
        (status = 200, description = "The phrases", body = Vec<AccentPhrase>),
        Entering,
        Working,
        (status = 400, description = "It is no kana notation, or the text cannot be read"),
        (status = 404, description = "There is no such style"),
        Asking,
        (status = 501, description = "The pipeline does not read in kana"),
    ),
)]
pub(crate) async fn accent_phrases(call: Call) -> Result<Answer, Fault> {
    let _place = call.enter()?;
    let query = Query::new(call.query());
    let id = style_id(&query)?;
    let text = query.needed("text")?;
    if query.flag("is_kana")?.unwrap_or(false) {
        check_style(&call, id)?;
        check_length(&call, text)?;
        let phrases = phrases::parse_kana(text).map_err(bad_kana)?;
        return Ok(answer::json(&shown(&phrases)));
    }
    Ok(answer::json(&asked(&call, text, id).await?.accent_phrases))
}

/// The phrases as they are.
///
/// There is no length and no pitch to fill in: the models keep them to themselves.
#[utoipa::path(post, path = "/mora_data",
    params(
        ("speaker" = i64, Query, description = "Number of a style, as GET /speakers has it"),
        ("core_version" = Option<String>, Query, description = "Passed over"),
    ),
    request_body = Vec<AccentPhrase>,
    responses(
        (status = 200, description = "The phrases", body = Vec<AccentPhrase>),
        Taking,
        Pinning,
        (status = 404, description = "There is no such style"),
        Asking,
    ),
)]
pub(crate) async fn mora_data(mut call: Call) -> Result<Answer, Fault> {
    let body = call.body();
    check_style(&call, style_id(&Query::new(call.query()))?)?;
    let given: Vec<AccentPhrase> = body::parse(&body)?;
    let phrases = given.into_iter().map(AccentPhrase::without_numbers);
    Ok(answer::json(&phrases.collect::<Vec<_>>()))
}

/// Whether a text is kana notation.
#[utoipa::path(post, path = "/validate_kana",
    params(("text" = String, Query, example = "コンニチワ'")),
    responses(
        (status = 200, description = "It is", body = bool, content_type = "application/json"),
        Pinning,
        (status = 400, description = "It is none, and why"),
        Asking,
    ),
)]
pub(crate) async fn validate_kana(call: Call) -> Result<Answer, Fault> {
    let query = Query::new(call.query());
    let text = query.needed("text")?;
    check_length(&call, text)?;
    phrases::parse_kana(text).map_err(bad_kana)?;
    Ok(answer::json(&true))
}

/// VOICEVOX's own object for it.
fn bad_kana(error: KanaError) -> Fault {
    let (name, value) = error.argument();
    let told = json!({
        "text": error.to_string(),
        "error_name": error.name(),
        "error_args": { name: value },
    });
    Fault {
        told: Some(Box::new(told)),
        ..Fault::caller(StatusCode::BAD_REQUEST, error.to_string())
    }
}

/// Kana notation is as long as a text may be.
fn check_length(call: &Call, text: &str) -> Result<(), Fault> {
    let generation = call.app.pin()?;
    let pipeline = call.app.dialects.voicevox.pipeline.as_deref();
    Ok(generation.plan(pipeline)?.check_text("`text`", text)?)
}

fn check_style(call: &Call, id: i64) -> Result<(), Fault> {
    let generation = call.app.pin()?;
    Catalog::of(&generation).style(id).map(drop)
}

/// The query of a text as the pipeline reads it.
async fn asked(call: &Call, text: &str, id: i64) -> Result<AudioQuery, Fault> {
    let generation = call.app.pin()?;
    Catalog::of(&generation).style(id)?;
    let pipeline = call.app.dialects.voicevox.pipeline.as_deref();
    let said = pipeline::pronounce(&generation, pipeline, text).await?;
    let phrases = phrases::of(&said.moras).map_err(|e| {
        let detail = format!("this pipeline does not read in kana: {e}");
        Fault::operator(StatusCode::NOT_IMPLEMENTED, detail)
    })?;
    Ok(AudioQuery {
        accent_phrases: shown(&phrases),
        speed: 1.0,
        intonation: 1.0,
        tempo_dynamics: 1.0,
        pitch: 0.0,
        volume: 1.0,
        leading: 0.1,
        trailing: 0.1,
        pause: None,
        pause_scale: 1.0,
        sampling_rate: SAMPLING_RATE.into(),
        stereo: false,
        kana: Some(text.to_owned()),
    })
}

fn shown(phrases: &[Phrase]) -> Vec<AccentPhrase> {
    let phrase = |phrase: &Phrase| AccentPhrase {
        moras: phrase.moras().iter().map(Mora::of).collect(),
        accent: i64::try_from(phrase.accent()).unwrap_or(i64::MAX),
        pause_mora: phrase.has_pause().then(Mora::pause),
        is_interrogative: phrase.is_interrogative(),
    };
    phrases.iter().map(phrase).collect()
}

impl Mora {
    fn of(mora: &phrases::Mora) -> Self {
        Self {
            text: mora.text().to_owned(),
            consonant: mora.consonant().map(str::to_owned),
            consonant_length: mora.consonant().map(|_| 0.0),
            vowel: mora.vowel().to_owned(),
            vowel_length: 0.0,
            pitch: 0.0,
        }
    }

    fn pause() -> Self {
        Self {
            text: "、".to_owned(),
            consonant: None,
            consonant_length: None,
            vowel: "pau".to_owned(),
            vowel_length: 0.0,
            pitch: 0.0,
        }
    }

    fn without_numbers(self) -> Self {
        Self {
            consonant_length: self.consonant.as_ref().map(|_| 0.0),
            vowel_length: 0.0,
            pitch: 0.0,
            ..self
        }
    }
}

impl AccentPhrase {
    fn without_numbers(self) -> Self {
        Self {
            moras: self.moras.into_iter().map(Mora::without_numbers).collect(),
            pause_mora: self.pause_mora.map(Mora::without_numbers),
            ..self
        }
    }

    /// `questions`: whether a question without a mark gets one.
    fn checked(&self, loc: &Loc, questions: bool) -> Result<Phrase, Fault> {
        let texts: Vec<_> = self.moras.iter().map(|mora| mark(&mora.text)).collect();
        let accent = usize::try_from(self.accent).unwrap_or(0);
        let phrase = Phrase::new(&texts, accent).map_err(|error| {
            let loc = match &error {
                PhraseError::NoMora => loc.at("moras"),
                PhraseError::Accent { .. } => loc.at("accent"),
                PhraseError::Mora { place, .. } => {
                    loc.at("moras").at(place.saturating_sub(1)).at("text")
                }
            };
            loc.wrong(error.to_string())
        })?;
        let phrase = match &self.pause_mora {
            Some(_) => phrase.with_pause(),
            None => phrase,
        };
        Ok(match self.is_interrogative && questions {
            true => phrase.asked(),
            false => phrase,
        })
    }
}

/// Marks as the models have them, for those who write them as VOICEVOX does.
fn mark(text: &str) -> &str {
    match text {
        "、" | "，" => ",",
        "。" | "．" => ".",
        "？" => "?",
        "！" => "!",
        other => other,
    }
}

impl AudioQuery {
    /// Its phrases, if all of it can be spoken. `loc` is where it stands.
    pub(super) fn checked(&self, loc: &Loc, questions: bool) -> Result<Vec<Phrase>, Fault> {
        self.check_numbers(loc)?;
        let loc = loc.at("accent_phrases");
        let phrases = self.accent_phrases.iter().enumerate();
        phrases
            .map(|(place, phrase)| phrase.checked(&loc.at(place), questions))
            .collect()
    }

    fn check_numbers(&self, loc: &Loc) -> Result<(), Fault> {
        let within = |name: &str, value: f32, range: std::ops::RangeInclusive<f32>| match range
            .contains(&value)
        {
            true => Ok(()),
            false => Err(loc.at(name).wrong(format!(
                "it is {value}; it lies between {} and {}",
                range.start(),
                range.end()
            ))),
        };
        within("speedScale", self.speed, f32::MIN_POSITIVE..=f32::MAX)?;
        within("pitchScale", self.pitch, f32::MIN..=f32::MAX)?;
        for (name, value) in [
            ("intonationScale", self.intonation),
            ("tempoDynamicsScale", self.tempo_dynamics),
            ("volumeScale", self.volume),
            ("pauseLength", self.pause.unwrap_or_default()),
            ("pauseLengthScale", self.pause_scale),
        ] {
            within(name, value, 0.0..=f32::MAX)?;
        }
        let longest = range::SILENCE.high * self.speed;
        within("prePhonemeLength", self.leading, 0.0..=longest)?;
        within("postPhonemeLength", self.trailing, 0.0..=longest)?;
        match range::SAMPLING_RATE.has(self.sampling_rate as f32) {
            true => Ok(()),
            false => Err(loc.at("outputSamplingRate").wrong(format!(
                "it is {}; it lies between {}",
                self.sampling_rate,
                range::SAMPLING_RATE
            ))),
        }
    }

    fn with(self, preset: &Preset) -> Self {
        Self {
            speed: preset.speed,
            intonation: preset.intonation,
            tempo_dynamics: preset.tempo_dynamics,
            pitch: preset.pitch,
            volume: preset.volume,
            leading: preset.leading,
            trailing: preset.trailing,
            pause: preset.pause,
            pause_scale: preset.pause_scale,
            ..self
        }
    }
}
