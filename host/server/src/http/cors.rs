//! Which web pages may ask. A browser sends an `Origin`; a page that is not
//! listed gets nothing, and starts no work either.

use hyper::StatusCode;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, HOST,
    HeaderMap, HeaderValue, ORIGIN, VARY,
};
use serde::Deserialize;

use crate::http::answer::{self, Answer};
use crate::http::fault::Fault;

/// `[cors]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cors {
    /// Origins such as `https://example.org`; `local` are pages and apps of
    /// this machine, `*` is everyone.
    pub origins: Vec<String>,
}

impl Default for Cors {
    fn default() -> Self {
        Self {
            // Editors and games that run on this machine.
            origins: vec![LOCAL.to_owned()],
        }
    }
}

const LOCAL: &str = "local";
const ANYONE: &str = "*";

impl Cors {
    /// Refuses a request that a page sends from where none may.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Fault> {
        let allowed = |origin: &HeaderValue| {
            let origin = origin.to_str().unwrap_or_default();
            self.allows(origin) || is_own(origin, headers)
        };
        match headers.get_all(ORIGIN).iter().all(allowed) {
            true => Ok(()),
            false => Err(Fault::caller(
                StatusCode::FORBIDDEN,
                "web pages of this origin may not ask; the operator can list it in `cors.origins`",
            )),
        }
    }

    /// What a browser asks before it sends what could do harm.
    pub fn preflight(&self, headers: &HeaderMap, methods: &str) -> Result<Answer, Fault> {
        self.check(headers)?;
        let mut answer = answer::text("OK");
        let allowed = answer.headers_mut();
        if let Ok(methods) = HeaderValue::from_str(methods) {
            allowed.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        }
        if let Some(asked) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            allowed.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        allowed.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        Ok(answer)
    }

    /// Lets the page read the answer.
    pub fn mark(&self, origin: Option<&HeaderValue>, answer: &mut Answer) {
        let headers = answer.headers_mut();
        headers.append(VARY, HeaderValue::from_static("origin"));
        let allowed = |origin: &&HeaderValue| origin.to_str().is_ok_and(|it| self.allows(it));
        if let Some(origin) = origin.filter(allowed) {
            // The origin itself and never `*`, and no credentials.
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            let exposed = HeaderValue::from_static(
                "x-request-id, x-koemasu-loudness, x-koemasu-sampling-rate, x-koemasu-warnings",
            );
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }

    /// Pages and apps of this machine may ask.
    pub(crate) fn allows_local(&self) -> bool {
        self.allows_all() || self.origins.iter().any(|listed| listed == LOCAL)
    }

    /// Every page may.
    pub(crate) fn allows_all(&self) -> bool {
        self.origins.iter().any(|listed| listed == ANYONE)
    }

    pub(crate) fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|listed| match listed.as_str() {
            ANYONE => true,
            LOCAL => is_local(origin),
            listed => listed.trim_end_matches('/').eq_ignore_ascii_case(origin),
        })
    }
}

/// The page came from this server.
fn is_own(origin: &str, headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let own = origin.split_once("://").map(|(_, host)| host);
    host.is_some() && host == own
}

fn is_local(origin: &str) -> bool {
    if origin == "app://." {
        return true;
    }
    let Some((scheme, host)) = origin.split_once("://") else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    let near = matches!(name, "localhost" | "127.0.0.1" | "[::1]");
    matches!(scheme, "http" | "https") && near
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_this_machine_may_ask_and_others_only_if_listed() {
        let usual = Cors::default();
        for near in [
            "http://localhost:3000",
            "https://127.0.0.1",
            "http://[::1]:80",
            "app://.",
        ] {
            assert!(usual.allows(near), "{near}");
        }
        for far in [
            "null",
            "https://example.org",
            "http://localhost.example.org",
            "http://127.0.0.1.example.org:80",
            "file://localhost",
            "http://localhost:80:x",
        ] {
            assert!(!usual.allows(far), "{far}");
        }
        let listed = Cors {
            origins: vec!["https://example.org/".to_owned()],
        };
        assert!(listed.allows("https://example.org"));
        assert!(!listed.allows("http://localhost"));
    }
}
