//! What RFC 9110 and 9112 ask of a request's head and hyper does not check:
//! which host is meant, the form of the target, how the body is coded.

use hyper::header::{HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use hyper::{Method, Request, StatusCode, Version};

use crate::http::fault::Fault;

/// Afterwards there is one `Host`, that of the target (of HTTP/1.0: at most
/// one).
pub(crate) fn check<B>(request: &mut Request<B>) -> Result<(), Fault> {
    check_codings(request.headers())?;
    check_host(request.version(), request.headers())?;
    let uri = request.uri();
    let wrong = |detail: &str| Err(Fault::caller(StatusCode::BAD_REQUEST, detail));
    match (uri.scheme_str(), uri.authority()) {
        // The target's host is the one that is meant (RFC 9112, 3.2.2).
        (Some("http" | "https"), Some(authority)) => {
            let authority = authority.as_str();
            let host = HeaderValue::from_str(authority);
            match host
                .ok()
                .filter(|_| is_host(authority) && !authority.is_empty())
            {
                Some(host) => request.headers_mut().insert(HOST, host),
                None => return wrong("the host in the request's target is none"),
            };
            Ok(())
        }
        (Some(_), _) => wrong("the request's target is of another scheme than http"),
        (None, Some(_)) if request.method() == Method::CONNECT => Err(Fault::caller(
            StatusCode::NOT_IMPLEMENTED,
            "this server is no proxy",
        )),
        (None, _) if request.method() == Method::CONNECT => {
            wrong("CONNECT is for `host:port`, and this server is no proxy")
        }
        (None, Some(_)) => wrong("the request's target begins with `/`"),
        (None, None) if uri.path() == "*" && request.method() != Method::OPTIONS => {
            wrong("the target `*` is for OPTIONS")
        }
        (None, None) if uri.path() != "*" && !uri.path().starts_with('/') => {
            wrong("the request's target begins with `/`")
        }
        (None, None) => Ok(()),
    }
}

/// `chunked`, once, and nothing else: other codings would be taken for none.
fn check_codings(headers: &HeaderMap) -> Result<(), Fault> {
    let mut chunked = 0;
    for value in headers.get_all(TRANSFER_ENCODING) {
        for coding in value.to_str().unwrap_or("?").split(',') {
            let coding = coding.trim_matches([' ', '\t']);
            if coding.eq_ignore_ascii_case("chunked") {
                chunked += 1;
            } else if !coding.is_empty() {
                return Err(Fault::caller(
                    StatusCode::NOT_IMPLEMENTED,
                    "bodies may be `chunked`; no other transfer coding is known here",
                ));
            }
        }
    }
    match chunked {
        0 | 1 => Ok(()),
        _ => Err(Fault::caller(
            StatusCode::BAD_REQUEST,
            "a body is `chunked` once",
        )),
    }
}

fn check_host(version: Version, headers: &HeaderMap) -> Result<(), Fault> {
    let mut hosts = headers.get_all(HOST).iter();
    let wrong = |detail: &str| Err(Fault::caller(StatusCode::BAD_REQUEST, detail));
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_11 => wrong("a request names its `Host`"),
        (None, _) => Ok(()),
        (Some(_), Some(_)) => wrong("a request names one `Host`"),
        (Some(host), None) => match host.to_str().is_ok_and(is_host) {
            true => Ok(()),
            false => wrong("`Host` is a name or an address, and a port"),
        },
    }
}

/// `uri-host [ ":" port ]` of RFC 3986; an empty one is none.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, rest)) if address.parse::<std::net::Ipv6Addr>().is_ok() => {
                match rest.strip_prefix(':') {
                    Some(port) => ("", port),
                    None => return rest.is_empty(),
                }
            }
            Some(_) | None => return false,
        },
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => {
                let mut hex = || bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit());
                hex() && hex()
            }
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte),
        };
        if !fits {
            return false;
        }
    }
    // Nothing is a name, but not with a port.
    let named = text.is_empty() || text.starts_with('[') || !name.is_empty();
    named && (port.is_empty() || port.parse::<u16>().is_ok() && !port.starts_with('+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_a_port() {
        for host in [
            "",
            "a",
            "a.example",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:8080",
            "a:",
            "x_y",
            "%41",
        ] {
            assert!(is_host(host), "{host}");
        }
        for none in [
            "a@b", "a/b", "a b", "a:b", "a:70000", "a:+1", ":80", "[::1", "::1", "[x]", "[::1]x",
            "a?b", "a#b", "%4", "a:1:2", "a\\b", "é", "a,b@c",
        ] {
            assert!(!is_host(none), "{none}");
        }
    }
}
