//! Audio equal to PyTorch's, for the models of real architecture and the
//! reference vectors that lie beside them. Skipped aloud where they are not.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Seek};
use std::path::Path;

use npyz::npz::NpzArchive;
use session::voice::VoiceInput;
use session::{Settings, Source};

use crate::stand::{largest_difference, open, read, residency, shared, speak};

const TOLERANCE: f32 = 1e-4;

#[tokio::test]
async fn every_reference_vector_is_reproduced() {
    let (Some(vectors), Some(bert)) = (shared("vectors"), shared("bert-tiny")) else {
        return;
    };
    let residency = residency();
    let file = |name: &str| Source::Path(bert.join(name));
    let bert = residency
        .bert(&file("model.onnx"), &file("tokenizer.json"), &Settings::default())
        .expect("a BERT");
    let mut checked = 0;
    let mut worst = 0f32;
    for entry in std::fs::read_dir(&vectors).expect("the vectors") {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let Some((model, _)) = stem.rsplit_once('_').filter(|(model, _)| model.starts_with("tiny")) else {
            continue;
        };
        let Some(folder) = shared(model) else { continue };
        let voice = open(&residency, &Source::Path(folder));
        let vector = Vector::open(&path);

        // Tokens of the text, exactly.
        let ids = bert.encode(&vector.text("kana_joined_text")).expect("ids");
        assert_eq!(ids, vector.ints("bert_input_ids"), "{stem}");
        let features = read(&bert, ids.clone(), ids.len()).await;

        let per_character = vector.ints("word2ph_blank");
        let assist = assist(&bert, &vector).await;
        let tokens = vector.ints("x_tst");
        let columns = expand(&features.data, &per_character, assist.as_ref());
        let input = VoiceInput {
            true_length: tokens.len(),
            tones: vector.ints("tones"),
            languages: vector.ints("language"),
            tokens,
            features: columns,
            style_vector: vector.floats("style_vec"),
            speaker: vector.ints("sid")[0],
            length_scale: vector.floats("length_scale")[0],
            sdp_ratio: 0.0,
            noise_scale: 0.0,
            noise_scale_w: 0.0,
        };
        let samples = speak(&voice, input).await;

        // Durations show in the length, exactly.
        let frames: i64 = vector.ints("durations_frames").iter().sum();
        assert_eq!(samples.len() as i64, frames * 512, "{stem}");
        let difference = if vector.has("audio") {
            largest_difference(&samples, &vector.floats("audio"))
        } else {
            let every_16th: Vec<f32> = samples.iter().step_by(16).copied().collect();
            largest_difference(&every_16th, &vector.floats("audio_stride16"))
        };
        assert!(difference < TOLERANCE, "{stem}: {difference:e}");
        worst = worst.max(difference);
        checked += 1;
    }
    println!("{checked} vectors, largest difference {worst:e}");
    assert!(checked > 20, "only {checked} vectors");
}

/// Mean feature of the assist text, and its weight.
async fn assist(bert: &session::bert::Bert, vector: &Vector) -> Option<(Vec<f32>, f32)> {
    let text = vector.has("assist_text").then(|| vector.text("assist_text"))?;
    if text.is_empty() {
        return None;
    }
    // The frontend gives BERT its own marks.
    let ids = bert.encode(&text.replace('！', "!")).expect("ids");
    let rows = ids.len();
    let features = read(bert, ids, rows).await;
    let mean = (0..1024)
        .map(|channel| {
            let column = features.data.iter().skip(channel).step_by(1024);
            column.sum::<f32>() / rows as f32
        })
        .collect();
    Some((mean, vector.floats("assist_text_weight")[0]))
}

/// Rows per character → [1024, tokens].
fn expand(rows: &[f32], per_character: &[i64], assist: Option<&(Vec<f32>, f32)>) -> Vec<f32> {
    let tokens: i64 = per_character.iter().sum();
    let tokens = tokens as usize;
    let mut columns = vec![0.0; 1024 * tokens];
    let mut token = 0;
    for (row, count) in rows.chunks_exact(1024).zip(per_character) {
        for _ in 0..*count {
            for (channel, value) in row.iter().enumerate() {
                columns[channel * tokens + token] = match assist {
                    Some((mean, weight)) => value * (1.0 - weight) + mean[channel] * weight,
                    None => *value,
                };
            }
            token += 1;
        }
    }
    columns
}

/// One .npz: arrays by name, strings as numpy writes them.
struct Vector {
    arrays: BTreeMap<String, Vec<u8>>,
}

impl Vector {
    fn open(path: &Path) -> Self {
        let file = std::fs::File::open(path).expect("the vector");
        let mut archive = NpzArchive::new(file).expect("an .npz");
        let names: Vec<String> = archive.array_names().map(str::to_owned).collect();
        let arrays = names.into_iter().map(|name| {
            let bytes = raw(&mut archive, &name);
            (name, bytes)
        });
        Self {
            arrays: arrays.collect(),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.arrays.contains_key(name)
    }

    fn array(&self, name: &str) -> npyz::NpyFile<&[u8]> {
        let bytes = self.arrays.get(name).unwrap_or_else(|| panic!("no {name}"));
        npyz::NpyFile::new(&bytes[..]).expect("an .npy")
    }

    fn ints(&self, name: &str) -> Vec<i64> {
        let array = self.array(name);
        match array.dtype().descr().trim_matches('\'') {
            "<i4" => array.into_vec::<i32>().expect("ints").into_iter().map(i64::from).collect(),
            _ => array.into_vec::<i64>().unwrap_or_else(|e| panic!("{name}: {e}")),
        }
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let array = self.array(name);
        match array.dtype().descr().trim_matches('\'') {
            "<f8" => array.into_vec::<f64>().expect("floats").into_iter().map(|v| v as f32).collect(),
            _ => array.into_vec::<f32>().unwrap_or_else(|e| panic!("{name}: {e}")),
        }
    }

    /// A scalar of numpy's UTF-32 string type; everything after the header.
    fn text(&self, name: &str) -> String {
        let bytes = &self.arrays[name];
        let header = u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
        bytes[10 + header..]
            .chunks_exact(4)
            .filter_map(|code| char::from_u32(u32::from_le_bytes(code.try_into().ok()?)))
            .filter(|character| *character != '\0')
            .collect()
    }
}

fn raw<R: Read + Seek>(archive: &mut NpzArchive<R>, name: &str) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let mut file = archive
        .zip_archive()
        .by_name(&format!("{name}.npy"))
        .expect("an array");
    std::io::copy(&mut file, &mut bytes).expect("a whole array");
    bytes.into_inner()
}
