//! The quality corpus: what we want read, through the real plugins and the
//! frontend, by both pipelines that are shipped.

use std::collections::{BTreeMap, BTreeSet};

use pipeline::{Prepared, pronounce};
use server::config::Config;
use server::platform;

use crate::stand::{Folder, cases};

/// Of all cases, in percent.
const GOAL: f64 = 95.0;

struct Case {
    category: String,
    text: String,
    readings: Vec<String>,
}

fn corpus() -> Vec<Case> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(cases("readings")).expect("the corpus") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "tsv") {
            continue;
        }
        let category = path.file_stem().unwrap_or_default().to_string_lossy();
        let text = std::fs::read_to_string(&path).expect("a category");
        for line in text.lines().filter(|line| !line.is_empty()) {
            let (text, readings) = line
                .split_once('\t')
                .unwrap_or_else(|| panic!("{category}: no tab in {line:?}"));
            all.push(Case {
                category: category.clone().into_owned(),
                text: text.to_owned(),
                readings: readings.split('|').map(sounds).collect(),
            });
        }
    }
    all
}

/// Kana → sounds, of which two spellings of one length are the same.
fn sounds(kana: &str) -> String {
    let phonemes = speech::moras::phonemes(kana);
    let phonemes = phonemes.unwrap_or_else(|| panic!("{kana} is no katakana"));
    same(&phonemes)
}

fn same(phonemes: &[impl AsRef<str>]) -> String {
    let mut same: Vec<&str> = Vec::new();
    for phoneme in phonemes.iter().map(AsRef::as_ref) {
        match (same.last(), phoneme) {
            (_, "_" | "!" | "?" | "…" | "," | "." | "'" | "-") => {}
            (Some(&"o"), "u") => same.push("o"),
            (Some(&"e"), "i") => same.push("e"),
            (_, other) => same.push(other),
        }
    }
    same.join(" ")
}

async fn shipped() -> Prepared {
    let folder = Folder::new();
    for name in ["ja", "ja-sbv2"] {
        let path = format!("{}/../pipelines/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("a shipped pipeline");
        let words = "file = \"../words.toml\"";
        let text = text.replace("# file = \"../dictionaries/ja.toml\"", words);
        folder.write(&format!("pipelines/{name}.toml"), text);
    }
    let words = std::fs::read(cases("readings").join("words.toml")).expect("the words");
    folder.write("words.toml", words);
    let config = Config::load(&folder.files()).expect("a configuration");
    let config = config.without_models();
    let live = platform::live(&config).expect("a runtime");
    live.prepare(config.service).await.expect("both pipelines")
}

/// Cases read right, by category.
async fn rates(next: &Prepared, pipeline: &str, all: &[Case]) -> BTreeMap<String, (usize, usize)> {
    let mut rates: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for case in all {
        let said = pronounce(next.generation(), Some(pipeline), &case.text).await;
        let said = said.unwrap_or_else(|e| panic!("{:?}: {e}", case.text));
        let heard = same(&said.phonemes);
        let right = case.readings.contains(&heard);
        if !right && pipeline == "ja" {
            let kana: String = said.moras.iter().map(|mora| mora.kana.as_str()).collect();
            eprintln!("{}: {} is read {kana}", case.category, case.text);
        }
        let rate = rates.entry(case.category.clone()).or_default();
        rate.0 += usize::from(right);
        rate.1 += 1;
    }
    rates
}

#[tokio::test(flavor = "multi_thread")]
async fn the_natural_pipeline_reads_what_people_expect() {
    let all = corpus();
    assert!(all.len() >= 600, "{} cases", all.len());
    let next = Box::pin(shipped()).await;
    let natural = rates(&next, "ja", &all).await;
    let sbv2 = rates(&next, "ja-sbv2", &all).await;
    let percent = |(right, of): (usize, usize)| 100.0 * right as f64 / of as f64;
    let sum = |rates: &BTreeMap<String, (usize, usize)>| {
        let add = |a: (usize, usize), b: &(usize, usize)| (a.0 + b.0, a.1 + b.1);
        rates.values().fold((0, 0), add)
    };
    println!("| category | cases | ja | ja-sbv2 |");
    let mut behind = BTreeSet::new();
    for (category, rate) in &natural {
        let other = sbv2[category];
        println!(
            "| {category} | {} | {:.1} % | {:.1} % |",
            rate.1,
            percent(*rate),
            percent(other)
        );
        if rate.0 <= other.0 {
            behind.insert(category);
        }
    }
    let (ours, theirs) = (percent(sum(&natural)), percent(sum(&sbv2)));
    println!("| all | {} | {ours:.1} % | {theirs:.1} % |", all.len());
    assert!(behind.is_empty(), "not ahead in {behind:?}");
    assert!(ours >= GOAL, "{ours:.1} % of the readings are right");
}
