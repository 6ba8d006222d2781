//! Compares the frontend with reference vectors.
//!
//!     cargo run --release -p speech --example parity -- DICTIONARY_FOLDER CORPUS.jsonl [show]

#![expect(clippy::print_stdout, reason = "an example prints its result")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use speech::dictionary::{Blob, Dictionary, DictionaryFiles};
use speech::g2p::Frontend;
use speech::text::NormalizedText;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(corpus)) = (arguments.next(), arguments.next()) else {
        eprintln!("parity DICTIONARY_FOLDER CORPUS.jsonl [show]");
        std::process::exit(2);
    };
    let show = arguments.next().is_some();
    let read = |name: &str| -> Blob {
        Arc::new(std::fs::read(Path::new(&folder).join(name)).expect("a dictionary file"))
    };
    let dictionary = Dictionary::new(DictionaryFiles {
        sys: read("sys.dic"),
        unk: read("unk.dic"),
        char: read("char.bin"),
        matrix: read("matrix.bin"),
    });
    let frontend = Frontend::new(dictionary.expect("a dictionary"));
    let corpus = std::fs::read_to_string(corpus).expect("the corpus");
    let mut equal = [0; 3];
    let mut rows = 0;
    let mut wrong: BTreeMap<String, usize> = BTreeMap::new();
    let start = Instant::now();
    let mut spent = std::time::Duration::ZERO;
    for line in corpus.lines() {
        let row: Value = serde_json::from_str(line).expect("a row");
        let Some(text) = row["norm"]
            .as_str()
            .and_then(|t| NormalizedText::new(t.to_owned()).ok())
        else {
            continue;
        };
        let before = Instant::now();
        let said = frontend.pronounce(&text);
        spent += before.elapsed();
        if !row["phones"].is_array() {
            continue;
        }
        rows += 1;
        let phones = serde_json::json!(said.phonemes().collect::<Vec<_>>()) == row["phones"];
        let tones = phones && serde_json::json!(said.tones()) == row["tones"];
        let all = tones && serde_json::json!(said.phonemes_per_character()) == row["word2ph"];
        for (count, hit) in equal.iter_mut().zip([phones, tones, all]) {
            *count += usize::from(hit);
        }
        if !all {
            let what = if !phones {
                "phones"
            } else if !tones {
                "tones"
            } else {
                "word2ph"
            };
            *wrong.entry(format!("{} {what}", row["cat"])).or_default() += 1;
            if show {
                println!(
                    "{what}\t{}\n  {}\n  {:?}\n  {}\n  {:?}\n  {:?}",
                    text.as_str(),
                    row["phones"],
                    said.phonemes().collect::<Vec<_>>().join(" "),
                    row["tones"],
                    said.tones(),
                    said.warnings()
                );
            }
        }
    }
    let rate = |count: usize| 100.0 * count as f64 / rows as f64;
    println!(
        "rows {rows}: phones {:.2} %, with tones {:.2} %, with word2ph {:.2} %",
        rate(equal[0]),
        rate(equal[1]),
        rate(equal[2])
    );
    println!(
        "{:.1} us a sentence; {:.2} s in all",
        spent.as_secs_f64() * 1e6 / rows as f64,
        start.elapsed().as_secs_f64()
    );
    println!("different: {wrong:?}");
}
