//! Accents out and in: the g2p route, given moras, phonemes and tones, the
//! user dictionary over HTTP, and long texts.

use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::client::{Reply, get, post, send, speak};
use crate::stand::{Folder, PIPELINE, wav};

async fn call(to: std::net::SocketAddr, method: Method, path: &str, body: impl ToString) -> Reply {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .body(http_body_util::Full::from(body.to_string()));
    send(to, request.expect("a request")).await
}

async fn g2p(to: std::net::SocketAddr, text: &str) -> Value {
    let reply = post(to, "/v1/g2p", json!({ "text": text }).to_string()).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn moras_come_out_and_go_in_again() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let to = server.address();
    let said = g2p(to, "雨です。").await;
    let moras = &said["sentences"][0]["moras"];
    assert_eq!(
        *moras,
        json!([["ア", 1], ["メ", 0], ["デ", 0], ["ス", 0], [".", 0]])
    );

    let plain = speak(
        to,
        json!({"input": "雨です。", "koemasu": {"split": "none"}}),
    )
    .await;
    let same = json!({"input": "雨です。", "koemasu": {"moras": moras}});
    let same = speak(to, same).await;
    assert_eq!(same.status, StatusCode::OK, "{}", same.text());
    assert!(
        wav(&same.body) == wav(&plain.body),
        "what came out says the same"
    );

    let tones = json!([0, 1, 1, 1, 1, 1, 1, 0]);
    let other = json!({"input": "雨です。", "koemasu": {"tones": tones}});
    let other = speak(to, other).await;
    assert_eq!(other.status, StatusCode::OK, "{}", other.text());
    assert!(
        wav(&other.body) != wav(&plain.body),
        "other tones are heard"
    );

    // Fewer phonemes than the text's own find their characters.
    let given = json!({"phonemes": ["a", "m", "e", "d", "a", "."], "tones": [0, 1, 1, 0, 0, 0]});
    let reply = speak(to, json!({"input": "雨です。", "koemasu": given})).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_said_is_told_with_its_place() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let to = server.address();
    for (own, told) in [
        (json!({"tones": [0, 1]}), "2 tones are given"),
        (json!({"moras": [["ア", 0], ["め", 0]]}), "mora 2, `め`"),
        (json!({"moras": [["ア", 3]]}), "tone 1 is 3"),
        (
            json!({"phonemes": ["a", "kw"], "tones": [0, 0]}),
            "phoneme 2, `kw`",
        ),
        (json!({"phonemes": ["a"]}), "`phonemes` come with `tones`"),
        (
            json!({"assist_text": "わあ", "assist_weight": 2.0}),
            "`assist_weight` is 2",
        ),
        (json!({"bert_strength": -1.0}), "`bert_strength` is -1"),
    ] {
        let reply = speak(to, json!({"input": "雨です。", "koemasu": own})).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.text());
        assert!(reply.openai_error().contains(told), "{}", reply.text());
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_text_and_berts_strength_colour_the_voice() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let to = server.address();
    let spoken = |own: Value| async move {
        let reply = speak(to, json!({"input": "雨です。", "koemasu": own})).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        wav(&reply.body)
    };
    let plain = spoken(json!({})).await;
    let nothing =
        json!({"assist_text": "わあ！嬉しい！", "assist_weight": 0.0, "bert_strength": 1.0});
    assert!(spoken(nothing).await == plain);
    let none = spoken(json!({"bert_strength": 0.0})).await;
    let other = json!({"assist_text": "わあ！嬉しい！", "bert_strength": 0.0});
    assert!(
        spoken(other).await == none,
        "without BERT its colour is nothing"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_users_words_are_edited_while_the_server_runs() {
    let folder = Folder::new();
    folder.write(
        "pipelines/ja.toml",
        PIPELINE.replace(
            "[\"normalize-sbv2\"]",
            "[\"ja-words\", \"normalize-sbv2\"]\n[dictionary]\nfile = \"../words.toml\"",
        ),
    );
    folder.write("pipelines/plain.toml", PIPELINE);
    let server = folder.serve().await;
    let to = server.address();
    let path = "/admin/dictionary/ja";
    let read = |text: &'static str| async move {
        let said = g2p(to, text).await;
        let moras = said["sentences"][0]["moras"]
            .as_array()
            .expect("moras")
            .clone();
        moras
            .iter()
            .map(|mora| mora[0].as_str().unwrap_or_default().to_owned())
            .collect::<String>()
    };
    assert_eq!(read("C#").await, "シイ");

    let word = json!({"surface": "C#", "reading": "シーシャープ", "accent": 4});
    let reply = call(to, Method::POST, path, &word).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(read("C#").await, "シイシャアプ");
    let again = call(to, Method::POST, path, &word).await;
    assert_eq!(again.status, StatusCode::CONFLICT);

    let changed = json!({"surface": "C#", "reading": "シーイゲタ"});
    let reply = call(to, Method::PUT, path, changed).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(read("C#").await, "シイイゲタ");

    let import = "[[word]]\nsurface = \"小鳥遊\"\nreading = \"タカナシ\"\n";
    let reply = call(to, Method::POST, &format!("{path}/import"), import).await;
    assert_eq!(reply.json()["words"], 2, "{}", reply.text());
    assert_eq!(read("小鳥遊").await, "タカナシ");

    let wrong = json!({"surface": "雨", "reading": "あめ"});
    let reply = call(to, Method::POST, path, wrong).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(reply.problem().contains("word 3, `雨`"), "{}", reply.text());

    let reply = call(to, Method::DELETE, path, json!({"surface": "C#"})).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let listed = get(to, path).await.json();
    assert_eq!(
        listed["words"].as_array().map(Vec::len),
        Some(1),
        "{listed}"
    );

    let none = get(to, "/admin/dictionary/plain").await;
    assert_eq!(none.status, StatusCode::CONFLICT);
    assert!(none.problem().contains("[dictionary]"), "{}", none.text());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_dictionary_is_named_and_nothing_changes() {
    let folder = Folder::new();
    let pipeline = format!("{PIPELINE}\n[dictionary]\nfile = \"../words.csv\"\n");
    folder.write("pipelines/ja.toml", pipeline);
    folder.write("words.csv", "surface,reading\n雨,アマ\n");
    let server = folder.serve().await;
    folder.write("words.csv", "surface,reading\n雨,あま\n");
    let reply = post(server.address(), "/admin/reload", "").await;
    // The rest is published, and these words are left out by name.
    let told = reply.text();
    assert_eq!(reply.status, StatusCode::OK, "{told}");
    assert!(
        told.contains("left_out") && told.contains("words.csv") && told.contains("word 1, `雨`"),
        "{told}"
    );
    let said = g2p(server.address(), "雨").await;
    assert_eq!(
        said["sentences"][0]["moras"][1][0], "マ",
        "the old words serve"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_text_loses_nothing_and_keeps_its_order() {
    let folder = Folder::new();
    let pipeline = format!("{PIPELINE}\n[limits]\ncharacters_max = 10000\n");
    folder.write("pipelines/ja.toml", pipeline);
    let server = folder.serve().await;
    let sentence = "「今日はいい天気ですね。」と彼は言った。それから（少し考えて。）笑った。";
    let text: String = sentence.chars().cycle().take(10_000).collect();
    let said = g2p(server.address(), &text).await;
    let sentences = said["sentences"].as_array().expect("sentences");
    let together: String = sentences
        .iter()
        .map(|sentence| sentence["text"].as_str().expect("a text"))
        .collect();
    assert_eq!(together, text);
    let mut place = 0;
    for sentence in sentences {
        assert_eq!(sentence["start"], place);
        place += sentence["text"].as_str().expect("a text").chars().count();
    }
    assert_eq!(said["warnings"], json!([]));
    assert_eq!(
        sentences[0]["text"],
        "「今日はいい天気ですね。」と彼は言った。"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_is_told() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let said = g2p(server.address(), "はい。雨😀です:ね。").await;
    assert_eq!(
        said["warnings"],
        json!([
            "`😀` at character 5 is not read",
            "`:` at character 8 is not read"
        ])
    );
    server.stop().await;
}
