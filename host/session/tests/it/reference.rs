//! The sound of the models of real architecture, against the reference vectors
//! that lie beside them. Skipped aloud where they are not.
//!
//! The vectors hold what ONNX Runtime made of each input elsewhere, and how far
//! PyTorch was from it. A difference of 0 therefore says that tokens, features
//! and scalars reach the graph untouched; only both distances together bound
//! the one to PyTorch.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Seek};
use std::path::Path;

use npyz::npz::NpzArchive;
use session::voice::{Dice, Pace, VoiceInput};
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
        .bert(
            &file("model.onnx"),
            &file("tokenizer.json"),
            &Settings::default(),
        )
        .expect("a BERT");
    let mut checked = 0;
    let mut worst = 0f32;
    let mut worst_to_pytorch = 0f32;
    for entry in std::fs::read_dir(&vectors).expect("the vectors") {
        let path = entry.expect("an entry").path();
        let stem = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let Some((model, _)) = stem
            .rsplit_once('_')
            .filter(|(model, _)| model.starts_with("tiny"))
        else {
            continue;
        };
        let Some(folder) = shared(model) else {
            continue;
        };
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
            dice: Dice::Fresh,
            pace: Pace::Even,
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
        let to_pytorch = difference + vector.floats("torch_ort_max_abs")[0];
        assert!(
            to_pytorch < TOLERANCE,
            "{stem}: {difference:e}, {to_pytorch:e} to PyTorch"
        );
        worst = worst.max(difference);
        worst_to_pytorch = worst_to_pytorch.max(to_pytorch);
        checked += 1;
    }
    eprintln!(
        "{checked} vectors, largest difference {worst:e}, to PyTorch at most {worst_to_pytorch:e}"
    );
    assert!(checked > 20, "only {checked} vectors");
}

/// The graph alone: these vectors bring their features with them.
#[tokio::test]
async fn the_smallest_voice_is_reproduced_as_well() {
    let (Some(vectors), Some(micro)) = (shared("vectors"), shared("micro/micro.aivmx")) else {
        return;
    };
    let voice = open(&residency(), &Source::Path(micro));
    let mut worst = 0f32;
    for number in 0..3 {
        let vector = Vector::open(&vectors.join(format!("micro_{number:02}.npz")));
        let tokens = vector.ints("x_tst");
        let input = VoiceInput {
            true_length: vector.ints("x_tst_lengths")[0] as usize,
            tones: vector.ints("tones"),
            languages: vector.ints("language"),
            tokens,
            features: vector.halves("bert_f16"),
            style_vector: vector.floats("style_vec"),
            speaker: vector.ints("sid")[0],
            length_scale: vector.floats("length_scale")[0],
            sdp_ratio: vector.floats("sdp_ratio")[0],
            noise_scale: vector.floats("noise_scale")[0],
            noise_scale_w: vector.floats("noise_scale_w")[0],
            dice: Dice::Fresh,
            pace: Pace::Even,
        };
        let samples = speak(&voice, input.clone()).await;
        let frames: i64 = vector.ints("durations_frames").iter().sum();
        assert_eq!(samples.len() as i64, frames * 512, "micro_{number:02}");
        let difference = largest_difference(&samples, &vector.floats("output"));
        assert!(difference < TOLERANCE, "micro_{number:02}: {difference:e}");
        // The check can fail: another speaker is another sound.
        let mut other = input;
        other.speaker = 1 - other.speaker;
        let other = speak(&voice, other).await;
        let differs =
            other.len() != samples.len() || largest_difference(&samples, &other) > TOLERANCE;
        assert!(differs, "micro_{number:02}: speakers sound the same");
        worst = worst.max(difference);
    }
    eprintln!("3 micro vectors, largest difference {worst:e}");
}

/// Mean feature of the assist text, and its weight.
async fn assist(bert: &session::bert::Bert, vector: &Vector) -> Option<(Vec<f32>, f32)> {
    let text = vector
        .has("assist_text")
        .then(|| vector.text("assist_text"))?;
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
pub(crate) struct Vector {
    arrays: BTreeMap<String, Vec<u8>>,
}

impl Vector {
    pub(crate) fn open(path: &Path) -> Self {
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

    pub(crate) fn has(&self, name: &str) -> bool {
        self.arrays.contains_key(name)
    }

    fn array(&self, name: &str) -> npyz::NpyFile<&[u8]> {
        let bytes = self.arrays.get(name).unwrap_or_else(|| panic!("no {name}"));
        npyz::NpyFile::new(&bytes[..]).expect("an .npy")
    }

    pub(crate) fn ints(&self, name: &str) -> Vec<i64> {
        let array = self.array(name);
        match array.dtype().descr().trim_matches('\'') {
            "<i4" => array
                .into_vec::<i32>()
                .expect("ints")
                .into_iter()
                .map(i64::from)
                .collect(),
            _ => array
                .into_vec::<i64>()
                .unwrap_or_else(|e| panic!("{name}: {e}")),
        }
    }

    pub(crate) fn floats(&self, name: &str) -> Vec<f32> {
        let array = self.array(name);
        match array.dtype().descr().trim_matches('\'') {
            "<f8" => array
                .into_vec::<f64>()
                .expect("floats")
                .into_iter()
                .map(|v| v as f32)
                .collect(),
            _ => array
                .into_vec::<f32>()
                .unwrap_or_else(|e| panic!("{name}: {e}")),
        }
    }

    /// Half precision, which is exact for what is stored in it.
    pub(crate) fn halves(&self, name: &str) -> Vec<f32> {
        self.payload(name)
            .chunks_exact(2)
            .map(|half| half_to_float(u16::from_le_bytes([half[0], half[1]])))
            .collect()
    }

    /// Everything after the header.
    fn payload(&self, name: &str) -> &[u8] {
        let bytes = &self.arrays[name];
        let header = u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
        &bytes[10 + header..]
    }

    /// A scalar of numpy's UTF-32 string type.
    fn text(&self, name: &str) -> String {
        self.payload(name)
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

fn half_to_float(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 0x3ff));
    match exponent {
        0 => sign * fraction * 2f32.powi(-24),
        _ => sign * (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15),
    }
}
