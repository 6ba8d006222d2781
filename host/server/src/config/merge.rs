//! `[[merge]]`: voices that are made of others.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use pipeline::document::{Document, Unfit, Wrong};
use pipeline::spec;
use serde::Deserialize;
use session::package::{Groups, MergedStyle, Method, Recipe};

/// `[[merge]]`: one voice that is made of others.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merge {
    /// Requests name it so.
    pub name: String,
    /// What becomes of the tensors.
    pub method: Way,
    /// Names of voices, or paths of what is none by itself, such as a null
    /// model. The first is what it is made from.
    pub voices: Vec<String>,
    /// For every group that says nothing of its own.
    pub weight: Option<f32>,
    /// Of the decoder.
    pub voice: Option<f32>,
    /// Of the flow.
    pub pitch: Option<f32>,
    /// Of the text encoder, and of the styles.
    pub style: Option<f32>,
    /// Of the duration predictors.
    pub tempo: Option<f32>,
    /// Of a weighted sum, one for each voice.
    pub weights: Option<Vec<f32>>,
    /// Of the usual way: on the great circle instead of the straight line.
    #[serde(default)]
    pub slerp: bool,
    /// A style's name, and that of the style of each voice it is made of.
    #[serde(default)]
    pub styles: BTreeMap<String, Vec<String>>,
}

/// `merge.method`: see [`Method`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// `a (1 - t) + b t`.
    Usual,
    /// `a + t (b - c)`.
    AddDifference,
    /// `a + t b`, where `b` is a difference itself.
    AddNull,
    /// `Σ w x` of every tensor.
    WeightedSum,
}

/// Nobody turns a voice up tenfold.
const WEIGHT_MAX: f32 = 10.0;
/// A voice more is a file more to read at each use.
const VOICES_MAX: usize = 8;
const STYLES_MAX: usize = 64;

/// Adds the voices that are made of those there are.
pub(super) fn add(
    merges: Vec<Merge>,
    voices: &mut Vec<spec::Voice>,
    resolve: &impl Fn(PathBuf) -> PathBuf,
    document: &Document,
) -> Result<(), Wrong> {
    for (number, merge) in merges.into_iter().enumerate() {
        let name = merge.name.clone();
        let recipe = merge.recipe(voices, resolve);
        let recipe = recipe.and_then(|recipe| match voices.iter().any(|it| it.name == name) {
            true => Err(("name", format!("a voice is called `{name}` already"))),
            false => Ok(recipe),
        });
        let recipe = recipe.map_err(|(key, what)| {
            document.unfit(Unfit {
                key: format!("merge.{number}.{key}"),
                what: format!("`{key}` of merge `{name}`: {what}"),
            })
        })?;
        voices.push(spec::Voice {
            name,
            source: spec::Source::Merged(Arc::new(recipe)),
        });
    }
    Ok(())
}

/// The key that is wrong, and what would be right.
pub(super) type Unlike = (&'static str, String);

impl Merge {
    pub(super) fn recipe(
        self,
        voices: &[spec::Voice],
        resolve: &impl Fn(PathBuf) -> PathBuf,
    ) -> Result<Recipe, Unlike> {
        if self.name.is_empty() || self.name.len() > 256 {
            return Err(("name", "it has no name, or a very long one".to_owned()));
        }
        if self.voices.len() > VOICES_MAX {
            return Err(("voices", format!("the most is {VOICES_MAX}")));
        }
        if self.styles.len() > STYLES_MAX {
            return Err(("styles", format!("the most is {STYLES_MAX}")));
        }
        let method = self.method()?;
        if !method.voices().contains(&self.voices.len()) {
            let what = format!(
                "it names {} voices, this method takes {}",
                self.voices.len(),
                method.voices().start()
            );
            return Err(("voices", what));
        }
        let sources = self.voices.iter().map(|name| source(name, voices, resolve));
        let styles = self.styles.iter().map(|(name, of)| MergedStyle {
            name: name.clone(),
            of: of.clone(),
        });
        Ok(Recipe {
            voices: sources.collect::<Result<_, _>>()?,
            method,
            speaker: self.name.clone(),
            styles: styles.collect(),
        })
    }

    fn method(&self) -> Result<Method, Unlike> {
        let bounded = |key: &'static str, value: f32| match value.abs() <= WEIGHT_MAX {
            true => Ok(value),
            false => Err((
                key,
                format!("{value} is no weight from -{WEIGHT_MAX} to {WEIGHT_MAX}"),
            )),
        };
        if let Some(weights) = &self.weights {
            if self.method != Way::WeightedSum {
                let what = "only a weighted sum has them; others have `voice`, `pitch`, `style` and `tempo`, or `weight` for all four";
                return Err(("weights", what.to_owned()));
            }
            if !(2..=VOICES_MAX).contains(&weights.len()) {
                return Err(("weights", format!("it wants 2 to {VOICES_MAX}")));
            }
            let weights = weights.iter().map(|weight| bounded("weights", *weight));
            return Ok(Method::WeightedSum(weights.collect::<Result<_, _>>()?));
        }
        if self.method == Way::WeightedSum {
            let what = "a weighted sum wants one weight for each voice";
            return Err(("weights", what.to_owned()));
        }
        let group = |key: &'static str, own: Option<f32>| {
            let weight = own.or(self.weight).ok_or_else(|| {
                let what = "it is not said; `weight` says it for all four groups";
                (key, what.to_owned())
            })?;
            bounded(key, weight)
        };
        let weights = Groups {
            voice: group("voice", self.voice)?,
            pitch: group("pitch", self.pitch)?,
            style: group("style", self.style)?,
            tempo: group("tempo", self.tempo)?,
        };
        if self.slerp && self.method != Way::Usual {
            let what = "only the usual way knows a great circle";
            return Err(("slerp", what.to_owned()));
        }
        Ok(match self.method {
            Way::Usual => Method::Usual {
                weights,
                slerp: self.slerp,
            },
            Way::AddDifference => Method::AddDifference(weights),
            Way::AddNull | Way::WeightedSum => {
                let nulls = self.voices.len().saturating_sub(1).max(1);
                Method::AddNull(vec![weights; nulls])
            }
        })
    }
}

fn source(
    name: &str,
    voices: &[spec::Voice],
    resolve: &impl Fn(PathBuf) -> PathBuf,
) -> Result<session::Source, Unlike> {
    let found = voices.iter().find(|voice| voice.name == name);
    match found.map(|voice| &voice.source) {
        Some(spec::Source::Path(path)) => return Ok(session::Source::Path(path.clone())),
        Some(spec::Source::Embedded(_) | spec::Source::Merged(_)) => {
            let what = format!(
                "`{name}` is no voice that is tensors alone; `koemasu merge` writes one that is"
            );
            return Err(("voices", what));
        }
        None => {}
    }
    let path = resolve(PathBuf::from(name));
    match name.contains('/') && path.exists() {
        true => Ok(session::Source::Path(path)),
        false => {
            let known: Vec<_> = voices.iter().map(|it| it.name.as_str()).collect();
            let what = format!(
                "`{name}` is no voice, and no path with a `/`; there is {}",
                known.join(", ")
            );
            Err(("voices", what))
        }
    }
}
