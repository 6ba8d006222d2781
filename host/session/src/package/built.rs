//! The graph of a voice that is tensors alone, and where its weights lie.

use std::sync::Arc;

use vits::sizes::{Architecture, Configured, NORMED, Sizes, Unfit};
use vits::{External, Fold, Wanted, voice};

use super::config::HyperParameters;
use super::defect::Defect;
use super::merge::Ingredients;
use crate::derived::{Derived, Raw};
use crate::family::{FEATURE_WIDTH, Family, STYLE_WIDTH};
use crate::source::Built;

/// Speakers that every voice's table has room for, so that voices with one
/// and with many are of one template: a megabyte.
const ROOM: usize = 512;
/// Rows of any table.
const SPEAKERS_MAX: usize = 65_536;

/// Writes the graph. Nothing is read but the header.
pub(super) fn build(
    of: &Ingredients,
    config: &HyperParameters,
) -> Result<(Built, Family, usize), Defect> {
    let sizes = Sizes::find(&|key| of.tensors.shape(key), &config.configured())?;
    if sizes.bert != FEATURE_WIDTH || sizes.style != STYLE_WIDTH {
        return Err(Defect::Widths {
            bert: sizes.bert,
            style: sizes.style,
        });
    }
    if sizes.speakers > SPEAKERS_MAX {
        return Err(Defect::Speakers(sizes.speakers));
    }
    let rows = sizes.speakers.next_multiple_of(ROOM);
    let mut derived = Derived::default();
    let mut placed = |wanted: &Wanted| place(wanted, of, &mut derived);
    let model = voice::model(&sizes, rows, &mut placed)?;
    let family = match sizes.architecture {
        Architecture::JpExtra => Family::JpExtra,
        Architecture::Multilingual => Family::Multilingual,
    };
    let built = Built {
        model: model.into(),
        tensors: Arc::clone(&of.held),
        derived: Arc::new(derived),
    };
    Ok((built, family, sizes.speakers))
}

fn place(wanted: &Wanted, of: &Ingredients, derived: &mut Derived) -> Result<External, Defect> {
    let dims: Vec<usize> = wanted.dims.iter().map(|dim| *dim as usize).collect();
    let raw = |key: &str, dims: &[usize]| fitting(of.raw(key), key, dims);
    match wanted.fold {
        Fold::Rows => {
            let table = of.raw(&wanted.key)?;
            Ok(derived.rows(table, 4 * dims.iter().product::<usize>()))
        }
        Fold::Norm => {
            let module = wanted.key.strip_suffix(".weight").unwrap_or(&wanted.key);
            for names in NORMED.map(|(direction, length)| [direction, length]) {
                let [direction, length] = names.map(|it| format!("{module}.{it}"));
                if of.tensors.get(&direction).is_some() {
                    let row = [dims.first().copied().unwrap_or(1), 1, 1];
                    let (direction, length) = (raw(&direction, &dims)?, raw(&length, &row)?);
                    return Ok(derived.norm(direction, length));
                }
            }
            // Folded already.
            plain(&wanted.key, &dims, of, derived)
        }
        // The other two are a BERT's.
        Fold::None | Fold::From(_) | Fold::Positions => plain(&wanted.key, &dims, of, derived),
    }
}

/// As it lies in the voice's own file, or summed up of several.
fn plain(
    key: &str,
    dims: &[usize],
    of: &Ingredients,
    derived: &mut Derived,
) -> Result<External, Defect> {
    let raw = fitting(of.raw(key), key, dims)?;
    let own = of.tensors.get(key).filter(|_| of.is_one());
    Ok(match own {
        Some(tensor) => tensor.external(),
        None => derived.plain(raw),
    })
}

/// One of this shape.
fn fitting(raw: Result<Raw, Defect>, key: &str, dims: &[usize]) -> Result<Raw, Defect> {
    let raw = raw?;
    match raw.shape() == dims {
        true => Ok(raw),
        false => Err(Unfit::Shape {
            key: key.to_owned(),
            found: raw.shape().to_vec(),
            expected: format!("{dims:?}"),
        }
        .into()),
    }
}

impl HyperParameters {
    /// What the shapes of tensors cannot say.
    fn configured(&self) -> Configured {
        let usual = Configured::default();
        Configured {
            upsample_rates: self
                .model
                .upsample_rates
                .clone()
                .unwrap_or(usual.upsample_rates),
            resblock_dilations: self
                .model
                .resblock_dilation_sizes
                .clone()
                .unwrap_or(usual.resblock_dilations),
            hop_length: self.data.hop_length.unwrap_or(usual.hop_length),
        }
    }
}
