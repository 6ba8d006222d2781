//! A hub with one repository, as the real one answers: listings at one place,
//! large files behind a redirect to another. Tests move it on to other commits
//! and put faults before its files.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hub::{Hub, Outcome, Patience, Proxy, Pull, Pulled, Settings, Source, Token};
use sha2::Digest as _;

use crate::server::{Length, Reply, Request, Server, file};

pub(crate) const REPOSITORY: &str = "o/r";
pub(crate) const TOKEN: &str = "hf_verysecret";

/// A file of the repository.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) content: Vec<u8>,
    /// Whether it lies elsewhere, and Git has a pointer.
    pub(crate) large: bool,
}

/// What happens to one answer about a file.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// It ends behind so many bytes.
    Cut(usize),
    /// It comes slowly.
    Pace(usize, Duration),
    Reply(Reply),
    Length(Length),
    /// It is another file.
    Content(Vec<u8>),
    /// As if nothing had been said of a range.
    Whole,
}

/// What the repository has.
#[derive(Default)]
pub(crate) struct State {
    /// Branches and tags.
    pub(crate) revisions: BTreeMap<String, String>,
    /// Files by commit and path.
    pub(crate) commits: BTreeMap<String, BTreeMap<String, Stored>>,
    pub(crate) licence: Option<String>,
    /// By the file's name, for one answer each.
    pub(crate) faults: BTreeMap<String, VecDeque<Fault>>,
    /// For all answers to come.
    pub(crate) down: bool,
    /// Listings without digests, as lesser hubs give them.
    pub(crate) bare: bool,
}

pub(crate) struct Stand {
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) hub: Server,
    pub(crate) store: Server,
    folder: tempfile::TempDir,
}

impl Stand {
    /// Whose `main` has these files.
    pub(crate) fn new(files: impl IntoIterator<Item = (&'static str, Stored)>) -> Self {
        let state = Arc::new(Mutex::new(State {
            licence: Some("cc-by-sa-4.0".to_owned()),
            ..State::default()
        }));
        let store = Server::new({
            let state = Arc::clone(&state);
            move |request| {
                let found = stored(&state.lock().expect("no panic"), request);
                match found {
                    Some((name, content)) => give(&state, request, &name, &content),
                    None => Reply::new(404, ""),
                }
            }
        });
        let hub = Server::new({
            let (state, store) = (Arc::clone(&state), store.address());
            move |request| answer(&state, request, &store)
        });
        let stand = Self {
            state,
            hub,
            store,
            folder: tempfile::tempdir().expect("a folder"),
        };
        stand.commit("main", files);
        stand
    }

    /// With one voice at its root.
    pub(crate) fn with_voice() -> Self {
        Self::new(voice(""))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    /// Moves a branch on to a new commit with these files alone.
    pub(crate) fn commit(
        &self,
        revision: &str,
        files: impl IntoIterator<Item = (&'static str, Stored)>,
    ) -> String {
        let mut state = self.state();
        let commit = format!("{:040x}", 0xc0_ffee + state.commits.len());
        let files = files
            .into_iter()
            .map(|(path, file)| (path.to_owned(), file));
        state.commits.insert(commit.clone(), files.collect());
        state.revisions.insert(revision.to_owned(), commit.clone());
        commit
    }

    /// What happens to the next answers about files of this name.
    pub(crate) fn fault(&self, name: &str, faults: impl IntoIterator<Item = Fault>) {
        let mut state = self.state();
        state
            .faults
            .entry(name.to_owned())
            .or_default()
            .extend(faults);
    }

    pub(crate) fn voices(&self) -> PathBuf {
        self.folder.path().join("voices")
    }

    pub(crate) fn settings(&self) -> Settings {
        settings(self.hub.address())
    }

    pub(crate) fn pull_of(&self, source: &str) -> Pull {
        Pull::new(Source::parse(source).expect("a source"), self.voices())
    }

    pub(crate) fn pull(&self, pull: &Pull) -> Result<Pulled, hub::Error> {
        run(&self.settings(), pull)
    }

    /// Of the only voice, which is fetched.
    pub(crate) fn fetch(&self, pull: &Pull) -> Pulled {
        let pulled = self.pull(pull).expect("a voice");
        assert_eq!(pulled.outcome, Outcome::Fetched);
        pulled
    }

    /// Names of files that the hub was asked for since the last time, each with
    /// where it was to begin.
    pub(crate) fn asked(&self) -> Vec<(String, Option<String>)> {
        let files = self
            .hub
            .asked()
            .into_iter()
            .filter(|it| !it.path.contains("/api/"));
        let files = files.map(|request| {
            let path = request.path.split('?').next().unwrap_or_default();
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            (name, request.header("range").map(str::to_owned))
        });
        files.collect()
    }
}

/// Nobody waits long in a test.
pub(crate) fn settings(endpoint: String) -> Settings {
    Settings {
        endpoint,
        token: Some(Token::new(TOKEN).expect("a token")),
        limit: 16 << 20,
        patience: Patience {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(5),
            tries: 3,
            pause: Duration::from_millis(1),
        },
        proxy: Proxy::Direct,
    }
}

pub(crate) fn run(settings: &Settings, pull: &Pull) -> Result<Pulled, hub::Error> {
    Hub::new(settings)?.pull(pull, &mut |_| {})
}

pub(crate) fn small(content: impl Into<Vec<u8>>) -> Stored {
    Stored {
        content: content.into(),
        large: false,
    }
}

pub(crate) fn large(content: impl Into<Vec<u8>>) -> Stored {
    Stored {
        content: content.into(),
        large: true,
    }
}

/// So many bytes of no meaning, the same for the same seed.
pub(crate) fn noise(seed: u32, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

pub(crate) const MODEL: &str = "ami_e10_s100.safetensors";
pub(crate) const MODEL_BYTES: usize = 300_000;

/// In a folder, which ends in a slash, or at the root.
pub(crate) fn voice(folder: &'static str) -> Vec<(&'static str, Stored)> {
    let path = |name: &str| -> &'static str { format!("{folder}{name}").leak() };
    vec![
        (path(".gitattributes"), small("*.safetensors filter=lfs\n")),
        (path("README.md"), small("---\n")),
        (path("config.json"), small("{\"model_name\": \"ami\"}\n")),
        (path("style_vectors.npy"), large(noise(1, 2_048))),
        (path(MODEL), large(noise(2, MODEL_BYTES))),
    ]
}

pub(crate) fn model() -> Vec<u8> {
    noise(2, MODEL_BYTES)
}

pub(crate) fn sha256(content: &[u8]) -> String {
    base16ct::lower::encode_string(&sha2::Sha256::digest(content))
}

fn blob(content: &[u8]) -> String {
    let header = format!("blob {}\0", content.len());
    let sum = sha1::Sha1::digest([header.as_bytes(), content].concat());
    base16ct::lower::encode_string(&sum)
}

/// Names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Bytes of all files below a folder.
pub(crate) fn weight(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let weights = entries.map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => weight(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    });
    weights.sum()
}

fn answer(state: &Mutex<State>, request: &Request, store: &str) -> Reply {
    let path = request.path.split('?').next().unwrap_or_default();
    let path = decode(path);
    let locked = state.lock().expect("no panic");
    if let Some(revision) = path.strip_prefix(&format!("/api/models/{REPOSITORY}/revision/")) {
        return listing(&locked, revision);
    }
    let resolved = path.strip_prefix(&format!("/{REPOSITORY}/resolve/"));
    let file = resolved.and_then(|rest| {
        let (commit, path) = rest.split_once('/')?;
        Some((path, locked.commits.get(commit)?.get(path)?.clone()))
    });
    let Some((path, file)) = file else {
        let reply = Reply::new(404, "Entry not found");
        return reply.with("X-Error-Code", "EntryNotFound");
    };
    drop(locked);
    if file.large {
        let sha256 = sha256(&file.content);
        let reply = Reply::to(format!("{store}/{sha256}/{path}?Signature=signed"));
        return reply
            .with("X-Linked-Etag", format!("\"{sha256}\""))
            .with("X-Linked-Size", file.content.len().to_string());
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    give(state, request, name, &file.content)
}

fn listing(state: &State, revision: &str) -> Reply {
    if state.down {
        return Reply::new(503, "");
    }
    let commit = state.revisions.get(revision).cloned();
    let commit = commit.unwrap_or_else(|| revision.to_owned());
    let Some(files) = state.commits.get(&commit) else {
        let reply = Reply::new(404, "{\"error\": \"Invalid rev id\"}");
        return reply.with("X-Error-Code", "RevisionNotFound");
    };
    let siblings = files.iter().map(|(path, file)| {
        let mut sibling = serde_json::json!({ "rfilename": path });
        if !state.bare {
            sibling["size"] = file.content.len().into();
            sibling["blobId"] = blob(&file.content).into();
        }
        if file.large && !state.bare {
            let (sha256, size) = (sha256(&file.content), file.content.len());
            sibling["lfs"] = serde_json::json!({ "sha256": sha256, "size": size });
        }
        sibling
    });
    let siblings: Vec<_> = siblings.collect();
    let answer = serde_json::json!({
        "id": REPOSITORY, "sha": commit, "gated": false,
        "cardData": { "license": state.licence }, "siblings": siblings,
    });
    Reply::new(200, answer.to_string())
}

/// By the path that a redirect gave.
fn stored(state: &State, request: &Request) -> Option<(String, Vec<u8>)> {
    let path = decode(request.path.split('?').next().unwrap_or_default());
    let wanted = path.strip_prefix('/')?.split('/').next()?.to_owned();
    let mut files = state.commits.values().flatten();
    let (_, file) = files.find(|(_, file)| sha256(&file.content) == wanted)?;
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    Some((name, file.content.clone()))
}

fn give(state: &Mutex<State>, request: &Request, name: &str, content: &[u8]) -> Reply {
    let mut state = state.lock().expect("no panic");
    if state.down {
        return Reply::new(503, "");
    }
    let fault = state.faults.get_mut(name).and_then(VecDeque::pop_front);
    drop(state);
    let etag = |content: &[u8]| format!("\"{}\"", sha256(content));
    let mut reply = file(request, content, &etag(content));
    match fault {
        None => {}
        Some(Fault::Cut(bytes)) => reply.cut = Some(bytes),
        Some(Fault::Pace(bytes, rest)) => reply.pace = Some((bytes, rest)),
        Some(Fault::Reply(instead)) => return instead,
        Some(Fault::Length(length)) => reply.length = length,
        Some(Fault::Content(other)) => return file(request, &other, &etag(&other)),
        Some(Fault::Whole) => return Reply::new(200, content).with("ETag", etag(content)),
    }
    reply
}

fn decode(path: &str) -> String {
    let decoded = percent_encoding::percent_decode_str(path);
    decoded.decode_utf8_lossy().into_owned()
}
