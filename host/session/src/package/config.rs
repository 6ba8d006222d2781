//! config.json of Style-Bert-VITS2, as far as synthesis needs it. Unknown keys
//! are ignored and missing ones filled, as its own reader does.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::bounds::{self, CONFIG_BYTES_MAX, LIST_MAX, SPEAKERS_MAX, STYLES_MAX};
use super::defect::{Defect, of_part};
use crate::family::Family;

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(super) struct HyperParameters {
    pub(super) model_name: String,
    pub(super) version: String,
    pub(super) data: Data,
    pub(super) model: Model,
}

/// What the shapes of tensors cannot say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Model {
    #[serde(deserialize_with = "bounds::list::<_, _, LIST_MAX>")]
    pub(super) upsample_rates: Option<Vec<usize>>,
    #[serde(deserialize_with = "bounds::list::<_, _, LIST_MAX>")]
    pub(super) resblock_dilation_sizes: Option<Vec<Vec<usize>>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(super) struct Data {
    pub(super) sampling_rate: u32,
    pub(super) hop_length: Option<usize>,
    #[serde(deserialize_with = "bounds::names::<_, _, SPEAKERS_MAX>")]
    pub(super) spk2id: BTreeMap<String, i64>,
    #[serde(deserialize_with = "bounds::names::<_, _, STYLES_MAX>")]
    pub(super) style2id: BTreeMap<String, usize>,
}

impl Default for HyperParameters {
    fn default() -> Self {
        Self {
            model_name: "Dummy".to_owned(),
            version: "2.0-JP-Extra".to_owned(),
            data: Data::default(),
            model: Model::default(),
        }
    }
}

impl Default for Data {
    fn default() -> Self {
        Self {
            sampling_rate: 44_100,
            hop_length: None,
            spk2id: BTreeMap::from([("Dummy".to_owned(), 0)]),
            style2id: BTreeMap::from([("Neutral".to_owned(), 0)]),
        }
    }
}

impl HyperParameters {
    pub(super) fn parse(json: &[u8]) -> Result<Self, Defect> {
        let part = "its config";
        let json = bounds::sized(json, CONFIG_BYTES_MAX).map_err(of_part(part))?;
        let config: Self = serde_json::from_slice(json).map_err(of_part(part))?;
        for name in [&config.model_name, &config.version] {
            bounds::short(name).map_err(of_part(part))?;
        }
        if !(8_000..=192_000).contains(&config.data.sampling_rate) {
            return Err(Defect::SamplingRate(config.data.sampling_rate));
        }
        Ok(config)
    }

    /// The version's suffix decides, not `use_jp_extra`, which inference never
    /// reads.
    pub(super) fn family(&self) -> Family {
        if self.version.ends_with("JP-Extra") {
            Family::JpExtra
        } else {
            Family::Multilingual
        }
    }
}
