//! A BERT as Hugging Face has it: `config.json` beside `model.safetensors` or
//! `pytorch_model.bin`. A graph is written for its tensors. Or an export of it,
//! `model.onnx`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use vits::deberta::{self, Configured, Sizes};
use vits::{External, Fold, Wanted};

use crate::derived::{Derived, Positions, Raw};
use crate::error::Error;
use crate::files::{self, Held};
use crate::package::{self, Tensor, Tensors};
use crate::source::{Built, Graph, Source, unreadable};

const CONFIG: &str = "config.json";
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Its graph and the width of its features; None if it is no file of tensors.
pub(super) fn built(source: &Source) -> Result<Option<(Graph, usize)>, Error> {
    let Source::Path(path) = source else {
        return Ok(None);
    };
    let extension = path.extension().and_then(OsStr::to_str);
    if !matches!(extension, Some("safetensors" | "bin" | "pt" | "pth")) {
        return Ok(None);
    }
    let config = path.with_file_name(CONFIG);
    let text = files::read(&config, CONFIG_BYTES_MAX).map_err(|e| unreadable(&config, &e))?;
    let config = Config::parse(&text).map_err(|e| wrong(&config, &e))?;
    let held = Arc::new(Held::open(path).map_err(|e| unreadable(path, &e))?);
    let tensors = package::tensors_of(&held).map_err(|e| wrong(path, &e))?;
    let (model, width, derived) = write(&config, &tensors, &held).map_err(|e| wrong(path, &e))?;
    let built = Built {
        model: model.into(),
        tensors: held,
        derived: Arc::new(derived),
    };
    Ok(Some((Graph::Built(Arc::new(built)), width)))
}

fn wrong(path: &Path, cause: &impl std::fmt::Display) -> Error {
    Error::Package {
        path: path.to_owned(),
        cause: cause.to_string(),
    }
}

/// The two files that a BERT is opened from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// `model.safetensors`, `pytorch_model.bin` or `model.onnx`.
    pub graph: PathBuf,
    /// `vocab.txt` or `tokenizer.json`.
    pub tokenizer: PathBuf,
}

/// What a folder has of a BERT for Japanese characters; None if it is none.
/// The tensors of other DeBERTas, which are of pieces of words, lie beside an
/// `spm.model`. Where it is one of tensors its config is looked into.
pub fn find(folder: &Path) -> Option<Files> {
    let first = |names: &[&str]| {
        let mut paths = names.iter().map(|name| folder.join(name));
        paths.find(|path| path.is_file())
    };
    if let Some(graph) = first(&["model.safetensors", "pytorch_model.bin"]) {
        // A tokenizer.json is made of the other.
        let tokenizer = first(&["vocab.txt", "tokenizer.json"])?;
        let config = files::read(&folder.join(CONFIG), CONFIG_BYTES_MAX).ok()?;
        let config = Config::parse(&config).ok()?;
        return (config.model_type == DEBERTA).then_some(Files { graph, tokenizer });
    }
    Some(Files {
        graph: first(&["model.onnx"])?,
        // Folders of voices have none.
        tokenizer: first(&["tokenizer.json"])?,
    })
}

const DEBERTA: &str = "deberta-v2";

type Written = (Vec<u8>, usize, Derived);

fn write(
    config: &Configured,
    tensors: &Tensors,
    held: &Arc<Held>,
) -> Result<Written, deberta::Unfit> {
    let sizes = Sizes::find(&|key| tensors.shape(key), config)?;
    let mut derived = Derived::default();
    let mut placed = |wanted: &Wanted| place(wanted, &sizes, (held, tensors), &mut derived);
    let model = deberta::model(&sizes, &mut placed)?;
    Ok((model, sizes.hidden, derived))
}

fn place(
    wanted: &Wanted,
    sizes: &Sizes,
    (held, tensors): (&Arc<Held>, &Tensors),
    derived: &mut Derived,
) -> Result<External, deberta::Unfit> {
    let find = |key: &str, dims: &[usize]| {
        let found = tensors
            .readable(key)
            .ok_or_else(|| deberta::Unfit::Missing(key.to_owned()))?;
        match found.shape == dims {
            true => Ok(found.clone()),
            false => Err(deberta::Unfit::Shape {
                key: key.to_owned(),
                found: found.shape.clone(),
                expected: format!("{dims:?}"),
            }),
        }
    };
    let mut dims: Vec<usize> = wanted.dims.iter().map(|dim| *dim as usize).collect();
    // A column over a row of the file.
    if wanted.key.ends_with(".bias") {
        dims.truncate(1);
    }
    match wanted.fold {
        Fold::From(row) => {
            let whole = tensors.shape(&wanted.key).unwrap_or_default();
            let mut rows = dims.clone();
            if let (Some(rows), Some(there)) = (rows.first_mut(), whole.first()) {
                // Up to the last that is wanted, or more.
                *rows = (row + *rows).max(*there);
            }
            let tensor = find(&wanted.key, &rows)?;
            Ok(part(&tensor, row, &dims))
        }
        Fold::Positions => {
            let prefix = sizes.prefix;
            let hidden = sizes.hidden;
            let table = format!("{prefix}encoder.rel_embeddings.weight");
            let raw = |key: &str, dims: &[usize]| {
                let found = find(key, dims)?;
                Ok::<_, deberta::Unfit>(Raw::one(Arc::clone(held), found))
            };
            let norm = |name| raw(&format!("{prefix}encoder.LayerNorm.{name}"), &[hidden]);
            Ok(derived.positions(Positions {
                table: raw(&table, &[2 * sizes.buckets, hidden])?,
                norm: [norm("weight")?, norm("bias")?],
                epsilon: sizes.epsilon,
                weight: raw(&format!("{}.weight", wanted.key), &[hidden, hidden])?,
                bias: raw(&format!("{}.bias", wanted.key), &[hidden])?,
                heads: sizes.heads,
            }))
        }
        Fold::None | Fold::Norm | Fold::Rows => {
            let tensor = find(&wanted.key, &dims)?;
            Ok(tensor.external())
        }
    }
}

/// Rows of a tensor as they lie in its file.
fn part(tensor: &Tensor, row: usize, dims: &[usize]) -> External {
    let size = tensor.element.bytes();
    let bytes = |dims: &[usize]| (size * dims.iter().product::<usize>()) as u64;
    External {
        offset: tensor.offset + row as u64 * bytes(&dims[1..]),
        bytes: bytes(dims),
        ..tensor.external()
    }
}

/// `config.json` of Hugging Face's DeBERTa-v2. Unknown keys are ignored, and
/// missing ones filled as its own reader does.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Config {
    model_type: String,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    attention_head_size: Option<usize>,
    position_buckets: i64,
    max_relative_positions: i64,
    max_position_embeddings: usize,
    layer_norm_eps: f32,
    hidden_act: String,
    conv_act: String,
    norm_rel_ebd: String,
    pos_att_type: Option<Attends>,
    relative_attention: bool,
    share_att_key: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            model_type: String::new(),
            num_hidden_layers: 24,
            num_attention_heads: 24,
            attention_head_size: None,
            position_buckets: -1,
            max_relative_positions: -1,
            max_position_embeddings: 512,
            layer_norm_eps: 1e-7,
            hidden_act: "gelu".to_owned(),
            conv_act: "tanh".to_owned(),
            norm_rel_ebd: "none".to_owned(),
            pos_att_type: None,
            relative_attention: false,
            share_att_key: false,
        }
    }
}

/// `["c2p", "p2c"]`, or `"c2p|p2c"`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Attends {
    Text(String),
    List(Vec<String>),
}

impl Config {
    fn parse(json: &[u8]) -> Result<Configured, serde_json::Error> {
        let config: Self = serde_json::from_slice(json)?;
        let far = usize::try_from(config.max_relative_positions).ok();
        Ok(Configured {
            model_type: config.model_type,
            layers: config.num_hidden_layers,
            heads: config.num_attention_heads,
            head: config.attention_head_size,
            buckets: config.position_buckets,
            positions: far
                .filter(|far| *far > 0)
                .unwrap_or(config.max_position_embeddings),
            epsilon: config.layer_norm_eps,
            activation: config.hidden_act,
            conv_activation: config.conv_act,
            position_norm: config.norm_rel_ebd,
            attends: match config.pos_att_type {
                None => Vec::new(),
                Some(Attends::Text(text)) => text.split('|').map(str::to_owned).collect(),
                Some(Attends::List(list)) => list,
            },
            relative: config.relative_attention,
            shared: config.share_att_key,
        })
    }
}

/// For those who try what breaks it.
pub(crate) fn parse_config(bytes: &[u8]) -> bool {
    let shape = |key: &str| {
        let pair = [
            ("word_embeddings", vec![9, 48]),
            ("intermediate", vec![96, 48]),
        ];
        let found = pair.into_iter().find(|(name, _)| key.contains(name));
        found.map(|(_, shape)| shape)
    };
    Config::parse(bytes).is_ok_and(|config| Sizes::find(&shape, &config).is_ok())
}
