//! What real clients send, answered as they expect it. The cases are recorded
//! by `tests/clients/record.py`, which says what stands in them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Deserialize;

use crate::client::{Reply, ask, get};
use crate::stand::{Folder, cases};
use crate::voicevox;

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
    replay("openai", &Folder::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_sbv2_are_answered_as_they_expect() {
    replay("sbv2", &Folder::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_sbv2_api_are_answered_as_they_expect() {
    replay("sbv2-api", &Folder::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_voicevox_are_answered_as_they_expect() {
    replay("voicevox", &voicevox::folder()).await;
}

/// Sends every case of a file in its order, and tells all that went another
/// way at the end.
async fn replay(dialect: &str, folder: &Folder) {
    let file = cases("clients").join(format!("{dialect}.json"));
    let text = std::fs::read_to_string(file).expect("the cases");
    let all: Vec<Case> = serde_json::from_str(&text).expect("good JSON");
    let server = folder.serve().await;
    let mut blanks = Blanks::of(server.address()).await;
    let mut mismatches = Vec::new();
    for case in &all {
        let headers: Vec<_> = case
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let body = blanks.fill(case.body.as_deref().unwrap_or_default());
        let path = blanks.fill(&case.path);
        let reply = ask(server.address(), &case.method, &path, &headers, body).await;
        blanks.learn(&case.path, &reply);
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

/// What stands for the `{…}` of a case: names of this server, and what its last
/// answers said.
struct Blanks(BTreeMap<&'static str, String>);

impl Blanks {
    async fn of(to: SocketAddr) -> Self {
        let models = get(to, "/aivm_models").await.json();
        let model = models.as_object().and_then(|it| it.keys().next().cloned());
        Self(BTreeMap::from([
            ("{style_id}", voicevox::STYLE.to_string()),
            ("{speaker_uuid}", voicevox::SPEAKER.to_owned()),
            ("{model_uuid}", model.expect("a model")),
        ]))
    }

    fn fill(&self, text: &str) -> String {
        let fill = |text: String, (name, value): (&&str, &String)| text.replace(*name, value);
        self.0.iter().fold(text.to_owned(), fill)
    }

    fn learn(&mut self, path: &str, reply: &Reply) {
        let name = match path.split('?').next() {
            Some("/audio_query") => "{audio_query}",
            Some("/accent_phrases") => "{accent_phrases}",
            Some("/user_dict_word") => "{word_uuid}",
            _ => return,
        };
        if reply.status.is_success() {
            let answer = reply.json();
            let text = answer.as_str().map(str::to_owned);
            self.0
                .insert(name, text.unwrap_or_else(|| answer.to_string()));
        }
    }
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
