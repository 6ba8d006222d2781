//! What is to be fetched, in one word.
//!
//! - `hf:OWNER/REPO`: the voice of a repository of the hub.
//! - `hf:OWNER/REPO/FOLDER`: that of a folder of it; a file may be named too.
//! - `hf:OWNER/REPO@REVISION/FOLDER`: at a branch, a tag or a commit. A slash
//!   of a branch is written `%2F`.
//! - `https://…/voice.aivmx`: one `.aivm` or `.aivmx`, wherever it lies.
//! - `bert`: the BERT that Japanese voices are trained with; `bert@REVISION`
//!   holds it to a state.

use std::fmt;
use std::str::FromStr;

use crate::address::Address;
use crate::error::Error;
use crate::faults::SourceFault;
use crate::foreign::{Foreign, steers};
use crate::names;

/// The BERT that Japanese voices of Style-Bert-VITS2 are trained with.
const BERT: &str = "ku-nlp/deberta-v2-large-japanese-char-wwm";

/// Endings of a voice that is one file.
pub(crate) const PACKAGES: [&str; 2] = ["aivm", "aivmx"];

/// What is to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    written: String,
    pub(crate) place: Place,
}

/// What comes from a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A folder with a voice.
    Voice,
    /// A folder with the BERT and its vocabulary.
    Bert,
}

/// Where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Hub(OnHub),
    Url(Address),
}

/// A part of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OnHub {
    pub(crate) kind: Kind,
    pub(crate) owner: String,
    pub(crate) repository: String,
    pub(crate) revision: Option<String>,
    /// A folder or a file; empty at the root.
    pub(crate) path: String,
}

impl Source {
    /// Reads the word; nothing is asked for yet.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let place = place(text).map_err(|fault| Error::Source {
            text: Foreign::new(text.split('?').next().unwrap_or_default()),
            fault,
        })?;
        let written = match &place {
            // What follows a `?` is often a key, and the record is no place for it.
            Place::Url(address) => address.to_string(),
            Place::Hub(_) => text.to_owned(),
        };
        Ok(Self { written, place })
    }

    /// What comes from it.
    pub fn kind(&self) -> Kind {
        match &self.place {
            Place::Hub(hub) => hub.kind,
            Place::Url(_) => Kind::Voice,
        }
    }

    /// Whether both are one place, at whatever revision.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        match (&self.place, &other.place) {
            (Place::Hub(one), Place::Hub(other)) => {
                let anytime = |hub: &OnHub| OnHub {
                    revision: None,
                    ..hub.clone()
                };
                anytime(one) == anytime(other)
            }
            (Place::Url(one), Place::Url(other)) => one.without_query() == other.without_query(),
            _ => false,
        }
    }
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

/// As it was written, without a key behind a `?`.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl OnHub {
    /// As the hub names it.
    pub(crate) fn id(&self) -> String {
        format!("{}/{}", self.owner, self.repository)
    }
}

fn place(text: &str) -> Result<Place, SourceFault> {
    if let Some(rest) = text.strip_prefix("hf:") {
        on_hub(rest).map(Place::Hub)
    } else if text == "bert" || text.starts_with("bert@") {
        let hub = on_hub(&text.replacen("bert", BERT, 1))?;
        match hub.path.as_str() {
            "" => Ok(Place::Hub(OnHub {
                kind: Kind::Bert,
                ..hub
            })),
            _ => Err(SourceFault::Kind),
        }
    } else if text.starts_with("https:") || text.starts_with("http:") {
        url(text).map(Place::Url)
    } else {
        Err(SourceFault::Kind)
    }
}

fn on_hub(text: &str) -> Result<OnHub, SourceFault> {
    let mut parts = text.splitn(3, '/');
    let mut next = || parts.next().unwrap_or_default();
    let (owner, named, path) = (next(), next(), next().trim_end_matches('/'));
    let (repository, revision) = match named.split_once('@') {
        Some((repository, revision)) => (repository, Some(self::revision(revision)?)),
        None => (named, None),
    };
    if !is_id(owner) || !is_id(repository) {
        return Err(SourceFault::Repository);
    }
    if path.contains('@') {
        return Err(SourceFault::RevisionPlace);
    }
    if !path.is_empty() {
        names::check_path(path).map_err(SourceFault::Path)?;
    }
    Ok(OnHub {
        kind: Kind::Voice,
        owner: owner.to_owned(),
        repository: repository.to_owned(),
        revision,
        path: path.to_owned(),
    })
}

/// Characters of an owner or a repository; the hub takes 96.
const ID_MAX: usize = 96;

fn is_id(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty()
        && text.len() <= ID_MAX
        && text.bytes().all(fits)
        && !text.starts_with(['-', '.'])
        && !text.ends_with(['-', '.'])
        && !text.contains("..")
}

/// Bytes of a revision.
const REVISION_MAX: usize = 200;

fn revision(text: &str) -> Result<String, SourceFault> {
    let text = text.replace("%2F", "/").replace("%2f", "/");
    let wild = |it: char| steers(it) || it.is_whitespace() || "~^:?*[]\\%@{}".contains(it);
    let is_one = text.len() <= REVISION_MAX
        && !text.starts_with('-')
        && !text.chars().any(wild)
        && names::check_path(&text).is_ok()
        && !text.contains("..");
    match is_one {
        true => Ok(text),
        false => Err(SourceFault::Revision),
    }
}

fn url(text: &str) -> Result<Address, SourceFault> {
    let address = Address::parse(text).map_err(SourceFault::Address)?;
    let name = address.file_name().to_ascii_lowercase();
    let ends = |endings: &[&str]| {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension);
        extension.is_some_and(|it| endings.contains(&it))
    };
    let on_page = |part| address.path().split('/').nth(3) == Some(part);
    if address.host() == "huggingface.co" && (on_page("blob") || on_page("tree")) {
        Err(SourceFault::Page)
    } else if ends(&PACKAGES) {
        Ok(address)
    } else if ends(&["zip", "7z", "rar", "gz", "tar", "tgz", "xz", "zst", "sbv2"]) {
        Err(SourceFault::Archive)
    } else {
        Err(SourceFault::Extension)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{AddressFault, PathFault};

    fn hub(text: &str) -> OnHub {
        match Source::parse(text).expect(text).place {
            Place::Hub(hub) => hub,
            Place::Url(_) => panic!("{text} is on the hub"),
        }
    }

    #[test]
    fn a_word_names_a_repository_a_revision_and_a_folder() {
        let cases = [
            ("hf:o/r", "o/r", None, ""),
            ("hf:o/r/", "o/r", None, ""),
            (" hf:o/r/a b/声/ ", "o/r", None, "a b/声"),
            ("hf:o-1/r_2.0@v1/a", "o-1/r_2.0", Some("v1"), "a"),
            ("hf:o/r@refs%2Fpr%2F1", "o/r", Some("refs/pr/1"), ""),
            ("bert", BERT, None, ""),
            ("bert@v1", BERT, Some("v1"), ""),
        ];
        for (text, id, revision, path) in cases {
            let hub = hub(text);
            let parsed = (hub.id(), hub.revision.as_deref(), hub.path.as_str());
            assert_eq!(parsed, (id.to_owned(), revision, path), "{text}");
        }
    }

    #[test]
    fn what_is_no_source_is_refused_with_its_reason() {
        let cases = [
            ("", SourceFault::Kind),
            ("ami", SourceFault::Kind),
            ("bert/x", SourceFault::Kind),
            ("bert@v1/x", SourceFault::Kind),
            ("o/r", SourceFault::Kind),
            ("ftp://a/x.aivmx", SourceFault::Kind),
            ("/etc/passwd", SourceFault::Kind),
            ("hf:", SourceFault::Repository),
            ("hf:gpt2", SourceFault::Repository),
            ("hf:../r", SourceFault::Repository),
            ("hf:o/..", SourceFault::Repository),
            ("hf:o/r?x", SourceFault::Repository),
            ("hf://o/r", SourceFault::Repository),
            ("hf:o/r@", SourceFault::Revision),
            ("hf:o/r@../x", SourceFault::Revision),
            ("hf:o/r@a%2F..%2Fb", SourceFault::Revision),
            ("hf:o/r@a b", SourceFault::Revision),
            ("hf:o/r@-x", SourceFault::Revision),
            ("hf:o/r/a@v1", SourceFault::RevisionPlace),
            ("hf:o/r/../x", SourceFault::Path(PathFault::Elsewhere)),
            ("hf:o/r//x", SourceFault::Path(PathFault::Elsewhere)),
            ("hf:o/r/a\nb", SourceFault::Path(PathFault::Control)),
            ("https://a/x.zip", SourceFault::Archive),
            ("https://a/x.safetensors", SourceFault::Extension),
            ("https://huggingface.co/o/r", SourceFault::Extension),
            (
                "https://huggingface.co/o/r/blob/main/x.aivmx",
                SourceFault::Page,
            ),
            (
                "https://u:p@a/x.aivmx",
                SourceFault::Address(AddressFault::User),
            ),
        ];
        for (text, expected) in cases {
            match Source::parse(text) {
                Err(Error::Source { fault, .. }) => assert_eq!(fault, expected, "{text}"),
                other => panic!("{text:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_address_is_one_package_and_its_key_is_not_kept() {
        let source = Source::parse("https://a.example/x/%E5%A3%B0.aivmx?key=secret#y");
        let source = source.expect("a source");
        assert_eq!(source.to_string(), "https://a.example/x/%E5%A3%B0.aivmx");
        let other = Source::parse("https://a.example/x/声.aivmx?key=other").expect("a source");
        assert!(source.is_same_place(&other));
    }

    #[test]
    fn a_place_is_the_same_at_any_revision() {
        let parse = |text| Source::parse(text).expect("a source");
        assert!(parse("hf:o/r/a").is_same_place(&parse("hf:o/r@v1/a/")));
        assert!(!parse("hf:o/r/a").is_same_place(&parse("hf:o/r/b")));
        assert!(!parse("bert").is_same_place(&parse(&format!("hf:{BERT}"))));
    }
}
