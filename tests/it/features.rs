//! The BERT feature cache: one computation for each text.

use hyper::StatusCode;
use serde_json::json;

use crate::client::{metric, speak};
use crate::stand::{Folder, is_alone};

const MISSES: &str = "koemasu_feature_cache_misses_total";

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_many_want_at_once_is_computed_once() {
    if !is_alone(
        module_path!(),
        "a_text_that_many_want_at_once_is_computed_once",
    ) {
        return;
    }
    let folder = Folder::new();
    let server = folder.serve().await;
    let to = server.address();
    let before = metric(to, MISSES).await;
    let asked = (0..16).map(|_| {
        let body = json!({"input": "みんなが同じことを言う。"});
        tokio::task::spawn(async move { speak(to, body).await.status })
    });
    for asked in asked.collect::<Vec<_>>() {
        assert_eq!(asked.await.expect("an answer"), StatusCode::OK);
    }
    let computed = metric(to, MISSES).await - before;
    assert_eq!(computed, 1.0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_stays_within_its_bound() {
    let folder = Folder::new();
    folder.write(
        "koemasu.toml",
        "[pipelines]\nfolder = \"pipelines\"\n[server]\nwatch = false\n[cache]\nfeatures = \"256KiB\"\n",
    );
    let server = folder.serve().await;
    let to = server.address();
    for number in 0..40 {
        // Some 60 KiB of features each.
        let reply = speak(
            to,
            json!({"input": format!("これは{number}番目の文です。")}),
        )
        .await;
        assert_eq!(reply.status, StatusCode::OK);
    }
    let bytes = metric(to, "koemasu_feature_cache_bytes").await;
    assert!(
        bytes > 0.0 && bytes <= 2.0 * 256.0 * 1024.0,
        "{bytes} bytes"
    );
    server.stop().await;
}
