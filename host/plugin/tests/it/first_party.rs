//! Our own components, as set-up built them.

use plugin::CallError;
use serde_json::json;

use crate::stand::{bucketer, built, choose, corpus, normalizer, normalizer_with, patient};

/// Texts for which the reference itself has no answer, by their id.
fn has_reference(row: &serde_json::Value) -> bool {
    row.get("norm").is_some_and(serde_json::Value::is_string)
}

#[test]
fn normalize_sbv2_equals_the_reference_on_every_row() {
    let plugin = normalizer(built("normalize-sbv2"), &patient()).expect("loads");
    let rows = corpus();
    let mut compared = 0;
    let mut different = Vec::new();
    for row in &rows {
        let text = row["text"].as_str().expect("a text");
        let answer = plugin
            .normalize(text, "ja")
            .unwrap_or_else(|e| panic!("{text:?}: {e}"));
        if has_reference(row) {
            compared += 1;
            if row["norm"] != answer.text {
                different.push((text, row["norm"].clone(), answer.text));
            }
        }
    }
    println!("{compared} rows compared, {} different", different.len());
    assert!(compared > 200);
    assert!(
        different.is_empty(),
        "{:?}",
        &different[..different.len().min(10)]
    );
}

#[test]
fn normalize_sbv2_knows_the_rules() {
    let plugin = normalizer(built("normalize-sbv2"), &patient()).expect("loads");
    let read = |text: &str| plugin.normalize(text, "ja").expect("an answer").text;
    assert_eq!(read("10:30"), "十三十", "a colon vanishes");
    assert_eq!(read("1,234,567円"), "百二十三万四千五百六十七円");
    assert_eq!(read("$100と€2.50"), "百ドルと二点五ユーロ");
    assert_eq!(read("０９０"), "九十");
    assert_eq!(read("すごい！？"), "すごい!?");
    assert_eq!(read("Ａ〜Ｂ"), "AーB");
    assert_eq!(read("①㌔℃"), "一キロC");
    assert_eq!(read("「はい」、…。"), "'はい',....");
    assert_eq!(read("😀★"), "");
    // The reference raises from 10^51 on; digits are read one by one.
    let long = "9".repeat(300);
    assert_eq!(read(&long), "九".repeat(300));
    assert!(matches!(
        plugin.normalize("a", "en"),
        Err(CallError::Unsupported(_))
    ));
}

#[test]
fn bucket_ladder_takes_the_next_step_if_it_is_near() {
    let plugin = bucketer(built("bucket-ladder"), &json!({})).expect("loads");
    let tokens = |len| choose(&plugin, "tokens", len, &[]);
    assert_eq!(tokens(8), Ok(8));
    assert_eq!(tokens(11), Ok(16));
    assert_eq!(tokens(100), Ok(128));
    assert_eq!(
        tokens(130),
        Ok(130),
        "256 would be more than half as much again"
    );
    assert_eq!(tokens(5_000), Ok(5_000), "beyond the ladder");
    assert_eq!(choose(&plugin, "bert", 50, &[]), Ok(64));
    assert_eq!(choose(&plugin, "bert", 40, &[]), Ok(40));
    assert_eq!(
        choose(&plugin, "tokens", 100, &[120, 512]),
        Ok(120),
        "only what is allowed"
    );
}

#[test]
fn bucket_ladder_takes_settings_and_refuses_wrong_ones() {
    let settings = json!({"tokens": [10, 20], "padding_ratio_max": {"tokens": 3.0}});
    let plugin = bucketer(built("bucket-ladder"), &settings).expect("loads");
    assert_eq!(choose(&plugin, "tokens", 7, &[]), Ok(10));
    assert_eq!(choose(&plugin, "tokens", 11, &[]), Ok(20));
    let refused = |settings| {
        bucketer(built("bucket-ladder"), &settings)
            .err()
            .expect("refused")
            .to_string()
    };
    assert_eq!(
        refused(json!({"tokens": [0, 8]})),
        "its settings are wrong: `tokens`: a list of lengths from 1 to 8192, ascending"
    );
    assert_eq!(
        refused(json!({"padding_ratio_max": {"bert": 0.5}})),
        "its settings are wrong: `padding_ratio_max.bert`: a number from 1 on"
    );
    assert!(refused(json!({"tokns": [8]})).contains("`tokns`: unknown; known are"));
}

/// What each normalizer makes of what, alone and without words of its host's:
/// `input<TAB>output`, and after another tab its settings.
#[test]
fn normalizers_meet_their_goldens() {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/normalizers");
    let mut different = Vec::new();
    // Compiling takes most of the time: once for each settings.
    let mut loaded = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("the goldens") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let cases = std::fs::read_to_string(&path).expect("goldens");
        for case in cases.lines() {
            let fields: Vec<&str> = case.split('\t').collect();
            let settings = fields.get(2).map_or(json!({}), |settings| {
                serde_json::from_str(settings).expect("settings")
            });
            let plugin = loaded
                .entry((name.to_string(), settings.to_string()))
                .or_insert_with(|| normalizer_with(built(&name), &settings).expect("loads"));
            let read = plugin.normalize(fields[0], "ja").expect("an answer");
            let spans = read.spans.iter().map(|span| span.end - span.start);
            assert_eq!(spans.sum::<u32>() as usize, read.text.chars().count());
            if read.text != fields[1] {
                different.push(format!(
                    "{name}\t{}\t{}\t{}",
                    fields[0], fields[1], read.text
                ));
            }
        }
    }
    assert!(different.is_empty(), "\n{}", different.join("\n"));
}

#[test]
fn settings_are_checked_when_a_normalizer_loads() {
    let refused = |name, settings| {
        let loaded = normalizer_with(built(name), &settings);
        loaded.err().expect("refused").to_string()
    };
    let told = refused("ja-links", json!({"url": "whole"}));
    assert!(
        told.contains("`url`: one of \"short\", \"full\", \"skip\""),
        "{told}"
    );
    let told = refused("ja-dates", json!({"time": true}));
    assert!(
        told.contains("`time`: unknown; known are") && told.contains("`times`"),
        "{told}"
    );
    let told = refused("normalize-sbv2", json!({"x": 1}));
    assert!(told.contains("it has no settings"), "{told}");
}
