//! Voices that are made of others' tensors: which formula each tensor goes by,
//! and what stands for the whole in speakers and styles.
//!
//! The four ways and the groups of tensors are those that Style-Bert-VITS2's
//! users know. All of them act on tensors as training leaves them, before
//! weight norm is folded: folding first would give another voice.

use std::fmt;
use std::sync::Arc;

use super::defect::Defect;
use super::tensors::Tensors;
use crate::derived::{Raw, Term, on_circle};
use crate::files::Held;
use crate::source::Source;

/// How a voice is made of others. The first is what it is made from: its
/// configuration, its speakers and whatever belongs to no group are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Where the voices lie, `a` first.
    pub voices: Vec<Source>,
    /// What becomes of their tensors.
    pub method: Method,
    /// By this name its only speaker goes; more than one keep theirs.
    pub speaker: String,
    /// Styles beside the mean, each of one style of every voice.
    pub styles: Vec<MergedStyle>,
}

/// One style of a merged voice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergedStyle {
    /// As requests name it.
    pub name: String,
    /// The name of the style that is taken of each voice, in their order.
    pub of: Vec<String>,
}

/// `usual of haru and aki, voice 0.5, …`.
impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.voices.iter().map(|source| {
            let path = source.path();
            path.file_stem().unwrap_or_default().to_string_lossy()
        });
        let names: Vec<_> = names.collect();
        write!(f, "{} of {}", self.method, names.join(" and "))
    }
}

/// The method and its numbers.
impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usual { weights, slerp } => {
                let way = if *slerp { " on the great circle" } else { "" };
                write!(f, "usual{way} ({weights})")
            }
            Self::AddDifference(weights) => write!(f, "add-difference ({weights})"),
            Self::AddNull(weights) => match weights.first() {
                Some(weights) => write!(f, "add-null ({weights})"),
                None => f.write_str("add-null"),
            },
            Self::Mix(weights) => write!(f, "mix {weights:?}"),
            Self::WeightedSum(weights) => write!(f, "weighted-sum {weights:?}"),
        }
    }
}

/// What becomes of the tensors of voices `a`, `b` and `c`.
#[derive(Clone, Debug, PartialEq)]
pub enum Method {
    /// `a (1 - t) + b t` by group, of two voices.
    Usual {
        /// `t` of each group.
        weights: Groups,
        /// On the great circle between them instead of the straight line.
        slerp: bool,
    },
    /// `a + t (b - c)` by group, of three voices.
    AddDifference(Groups),
    /// `a + Σ t b` by group, of a voice and one difference of two voices
    /// (a null model) for each of the weights.
    AddNull(Vec<Groups>),
    /// `Σ w x` by group, of as many voices as there are weights, which are 1
    /// together.
    Mix(Vec<f32>),
    /// `Σ w x` of every tensor, speakers included, of two or three voices.
    WeightedSum(Vec<f32>),
}

/// A number for each group of tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Groups {
    /// The decoder: the voice itself.
    pub voice: f32,
    /// The flow: how high it is.
    pub pitch: f32,
    /// The text encoder: how it speaks, and the styles.
    pub style: f32,
    /// The duration predictors.
    pub tempo: f32,
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            voice,
            pitch,
            style,
            tempo,
        } = self;
        write!(
            f,
            "voice {voice}, pitch {pitch}, style {style}, tempo {tempo}"
        )
    }
}

impl Groups {
    /// The same for all.
    pub fn all(weight: f32) -> Self {
        Self {
            voice: weight,
            pitch: weight,
            style: weight,
            tempo: weight,
        }
    }

    /// What belongs to no group is `a`'s.
    fn of(&self, key: &str) -> Option<f32> {
        let groups = [
            ("dec", self.voice),
            ("flow", self.pitch),
            ("enc_p", self.style),
            ("sdp", self.tempo),
            ("dp", self.tempo),
        ];
        let found = groups.into_iter().find(|(start, _)| key.starts_with(start));
        found.map(|(_, weight)| weight)
    }
}

/// How the first two of a sum are weighed.
enum Weights {
    Line(Vec<f32>),
    Circle(f32),
}

impl Method {
    /// How many voices it takes.
    pub fn voices(&self) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::Usual { .. } => 2..=2,
            Self::AddDifference(_) => 3..=3,
            Self::AddNull(weights) => weights.len() + 1..=weights.len() + 1,
            Self::Mix(weights) | Self::WeightedSum(weights) => weights.len()..=weights.len(),
        }
    }

    fn of(&self, key: &str) -> Weights {
        Weights::Line(match self {
            Self::Usual { weights, slerp } => match (weights.of(key), slerp) {
                (None, _) => vec![1.0],
                (Some(share), true) => return Weights::Circle(share),
                (Some(share), false) => vec![1.0 - share, share],
            },
            Self::AddDifference(weights) => match weights.of(key) {
                None => vec![1.0],
                Some(weight) => vec![1.0, weight, -weight],
            },
            Self::AddNull(weights) => {
                let nulls = weights.iter().map_while(|weights| weights.of(key));
                std::iter::once(1.0).chain(nulls).collect()
            }
            Self::Mix(weights) => match Groups::all(1.0).of(key) {
                None => vec![1.0],
                Some(_) => weights.clone(),
            },
            Self::WeightedSum(weights) => weights.clone(),
        })
    }

    /// One row of style vectors, of one row of each voice's.
    pub(super) fn style(&self, rows: &[&[f32]]) -> Vec<f32> {
        let weights = match self.of("enc_p") {
            Weights::Line(weights) => weights,
            Weights::Circle(share) => {
                let dot = |a: &[f32], b: &[f32]| -> f64 {
                    let pairs = a.iter().zip(b);
                    pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
                };
                let (a, b) = (rows[0], rows[1]);
                on_circle(dot(a, b), [dot(a, a), dot(b, b)], share.into()).to_vec()
            }
        };
        let mut sum = vec![0.0; rows.first().map_or(0, |row| row.len())];
        for (row, weight) in rows.iter().zip(weights) {
            for (sum, value) in sum.iter_mut().zip(*row) {
                *sum += weight * value;
            }
        }
        sum
    }
}

/// What the weights of one voice come from: its own file, or several by a
/// method.
pub(super) struct Ingredients {
    pub(super) held: Arc<Held>,
    pub(super) tensors: Tensors,
    others: Vec<(Arc<Held>, Tensors)>,
    method: Option<Method>,
}

impl Ingredients {
    pub(super) fn one(held: Arc<Held>, tensors: Tensors) -> Self {
        Self {
            held,
            tensors,
            others: Vec::new(),
            method: None,
        }
    }

    /// `others` are those behind the first, as many as the method takes.
    pub(super) fn merged(self, others: Vec<Self>, method: Method) -> Self {
        Self {
            others: others.into_iter().map(|it| (it.held, it.tensors)).collect(),
            method: Some(method),
            ..self
        }
    }

    /// Of the first voice's file.
    pub(super) fn file_name(&self) -> String {
        let name = self.held.path().file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Whether tensors may be taken where they lie.
    pub(super) fn is_one(&self) -> bool {
        self.method.is_none()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys()
    }

    /// What a tensor of the voice is made of; `key` is one that graphs read.
    pub(super) fn raw(&self, key: &str) -> Result<Raw, Defect> {
        let own = self
            .tensors
            .readable(key)
            .ok_or_else(|| Defect::NoTensor(key.to_owned()))?;
        let Some(method) = &self.method else {
            return Ok(Raw::one(Arc::clone(&self.held), own.clone()));
        };
        let term = |(held, tensors): (&Arc<Held>, &Tensors), coefficient| {
            let found = tensors.readable(key).filter(|it| it.shape == own.shape);
            let found = found.ok_or_else(|| Defect::Unlike {
                key: key.to_owned(),
                other: held.path().to_owned(),
            })?;
            Ok::<_, Defect>(Term {
                held: Arc::clone(held),
                tensor: found.clone(),
                coefficient,
            })
        };
        let all = std::iter::once((&self.held, &self.tensors));
        let mut all = all.chain(self.others.iter().map(|(held, tensors)| (held, tensors)));
        match method.of(key) {
            Weights::Line(weights) => {
                let terms = all.zip(weights).map(|(from, weight)| term(from, weight));
                Ok(Raw::sum(terms.collect::<Result<_, _>>()?))
            }
            Weights::Circle(share) => {
                let (Some(a), Some(b)) = (all.next(), all.next()) else {
                    return Err(Defect::NoTensor(key.to_owned()));
                };
                Ok(Raw::circle([term(a, 0.0)?, term(b, 0.0)?], share))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_belong_to_the_first_group_that_they_begin_with() {
        let groups = Groups {
            voice: 1.0,
            pitch: 2.0,
            style: 3.0,
            tempo: 4.0,
        };
        for (key, weight) in [
            ("dec.conv_pre.weight", Some(1.0)),
            ("flow.flows.0.pre.weight", Some(2.0)),
            ("enc_p.emb.weight", Some(3.0)),
            ("sdp.pre.weight", Some(4.0)),
            ("dp.proj.bias", Some(4.0)),
            ("emb_g.weight", None),
            ("iteration", None),
        ] {
            assert_eq!(groups.of(key), weight, "{key}");
        }
    }
}
