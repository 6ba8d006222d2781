//! Who may ask, and how much at once: API keys, the admin token, the places
//! of the server.
//!
//! Keys are kept as their SHA-256 alone: they are long and random, so nothing
//! slower would protect them better. What was given is hashed and compared in
//! constant time with every one of them.

use std::num::NonZeroU32;
use std::sync::Arc;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap};
use pipeline::Priority;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::http::admission::Admission;
use crate::http::doors::{Asker, Names};
use crate::http::fault::Fault;
use crate::http::shares::{Owner, Short};

/// `[[keys]]`: one caller who may speak.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySpec {
    /// For logs and metrics.
    pub name: String,
    /// Hex SHA-256 of the key; `koemasu key` makes both.
    pub sha256: Digest256,
    /// None is as many as the server takes.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Requests of this key at the same time.
    pub concurrent: Option<NonZeroU32>,
    /// As urgent as its requests may be.
    #[serde(default)]
    pub priority: Priority,
}

/// 32 bytes, written as hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Digest256([u8; 32]);

impl Digest256 {
    /// SHA-256 of a key or a token: secrets are long and random, so no salt is
    /// needed.
    pub fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// 64 small digits, as the configuration has it.
    pub fn hex(&self) -> String {
        base16ct::lower::encode_string(&self.0)
    }

    /// Takes as long whatever is given.
    fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl TryFrom<String> for Digest256 {
    type Error = String;

    fn try_from(hex: String) -> Result<Self, String> {
        let wrong = || "it is no SHA-256 in hex, 64 digits; `koemasu key` makes one".to_owned();
        let mut bytes = [0; 32];
        let read = base16ct::mixed::decode(&hex, &mut bytes);
        if hex.len() != 64 || read.is_err() {
            return Err(wrong());
        }
        Ok(Self(bytes))
    }
}

/// Everyone who may speak. A reload makes another one; a key that stays as it
/// was keeps its counts.
#[derive(Default)]
pub struct Keys {
    /// Once a key was asked for, it is until the next start: whoever takes the
    /// last key away means that nobody has one, not that all may come.
    asked: bool,
    keys: Vec<Arc<Key>>,
}

struct Key {
    spec: KeySpec,
    rate: Option<DefaultDirectRateLimiter>,
    places: Option<Arc<Semaphore>>,
    /// Of all that was ever made of this digest, whatever its limits.
    revoked: CancellationToken,
}

impl Keys {
    /// A key that stays as it was in `before` goes on with what it has used.
    pub fn new(specs: &[KeySpec], before: &Self) -> Self {
        let make = |spec: &KeySpec| {
            let of_digest = |key: &&Arc<Key>| key.spec.sha256 == spec.sha256;
            match before.keys.iter().find(|key| key.spec == *spec) {
                Some(same) => Arc::clone(same),
                None => Arc::new(Key::new(spec, before.keys.iter().find(of_digest))),
            }
        };
        Self {
            asked: before.asked || !specs.is_empty(),
            keys: specs.iter().map(make).collect(),
        }
    }

    /// Whether nobody is asked for a key.
    pub fn none(&self) -> bool {
        !self.asked
    }

    /// A key is asked for and nobody has one.
    pub fn nobody(&self) -> bool {
        self.asked && self.keys.is_empty()
    }

    /// Ends what those do who are here and no longer in `next`; tells how many
    /// they are.
    pub fn revoke_others(&self, next: &Self) -> usize {
        let stays = |key: &Key| {
            let mut next = next.keys.iter();
            next.any(|it| it.spec.sha256 == key.spec.sha256)
        };
        let gone = self.keys.iter().filter(|key| !stays(key));
        gone.map(|key| key.revoked.cancel()).count()
    }

    /// Who asks. With no key configured, anyone who reaches the server.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, Fault> {
        if self.none() {
            return Ok(Caller { key: None });
        }
        let Some(given) = given(headers) else {
            return Err(Fault::caller(
                StatusCode::UNAUTHORIZED,
                "this server wants an API key: `Authorization: Bearer KEY` or `X-API-Key: KEY`",
            ));
        };
        let given = Digest256::of(given.as_bytes());
        let mut found = None;
        for key in &self.keys {
            if key.spec.sha256.is(&given) {
                found = Some(Arc::clone(key));
            }
        }
        let unknown = "this API key is not known here, or no longer";
        let key = found.ok_or_else(|| Fault::caller(StatusCode::UNAUTHORIZED, unknown))?;
        Ok(Caller { key: Some(key) })
    }
}

/// The key or token that a request shows.
fn given(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, key)| key.trim());
    let own = headers
        .get("x-api-key")
        .and_then(|value| value.to_str().ok());
    bearer.or(own)
}

impl Key {
    fn new(spec: &KeySpec, before: Option<&Arc<Self>>) -> Self {
        let places = |places: NonZeroU32| Arc::new(Semaphore::new(places.get() as usize));
        Self {
            spec: spec.clone(),
            rate: spec
                .requests_per_minute
                .map(|rate| RateLimiter::direct(Quota::per_minute(rate))),
            places: spec.concurrent.map(places),
            revoked: before.map(|key| key.revoked.clone()).unwrap_or_default(),
        }
    }
}

/// Whoever sent a request.
#[derive(Clone)]
pub struct Caller {
    key: Option<Arc<Key>>,
}

/// One request's place in the server; given back when dropped.
pub struct Place {
    caller: Caller,
    server: crate::http::admission::Place,
    _key: Option<OwnedSemaphorePermit>,
}

impl Caller {
    /// Whoever asks what anyone may ask.
    pub fn nobody() -> Self {
        Self { key: None }
    }

    /// The name of the caller's key; None where no key was asked for.
    pub fn name(&self) -> Option<&str> {
        self.key.as_deref().map(|key| key.spec.name.as_str())
    }

    /// Tells when this caller's key is taken away; never without one.
    pub fn revoked(&self) -> Option<CancellationToken> {
        self.key.as_ref().map(|key| key.revoked.clone())
    }

    /// Takes a place for a request that will be spoken.
    pub fn enter(&self, admission: &Admission, owner: Owner) -> Result<Place, Fault> {
        let own = self.own_place()?;
        let server = admission.enter(owner).map_err(|short| match short {
            Short::All(most) => Fault::later(format!("{most} requests are already taken in"), 1),
            Short::Address(most) => {
                Fault::too_many(format!("this address has {most} requests under way"), 1)
            }
        })?;
        Ok(Place {
            caller: self.clone(),
            server,
            _key: own,
        })
    }

    fn own_place(&self) -> Result<Option<OwnedSemaphorePermit>, Fault> {
        let Some(key) = &self.key else {
            return Ok(None);
        };
        let place = match &key.places {
            None => None,
            Some(places) => Some(Arc::clone(places).try_acquire_owned().map_err(|_| {
                let most = key.spec.concurrent.map_or(0, NonZeroU32::get);
                Fault::too_many(format!("this key has {most} requests under way"), 1)
            })?),
        };
        if let Some(rate) = &key.rate {
            rate.check().map_err(|not_until| {
                let now = governor::clock::Clock::now(&governor::clock::DefaultClock::default());
                let wait = not_until.wait_time_from(now).as_secs_f64().ceil();
                let most = key.spec.requests_per_minute.map_or(0, NonZeroU32::get);
                Fault::too_many(
                    format!("this key may ask {most} times a minute"),
                    wait as u32,
                )
            })?;
        }
        Ok(place)
    }
}

impl Place {
    /// The reader is slower than the sound is made; the key's own place stays
    /// taken.
    pub fn stand_aside(&self) {
        self.server.stand_aside();
    }

    /// No more urgent than the key may be.
    pub fn priority(&self, wanted: Priority) -> Priority {
        let most = self.caller.key.as_ref().map(|key| key.spec.priority);
        most.map_or(wanted, |most| wanted.min(most))
    }
}

/// What a caller hears whose key was taken away while it asked.
pub fn revoked() -> Fault {
    Fault::caller(
        StatusCode::UNAUTHORIZED,
        "this API key was taken away while the request was under way",
    )
}

/// With a token: whoever has it. Without one: whoever sits at this machine.
pub fn admin(token: Option<&Digest256>, asker: &Asker<'_>, names: Names<'_>) -> Result<(), Fault> {
    let Some(token) = token else {
        return asker.check_is_operator(names);
    };
    let given = given(asker.headers).map(|given| Digest256::of(given.as_bytes()));
    match given.is_some_and(|given| token.is(&given)) {
        true => Ok(()),
        false => Err(Fault::caller(
            StatusCode::UNAUTHORIZED,
            "admin routes need `Authorization: Bearer TOKEN`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).expect("a header"));
        headers
    }

    #[test]
    fn only_the_whole_key_opens() {
        let key = |name: &str, secret: &[u8]| KeySpec {
            name: name.to_owned(),
            sha256: Digest256::of(secret),
            requests_per_minute: None,
            concurrent: NonZeroU32::new(1),
            priority: Priority::Low,
        };
        let keys = Keys::new(
            &[key("bot", b"secret"), key("game", b"other")],
            &Keys::default(),
        );
        let asks = |header, value| {
            let caller = keys.caller(&headers(header, value));
            caller
                .map(|it| it.name().map(str::to_owned))
                .map_err(|fault| fault.status)
        };
        assert_eq!(
            asks("authorization", "Bearer secret"),
            Ok(Some("bot".into()))
        );
        assert_eq!(
            asks("authorization", "bearer other"),
            Ok(Some("game".into()))
        );
        assert_eq!(asks("x-api-key", "secret"), Ok(Some("bot".into())));
        for wrong in ["Bearer secre", "Bearer secrets", "Basic secret", "Bearer "] {
            assert_eq!(
                asks("authorization", wrong),
                Err(StatusCode::UNAUTHORIZED),
                "{wrong}"
            );
        }
        // A key that stays keeps its counts over a reload.
        let caller = keys.caller(&headers("x-api-key", "secret")).expect("known");
        let _place = caller.own_place().expect("the only place");
        let reloaded = Keys::new(&[key("bot", b"secret")], &keys);
        let again = reloaded
            .caller(&headers("x-api-key", "secret"))
            .expect("known");
        let refused = again.own_place().map(drop).map_err(|fault| fault.status);
        assert_eq!(refused, Err(StatusCode::TOO_MANY_REQUESTS));
    }

    #[test]
    fn who_takes_the_last_key_away_opens_nothing() {
        let key = KeySpec {
            name: "bot".to_owned(),
            sha256: Digest256::of(b"secret"),
            requests_per_minute: None,
            concurrent: None,
            priority: Priority::Low,
        };
        let keys = Keys::new(std::slice::from_ref(&key), &Keys::default());
        let slower = KeySpec {
            requests_per_minute: NonZeroU32::new(5),
            ..key
        };
        let caller = keys.caller(&headers("x-api-key", "secret")).expect("known");
        let revoked = caller.revoked().expect("a key");
        let changed = Keys::new(&[slower], &keys);
        assert_eq!(keys.revoke_others(&changed), 0);
        assert!(!revoked.is_cancelled(), "only its limits changed");
        let none = Keys::new(&[], &changed);
        assert_eq!(changed.revoke_others(&none), 1);
        assert!(revoked.is_cancelled(), "whichever limits it had");
        assert!(none.nobody() && !none.none());
        for shown in ["secret", ""] {
            assert!(none.caller(&headers("x-api-key", shown)).is_err());
        }
        assert!(Keys::default().caller(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn a_hash_is_hex_of_its_length() {
        let hex = Digest256::of(b"x").hex();
        assert_eq!(Digest256::try_from(hex), Ok(Digest256::of(b"x")));
        assert!(Digest256::try_from("ab".to_owned()).is_err());
        assert!(Digest256::try_from("é".repeat(32)).is_err());
    }
}
