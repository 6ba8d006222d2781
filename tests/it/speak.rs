//! One speech request, through every part.

use hyper::StatusCode;
use serde_json::json;

use crate::client::{get, post, speak};
use crate::stand::{Folder, wav};

#[tokio::test(flavor = "multi_thread")]
async fn text_becomes_a_wav_whose_length_fits_the_text() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let to = server.address();

    let short = speak(to, json!({"input": "こんにちは。", "voice": "demo"})).await;
    assert_eq!(short.status, StatusCode::OK, "{}", short.text());
    assert_eq!(short.header("content-type"), "audio/wav");
    let (rate, short) = wav(&short.body);
    assert_eq!(rate, 44_100);

    let long = speak(
        to,
        json!({"input": "こんにちは。今日はとてもいい天気ですね。", "voice": "demo"}),
    )
    .await;
    let (_, long) = wav(&long.body);
    let seconds = |samples: &[i16]| samples.len() as f64 / 44_100.0;
    assert!(
        (0.2..3.0).contains(&seconds(&short)),
        "{} s",
        seconds(&short)
    );
    assert!(
        long.len() > 2 * short.len(),
        "{} s, {} s",
        seconds(&short),
        seconds(&long)
    );
    assert_eq!(
        short.iter().map(|s| s.unsigned_abs()).max(),
        Some(32_767),
        "full scale"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_through_every_stage() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let to = server.address();
    speak(to, json!({"input": "数は123です。"})).await;
    let metrics = get(to, "/metrics").await.text_whole();
    for stage in ["normalize", "g2p", "bert", "bucket", "synthesize", "encode"] {
        let line = format!("koemasu_stage_seconds_count{{stage=\"{stage}\"}}");
        assert!(metrics.contains(&line), "no {line} in\n{metrics}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pcm_is_the_wav_without_its_header() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let to = server.address();
    let wav = speak(to, json!({"input": "おはよう"})).await;
    let pcm = json!({"input": "おはよう", "response_format": "pcm", "koemasu": {"sampling_rate": 44_100}});
    let pcm = speak(to, pcm).await;
    assert_eq!(pcm.header("content-type"), "audio/pcm");
    assert_eq!(pcm.header("x-koemasu-sampling-rate"), "44100");
    assert!(wav.body[44..] == pcm.body[..], "same samples");
    // What OpenAI's players expect of raw samples.
    let usual = speak(to, json!({"input": "おはよう", "response_format": "pcm"})).await;
    assert_eq!(usual.header("x-koemasu-sampling-rate"), "24000");
    let expected = (pcm.body.len() as f64 * 24_000.0 / 44_100.0) as usize;
    assert!(
        usual.body.len().abs_diff(expected) <= 4,
        "{} {expected}",
        usual.body.len()
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_changes_what_is_heard() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let to = server.address();
    let voices = get(to, "/v1/audio/voices").await.json();
    let voice = &voices["voices"][0];
    let name = |list: &str, index: usize| voice[list][index].as_str().expect("a name").to_owned();

    let say = async |change: serde_json::Value| {
        let mut body = json!({"input": "おはようございます。"});
        body.as_object_mut()
            .expect("an object")
            .extend(change.as_object().expect("an object").clone());
        let reply = speak(to, body).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        wav(&reply.body).1
    };
    let plain = say(json!({})).await;
    assert!(
        plain == say(json!({})).await,
        "without noise every answer is the same"
    );
    let fast = say(json!({"speed": 2.0})).await;
    let ratio = plain.len() as f64 / fast.len() as f64;
    assert!(
        (1.3..2.7).contains(&ratio),
        "twice as fast is {ratio} times as short"
    );
    let other = say(json!({"voice": format!("demo/{}", name("speakers", 1))})).await;
    assert!(plain != other, "another speaker");
    let styled = say(json!({"koemasu": {"style": name("styles", 1)}})).await;
    assert!(plain != styled, "another style");
    let mean = say(json!({"koemasu": {"style": name("styles", 1), "style_weight": 0.0}})).await;
    assert!(plain == mean, "weight 0 is the mean style");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_split_at_sentences_unless_told_otherwise() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let to = server.address();
    let length = async |split: &str| {
        let body = json!({"input": "はい。いいえ。\nたぶん。", "koemasu": {"split": split}});
        wav(&speak(to, body).await.body).1.len()
    };
    let (sentence, line, none) = (
        length("sentence").await,
        length("line").await,
        length("none").await,
    );
    // 150 ms after はい, 500 ms after the line; a line alone has only the latter.
    assert!(sentence > line, "{sentence} {line}");
    assert!(line > none, "{line} {none}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_spoken_is_told_and_harms_nothing() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let to = server.address();
    let refused = async |body: serde_json::Value, status: u16| {
        let reply = speak(to, body).await;
        assert_eq!(reply.status.as_u16(), status, "{}", reply.text());
        let kind = &reply.json()["error"]["type"];
        assert_eq!(kind, "invalid_request_error", "{}", reply.text());
        reply.openai_error()
    };
    assert_eq!(
        refused(json!({"input": ""}), 400).await,
        "the text is empty"
    );
    assert_eq!(
        refused(json!({"input": "😀"}), 400).await,
        "nothing of the text can be spoken"
    );
    assert!(
        refused(json!({"input": "あ".repeat(1_001)}), 400)
            .await
            .contains("1001 characters")
    );
    assert!(
        refused(json!({"input": "あ", "voice": "haru"}), 400)
            .await
            .contains("no voice `haru`; there is `demo`")
    );
    assert!(
        refused(json!({"input": "あ", "voice": "demo/x"}), 400)
            .await
            .contains("no speaker `x`")
    );
    assert!(
        refused(json!({"input": "あ", "koemasu": {"style": "x"}}), 400)
            .await
            .contains("no style `x`")
    );
    assert!(
        refused(json!({"input": "あ", "koemasu": {"pipeline": "x"}}), 400)
            .await
            .contains("no pipeline `x`")
    );
    assert!(
        refused(json!({"input": "a", "koemasu": {"language": "en"}}), 400)
            .await
            .contains("speaks `ja`")
    );
    assert!(
        refused(json!({"input": "あ", "koemasu": {"noise": 1e9}}), 400)
            .await
            .contains("`noise`")
    );

    let broken = post(to, "/v1/audio/speech", "{").await;
    assert_eq!(broken.status, StatusCode::BAD_REQUEST);
    assert_eq!(get(to, "/v1/audio/speech").await.header("allow"), "POST");
    assert_eq!(get(to, "/nowhere").await.status, StatusCode::NOT_FOUND);

    // Odd inputs that end other servers are simply spoken.
    for odd in [
        "ーーあ",
        "グヮ",
        "うっうが",
        "！？",
        "1234567890123456789012345678901234567890123456789012345678901234567890",
    ] {
        let reply = speak(to, json!({"input": odd})).await;
        assert_eq!(reply.status, StatusCode::OK, "{odd}: {}", reply.text());
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_dropped_is_said() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let reply = speak(server.address(), json!({"input": "はい。😀\nどうも。"})).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let warnings: usize = reply
        .header("x-koemasu-warnings")
        .parse()
        .expect("a number");
    assert!(warnings >= 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_carries_the_callers_request_id() {
    let folder = Folder::new();
    let server = folder.serve().await;
    let request = hyper::Request::get("/healthz")
        .header("host", "localhost")
        .header("x-request-id", "bot-17")
        .body(http_body_util::Full::default())
        .expect("a request");
    let reply = crate::client::send(server.address(), request).await;
    assert_eq!(reply.header("x-request-id"), "bot-17");
    server.stop().await;
}

/// A speaker may be called like another one's number. Who asks by number means
/// the graph's; who writes means the name.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_no_name_of_a_speaker() {
    let folder = Folder::new();
    folder.add_decoded();
    folder.write(
        "koemasu.toml",
        "[pipelines]\nfolder = \"pipelines\"\n[voices]\nfolder = \"voices\"\n[server]\nwatch = false\n",
    );
    let config = folder.path().join("voices/decoded/config.json");
    let text = std::fs::read_to_string(&config).expect("a config");
    let crossed = text
        .replace("\"low\"", "\"1\"")
        .replace("\"high\"", "\"0\"");
    assert_ne!(text, crossed);
    std::fs::write(&config, crossed).expect("written");
    let server = folder.serve().await;
    let to = server.address();
    let voice = async |who: &str| {
        let path = format!(
            "/voice?text=%E3%81%8A%E3%81%AF%E3%82%88%E3%81%86&model_name=decoded&noise=0&noisew=0&sdp_ratio=0&{who}"
        );
        let reply = get(to, &path).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        wav(&reply.body).1
    };
    let (first, second) = (voice("speaker_id=0").await, voice("speaker_id=1").await);
    assert!(first != second, "they are two");
    assert!(voice("speaker_name=1").await == first, "`1` has number 0");
    assert!(voice("speaker_name=0").await == second, "`0` has number 1");

    let body = |speaker: i64| json!({"text": "おはよう", "ident": "decoded", "speaker_id": speaker, "sdp_ratio": 0});
    let two = async |speaker| {
        let reply = post(to, "/synthesize", body(speaker).to_string()).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        reply.body.len()
    };
    assert!(two(0).await > 44 && two(1).await > 44);

    let say = async |voice: &str| {
        let reply = speak(to, json!({"input": "おはよう", "voice": voice})).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        wav(&reply.body).1
    };
    assert!(
        say("decoded/1").await != say("decoded/0").await,
        "by name where people write"
    );
    server.stop().await;
}
