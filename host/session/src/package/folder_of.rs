//! A merged voice as a folder that every program for Style-Bert-VITS2 reads.

use std::fs::File;
use std::io::{BufWriter, Error, ErrorKind, Result, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::defect::Defect;
use super::merge::Recipe;
use super::tensors::Stored;
use super::{Parts, merged};
use crate::source::Source;
use crate::whole;

/// Written at once.
const PIECE: usize = 1 << 20;

/// Writes the voice that a recipe makes: `config.json`, `style_vectors.npy`,
/// `recipe.json` and a `.safetensors` of floats, in a folder that is not there
/// yet and is there as a whole or not at all.
pub fn write_merged(recipe: &Recipe, folder: &Path) -> std::result::Result<(), crate::Error> {
    let failed = |cause: String| crate::Error::Package {
        path: folder.to_owned(),
        cause,
    };
    let parts = merged::merge(recipe).map_err(|defect| failed(defect.to_string()))?;
    // Whether it is a voice at all, before anything is written.
    super::Package::open(&Source::Merged(std::sync::Arc::new(recipe.clone())))?;
    whole::folder(folder, |within| write(recipe, &parts, within))
        .map_err(|error| failed(error.to_string()))
}

fn write(recipe: &Recipe, parts: &Parts, folder: &Path) -> Result<()> {
    let name = &recipe.speaker;
    let styles = &parts.config.data.style2id;
    let mut config: Value = serde_json::from_slice(&parts.json)?;
    config["model_name"] = json!(name);
    config["data"]["spk2id"] = json!(parts.config.data.spk2id);
    config["data"]["style2id"] = json!(styles);
    config["data"]["num_styles"] = json!(styles.len());
    whole::write(
        &folder.join("config.json"),
        serde_json::to_string_pretty(&config)?.as_bytes(),
    )?;
    let voices = recipe.voices.iter().map(|it| it.path().to_string_lossy());
    let told = json!({
        "method": recipe.method.to_string(),
        "voices": voices.collect::<Vec<_>>(),
        "styles": recipe.styles.iter().map(|it| json!({"name": it.name, "of": it.of})).collect::<Vec<_>>(),
    });
    whole::write(
        &folder.join("recipe.json"),
        serde_json::to_string_pretty(&told)?.as_bytes(),
    )?;
    whole::write(&folder.join("style_vectors.npy"), &parts.vectors.to_npy())?;
    let file = File::create_new(folder.join(format!("{name}.safetensors")))?;
    let mut out = BufWriter::with_capacity(PIECE, file);
    tensors(parts, &mut out)?;
    out.into_inner().map_err(|e| e.into_error())?.sync_all()
}

fn tensors(parts: &Parts, out: &mut impl Write) -> Result<()> {
    let of = &parts.ingredients;
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for key in of.keys() {
        let Some(tensor) = of.tensors.get(key) else {
            continue;
        };
        // What no graph reads, such as the number of the last step, goes.
        if tensor.element == Stored::Other {
            continue;
        }
        let from = end;
        end += 4 * tensor.shape.iter().product::<usize>();
        header.insert(
            key.to_owned(),
            json!({"dtype": "F32", "shape": tensor.shape, "data_offsets": [from, end]}),
        );
    }
    let mut text = serde_json::to_vec(&header)?;
    text.resize(text.len().next_multiple_of(8), b' ');
    out.write_all(&(text.len() as u64).to_le_bytes())?;
    out.write_all(&text)?;
    let mut piece = vec![0; PIECE];
    for key in header.keys() {
        let raw = of.raw(key).map_err(unfit)?;
        let per_piece = PIECE / 4;
        for from in (0..raw.count()).step_by(per_piece) {
            let bytes = 4 * per_piece.min(raw.count() - from);
            raw.read(from, &mut piece[..bytes])?;
            out.write_all(&piece[..bytes])?;
        }
    }
    Ok(())
}

fn unfit(defect: Defect) -> Error {
    Error::new(ErrorKind::InvalidData, defect.to_string())
}
