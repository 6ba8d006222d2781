//! Configuration that is refused: each `cases/config/NAME.toml` (a pipeline, or
//! koemasu.toml if it begins with `# koemasu.toml`) and what is said about it,
//! `NAME.err`. `KOEMASU_BLESS=1` rewrites the latter.

use koemasu::config::Config;

use crate::stand::{Folder, cases};

#[test]
fn refusals_point_at_the_place_and_say_what_would_be_right() {
    let mut seen = 0;
    for entry in std::fs::read_dir(cases("config")).expect("the folder of cases") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let folder = Folder::new();
        let text = std::fs::read_to_string(&path).expect("a readable case");
        let name = if text.starts_with("# koemasu.toml") {
            "koemasu.toml"
        } else {
            "pipelines/ja.toml"
        };
        folder.write(name, &text);
        let told = match Config::load(&folder.files()) {
            Ok(_) => panic!("{} is not refused", path.display()),
            Err(error) => format!("{error}\n"),
        };
        let told = told.replace(&folder.path().display().to_string(), "");
        let golden = path.with_extension("err");
        if std::env::var_os("KOEMASU_BLESS").is_some() {
            std::fs::write(&golden, &told).expect("a writable golden file");
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(told, expected, "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 8, "only {seen} cases");
}

#[test]
fn every_pipeline_in_the_repository_loads() {
    let folder = cases("../../pipelines");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the pipelines") {
        let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("a file");
        pipeline::spec::Pipeline::parse(&text).expect("a good pipeline");
        seen += 1;
    }
    assert!(seen >= 1);
}
