//! The HTTP of Style-Bert-VITS2's own `server_fastapi.py`: `/voice` and what
//! goes with it. All parameters are in the query, for POST too.
//!
//! Two holes of it stay closed: no parameter names a file of the server
//! (`reference_audio_path`), and `/tools/get_audio` answers from one folder
//! that the operator names, or not at all.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use hyper::StatusCode;
use pipeline::range;
use pipeline::{
    Assist, Delivery, Format, Generation, Loudness, Pauses, Request, Sound, Speaker, Split,
    VoiceRef, VoiceSettings,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::files;
use crate::http::answer::{self, Answer};
use crate::http::described::{self, Entering, Flag, Free, Pinning, SaidMora, Step, Working};
use crate::http::fault::Fault;
use crate::http::parts::Part;
use crate::http::query::{Query, wrong};
use crate::http::route::{Call, Route, routes};
use crate::machine::{self, Machine};
use crate::speak;

pub(crate) fn routes() -> Vec<Route> {
    routes![Part::Sbv2;
        Key "voice" => self::voice;
        Key "sbv2-g2p" => self::g2p;
        Key "models-info" => self::models_info;
        Key "models-refresh" => self::models_refresh;
        Key "status" => self::status;
        Key "get-audio" => self::get_audio;
    ]
}

/// Speaks a text.
#[utoipa::path(
    method(get, post),
    path = "/voice",
    params(Parameters),
    responses(
        described::Wav,
        Entering,
        Working,
        (status = 422, description = "A parameter is wrong or missing, or the text cannot be spoken"),
    ),
)]
pub(crate) async fn voice(call: Call) -> Result<Answer, Fault> {
    let place = call.enter()?;
    let query = Query::new(call.query());
    let generation = call.app.pin()?;
    let mut request = request(&query, &generation)?;
    request
        .pipeline
        .clone_from(&call.app.dialects.sbv2.pipeline);
    let spoken = speak::speak(&call.app, generation, place, request, &call.id).await;
    Ok(spoken.map_err(unprocessable)?.answer())
}

/// With Style-Bert-VITS2's defaults. A parameter that is not named here is
/// passed over.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the document alone reads it")]
struct Parameters {
    #[param(min_length = 1, example = "こんにちは")]
    text: String,
    /// Charset of a `text` that is percent-encoded once more.
    encoding: Option<String>,
    /// Wins over `model_id`.
    model_name: Option<String>,
    /// Place among the names of `/models/info`.
    #[param(default = 0, minimum = 0)]
    model_id: Option<usize>,
    /// Wins over `speaker_id`.
    speaker_name: Option<String>,
    #[param(default = 0)]
    speaker_id: Option<i64>,
    #[param(default = 0.2, minimum = 0.0, maximum = 1.0)]
    sdp_ratio: Option<f32>,
    #[param(default = 0.6, minimum = 0.0, maximum = 2.0)]
    noise: Option<f32>,
    #[param(default = 0.8, minimum = 0.0, maximum = 2.0)]
    noisew: Option<f32>,
    /// More is slower.
    #[param(default = 1.0, minimum = 0.1, maximum = 10.0)]
    length: Option<f32>,
    /// The pipeline must speak it.
    #[param(pattern = "^(JP|EN|ZH)?$")]
    language: Option<String>,
    /// Whether each line is spoken apart.
    #[param(inline, default = true)]
    auto_split: Option<Flag>,
    /// Seconds between lines.
    #[param(default = 0.5, minimum = 0.0, maximum = 60.0)]
    split_interval: Option<f32>,
    /// A text whose mood colours the one that is spoken.
    assist_text: Option<String>,
    #[param(default = 1.0, minimum = 0.0, maximum = 1.0)]
    assist_text_weight: Option<f32>,
    #[param(default = "Neutral")]
    style: Option<String>,
    #[param(default = 1.0, minimum = -10.0, maximum = 50.0)]
    style_weight: Option<f32>,
}

/// What cannot be spoken is wrong in its parameters here.
fn unprocessable(fault: Fault) -> Fault {
    match fault.status {
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => Fault {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            field: fault.field.or_else(|| Some("text".to_owned())),
            ..fault
        },
        _ => fault,
    }
}

/// The parameters with Style-Bert-VITS2's defaults.
fn request(query: &Query<'_>, generation: &Generation) -> Result<Request, Fault> {
    if query.filled("reference_audio_path").is_some() {
        return Err(wrong(
            "reference_audio_path",
            "files of the server are not read for callers; name a `style`",
        ));
    }
    let (name, voice) = model(query, generation)?;
    let package = voice.package();
    let speaker = match query.filled("speaker_name") {
        Some(name) => match package.speaker_ids().find(|(known, _)| *known == name) {
            Some((_, id)) => id,
            None => {
                return Err(wrong(
                    "speaker_name",
                    format!("there is no speaker `{name}`"),
                ));
            }
        },
        None => {
            let id = query.number::<i64>("speaker_id")?.unwrap_or(0);
            if package.speaker_ids().all(|(_, known)| known != id) {
                return Err(wrong("speaker_id", format!("there is no speaker {id}")));
            }
            id
        }
    };
    let style = query.filled("style").unwrap_or("Neutral");
    if package.styles().all(|known| known != style) {
        return Err(wrong("style", format!("there is no style `{style}`")));
    }
    let length = query.within("length", range::LENGTH_SCALE)?.unwrap_or(1.0);
    let pause = query
        .within("split_interval", range::SILENCE)?
        .unwrap_or(0.5);
    // Wrong even if there is no text that it would weigh.
    let weight = query
        .within("assist_text_weight", range::ASSIST_WEIGHT)?
        .unwrap_or(1.0);
    Ok(Request {
        text: text(query)?,
        voice: VoiceRef {
            name: name.to_owned(),
            speaker: Speaker::Numbered(speaker),
        },
        language: match query.filled("language") {
            None => None,
            Some(tag @ ("JP" | "EN" | "ZH")) => Some(language(tag).to_owned()),
            Some(other) => {
                return Err(wrong(
                    "language",
                    format!("`{other}` is none of JP, EN, ZH"),
                ));
            }
        },
        split: Some(match query.flag("auto_split")?.unwrap_or(true) {
            true => Split::Line,
            false => Split::None,
        }),
        assist: query.filled("assist_text").map(|text| Assist {
            text: text.to_owned(),
            weight,
        }),
        settings: VoiceSettings {
            style: Some(style.to_owned()),
            style_weight: Some(
                query
                    .within("style_weight", range::STYLE_WEIGHT)?
                    .unwrap_or(1.0),
            ),
            speed: Some(1.0 / length),
            sdp_ratio: Some(query.within("sdp_ratio", range::SDP_RATIO)?.unwrap_or(0.2)),
            noise: Some(query.within("noise", range::NOISE)?.unwrap_or(0.6)),
            noise_w: Some(query.within("noisew", range::NOISE_W)?.unwrap_or(0.8)),
            ..VoiceSettings::default()
        },
        pauses: Pauses {
            lines: Some(Duration::from_secs_f32(pause)),
            sentences: None,
        },
        sound: Sound {
            format: Format::Wav,
            loudness: Some(Loudness::Whole),
            ..Sound::default()
        },
        delivery: Delivery::Whole,
        ..Request::default()
    })
}

fn language(tag: &str) -> &'static str {
    match tag {
        "EN" => "en",
        "ZH" => "zh",
        _ => "ja",
    }
}

/// `encoding` names the charset of a text that is percent-encoded once more.
/// What is not encoded stays: clients name a charset and send plain text.
fn text(query: &Query<'_>) -> Result<String, Fault> {
    let text = query.needed("text")?;
    if text.is_empty() {
        return Err(wrong("text", "it has at least one character"));
    }
    let Some(label) = query.filled("encoding") else {
        return Ok(text.to_owned());
    };
    // Clients know charsets by Python's names.
    let known = match label.to_ascii_lowercase().replace('_', "-").as_str() {
        "cp932" => encoding_rs::Encoding::for_label(b"windows-31j"),
        known => encoding_rs::Encoding::for_label(known.as_bytes()),
    };
    let encoding =
        known.ok_or_else(|| wrong("encoding", format!("there is no charset `{label}`")))?;
    let mut decoded = String::with_capacity(text.len());
    // A second byte may be an ASCII one, so a run of ASCII is read together.
    let runs = text.as_bytes();
    for run in runs.chunk_by(|one, next| one.is_ascii() == next.is_ascii()) {
        if run.is_ascii() {
            let bytes: Vec<u8> = percent_encoding::percent_decode(run).collect();
            decoded.push_str(&encoding.decode_without_bom_handling(&bytes).0);
        } else {
            decoded.push_str(&String::from_utf8_lossy(run));
        }
    }
    Ok(decoded)
}

/// By name, else by its place among the names.
fn model<'g>(
    query: &Query<'_>,
    generation: &'g Generation,
) -> Result<(&'g str, &'g session::voice::Voice), Fault> {
    let voices = generation.voices();
    let found = match query.filled("model_name") {
        Some(name) => voices.get_key_value(name).ok_or_else(|| {
            wrong(
                "model_name",
                format!("there is no model `{name}`; see /models/info"),
            )
        })?,
        None => {
            let id = query.number::<usize>("model_id")?.unwrap_or(0);
            voices.iter().nth(id).ok_or_else(|| {
                wrong(
                    "model_id",
                    format!("there is no model {id}; see /models/info"),
                )
            })?
        }
    };
    Ok((found.0, found.1))
}

/// Moras with their tones, 0 low and 1 high.
#[utoipa::path(post, path = "/g2p", params(("text" = String, Query, example = "こんにちは")), responses(
    (status = 200, description = "Kana and tone of each mora", body = Vec<SaidMora>),
    Entering,
    Working,
    (status = 422, description = "A parameter is wrong or missing, or the text cannot be read"),
))]
pub(crate) async fn g2p(call: Call) -> Result<Answer, Fault> {
    let _place = call.enter()?;
    let query = Query::new(call.query());
    let generation = call.app.pin()?;
    let pipeline = call.app.dialects.sbv2.pipeline.as_deref();
    let said = pipeline::pronounce(&generation, pipeline, query.needed("text")?).await;
    let said = said.map_err(Fault::from).map_err(unprocessable)?;
    let moras = said.moras.iter().map(|mora| (&mora.kana, mora.tone));
    Ok(answer::json(&moras.collect::<Vec<_>>()))
}

/// The voices by their place.
///
/// Paths are made up: clients take the name of a voice from them, and where
/// files lie is nobody's business.
#[utoipa::path(get, path = "/models/info", responses(
    (status = 200, description = "What `model_id` may be", body = BTreeMap<String, Info>),
    Pinning,
))]
pub(crate) async fn models_info(call: Call) -> Result<Answer, Fault> {
    let generation = call.app.pin()?;
    Ok(answer::json(&info(&generation)))
}

/// Reloads, which keeps what has not changed.
///
/// Bots ask for it whenever they start: it reloads if a file has changed, and
/// otherwise only tells. A refused reload is the operator's to mend,
/// who finds it in the log; the caller gets what is served.
#[utoipa::path(post, path = "/models/refresh", responses(
    (status = 200, description = "As `/models/info`", body = BTreeMap<String, Info>),
    Entering,
))]
pub(crate) async fn models_refresh(call: Call) -> Result<Answer, Fault> {
    let _place = call.enter()?;
    call.app.reloads.refresh().await;
    let generation = call.app.pin()?;
    Ok(answer::json(&info(&generation)))
}

fn info(generation: &Generation) -> BTreeMap<String, Info> {
    let device = generation.device().to_string();
    let models = generation.voices().iter().enumerate();
    models
        .map(|(id, (name, voice))| (id.to_string(), Info::new(name, voice, &device)))
        .collect()
}

#[derive(Serialize, ToSchema)]
#[schema(as = ModelInfo)]
struct Info {
    config_path: String,
    model_path: String,
    device: String,
    /// Speakers by name.
    spk2id: BTreeMap<String, i64>,
    id2spk: BTreeMap<String, String>,
    style2id: BTreeMap<String, u32>,
}

impl Info {
    fn new(name: &str, voice: &session::voice::Voice, device: &str) -> Self {
        let package = voice.package();
        let speakers = || package.speaker_ids();
        let styles = package.style_ids();
        Self {
            config_path: format!("model_assets/{name}/config.json"),
            model_path: format!("model_assets/{name}/{name}.onnx"),
            device: device.to_owned(),
            spk2id: speakers().map(|(name, id)| (name.to_owned(), id)).collect(),
            id2spk: speakers()
                .map(|(name, id)| (id.to_string(), name.to_owned()))
                .collect(),
            style2id: styles.map(|(name, id)| (name.to_owned(), id)).collect(),
        }
    }
}

/// What the machine has and uses.
#[utoipa::path(get, path = "/status", responses(
    (status = 200, description = "Memory in bytes", body = Status),
    (status = 500, description = "The reading was lost"),
    Pinning,
))]
pub(crate) async fn status(call: Call) -> Result<Answer, Fault> {
    let machine = files::aside(machine::read).await?;
    let generation = call.app.pin()?;
    let device = generation.device().to_string();
    Ok(answer::json(&Status::new(device, &machine)))
}

#[derive(Serialize, ToSchema)]
#[schema(as = MachineStatus)]
struct Status {
    devices: Vec<String>,
    /// Since the last reading, 0 to 100.
    cpu_percent: f32,
    memory_total: u64,
    memory_available: u64,
    memory_used: u64,
    memory_percent: f64,
    gpu: Vec<Gpu>,
}

#[derive(Serialize, ToSchema)]
struct Gpu {
    gpu_id: u32,
    /// 0 to 1.
    gpu_load: f64,
    gpu_memory: GpuMemory,
}

#[derive(Serialize, ToSchema)]
struct GpuMemory {
    total: u64,
    used: u64,
    free: u64,
}

impl Status {
    fn new(device: String, machine: &Machine) -> Self {
        let gpu = machine.gpus.iter().map(|gpu| Gpu {
            gpu_id: gpu.id,
            gpu_load: gpu.load,
            gpu_memory: GpuMemory {
                total: gpu.total,
                used: gpu.used,
                free: gpu.total - gpu.used,
            },
        });
        Self {
            devices: vec![device],
            cpu_percent: machine.cpu_percent,
            memory_total: machine.total,
            memory_available: machine.available,
            memory_used: machine.used,
            memory_percent: machine.percent(),
            gpu: gpu.collect(),
        }
    }
}

/// A WAV file of the one folder that the operator names.
#[utoipa::path(get, path = "/tools/get_audio",
    params(("path" = String, Query, pattern = r"\.[Ww][Aa][Vv]$", description = "Within the folder")),
    responses(
        (status = 200, description = "The file", body = described::Sound, content_type = "audio/wav"),
        (status = 404, description = "This server hands out no files"),
        (status = 422, description = "A parameter is missing, or there is no such file"),
    ),
)]
pub(crate) async fn get_audio(call: Call) -> Result<Answer, Fault> {
    let Some(folder) = &call.app.dialects.sbv2.audio_folder else {
        return Err(Fault::caller(
            StatusCode::NOT_FOUND,
            "this server hands out no files; the operator can name a folder in `dialects.sbv2.audio_folder`",
        ));
    };
    let query = Query::new(call.query());
    let path = query.needed("path")?;
    let missing = || wrong("path", format!("there is no WAV file `{path}`"));
    if Path::new(path)
        .extension()
        .is_none_or(|it| !it.eq_ignore_ascii_case("wav"))
    {
        return Err(missing());
    }
    // Links and `..` are followed before the folder is checked.
    let file = tokio::fs::canonicalize(folder.join(path)).await;
    let folder = tokio::fs::canonicalize(folder).await;
    let (Ok(file), Ok(folder)) = (file, folder) else {
        return Err(missing());
    };
    if !file.starts_with(&folder) {
        return Err(missing());
    }
    let bytes = files::read(&file, WAV_MAX).await.map_err(|_| missing())?;
    Ok(answer::with_type("audio/wav", bytes))
}

/// Of a WAV file that is handed out.
const WAV_MAX: u64 = 256 << 20;

/// FastAPI's shape: a list of what is wrong where, or a sentence.
pub(crate) fn tell(fault: &Fault) -> Answer {
    let wrong = |place: &'static str, field| {
        Detail::Wrong([Wrong {
            r#type: "invalid_params",
            msg: &fault.detail,
            loc: std::iter::once(place).chain(field).collect(),
        }])
    };
    let detail = match &fault.field {
        _ if fault.told.is_some() => Detail::Told(fault.told.as_deref()),
        Some(field) => wrong("query", Some(field.as_str())),
        None if fault.status == StatusCode::UNPROCESSABLE_ENTITY => wrong("body", None),
        None => Detail::Sentence(&fault.detail),
    };
    fault.dress(answer::json(&Refusal { detail }))
}

/// FastAPI's error.
#[derive(Serialize, ToSchema)]
#[schema(as = FastApiError)]
pub(crate) struct Refusal<'a> {
    detail: Detail<'a>,
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = FastApiDetail)]
enum Detail<'a> {
    Wrong([Wrong<'a>; 1]),
    Sentence(&'a str),
    /// A dialect's own: a list as above, or an object.
    #[schema(value_type = Free)]
    Told(Option<&'a serde_json::Value>),
}

#[derive(Serialize, ToSchema)]
#[schema(as = FastApiWrong)]
struct Wrong<'a> {
    r#type: &'a str,
    msg: &'a str,
    /// `query` or `body`, then names of fields and numbers of items.
    #[schema(value_type = Vec<Step>)]
    loc: Vec<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charset_is_for_what_is_percent_encoded_once_more() {
        let read = |query: &str| text(&Query::new(query)).map_err(|fault| fault.field);
        for plain in ["utf-8", "UTF8", "shift_jis", "cp932", "euc_jp", ""] {
            let query = format!("text=%E9%9B%A8+a&encoding={plain}");
            assert_eq!(read(&query), Ok("雨 a".to_owned()), "{plain}");
        }
        assert_eq!(
            read("text=%2583A%2583%255C%E9%9B%A8&encoding=shift_jis"),
            Ok("アソ雨".to_owned())
        );
        let wrong = |name: &str| Err(Some(name.to_owned()));
        assert_eq!(read("text=a&encoding=klingon"), wrong("encoding"));
        assert_eq!(read("text="), wrong("text"));
    }
}
