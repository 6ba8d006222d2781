//! Who is told that something is theirs to mend: a caller by their text, with
//! its place, in every dialect; an operator by a file or a disk.

use std::net::SocketAddr;

use hyper::{Method, Request};

use crate::client::{Reply, get, post, send};
use crate::stand::{Folder, PIPELINE};

/// A pipeline that takes little, with a dictionary.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write(
        "koemasu.toml",
        "[pipelines]\nfolder = \"pipelines\"\n[server]\nwatch = false\n[dialects.voicevox]\npipeline = \"ja\"\n",
    );
    let little = "[limits]\ncharacters_max = 50\n[dictionary]\nfile = \"../words.toml\"\n";
    folder.write("pipelines/ja.toml", format!("{PIPELINE}{little}"));
    let nowhere = "[dictionary]\nfile = \"/proc/no/words.toml\"\n";
    folder.write("pipelines/other.toml", format!("{PIPELINE}{nowhere}"));
    folder
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_cannot_be_spoken_is_its_callers_in_every_dialect() {
    let folder = folder();
    let server = folder.serve().await;
    let to = server.address();
    let long = "あ".repeat(51);
    let texts = [
        // A text, and what is said of it.
        ("", "empty"),
        ("\u{3000}\n", "empty"),
        (long.as_str(), "takes 50 at most"),
        (long.as_str(), "has 51 characters"),
    ];
    for (text, _) in texts {
        let quoted = percent(text);
        let json = serde_json::json!({"input": text, "voice": "demo", "text": text}).to_string();
        let speech = post(to, "/v1/audio/speech", json).await;
        assert_eq!(speech.status, 400, "{}", speech.text());
        assert_eq!(
            speech.json()["error"]["param"],
            "input",
            "{}",
            speech.text()
        );

        let g2p = serde_json::json!({"text": text}).to_string();
        let reply = post(to, "/v1/g2p", g2p).await;
        assert_eq!(reply.status, 400, "{}", reply.text());
        assert_eq!(reply.json()["who_can_act"], "caller");

        // Style-Bert-VITS2 has one status for whatever is wrong in a query.
        for (method, path) in [("GET", "/voice"), ("POST", "/g2p")] {
            let path = format!("{path}?text={quoted}&model_name=demo");
            let reply = match method {
                "GET" => get(to, &path).await,
                _ => post(to, &path, "").await,
            };
            if reply.status == 200 {
                continue; // Nothing is said of nothing: no moras.
            }
            assert_eq!(reply.status, 422, "{path}: {}", reply.text());
            assert_eq!(
                reply.json()["detail"][0]["loc"],
                serde_json::json!(["query", "text"]),
                "{path}: {}",
                reply.text()
            );
        }

        let asked = serde_json::json!({"text": text, "ident": "demo"}).to_string();
        let reply = post(to, "/synthesize", asked).await;
        assert!(reply.status.is_client_error(), "{}", reply.text());

        if text.trim().is_empty() {
            continue; // VOICEVOX says nothing of nothing as well.
        }
        let style = get(to, "/speakers").await.json()[0]["styles"][0]["id"].clone();
        let path = format!("/audio_query?text={quoted}&speaker={style}");
        let reply = post(to, &path, "").await;
        assert_eq!(reply.status, 400, "{path}: {}", reply.text());
        assert_eq!(
            reply.json()["detail"][0]["loc"],
            serde_json::json!(["query", "text"]),
            "{}",
            reply.text()
        );
    }
    for (text, told) in texts {
        let asked = serde_json::json!({"text": text}).to_string();
        let reply = post(to, "/v1/g2p", asked).await;
        assert!(reply.problem().contains(told), "{}", reply.text());
    }
    server.stop().await;
}

/// What a text costs a plugin is told with the part of it that does.
#[tokio::test(flavor = "multi_thread")]
async fn the_part_of_a_text_that_is_wrong_is_named() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let costly = format!("こんにちは。あ{}", "\u{301}".repeat(900));
    let asked = serde_json::json!({"input": costly, "voice": "demo"}).to_string();
    let reply = post(server.address(), "/v1/audio/speech", asked).await;
    if reply.status != 200 {
        let error = reply.json()["error"].clone();
        assert_eq!(reply.status, 400, "{error}");
        assert_eq!(error["param"], "input", "{error}");
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains("from character 7 to "), "{error}");
    }
    server.stop().await;
}

async fn put(to: SocketAddr, path: &str, body: &'static str) -> Reply {
    asked(Method::PUT, to, path, body).await
}

async fn delete(to: SocketAddr, path: &str, body: &'static str) -> Reply {
    asked(Method::DELETE, to, path, body).await
}

async fn asked(method: Method, to: SocketAddr, path: &str, body: &'static str) -> Reply {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("host", "localhost").body(body.into());
    send(to, request.expect("a request")).await
}

fn who(reply: &Reply) -> (u16, String) {
    let who = reply.json()["who_can_act"].as_str().map(str::to_owned);
    (reply.status.as_u16(), who.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_a_dictionary_is_refused_to_the_one_who_can_mend_it() {
    let folder = folder();
    let server = folder.serve().await;
    let to = server.address();
    let path = "/admin/dictionary/ja";
    let word = r#"{"surface": "雨", "reading": "アメ", "accent": 1}"#;
    let caller = |status| (status, "caller".to_owned());
    let operator = |status| (status, "operator".to_owned());

    // What the edit says.
    for (body, status) in [
        ("{", 422),
        (r#"{"surface": "雨"}"#, 422),
        (r#"{"surface": "雨", "reading": "rain"}"#, 422),
        (r#"{"surface": "雨", "reading": "アメ", "accent": 9}"#, 422),
        (
            r#"{"surface": "雨", "reading": "アメ", "priority": 99}"#,
            422,
        ),
        (r#"{"surface": "", "reading": "アメ"}"#, 422),
    ] {
        assert_eq!(who(&post(to, path, body).await), caller(status), "{body}");
    }
    assert_eq!(who(&put(to, path, word).await), caller(404));
    assert_eq!(who(&delete(to, path, "{}").await), caller(422));
    assert_eq!(
        who(&delete(to, path, r#"{"surface": "雪"}"#).await),
        caller(404)
    );
    let import = format!("{path}/import");
    let wrong = "[[word]]\nsurface = \"雨\"\nreading = \"rain\"\n";
    let reply = post(to, &import, wrong).await;
    assert_eq!(who(&reply), caller(422));
    let told = reply.problem();
    assert!(
        told.starts_with("line 3, column 11: word 1, `雨`"),
        "{told}"
    );
    assert_eq!(post(to, path, word).await.status, 200);
    assert_eq!(who(&post(to, path, word).await), caller(409));

    // What is there instead of a dictionary.
    let good = std::fs::read_to_string(folder.path().join("words.toml")).expect("the file");
    for broken in ["[[word]]\nsurface = 1\n", "[[", "\u{0}"] {
        folder.write("words.toml", broken);
        for reply in [
            get(to, path).await,
            post(to, path, word).await,
            put(to, path, word).await,
            delete(to, path, r#"{"surface": "雨"}"#).await,
        ] {
            assert_eq!(who(&reply), operator(500), "{}", reply.text());
            assert!(reply.problem().contains("words.toml:"), "{}", reply.text());
        }
    }
    folder.write("words.toml", &good);

    // What else is broken: nobody's words.
    let settings = std::fs::read_to_string(folder.path().join("koemasu.toml")).expect("the file");
    folder.write("koemasu.toml", "[nope]\n");
    let snow = r#"{"surface": "雪", "reading": "ユキ"}"#;
    let reply = post(to, path, snow).await;
    assert_eq!(who(&reply), operator(409), "{}", reply.text());
    assert!(
        reply.problem().contains("koemasu.toml:1:"),
        "{}",
        reply.text()
    );
    let now = std::fs::read_to_string(folder.path().join("words.toml")).expect("the file");
    assert_eq!(now, good, "nothing has changed");
    folder.write("koemasu.toml", settings);

    // Where nothing can be written.
    let reply = post(to, "/admin/dictionary/other", snow).await;
    assert_eq!(who(&reply), operator(409), "{}", reply.text());
    assert!(
        reply.problem().contains("cannot be written"),
        "{}",
        reply.text()
    );
    server.stop().await;
}
