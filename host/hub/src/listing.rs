//! What a repository has at one commit, as the hub says; every name and number
//! of it is checked here.

use crate::client::{Ask, Client, Sender};
use crate::digest::{BlobId, Commit, Digest, Sha256};
use crate::error::Error;
use crate::foreign::Foreign;
use crate::names;
use crate::source::OnHub;

/// Bytes of a listing; one file has some three hundred.
const BYTES_MAX: u64 = 16 << 20;
/// Files of a repository.
const FILES_MAX: usize = 50_000;

/// A repository at one commit.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) commit: Commit,
    /// As the repository's card says.
    pub(crate) licence: Option<String>,
    pub(crate) files: Vec<Listed>,
}

/// One file of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Within the repository, checked.
    pub(crate) path: String,
    pub(crate) bytes: Option<u64>,
    pub(crate) digest: Option<Digest>,
}

impl Listed {
    /// Without its folder.
    pub(crate) fn name(&self) -> &str {
        names::split(&self.path).1
    }
}

/// Of a branch, a tag or a commit; `page` is the repository's own.
pub(crate) fn fetch(
    client: &Client,
    hub: &OnHub,
    revision: &str,
    page: &str,
) -> Result<Listing, Error> {
    let what = Foreign::new(&format!("hf:{}@{revision}", hub.id()));
    let endpoint = client.endpoint();
    let parts = ["api", "models", &hub.owner, &hub.repository];
    let address = endpoint.below(parts.into_iter().chain(["revision", revision]));
    let address = address.and_then(|address| address.asking("blobs=true"));
    let address = address.map_err(|fault| Error::Endpoint {
        text: Foreign::from(endpoint),
        fault,
    })?;
    let ask = Ask::new(&address, Sender::Known, &what).on_page(&Foreign::new(page));
    let body = client.text(&ask, BYTES_MAX)?;
    read(&body, what)
}

/// The answer, as far as we need it.
#[derive(serde::Deserialize)]
struct Answer {
    sha: Option<String>,
    #[serde(default)]
    siblings: Vec<Sibling>,
    #[serde(default, rename = "cardData")]
    card: Option<Card>,
}

#[derive(serde::Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(serde::Deserialize)]
struct Lfs {
    sha256: String,
    size: Option<u64>,
}

#[derive(serde::Deserialize)]
struct Card {
    /// One or several; people write anything here.
    license: Option<serde_json::Value>,
}

fn read(body: &[u8], what: Foreign) -> Result<Listing, Error> {
    let unreadable = |cause: &str| Error::Listing {
        what: what.clone(),
        cause: Foreign::new(cause),
    };
    let answer: Answer =
        serde_json::from_slice(body).map_err(|error| unreadable(&error.to_string()))?;
    let commit = answer.sha.ok_or_else(|| unreadable("it names no commit"))?;
    let commit = Commit::try_from(commit).map_err(|_| unreadable("its commit is none"))?;
    if answer.siblings.len() > FILES_MAX {
        return Err(unreadable("it has more than 50,000 files"));
    }
    let mut files = Vec::with_capacity(answer.siblings.len());
    for sibling in answer.siblings {
        names::check_path(&sibling.rfilename).map_err(|fault| Error::HostilePath {
            what: what.clone(),
            path: Foreign::new(&sibling.rfilename),
            fault,
        })?;
        files.push(listed(sibling).ok_or_else(|| unreadable("one of its digests is none"))?);
    }
    Ok(Listing {
        commit,
        licence: answer.card.and_then(|card| licence(card.license?)),
        files,
    })
}

fn listed(sibling: Sibling) -> Option<Listed> {
    let (bytes, digest) = match (sibling.lfs, sibling.blob) {
        (Some(lfs), _) => {
            let sha256 = Sha256::try_from(lfs.sha256).ok()?;
            (lfs.size.or(sibling.size), Some(Digest::Sha256(sha256)))
        }
        (None, Some(blob)) => {
            let blob = BlobId::try_from(blob).ok()?;
            (sibling.size, Some(Digest::Blob(blob)))
        }
        // One that answers less than the hub does.
        (None, None) => (sibling.size, None),
    };
    Some(Listed {
        path: sibling.rfilename,
        bytes,
        digest,
    })
}

fn licence(value: serde_json::Value) -> Option<String> {
    let said = match value {
        serde_json::Value::String(licence) => licence,
        serde_json::Value::Array(several) => {
            let several: Vec<_> = several.iter().filter_map(|one| one.as_str()).collect();
            several.join(", ")
        }
        _ => return None,
    };
    (!said.is_empty()).then(|| Foreign::new(&said).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn read(body: &str) -> Result<Listing, Error> {
        super::read(body.as_bytes(), Foreign::new("hf:o/r@main"))
    }

    #[test]
    fn a_listing_says_what_each_file_is() {
        let sha256 = "ab".repeat(32);
        let body = format!(
            r#"{{"sha":"{COMMIT}","cardData":{{"license":"cc-by-4.0","more":1}},"siblings":[
                {{"rfilename":"a/x.safetensors","size":3,"blobId":"{COMMIT}","lfs":{{"sha256":"{sha256}","size":3,"pointerSize":1}}}},
                {{"rfilename":"config.json","size":2,"blobId":"{COMMIT}"}},
                {{"rfilename":"bare"}}]}}"#
        );
        let listing = read(&body).expect("a listing");
        assert_eq!(listing.licence.as_deref(), Some("cc-by-4.0"));
        let digests = listing.files.iter().map(|file| &file.digest);
        let digests: Vec<_> = digests.map(|it| it.as_ref().map(Digest::as_str)).collect();
        assert_eq!(digests, [Some(sha256.as_str()), Some(COMMIT), None]);
        let bytes: Vec<_> = listing.files.iter().map(|file| file.bytes).collect();
        assert_eq!(bytes, [Some(3), Some(2), None]);
    }

    #[test]
    fn what_is_no_listing_is_refused() {
        let deep = "[".repeat(100_000);
        let bodies = [
            "",
            "<html>",
            "{}",
            &deep,
            r#"{"sha":"main"}"#,
            r#"{"sha":"../../../../../../../../../../../../../x"}"#,
            &format!(r#"{{"sha":"{COMMIT}","siblings":[{{"rfilename":"x","size":-1}}]}}"#),
            &format!(r#"{{"sha":"{COMMIT}","siblings":[{{"rfilename":"x","blobId":"y"}}]}}"#),
        ];
        for body in bodies {
            let refused = read(body).expect_err("no listing");
            assert!(matches!(refused, Error::Listing { .. }), "{refused}");
        }
    }

    #[test]
    fn a_path_that_leads_elsewhere_spoils_the_listing() {
        for path in [
            "../../x",
            "/etc/x",
            "a//x",
            "a/../x",
            "a\\\\x",
            "a\\u0000x",
            "",
        ] {
            let body = format!(r#"{{"sha":"{COMMIT}","siblings":[{{"rfilename":"{path}"}}]}}"#);
            let refused = read(&body).expect_err("a hostile listing");
            assert!(matches!(refused, Error::HostilePath { .. }), "{refused}");
        }
    }
}
