//! A pipeline with every reference resolved, and its stages up to the models.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use speech::g2p::Frontend;
use speech::sentence;
use speech::text::NormalizedText;
use speech::utterance::Utterance;

use crate::error::Error;
use crate::features::BertModel;
use crate::lexicon::Words;
use crate::policy::{self, Axis, BucketStep, NormalizeStep};
use crate::request::{Pauses, Split};
use crate::spec;
use crate::work::wanted;

/// What a request of one pipeline goes through. Immutable; a reload makes
/// another one.
pub struct Plan {
    pub(crate) name: String,
    pub(crate) spec: spec::Pipeline,
    pub(crate) normalizers: Vec<NormalizeStep>,
    pub(crate) frontend: Arc<Frontend>,
    pub(crate) words: Arc<Words>,
    pub(crate) bert: Arc<BertModel>,
    pub(crate) bucketer: Option<BucketStep>,
}

/// A stretch of the caller's text that is spoken in one run.
pub(crate) struct Piece {
    pub(crate) text: String,
    /// Where it begins in the caller's text, in characters.
    pub(crate) start: usize,
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

    /// The time a request may take.
    pub fn deadline(&self) -> Duration {
        self.spec.limits.deadline.0
    }

    /// The file of the user's own words, if the pipeline names one.
    pub fn dictionary(&self) -> Option<&Path> {
        self.spec.dictionary.file.as_deref()
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
    pub(crate) fn split(
        &self,
        text: &str,
        by: Option<Split>,
        pauses: Pauses,
    ) -> Result<Vec<Piece>, Error> {
        self.check_text("the text", text).map_err(Error::of_text)?;
        let by = by.unwrap_or(self.spec.split.by);
        let pieces = self.cut(text, by, pauses);
        if pieces.is_empty() {
            return Err(Error::Text("the text is empty".to_owned()));
        }
        Ok(pieces)
    }

    /// The whole text as one piece, even if there is nothing to it.
    pub(crate) fn whole(&self, text: &str) -> Result<Vec<Piece>, Error> {
        self.check_text("the text", text).map_err(Error::of_text)?;
        Ok(vec![Piece {
            text: text.to_owned(),
            start: 0,
            pause: Duration::ZERO,
        }])
    }

    /// Refuses what is too long before any work. `what` names it to the caller.
    pub fn check_text(&self, what: &str, text: &str) -> Result<(), Error> {
        let most = self.spec.limits.characters_max;
        let characters = text.chars().count();
        if characters > most {
            return Err(Error::Request(format!(
                "{what} has {characters} characters; pipeline `{}` takes {most} at most (its `limits.characters_max`)",
                self.name
            )));
        }
        Ok(())
    }

    fn cut(&self, text: &str, by: Split, pauses: Pauses) -> Vec<Piece> {
        let mut places = Places::new(text);
        let mut piece = |text: &str, pause| Piece {
            text: text.to_owned(),
            start: places.of(text),
            pause,
        };
        let encode = &self.spec.encode;
        let between_lines = pauses.lines.unwrap_or(encode.silence_between_lines.0);
        let between_sentences = pauses.sentences;
        let between_sentences = between_sentences.unwrap_or(encode.silence_between_sentences.0);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        match by {
            Split::None if text.trim().is_empty() => Vec::new(),
            Split::None => vec![piece(text, Duration::ZERO)],
            Split::Line => lines.map(|line| piece(line, between_lines)).collect(),
            Split::Sentence => {
                let mut pieces = Vec::new();
                for line in lines {
                    let sentences = sentence::split(line, self.spec.split.characters_max);
                    let last = sentences.len().saturating_sub(1);
                    for (index, sentence) in sentences.into_iter().enumerate() {
                        let pause = if index == last {
                            between_lines
                        } else {
                            between_sentences
                        };
                        pieces.push(piece(sentence, pause));
                    }
                }
                pieces
            }
        }
    }

    /// Sandboxed normalization of each piece, in order. A piece of which nothing
    /// is left is left out, with a warning.
    pub(crate) async fn normalize(
        self: &Arc<Self>,
        pieces: Vec<Piece>,
    ) -> Result<NormalizedPieces, Error> {
        let plan = Arc::clone(self);
        wanted(self.deadline(), move |wanted| {
            let mut normalized = NormalizedPieces::default();
            let lexicon: Arc<dyn plugin::Lexicon> = Arc::clone(&plan.words) as _;
            for piece in pieces {
                wanted.check()?;
                let read = policy::normalize(
                    &plan.normalizers,
                    &plan.spec.language,
                    &piece.text,
                    piece.start,
                    &lexicon,
                )?;
                let mut warnings = read.warnings;
                if read.text.trim().is_empty() {
                    warnings.push(format!("nothing of `{}` can be spoken", piece.text));
                    normalized.warnings.extend(warnings);
                    continue;
                }
                let text = NormalizedText::new(read.text)
                    .map_err(|e| Error::Request(e.to_string()).of_part(piece.start, &piece.text))?;
                normalized.pieces.push(NormalizedPiece {
                    text,
                    piece,
                    warnings,
                });
            }
            Ok(normalized)
        })
        .await
    }

    /// Phonemes, tones and their alignment to characters. Never fails on a
    /// text: what cannot be read is guessed, with a warning.
    pub(crate) async fn pronounce(
        self: &Arc<Self>,
        normalized: NormalizedPieces,
    ) -> Result<Sentences, Error> {
        let plan = Arc::clone(self);
        wanted(self.deadline(), move |wanted| {
            let mut sentences = Sentences {
                list: Vec::with_capacity(normalized.pieces.len()),
                warnings: normalized.warnings,
            };
            for piece in normalized.pieces {
                wanted.check()?;
                let utterance = plan.frontend.pronounce_with(&piece.text, &plan.words.user);
                let mut warnings = piece.warnings;
                warnings.extend(utterance.warnings().iter().map(ToString::to_string));
                sentences.warnings.extend(warnings.iter().cloned());
                sentences.list.push(Sentence {
                    utterance: Arc::new(utterance),
                    text: piece.text,
                    written: piece.piece.text,
                    start: piece.piece.start,
                    pause: piece.piece.pause,
                    warnings,
                });
            }
            Ok(sentences)
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

/// What the normalizers made of each piece of a text.
#[derive(Default)]
pub(crate) struct NormalizedPieces {
    pieces: Vec<NormalizedPiece>,
    warnings: Vec<String>,
}

impl NormalizedPieces {
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}

struct NormalizedPiece {
    text: NormalizedText,
    piece: Piece,
    warnings: Vec<String>,
}

/// The sentences of a text with their phonemes, in order.
pub(crate) struct Sentences {
    pub(crate) list: Vec<Sentence>,
    /// Of all sentences, and of pieces that became none.
    pub(crate) warnings: Vec<String>,
}

/// One run of the synthesis graph to be.
pub(crate) struct Sentence {
    pub(crate) utterance: Arc<Utterance>,
    pub(crate) text: NormalizedText,
    /// As the caller wrote it, and where.
    pub(crate) written: String,
    pub(crate) start: usize,
    pub(crate) pause: Duration,
    pub(crate) warnings: Vec<String>,
}

/// Counts characters up to slices of one text that come in order.
struct Places<'a> {
    text: &'a str,
    bytes: usize,
    characters: usize,
}

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            bytes: 0,
            characters: 0,
        }
    }

    fn of(&mut self, slice: &str) -> usize {
        let start = slice
            .as_ptr()
            .addr()
            .saturating_sub(self.text.as_ptr().addr());
        if let Some(between) = self.text.get(self.bytes..start) {
            self.characters += between.chars().count();
            self.bytes = start;
        }
        self.characters
    }
}
