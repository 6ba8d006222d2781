//! HTTP, asked our way: redirects are followed here, so that the token goes to
//! the endpoint and to nobody else, and so that nothing encrypted becomes plain.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{HeaderMap, Response};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::address::{self, Address};
use crate::error::{Error, Sent};
use crate::foreign::Foreign;
use crate::refusal;
use crate::settings::{Patience, Proxy, Settings, Token};

/// Addresses that one answer may be sent on to; the hub needs two.
const REDIRECTS_MAX: usize = 5;
/// Characters of a header that is kept.
const HEADER_MAX: usize = 1_024;

/// Asks the hub and others.
pub(crate) struct Client {
    agent: Agent,
    endpoint: Address,
    token: Option<Token>,
    patience: Patience,
    /// Whether this system trusts nobody.
    no_authorities: bool,
}

/// Whether we say who we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// With the token, as long as it is the endpoint that is asked.
    Known,
    Nameless,
}

/// One question.
pub(crate) struct Ask<'a> {
    address: &'a Address,
    sender: Sender,
    /// What is asked for, in messages.
    what: &'a Foreign,
    /// Where more about it is to be read.
    page: Foreign,
    headers: Vec<(&'static str, String)>,
    /// For all of it, the body too; without one each read has its own.
    deadline: Option<Duration>,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(address: &'a Address, sender: Sender, what: &'a Foreign) -> Self {
        Self {
            address,
            sender,
            what,
            page: Foreign::from(address),
            headers: Vec::new(),
            deadline: None,
        }
    }

    pub(crate) fn on_page(mut self, page: &Foreign) -> Self {
        self.page = page.clone();
        self
    }

    pub(crate) fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }
}

/// An answer that is no refusal: 200, 206, 304 or 416.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Who gave it, behind all redirects.
    pub(crate) host: Foreign,
    /// What the hub itself calls the file, wherever that lies.
    linked_etag: Option<String>,
    headers: HeaderMap,
    body: Body,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The name of this version of the file, for the record.
    pub(crate) fn etag(&self) -> Option<&str> {
        self.linked_etag.as_deref().or_else(|| self.header("etag"))
    }

    /// Bytes of the body, if it says.
    pub(crate) fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    /// An error of reading is one of [`ureq::Error`] or of the connection.
    pub(crate) fn into_body(self) -> impl Read {
        self.body.into_reader()
    }
}

impl Client {
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        let endpoint = Address::parse(settings.endpoint.trim());
        let endpoint = endpoint.map_err(|fault| Error::Endpoint {
            text: Foreign::new(settings.endpoint.split('?').next().unwrap_or_default()),
            fault,
        })?;
        let authorities = rustls_native_certs::load_native_certs().certs;
        let no_authorities = authorities.is_empty();
        let authorities = authorities
            .iter()
            .map(|it| Certificate::from_der(it).to_owned());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::from(authorities))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let patience = settings.patience;
        let config = Agent::config_builder()
            .tls_config(tls)
            .proxy(match settings.proxy {
                Proxy::Direct => None,
                Proxy::Environment => ureq::Proxy::try_from_env(),
            })
            .user_agent(concat!("koemasu/", env!("CARGO_PKG_VERSION")))
            // What is unpacked on the way has neither its length nor its digest.
            .accept_encoding("identity")
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            .timeout_send_request(Some(patience.answer))
            .timeout_recv_response(Some(patience.answer))
            .timeout_per_read(Some(patience.answer))
            .build();
        Ok(Self {
            agent: config.new_agent(),
            endpoint,
            token: settings.token.clone(),
            patience,
            no_authorities,
        })
    }

    pub(crate) fn endpoint(&self) -> &Address {
        &self.endpoint
    }

    pub(crate) fn patience(&self) -> &Patience {
        &self.patience
    }

    /// A whole short answer, tried as often as patience allows.
    pub(crate) fn text(&self, ask: &Ask<'_>, most: u64) -> Result<Vec<u8>, Error> {
        let mut tried = 1;
        loop {
            match self.text_once(ask, most) {
                Err(error) if error.passes() && tried < self.patience.tries => {
                    self.patience.pause_after(tried);
                    tried += 1;
                }
                outcome => return outcome,
            }
        }
    }

    fn text_once(&self, ask: &Ask<'_>, most: u64) -> Result<Vec<u8>, Error> {
        let ask = Ask {
            page: ask.page.clone(),
            headers: ask.headers.clone(),
            deadline: Some(self.patience.answer),
            ..*ask
        };
        let answer = self.get(&ask)?;
        let (status, host) = (answer.status, answer.host.clone());
        if status != 200 {
            return Err(refusal::unasked(host, ask.what, status));
        }
        let mut body = Vec::new();
        let read = answer.into_body().take(most + 1).read_to_end(&mut body);
        if let Err(error) = read {
            return Err(refusal::unreadable(host, error, self.no_authorities));
        }
        if body.len() as u64 > most {
            return Err(Error::Listing {
                what: ask.what.clone(),
                cause: Foreign::new(&format!("it is larger than {most} bytes")),
            });
        }
        Ok(body)
    }

    /// Follows redirects; what is no answer to the question is an error.
    pub(crate) fn get(&self, ask: &Ask<'_>) -> Result<Answer, Error> {
        let mut address = ask.address.clone();
        let mut known = ask.sender == Sender::Known;
        let mut linked_etag = None;
        for _ in 0..=REDIRECTS_MAX {
            // Who once sent us elsewhere may have chosen where we come back to.
            known &= address.origin() == self.endpoint.origin();
            let response = self.send(&address, ask, known)?;
            let headers = response.headers();
            linked_etag =
                linked_etag.or_else(|| header(headers, "x-linked-etag").map(str::to_owned));
            match response.status().as_u16() {
                301 | 302 | 303 | 307 | 308 => address = self.next(&address, headers)?,
                200 | 206 | 304 | 416 => return self.answer(&address, ask, linked_etag, response),
                _ => return Err(self.refused(&address, ask, response)),
            }
        }
        Err(Error::Redirects {
            what: ask.what.clone(),
        })
    }

    fn send(&self, address: &Address, ask: &Ask<'_>, known: bool) -> Result<Response<Body>, Error> {
        let mut request = self.agent.get(address.uri().clone());
        if let Some(deadline) = ask.deadline {
            request = request.config().timeout_global(Some(deadline)).build();
        }
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        if let Some(token) = self.token.as_ref().filter(|_| known) {
            request = request.header("authorization", token.bearer());
        }
        request.call().map_err(|error| {
            refusal::unanswered(Foreign::new(address.host()), error, self.no_authorities)
        })
    }

    fn next(&self, here: &Address, headers: &HeaderMap) -> Result<Address, Error> {
        let host = || Foreign::new(here.host());
        let garbled = |cause: &str| Error::Garbled {
            host: host(),
            cause: Foreign::new(cause),
        };
        let location = headers.get("location");
        let location = location.ok_or_else(|| garbled("it sends us on, but not where to"))?;
        let location = address::location(location.as_bytes());
        let next = here.join(&location);
        let next = next.map_err(|fault| garbled(&format!("where it sends us {fault}")))?;
        if here.is_encrypted() && !next.is_encrypted() {
            return Err(Error::Downgrade {
                host: host(),
                to: Foreign::from(&next),
            });
        }
        Ok(next)
    }

    fn answer(
        &self,
        address: &Address,
        ask: &Ask<'_>,
        linked_etag: Option<String>,
        response: Response<Body>,
    ) -> Result<Answer, Error> {
        let (parts, body) = response.into_parts();
        let encoding = header(&parts.headers, "content-encoding").unwrap_or("identity");
        if !encoding.eq_ignore_ascii_case("identity") {
            return Err(Error::Encoded {
                what: ask.what.clone(),
                encoding: Foreign::new(encoding),
            });
        }
        Ok(Answer {
            status: parts.status.as_u16(),
            host: Foreign::new(address.host()),
            linked_etag,
            headers: parts.headers,
            body,
        })
    }

    fn refused(&self, address: &Address, ask: &Ask<'_>, response: Response<Body>) -> Error {
        let sent = match (ask.sender, &self.token) {
            (Sender::Nameless, _) => Sent::Never,
            (Sender::Known, None) => Sent::Nothing,
            (Sender::Known, Some(_)) => Sent::Token,
        };
        refusal::Refusal {
            host: Foreign::new(address.host()),
            page: ask.page.clone(),
            what: ask.what,
            sent,
        }
        .read(response)
    }
}

/// A header that is text and not too long.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?;
    (value.len() <= HEADER_MAX).then_some(value)
}
