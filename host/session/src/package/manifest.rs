//! Who made a voice, who speaks in it and how: what an AIVM manifest says, and
//! what stands in for it where a package has none.
//!
//! Only what is small. Pictures and samples of speech are megabytes, and are
//! read again by `portrait` when somebody looks.

use serde::Deserialize;
use uuid::Uuid;

use super::bounds::{self, LIST_MAX, SPEAKERS_MAX, STYLES_MAX};
use super::style_id;
use super::styles::Styles;
use crate::family::Family;

/// The version of a voice that does not say its own.
const FIRST_VERSION: &str = "1.0.0";
/// Under which names become uuids. Made once, by chance.
const NAMESPACE: Uuid = Uuid::from_u128(0x8595887d_b109_4ebf_8693_68848f66be2a);

/// What is told of a voice besides its name and its licence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// In lower case; made of the voice's name if the manifest has none.
    pub uuid: String,
    /// As the manifest writes it; `1.0.0` if it does not.
    pub version: String,
    /// Empty if nothing is told.
    pub description: String,
    /// Empty if nobody is named.
    pub creators: Vec<String>,
    /// None if it is not told.
    pub training_epochs: Option<u64>,
    /// None if it is not told.
    pub training_steps: Option<u64>,
    /// Those that the graph can speak with, and at least one.
    pub speakers: Vec<Speaker>,
}

/// One of the people that a graph can speak as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speaker {
    /// In lower case; made of the names if the manifest has none.
    pub uuid: String,
    /// As it is shown.
    pub name: String,
    /// As requests name it; nearly always the same.
    pub key: String,
    /// BCP 47.
    pub languages: Vec<String>,
    /// The graph's `sid`.
    pub local_id: i64,
    /// Those that the package has vectors for, and at least one.
    pub styles: Vec<Style>,
}

/// One way in which a speaker speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    /// As it is shown.
    pub name: String,
    /// As requests name it; nearly always the same.
    pub key: String,
    /// The row of its vector.
    pub local_id: u32,
}

impl Manifest {
    /// The speaker and the style that a client of VOICEVOX means.
    pub fn style(&self, id: u32) -> Option<(&Speaker, &Style)> {
        let mut styles = self.speakers.iter().flat_map(|speaker| {
            let of = move |style| (speaker, style);
            speaker.styles.iter().map(of)
        });
        styles.find(|(speaker, style)| speaker.style_id(style) == Some(id))
    }

    /// For a package that says nothing of itself: its uuids are made of names,
    /// so they stay as long as these do.
    pub(super) fn of_names(
        voice: &str,
        speakers: &[(String, i64)],
        styles: &Styles,
        family: Option<Family>,
    ) -> Self {
        let languages: &[&str] = match family {
            Some(Family::Multilingual) => &["ja", "en", "zh"],
            Some(Family::JpExtra) | None => &["ja"],
        };
        let styles: Vec<_> = styles
            .rows()
            .map(|(name, local_id)| Style {
                name: name.to_owned(),
                key: name.to_owned(),
                local_id,
            })
            .collect();
        let speaker = |(name, local_id): &(String, i64)| Speaker {
            uuid: speaker_uuid(voice, name),
            name: name.clone(),
            key: name.clone(),
            languages: languages.iter().map(|code| (*code).to_owned()).collect(),
            local_id: *local_id,
            styles: styles.clone(),
        };
        Self {
            uuid: uuid(&[voice]),
            version: FIRST_VERSION.to_owned(),
            description: String::new(),
            creators: Vec::new(),
            training_epochs: None,
            training_steps: None,
            speakers: speakers.iter().map(speaker).collect(),
        }
    }
}

impl Speaker {
    /// None for a style beyond those that clients of VOICEVOX can name.
    pub fn style_id(&self, style: &Style) -> Option<u32> {
        style_id(&self.uuid, style.local_id)
    }
}

/// The manifest as it is written. Files that lack anything but the name were
/// always voices.
#[derive(Debug, Deserialize)]
pub(super) struct Written {
    pub(super) name: String,
    pub(super) license: Option<String>,
    uuid: Option<String>,
    version: Option<String>,
    description: Option<String>,
    #[serde(default, deserialize_with = "bounds::list::<_, _, LIST_MAX>")]
    creators: Option<Vec<String>>,
    training_epochs: Option<u64>,
    training_steps: Option<u64>,
    #[serde(default, deserialize_with = "bounds::list::<_, _, SPEAKERS_MAX>")]
    speakers: Option<Vec<WrittenSpeaker>>,
}

#[derive(Debug, Deserialize)]
struct WrittenSpeaker {
    name: String,
    uuid: Option<String>,
    #[serde(default, deserialize_with = "bounds::list::<_, _, LIST_MAX>")]
    supported_languages: Option<Vec<String>>,
    local_id: i64,
    #[serde(default, deserialize_with = "bounds::list::<_, _, STYLES_MAX>")]
    styles: Option<Vec<WrittenStyle>>,
}

#[derive(Debug, Deserialize)]
struct WrittenStyle {
    name: String,
    local_id: u32,
}

impl Written {
    /// What is written, over what stands in for it. Speakers and styles that
    /// the package does not have are not promised to anybody.
    pub(super) fn over(self, own: &Manifest) -> Manifest {
        let speakers = self.speakers.unwrap_or_default().into_iter();
        let speakers: Vec<_> = speakers
            .filter_map(|written| {
                let local_id = written.local_id;
                let known = own.speakers.iter().find(|own| own.local_id == local_id)?;
                let speaker = written.over(known, &self.name);
                (!speaker.styles.is_empty()).then_some(speaker)
            })
            .collect();
        Manifest {
            uuid: self.uuid.map_or_else(|| uuid(&[&self.name]), canonical),
            version: self.version.unwrap_or_else(|| own.version.clone()),
            description: self.description.unwrap_or_default(),
            creators: self.creators.unwrap_or_default(),
            training_epochs: self.training_epochs,
            training_steps: self.training_steps,
            speakers: match speakers.is_empty() {
                true => own.speakers.clone(),
                false => speakers,
            },
        }
    }
}

impl WrittenSpeaker {
    fn over(self, own: &Speaker, voice: &str) -> Speaker {
        let styles = self.styles.unwrap_or_default().into_iter();
        let styles = styles.filter_map(|written| {
            let mut known = own.styles.iter();
            let known = known.find(|own| own.local_id == written.local_id)?;
            Some(Style {
                name: written.name,
                ..known.clone()
            })
        });
        Speaker {
            uuid: self
                .uuid
                .map_or_else(|| speaker_uuid(voice, &self.name), canonical),
            name: self.name,
            key: own.key.clone(),
            languages: self
                .supported_languages
                .unwrap_or_else(|| own.languages.clone()),
            local_id: own.local_id,
            styles: styles.collect(),
        }
    }
}

/// Ids are made of the uuid's text, so there is one way to write it.
pub(super) fn canonical(uuid: String) -> String {
    uuid.to_ascii_lowercase()
}

fn speaker_uuid(voice: &str, speaker: &str) -> String {
    uuid(&[voice, speaker])
}

/// A uuid of version 3: the MD5 of a name.
fn uuid(names: &[&str]) -> String {
    Uuid::new_v3(&NAMESPACE, names.join("\n").as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::family::STYLE_WIDTH;
    use crate::package::styles::Vectors;

    /// Two speakers and two styles, whose rows have a gap.
    fn own() -> Manifest {
        let vectors = vec![0.0; 3 * STYLE_WIDTH];
        let vectors = Vectors::new(3, STYLE_WIDTH, &vectors).expect("good vectors");
        let styles = [("Neutral", 0), ("Happy", 2)].map(|(name, row)| (name.to_owned(), row));
        let styles = Styles::named(&styles.into(), vectors).expect("styles");
        let speakers = [("haru", 0), ("aki", 1)].map(|(name, id)| (name.to_owned(), id));
        Manifest::of_names("seasons", &speakers, &styles, Some(Family::JpExtra))
    }

    fn over(written: Value) -> Manifest {
        let written: Written = serde_json::from_value(written).expect("a manifest");
        written.over(&own())
    }

    #[test]
    fn names_make_uuids_that_stay() {
        let own = own();
        let haru = &own.speakers[0];
        // By Python: `uuid.uuid3(UUID("8595887d-b109-4ebf-8693-68848f66be2a"), name)`.
        assert_eq!(own.uuid, "0708d2a1-c553-35b3-b4fe-b51ffc0c38d4");
        assert_eq!(haru.uuid, "90545370-3772-384c-b9d9-ab7874141982");
        let rows: Vec<_> = haru.styles.iter().map(|style| style.local_id).collect();
        assert_eq!(rows, [0, 2]);
    }

    #[test]
    fn a_style_is_found_by_its_id() {
        let own = own();
        let aki = &own.speakers[1];
        let id = aki.style_id(&aki.styles[1]).expect("an id");
        let (speaker, style) = own.style(id).expect("a style");
        assert_eq!(
            (speaker.name.as_str(), style.name.as_str()),
            ("aki", "Happy")
        );
        assert_eq!(own.style(id ^ 1), None);
    }

    #[test]
    fn a_name_alone_is_a_manifest() {
        let manifest = over(json!({ "name": "seasons" }));
        assert_eq!(manifest, own());
    }

    #[test]
    fn what_is_written_stands_and_what_is_not_there_is_not_promised() {
        let style = |name: &str, local_id: u32| json!({ "name": name, "local_id": local_id });
        let manifest = over(json!({
            "name": "seasons",
            "uuid": "ABCDEF01-2345-4789-8BCD-EF0123456789",
            "version": "2.1.0",
            "creators": ["somebody"],
            "training_epochs": 100,
            "speakers": [
                { "name": "Spring", "local_id": 0, "supported_languages": ["ja", "en-US"],
                  "styles": [style("Calm", 0), style("Gap", 1), style("Joy", 2)] },
                { "name": "Winter", "local_id": 7, "styles": [style("Calm", 0)] },
                { "name": "Autumn", "local_id": 1, "styles": [] },
            ],
        }));
        assert_eq!(manifest.uuid, "abcdef01-2345-4789-8bcd-ef0123456789");
        assert_eq!(manifest.version, "2.1.0");
        assert_eq!(manifest.creators, ["somebody"]);
        assert_eq!(manifest.training_epochs, Some(100));
        let [spring] = &manifest.speakers[..] else {
            panic!("{:?}", manifest.speakers);
        };
        assert_eq!(
            (spring.name.as_str(), spring.key.as_str()),
            ("Spring", "haru")
        );
        assert_eq!(spring.languages, ["ja", "en-US"]);
        let styles = spring.styles.iter();
        let styles: Vec<_> = styles
            .map(|style| (style.name.as_str(), style.key.as_str(), style.local_id))
            .collect();
        assert_eq!(styles, [("Calm", "Neutral", 0), ("Joy", "Happy", 2)]);
    }
}
