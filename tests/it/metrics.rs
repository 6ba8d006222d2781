//! What is counted is described: an operator reads `# HELP`, not the source.

use std::collections::BTreeSet;
use std::path::Path;

use crate::stand::cases;

#[test]
fn every_metric_is_described() {
    let host = cases("../../host");
    let (mut used, mut described) = (BTreeSet::new(), BTreeSet::new());
    for package in [
        "koemasu", "pipeline", "speech", "sound", "plugin", "session",
    ] {
        look(&host.join(package).join("src"), &mut used, &mut described);
    }
    assert!(used.len() > 40, "nothing was looked at");
    let missing: Vec<_> = used.difference(&described).collect();
    assert!(missing.is_empty(), "{missing:?} have no description");
    let idle: Vec<_> = described.difference(&used).collect();
    assert!(idle.is_empty(), "{idle:?} are described and never set");
}

fn look(folder: &Path, used: &mut BTreeSet<String>, described: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            look(&path, used, described);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = std::fs::read_to_string(&path).expect("source");
            for (at, _) in text.match_indices("\"koemasu_") {
                let name = text[at + 1..].split('"').next().unwrap_or_default();
                let name_only = |it: char| it.is_ascii_lowercase() || it == '_';
                if !name.chars().all(name_only) {
                    continue;
                }
                let before = text[..at].trim_end();
                let describes = [
                    "describe_counter!(",
                    "describe_gauge!(",
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
    }
}
