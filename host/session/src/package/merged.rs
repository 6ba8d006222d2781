//! A voice that is made of others when it is read: nothing is copied, and
//! nothing of the others stays.

use std::collections::BTreeMap;

use super::defect::Defect;
use super::merge::Recipe;
use super::styles::Vectors;
use super::{Package, Parts, parts};
use crate::source::Source;

/// What Style-Bert-VITS2 calls the mean.
const MEAN: &str = "Neutral";

pub(super) fn open(recipe: &Recipe) -> Result<Package, Defect> {
    Package::of_parts(merge(recipe)?)
}

/// Reads headers, configurations and style vectors; no tensor.
pub(super) fn merge(recipe: &Recipe) -> Result<Parts, Defect> {
    let wanted = recipe.method.voices();
    if !wanted.contains(&recipe.voices.len()) {
        return Err(Defect::Voices {
            expected: *wanted.start(),
            found: recipe.voices.len(),
        });
    }
    let all = recipe.voices.iter().map(|source| {
        parts(source).map_err(|defect| Defect::OfVoice {
            path: source.path().to_owned(),
            defect: Box::new(defect),
        })
    });
    let mut all: Vec<Parts> = all.collect::<Result<_, _>>()?;
    let (styles, vectors) = styles(recipe, &all)?;
    let mut first = all.remove(0);
    let others = all.into_iter().map(|it| it.ingredients).collect();
    first.ingredients = first.ingredients.merged(others, recipe.method.clone());
    first.known_as.clone_from(&recipe.speaker);
    first.config.model_name.clone_from(&recipe.speaker);
    first.config.data.style2id = styles;
    if let [only] = first.config.data.spk2id.values().collect::<Vec<_>>()[..] {
        first.config.data.spk2id = BTreeMap::from([(recipe.speaker.clone(), *only)]);
    }
    // Its file's manifest tells of another voice.
    Ok(Parts {
        vectors,
        written: None,
        ..first
    })
}

type Styles = (BTreeMap<String, usize>, Vectors);

/// Row 0 of all makes row 0, which is the mean from then on; and each style
/// that is asked for is made of those that it names.
fn styles(recipe: &Recipe, all: &[Parts]) -> Result<Styles, Defect> {
    let mut names = BTreeMap::from([(MEAN.to_owned(), 0)]);
    let mean: Vec<_> = all.iter().map(|it| it.vectors.row(0)).collect();
    let mut data = recipe.method.style(&mean);
    let width = data.len();
    for style in &recipe.styles {
        if style.of.len() != all.len() {
            return Err(Defect::Voices {
                expected: style.of.len(),
                found: all.len(),
            });
        }
        let rows = all.iter().zip(&style.of).map(|(it, of)| {
            let row = it.config.data.style2id.get(of);
            let row = row.filter(|row| **row < it.vectors.count());
            let none = || Defect::NoStyle {
                style: of.clone(),
                name: style.name.clone(),
            };
            Ok(it.vectors.row(*row.ok_or_else(none)?))
        });
        let rows: Vec<_> = rows.collect::<Result<_, Defect>>()?;
        let row = data.len() / width;
        data.extend(recipe.method.style(&rows));
        if names.insert(style.name.clone(), row).is_some() {
            return Err(Defect::TwoStyles(style.name.clone()));
        }
    }
    let rows = data.len() / width;
    Ok((names, Vectors::new(rows, width, &data)?))
}

impl Source {
    /// Of the first where there are several.
    pub(crate) fn path(&self) -> &std::path::Path {
        match self {
            Self::Path(path) => path,
            Self::Embedded(_) => std::path::Path::new("the voice inside the program"),
            Self::Merged(recipe) => match recipe.voices.first() {
                Some(first) => first.path(),
                None => std::path::Path::new(""),
            },
        }
    }
}
