//! Servers that lie: about names, lengths, contents, and where to go next.

use std::sync::{Arc, OnceLock};

use hub::{Error, Pull, Settings, Source};

use crate::server::{Length, Reply, Request, Server};
use crate::stand::{
    Fault, MODEL, MODEL_BYTES, Stand, large, model, names, noise, run, settings, small, weight,
};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

#[test]
fn a_listing_that_leads_elsewhere_is_not_followed() {
    for path in [
        "../../x.aivm",
        "/tmp/x.aivm",
        "a/../../x.aivm",
        "a\\u0000.aivm",
        "a\\u202ex.aivm",
    ] {
        let server = Server::new(move |_| {
            let file = format!(r#"{{"rfilename": "{path}", "size": 1}}"#);
            Reply::new(
                200,
                format!(r#"{{"sha": "{COMMIT}", "siblings": [{file}]}}"#),
            )
        });
        let stand = Stand::new([]);
        let refused = run(&settings(server.address()), &stand.pull_of("hf:o/r"));
        let refused = refused.expect_err("a hostile listing");
        assert!(matches!(refused, Error::HostilePath { .. }), "{refused}");
        assert!(!stand.voices().exists());
    }
}

#[test]
fn a_listing_without_end_is_cut_short() {
    let server = Server::new(|_| Reply {
        length: Length::Chunked,
        pace: Some((1 << 20, std::time::Duration::ZERO)),
        ..Reply::new(200, vec![b'['; 64 << 20])
    });
    let stand = Stand::new([]);
    let refused = run(&settings(server.address()), &stand.pull_of("hf:o/r"));
    let refused = refused.expect_err("no end");
    assert!(matches!(refused, Error::Listing { .. }), "{refused}");
}

#[test]
fn content_that_is_not_what_was_listed_is_thrown_away() {
    let mut flipped = model();
    flipped[MODEL_BYTES / 2] ^= 1;
    let longer = [model(), vec![0]].concat();
    let unsaid = |content: Vec<u8>| {
        Fault::Reply(Reply {
            length: Length::Unsaid,
            ..Reply::new(200, content)
        })
    };
    type Is = fn(&Error) -> bool;
    let digest: Is = |error| matches!(error, Error::Digest { .. });
    let length: Is = |error| matches!(error, Error::Length { .. });
    let pointer: Is = |error| matches!(error, Error::Pointer { .. });
    let encoded: Is = |error| matches!(error, Error::Encoded { .. });
    let lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 300000\n";
    let cases = [
        (Fault::Content(flipped), digest),
        (Fault::Content(longer.clone()), length),
        (Fault::Content(vec![0; 10]), length),
        (unsaid(longer), length),
        (Fault::Length(Length::Of(1 << 40)), length),
        (Fault::Content(lfs.into()), length),
        (
            Fault::Reply(Reply::new(200, model()).with("Content-Encoding", "gzip")),
            encoded,
        ),
    ];
    for (fault, is_meant) in cases {
        let stand = Stand::with_voice();
        stand.fault(MODEL, [fault.clone()]);
        let refused = stand.pull(&stand.pull_of("hf:o/r")).expect_err("a lie");
        assert!(is_meant(&refused), "{refused}");
        assert!(!stand.voices().join("r").exists());
        assert!(
            weight(&stand.voices()) < 10_000,
            "{refused}: nothing of it stays"
        );
    }
    // One that lies in the repository itself, and is what was listed.
    let stand = Stand::new([("x.aivm", small(lfs))]);
    let refused = stand.pull(&stand.pull_of("hf:o/r")).expect_err("a pointer");
    assert!(pointer(&refused), "{refused}");
    // Of a small file it is Git's own digest that tells.
    let stand = Stand::with_voice();
    stand.fault(
        "config.json",
        [Fault::Content(b"{\"model_name\": \"amy\"}\n".to_vec())],
    );
    let refused = stand
        .pull(&stand.pull_of("hf:o/r"))
        .expect_err("another file");
    assert!(digest(&refused), "{refused}");
}

#[test]
fn no_more_comes_than_one_pull_may_bring() {
    let stand = Stand::new([]);
    let limit = 100_000;
    let small_limit = Settings {
        limit,
        ..stand.settings()
    };
    // By its listing, before anything is asked for.
    stand.commit("main", [("x.aivm", large(noise(1, 100_001)))]);
    let refused = run(&small_limit, &stand.pull_of("hf:o/r")).expect_err("too large");
    assert!(
        matches!(refused, Error::TooLarge { bytes: 100_001, .. }),
        "{refused}"
    );
    assert_eq!(stand.asked(), []);
    // Without one, by what is said, and else by what comes.
    for (length, said) in [
        (Length::True, 200_000),
        (Length::Unsaid, 0),
        (Length::Chunked, 0),
    ] {
        stand.state().bare = true;
        stand.commit("main", [("x.aivm", large(noise(1, 200_000)))]);
        stand.fault("x.aivm", [Fault::Length(length)]);
        let refused = run(&small_limit, &stand.pull_of("hf:o/r")).expect_err("too large");
        let is_meant = match &refused {
            Error::TooLarge { bytes, .. } => said == 0 || *bytes == said,
            _ => false,
        };
        assert!(is_meant, "{refused:?}");
        assert!(weight(&stand.voices()) <= limit);
    }
    let server = Server::new(|_| Reply {
        length: Length::Chunked,
        ..Reply::new(200, vec![1; 200_000])
    });
    let source = Source::parse(&format!("{}/x.aivm", server.address())).expect("a source");
    let refused = run(&small_limit, &Pull::new(source, stand.voices())).expect_err("too large");
    assert!(matches!(refused, Error::TooLarge { .. }), "{refused}");
}

#[test]
fn a_page_is_no_package() {
    let server = Server::new(|_| Reply::new(200, "\n<!DOCTYPE html><title>Log in</title>"));
    let stand = Stand::new([]);
    let source = Source::parse(&format!("{}/x.aivm", server.address())).expect("a source");
    let refused = run(&stand.settings(), &Pull::new(source, stand.voices())).expect_err("a page");
    assert!(matches!(refused, Error::WebPage { .. }), "{refused}");
    assert_eq!(names(&stand.voices()), [""; 0]);
}

#[test]
fn redirects_end_and_lead_somewhere() {
    type Is = fn(&Error) -> bool;
    let redirects: Is = |error| matches!(error, Error::Redirects { .. });
    let garbled: Is = |error| matches!(error, Error::Garbled { .. });
    type Answers = fn(&Request) -> Reply;
    let cases: [(Answers, Is); 6] = [
        (|request| Reply::to(format!("{}x", request.path)), redirects),
        (|_| Reply::to("ftp://a.example/x"), garbled),
        (|_| Reply::to("file:///etc/passwd"), garbled),
        (|_| Reply::to("http://user:secret@a.example/x"), garbled),
        (|_| Reply::to(format!("/{}", "x".repeat(20_000))), garbled),
        (|_| Reply::new(302, ""), garbled),
    ];
    for (handler, is_meant) in cases {
        let server = Server::new(handler);
        let stand = Stand::new([]);
        let refused = run(&settings(server.address()), &stand.pull_of("hf:o/r"));
        let refused = refused.expect_err("nowhere");
        assert!(is_meant(&refused), "{refused}");
        assert!(server.asked().len() <= 6);
        assert!(!refused.to_string().contains("secret"), "{refused}");
    }
}

#[test]
fn who_was_sent_elsewhere_comes_back_without_a_token() {
    let home = Arc::new(OnceLock::<String>::new());
    let away = Server::new({
        let home = Arc::clone(&home);
        move |request| {
            Reply::to(format!(
                "{}{}&back",
                home.get().expect("a home"),
                request.path
            ))
        }
    });
    let stand = Stand::new([]);
    let hub = Server::new({
        let away = away.address();
        move |request| match request.path.ends_with("&back") {
            true => Reply::new(404, ""),
            false => Reply::to(format!("{away}{}", request.path)),
        }
    });
    home.set(hub.address()).expect("once");
    run(&settings(hub.address()), &stand.pull_of("hf:o/r")).expect_err("nothing there");
    let asked = hub.asked();
    let tokens: Vec<_> = asked
        .iter()
        .map(|it| it.header("authorization").is_some())
        .collect();
    assert_eq!(tokens, [true, false]);
    assert!(
        away.asked()
            .iter()
            .all(|it| it.header("authorization").is_none())
    );
}
