//! Starts the process that tries, and hears what it says.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Examiner, LINE_MAX, Proof, Subject, Terms, WORD};
use crate::settings::{Layout, Precision};
use memory::policy::Mode;

/// One line to its standard input.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    pub(super) parent: u32,
    pub(super) library: PathBuf,
    pub(super) cache: Option<PathBuf>,
    pub(super) subject: Subject,
    /// Names everything but the files that a proof depends on.
    pub(super) terms: String,
    pub(super) seconds: u64,
    pub(super) mode: Mode,
    pub(super) workspace: u64,
    pub(super) reserve: u64,
    pub(super) window: usize,
    pub(super) threads: usize,
    pub(super) layout: Layout,
    pub(super) precision: Precision,
    pub(super) prepack: bool,
}

/// One line from its standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Proven(Proof),
    Refused { why: String },
}

/// Blocks, `examiner.time` at most.
pub(super) fn ask(
    examiner: &Examiner,
    subject: &Subject,
    terms: &Terms<'_>,
) -> Result<Proof, String> {
    let question = Question {
        parent: std::process::id(),
        library: absolute(terms.runtime.library()),
        cache: terms.cache.map(absolute),
        subject: match subject {
            Subject::Voice(path) => Subject::Voice(absolute(path)),
            Subject::Bert { graph, tokenizer } => Subject::Bert {
                graph: absolute(graph),
                tokenizer: absolute(tokenizer),
            },
        },
        terms: terms.key(examiner, ""),
        seconds: examiner.time.as_secs().max(1),
        mode: terms.mode,
        workspace: terms.workspace as u64,
        reserve: terms.reserve as u64,
        window: terms.settings.window,
        threads: terms.threads(),
        layout: terms.settings.layout,
        precision: terms.settings.precision,
        prepack: terms.settings.prepack,
    };
    let line = serde_json::to_vec(&question).map_err(|e| e.to_string())?;
    let mut child = Ended(start(examiner, terms)?);
    if let Some(mut stdin) = child.0.stdin.take() {
        // One that does not listen says why by how it ends.
        let _ = stdin.write_all(&line);
    }
    let said = child.hear(examiner.time)?;
    match serde_json::from_slice(&said) {
        Ok(Answer::Proven(proof)) if terms.is_sound(subject, &proof) => Ok(proof),
        Ok(Answer::Refused { why }) => Err(why),
        Ok(Answer::Proven(_)) | Err(_) => Err(child.how_it_ended()),
    }
}

fn start(examiner: &Examiner, terms: &Terms<'_>) -> Result<Child, String> {
    let mut command = Command::new(&examiner.program);
    command
        .arg(WORD)
        // No token of ours is its business.
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(folder) = terms.runtime.library().parent() {
        command.env("LD_LIBRARY_PATH", folder);
    }
    command.spawn().map_err(|error| {
        format!(
            "it could not be tried, since {} does not start ({error})",
            examiner.program.display()
        )
    })
}

/// A process that does not outlive this.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Ended {
    /// All that it says, up to a bound.
    fn hear(&mut self, limit: Duration) -> Result<Vec<u8>, String> {
        let Some(stdout) = self.0.stdout.take() else {
            return Ok(Vec::new());
        };
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let mut said = Vec::new();
            let _ = stdout.take(LINE_MAX).read_to_end(&mut said);
            let _ = tell.send(said);
        });
        told.recv_timeout(limit).map_err(|_| {
            format!(
                "its trial has not ended within {} s (`models.trial`): does its graph loop for ever?",
                limit.as_secs()
            )
        })
    }

    fn how_it_ended(&mut self) -> String {
        use std::os::unix::process::ExitStatusExt;
        let deadline = Instant::now() + Duration::from_secs(2);
        loop {
            match self.0.try_wait() {
                Ok(Some(status)) => {
                    return match status.signal() {
                        Some(libc::SIGXCPU | libc::SIGKILL) => {
                            "its trial was ended: it took too much time or memory".to_owned()
                        }
                        Some(signal) => format!("its trial crashed (signal {signal})"),
                        None => format!("its trial ended without a word ({status})"),
                    };
                }
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Ok(None) | Err(_) => return "its trial said nothing that makes sense".to_owned(),
            }
        }
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
