//! The graph of a voice that is tensors alone, and where its weights lie.

use std::collections::BTreeMap;
use std::sync::Arc;

use vits::sizes::{Configured, Sizes};
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
    // The graph asks twice: what it wants, and where that lies.
    let wanted = std::cell::RefCell::new(Vec::new());
    let nowhere = |it: &Wanted| {
        wanted.borrow_mut().push(it.clone());
        None
    };
    drop(voice::model(&sizes, rows, &nowhere));
    let mut places = BTreeMap::new();
    for it in wanted.into_inner() {
        let place = place(&it, tensors, &mut derived)?;
        places.insert(it.key, place);
    }
    let model = voice::model(&sizes, rows, &|it| places.get(&it.key).cloned());
    let model = model.map_err(|missing| {
        let key = missing.into_iter().next().map(|it| it.key);
        vits::sizes::Unfit::Missing(key.unwrap_or_default())
    })?;
    let family = match sizes.architecture {
        vits::sizes::Architecture::JpExtra => Family::JpExtra,
        vits::sizes::Architecture::Multilingual => Family::Multilingual,
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
    let float = |offset: usize| External {
        location: DERIVED.to_owned(),
        offset: offset as u64,
        bytes: 4 * dims.iter().product::<usize>() as u64,
        data_type: Stored::Float.data_type(),
    };
    match wanted.fold {
        Fold::None => plain(&wanted.key, &dims, tensors),
        Fold::Rows => {
            let table = find(&wanted.key, tensors)?;
            let bytes = 4 * dims.iter().product::<usize>();
            Ok(float(derived.rows(table.clone(), bytes)))
        }
        Fold::Norm => {
            // As training leaves it, as newer code saves it, or folded.
            let module = wanted.key.trim_end_matches(".weight");
            let names = [
                ("weight_v", "weight_g"),
                (
                    "parametrizations.weight.original1",
                    "parametrizations.weight.original0",
                ),
            ];
            for (direction, length) in names {
                let [direction, length] = [direction, length].map(|it| format!("{module}.{it}"));
                if let Some(found) = tensors.get(&direction) {
                    fits(&direction, found, &dims)?;
                    let of = find(&length, tensors)?;
                    fits(&length, of, &[dims.first().copied().unwrap_or(1), 1, 1])?;
                    return Ok(float(derived.norm(found.clone(), of.clone())));
                }
            }
            plain(&wanted.key, &dims, tensors)
        }
    }
}

fn plain(key: &str, dims: &[usize], tensors: &Tensors) -> Result<External, Defect> {
    let tensor = find(key, tensors)?;
    fits(key, tensor, dims)?;
    Ok(External {
        location: TENSORS.to_owned(),
        offset: tensor.offset,
        bytes: tensor.bytes,
        data_type: tensor.element.data_type(),
    })
}

fn find<'t>(key: &str, tensors: &'t Tensors) -> Result<&'t Tensor, Defect> {
    let found = tensors.get(key).filter(|it| it.element != Stored::Other);
    found.ok_or_else(|| vits::sizes::Unfit::Missing(key.to_owned()).into())
}

fn fits(key: &str, tensor: &Tensor, dims: &[usize]) -> Result<(), Defect> {
    match tensor.shape == dims && tensor.element != Stored::Other {
        true => Ok(()),
        false => Err(vits::sizes::Unfit::Shape {
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
