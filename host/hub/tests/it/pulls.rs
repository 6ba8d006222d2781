//! A pull that goes well, and what a later one makes of it.

use hub::{Check, Error, Kind, Outcome, Record, Standing};

use crate::stand::{
    MODEL, MODEL_BYTES, Stand, TOKEN, large, model, names, run, sha256, small, voice,
};

#[test]
fn a_voice_comes_whole_and_with_a_record_of_where_it_came_from() {
    let stand = Stand::with_voice();
    let pulled = stand.fetch(&stand.pull_of("hf:o/r"));
    assert_eq!(pulled.name, "r");
    assert_eq!(pulled.folder, stand.voices().join("r"));
    let there = [
        "ami_e10_s100.safetensors",
        "config.json",
        Record::FILE,
        "style_vectors.npy",
    ];
    assert_eq!(names(&pulled.folder), there);
    assert_eq!(names(&stand.voices()), ["r"], "nothing is left beside it");
    assert_eq!(
        std::fs::read(pulled.folder.join(MODEL)).expect("a model"),
        model()
    );

    let record = &pulled.record;
    assert_eq!(
        (record.kind, record.source.as_str()),
        (Kind::Voice, "hf:o/r")
    );
    assert_eq!(record.licence.as_deref(), Some("cc-by-sa-4.0"));
    let origin = record.origin.as_ref().expect("it lies on the hub");
    assert_eq!(origin.endpoint, stand.hub.address());
    assert_eq!(
        (origin.repository.as_str(), origin.revision.as_str()),
        ("o/r", "main")
    );
    assert_eq!(
        Some(origin.commit.as_str()),
        stand.state().revisions.get("main").map(String::as_str)
    );
    let file = record.files.iter().find(|file| file.name == MODEL);
    let file = file.expect("its model");
    assert_eq!(
        (file.bytes, file.sha256.as_str()),
        (MODEL_BYTES as u64, sha256(&model()).as_str())
    );
    assert_eq!(file.etag, Some(format!("\"{}\"", sha256(&model()))));
    let text = std::fs::read_to_string(pulled.folder.join(Record::FILE)).expect("a record");
    assert!(
        !text.contains(TOKEN) && !text.contains("Signature"),
        "{text}"
    );
}

#[test]
fn the_token_goes_to_the_hub_and_not_to_where_it_keeps_its_files() {
    let stand = Stand::with_voice();
    stand.fetch(&stand.pull_of("hf:o/r"));
    let bearer = format!("Bearer {TOKEN}");
    let (hub, store) = (stand.hub.asked(), stand.store.asked());
    assert!(
        hub.iter()
            .all(|it| it.header("authorization") == Some(&bearer))
    );
    assert!(store.iter().all(|it| it.header("authorization").is_none()));
    assert_eq!((hub.len(), store.len()), (4, 2));
}

#[test]
fn how_far_it_is_is_told_not_too_often_and_to_the_end() {
    let stand = Stand::with_voice();
    let hub = hub::Hub::new(&stand.settings()).expect("a hub");
    let mut told = Vec::new();
    hub.pull(&stand.pull_of("hf:o/r"), &mut |it| {
        told.push((it.file.to_owned(), it.done, it.total));
    })
    .expect("a voice");
    let whole = MODEL_BYTES as u64;
    assert_eq!(told.last(), Some(&(MODEL.to_owned(), whole, Some(whole))));
    assert!(told.len() < 20, "{told:?}");
    assert!(
        told.iter()
            .all(|(_, done, total)| total.is_none_or(|total| *done <= total))
    );
}

#[test]
fn what_is_there_is_not_fetched_again() {
    let stand = Stand::with_voice();
    let pull = stand.pull_of("hf:o/r");
    stand.fetch(&pull);
    stand.asked();
    for standing in [Standing::Keep, Standing::Update, Standing::Replace] {
        for check in [Check::Sizes, Check::Digests] {
            let again = stand.pull(&hub::Pull {
                standing,
                check,
                ..pull.clone()
            });
            assert_eq!(again.expect("a voice").outcome, Outcome::UpToDate);
        }
    }
    assert_eq!(stand.asked(), []);
    assert_eq!(names(&stand.voices()), ["r"]);
}

#[test]
fn what_is_missing_or_damaged_is_fetched_again() {
    let stand = Stand::with_voice();
    let mut pull = stand.pull_of("hf:o/r");
    let folder = stand.fetch(&pull).folder;
    std::fs::remove_file(folder.join("config.json")).expect("removed");
    stand.fetch(&pull);
    let mut flipped = model();
    flipped[1_000] ^= 1;
    std::fs::write(folder.join(MODEL), &flipped).expect("written");
    assert_eq!(
        stand.pull(&pull).expect("a voice").outcome,
        Outcome::UpToDate
    );
    pull.check = Check::Digests;
    stand.fetch(&pull);
    assert_eq!(std::fs::read(folder.join(MODEL)).expect("a model"), model());
}

#[test]
fn a_repository_that_moved_on_is_followed_when_somebody_says_so() {
    let stand = Stand::with_voice();
    let mut pull = stand.pull_of("hf:o/r");
    let first = stand.fetch(&pull);
    let mut files = voice("");
    files.retain(|(path, _)| *path != MODEL);
    files.push(("ami_e20_s200.safetensors", large(b"longer".to_vec())));
    let commit = stand.commit("main", files);

    let kept = stand.pull(&pull).expect("a voice");
    assert!(matches!(kept.outcome, Outcome::Kept { newer } if newer.as_str() == commit));
    assert_eq!(kept.record, first.record);
    // What is missing of it is fetched as it was.
    std::fs::remove_file(first.folder.join(MODEL)).expect("removed");
    assert_eq!(stand.fetch(&pull).record, first.record);
    assert!(first.folder.join(MODEL).is_file());

    pull.standing = Standing::Update;
    let moved = stand.fetch(&pull);
    assert_eq!(
        moved.record.origin.expect("on the hub").commit.as_str(),
        commit
    );
    let there = [
        "ami_e20_s200.safetensors",
        "config.json",
        Record::FILE,
        "style_vectors.npy",
    ];
    assert_eq!(names(&moved.folder), there);
    pull.standing = Standing::Keep;
    assert_eq!(
        stand.pull(&pull).expect("a voice").outcome,
        Outcome::UpToDate
    );
}

#[test]
fn a_revision_that_is_named_is_one_that_is_meant() {
    let stand = Stand::with_voice();
    stand.fetch(&stand.pull_of("hf:o/r"));
    let commit = stand.commit(
        "refs/pr/1",
        [
            ("config.json", small("{}")),
            ("style_vectors.npy", small("style")),
            ("x.onnx", large(b"onnx".to_vec())),
        ],
    );
    let pulled = stand.fetch(&stand.pull_of("hf:o/r@refs%2Fpr%2F1"));
    let origin = pulled.record.origin.expect("on the hub");
    assert_eq!(
        (origin.revision.as_str(), origin.commit.as_str()),
        ("refs/pr/1", commit.as_str())
    );
    // By its commit it is the same.
    let same = stand.pull(&stand.pull_of(&format!("hf:o/r@{commit}")));
    assert_eq!(same.expect("a voice").outcome, Outcome::UpToDate);
}

#[test]
fn content_that_changed_under_its_commit_is_not_taken_unasked() {
    for bare in [false, true] {
        let stand = Stand::with_voice();
        stand.state().bare = bare;
        let mut pull = stand.pull_of("hf:o/r");
        let first = stand.fetch(&pull);
        {
            let mut state = stand.state();
            let files = state.commits.values_mut().next().expect("a commit");
            let model = files.get_mut(MODEL).expect("a model");
            model.content[0] ^= 1;
        }
        if bare {
            // Without digests nobody can tell before something is missing.
            std::fs::remove_file(first.folder.join("config.json")).expect("removed");
        }
        stand.asked();
        for standing in [Standing::Keep, Standing::Update] {
            pull.standing = standing;
            let refused = stand.pull(&pull).expect_err("other content");
            assert!(matches!(refused, Error::Changed { .. }), "{refused}");
            assert!(bare || stand.asked().is_empty());
        }
        assert_eq!(
            std::fs::read(first.folder.join(MODEL)).expect("the old one"),
            model()
        );
        assert_eq!(names(&stand.voices()), ["r"]);
        pull.standing = Standing::Replace;
        let replaced = stand.fetch(&pull);
        assert_ne!(replaced.record, first.record);
    }
}

#[test]
fn what_lies_there_already_is_not_touched() {
    let stand = Stand::with_voice();
    let mut pull = stand.pull_of("hf:o/r");
    let place = stand.voices().join("r");
    std::fs::create_dir_all(&place).expect("a folder");
    std::fs::write(place.join("mine.txt"), "mine").expect("written");
    let refused = stand.pull(&pull).expect_err("a folder of somebody's");
    assert!(matches!(refused, Error::NotOurs { .. }), "{refused}");
    assert_eq!(names(&stand.voices()), ["r"]);
    assert_eq!(names(&place), ["mine.txt"]);

    pull.standing = Standing::Replace;
    stand.fetch(&pull);
    assert!(!place.join("mine.txt").exists());

    stand.commit("main", voice("a/").into_iter().chain(voice("b/")));
    let mut other = stand.pull_of("hf:o/r/b");
    other.name = Some("r".to_owned());
    let refused = stand.pull(&other).expect_err("another source");
    assert!(matches!(refused, Error::Elsewhere { .. }), "{refused}");
    assert!(refused.to_string().contains("hf:o/r"), "{refused}");
    other.standing = Standing::Replace;
    stand.fetch(&other);
}

#[test]
fn a_damaged_record_is_no_leave_to_take_the_place() {
    let stand = Stand::with_voice();
    let mut pull = stand.pull_of("hf:o/r");
    let folder = stand.fetch(&pull).folder;
    std::fs::write(folder.join(Record::FILE), "{").expect("written");
    let refused = stand.pull(&pull).expect_err("no record");
    assert!(matches!(refused, Error::Record { .. }), "{refused}");
    pull.standing = Standing::Replace;
    stand.fetch(&pull);
}

#[test]
fn the_bert_comes_with_its_vocabulary() {
    let stand = Stand::new([]);
    let small_files = [
        ("config.json", small("{}")),
        ("vocab.txt", small("[PAD]")),
        ("README.md", small("#")),
    ];
    let weights = [
        ("pytorch_model.bin", large(b"pickle".to_vec())),
        ("model.safetensors", large(b"weights".to_vec())),
    ];
    // Answers for whatever repository it is asked.
    let bert = crate::server::Server::new({
        let store = std::sync::Arc::clone(&stand.state);
        let hub = stand.hub.address();
        move |request| {
            drop(store.lock());
            let path = request
                .path
                .replace("ku-nlp/deberta-v2-large-japanese-char-wwm", "o/r");
            crate::server::Reply::to(format!("{hub}{path}"))
        }
    });
    let pull = stand.pull_of("bert");
    let settings = hub::Settings {
        endpoint: bert.address(),
        ..stand.settings()
    };
    stand.commit("main", small_files.clone());
    let refused = run(&settings, &pull).expect_err("no weights");
    assert!(
        matches!(
            refused,
            Error::NoBert {
                file: "model.safetensors",
                ..
            }
        ),
        "{refused}"
    );
    stand.commit("main", small_files.into_iter().chain(weights));
    let pulled = run(&settings, &pull).expect("a BERT");
    assert_eq!(
        (pulled.name.as_str(), pulled.record.kind),
        ("deberta-v2-large-japanese-char-wwm", Kind::Bert)
    );
    let there = [
        "config.json",
        Record::FILE,
        "model.safetensors",
        "vocab.txt",
    ];
    assert_eq!(names(&pulled.folder), there);
}
