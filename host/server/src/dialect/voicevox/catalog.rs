//! Which voice, speaker and style a client means by one number.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::StatusCode;
use pipeline::{Generation, Request, VoiceRef, VoiceSettings};
use session::package::{Manifest, Speaker, Style};
use session::voice::Voice;

use crate::events;
use crate::http::fault::Fault;

/// The voices of a generation as clients see them: speakers, and each with the
/// styles whose numbers are its own.
pub(super) struct Catalog<'g> {
    pub(super) speakers: Vec<Listed<'g>>,
}

pub(super) struct Listed<'g> {
    /// Name of the voice.
    pub(super) voice: &'g str,
    pub(super) opened: &'g Voice,
    pub(super) speaker: &'g Speaker,
    /// By number.
    pub(super) styles: Vec<(u32, &'g Style)>,
}

impl<'g> Catalog<'g> {
    /// Where two voices have a style of one number, the first by name has it.
    pub(super) fn of(generation: &'g Generation) -> Self {
        let mut taken: BTreeMap<u32, &str> = BTreeMap::new();
        let mut speakers = Vec::new();
        let tell = is_new(generation.number().get());
        for (voice, opened) in generation.voices() {
            for speaker in &opened.package().manifest().speakers {
                let mut styles = Vec::with_capacity(speaker.styles.len());
                for style in &speaker.styles {
                    let Some(id) = speaker.style_id(style) else {
                        continue;
                    };
                    match taken.get(&id) {
                        None => {
                            taken.insert(id, voice);
                            styles.push((id, style));
                        }
                        Some(by) if tell => events::style_taken(id, by, voice),
                        Some(_) => {}
                    }
                }
                if !styles.is_empty() {
                    speakers.push(Listed {
                        voice,
                        opened,
                        speaker,
                        styles,
                    });
                }
            }
        }
        Self { speakers }
    }

    /// The speaker with a style of this number, and the style.
    pub(super) fn style(&self, id: i64) -> Result<(&Listed<'g>, &'g Style), Fault> {
        let mut all = self.speakers.iter().flat_map(|listed| {
            let of = move |(id, style): &(u32, &'g Style)| (*id, listed, *style);
            listed.styles.iter().map(of)
        });
        let found = all.find(|(known, ..)| i64::from(*known) == id);
        let (_, listed, style) = found
            .ok_or_else(|| missing(format!("there is no style {id}; GET /speakers lists them")))?;
        Ok((listed, style))
    }

    pub(super) fn speaker(&self, uuid: &str) -> Result<&Listed<'g>, Fault> {
        let mut speakers = self.speakers.iter();
        let found = speakers.find(|it| it.speaker.uuid.eq_ignore_ascii_case(uuid));
        found.ok_or_else(|| {
            missing(format!(
                "there is no speaker `{uuid}`; GET /speakers lists them"
            ))
        })
    }

    /// The speakers of the voice with this uuid.
    pub(super) fn model(&self, uuid: &str) -> Result<Vec<&Listed<'g>>, Fault> {
        let models = self.models();
        let found = models
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(uuid));
        let (_, speakers) = found.ok_or_else(|| {
            missing(format!(
                "there is no model `{uuid}`; GET /aivm_models lists them"
            ))
        })?;
        Ok(speakers)
    }

    /// Voices by uuid; of those that share one, the first by name.
    pub(super) fn models(&self) -> BTreeMap<&'g str, Vec<&Listed<'g>>> {
        let mut models: BTreeMap<&str, Vec<&Listed<'g>>> = BTreeMap::new();
        for listed in &self.speakers {
            let speakers = models.entry(&listed.manifest().uuid).or_default();
            if speakers
                .first()
                .is_none_or(|first| first.voice == listed.voice)
            {
                speakers.push(listed);
            }
        }
        models
    }
}

impl<'g> Listed<'g> {
    pub(super) fn manifest(&self) -> &'g Manifest {
        self.opened.package().manifest()
    }

    /// Who speaks in a request, and in which style.
    pub(super) fn cast(&self, style: &Style) -> Request {
        Request {
            voice: VoiceRef {
                name: self.voice.to_owned(),
                speaker: pipeline::Speaker::Numbered(self.speaker.local_id),
            },
            settings: VoiceSettings {
                style: Some(style.key.clone()),
                ..VoiceSettings::default()
            },
            ..Request::default()
        }
    }
}

fn missing(detail: String) -> Fault {
    Fault::caller(StatusCode::NOT_FOUND, detail)
}

/// Whether nobody has looked at this generation yet: what is odd about it is
/// told once.
fn is_new(generation: u64) -> bool {
    static SEEN: AtomicU64 = AtomicU64::new(0);
    SEEN.fetch_max(generation, Ordering::Relaxed) < generation
}
