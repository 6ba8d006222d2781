//! Doors that stay shut: the operator's behind proxies, for web pages and by
//! foreign names; everybody's as soon as a key is taken away.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::json;
use server::http::access::Digest256;

use crate::client::{ask, begin_with, get, post};
use crate::stand::Folder;

/// Every route of the operator: method, path, body.
const ADMIN: [(&str, &str, &str); 9] = [
    ("POST", "/admin/reload", ""),
    ("GET", "/admin/generations", ""),
    ("GET", "/admin/memory", ""),
    ("PUT", "/admin/memory/policy", ""),
    ("POST", "/admin/memory/renew", ""),
    ("GET", "/admin/dictionary/ja", ""),
    (
        "POST",
        "/admin/dictionary/ja",
        r#"{"surface": "銀行", "reading": "ギン"}"#,
    ),
    ("DELETE", "/admin/dictionary/ja", r#"{"surface": "銀行"}"#),
    ("POST", "/admin/dictionary/ja/import", ""),
];

/// What somebody shows who is not the operator at this machine.
const NOT_THE_OPERATOR: [&[(&str, &str)]; 30] = [
    &[("x-forwarded-for", "203.0.113.9")],
    &[("x-forwarded-for", "127.0.0.1")],
    &[("x-forwarded-proto", "https")],
    &[("X-Forwarded-Host", "localhost")],
    &[("x-forwarded-server", "")],
    &[("forwarded", "for=127.0.0.1")],
    &[("via", "1.1 nginx")],
    &[("x-real-ip", "127.0.0.1")],
    &[("cf-connecting-ip", "203.0.113.9")],
    &[("cf-ray", "1")],
    &[("cdn-loop", "cloudflare")],
    &[("true-client-ip", "203.0.113.9")],
    &[("x-client-ip", "203.0.113.9")],
    &[("fastly-client-ip", "203.0.113.9")],
    &[("x-envoy-external-address", "203.0.113.9")],
    &[("x-original-url", "/admin/reload")],
    &[("x-rewrite-url", "/admin/reload")],
    &[("x-amzn-trace-id", "Root=1")],
    &[("tailscale-user-login", "a@example.org")],
    &[("host", "tts.example.com")],
    &[("host", "intranet")],
    &[("host", "127.0.0.1.nip.io")],
    &[("host", "192.0.2.7")],
    &[("host", "localhost"), ("origin", "http://localhost:3000")],
    &[("origin", "null")],
    &[("referer", "http://localhost:3000/")],
    &[("sec-fetch-site", "cross-site")],
    &[("sec-fetch-site", "same-site")],
    &[("sec-fetch-site", "anything")],
    &[
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ],
];

const VOICE: &str = "/voice?text=%E3%81%AF%E3%81%84";

fn key(name: &str) -> String {
    let digest = Digest256::of(format!("{name}-secret").as_bytes()).hex();
    format!("[[keys]]\nname = \"{name}\"\nsha256 = \"{digest}\"\n")
}

fn configure(folder: &Folder, more: &str) {
    let usual = "[pipelines]\nfolder = \"pipelines\"\n[server]\nwatch = false\n";
    folder.write("koemasu.toml", format!("{usual}{more}"));
}

async fn status(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
    ask(to, method, path, headers, "").await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_only_who_sits_here_is_the_operator() {
    for keys in ["", &key("bot")] {
        let folder = Folder::new();
        folder.write(
            "pipelines/ja.toml",
            format!(
                "{}[dictionary]\nfile = \"words.toml\"\n",
                crate::stand::PIPELINE
            ),
        );
        configure(&folder, keys);
        let server = folder.serve().await;
        let to = server.address();
        for (method, path, body) in ADMIN {
            for shown in NOT_THE_OPERATOR {
                // A key opens none of them.
                let shown = [shown, &[("x-api-key", "bot-secret")]].concat();
                let reply = ask(to, method, path, &shown, body).await;
                assert_eq!(
                    reply.status,
                    StatusCode::FORBIDDEN,
                    "{method} {path} {shown:?}: {}",
                    reply.text()
                );
            }
        }
        for near in ["localhost", "127.0.0.1:1", "[::1]", &to.to_string()] {
            let headers = [("host", near), ("sec-fetch-site", "none")];
            assert_eq!(
                status(to, "GET", "/admin/generations", &headers).await,
                200,
                "{near}"
            );
        }
        assert!(!folder.path().join("pipelines/words.toml").exists());
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_over_a_proxy_and_from_listed_pages_and_nothing_else_does() {
    let folder = Folder::new();
    configure(&folder, "[admin]\ntoken = \"root\"\n");
    let server = folder.serve().await;
    let to = server.address();
    let path = "/admin/generations";
    let proxied = [
        ("host", "tts.example.com"),
        ("x-forwarded-for", "203.0.113.9"),
    ];
    let with = [&proxied[..], &[("authorization", "Bearer root")]].concat();
    assert_eq!(status(to, "GET", path, &with).await, 200);
    assert_eq!(status(to, "GET", path, &proxied).await, 401);
    assert_eq!(status(to, "GET", path, &[]).await, 401);
    let page = [
        ("origin", "https://example.org"),
        ("authorization", "Bearer root"),
    ];
    assert_eq!(status(to, "GET", path, &page).await, 403);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_no_key_is_told_by_known_names_only() {
    for (more, keyed) in [("", false), (&*key("bot"), true)] {
        let folder = Folder::new();
        configure(&folder, &format!("names = [\"tts.example.org\"]\n{more}"));
        let server = folder.serve().await;
        let to = server.address();
        for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
            for (host, expected) in [
                ("localhost", 200),
                ("127.0.0.1:8080", 200),
                ("tts.example.org", 200),
                ("TTS.example.org:443", 200),
                ("evil.example", 403),
                ("intranet", 403),
                ("evil.tts.example.org", 403),
                ("a@localhost", 403),
            ] {
                let status = status(to, "GET", path, &[("host", host)]).await;
                // A host that is none may be told so before it gets here.
                let malformed = host.contains('@') && status == 400;
                assert!(status == expected || malformed, "{path} {host}: {status}");
            }
        }
        // Whoever shows a key is no page that guesses.
        let shown = [("host", "evil.example"), ("x-api-key", "bot-secret")];
        let expected = if keyed { 200 } else { 403 };
        assert_eq!(status(to, "GET", "/v1/models", &shown).await, expected);
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_others_makes_nothing_speak_by_loading_it() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let to = server.address();
    let cross = ("sec-fetch-site", "cross-site");
    let navigate = [
        cross,
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ];
    let audio = [
        cross,
        ("sec-fetch-mode", "no-cors"),
        ("sec-fetch-dest", "audio"),
    ];
    for path in [
        VOICE,
        "/v1/models",
        "/models/info",
        "/speakers",
        "/presets",
        "/status",
    ] {
        for shown in [
            &audio[..],
            &navigate,
            &[cross],
            &[("sec-fetch-site", "nonsense")],
            &[cross, ("referer", "https://example.org/x")],
            &[cross, ("referer", "http://localhost.example.org/")],
            &[
                cross,
                ("host", "127.0.0.1"),
                ("referer", "https://127.0.0.1.example.org/"),
            ],
            &[("sec-fetch-site", "same-site"), ("host", "192.0.2.7")],
        ] {
            assert_eq!(
                status(to, "GET", path, shown).await,
                403,
                "{path} {shown:?}"
            );
        }
        for shown in [
            &[("sec-fetch-site", "none")][..],
            &[("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "same-site")],
            &[cross, ("referer", "http://localhost:3000/page")],
            &[cross, ("origin", "http://localhost:3000")],
            &[],
        ] {
            assert_eq!(
                status(to, "GET", path, shown).await,
                200,
                "{path} {shown:?}"
            );
        }
    }
    // A link to what anyone may read is followed.
    assert_eq!(status(to, "GET", "/healthz", &navigate).await, 200);
    assert_eq!(status(to, "GET", "/metrics", &audio).await, 403);

    for (origins, referer, expected) in [
        ("[\"*\"]", None, 200),
        (
            "[\"https://example.org\"]",
            Some("https://example.org/a/b"),
            200,
        ),
        (
            "[\"https://example.org\"]",
            Some("https://example.com/"),
            403,
        ),
        ("[]", Some("http://localhost:3000/"), 403),
    ] {
        configure(&folder, &format!("[cors]\norigins = {origins}\n"));
        assert_eq!(post(to, "/admin/reload", "").await.status, StatusCode::OK);
        let referer = referer.map(|it| ("referer", it));
        let shown: Vec<_> = audio.iter().copied().chain(referer).collect();
        assert_eq!(
            status(to, "GET", VOICE, &shown).await,
            expected,
            "{origins} {shown:?}"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_token_are_obeyed_though_the_rest_is_refused() {
    let folder = Folder::new();
    configure(&folder, &[key("gone"), key("stays")].concat());
    let server = folder.serve().await;
    let to = server.address();
    let models = async |key: &str| status(to, "GET", "/v1/models", &[("x-api-key", key)]).await;
    assert_eq!(
        (models("gone-secret").await, models("stays-secret").await),
        (200, 200)
    );

    // A pipeline that cannot be, and a key less, another more, and a token.
    folder.write("pipelines/ja.toml", "language = ");
    let entry = [&key("stays"), &*key("new"), "[admin]\ntoken = \"root\"\n"].concat();
    configure(&folder, &entry);
    let refused = post(to, "/admin/reload", "").await;
    assert_eq!(
        refused.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        refused.text()
    );
    assert_eq!(
        (
            models("gone-secret").await,
            models("stays-secret").await,
            models("new-secret").await
        ),
        (401, 200, 200)
    );
    assert_eq!(status(to, "GET", "/admin/generations", &[]).await, 401);
    let root = [("authorization", "Bearer root")];
    assert_eq!(status(to, "GET", "/admin/generations", &root).await, 200);

    // Another table that is wrong, and one that cannot be read at all: then
    // everything stays as it was.
    let other = format!(
        "{}[admin]\ntoken = \"root\"\n[memory]\nslots = 0\n",
        key("other")
    );
    configure(&folder, &other);
    assert_eq!(status(to, "POST", "/admin/reload", &root).await, 422);
    assert_eq!(
        (models("stays-secret").await, models("other-secret").await),
        (401, 200)
    );
    configure(&folder, "[[keys]\nname = 3");
    assert_eq!(status(to, "POST", "/admin/reload", &root).await, 422);
    assert_eq!(
        (models("stays-secret").await, models("other-secret").await),
        (401, 200)
    );

    // Who takes the last one away opens nothing.
    folder.write("pipelines/ja.toml", crate::stand::PIPELINE);
    configure(&folder, "");
    assert_eq!(status(to, "POST", "/admin/reload", &root).await, 200);
    assert_eq!((models("other-secret").await, models("").await), (401, 401));
    assert_eq!(status(to, "GET", "/admin/generations", &[]).await, 401);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_while_a_reload_hangs_and_takes_its_stream_along() {
    let folder = Folder::new();
    configure(&folder, &[key("gone"), key("stays")].concat());
    let server = folder.serve().await;
    let to = server.address();
    // Long enough that its reader is far behind.
    let text = "今日はいい天気ですね。".repeat(80);
    let body = json!({"input": text, "stream": true, "response_format": "wav"});
    let gone = [("x-api-key", "gone-secret")];
    let mut stream = begin_with(to, "/v1/audio/speech", &gone, body).await;
    assert_eq!(stream.status, StatusCode::OK);
    assert!(matches!(stream.next().await, Some(Ok(_))));

    configure(&folder, &key("stays"));
    // Nobody waits for it, as nobody waits for one that hangs.
    server.app().reloads.ask(server::reloads::Cause::FileChange);
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while status(to, "GET", "/v1/models", &gone).await != 401 {
        assert!(std::time::Instant::now() < until, "the key still opens");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let cut = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            match stream.next().await {
                Some(Ok(_)) => {}
                other => break other,
            }
        }
    });
    let cut = cut.await.expect("the stream ends");
    assert!(matches!(cut, Some(Err(_))), "it is no whole answer");
    let stays = [("x-api-key", "stays-secret")];
    assert_eq!(status(to, "GET", "/v1/models", &stays).await, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_the_models_again_reloads_only_what_has_changed() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let to = server.address();
    let generation = async || {
        let report = get(to, "/admin/generations").await.json();
        report["living"][0]["generation"]
            .as_u64()
            .expect("a number")
    };
    for _ in 0..20 {
        assert_eq!(post(to, "/models/refresh", "").await.status, StatusCode::OK);
    }
    assert_eq!(generation().await, 1, "nothing has changed");
    folder.write(
        "pipelines/ja.toml",
        format!("{}speed = 1.5\n", crate::stand::PIPELINE),
    );
    for _ in 0..3 {
        assert_eq!(post(to, "/models/refresh", "").await.status, StatusCode::OK);
    }
    assert_eq!(generation().await, 2, "once");
    server.stop().await;
}
