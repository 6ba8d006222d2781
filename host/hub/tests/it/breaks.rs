//! Transfers that break off, and what goes on from there.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hub::{Error, Outcome, Patience, Pull, Settings, Source};

use crate::server::{Length, Reply, Server, file};
use crate::stand::{
    Fault, MODEL, MODEL_BYTES, Stand, large, model, names, noise, run, settings, small, voice,
};

/// Where the model was asked for from, each time.
fn starts(stand: &Stand) -> Vec<Option<String>> {
    let asked = stand.asked().into_iter();
    let models = asked.filter(|(name, _)| name == MODEL);
    models.map(|(_, range)| range).collect()
}

fn from(first: usize) -> Option<String> {
    Some(format!("bytes={first}-"))
}

fn whole(stand: &Stand) {
    let there = std::fs::read(stand.voices().join("r").join(MODEL)).expect("a model");
    assert_eq!(there, model());
    assert_eq!(names(&stand.voices()), ["r"]);
}

#[test]
fn within_one_pull_it_goes_on_where_it_broke_off() {
    let stand = Stand::with_voice();
    stand.fault(MODEL, [Fault::Cut(100_000), Fault::Cut(50_000)]);
    stand.fetch(&stand.pull_of("hf:o/r"));
    assert_eq!(starts(&stand), [None, from(100_000), from(150_000)]);
    whole(&stand);
}

#[test]
fn a_later_pull_asks_only_for_the_rest() {
    let stand = Stand::with_voice();
    stand.fault(
        MODEL,
        [
            Fault::Cut(100_000),
            Fault::Reply(Reply::new(503, "")),
            Fault::Reply(Reply::new(503, "")),
        ],
    );
    let pull = stand.pull_of("hf:o/r");
    let broken = stand.pull(&pull).expect_err("it broke off");
    assert!(
        matches!(broken, Error::Status { status: 503, .. }),
        "{broken}"
    );
    assert_eq!(names(&stand.voices()), [".pull"], "no half voice");
    stand.asked();
    stand.store.asked();
    stand.fetch(&pull);
    // Neither the other files nor the beginning of this one.
    assert_eq!(stand.asked(), [(MODEL.to_owned(), from(100_000))]);
    let store = stand.store.asked();
    assert_eq!(store.len(), 1);
    assert!(store[0].header("if-range").is_some());
    whole(&stand);
}

#[test]
fn who_was_killed_goes_on_where_it_was() {
    let stand = Stand::with_voice();
    stand.fault(MODEL, [Fault::Pace(10_000, Duration::from_millis(150))]);
    let this = std::env::current_exe().expect("a program");
    let mut other = Command::new(this)
        .args(["--ignored", "--exact", "breaks::pulls_what_it_reads"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("it runs");
    let said = format!("{}\n{}\n", stand.hub.address(), stand.voices().display());
    let mut line = other.stdin.take().expect("its input");
    line.write_all(said.as_bytes()).expect("it reads");
    let part = stand.voices().join(format!(".pull/r/part/{MODEL}.part"));
    let start = Instant::now();
    while part.metadata().map_or(0, |meta| meta.len()) < 20_000 {
        assert!(start.elapsed() < Duration::from_secs(20), "it never began");
        std::thread::sleep(Duration::from_millis(5));
    }
    let refused = stand
        .pull(&stand.pull_of("hf:o/r"))
        .expect_err("it is at work");
    assert!(matches!(refused, Error::AtWork { .. }), "{refused}");
    other.kill().expect("killed");
    other.wait().expect("gone");
    stand.asked();
    let here = part.metadata().expect("a part").len();
    stand.fetch(&stand.pull_of("hf:o/r"));
    let asked = stand.asked();
    assert_eq!(asked, [(MODEL.to_owned(), Some(format!("bytes={here}-")))]);
    whole(&stand);
}

#[test]
#[ignore = "reads an endpoint and a folder; the test above runs and kills it"]
fn pulls_what_it_reads() {
    let mut lines = std::io::stdin().lines().map_while(Result::ok);
    let (endpoint, into) = (lines.next().expect("one"), lines.next().expect("another"));
    let source = Source::parse("hf:o/r").expect("a source");
    run(&settings(endpoint), &Pull::new(source, into)).expect("a voice");
}

#[test]
fn what_came_before_the_break_is_checked_with_the_rest() {
    let stand = Stand::with_voice();
    let other = noise(9, MODEL_BYTES);
    let content = Reply {
        cut: Some(100_000),
        ..Reply::new(200, other).with("ETag", "W/\"weak\"")
    };
    stand.fault(MODEL, [Fault::Reply(content)]);
    let refused = stand
        .pull(&stand.pull_of("hf:o/r"))
        .expect_err("two halves");
    assert!(matches!(refused, Error::Digest { .. }), "{refused}");
    stand.asked();
    // And none of it is kept.
    stand.fetch(&stand.pull_of("hf:o/r"));
    assert_eq!(stand.asked(), [(MODEL.to_owned(), None)]);
}

#[test]
fn where_the_rest_is_not_to_be_had_it_begins_again() {
    let range = |range: &str| {
        let reply = Reply::new(206, vec![0; 1_000]);
        Fault::Reply(reply.with("Content-Range", range))
    };
    let cases = [
        Fault::Whole,
        Fault::Reply(Reply::new(416, "").with("Content-Range", "bytes */5")),
        range("bytes 50000-50999/300000"),
        range("bytes 100000-100999/300001"),
        range("nonsense"),
        Fault::Reply(Reply::new(206, "no range")),
    ];
    for fault in cases {
        let stand = Stand::with_voice();
        stand.fault(MODEL, [Fault::Cut(100_000), fault.clone()]);
        stand.fetch(&stand.pull_of("hf:o/r"));
        whole(&stand);
        let starts = starts(&stand);
        assert_eq!(starts[..2], [None, from(100_000)], "{fault:?}");
    }
}

#[test]
fn a_server_that_gives_less_than_the_rest_is_asked_again() {
    let stand = Stand::with_voice();
    let piece = Reply::new(206, model()[100_000..150_000].to_vec());
    let piece = piece.with("Content-Range", "bytes 100000-149999/300000");
    stand.fault(MODEL, [Fault::Cut(100_000), Fault::Reply(piece)]);
    stand.fetch(&stand.pull_of("hf:o/r"));
    assert_eq!(starts(&stand), [None, from(100_000), from(150_000)]);
    whole(&stand);
}

#[test]
fn a_repository_that_moved_on_between_two_attempts_is_fetched_from_its_start() {
    let stand = Stand::with_voice();
    stand.fault(MODEL, [Fault::Cut(100_000), Fault::Cut(0), Fault::Cut(0)]);
    let pull = stand.pull_of("hf:o/r");
    stand.pull(&pull).expect_err("it broke off");
    let mut files = voice("");
    files.retain(|(path, _)| *path != MODEL);
    files.push((MODEL, large(noise(7, MODEL_BYTES))));
    stand.commit("main", files);
    stand.asked();
    let pulled = stand.fetch(&pull);
    assert_eq!(stand.asked(), [(MODEL.to_owned(), None)]);
    let there = std::fs::read(pulled.folder.join(MODEL)).expect("a model");
    assert_eq!(there, noise(7, MODEL_BYTES));
}

#[test]
fn another_choice_leaves_nothing_of_the_first_one() {
    let stand = Stand::with_voice();
    stand.fault(MODEL, [Fault::Cut(100_000), Fault::Cut(0), Fault::Cut(0)]);
    let pull = stand.pull_of("hf:o/r");
    stand.pull(&pull).expect_err("it broke off");
    stand.commit("main", [("a.aivm", small("package"))]);
    let pulled = stand.fetch(&pull);
    assert_eq!(names(&pulled.folder), ["a.aivm", "koemasu.pull.json"]);
    assert_eq!(names(&stand.voices()), ["r"]);
}

/// A package at one time.
#[derive(Clone)]
struct Version {
    content: Vec<u8>,
    etag: &'static str,
    cut: Option<usize>,
}

/// A package that changes when a test says so.
fn changing(etag: &'static str) -> (Server, Arc<Mutex<Version>>) {
    let now = Arc::new(Mutex::new(Version {
        content: noise(1, 9_000),
        etag,
        cut: Some(4_000),
    }));
    let server = Server::new({
        let now = Arc::clone(&now);
        move |request| {
            let now = now.lock().expect("no panic").clone();
            Reply {
                cut: now.cut,
                ..file(request, &now.content, now.etag)
            }
        }
    });
    (server, now)
}

#[test]
fn content_that_was_replaced_between_two_attempts_comes_whole() {
    let stand = Stand::new([]);
    let (server, now) = changing("\"one\"");
    let source = Source::parse(&format!("{}/x.aivm", server.address())).expect("a source");
    let pull = Pull::new(source, stand.voices());
    let settings = Settings {
        patience: Patience {
            tries: 1,
            ..stand.settings().patience
        },
        ..stand.settings()
    };
    let broken = run(&settings, &pull).expect_err("it broke off");
    assert!(
        matches!(broken, Error::Broken { done: 4_000, .. }),
        "{broken}"
    );
    let other = noise(2, 9_000);
    *now.lock().expect("no panic") = Version {
        content: other.clone(),
        etag: "\"two\"",
        cut: None,
    };
    server.asked();
    let pulled = run(&settings, &pull).expect("a package");
    let asked = server.asked();
    assert_eq!(asked[0].header("range"), Some("bytes=4000-"));
    assert_eq!(asked[0].header("if-range"), Some("\"one\""));
    assert_eq!(
        std::fs::read(pulled.folder.join("x.aivm")).expect("a package"),
        other
    );
}

#[test]
fn a_rest_of_another_version_is_not_joined_to_a_beginning() {
    let stand = Stand::new([]);
    let server = Server::new(|request| {
        let whole = noise(2, 9_000);
        match request.header("range") {
            // Whatever it was told of the version.
            Some("bytes=4000-") => Reply::new(206, &whole[4_000..])
                .with("ETag", "\"two\"")
                .with("Content-Range", "bytes 4000-8999/9000"),
            Some(_) => Reply::new(416, ""),
            None => Reply::new(200, whole).with("ETag", "\"two\""),
        }
    });
    let source = Source::parse(&format!("{}/x.aivm", server.address())).expect("a source");
    let part = stand.voices().join(".pull/x/part");
    std::fs::create_dir_all(&part).expect("a folder");
    std::fs::write(part.join("x.aivm.part"), &noise(1, 9_000)[..4_000]).expect("a part");
    let of = serde_json::json!({ "version": source.to_string(), "validator": "\"one\"" });
    std::fs::write(part.join("x.aivm.of"), of.to_string()).expect("a note");
    let pulled = run(&stand.settings(), &Pull::new(source, stand.voices()));
    let folder = pulled.expect("a package").folder;
    let there = std::fs::read(folder.join("x.aivm")).expect("a package");
    assert!(there == noise(2, 9_000));
    let asked = server.asked();
    assert_eq!(asked[0].header("range"), Some("bytes=4000-"));
}

#[test]
fn without_a_name_of_its_version_nothing_is_continued() {
    let stand = Stand::new([]);
    let (server, now) = changing("W/\"weak\"");
    let source = Source::parse(&format!("{}/x.aivm", server.address())).expect("a source");
    let pull = Pull::new(source, stand.voices());
    run(&stand.settings(), &pull).expect_err("it broke off");
    now.lock().expect("no panic").cut = None;
    server.asked();
    run(&stand.settings(), &pull).expect("a package");
    assert!(server.asked().iter().all(|it| it.header("range").is_none()));
}

#[test]
fn a_length_that_is_not_said_is_taken_from_the_listing() {
    for length in [Length::Unsaid, Length::Chunked] {
        let stand = Stand::with_voice();
        stand.fault(MODEL, [Fault::Length(length)]);
        stand.fetch(&stand.pull_of("hf:o/r"));
        whole(&stand);
    }
    // Nothing else tells where such a one breaks off.
    let stand = Stand::with_voice();
    let cut = Reply {
        length: Length::Unsaid,
        ..Reply::new(200, &model()[..100_000])
    };
    stand.fault(MODEL, [Fault::Reply(cut)]);
    stand.fetch(&stand.pull_of("hf:o/r"));
    assert_eq!(starts(&stand), [None, from(100_000)]);
    whole(&stand);
}

#[test]
fn slow_is_not_stuck() {
    let stand = Stand::with_voice();
    stand.fault(MODEL, [Fault::Pace(30_000, Duration::from_millis(150))]);
    let settings = Settings {
        patience: Patience {
            answer: Duration::from_secs(1),
            ..stand.settings().patience
        },
        ..stand.settings()
    };
    run(&settings, &stand.pull_of("hf:o/r")).expect("a voice");
    assert_eq!(starts(&stand), [None]);
}

#[test]
fn stuck_is_noticed_and_tried_again() {
    let stand = Stand::with_voice();
    stand.fault(MODEL, [Fault::Pace(100_000, Duration::from_secs(15))]);
    let settings = Settings {
        patience: Patience {
            answer: Duration::from_millis(700),
            ..stand.settings().patience
        },
        ..stand.settings()
    };
    let start = Instant::now();
    run(&settings, &stand.pull_of("hf:o/r")).expect("a voice");
    assert!(start.elapsed() < Duration::from_secs(15));
    assert_eq!(starts(&stand), [None, from(100_000)]);
}

#[test]
fn of_two_at_once_one_is_at_work() {
    let stand = Stand::with_voice();
    let (began, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let (settings, pull) = (stand.settings(), stand.pull_of("hf:o/r"));
    std::thread::scope(|scope| {
        let first = scope.spawn({
            let (settings, pull) = (settings.clone(), pull.clone());
            move || {
                let hub = hub::Hub::new(&settings).expect("a hub");
                let mut once = false;
                hub.pull(&pull, &mut |_| {
                    if !std::mem::replace(&mut once, true) {
                        began.send(()).expect("somebody waits");
                        let _ = may_go_on.recv_timeout(Duration::from_secs(20));
                    }
                })
            }
        });
        has_begun
            .recv_timeout(Duration::from_secs(20))
            .expect("it began");
        let second = run(&settings, &pull).expect_err("one is at work");
        assert!(matches!(second, Error::AtWork { .. }), "{second}");
        let mut other = pull.clone();
        other.name = Some("other".to_owned());
        assert_eq!(
            run(&settings, &other).expect("another name").outcome,
            Outcome::Fetched
        );
        go_on.send(()).expect("somebody waits");
        let first = first.join().expect("no panic").expect("a voice");
        assert_eq!(first.outcome, Outcome::Fetched);
    });
    assert_eq!(
        run(&settings, &pull).expect("a voice").outcome,
        Outcome::UpToDate
    );
    assert_eq!(names(&stand.voices()), ["other", "r"]);
}

#[test]
fn whoever_was_stopped_between_two_moves_is_put_right() {
    let stand = Stand::with_voice();
    let pull = stand.pull_of("hf:o/r");
    let place = stand.fetch(&pull).folder;
    let home = stand.voices().join(".pull").join("r");
    // The old one was moved away, the new one not yet into its place.
    std::fs::create_dir_all(home.join("new")).expect("a folder");
    std::fs::rename(&place, home.join("old")).expect("moved");
    std::fs::write(home.join("lock"), "").expect("a lock of nobody");
    assert_eq!(
        stand.pull(&pull).expect("a voice").outcome,
        Outcome::UpToDate
    );
    whole(&stand);
    // The new one has its place, the old one is half deleted.
    std::fs::create_dir_all(home.join("gone").join("x")).expect("a folder");
    std::fs::create_dir_all(home.join("old")).expect("a folder");
    assert_eq!(
        stand.pull(&pull).expect("a voice").outcome,
        Outcome::UpToDate
    );
    whole(&stand);
}

#[test]
fn what_cannot_be_written_is_said_with_its_place() {
    let stand = Stand::with_voice();
    std::fs::write(stand.voices(), "a file").expect("written");
    let refused = stand.pull(&stand.pull_of("hf:o/r")).expect_err("no folder");
    assert!(matches!(refused, Error::Io { .. }), "{refused}");
    assert!(refused.to_string().contains("voices"), "{refused}");
}
