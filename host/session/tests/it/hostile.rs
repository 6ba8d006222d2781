//! Voices that ask for more than there is, fail, or never end: each is an
//! error that says so, within the budget, and the process goes on.

use std::path::Path;
use std::time::Duration;

use memory::slab::Zone;
use session::examine::Examiner;
use session::residency::Residency;
use session::voice::Voice;
use session::{Error, Settings, Source};

use crate::graft::{FAILING, GREEDY, Graft, Hostile, endless_beyond, grafted, graph_of, node};
use crate::stand::{WAIT, fixture, folder_voice, input, policy, residency_with, speak};

/// A folder with a voice whose graph has this grafted onto it.
fn voice(graft: impl FnOnce(&mut Graft) -> String) -> tempfile::TempDir {
    let bytes = grafted(&fixture("jp-extra.onnx"), graft);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bytes).expect("written");
    folder_voice(file.path(), "config.json")
}

fn source(folder: &Path) -> Source {
    Source::Path(folder.to_owned())
}

fn small() -> Residency {
    residency_with(policy(
        "budget = \"64MiB\"\nworkspace = \"32MiB\"\nreserve = \"1MiB\"\nbert = \"1MiB\"",
    ))
}

async fn say(voice: &Voice, tokens: usize) -> Result<Vec<f32>, Error> {
    let mut lease = voice.checkout(tokens, WAIT).await?;
    let run = move || {
        let ran = lease.run(input(tokens));
        lease.release();
        ran
    };
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

#[tokio::test]
async fn a_voice_that_asks_for_more_than_there_is_is_refused_and_another_one_speaks() {
    let residency = small();
    let good = voice(|g| g.floats(&[], &[0.0]));
    let good = residency
        .voice("good", &source(good.path()), &Settings::default())
        .expect("a voice");
    let expected = speak(&good, input(0)).await;
    let greedy = GREEDY.iter().map(|it| (it, true));
    let failing = FAILING.iter().map(|it| (it, false));
    for ((name, graft), is_greedy) in greedy.chain(failing) {
        let folder = voice(*graft);
        let source = source(folder.path());
        let refused = residency.voice(name, &source, &Settings::default());
        let error = refused.err().unwrap_or_else(|| panic!("{name} opened"));
        eprintln!("{name}: {error}");
        let expected_error = match error {
            Error::OutOfMemory(_) | Error::NoRoom(_) | Error::NeverFits(_) => is_greedy,
            Error::Run(_) | Error::Open(_) => !is_greedy,
            _ => false,
        };
        assert!(expected_error, "{name}: {error:?}");
        let placement = residency.placement().expect("opened");
        let tensors = placement.tensors().expect("a slab");
        assert_eq!(tensors.overdrafts(), 0, "{name}");
        assert_eq!(tensors.slab().zone(Zone::Activations).in_use, 0, "{name}");
        assert!(speak(&good, input(0)).await == expected, "after {name}");
    }
}

#[tokio::test]
async fn a_length_that_only_some_texts_have_is_refused_when_they_come() {
    let residency = small();
    // By the cube: 2 MB for the trial's 81 tokens, 500 MB for 512.
    let folder = voice(|g| {
        let tokens = g.node("Shape", &["x_tst"], &[]);
        let square = g.node("Mul", &[&tokens, &tokens], &[]);
        let cube = g.node("Mul", &[&square, &tokens], &[]);
        let made = g.node("ConstantOfShape", &[&cube], &[]);
        let made = g.sum(&made);
        let nothing = g.floats(&[], &[0.0]);
        g.node("Mul", &[&made, &nothing], &[])
    });
    let voice = residency
        .voice("voice", &source(folder.path()), &Settings::default())
        .expect("short ones fit");
    let expected = say(&voice, 32).await.expect("short");
    for _ in 0..3 {
        let refused = say(&voice, 512).await;
        assert!(
            matches!(refused, Err(Error::OutOfMemory(_) | Error::TooLarge { .. })),
            "{refused:?}"
        );
        assert!(say(&voice, 32).await.expect("short") == expected);
    }
}

#[tokio::test]
async fn a_run_that_never_ends_is_ended_and_its_session_goes_on() {
    let residency = small();
    let folder = voice(|g| endless_beyond(g, 200));
    let voice = residency
        .voice("voice", &source(folder.path()), &Settings::default())
        .expect("short ones end");
    let expected = say(&voice, 32).await.expect("short");
    let mut lease = voice.checkout(256, WAIT).await.expect("a session");
    let stop = lease.stop().on_drop();
    let run = tokio::task::spawn_blocking(move || {
        let ran = lease.run(input(256));
        lease.release();
        ran
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!run.is_finished(), "it would go on for ever");
    drop(stop);
    let ended = tokio::time::timeout(WAIT, run).await.expect("it ends");
    let ended = ended.expect("no panic");
    assert!(matches!(ended, Err(Error::Cancelled)), "{ended:?}");
    assert!(say(&voice, 32).await.expect("short") == expected);
    let placement = residency.placement().expect("opened");
    let tensors = placement.tensors().expect("a slab");
    assert_eq!(tensors.slab().zone(Zone::Activations).in_use, 0);
}

/// A program in place of ours that tries a voice.
fn examiner(folder: &Path, script: &str) -> Examiner {
    use std::os::unix::fs::PermissionsExt;
    let program = folder.join("examiner");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("written");
    let mode = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(&program, mode).expect("made a program");
    Examiner {
        program,
        time: Duration::from_secs(5),
    }
}

#[tokio::test]
async fn a_voice_whose_trial_does_not_go_well_is_not_opened_and_says_why() {
    let good = voice(|g| g.floats(&[], &[0.0]));
    for (script, said) in [
        ("kill -SEGV $$", "crashed (signal 11)"),
        ("kill -KILL $$", "too much time or memory"),
        ("exit 3", "without a word"),
        ("echo nonsense; sleep 60", "has not ended"),
        ("yes", "its trial"),
        ("exec sleep 60", "has not ended"),
        (r#"echo '{"refused":{"why":"it is rude"}}'"#, "it is rude"),
        (
            r#"echo '{"proven":{"template":["x",{"swappable":{"difference":0.0}}],"peaks":[]}}'"#,
            "without a word",
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let residency = small().with_examiner(examiner(folder.path(), script));
        let source = source(good.path());
        let refused = residency.voice("voice", &source, &Settings::default());
        let error = refused.err().unwrap_or_else(|| panic!("{script}: opened"));
        assert!(matches!(error, Error::Unproven { .. }), "{error:?}");
        assert!(error.to_string().contains(said), "{script}: {error}");
    }
    let none = Examiner {
        program: "/no/such/program".into(),
        time: WAIT,
    };
    let residency = small().with_examiner(none);
    let refused = residency.voice("voice", &source(good.path()), &Settings::default());
    let error = refused.err().expect("cannot be tried").to_string();
    assert!(error.contains("/no/such/program"), "{error}");
}

#[test]
fn a_graph_out_of_all_proportion_is_refused_unopened() {
    let residency = small();
    let cases: [Hostile; 3] = [
        ("more than 50000 nodes", |g| {
            let mut value = g.floats(&[], &[0.0]);
            for _ in 0..100_000 {
                value = g.node("Identity", &[&value], &[]);
            }
            value
        }),
        ("graphs inside of graphs", |g| {
            let mut body = graph_of("then_branch", &[], &[], &[]);
            for _ in 0..200 {
                let inner = node("If", &["yes"], &["made"], &[body]);
                body = graph_of("then_branch", &[inner], &[], &[]);
            }
            let yes = g.yes();
            g.node("If", &[&yes], &[body])
        }),
        ("makes text", |g| {
            let number = g.floats(&[], &[0.0]);
            let text = g.cast(&number, 8);
            g.cast(&text, 1)
        }),
    ];
    for (said, graft) in cases {
        let folder = voice(graft);
        let refused = residency.voice("voice", &source(folder.path()), &Settings::default());
        let error = refused.err().unwrap_or_else(|| panic!("{said}: opened"));
        assert!(error.to_string().contains(said), "{error}");
    }
}
