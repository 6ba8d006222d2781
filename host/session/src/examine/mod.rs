//! A graph from outside is opened and tried in a process of its own first: it
//! may crash there, want too much or never end, and this one goes on.
//!
//! - `ask`: starts that process and hears what it says.
//! - `child`: that process; the same program with a word that nobody types.
//!
//! Here is what is known. What was found is kept in the cache, by what the
//! files hold, the library, the settings and the processor, so that an
//! unchanged voice is tried once and not at each start.

mod ask;
mod child;

use base16ct::lower::encode_string as encode_hex;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use child::answer;

use crate::device::Device;
use crate::error::Error;
use crate::events;
use crate::files::{self, Held};
use crate::finding;
use crate::gate::Verdict;
use crate::processor::FEATURES;
use crate::runtime::Runtime;
use crate::settings::Settings;
use crate::source::Source;
use crate::synthesis::TOKENS_MAX;
use memory::policy::Mode;

/// The word of the command line, for [`answer`].
pub const WORD: &str = "examine";

/// Who tries: `program WORD`, for so long at the most.
#[derive(Clone, Debug)]
pub struct Examiner {
    /// This very program, which knows [`WORD`].
    pub program: PathBuf,
    /// A trial that takes longer is ended, and its file refused.
    pub time: Duration,
}

/// The padded lengths that are tried, as far as the workspace holds them: a
/// short sentence and a long one of each voice, and what no splitting leaves of
/// one of each template.
pub(crate) const TOKENS: [usize; 4] = [128, LONG, 2_048, TOKENS_MAX];
const LONG: usize = 512;
/// The same of BERT, in characters.
pub(crate) const CHARACTERS: [usize; 3] = [16, 128, 1_024];

/// What is tried.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Subject {
    Voice(PathBuf),
    Bert { graph: PathBuf, tokenizer: PathBuf },
}

/// What it was found to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proof {
    /// Of a voice: its template, on the processor, and how it may be spoken
    /// with.
    pub(crate) template: Option<(String, Verdict)>,
    /// Bytes of workspace by length; lengths that do not fit are not there.
    pub(crate) peaks: Vec<(usize, usize)>,
    /// What opening a session took that has its weights to itself; 0 if voices
    /// share theirs.
    pub(crate) region: usize,
}

/// What a trial depends on beside the files.
pub(crate) struct Terms<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) settings: &'a Settings,
    pub(crate) cache: Option<&'a Path>,
    pub(crate) mode: Mode,
    pub(crate) workspace: usize,
    /// What it may have been at an earlier start.
    pub(crate) workspace_before: Vec<usize>,
    pub(crate) reserve: usize,
}

/// Everything that was found out, with who does.
pub(crate) struct Proofs {
    examiner: Examiner,
    known: Mutex<HashMap<String, Tried>>,
}

/// What was found of a file, and when.
#[derive(Clone)]
struct Tried {
    at: Instant,
    found: Result<Arc<Proof>, String>,
}

/// The same bytes fail the same way; but a machine may have been too busy.
const FAILURE_KEPT: Duration = Duration::from_secs(600);
const KNOWN_MAX: usize = 4_096;
/// Of one line in either direction, and of a proof in the cache.
const LINE_MAX: u64 = 64 << 10;
const PIECE: usize = 1 << 20;

impl Proofs {
    pub(crate) fn new(examiner: Examiner) -> Self {
        Self {
            examiner,
            known: Mutex::default(),
        }
    }

    /// Another one for other files or terms, however much memory there is.
    pub(crate) fn key(&self, fingerprint: &str, terms: &Terms<'_>) -> String {
        let device = terms.settings.device;
        let key = terms.key_at(&self.examiner, fingerprint, 0);
        format!("{device:?} {key}")
    }

    /// What is known of these files, or is found out now; `fingerprint` is
    /// theirs. Blocks, as long as the examiner has time.
    pub(crate) fn of(
        &self,
        name: &str,
        subject: &Subject,
        fingerprint: &str,
        terms: &Terms<'_>,
    ) -> Result<Arc<Proof>, Error> {
        let key = terms.key(&self.examiner, fingerprint);
        let known = self.known().get(&key).cloned();
        let found = match known {
            Some(Tried { at, found }) if found.is_ok() || at.elapsed() < FAILURE_KEPT => found,
            _ => self.find(name, subject, key, fingerprint, terms),
        };
        found.map_err(|cause| Error::Unproven { cause })
    }

    fn find(
        &self,
        name: &str,
        subject: &Subject,
        key: String,
        fingerprint: &str,
        terms: &Terms<'_>,
    ) -> Result<Arc<Proof>, String> {
        let start = Instant::now();
        let found = self.recall_or_try(subject, &key, fingerprint, terms);
        let found = found.map(Arc::new);
        events::examined(name, found.as_ref().err(), start.elapsed());
        let mut known = self.known();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        let (at, found) = (start, found.clone());
        known.insert(
            key,
            Tried {
                at,
                found: found.clone(),
            },
        );
        found
    }

    /// The cache knows a file by its fingerprint, and where that is another
    /// one, as after a copy, by what it holds.
    fn recall_or_try(
        &self,
        subject: &Subject,
        key: &str,
        fingerprint: &str,
        terms: &Terms<'_>,
    ) -> Result<Proof, String> {
        let Some(cache) = terms.cache.map(|cache| cache.join("proofs")) else {
            return ask::ask(&self.examiner, subject, terms);
        };
        let place = |key: &str| cache.join(format!("{key}.json"));
        let by_fingerprint = place(key);
        if let Some(proof) = terms.read(subject, &by_fingerprint) {
            return Ok(proof);
        }
        for workspace in &terms.workspace_before {
            let key = terms.key_at(&self.examiner, fingerprint, *workspace);
            if let Some(proof) = terms.read(subject, &place(&key)) {
                return Ok(proof);
            }
        }
        let content = subject.digest().map_err(|e| e.to_string())?;
        let by_content = place(&terms.key(&self.examiner, &content));
        let proof = match terms.read(subject, &by_content) {
            Some(proof) => proof,
            None => ask::ask(&self.examiner, subject, terms)?,
        };
        for place in [by_content, by_fingerprint] {
            finding::keep(&place, &proof, KNOWN_MAX);
        }
        Ok(proof)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, Tried>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Terms<'_> {
    /// Of a trial. It runs on the processor, where a GPU's sessions have one
    /// thread, for shapes alone.
    fn threads(&self) -> usize {
        match self.settings.device {
            Device::Cpu => self.settings.threads,
            Device::Cuda(_) => std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// Named by everything a proof depends on.
    fn key(&self, examiner: &Examiner, files: &str) -> String {
        self.key_at(examiner, files, self.workspace)
    }

    /// The same if there were so much workspace.
    fn key_at(&self, examiner: &Examiner, files: &str, workspace: usize) -> String {
        let settings = self.settings;
        let key = format!(
            "5 {files} {} {} {} {:?} {:?} {:?} {} {} {} {:?} {} {}",
            files::identity(self.runtime.library()),
            files::identity(&examiner.program),
            settings.window,
            settings.optimization,
            settings.layout,
            settings.precision,
            self.threads(),
            settings.prepack,
            workspace,
            self.mode,
            self.reserve,
            *FEATURES,
        );
        finding::name(&key)
    }

    /// Nothing that is not as it would be written; of what was found with more
    /// workspace the lengths that fit.
    fn read(&self, subject: &Subject, place: &Path) -> Option<Proof> {
        let mut proof: Proof = finding::read(place, LINE_MAX)?;
        proof.peaks.retain(|(_, bytes)| self.fits(*bytes));
        self.is_sound(subject, &proof).then_some(proof)
    }

    fn fits(&self, bytes: usize) -> bool {
        self.mode != Mode::Slab || bytes <= self.workspace
    }

    fn is_sound(&self, subject: &Subject, proof: &Proof) -> bool {
        let lengths: &[usize] = match subject {
            Subject::Voice(_) => &TOKENS,
            Subject::Bert { .. } => &CHARACTERS,
        };
        let fits = |(length, bytes): &(usize, usize)| lengths.contains(length) && self.fits(*bytes);
        let named = match (subject, &proof.template) {
            (Subject::Voice(_), Some((digest, _))) => digest.len() == 64,
            (Subject::Bert { .. }, None) => true,
            _ => false,
        };
        named && proof.peaks.len() <= lengths.len() && proof.peaks.iter().all(fits)
    }
}

impl Subject {
    pub(crate) fn voice(source: &Source) -> Option<Self> {
        match source {
            Source::Path(path) => Some(Self::Voice(path.clone())),
            // A part of the program, as trusted as the rest of it; and what is
            // made of voices that are tried, over a graph of ours.
            Source::Embedded(_) | Source::Merged(_) => None,
        }
    }

    pub(crate) fn bert(graph: &Source, tokenizer: &Source) -> Option<Self> {
        match (graph, tokenizer) {
            (Source::Path(graph), Source::Path(tokenizer)) => Some(Self::Bert {
                graph: graph.clone(),
                tokenizer: tokenizer.clone(),
            }),
            _ => None,
        }
    }

    /// With the files of the folder, in which weights may lie.
    fn files(&self) -> std::io::Result<Vec<PathBuf>> {
        let (mut files, folder) = match self {
            Self::Voice(path) if path.is_dir() => (Vec::new(), Some(path.as_path())),
            Self::Voice(path) => (vec![path.clone()], None),
            Self::Bert { graph, tokenizer } => (vec![tokenizer.clone()], graph.parent()),
        };
        if let Some(folder) = folder {
            for entry in std::fs::read_dir(folder)? {
                files.push(entry?.path());
            }
        }
        files.sort();
        Ok(files)
    }

    /// Of what they hold and how they are called, wherever they lie.
    fn digest(&self) -> std::io::Result<String> {
        let mut sum = Sha256::new();
        for path in self.files()? {
            let Ok(held) = Held::open(&path) else {
                // No regular file: no part of a model either.
                continue;
            };
            sum.update(path.file_name().unwrap_or_default().as_encoded_bytes());
            sum.update([0]);
            sum.update(held.bytes().to_le_bytes());
            let mut piece = vec![0; PIECE];
            for from in (0..held.bytes()).step_by(PIECE) {
                let rest = (held.bytes() - from).min(PIECE as u64);
                let piece = &mut piece[..rest as usize];
                held.read_at(from, piece)?;
                sum.update(piece);
            }
        }
        if let Self::Bert { graph, .. } = self {
            sum.update(graph.file_name().unwrap_or_default().as_encoded_bytes());
        }
        Ok(encode_hex(&sum.finalize()))
    }

    /// Bytes of all that may be read.
    fn bytes(&self) -> u64 {
        let files = self.files().unwrap_or_default();
        let sizes = files.iter().filter_map(|path| path.metadata().ok());
        sizes.map(|meta| meta.len()).fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_proof_is_not_taken_for_one() {
        let sound = Proof {
            template: Some(("a".repeat(64), Verdict::Swappable { difference: 0.0 })),
            peaks: vec![(128, 1_000)],
            region: 5_000,
        };
        let json = serde_json::to_string(&sound).expect("JSON");
        let parsed: Result<Proof, _> = serde_json::from_str(&json);
        assert_eq!(parsed.expect("as written"), sound);
        for broken in ["", "{}", "null", "[[[[", &json[..json.len() / 2]] {
            assert!(serde_json::from_str::<Proof>(broken).is_err(), "{broken}");
        }
        let more = json.replacen('{', "{\"more\":1,", 1);
        assert!(serde_json::from_str::<Proof>(&more).is_err(), "{more}");
    }

    #[test]
    fn files_are_known_by_what_they_hold_wherever_they_lie() {
        let digest = |name: &str, content: &str| {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::write(folder.path().join(name), content).expect("a file");
            let subject = Subject::Voice(folder.path().to_owned());
            subject.digest().expect("it can be read")
        };
        let first = digest("model.onnx", "bytes");
        assert_eq!(digest("model.onnx", "bytes"), first);
        assert_ne!(digest("model.onnx", "bytez"), first);
        assert_ne!(digest("other.onnx", "bytes"), first);
    }
}
