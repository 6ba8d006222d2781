//! Where a request comes from, as far as it can be known: over a proxy, from
//! a web page, by a name that somebody else let point here. It decides which
//! door a request may try; keys and tokens are `access.rs`.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, REFERER};
use hyper::{Method, Request, StatusCode, Uri, Version};

use crate::http::cors::Cors;
use crate::http::fault::Fault;
use crate::http::parts::Who;

/// What proxies, tunnels and CDNs add to what they pass on. Whoever shows one
/// of these was somewhere else before.
const FORWARDED: &[&str] = &[
    "client-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded",
    "max-forwards",
    "remote-addr",
    "true-client-ip",
    "via",
    "x-arr-log-id",
    "x-arr-ssl",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-host",
    "x-nf-client-connection-ip",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-originating-ip",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-real-port",
    "x-remote-addr",
    "x-remote-ip",
    "x-rewrite-url",
    "x-scheme",
    "x-script-name",
    "x-url-scheme",
    "x-vercel-id",
    "z-forwarded-for",
];

/// Their families.
const FORWARDED_PREFIXES: &[&str] = &[
    "cdn-",
    "cf-",
    "fastly-",
    "fly-",
    "ngrok-",
    "proxy-",
    "tailscale-",
    "wl-proxy-",
    "x-amz-cf-",
    "x-amzn-",
    "x-appengine-",
    "x-azure-",
    "x-envoy-",
    "x-forwarded-",
    "x-goog-",
    "x-proxy-",
];

fn is_forwarded(name: &HeaderName) -> bool {
    let name = name.as_str();
    let family = |prefix: &&str| name.starts_with(*prefix);
    FORWARDED.contains(&name) || FORWARDED_PREFIXES.iter().any(family)
}

/// Which names a server answers to without being shown a key.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// The address of the port that dialects share.
    pub listen: IpAddr,
    /// `server.names`
    pub listed: &'a [String],
}

/// The head of a request, and who is at the other end of its connection.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// The other end of the connection; an IPv4 address in IPv6 form is one.
    pub peer: IpAddr,
    /// As it came, HEAD included.
    pub method: &'a Method,
    /// Proxies speak HTTP/1.0 where nobody told them otherwise.
    pub version: Version,
    /// The target, in whatever form it came.
    pub uri: &'a Uri,
    /// All of them, as they came.
    pub headers: &'a HeaderMap,
}

impl<'a> Asker<'a> {
    /// Nothing but the head is looked at.
    pub fn of<B>(peer: SocketAddr, request: &'a Request<B>) -> Self {
        Self {
            peer: peer.ip().to_canonical(),
            method: request.method(),
            version: request.version(),
            uri: request.uri(),
            headers: request.headers(),
        }
    }

    /// Every name by which it asks for this server: a target in absolute form
    /// has one as well.
    fn hosts(&self) -> impl Iterator<Item = Host> {
        let target = self.uri.authority().map(|it| Host::parse(it.as_str()));
        let headers = self.headers.get_all(HOST).into_iter();
        headers
            .map(|host| host.to_str().map_or(Host::Nonsense, Host::parse))
            .chain(target)
    }

    /// Refuses a request that a page sends by a name which somebody else let
    /// point to this machine (DNS rebinding): to the browser it is that page's
    /// own server, so no origin would tell. For all that is answered without a
    /// key.
    pub fn check_host(&self, names: Names<'_>) -> Result<(), Fault> {
        let known = |host: Host| match host {
            Host::Address(_) => true,
            Host::Name(name) => is_localhost(&name) || names.lists(&name),
            Host::Nonsense => false,
        };
        match self.hosts().all(known) {
            true => Ok(()),
            false => Err(Fault::caller(
                StatusCode::FORBIDDEN,
                "without a key this server answers to its address and to `localhost`; another name of it, such as a proxy's, is listed in `server.names`",
            )),
        }
    }

    /// Refuses what a web page asks from where none may. A browser sends an
    /// `Origin` with what could do harm; with what it loads into a page, such
    /// as `<audio src>`, it says by `Sec-Fetch-Site` that it was another's.
    pub fn check_page(&self, cors: &Cors, who: Who) -> Result<(), Fault> {
        if self.headers.contains_key(ORIGIN) {
            return cors.check(self.headers);
        }
        let near = match self.site() {
            Site::Own => true,
            // Of this machine, as the name says; then `local` lists it.
            Site::Same if self.hosts().all(|host| host.is_this_machine()) => cors.allows_local(),
            Site::Same | Site::Cross => false,
        };
        // Whoever follows a link to what anyone may read.
        let follows = who == Who::Anyone && self.navigates();
        // A page cannot show another's, only none.
        let listed = || cors.allows_all() || self.referer().is_some_and(|it| cors.allows(it));
        match near || follows || listed() {
            true => Ok(()),
            false => Err(Fault::caller(
                StatusCode::FORBIDDEN,
                "this is not for web pages of others; the operator can list theirs in `cors.origins`",
            )),
        }
    }

    /// Without a token the operator is whoever sits at this machine: no proxy
    /// between, no web page, no name that others could have made.
    pub fn check_is_operator(&self, names: Names<'_>) -> Result<(), Fault> {
        let refused = |why| Err(Fault::caller(StatusCode::FORBIDDEN, why));
        if !self.peer.is_loopback() {
            return refused(
                "admin routes answer this machine only; set `admin.token` to open them",
            );
        }
        // Proxies that add no header of theirs speak it by default.
        if self.version < Version::HTTP_11 || self.headers.keys().any(is_forwarded) {
            return refused(
                "admin routes do not answer over a proxy; set `admin.token` and send it",
            );
        }
        let near = |host: Host| host.is(names.listen) || host.is_this_machine();
        if self.hosts().count() == 0 || !self.hosts().all(near) {
            return refused(
                "admin routes answer to `localhost` and 127.0.0.1 only; set `admin.token` and send it",
            );
        }
        let page = self.headers.contains_key(ORIGIN) || self.headers.contains_key(REFERER);
        if page || self.site() != Site::Own {
            return refused("admin routes do not answer web pages; set `admin.token` and send it");
        }
        Ok(())
    }

    fn site(&self) -> Site {
        let sites = self.headers.get_all("sec-fetch-site");
        let each = sites.iter().map(|site| match site.as_bytes() {
            b"none" | b"same-origin" => Site::Own,
            b"same-site" => Site::Same,
            _ => Site::Cross,
        });
        each.max().unwrap_or(Site::Own)
    }

    /// A person goes there, instead of a page that loads it.
    fn navigates(&self) -> bool {
        let says = |name, value: &[u8]| {
            let header: Option<&HeaderValue> = self.headers.get(name);
            header.is_some_and(|header| header.as_bytes() == value)
        };
        *self.method == Method::GET
            && says("sec-fetch-mode", b"navigate")
            && says("sec-fetch-dest", b"document")
    }

    /// The origin of the page that it comes from.
    fn referer(&self) -> Option<&'a str> {
        let referer = self.headers.get(REFERER)?.to_str().ok()?;
        let host = referer.find("://")? + 3;
        let end = referer[host..]
            .find('/')
            .map_or(referer.len(), |at| host + at);
        Some(&referer[..end])
    }
}

/// Whose page asks, the farthest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Site {
    /// None, or this server's.
    Own,
    /// Of the same host, by another port.
    Same,
    Cross,
}

/// The name in a `Host`, without its port.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    /// In lower case.
    Name(String),
    Nonsense,
}

impl Host {
    fn parse(host: &str) -> Self {
        let port = |port: &str| port.bytes().all(|digit| digit.is_ascii_digit());
        if let Some((address, rest)) = host
            .strip_prefix('[')
            .and_then(|inner| inner.split_once(']'))
        {
            let well = rest.is_empty() || rest.strip_prefix(':').is_some_and(port);
            return match address.parse() {
                Ok(address) if well => Self::Address(IpAddr::V6(address).to_canonical()),
                Ok(_) | Err(_) => Self::Nonsense,
            };
        }
        let name = match host.rsplit_once(':') {
            Some((name, digits)) if port(digits) => name,
            _ => host,
        };
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
        if let Ok(address) = name.parse::<std::net::Ipv4Addr>() {
            return Self::Address(address.into());
        }
        match !name.is_empty() && name.bytes().all(plain) {
            true => Self::Name(name.to_ascii_lowercase()),
            false => Self::Nonsense,
        }
    }

    fn is_this_machine(&self) -> bool {
        match self {
            Self::Address(address) => address.is_loopback(),
            Self::Name(name) => is_localhost(name),
            Self::Nonsense => false,
        }
    }

    /// One address, and not all of a machine's.
    fn is(&self, listen: IpAddr) -> bool {
        !listen.is_unspecified() && *self == Self::Address(listen.to_canonical())
    }
}

/// A name that nobody can register (RFC 6761). Other names without a dot are
/// somebody's: whoever runs the network says what they mean.
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

impl Names<'_> {
    fn lists(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name);
        let mut listed = self.listed.iter();
        listed.any(|listed| listed.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_others_may_give_is_no_name_of_this_machine() {
        for near in [
            "localhost",
            "localhost:8080",
            "LOCALHOST.:1",
            "a.localhost",
            "127.0.0.1",
            "127.8.8.8:80",
            "[::1]:80",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(Host::parse(near).is_this_machine(), "{near}");
        }
        for far in [
            "",
            ":80",
            "evil.example",
            "127.0.0.1.evil.example:8080",
            "localhost.evil.example",
            "intranet",
            "0",
            "2130706433",
            "0x7f.1",
            "192.0.2.7:8080",
            "0.0.0.0",
            "[::]",
            "[::1",
            "[::1]x",
            "a@localhost",
            "localhost/x",
            "localhost:80:x",
            "localhost ",
        ] {
            assert!(!Host::parse(far).is_this_machine(), "{far}");
        }
    }

    #[test]
    fn addresses_cannot_be_rebound_and_names_are_listed() {
        let listed = ["tts.example".to_owned()];
        let names = Names {
            listen: IpAddr::from([127, 0, 0, 1]),
            listed: &listed,
        };
        let check = |host: &str| {
            let request = Request::get("/").header("host", host).body(());
            let request = request.expect("a request");
            let peer = SocketAddr::from(([127, 0, 0, 1], 1));
            Asker::of(peer, &request).check_host(names).is_ok()
        };
        for known in ["192.0.2.7:80", "[2001:db8::1]", "TTS.example.", "localhost"] {
            assert!(check(known), "{known}");
        }
        for other in [
            "intranet",
            "x.tts.example",
            "tts.example.evil",
            "é",
            "2130706433",
        ] {
            assert!(!check(other), "{other}");
        }
    }
}
