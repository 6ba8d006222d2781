//! Addresses of HTTP: parsed once, joined and compared from then on. What
//! follows a `?` is often a key, so it is sent and never shown.

use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str};
use percent_encoding::{percent_encode, utf8_percent_encode};
use ureq::http::Uri;

use crate::faults::AddressFault;
use crate::foreign::Foreign;

/// Bytes of an address; those that the hub signs have some two thousand.
const ADDRESS_MAX: usize = 16 << 10;

/// What a part of a path keeps as it is.
const PART: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// What nobody may write into an address as it is, and many do.
const LOOSE: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>');

/// Where something lies: scheme, host, path and query.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address(Uri);

/// Who answers there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, AddressFault> {
        if text.len() > ADDRESS_MAX {
            return Err(AddressFault::Long);
        }
        if text.chars().any(char::is_control) {
            return Err(AddressFault::Control);
        }
        let text = text.split('#').next().unwrap_or_default();
        let text = utf8_percent_encode(text, LOOSE).to_string();
        let uri: Uri = text.parse().map_err(|_| AddressFault::Form)?;
        scheme(&uri).ok_or(AddressFault::Scheme)?;
        let authority = uri.authority().ok_or(AddressFault::Host)?;
        if authority.as_str().contains('@') {
            return Err(AddressFault::User);
        }
        if authority.host().is_empty() {
            return Err(AddressFault::Host);
        }
        // Behind the colon there is a port or nothing.
        let port = authority.as_str().strip_prefix(authority.host());
        if port.is_none_or(|port| !port.is_empty() && authority.port_u16().is_none()) {
            return Err(AddressFault::Form);
        }
        Ok(Self(uri))
    }

    /// Where an answer from here points to.
    pub(crate) fn join(&self, location: &str) -> Result<Self, AddressFault> {
        let here = &self.0;
        let root = format!("{}://{}", self.scheme(), self.authority());
        let scheme = location.split_once(':').map_or("", |(scheme, _)| scheme);
        let is_scheme =
            |it: &str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_scheme(scheme) {
            Self::parse(location)
        } else if location.starts_with("//") {
            Self::parse(&format!("{}:{location}", self.scheme()))
        } else if location.starts_with('/') {
            Self::parse(&format!("{root}{location}"))
        } else if location.starts_with('?') {
            Self::parse(&format!("{root}{}{location}", here.path()))
        } else {
            let (folder, _) = here.path().rsplit_once('/').unwrap_or_default();
            Self::parse(&format!("{root}{folder}/{location}"))
        }
    }

    /// Further down, each part as it is called.
    pub(crate) fn below<'a>(
        &self,
        parts: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, AddressFault> {
        let path = self.0.path().trim_end_matches('/');
        let mut text = format!("{}://{}{path}", self.scheme(), self.authority());
        for part in parts {
            text.push('/');
            text.extend(utf8_percent_encode(part, PART));
        }
        Self::parse(&text)
    }

    /// The same with another query.
    pub(crate) fn asking(&self, query: &str) -> Result<Self, AddressFault> {
        let Self(uri) = self.without_query();
        Self::parse(&format!("{uri}?{query}"))
    }

    /// The same without what may be a key.
    pub(crate) fn without_query(&self) -> Self {
        let plain = format!("{}://{}{}", self.scheme(), self.authority(), self.0.path());
        // A part of what was parsed parses.
        Self::parse(&plain).unwrap_or_else(|_| self.clone())
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.0
    }

    pub(crate) fn origin(&self) -> Origin {
        let scheme = scheme(&self.0).unwrap_or(Scheme::Http);
        let known = match scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
        };
        Origin {
            scheme,
            host: self.host().to_ascii_lowercase(),
            port: self.0.port_u16().unwrap_or(known),
        }
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        scheme(&self.0) == Some(Scheme::Https)
    }

    pub(crate) fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }

    /// The last part of the path, as it is called.
    pub(crate) fn file_name(&self) -> String {
        let last = self.0.path().rsplit('/').next().unwrap_or_default();
        percent_decode_str(last).decode_utf8_lossy().into_owned()
    }

    pub(crate) fn path(&self) -> &str {
        self.0.path()
    }

    fn scheme(&self) -> &str {
        self.0.scheme_str().unwrap_or_default()
    }

    fn authority(&self) -> &str {
        self.0.authority().map_or("", |it| it.as_str())
    }
}

/// Without the query, so that no key is shown.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.path().trim_end_matches('/');
        write!(f, "{}://{}{path}", self.scheme(), self.authority())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<&Address> for Foreign {
    fn from(address: &Address) -> Self {
        Self::new(&address.to_string())
    }
}

/// What a header brought, as text of an address: servers write UTF-8 there.
pub(crate) fn location(bytes: &[u8]) -> String {
    percent_encode(bytes, LOOSE).to_string()
}

fn scheme(uri: &Uri) -> Option<Scheme> {
    match uri.scheme_str() {
        Some("http") => Some(Scheme::Http),
        Some("https") => Some(Scheme::Https),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Address {
        Address::parse(text).expect(text)
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("https://a/{}", "x".repeat(ADDRESS_MAX));
        let cases = [
            (long.as_str(), AddressFault::Long),
            ("https://a/\r\nHost: b", AddressFault::Control),
            ("ftp://a/b", AddressFault::Scheme),
            ("file:///etc/passwd", AddressFault::Form),
            ("/b", AddressFault::Scheme),
            ("a.example", AddressFault::Scheme),
            ("https:///b", AddressFault::Form),
            ("https://user:secret@a/b", AddressFault::User),
            ("https://a:port/b", AddressFault::Form),
            ("https://a:99999/b", AddressFault::Form),
        ];
        for (text, fault) in cases {
            assert_eq!(Address::parse(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn an_answer_points_from_where_it_came() {
        let here = parse("https://a.example:8443/b/c?d");
        let cases = [
            ("https://b.example/x?y", "https://b.example/x?y"),
            ("//b.example/x", "https://b.example/x"),
            ("/x", "https://a.example:8443/x"),
            ("?x", "https://a.example:8443/b/c?x"),
            ("x", "https://a.example:8443/b/x"),
            ("/声", "https://a.example:8443/%E5%A3%B0"),
        ];
        for (location, there) in cases {
            let joined = here.join(location).expect(location);
            assert_eq!(joined.uri().to_string(), there);
        }
        for location in ["ftp://a/b", "javascript:1", "file:///etc/passwd"] {
            assert!(here.join(location).is_err(), "{location}");
        }
    }

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port() {
        let origin = |text: &str| parse(text).origin();
        assert_eq!(
            origin("https://A.example/x"),
            origin("https://a.example:443")
        );
        for other in [
            "http://a.example",
            "https://b.a.example",
            "https://a.example:444",
            "https://a.example.b",
        ] {
            assert_ne!(origin("https://a.example"), origin(other), "{other}");
        }
    }

    #[test]
    fn parts_are_written_so_that_they_stay_parts() {
        let below = parse("https://a.example/hub/")
            .below(["o", "r", "a/b?c", "..%", "声"])
            .expect("an address");
        let there = "https://a.example/hub/o/r/a%2Fb%3Fc/..%25/%E5%A3%B0";
        assert_eq!(below.uri().to_string(), there);
    }

    #[test]
    fn a_key_behind_the_question_mark_is_not_shown() {
        let address = parse("https://a.example/x?key=secret");
        assert_eq!(address.to_string(), "https://a.example/x");
        assert_eq!(format!("{address:?}"), "https://a.example/x");
        assert_eq!(address.without_query(), parse("https://a.example/x"));
    }
}
