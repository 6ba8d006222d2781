//! (method, path) → handler: the whole API on one screen, and what every
//! request goes through before and after its handler.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONNECTION, EXPECT, HeaderValue, ORIGIN};
use hyper::{Method, Request, StatusCode};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::admin::dictionary;
use crate::admin::memory;
use crate::admin::status;
use crate::admin::voices;
use crate::app::{Access, App};
use crate::dialect;
use crate::events;
use crate::http::access::{self, Caller};
use crate::http::answer::{self, Answer, Body, Cut, Flow};
use crate::http::body;
use crate::http::doors::{Asker, Names};
use crate::http::fault::Fault;
use crate::http::head;
use crate::http::house::Guest;
use crate::http::openapi;
use crate::http::parts::{Part, Parts, Who};
use crate::http::request_id;
use crate::http::route::{Call, Route, Served, routes};
use crate::read;

/// Every route there is.
pub static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(|| {
    let mut routes = routes![Part::Core;
        Anyone "healthz" => status::healthz;
        Anyone "readyz" => status::readyz;
        Anyone "metrics" => status::metrics;
        Anyone "openapi" => openapi::document;
        Key "g2p" => read::g2p;
        Admin "reload" => status::reload;
        Admin "generations" => status::generations;
        Admin "voices" => voices::list;
        Admin "memory" => memory::report;
        Admin "memory-policy" => memory::policy;
        Admin "memory-renew" => memory::renew;
        Admin "dictionary" => dictionary::list;
        Admin "dictionary" => dictionary::add;
        Admin "dictionary" => dictionary::change;
        Admin "dictionary" => dictionary::remove;
        Admin "dictionary" => dictionary::import [pipeline::DICTIONARY_BYTES_MAX];
    ];
    routes.extend(dialect::openai::routes());
    routes.extend(dialect::sbv2::routes());
    routes.extend(dialect::sbv2_api::routes());
    routes.extend(dialect::voicevox::routes());
    routes
});

/// Answers one request. Never fails: a failure is an answer too.
pub async fn route(
    app: &Arc<App>,
    parts: Parts,
    peer: SocketAddr,
    guest: &Guest,
    mut request: Request<Incoming>,
) -> Answer {
    let start = Instant::now();
    let lawful = head::check(&mut request);
    let id = request_id::of(&request);
    let origin = request.headers().get(ORIGIN).cloned();
    let invited = request.headers().contains_key(EXPECT);
    let access = app.access();
    let found = find(parts, request.method(), request.uri().path());
    let (name, part) = match &found {
        Found::Route(route, _) => (route.name, route.part),
        Found::Methods(_, part) => ("none", *part),
        Found::Server | Found::Nothing => ("none", Part::Core),
    };
    let (head, mut incoming) = request.into_parts();
    let request = Request::from_parts(head, ());
    let unlawful = lawful.is_err();
    let outcome = match (lawful, found) {
        (Err(fault), _) => Err(fault),
        (Ok(()), Found::Route(route, segments)) => {
            let call = receive(
                app,
                &access,
                route,
                parts,
                peer,
                guest,
                request,
                &mut incoming,
            );
            match call.await {
                Ok(call) => {
                    let call = Call {
                        id: id.clone(),
                        segments,
                        ..call
                    };
                    let revoked = call.caller.revoked();
                    until_revoked((route.serve)(call), revoked).await
                }
                Err(fault) => Err(fault),
            }
        }
        (Ok(()), Found::Methods(methods, _)) if request.method() == Method::OPTIONS => {
            access.cors.preflight(request.headers(), &methods)
        }
        (Ok(()), Found::Methods(methods, _)) => Err(not_allowed(&request, methods)),
        (Ok(()), Found::Server) => Ok(options()),
        (Ok(()), Found::Nothing) => Err(Fault::caller(
            StatusCode::NOT_FOUND,
            format!("there is nothing at {}", request.uri().path()),
        )),
    };
    // What was not read cannot be told from a next request.
    let close = unlawful || !body::pass_over(&mut incoming, invited).await;
    guest.begin();
    let mut answer = outcome.unwrap_or_else(|fault| {
        events::failed(&fault, &id);
        dialect::tell(part, &fault, &id)
    });
    access.cors.mark(origin.as_ref(), &mut answer);
    if let Ok(id) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert("x-request-id", id);
    }
    if close {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(CONNECTION, close);
    }
    events::answered(name, answer.status().as_u16(), start.elapsed(), &id);
    answer
}

/// Takes a request in: first who asks, then all it says. Until that is here,
/// its connection is one of those that wait, and nothing else is held.
#[expect(clippy::too_many_arguments, reason = "the parts of one request")]
async fn receive(
    app: &Arc<App>,
    access: &Access,
    route: &Route,
    parts: Parts,
    peer: SocketAddr,
    guest: &Guest,
    request: Request<()>,
    incoming: &mut Incoming,
) -> Result<Call, Fault> {
    let caller = may(app, access, route.who, peer, &request)?;
    let mut share = app.bodies.share(guest.owner());
    let most = route.body_max.unwrap_or(app.settings.body_max.0 as usize);
    let body = body::read(incoming, most, &app.settings, &mut share).await?;
    guest.begin();
    Ok(Call {
        app: Arc::clone(app),
        id: String::new(),
        parts,
        caller,
        request,
        segments: Vec::new(),
        body,
        _share: share,
        owner: guest.owner(),
    })
}

/// `OPTIONS *`: what the server as a whole takes.
fn options() -> Answer {
    let mut answer = answer::no_content();
    let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, OPTIONS");
    answer.headers_mut().insert(ALLOW, methods);
    answer
}

/// Whether this request may be answered, and whose it is.
fn may(
    app: &App,
    access: &Access,
    who: Who,
    peer: SocketAddr,
    request: &Request<()>,
) -> Result<Caller, Fault> {
    let asker = Asker::of(peer, request);
    let names = Names {
        listen: app.settings.listen.ip(),
        listed: &app.settings.names,
    };
    // Where nothing secret is shown, the name that is asked for has to be ours.
    let keyless = match who {
        Who::Anyone => true,
        Who::Key => access.keys.none(),
        // Either a token is shown, or the rule is stricter.
        Who::Admin => false,
    };
    if keyless && !app.settings.open {
        asker.check_host(names)?;
    }
    asker.check_page(&access.cors, who)?;
    match who {
        Who::Anyone => Ok(Caller::nobody()),
        Who::Key => access.keys.caller(asker.headers),
        Who::Admin => {
            access::admin(access.admin.as_ref(), &asker, names)?;
            Ok(Caller::nobody())
        }
    }
}

/// Ends with the caller's key: neither the work nor the sound goes on.
async fn until_revoked(
    served: Served,
    revoked: Option<CancellationToken>,
) -> Result<Answer, Fault> {
    let Some(revoked) = revoked else {
        return served.await;
    };
    let answer = revoked.run_until_cancelled(served).await;
    let (head, body) = answer
        .unwrap_or_else(|| Err(access::revoked()))?
        .into_parts();
    let body = match body {
        Body::Flow(flow) => Body::Flow(Box::new(Revocable {
            flow,
            revoked: Box::pin(revoked.cancelled_owned()),
        })),
        whole @ Body::Whole(_) => whole,
    };
    Ok(Answer::from_parts(head, body))
}

struct Revocable {
    flow: Box<dyn Flow>,
    revoked: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Flow for Revocable {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        if self.revoked.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(Cut("its API key was taken away".to_owned()))));
        }
        self.flow.poll_next(context)
    }
}

fn not_allowed(request: &Request<()>, methods: String) -> Fault {
    let (method, path) = (request.method(), request.uri().path());
    let detail = format!("{path} takes {methods}, not {method}");
    Fault {
        allow: Some(methods),
        ..Fault::caller(StatusCode::METHOD_NOT_ALLOWED, detail)
    }
}

enum Found {
    Route(&'static Route, Vec<String>),
    /// The path is there, and takes these.
    Methods(String, Part),
    /// `*`
    Server,
    Nothing,
}

fn find(parts: Parts, method: &Method, path: &str) -> Found {
    if path == "*" {
        return Found::Server;
    }
    let mut methods: Vec<&str> = Vec::new();
    let mut part = Part::Core;
    for route in ROUTES.iter().filter(|route| parts.has(route.part)) {
        let Some(segments) = segments(&route.path, path) else {
            continue;
        };
        if route.method == *method || (*method == Method::HEAD && route.has_head()) {
            return Found::Route(route, segments);
        }
        part = route.part;
        methods.push(route.method.as_str());
        if route.has_head() {
            methods.push("HEAD");
        }
    }
    match methods.is_empty() {
        true => Found::Nothing,
        false => Found::Methods(methods.join(", "), part),
    }
}

/// What stands where the pattern has `{…}`; none if the path is another.
fn segments(pattern: &str, path: &str) -> Option<Vec<String>> {
    if pattern == path {
        return Some(Vec::new());
    }
    let mut found = Vec::new();
    let mut path = path.split('/');
    for wanted in pattern.split('/') {
        let given = path.next()?;
        if wanted.starts_with('{') {
            let decoded = percent_encoding::percent_decode_str(given);
            found.push(decoded.decode_utf8().ok()?.into_owned());
        } else if wanted != given {
            return None;
        }
    }
    (path.next().is_none() && !found.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_one_segment_each() {
        assert_eq!(segments("/a", "/a"), Some(vec![]));
        assert_eq!(
            segments("/a/{x}/b", "/a/%E9%9B%A8/b"),
            Some(vec!["雨".to_owned()])
        );
        assert_eq!(segments("/a/{x}", "/a/b/c"), None);
        assert_eq!(segments("/a/{x}", "/a"), None);
        assert_eq!(segments("/a/{x}", "/a/%ff"), None);
    }

    #[test]
    fn no_two_routes_are_the_same() {
        for (place, route) in ROUTES.iter().enumerate() {
            let other = ROUTES[..place]
                .iter()
                .find(|it| it.method == route.method && it.path == route.path);
            assert!(other.is_none(), "{} {}", route.method, route.path);
        }
    }
}
