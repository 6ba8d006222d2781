//! Sets of scales that clients keep on the server: in the operator's file, or
//! in memory until the end.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use hyper::StatusCode;
use pipeline::document::OpenError;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::body::{self, Loc, whole};
use crate::files;
use crate::http::fault::Fault;

const NAME_MAX: usize = 200;

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, utoipa::ToSchema)]
pub(super) struct Preset {
    #[serde(deserialize_with = "whole")]
    pub(super) id: i64,
    name: String,
    speaker_uuid: String,
    #[serde(deserialize_with = "whole")]
    pub(super) style_id: i64,
    #[serde(rename = "speedScale")]
    pub(super) speed: f32,
    #[serde(rename = "intonationScale")]
    pub(super) intonation: f32,
    #[serde(rename = "tempoDynamicsScale", default = "one")]
    pub(super) tempo_dynamics: f32,
    #[serde(rename = "pitchScale")]
    pub(super) pitch: f32,
    #[serde(rename = "volumeScale")]
    pub(super) volume: f32,
    #[serde(rename = "prePhonemeLength")]
    pub(super) leading: f32,
    #[serde(rename = "postPhonemeLength")]
    pub(super) trailing: f32,
    #[serde(rename = "pauseLength", default)]
    pub(super) pause: Option<f32>,
    #[serde(rename = "pauseLengthScale", default = "one")]
    pub(super) pause_scale: f32,
}

fn one() -> f32 {
    1.0
}

/// All presets of a server.
pub(crate) struct Presets {
    /// The truth, if there is one; else memory is.
    file: Option<PathBuf>,
    memory: Mutex<Vec<Preset>>,
    /// One change at a time: each reads what it writes.
    changes: Semaphore,
}

/// TOML has no list at its top.
#[derive(Default, Deserialize, Serialize)]
struct File {
    #[serde(default)]
    preset: Vec<Preset>,
}

pub(super) fn reads(document: &pipeline::document::Document) -> bool {
    document.read::<File>().is_ok()
}

impl Presets {
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Self {
            file,
            memory: Mutex::default(),
            changes: Semaphore::new(1),
        }
    }

    pub(super) async fn all(&self) -> Result<Vec<Preset>, Fault> {
        let Some(file) = &self.file else {
            let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            return Ok(memory.clone());
        };
        let unreadable = |cause: &dyn std::fmt::Display| {
            let detail = format!("presets: {cause}");
            Fault::operator(StatusCode::INTERNAL_SERVER_ERROR, detail)
        };
        match files::document(file).await {
            Ok(document) => {
                let file: File = document.read().map_err(|e| unreadable(&e))?;
                Ok(file.preset)
            }
            Err(OpenError::Read { cause, .. }) if cause.kind() == ErrorKind::NotFound => {
                Ok(Vec::new())
            }
            Err(e) => Err(unreadable(&e)),
        }
    }

    /// All of the change, or nothing.
    pub(super) async fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<Preset>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let stopping = |_| Fault::later("the server is stopping", 1);
        let _turn = self.changes.acquire().await.map_err(stopping)?;
        let mut presets = self.all().await?;
        let changed = change(&mut presets)?;
        match &self.file {
            Some(path) => {
                let file = File { preset: presets };
                let text = toml::to_string(&file).map_err(|e| {
                    Fault::operator(StatusCode::INTERNAL_SERVER_ERROR, e.to_string())
                })?;
                files::replace(path, text.into_bytes()).await?;
            }
            None => *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = presets,
        }
        Ok(changed)
    }
}

impl Preset {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Fault> {
        let preset: Self = body::parse(body)?;
        let loc = Loc::body();
        for (field, text) in [
            ("name", &preset.name),
            ("speaker_uuid", &preset.speaker_uuid),
        ] {
            if text.chars().count() > NAME_MAX {
                return Err(loc
                    .at(field)
                    .wrong(format!("it has {NAME_MAX} characters at most")));
            }
        }
        match preset.scales().iter().all(|scale| scale.is_finite()) {
            true => Ok(preset),
            false => Err(loc.wrong("a number is too large")),
        }
    }

    fn scales(&self) -> [f32; 9] {
        [
            self.speed,
            self.intonation,
            self.tempo_dynamics,
            self.pitch,
            self.volume,
            self.leading,
            self.trailing,
            self.pause.unwrap_or_default(),
            self.pause_scale,
        ]
    }
}
