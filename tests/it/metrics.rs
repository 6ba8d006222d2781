//! What is counted is described: an operator reads `# HELP`, not the source.

use std::collections::BTreeSet;

use crate::stand::{SERVING, sources};

#[test]
fn every_metric_is_described() {
    let (mut used, mut described) = (BTreeSet::new(), BTreeSet::new());
    for (_, text) in SERVING.iter().flat_map(|package| sources(package)) {
        look(&text, &mut used, &mut described);
    }
    assert!(used.len() > 40, "nothing was looked at");
    let missing: Vec<_> = used.difference(&described).collect();
    assert!(missing.is_empty(), "{missing:?} have no description");
    let idle: Vec<_> = described.difference(&used).collect();
    assert!(idle.is_empty(), "{idle:?} are described and never set");
}

fn look(text: &str, used: &mut BTreeSet<String>, described: &mut BTreeSet<String>) {
    for (at, _) in text.match_indices("\"koemasu_") {
        let name = text[at + 1..].split('"').next().unwrap_or_default();
        let name_only = |it: char| it.is_ascii_lowercase() || it == '_';
        if !name.chars().all(name_only) {
            continue;
        }
        let before = text[..at].trim_end();
        // Lines of a table, or one by one.
        let describes = [
            " counter",
            " gauge",
            " histogram",
            "describe_counter!(",
            "describe_histogram!(",
        ];
        let sets = ["counter!(", "gauge!(", "histogram!("];
        if describes.iter().any(|it| before.ends_with(it)) {
            described.insert(name.to_owned());
        } else if sets.iter().any(|it| before.ends_with(it)) {
            used.insert(name.to_owned());
        }
    }
}
