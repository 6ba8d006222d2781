//! Why there is no answer, in our words: statuses, and what the network says.

use std::io::Read;
use std::time::Duration;

use ureq::Body;
use ureq::http::Response;

use crate::error::{Error, Sent};
use crate::foreign::Foreign;

/// Bytes of a refusal's body that are read for its reason.
const REASON_MAX: u64 = 4 << 10;
/// A wait that is still said in a message.
const RETRY_MAX: u64 = 24 * 60 * 60;

/// A refusal, before its status is read.
pub(crate) struct Refusal<'a> {
    /// Who gave it.
    pub(crate) host: Foreign,
    /// Where more about it is to be read.
    pub(crate) page: Foreign,
    /// What was asked for.
    pub(crate) what: &'a Foreign,
    pub(crate) sent: Sent,
}

impl Refusal<'_> {
    pub(crate) fn read(self, response: Response<Body>) -> Error {
        let text = |name: &str| {
            let value = response.headers().get(name);
            value.and_then(|it| it.to_str().ok()).map(str::to_owned)
        };
        let (what, sent) = (self.what.clone(), self.sent);
        let code = text("x-error-code").unwrap_or_default();
        let status = response.status().as_u16();
        match (code.as_str(), status) {
            ("GatedRepo", _) => Error::Gated {
                what,
                page: self.page,
                sent,
            },
            ("RevisionNotFound", _) => Error::NoRevision { what },
            // The hub says 401 of what does not exist when nobody asks.
            ("RepoNotFound" | "EntryNotFound", _) | (_, 404 | 410) => {
                Error::NotFound { what, sent }
            }
            (_, 401 | 403) => Error::Refused { what, status, sent },
            (_, 429) => Error::TooOften {
                host: self.host,
                retry_after: text("retry-after").and_then(|it| retry_after(&it)),
            },
            _ => Error::Status {
                host: self.host,
                what,
                status,
                said: text("x-error-message")
                    .map(|said| Foreign::new(&said))
                    .or_else(|| reason(response)),
            },
        }
    }
}

/// In seconds; a date says no more than "later".
fn retry_after(text: &str) -> Option<Duration> {
    let seconds: u64 = text.trim().parse().ok()?;
    (seconds <= RETRY_MAX).then(|| Duration::from_secs(seconds))
}

/// What the body says, if it says it as the hub does.
fn reason(response: Response<Body>) -> Option<Foreign> {
    #[derive(serde::Deserialize)]
    struct Said {
        error: String,
    }
    let mut body = Vec::new();
    let reader = response.into_body().into_reader();
    // A refusal that breaks off is one all the same.
    reader.take(REASON_MAX).read_to_end(&mut body).ok()?;
    let said: Said = serde_json::from_slice(&body).ok()?;
    Some(Foreign::new(&said.error))
}

/// A status that answers another question than ours.
pub(crate) fn unasked(host: Foreign, what: &Foreign, status: u16) -> Error {
    Error::Status {
        host,
        what: what.clone(),
        status,
        said: None,
    }
}

/// The body of an answer broke off.
pub(crate) fn unreadable(host: Foreign, error: std::io::Error, no_authorities: bool) -> Error {
    unanswered(host, ureq::Error::from(error), no_authorities)
}

/// There was no answer at all.
pub(crate) fn unanswered(host: Foreign, error: ureq::Error, no_authorities: bool) -> Error {
    let cause = Foreign::new(&error.to_string());
    match error {
        ureq::Error::Timeout(wait) => Error::Slow {
            host,
            wait: Foreign::new(&wait.to_string()),
        },
        ureq::Error::Rustls(error) => tls(host, &error, no_authorities),
        ureq::Error::Io(error) => {
            let inner = error.get_ref();
            match inner.and_then(|it| it.downcast_ref::<rustls::Error>()) {
                Some(error) => tls(host, error, no_authorities),
                None => Error::Unreachable {
                    host,
                    cause: Foreign::new(&error.to_string()),
                },
            }
        }
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::ConnectProxyFailed(_) => Error::Unreachable { host, cause },
        _ => Error::Garbled { host, cause },
    }
}

fn tls(host: Foreign, error: &rustls::Error, no_authorities: bool) -> Error {
    let cause = Foreign::new(&error.to_string());
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            Error::Certificate {
                host,
                cause,
                no_authorities,
            }
        }
        _ => Error::Garbled { host, cause },
    }
}
