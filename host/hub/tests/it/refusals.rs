//! Servers that do not give what is asked for, and what is said of that.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use hub::{Error, Pull, Settings, Source};

use crate::server::{Reply, Server};
use crate::stand::{Stand, TOKEN, names, run, settings};

#[test]
fn each_refusal_says_what_would_help() {
    let code = |status: u16, code: &str| Reply::new(status, "").with("X-Error-Code", code);
    // What is answered, what is said with a token and without one.
    let cases = [
        (
            Reply::new(401, "Invalid username or password."),
            "HTTP 401",
            "set HF_TOKEN",
        ),
        (Reply::new(403, ""), "HTTP 403", "set HF_TOKEN"),
        (
            code(401, "RepoNotFound"),
            "the token in HF_TOKEN may not",
            "is private",
        ),
        (code(403, "GatedRepo"), "accept them at", "accept them at"),
        (
            code(404, "RevisionNotFound"),
            "no such revision",
            "no such revision",
        ),
        (Reply::new(404, ""), "does not exist", "does not exist"),
        (
            Reply::new(429, "").with("Retry-After", "17"),
            "in 17 s",
            "in 17 s",
        ),
        (
            Reply::new(429, "").with("Retry-After", "Fri, 31 Dec 2100 23:59:59 GMT"),
            "try again later",
            "try again later",
        ),
        (
            Reply::new(500, "{\"error\": \"out of\\u001b[31m tea\"}"),
            "out of\u{fffd}[31m tea",
            "HTTP 500",
        ),
        (
            Reply::new(418, "").with("X-Error-Message", "a teapot"),
            "418",
            "a teapot",
        ),
        (Reply::new(204, ""), "HTTP 204", "HTTP 204"),
        (
            Reply::new(200, "<html>"),
            "does the endpoint answer",
            "does the endpoint answer",
        ),
        (Reply::new(206, "{}"), "HTTP 206", "HTTP 206"),
    ];
    for (reply, with_token, without) in cases {
        let stand = Stand::new([]);
        let server = Server::new({
            let reply = reply.clone();
            move |_| reply.clone()
        });
        let known = settings(server.address());
        let nameless = Settings {
            token: None,
            ..known.clone()
        };
        for (settings, said) in [(known, with_token), (nameless, without)] {
            let refused = run(&settings, &stand.pull_of("hf:o/r")).expect_err("a refusal");
            let (text, debug) = (refused.to_string(), format!("{refused:?}"));
            assert!(text.contains(said), "{reply:?}: {text}");
            assert!(!text.contains(TOKEN) && !debug.contains(TOKEN), "{debug}");
            assert!(!text.ends_with('.') && !text.contains('\x1b'), "{text}");
        }
        assert_eq!(names(&stand.voices()), [""; 0]);
    }
}

#[test]
fn the_terms_are_on_the_page_of_the_repository() {
    let server = Server::new(|_| Reply::new(401, "").with("X-Error-Code", "GatedRepo"));
    let stand = Stand::new([]);
    let refused = run(&settings(server.address()), &stand.pull_of("hf:o/r"));
    let refused = refused.expect_err("gated").to_string();
    assert!(
        refused.contains(&format!("{}/o/r:", server.address()).replace("r:", "r,")),
        "{refused}"
    );
}

#[test]
fn an_address_is_refused_without_a_word_of_tokens() {
    for (status, said) in [(401, "fetch it yourself"), (404, "does not exist")] {
        let server = Server::new(move |_| Reply::new(status, ""));
        let stand = Stand::new([]);
        let source = Source::parse(&format!("{}/x.aivm?key=secret", server.address()));
        let pull = Pull::new(source.expect("a source"), stand.voices());
        let refused = run(&settings(server.address()), &pull).expect_err("a refusal");
        let text = refused.to_string();
        assert!(text.contains(said) && !text.contains("HF_TOKEN"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn what_passes_is_tried_again() {
    let stand = Stand::with_voice();
    let answers = std::sync::atomic::AtomicU32::new(0);
    let hub = stand.hub.address();
    let server = Server::new(move |request| {
        match answers.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => Reply::new(502, ""),
            1 => Reply {
                cut: Some(3),
                ..Reply::new(200, "{\"sha\":1}")
            },
            _ => Reply::to(format!("{hub}{}", request.path)),
        }
    });
    run(&settings(server.address()), &stand.pull_of("hf:o/r")).expect("a voice");
}

#[test]
fn where_nobody_listens_it_says_who_and_what_to_do() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", free.local_addr().expect("an address"));
    drop(free);
    let stand = Stand::new([]);
    let refused = run(&settings(address), &stand.pull_of("hf:o/r")).expect_err("nobody");
    assert!(matches!(refused, Error::Unreachable { .. }), "{refused:?}");
    assert!(refused.to_string().contains("HTTPS_PROXY"), "{refused}");
}

#[test]
fn who_never_answers_is_not_waited_for() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut settings = settings(format!(
        "http://{}",
        silent.local_addr().expect("an address")
    ));
    settings.patience.answer = Duration::from_millis(100);
    let stand = Stand::new([]);
    let start = Instant::now();
    let refused = run(&settings, &stand.pull_of("hf:o/r")).expect_err("silence");
    assert!(matches!(refused, Error::Slow { .. }), "{refused:?}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_endpoint_is_an_address() {
    for endpoint in ["", "huggingface.co", "ftp://x", "https://user:secret@x"] {
        let refused = hub::Hub::new(&settings(endpoint.to_owned()));
        let refused = refused.err().expect("no endpoint");
        assert!(matches!(refused, Error::Endpoint { .. }), "{refused}");
    }
}
