//! What was pulled, listed and removed.

use hub::{Error, Record, Removed, pulled, remove};

use crate::stand::{Fault, MODEL, Stand, names};

#[test]
fn what_was_pulled_is_listed_and_nothing_else() {
    let stand = Stand::with_voice();
    assert!(pulled(&stand.voices()).expect("no folder").is_empty());
    for name in ["b", "a", "damaged"] {
        let mut pull = stand.pull_of("hf:o/r");
        pull.name = Some(name.to_owned());
        stand.fetch(&pull);
    }
    let into = stand.voices();
    std::fs::create_dir(into.join("mine")).expect("a folder");
    std::fs::write(into.join("mine.aivmx"), "x").expect("a file");
    std::fs::write(into.join("damaged").join(Record::FILE), "[]").expect("a record");
    let shelved = pulled(&into).expect("a folder");
    let listed: Vec<_> = shelved
        .iter()
        .map(|it| (it.name.as_str(), it.record.is_ok()))
        .collect();
    assert_eq!(listed, [("a", true), ("b", true), ("damaged", false)]);
}

#[test]
fn records_of_others_are_refused_each_for_its_reason() {
    let stand = Stand::with_voice();
    let folder = stand.fetch(&stand.pull_of("hf:o/r")).folder;
    let path = folder.join(Record::FILE);
    let good = std::fs::read_to_string(&path).expect("a record");
    let cases = [
        ("".to_owned(), "EOF"),
        (
            good.replace("\"format\": 1", "\"format\": 2"),
            "format is 2",
        ),
        (
            good.replace("\"config.json\"", "\"../../x\""),
            "name that cannot be",
        ),
        (
            good.replace("\"sha256\": \"", "\"sha256\": \"z"),
            "64 hexadecimal",
        ),
        (format!("{good}{}", " ".repeat(2 << 20)), "1 MiB"),
    ];
    for (record, said) in cases {
        std::fs::write(&path, record).expect("written");
        let shelved = pulled(&stand.voices()).expect("a folder");
        let fault = shelved[0]
            .record
            .as_ref()
            .expect_err("no record")
            .to_string();
        assert!(fault.contains(said), "{fault}");
    }
}

#[test]
fn what_was_pulled_is_removed_and_nothing_else() {
    let stand = Stand::with_voice();
    let folder = stand.fetch(&stand.pull_of("hf:o/r")).folder;
    let into = stand.voices();
    std::fs::create_dir(into.join("mine")).expect("a folder");
    std::os::unix::fs::symlink(&folder, into.join("link")).expect("a link");
    std::fs::write(into.join("file"), "x").expect("a file");
    std::fs::create_dir_all(into.join("mine").join("deep")).expect("a folder");
    for name in ["mine", "link", "file"] {
        let refused = remove(&into, name).expect_err("not pulled");
        assert!(matches!(refused, Error::NotPulled { .. }), "{refused}");
    }
    for name in ["../voices/r", "r/", ".", "..", "", ".pull", "mine/deep"] {
        let refused = remove(&into, name).expect_err("no name");
        assert!(matches!(refused, Error::Name { .. }), "{refused}");
    }
    let refused = remove(&into, "nobody").expect_err("nobody");
    assert!(matches!(refused, Error::NoSuch { .. }), "{refused}");
    let removed = remove(&into, "r").expect("removed");
    assert!(matches!(removed, Removed::Voice(record) if record.source == "hf:o/r"));
    assert_eq!(names(&into), ["file", "link", "mine"]);
}

#[test]
fn with_a_voice_goes_what_had_gathered_for_it() {
    let stand = Stand::with_voice();
    let pull = stand.pull_of("hf:o/r");
    let folder = stand.fetch(&pull).folder;
    std::fs::remove_file(folder.join(MODEL)).expect("removed");
    stand.fault(MODEL, [Fault::Cut(1_000), Fault::Cut(0), Fault::Cut(0)]);
    stand.pull(&pull).expect_err("it broke off");
    assert_eq!(names(&stand.voices()), [".pull", "r"]);
    remove(&stand.voices(), "r").expect("removed");
    assert_eq!(names(&stand.voices()), [""; 0]);
}

#[test]
fn what_gathered_for_a_pull_that_never_ended_can_be_removed() {
    let stand = Stand::with_voice();
    stand.fault(MODEL, [Fault::Cut(1_000), Fault::Cut(0), Fault::Cut(0)]);
    let broken = stand.pull(&stand.pull_of("hf:o/r"));
    broken.expect_err("it broke off");
    assert!(pulled(&stand.voices()).expect("a folder").is_empty());
    assert_eq!(
        remove(&stand.voices(), "r").expect("removed"),
        Removed::Parts
    );
    assert_eq!(names(&stand.voices()), [""; 0]);
}

#[test]
fn a_damaged_record_is_not_taken_for_ours() {
    let stand = Stand::with_voice();
    let folder = stand.fetch(&stand.pull_of("hf:o/r")).folder;
    std::fs::write(folder.join(Record::FILE), "{}").expect("written");
    let refused = remove(&stand.voices(), "r").expect_err("no record");
    assert!(matches!(refused, Error::Record { .. }), "{refused}");
    assert!(folder.join(MODEL).is_file());
}
