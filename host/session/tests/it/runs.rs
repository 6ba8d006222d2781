//! Runs: padding is inaudible, leases come back, devices are what was asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use metrics::{
    Counter, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use session::bert::BertInput;
use session::device::{Device, Wanted};
use session::{Error, Settings, Source};

use crate::stand::{
    WAIT, demo, fixture, folder_voice, input, largest_difference, open, read, residency, shared,
    speak,
};

/// Float noise of another blocking of the same sums; far under one step of 16
/// bits (3e-5).
const NOISE: f32 = 1e-5;

#[tokio::test]
async fn padding_tokens_to_a_bucket_does_not_change_the_sound() {
    let residency = residency();
    let mut voices = vec![demo("demo.aivmx")];
    voices.extend(shared("tiny").map(Source::Path));
    voices.extend(shared("tiny-ml").map(Source::Path));
    for source in voices {
        let voice = open(&residency, &source);
        let exact = speak(&voice, input(0)).await;
        for padded in [32, 64, 128] {
            let difference = largest_difference(&exact, &speak(&voice, input(padded)).await);
            eprintln!("{source:?} padded to {padded}: {difference:e}");
            assert!(
                difference < NOISE,
                "{source:?} padded to {padded}: {difference:e}"
            );
        }
        // The check can fail: one token more is heard.
        let mut longer = input(64);
        longer.true_length += 1;
        let other = speak(&voice, longer).await;
        assert!(other.len() != exact.len() || largest_difference(&exact, &other) > NOISE);
    }
}

#[tokio::test]
async fn padding_characters_does_not_change_the_features() {
    let residency = residency();
    let own = (demo("bert.onnx"), demo("tokenizer.json"));
    let tiny = shared("bert-tiny").map(|folder| {
        let file = |name: &str| Source::Path(folder.join(name));
        (file("model.onnx"), file("tokenizer.json"))
    });
    for (graph, tokenizer) in [Some(own), tiny].into_iter().flatten() {
        let bert = residency
            .bert(&graph, &tokenizer, &Settings::default())
            .expect("a BERT");
        let ids = bert.encode("きょうはいいてんきですね").expect("ids");
        assert_eq!(ids.len(), 14);
        let exact = read(&bert, ids.clone(), ids.len()).await;
        assert_eq!((exact.rows, exact.width), (14, 1024));
        for padded in [16, 32, 64] {
            let features = read(&bert, ids.clone(), padded).await;
            let difference = largest_difference(&exact.data, &features.data);
            eprintln!("{graph:?} padded to {padded}: {difference:e}");
            assert!(
                difference < NOISE,
                "{graph:?} padded to {padded}: {difference:e}"
            );
        }
    }
}

#[tokio::test]
async fn every_character_is_one_token_whatever_it_is() {
    let residency = residency();
    let bert = residency
        .bert(
            &demo("bert.onnx"),
            &demo("tokenizer.json"),
            &Settings::default(),
        )
        .expect("a BERT");
    for text in [
        "",
        "あ",
        "漢字とカナ",
        "a b\tc",
        "\u{3099}\u{200d}😀👨\u{200d}👩",
        "ﾊﾝｶｸ",
        "##あ [MASK]",
    ] {
        let ids = bert.encode(text).expect("ids");
        assert_eq!(ids.len(), text.chars().count() + 2, "{text:?}");
        assert_eq!((ids[0], ids[ids.len() - 1]), (1, 2), "{text:?}");
    }
}

#[tokio::test]
async fn a_run_that_fails_costs_its_session_and_no_more() {
    let voice = open(&residency(), &demo("demo.aivmx"));
    let mut lease = voice.checkout(64, WAIT).await.expect("a session");
    let mut wrong = input(0);
    wrong.tones.pop();
    assert!(matches!(lease.run(wrong), Err(Error::Input(_))));
    let mut wrong = input(0);
    // Out of the table of symbols: ONNX Runtime itself refuses.
    wrong.tokens[1] = 4_000;
    let error = lease.run(wrong).expect_err("no such symbol");
    assert!(matches!(error, Error::Run(_)), "{error}");
    drop(lease);
    assert!(
        !speak(&voice, input(0)).await.is_empty(),
        "the next session works"
    );
}

#[tokio::test]
async fn equal_files_are_opened_once() {
    let residency = residency();
    let first = open(&residency, &demo("demo.aivmx"));
    assert!(Arc::ptr_eq(&first, &open(&residency, &demo("demo.aivmx"))));

    let Source::Path(path) = demo("demo.aivmx") else {
        unreachable!("a path")
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copy = folder.path().join("copy.aivmx");
    std::fs::copy(path, &copy).expect("a copy");
    let other = open(&residency, &Source::Path(copy));
    assert!(
        !Arc::ptr_eq(&first, &other),
        "another file is another voice"
    );
}

#[tokio::test]
async fn a_gpu_that_is_not_there_is_an_error_when_it_is_wanted() {
    let residency = residency();
    assert_eq!(residency.device(Wanted::Cpu).expect("always"), Device::Cpu);
    match residency.device(Wanted::Auto).expect("always") {
        Device::Cuda(_) => eprintln!("skipped: this machine has a GPU"),
        Device::Cpu => {
            let error = residency
                .device(Wanted::Cuda)
                .expect_err("no GPU")
                .to_string();
            assert!(
                error.contains("`models.device` is \"cuda\", but"),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn a_bert_is_no_voice() {
    let residency = residency();
    let error = residency
        .bert(
            &demo("demo.aivmx"),
            &demo("tokenizer.json"),
            &Settings::default(),
        )
        .err()
        .expect("refused");
    assert_eq!(
        error.to_string(),
        "the graph is no bert: input `input_ids` is missing (expected Int64 of rank 2)"
    );
    let no_tokenizer = residency.bert(&demo("bert.onnx"), &demo("README.md"), &Settings::default());
    assert!(matches!(no_tokenizer.err(), Some(Error::Tokenizer(_))));
    let input = BertInput {
        ids: vec![],
        padded: 0,
    };
    let bert = residency.bert(
        &demo("bert.onnx"),
        &demo("tokenizer.json"),
        &Settings::default(),
    );
    let mut lease = bert
        .expect("a BERT")
        .checkout(16, WAIT)
        .await
        .expect("a session");
    assert!(matches!(lease.run(input), Err(Error::Input(_))));
    lease.release();
}

#[test]
fn the_gauge_of_open_sessions_comes_back_to_zero() {
    let gauges = Gauges::default();
    metrics::with_local_recorder(&gauges, || {
        let bert = residency().bert(
            &demo("bert.onnx"),
            &demo("tokenizer.json"),
            &Settings::default(),
        );
        assert!(bert.is_ok());
        assert_eq!(gauges.open.load(Ordering::Relaxed), 1);
        drop(bert);
        assert_eq!(gauges.open.load(Ordering::Relaxed), 0);

        // Opened by ONNX Runtime, refused by us: it is not open any more.
        let folder = folder_voice(&fixture("wrong-rank.onnx"), "config.json");
        let source = Source::Path(folder.path().to_owned());
        assert!(
            residency()
                .voice("voice", &source, &Settings::default())
                .is_err()
        );
        assert_eq!(gauges.open.load(Ordering::Relaxed), 0);
    });
}

/// A recorder that keeps one gauge.
#[derive(Default)]
struct Gauges {
    open: Arc<AtomicI64>,
}

struct Level(Arc<AtomicI64>);

impl GaugeFn for Level {
    fn increment(&self, by: f64) {
        self.0.fetch_add(by as i64, Ordering::Relaxed);
    }

    fn decrement(&self, by: f64) {
        self.0.fetch_sub(by as i64, Ordering::Relaxed);
    }

    fn set(&self, to: f64) {
        self.0.store(to as i64, Ordering::Relaxed);
    }
}

impl Recorder for Gauges {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        if key.name() == "koemasu_sessions_open" {
            Gauge::from_arc(Arc::new(Level(Arc::clone(&self.open))))
        } else {
            Gauge::noop()
        }
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
