//! What can go wrong with a pull, and who can act.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::faults::{AddressFault, NameFault, PathFault, RecordFault, SourceFault};
use crate::foreign::Foreign;

/// What went wrong. Words of servers in it are safe to print, and no token and
/// no query of an address is among them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller can act: another word.
    #[error("`{text}` is no source: {fault}")]
    Source {
        /// What was to be a source.
        text: Foreign,
        /// Why it is none.
        fault: SourceFault,
    },

    /// The caller can act: another endpoint.
    #[error("the endpoint `{text}` {fault}; the hub's own is https://huggingface.co")]
    Endpoint {
        /// What was to be the endpoint.
        text: Foreign,
        /// Why it is none.
        fault: AddressFault,
    },

    /// The caller can act: another token.
    #[error("the token has characters that no token has; copy it again, whole and alone")]
    Token,

    /// The caller can act: another name.
    #[error("`{name}` cannot be the name of a voice: {fault}; give another one with --name")]
    Name {
        /// What was to be the name.
        name: Foreign,
        /// Why it cannot be one.
        fault: NameFault,
    },

    /// The caller can act: one of these folders.
    #[error("{from} has several voices; name one of its folders: {}{}", list(folders), more(*left_off))]
    SeveralVoices {
        /// The repository or the folder of it that was named.
        from: Foreign,
        /// As they follow `hf:`, the first ones.
        folders: Vec<Foreign>,
        /// Folders that are not listed.
        left_off: usize,
    },

    /// The caller can act: one of these files.
    #[error("{from} has several models; choose one with --file: {}{}", list(files), more(*left_off))]
    SeveralModels {
        /// The folder.
        from: Foreign,
        /// The first ones.
        files: Vec<Foreign>,
        /// Files that are not listed.
        left_off: usize,
    },

    /// The caller can act: another folder or repository.
    #[error("{from} has no such folder or file; look at its files at {page}")]
    NoPath {
        /// The source with its path.
        from: Foreign,
        /// The repository's own page.
        page: Foreign,
    },

    /// The caller can act: another folder or repository.
    #[error(
        "{from} has no voice: none of its folders has config.json, style_vectors.npy and a .safetensors or .onnx, or an .aivm or .aivmx{}",
        if *only_bases { "; its .safetensors are bases for training, which do not speak" } else { "" }
    )]
    NoVoice {
        /// The repository or the folder of it that was named.
        from: Foreign,
        /// Whether there are models, and all of them begin a training.
        only_bases: bool,
    },

    /// The caller can act: another file.
    #[error("{from} has no voice with the file `{file}`")]
    NoFile {
        /// The repository or the folder of it that was named.
        from: Foreign,
        /// What was asked for.
        file: Foreign,
    },

    /// The caller can act: a source that has files to choose from.
    #[error("{from} has no files to choose from; leave --file away")]
    NoChoice {
        /// What was to be fetched.
        from: Foreign,
    },

    /// The operator can act: another revision.
    #[error("{from} has no `{file}` and can be no BERT")]
    NoBert {
        /// The repository.
        from: Foreign,
        /// What it lacks.
        file: &'static str,
    },

    /// The operator can act: the terms, and a token of who accepted them.
    #[error("{what} is given only to those who accepted its terms: accept them at {page}, and {}", sent.cure())]
    Gated {
        /// What was asked for.
        what: Foreign,
        /// Where the terms are.
        page: Foreign,
        /// What we said of ourselves.
        sent: Sent,
    },

    /// The operator can act: a token.
    #[error("{what} is not given to us (HTTP {status}): {}", sent.cure())]
    Refused {
        /// What was asked for.
        what: Foreign,
        /// 401 or 403.
        status: u16,
        /// What we said of ourselves.
        sent: Sent,
    },

    /// The caller can act: another word. The hub says the same of what is
    /// private.
    #[error("{what} does not exist{}", sent.or_private())]
    NotFound {
        /// What was asked for.
        what: Foreign,
        /// What we said of ourselves.
        sent: Sent,
    },

    /// The caller can act: another revision.
    #[error("{what} has no such revision; its branches and commits are on its page")]
    NoRevision {
        /// What was asked for.
        what: Foreign,
    },

    /// Time can act.
    #[error("{host} has been asked too often; try again {}", after(*retry_after))]
    TooOften {
        /// Who says so.
        host: Foreign,
        /// How long to wait, if it says.
        retry_after: Option<Duration>,
    },

    /// Time can act, or whoever runs the server.
    #[error("{host} answered HTTP {status} for {what}{}", said.as_ref().map(|said| format!(": {said}")).unwrap_or_default())]
    Status {
        /// Who answered.
        host: Foreign,
        /// What was asked for.
        what: Foreign,
        /// What it answered.
        status: u16,
        /// What it said with it.
        said: Option<Foreign>,
    },

    /// The operator can act: the network, a proxy, another endpoint.
    #[error(
        "{host} cannot be reached: {cause}; is there a network, or a proxy to name in HTTPS_PROXY?"
    )]
    Unreachable {
        /// Who was asked.
        host: Foreign,
        /// What the network says.
        cause: Foreign,
    },

    /// Time can act.
    #[error("{host} has not answered in time ({wait})")]
    Slow {
        /// Who was asked.
        host: Foreign,
        /// Which wait was too long.
        wait: Foreign,
    },

    /// The operator can act: certificates.
    #[error(
        "the certificate of {host} is not trusted: {cause}; add the authority that signed it to the system's certificates, or name a file with it in SSL_CERT_FILE{}",
        if *no_authorities { " (this system has none at all; install its ca-certificates)" } else { "" }
    )]
    Certificate {
        /// Who was asked.
        host: Foreign,
        /// What is wrong with it.
        cause: Foreign,
        /// Whether this system trusts nobody.
        no_authorities: bool,
    },

    /// Whoever runs the server can act, or a proxy in between.
    #[error("{host} answers in no way that can be understood: {cause}")]
    Garbled {
        /// Who was asked.
        host: Foreign,
        /// What is wrong.
        cause: Foreign,
    },

    /// Whoever runs the server can act.
    #[error("{what} is sent on and on to other addresses")]
    Redirects {
        /// What was asked for.
        what: Foreign,
    },

    /// Whoever runs the server can act.
    #[error(
        "{host} sends us from https to plain http, at {to}, which anybody could read and change"
    )]
    Downgrade {
        /// Who was asked.
        host: Foreign,
        /// Where to.
        to: Foreign,
    },

    /// The operator can act: another endpoint.
    #[error(
        "the listing of {what} cannot be read: {cause}; does the endpoint answer as the hub does?"
    )]
    Listing {
        /// The repository.
        what: Foreign,
        /// What is wrong with it.
        cause: Foreign,
    },

    /// Nobody should: no repository of Git has such a file.
    #[error("the listing of {what} has the path `{path}`, and {fault}; nothing of it was fetched")]
    HostilePath {
        /// The repository.
        what: Foreign,
        /// The path.
        path: Foreign,
        /// What is wrong with it.
        fault: PathFault,
    },

    /// The operator can act: a larger limit.
    #[error("{what} has {}{bytes} bytes, the most for one pull is {limit}; raise the limit if that is meant", if *at_least { "at least " } else { "" })]
    TooLarge {
        /// The source or a file.
        what: Foreign,
        /// How large it is.
        bytes: u64,
        /// Whether only so much of it is known.
        at_least: bool,
        /// What was allowed.
        limit: u64,
    },

    /// Time can act: another attempt begins anew.
    #[error("{file} comes with {bytes} bytes, and its listing says {listed}; it was thrown away")]
    Length {
        /// The file.
        file: Foreign,
        /// What comes.
        bytes: u64,
        /// What was said.
        listed: u64,
    },

    /// Time can act: another attempt begins anew.
    #[error(
        "{file} is not what its listing says: its digest is {found}, expected {listed}; it was thrown away, pull it again"
    )]
    Digest {
        /// The file.
        file: Foreign,
        /// What came.
        found: String,
        /// What was said.
        listed: String,
    },

    /// Whoever has the repository can act.
    #[error(
        "{file} is a pointer of Git LFS, not the file itself; ask whoever keeps it to upload the file"
    )]
    Pointer {
        /// The file.
        file: Foreign,
    },

    /// The caller can act: the address of the file itself.
    #[error(
        "{what} is a web page and no voice; does it need a login, or is it the page about the file?"
    )]
    WebPage {
        /// What was asked for.
        what: Foreign,
    },

    /// Whoever runs the server can act.
    #[error(
        "{what} comes packed as `{encoding}`, which nobody asked for; try an endpoint without that"
    )]
    Encoded {
        /// What was asked for.
        what: Foreign,
        /// How.
        encoding: Foreign,
    },

    /// Time can act: another attempt goes on from there.
    #[error("{file} broke off behind {done} bytes: {cause}; pull again and it goes on from there")]
    Broken {
        /// The file.
        file: Foreign,
        /// Bytes that are here.
        done: u64,
        /// What the network says.
        cause: Foreign,
    },

    /// Time can act.
    #[error("another pull of `{name}` is at work; wait for it")]
    AtWork {
        /// The voice.
        name: Foreign,
    },

    /// The caller can act: another name, or `--replace`.
    #[error(
        "`{name}` is there already and was not pulled; choose another name with --name, or --replace it"
    )]
    NotOurs {
        /// The voice.
        name: Foreign,
    },

    /// The caller can act: another name, or `--replace`.
    #[error(
        "`{name}` is there already and came from {was}; choose another name with --name, or --replace it"
    )]
    Elsewhere {
        /// The voice.
        name: Foreign,
        /// Its recorded source.
        was: Foreign,
    },

    /// Someone should look: a commit cannot change, and an address should not.
    #[error(
        "{file} of `{name}` has changed where it came from, without a new revision: {recorded} was recorded, now it is {found}; the old one is kept, {cure}"
    )]
    Changed {
        /// The voice.
        name: Foreign,
        /// Its file.
        file: Foreign,
        /// What was recorded.
        recorded: String,
        /// What it is now.
        found: String,
        /// What takes it nevertheless.
        cure: &'static str,
    },

    /// The caller can act: only what was pulled can be handled here.
    #[error(
        "`{name}` was not pulled, so it is not removed; delete its folder yourself if that is meant"
    )]
    NotPulled {
        /// The voice.
        name: Foreign,
    },

    /// The caller can act: another name.
    #[error("there is no `{name}`")]
    NoSuch {
        /// The voice.
        name: Foreign,
    },

    /// The operator can act: the record is damaged.
    #[error(
        "the record of `{name}` cannot be read: {fault}; --replace the voice, or delete its folder yourself"
    )]
    Record {
        /// The voice.
        name: Foreign,
        /// What is wrong with it.
        fault: RecordFault,
    },

    /// The operator can act: room, permissions. What is here stays for another
    /// attempt.
    #[error("{}: {cause}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
}

/// What a server was told about who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The token.
    Token,
    /// Nothing, for there is no token.
    Nothing,
    /// Nothing, as to every address that is not the hub's.
    Never,
}

impl Sent {
    fn cure(self) -> &'static str {
        match self {
            Self::Token => "see that the token in HF_TOKEN is valid and may read it",
            Self::Nothing => "set HF_TOKEN to a token that may read it",
            Self::Never => "tokens go to the hub alone; fetch it yourself",
        }
    }

    fn or_private(self) -> &'static str {
        match self {
            Self::Token => ", or the token in HF_TOKEN may not read it",
            Self::Nothing => ", or is private; for what is private set HF_TOKEN",
            Self::Never => "",
        }
    }
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |cause| Self::Io { path, cause }
    }

    /// Whether the same question may soon have another answer.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Slow { .. } | Self::Broken { .. } => true,
            Self::Status { status, .. } => matches!(status, 500 | 502 | 503 | 504),
            _ => false,
        }
    }
}

fn list(names: &[Foreign]) -> String {
    let names: Vec<_> = names.iter().map(Foreign::as_str).collect();
    names.join(", ")
}

fn more(left_off: usize) -> String {
    match left_off {
        0 => String::new(),
        more => format!(" and {more} more"),
    }
}

fn after(retry_after: Option<Duration>) -> String {
    match retry_after {
        Some(wait) => format!("in {} s", wait.as_secs()),
        None => "later".to_owned(),
    }
}
