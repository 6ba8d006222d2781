//! A pipeline with every reference resolved, and its stages up to the models.

use std::sync::Arc;
use std::time::Duration;

use speech::g2p::Frontend;
use speech::sentence;
use speech::text::NormalizedText;
use speech::utterance::Utterance;

use crate::error::Error;
use crate::features::BertModel;
use crate::policy::{self, Axis, BucketStep, NormalizeStep};
use crate::request::Split;
use crate::spec;

/// What a request of one pipeline goes through. Immutable; a reload makes
/// another one.
pub struct Plan {
    pub(crate) name: String,
    pub(crate) spec: spec::Pipeline,
    pub(crate) normalizers: Vec<NormalizeStep>,
    pub(crate) frontend: Arc<Frontend>,
    pub(crate) bert: Arc<BertModel>,
    pub(crate) bucketer: Option<BucketStep>,
}

/// A stretch of the caller's text that is spoken in one run.
pub(crate) struct Piece {
    pub(crate) text: String,
    /// Silence between this piece and the next.
    pub(crate) pause: Duration,
}

impl Plan {
    /// One line for people: what the pipeline is made of.
    pub fn describe(&self) -> String {
        let normalizers: Vec<_> = self
            .normalizers
            .iter()
            .map(|step| step.name.as_str())
            .collect();
        let bucketer = self
            .bucketer
            .as_ref()
            .map_or("none", |step| step.name.as_str());
        format!(
            "language {}; normalize {}; BERT {}; bucket {bucketer}",
            self.spec.language,
            if normalizers.is_empty() {
                "none".to_owned()
            } else {
                normalizers.join(", ")
            },
            self.bert.name,
        )
    }

    /// Refuses a language this pipeline does not speak; none means its own.
    pub(crate) fn speaks(&self, language: Option<&str>) -> Result<(), Error> {
        let primary = |tag: &str| tag.split('-').next().unwrap_or(tag).to_ascii_lowercase();
        match language {
            Some(tag) if primary(tag) != primary(&self.spec.language) => {
                Err(Error::Request(format!(
                    "pipeline `{}` speaks `{}`, not `{tag}`",
                    self.name, self.spec.language
                )))
            }
            _ => Ok(()),
        }
    }

    /// Cuts the text; refuses what is empty or too long before any work.
    pub(crate) fn split(&self, text: &str, by: Option<Split>) -> Result<Vec<Piece>, Error> {
        self.check_length(text)?;
        let pieces = self.cut(text, by.unwrap_or(self.spec.split.by));
        if pieces.is_empty() {
            return Err(Error::Request("the text is empty".to_owned()));
        }
        Ok(pieces)
    }

    /// The whole text as one piece, even if there is nothing to it.
    pub(crate) fn whole(&self, text: &str) -> Result<Vec<Piece>, Error> {
        self.check_length(text)?;
        Ok(vec![Piece {
            text: text.to_owned(),
            pause: Duration::ZERO,
        }])
    }

    fn check_length(&self, text: &str) -> Result<(), Error> {
        let most = self.spec.limits.characters_max;
        let characters = text.chars().count();
        if characters > most {
            return Err(Error::Request(format!(
                "the text has {characters} characters; pipeline `{}` takes {most} at most",
                self.name
            )));
        }
        Ok(())
    }

    fn cut(&self, text: &str, by: Split) -> Vec<Piece> {
        let piece = |text: &str, pause| Piece {
            text: text.to_owned(),
            pause,
        };
        let between_lines = self.spec.encode.silence_between_lines.0;
        let between_sentences = self.spec.encode.silence_between_sentences.0;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        match by {
            Split::None if text.trim().is_empty() => Vec::new(),
            Split::None => vec![piece(text, Duration::ZERO)],
            Split::Line => lines.map(|line| piece(line, between_lines)).collect(),
            Split::Sentence => lines
                .flat_map(|line| {
                    let sentences = sentence::split(line, self.spec.split.characters_max);
                    let last = sentences.len().saturating_sub(1);
                    sentences.into_iter().enumerate().map(move |(i, sentence)| {
                        let pause = if i == last {
                            between_lines
                        } else {
                            between_sentences
                        };
                        piece(sentence, pause)
                    })
                })
                .collect(),
        }
    }

    /// Sandboxed normalization of each piece, in order. A piece of which nothing
    /// is left is left out, with a warning.
    pub(crate) async fn normalize(self: &Arc<Self>, pieces: Vec<Piece>) -> Result<Script, Error> {
        let plan = Arc::clone(self);
        blocking(move || {
            let mut script = Script::default();
            for piece in pieces {
                let text = policy::normalize(
                    &plan.normalizers,
                    &plan.spec.language,
                    &piece.text,
                    &mut script.warnings,
                )?;
                if text.trim().is_empty() {
                    script
                        .warnings
                        .push(format!("nothing of `{}` can be spoken", piece.text));
                    continue;
                }
                let text = NormalizedText::new(text).map_err(|e| Error::Request(e.to_string()))?;
                script.lines.push(Line {
                    text,
                    pause: piece.pause,
                });
            }
            Ok(script)
        })
        .await
    }

    /// Phonemes, tones and their alignment to characters. Never fails on a
    /// text: what cannot be read is guessed, with a warning.
    pub(crate) async fn pronounce(self: &Arc<Self>, script: Script) -> Result<Recital, Error> {
        let plan = Arc::clone(self);
        blocking(move || {
            let mut recital = Recital {
                verses: Vec::with_capacity(script.lines.len()),
                warnings: script.warnings,
            };
            for line in script.lines {
                let utterance = plan.frontend.pronounce(&line.text);
                recital
                    .warnings
                    .extend(utterance.warnings().iter().map(ToString::to_string));
                recital.verses.push(Verse {
                    utterance: Arc::new(utterance),
                    text: line.text,
                    pause: line.pause,
                });
            }
            Ok(recital)
        })
        .await
    }

    /// The padded number of positions for `length` of them.
    pub(crate) fn padded(&self, axis: Axis, length: usize) -> Result<usize, Error> {
        let allowed = match axis {
            Axis::Tokens => &self.spec.bucket.allowed.tokens,
            Axis::Bert => &self.spec.bucket.allowed.bert,
        };
        policy::choose(self.bucketer.as_ref(), allowed, axis, length)
    }
}

/// The text as it will be read, line by line.
#[derive(Default)]
pub(crate) struct Script {
    lines: Vec<Line>,
    warnings: Vec<String>,
}

impl Script {
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

struct Line {
    text: NormalizedText,
    pause: Duration,
}

/// The text as it will sound.
pub(crate) struct Recital {
    pub(crate) verses: Vec<Verse>,
    pub(crate) warnings: Vec<String>,
}

pub(crate) struct Verse {
    pub(crate) utterance: Arc<Utterance>,
    pub(crate) text: NormalizedText,
    pub(crate) pause: Duration,
}

/// Runs CPU work where it may block; a panic there costs one request.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|lost| Err(Error::Lost(lost.to_string())))
}
