//! A speaker's picture and samples of speech, read from the voice's file when
//! somebody looks: they may be megabytes, and nobody speaks with them.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::bounds::{self, LIST_MAX, SPEAKERS_MAX, STYLES_MAX};
use super::defect::Defect;
use super::tensors::Tensors;
use super::{aivmx, manifest};
use crate::error::Error;
use crate::skeleton::Skeleton;
use crate::source::{Graph, unreadable};

/// What a speaker looks and sounds like. Empty where nothing is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Portrait {
    /// The speaker's picture; None if there is none that can be read.
    pub icon: Option<Media>,
    /// Styles that something is told of, in the file's order.
    pub styles: Vec<StylePortrait>,
}

/// What one style looks and sounds like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StylePortrait {
    /// The row of its vector, as [`Style::local_id`](super::Style::local_id).
    pub local_id: u32,
    /// Its own picture; None where the speaker's stands for it.
    pub icon: Option<Media>,
    /// Those whose sound could be read.
    pub samples: Vec<Sample>,
}

/// A recording of a style, as the voice's maker chose it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Encoded as the file has it, commonly WAV.
    pub audio: Media,
    /// The words that are said; empty if they are not told.
    pub transcript: String,
}

/// A file inside of the voice's file, decoded from its `data:` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Such as `image/png`.
    pub kind: String,
    /// As they are, for whoever shows or plays them.
    pub bytes: Vec<u8>,
}

#[derive(Deserialize)]
struct Manifest<'a> {
    #[serde(
        borrow,
        default,
        deserialize_with = "bounds::list::<_, _, SPEAKERS_MAX>"
    )]
    speakers: Option<Vec<Speaker<'a>>>,
}

#[derive(Deserialize)]
struct Speaker<'a> {
    uuid: Option<String>,
    #[serde(borrow)]
    icon: Option<DataUrl<'a>>,
    #[serde(borrow, default, deserialize_with = "bounds::list::<_, _, STYLES_MAX>")]
    styles: Option<Vec<Style<'a>>>,
}

#[derive(Deserialize)]
struct Style<'a> {
    local_id: u32,
    #[serde(borrow)]
    icon: Option<DataUrl<'a>>,
    #[serde(borrow, default, deserialize_with = "bounds::list::<_, _, LIST_MAX>")]
    voice_samples: Option<Vec<VoiceSample<'a>>>,
}

#[derive(Deserialize)]
struct VoiceSample<'a> {
    #[serde(borrow)]
    audio: DataUrl<'a>,
    #[serde(default)]
    transcript: String,
}

/// Lies in the file, not in memory, until it is the one that is asked for.
#[derive(Deserialize)]
#[serde(transparent)]
struct DataUrl<'a>(#[serde(borrow)] Cow<'a, str>);

/// The portrait of a speaker in an `.aivmx`.
pub(super) fn read(told: &Graph, speaker_uuid: &str) -> Result<Portrait, Error> {
    match told {
        Graph::Embedded(model) => find(model, speaker_uuid).map_err(|e| Error::Open(e.to_string())),
        Graph::Built(built) => {
            let held = &built.tensors;
            let tensors = Tensors::read(held).map_err(Defect::from);
            let found = tensors.and_then(|it| {
                let manifest = it.metadata.manifest.unwrap_or_default();
                Ok(of_speaker(aivmx::parse(manifest.as_bytes())?, speaker_uuid))
            });
            found.map_err(|defect| Error::Package {
                path: held.path().to_owned(),
                cause: defect.to_string(),
            })
        }
        Graph::File(held) | Graph::Unlinked(held) => {
            let path = held.path();
            let skeleton = Skeleton::read(held).map_err(|e| unreadable(path, &e))?;
            find(&skeleton, speaker_uuid).map_err(|defect| Error::Package {
                path: path.to_owned(),
                cause: defect.to_string(),
            })
        }
    }
}

pub(super) fn find(model: &[u8], speaker_uuid: &str) -> Result<Portrait, Defect> {
    Ok(of_speaker(aivmx::manifest(model)?, speaker_uuid))
}

fn of_speaker(manifest: Manifest<'_>, speaker_uuid: &str) -> Portrait {
    let mut speakers = manifest.speakers.unwrap_or_default().into_iter();
    let found = speakers.find(|speaker| {
        let uuid = speaker.uuid.clone().map(manifest::canonical);
        uuid.as_deref() == Some(speaker_uuid)
    });
    found.map(portray).unwrap_or_default()
}

fn portray(speaker: Speaker<'_>) -> Portrait {
    let sample = |written: VoiceSample<'_>| {
        Some(Sample {
            audio: written.audio.media()?,
            transcript: written.transcript,
        })
    };
    let style = |written: Style<'_>| {
        let samples = written.voice_samples.unwrap_or_default().into_iter();
        StylePortrait {
            local_id: written.local_id,
            icon: written.icon.and_then(DataUrl::media),
            samples: samples.filter_map(sample).collect(),
        }
    };
    let styles = speaker.styles.unwrap_or_default().into_iter();
    Portrait {
        icon: speaker.icon.and_then(DataUrl::media),
        styles: styles.map(style).collect(),
    }
}

impl DataUrl<'_> {
    /// None for what is no data URL: a voice with a torn picture is still one.
    fn media(self) -> Option<Media> {
        let (head, payload) = self.0.strip_prefix("data:")?.split_once(',')?;
        let kind = head.strip_suffix(";base64")?;
        let bytes = STANDARD.decode(payload.trim_end()).ok()?;
        Some(Media {
            kind: kind.to_owned(),
            bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ONNX file that is nothing but a manifest.
    fn model(manifest: &str) -> Vec<u8> {
        let field = |tag: u8, bytes: &[u8]| {
            let length = u16::try_from(bytes.len()).expect("short");
            let (low, high) = (length & 0x7f, length >> 7);
            let length = [low as u8 | 0x80, high as u8];
            [&[tag], &length[..], bytes].concat()
        };
        let entry = [
            field(0x0a, b"aivm_manifest"),
            field(0x12, manifest.as_bytes()),
        ];
        field(0x72, &entry.concat())
    }

    #[test]
    fn pictures_and_samples_are_bytes() {
        let model = model(
            r#"{ "name": "x", "speakers": [ { "uuid": "AB", "icon": "data:image/png;base64,aWNvbg==",
                "styles": [
                    { "local_id": 3, "icon": "data:image/jpeg;base64,cG9zZQ==", "voice_samples": [
                        { "audio": "data:audio/wav;base64,dG9uZQ==", "transcript": "\u3042" },
                        { "audio": "https://example.com/a.wav", "transcript": "" } ] },
                    { "local_id": 4, "icon": "data:image/png;base64,*", "voice_samples": null } ] } ] }"#,
        );
        let media = |kind: &str, bytes: &[u8]| Media {
            kind: kind.to_owned(),
            bytes: bytes.to_owned(),
        };
        let portrait = find(&model, "ab").expect("a manifest");
        assert_eq!(portrait.icon, Some(media("image/png", b"icon")));
        let [posed, torn] = &portrait.styles[..] else {
            panic!("{portrait:?}");
        };
        assert_eq!(posed.icon, Some(media("image/jpeg", b"pose")));
        let sample = Sample {
            audio: media("audio/wav", b"tone"),
            transcript: "あ".to_owned(),
        };
        assert_eq!(posed.samples, [sample]);
        assert_eq!((torn.local_id, &torn.icon), (4, &None));
        assert_eq!(find(&model, "cd").expect("read"), Portrait::default());
        assert!(find(b"", "ab").is_err());
    }
}
