//! What real clients send, answered as they expect it. The cases are recorded
//! by `tests/clients/record.py`, which says what stands in them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::client::{Reply, ask};
use crate::stand::{Folder, cases};

#[derive(Deserialize)]
struct Case {
    name: String,
    client: String,
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    expect: Expected,
}

#[derive(Deserialize)]
struct Expected {
    status: u16,
    /// The whole header; none where it does not matter.
    content_type: Option<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_openai_are_answered_as_they_expect() {
    replay("openai").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_sbv2_are_answered_as_they_expect() {
    replay("sbv2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_sbv2_api_are_answered_as_they_expect() {
    replay("sbv2-api").await;
}

/// Sends every case of a file in its order, and tells all that went another
/// way at the end.
async fn replay(dialect: &str) {
    let file = cases("clients").join(format!("{dialect}.json"));
    let text = std::fs::read_to_string(file).expect("the cases");
    let all: Vec<Case> = serde_json::from_str(&text).expect("good JSON");
    let folder = Folder::new();
    let server = folder.serve().await;
    let mut mismatches = Vec::new();
    for case in &all {
        let headers: Vec<_> = case
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let body = case.body.clone().unwrap_or_default();
        let reply = ask(server.address(), &case.method, &case.path, &headers, body).await;
        if let Some(wrong) = case.mismatch(&reply) {
            mismatches.push(wrong);
        }
    }
    server.stop().await;
    assert!(!all.is_empty(), "no cases");
    assert!(
        mismatches.is_empty(),
        "{} of {} cases:\n{}",
        mismatches.len(),
        all.len(),
        mismatches.join("\n")
    );
}

impl Case {
    fn mismatch(&self, reply: &Reply) -> Option<String> {
        let content_type = reply.headers.get("content-type");
        let content_type = content_type.and_then(|it| it.to_str().ok());
        let wanted = self.expect.content_type.as_deref();
        let as_expected = reply.status.as_u16() == self.expect.status
            && (wanted.is_none() || wanted == content_type);
        (!as_expected).then(|| {
            format!(
                "{} ({}): {} {content_type:?} instead of {} {wanted:?}; {}",
                self.name,
                self.client,
                reply.status.as_u16(),
                self.expect.status,
                match content_type {
                    Some(sound) if sound.starts_with("audio/") => String::new(),
                    _ => reply.text(),
                }
            )
        })
    }
}
