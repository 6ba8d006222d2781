//! Who may ask: keys, the operator's token, web pages, ports.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::json;
use server::config::Config;
use server::http::access::Digest256;
use server::http::parts::Part;
use server::server::Server;

use crate::client::{Reply, ask, get, post, speak};
use crate::stand::{Folder, wav};

const PAGE: &str = "http://localhost:3000";
const FOREIGN: &str = "https://example.org";

/// One way to ask for speech in each dialect: method, path, body.
const SPEECH: [(&str, &str, &str); 3] = [
    ("POST", "/v1/audio/speech", r#"{"input": "はい"}"#),
    ("GET", "/voice?text=%E3%81%AF%E3%81%84", ""),
    (
        "POST",
        "/synthesize",
        r#"{"text": "はい", "ident": "demo"}"#,
    ),
];

fn folder(more: &str) -> Folder {
    let folder = Folder::new();
    configure(&folder, more);
    folder
}

fn configure(folder: &Folder, more: &str) {
    let usual = "[pipelines]\nfolder = \"pipelines\"\n[server]\nwatch = false\n";
    folder.write("koemasu.toml", format!("{usual}{more}"));
}

/// A table `[[keys]]`; the key is its own name with `-secret`.
fn key(name: &str, more: &str) -> String {
    let digest = Digest256::of(format!("{name}-secret").as_bytes()).hex();
    format!("[[keys]]\nname = \"{name}\"\nsha256 = \"{digest}\"\n{more}\n")
}

async fn speak_as(to: SocketAddr, bearer: &str, text: &str) -> Reply {
    let bearer = format!("Bearer {bearer}");
    let body = json!({"input": text}).to_string();
    ask(
        to,
        "POST",
        "/v1/audio/speech",
        &[("authorization", &bearer)],
        body,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_whoever_reaches_this_machine_may_speak_whatever_they_show() {
    let folder = Folder::new();
    let server = folder.serve().await;
    for (method, path, body) in SPEECH {
        for shown in [&[][..], &[("authorization", "Bearer sk-any")]] {
            let reply = ask(server.address(), method, path, shown, body).await;
            assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text());
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_keys_only_they_open_and_each_dialect_refuses_in_its_own_words() {
    let folder = folder(&key("bot", ""));
    let server = folder.serve().await;
    let to = server.address();
    for (method, path, body) in SPEECH {
        for right in [
            ("authorization", "Bearer bot-secret"),
            ("x-api-key", "bot-secret"),
        ] {
            let reply = ask(to, method, path, &[right], body).await;
            assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text());
        }
        for wrong in [
            &[][..],
            &[("authorization", "Bearer ")],
            &[("authorization", "Bearer bot-secre")],
            &[("authorization", "Basic bot-secret")],
            &[("x-api-key", "bot")],
        ] {
            let reply = ask(to, method, path, wrong, body).await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{path} {wrong:?}");
            assert_eq!(reply.header("www-authenticate"), "Bearer");
            match path {
                "/v1/audio/speech" => {
                    assert!(reply.openai_error().contains("API key"), "{}", reply.text());
                    assert_eq!(reply.json()["error"]["code"], "invalid_api_key");
                }
                "/synthesize" => {
                    assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
                    assert!(reply.text().contains("API key"), "{}", reply.text());
                }
                _ => assert!(reply.json()["detail"].is_string(), "{}", reply.text()),
            }
        }
    }
    // Lists too; what a load balancer asks stays open.
    for path in ["/v1/models", "/models/info", "/models"] {
        assert_eq!(get(to, path).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(get(to, "/readyz").await.status, StatusCode::OK);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_its_rate_and_a_reload_keeps_the_counts_of_the_others() {
    let keys = [
        key("slow", "requests_per_minute = 2"),
        key("gone", ""),
        key("free", ""),
    ];
    let folder = folder(&keys.concat());
    let server = folder.serve().await;
    let to = server.address();
    for _ in 0..2 {
        let reply = speak_as(to, "slow-secret", "はい").await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    }
    let limited = async || {
        let reply = speak_as(to, "slow-secret", "はい").await;
        assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(reply.openai_error().contains("2 times a minute"));
        assert_eq!(reply.json()["error"]["code"], "rate_limit_exceeded");
        let seconds: u32 = reply.header("retry-after").parse().expect("a number");
        assert!((1..=30).contains(&seconds), "{seconds} s");
    };
    limited().await;
    for key in ["gone-secret", "free-secret"] {
        assert_eq!(speak_as(to, key, "はい").await.status, StatusCode::OK);
    }

    configure(&folder, &[&keys[0][..], &keys[2]].concat());
    assert_eq!(post(to, "/admin/reload", "").await.status, StatusCode::OK);
    let revoked = speak_as(to, "gone-secret", "はい").await;
    assert_eq!(revoked.status, StatusCode::UNAUTHORIZED);
    limited().await;
    let free = speak_as(to, "free-secret", "はい").await;
    assert_eq!(free.status, StatusCode::OK);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_so_many_requests_at_once() {
    let folder = folder(&[key("one", "concurrent = 1"), key("free", "")].concat());
    let server = folder.serve().await;
    let to = server.address();
    let long = "今日はいい天気ですね。".repeat(80);
    let going = tokio::task::spawn(async move { speak_as(to, "one-secret", &long).await });
    while server.app().live.report()[0].requests == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let reply = speak_as(to, "one-secret", "はい").await;
    assert_eq!(
        reply.status,
        StatusCode::TOO_MANY_REQUESTS,
        "{}",
        reply.text()
    );
    assert_eq!(reply.header("retry-after"), "1");
    let sbv2 = ask(to, "GET", SPEECH[1].1, &[("x-api-key", "one-secret")], "").await;
    assert_eq!(sbv2.status, StatusCode::TOO_MANY_REQUESTS, "every dialect");
    assert_eq!(
        speak_as(to, "free-secret", "はい").await.status,
        StatusCode::OK
    );
    let whole = going.await.expect("an answer");
    assert_eq!(whole.status, StatusCode::OK, "{}", whole.text());
    wav(&whole.body);
    let again = speak_as(to, "one-secret", "はい").await;
    assert_eq!(again.status, StatusCode::OK, "its place came back");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_open_no_admin_route_and_the_token_no_other() {
    let folder = folder(&format!("[admin]\ntoken = \"root\"\n{}", key("bot", "")));
    let server = folder.serve().await;
    let to = server.address();
    let admin = async |bearer: &str| {
        let bearer = format!("Bearer {bearer}");
        let headers = [("authorization", bearer.as_str())];
        ask(to, "GET", "/admin/generations", &headers, "").await
    };
    assert_eq!(admin("root").await.status, StatusCode::OK);
    let refused = admin("bot-secret").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(refused.problem().contains("Bearer TOKEN"));
    assert_eq!(
        speak_as(to, "root", "はい").await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        speak_as(to, "bot-secret", "はい").await.status,
        StatusCode::OK
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_open_to_the_world_unless_somebody_says_so() {
    let load = |more: &str| {
        let folder = Folder::new();
        let listen = "[pipelines]\nfolder = \"pipelines\"\n[server]\nlisten = \"0.0.0.0:0\"\n";
        folder.write("koemasu.toml", format!("{listen}{more}"));
        let mut files = folder.files();
        files.listen = None;
        (Config::load(&files).map(drop), files, folder)
    };
    let (loaded, files, _folder) = load("");
    let told = loaded.expect_err("no key").to_string();
    assert!(
        told.contains("add `[[keys]]` (`koemasu key` makes one)")
            && told.contains("`server.open = true`"),
        "{told}"
    );
    let started = Server::start(files).await.err().expect("it does not start");
    assert_eq!(started.to_string(), told);
    for said in ["open = true\n", &key("bot", "")] {
        let (loaded, ..) = load(said);
        assert!(loaded.is_ok(), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_page_is_refused_before_any_work() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let to = server.address();
    let work = async || {
        let metrics = get(to, "/metrics").await.text_whole();
        let stages = metrics
            .lines()
            .filter(|line| line.starts_with("koemasu_stage_seconds_count"));
        stages.map(str::to_owned).collect::<Vec<_>>()
    };
    // The word that was said at the start is counted by a thread of its own.
    let mut before = work().await;
    for _ in 0..200 {
        if before.iter().any(|stage| stage.contains("synthesize")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        before = work().await;
    }
    for (method, path, body) in SPEECH {
        for origin in [FOREIGN, "null", "http://localhost.example.org"] {
            // As a page may send it without asking first.
            let headers = [("origin", origin), ("content-type", "text/plain")];
            let reply = ask(to, method, path, &headers, body).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{path} {origin}");
            assert!(
                !reply.headers.contains_key("access-control-allow-origin"),
                "{path} {origin}"
            );
            assert!(reply.text().contains("`cors.origins`"), "{}", reply.text());
        }
    }
    assert_eq!(work().await, before);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_this_machine_may_ask_and_read_refusals_too() {
    let folder = folder(&key("bot", ""));
    let server = folder.serve().await;
    let to = server.address();
    for (method, path, body) in SPEECH {
        let asked = [
            ("origin", PAGE),
            ("access-control-request-method", method),
            (
                "access-control-request-headers",
                "authorization,content-type",
            ),
        ];
        // A browser sends no key with it.
        let preflight = ask(to, "OPTIONS", path, &asked, "").await;
        assert_eq!(preflight.status, StatusCode::OK, "{}", preflight.text());
        assert_eq!(preflight.header("access-control-allow-origin"), PAGE);
        let methods = preflight.header("access-control-allow-methods");
        assert!(methods.contains(method), "{methods}");
        assert_eq!(
            preflight.header("access-control-allow-headers"),
            "authorization,content-type"
        );
        for (key, status) in [
            ("bot-secret", StatusCode::OK),
            ("x", StatusCode::UNAUTHORIZED),
        ] {
            let headers = [("origin", PAGE), ("x-api-key", key)];
            let reply = ask(to, method, path, &headers, body).await;
            assert_eq!(reply.status, status, "{}", reply.text());
            assert_eq!(reply.header("access-control-allow-origin"), PAGE);
            assert!(reply.header("vary").contains("origin"));
        }
        let foreign = [
            ("origin", FOREIGN),
            ("access-control-request-method", method),
        ];
        let refused = ask(to, "OPTIONS", path, &foreign, "").await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        assert!(!refused.headers.contains_key("access-control-allow-origin"));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn listed_pages_may_ask_and_others_no_longer() {
    let folder = folder("[cors]\norigins = [\"https://example.org\"]\n");
    let server = folder.serve().await;
    let to = server.address();
    let models = async |origin: &str| ask(to, "GET", "/models", &[("origin", origin)], "").await;
    let listed = models(FOREIGN).await;
    assert_eq!(listed.status, StatusCode::OK);
    assert_eq!(listed.header("access-control-allow-origin"), FOREIGN);
    assert_eq!(models(PAGE).await.status, StatusCode::FORBIDDEN);

    configure(&folder, "[cors]\norigins = [\"local\"]\n");
    assert_eq!(post(to, "/admin/reload", "").await.status, StatusCode::OK);
    assert_eq!(models(FOREIGN).await.status, StatusCode::FORBIDDEN);
    assert_eq!(models(PAGE).await.status, StatusCode::OK);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dialects_can_be_off_or_on_ports_of_their_own() {
    let folder =
        folder("[dialects.openai]\nenabled = false\n[dialects.sbv2]\nlisten = \"127.0.0.1:0\"\n");
    let server = folder.serve().await;
    let shared = server.address();
    let ports = server.addresses();
    let (own, _) = ports[1..]
        .iter()
        .find(|(_, parts)| parts.has(Part::Sbv2))
        .expect("a port of its own");
    let status = async |to, path| get(to, path).await.status.as_u16();
    for (path, on_shared, on_own) in [
        ("/healthz", 200, 200),
        ("/v1/models", 404, 404),
        ("/models/info", 404, 200),
        ("/models", 200, 404),
    ] {
        assert_eq!(
            (status(shared, path).await, status(*own, path).await),
            (on_shared, on_own),
            "{path}"
        );
    }
    let off = speak(shared, json!({"input": "はい"})).await;
    assert_eq!(off.status, StatusCode::NOT_FOUND);
    let spoken = get(*own, SPEECH[1].1).await;
    assert_eq!(spoken.status, StatusCode::OK, "{}", spoken.text());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_looks_for_models_learns_nothing_of_a_broken_file() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let to = server.address();
    let before = post(to, "/models/refresh", "").await;
    assert_eq!(before.status, StatusCode::OK, "{}", before.text());
    // What bots make of it: the name is the second part.
    let path = before.json()["0"]["config_path"].clone();
    let name = path.as_str().and_then(|path| path.split('/').nth(1));
    assert_eq!(name, Some("demo"));
    folder.write("koemasu.toml", "[admin]\ntoken = secret\n");
    let after = post(to, "/models/refresh", "").await;
    assert_eq!(after.status, StatusCode::OK, "{}", after.text());
    assert_eq!(after.json(), before.json());
    let report = get(to, "/admin/generations").await.json();
    assert_eq!(report["last_reload"]["outcome"], "refused");
    server.stop().await;
}
