//! The graph of a voice that is tensors alone, and where its weights lie.

use std::sync::Arc;

use vits::sizes::{Architecture, Configured, NORMED, Sizes, Unfit};
use vits::{External, Fold, Wanted, voice};

use super::config::HyperParameters;
use super::defect::Defect;
use super::tensors::{Stored, Tensor, Tensors};
use crate::derived::Derived;
use crate::family::{FEATURE_WIDTH, Family, STYLE_WIDTH};
use crate::files::Held;
use crate::source::Built;

/// Names by which a graph of ours knows its files.
pub(crate) const TENSORS: &str = "tensors";
pub(crate) const DERIVED: &str = "derived";

/// Speakers that every voice's table has room for, so that voices with one
/// and with many are of one template: a megabyte.
const ROOM: usize = 512;
/// Rows of any table.
const SPEAKERS_MAX: usize = 65_536;

/// Writes the graph. Nothing is read but the header.
pub(super) fn build(
    held: Arc<Held>,
    tensors: &Tensors,
    config: &HyperParameters,
) -> Result<(Built, Family, usize), Defect> {
    let sizes = Sizes::find(&|key| tensors.shape(key), &config.configured())?;
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
    let mut derived = Derived::new(Arc::clone(&held));
    let mut first = None;
    let mut placed = |wanted: &Wanted| match place(wanted, tensors, &mut derived) {
        Ok(place) => Some(place),
        Err(defect) => {
            first.get_or_insert(defect);
            None
        }
    };
    let model = voice::model(&sizes, rows, &mut placed);
    let model = model.map_err(|missing| {
        let key = || missing.into_iter().next().map(|it| it.key);
        first.unwrap_or_else(|| Unfit::Missing(key().unwrap_or_default()).into())
    })?;
    let family = match sizes.architecture {
        Architecture::JpExtra => Family::JpExtra,
        Architecture::Multilingual => Family::Multilingual,
    };
    let built = Built {
        model: model.into(),
        tensors: held,
        derived: Arc::new(derived),
    };
    Ok((built, family, sizes.speakers))
}

fn place(wanted: &Wanted, tensors: &Tensors, derived: &mut Derived) -> Result<External, Defect> {
    let dims: Vec<usize> = wanted.dims.iter().map(|dim| *dim as usize).collect();
    let bytes = 4 * dims.iter().product::<usize>();
    let float = |offset: usize| External {
        location: DERIVED.to_owned(),
        offset: offset as u64,
        bytes: bytes as u64,
        data_type: Stored::Float.data_type(),
    };
    match wanted.fold {
        // The other two are a BERT's.
        Fold::None | Fold::From(_) | Fold::Positions => plain(&wanted.key, &dims, tensors),
        Fold::Rows => {
            let table = find(&wanted.key, tensors)?;
            Ok(float(derived.rows(table.clone(), bytes)))
        }
        Fold::Norm => {
            let module = wanted.key.strip_suffix(".weight").unwrap_or(&wanted.key);
            for names in NORMED.map(|(direction, length)| [direction, length]) {
                let [direction, length] = names.map(|it| format!("{module}.{it}"));
                if tensors.get(&direction).is_some() {
                    let row = [dims.first().copied().unwrap_or(1), 1, 1];
                    let direction = fitting(&direction, tensors, &dims)?.clone();
                    let length = fitting(&length, tensors, &row)?.clone();
                    return Ok(float(derived.norm(direction, length)));
                }
            }
            // Folded already.
            plain(&wanted.key, &dims, tensors)
        }
    }
}

fn plain(key: &str, dims: &[usize], tensors: &Tensors) -> Result<External, Defect> {
    let tensor = fitting(key, tensors, dims)?;
    Ok(External {
        location: TENSORS.to_owned(),
        offset: tensor.offset,
        bytes: tensor.bytes,
        data_type: tensor.element.data_type(),
    })
}

fn find<'t>(key: &str, tensors: &'t Tensors) -> Result<&'t Tensor, Defect> {
    let found = tensors.get(key).filter(|it| it.element != Stored::Other);
    found.ok_or_else(|| Unfit::Missing(key.to_owned()).into())
}

/// One that graphs can read, of this shape.
fn fitting<'t>(key: &str, tensors: &'t Tensors, dims: &[usize]) -> Result<&'t Tensor, Defect> {
    let tensor = find(key, tensors)?;
    match tensor.shape == dims {
        true => Ok(tensor),
        false => Err(Unfit::Shape {
            key: key.to_owned(),
            found: tensor.shape.clone(),
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
