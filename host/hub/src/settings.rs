//! Whom to ask, how, and how long to wait for an answer.

use std::fmt;
use std::time::Duration;

use crate::error::Error;

/// Whom to ask, and what may come.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The hub's address, or that of one which answers as it does.
    pub endpoint: String,
    /// Who asks; goes to the endpoint and to nobody else.
    pub token: Option<Token>,
    /// Bytes that one pull may bring.
    pub limit: u64,
    /// How long to wait, and how often to try.
    pub patience: Patience,
    /// Who stands between.
    pub proxy: Proxy,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            endpoint: "https://huggingface.co".to_owned(),
            token: None,
            // The BERT as PyTorch keeps it has 1.3 GB, a voice a quarter of one.
            limit: 8 << 30,
            patience: Patience::default(),
            proxy: Proxy::Environment,
        }
    }
}

/// How long to wait for a server, and how often to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For an answer to begin, for the next bytes of a file, and for a whole
    /// listing.
    pub answer: Duration,
    /// How often one file or listing is tried before its fault is the pull's.
    pub tries: u32,
    /// Before the second try; twice as long before each further one.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            // A hub that has to fetch something from cold storage takes a while.
            answer: Duration::from_secs(60),
            tries: 6,
            pause: Duration::from_millis(500),
        }
    }
}

impl Patience {
    /// Waits as long as is due behind this try, the first being 1.
    pub(crate) fn pause_after(&self, tried: u32) {
        let times = 1 << tried.saturating_sub(1).min(16);
        std::thread::sleep(self.pause.saturating_mul(times).min(PAUSE_MAX));
    }
}

const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Who stands between this machine and the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// Nobody.
    Direct,
    /// What `ALL_PROXY`, `HTTPS_PROXY` or `HTTP_PROXY` says, the first of them
    /// for everything, less what `NO_PROXY` excepts.
    Environment,
}

/// What proves to the hub who asks. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Space around it is left away, as it comes from files and terminals.
    pub fn new(token: &str) -> Result<Self, Error> {
        let token = token.trim();
        let fits = !token.is_empty() && token.len() <= TOKEN_MAX;
        if fits && token.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(token.to_owned()))
        } else {
            Err(Error::Token)
        }
    }

    /// As a header says it.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

/// Bytes of a token; the hub's own have 37.
const TOKEN_MAX: usize = 4_096;

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown() {
        let settings = Settings {
            token: Some(Token::new(" hf_secret\n").expect("a token")),
            ..Settings::default()
        };
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn what_would_break_a_header_is_no_token() {
        for token in ["", " ", "a\r\nHost: b", "a b", "声"] {
            assert!(matches!(Token::new(token), Err(Error::Token)), "{token:?}");
        }
    }
}
