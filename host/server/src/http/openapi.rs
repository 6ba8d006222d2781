//! The HTTP in OpenAPI 3.1: `GET /openapi.json` and `koemasu openapi`.
//!
//! What a route takes and answers stands beside its handler, and its shapes are
//! the types that serde reads and writes. Here that is put together, and what
//! is the same everywhere is added: who may ask, how a failure is told.

use hyper::Method;
use utoipa::openapi::path::{HttpMethod, Operation};
use utoipa::openapi::response::Response;
use utoipa::openapi::schema::Type;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Content, Info, License, OpenApi, RefOr, Schema};

use crate::dialect;
use crate::http::answer::{self, Answer};
use crate::http::api::ROUTES;
use crate::http::described::{Free, add_header};
use crate::http::fault::Fault;
use crate::http::parts::{DIALECTS, Part, Parts, Who};
use crate::http::route::{Call, Route};
use crate::line;

/// The HTTP of this port, as OpenAPI 3.1.
#[utoipa::path(get, path = "/openapi.json", responses(
    (status = 200, description = "This document", body = Free),
))]
pub(crate) async fn document(call: Call) -> Result<Answer, Fault> {
    let access = call.app.access();
    let locks = Locks {
        keys: Lock::of(!access.keys.none()),
        admin: Lock::of(access.admin.is_some()),
    };
    Ok(answer::json(&describe(call.parts, locks)))
}

/// `koemasu openapi`: every part, whatever is configured.
pub fn print() -> anyhow::Result<()> {
    line::out().lines(&whole().to_pretty_json()?)?;
    Ok(())
}

/// The document of all there can be.
pub fn whole() -> OpenApi {
    let all = DIALECTS.into_iter().fold(Parts::core(), Parts::and);
    let locks = Locks {
        keys: Lock::Perhaps,
        admin: Lock::Perhaps,
    };
    describe(all, locks)
}

/// What is locked on this server.
#[derive(Clone, Copy)]
struct Locks {
    keys: Lock,
    admin: Lock,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lock {
    Open,
    Locked,
    /// The configuration says.
    Perhaps,
}

impl Lock {
    fn of(locked: bool) -> Self {
        match locked {
            true => Self::Locked,
            false => Self::Open,
        }
    }
}

fn describe(parts: Parts, locks: Locks) -> OpenApi {
    let mut document = OpenApi::new(info(), utoipa::openapi::Paths::new());
    let there = std::iter::once(Part::Core).chain(DIALECTS);
    for part in there.filter(|part| parts.has(*part)) {
        let tag = TagBuilder::new().name(part.name());
        let tag = tag.description(Some(part.about())).build();
        document.tags.get_or_insert_default().push(tag);
        for route in ROUTES.iter().filter(|route| route.part == part) {
            let (operation, components) = route.operation();
            if let (Some(mut operation), Some(method)) = (operation, http(&route.method)) {
                finish(&mut operation, route, locks);
                let paths = &mut document.paths;
                paths.add_path_operation(&route.path, vec![method], operation);
            }
            add_shapes(&mut document, components.schemas);
        }
        let (.., shapes) = dialect::told(part);
        add_shapes(&mut document, shapes.0);
    }
    lock(&mut document, locks);
    document
}

/// The first of two of one name stays; a test sees to it that they are the same.
fn add_shapes(document: &mut OpenApi, shapes: impl IntoIterator<Item = (String, RefOr<Schema>)>) {
    let known = &mut document.components.get_or_insert_default().schemas;
    for (name, shape) in shapes {
        known.entry(name).or_insert(shape);
    }
}

/// A method as utoipa has it.
fn http(method: &Method) -> Option<HttpMethod> {
    Some(match *method {
        Method::GET => HttpMethod::Get,
        Method::PUT => HttpMethod::Put,
        Method::POST => HttpMethod::Post,
        Method::DELETE => HttpMethod::Delete,
        _ => return None,
    })
}

fn info() -> Info {
    let mut info = Info::new("koemasu", env!("CARGO_PKG_VERSION"));
    info.description = Some(ABOUT.to_owned());
    let mut licence = License::new("MIT OR Apache-2.0");
    licence.identifier = Some("MIT OR Apache-2.0".to_owned());
    info.license = Some(licence);
    info
}

const ABOUT: &str = "\
Speech from Style-Bert-VITS2 voices. Our own routes have the tag `core`; each other tag is a dialect \
that existing clients speak, and can be switched off or given a port of its own.

Times are in seconds, memory is in bytes, rates are in samples per second, tones are 0 (low) and 1 (high), \
unless a name or a description says otherwise. A failure says who can act by its status: 4xx the caller, 503 and 504 time \
(`Retry-After` says when), 500 and 502 the operator.";

/// What is the same for every operation of its kind.
fn finish(operation: &mut Operation, route: &Route, locks: Locks) {
    let (part, who) = (route.part, route.who);
    operation.tags = Some(vec![part.name().to_owned()]);
    operation.operation_id = Some(operation_id(&route.method, &route.path));
    let open = SecurityRequirement::default;
    let key = |name| SecurityRequirement::new(name, [] as [&str; 0]);
    let (lock, mut keys) = match who {
        Who::Anyone => (Lock::Open, vec![]),
        Who::Key => (locks.keys, vec![key(KEY), key(KEY_HEADER)]),
        Who::Admin => (locks.admin, vec![key(ADMIN), key(ADMIN_HEADER)]),
    };
    match lock {
        Lock::Open => keys.clear(),
        Lock::Locked => {}
        Lock::Perhaps => keys.push(open()),
    }
    operation.security = Some(keys);

    let responses = &mut operation.responses.responses;
    let refused = match who {
        Who::Anyone | Who::Key => "A web page of an origin that may not ask",
        Who::Admin => "Not from this machine, or from a web page, and there is no token",
    };
    let mut add = |status: &str, why: &str| {
        let response = || Response::new(why).into();
        responses.entry(status.to_owned()).or_insert_with(response);
    };
    add("403", refused);
    if lock != Lock::Open {
        add("401", "No key or token, or a wrong one");
    }
    for (status, response) in responses {
        if let RefOr::T(response) = response {
            dress(response, status, part);
        }
    }
}

/// Every answer has an id, and every failure its shape.
fn dress(response: &mut Response, status: &str, part: Part) {
    let id = "The caller's own, or a new one; logs have it";
    add_header(response, ("x-request-id", Type::String, id));
    match status {
        "401" => add_header(response, ("www-authenticate", Type::String, "`Bearer`")),
        "429" | "503" | "504" => {
            let about = "Seconds after which another try makes sense";
            add_header(response, ("retry-after", Type::Integer, about));
        }
        _ => {}
    }
    if status >= "400" && response.content.is_empty() {
        let (content_type, schema, _) = dialect::told(part);
        let content = Content::new(Some(schema));
        response
            .content
            .insert(content_type.to_owned(), content.into());
    }
}

const KEY: &str = "key";
const KEY_HEADER: &str = "keyHeader";
const ADMIN: &str = "admin";
const ADMIN_HEADER: &str = "adminHeader";

fn lock(document: &mut OpenApi, locks: Locks) {
    let bearer = |about: &str| {
        let http = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
        SecurityScheme::Http(http.description(Some(about)).build())
    };
    let header = |about: &str| {
        let value = ApiKeyValue::with_description("X-API-Key", about);
        SecurityScheme::ApiKey(ApiKey::Header(value))
    };
    let components = document.components.get_or_insert_default();
    if locks.keys != Lock::Open {
        let about = "A key of `[[keys]]`. Without any, whoever reaches the server may speak.";
        components.add_security_scheme(KEY, bearer(about));
        components.add_security_scheme(KEY_HEADER, header(about));
    }
    if locks.admin != Lock::Open {
        let about = "`admin.token`. Without one, admin routes answer this machine only.";
        components.add_security_scheme(ADMIN, bearer(about));
        components.add_security_scheme(ADMIN_HEADER, header(about));
    }
}

/// `GET /v1/models` is `get_v1_models`: unique, and the same in every version.
fn operation_id(method: &Method, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    format!("{}_{}", method.as_str().to_lowercase(), words.join("_"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use pipeline::range;

    use super::*;

    #[test]
    fn every_route_is_described() {
        let document = serde_json::to_value(whole()).expect("a document");
        assert!(ROUTES.len() > 60, "nothing was looked at");
        for route in ROUTES.iter() {
            let method = route.method.as_str().to_lowercase();
            let told = &document["paths"][&route.path][&method];
            assert!(told["responses"].is_object(), "{method} {}", route.path);
        }
    }

    /// Of two schemas of one name only the first is shown.
    #[test]
    fn no_two_shapes_share_a_name() {
        let mut all = BTreeMap::new();
        let told = std::iter::once(Part::Core)
            .chain(DIALECTS)
            .flat_map(|part| {
                let (.., shapes) = dialect::told(part);
                shapes.0
            });
        let of_routes = ROUTES.iter().flat_map(|route| route.operation().1.schemas);
        for (name, schema) in told.chain(of_routes) {
            let schema = serde_json::to_value(schema).expect("a schema");
            if let Some(other) = all.get(&name) {
                assert_eq!(
                    &schema, other,
                    "`{name}` is two things; give one of them `#[schema(as = …)]`"
                );
            }
            all.insert(name, schema);
        }
    }

    /// The attributes of a shape take numbers only; these are of the one table.
    #[test]
    fn numbers_have_the_bounds_that_are_checked() {
        let table = [
            ("style_weight", range::STYLE_WEIGHT, 2),
            ("sdp_ratio", range::SDP_RATIO, 3),
            ("noise", range::NOISE, 2),
            ("noise_w", range::NOISE_W, 1),
            ("noisew", range::NOISE_W, 1),
            ("pitch", range::PITCH, 1),
            ("intonation", range::INTONATION, 1),
            ("assist_weight", range::ASSIST_WEIGHT, 1),
            ("assist_text_weight", range::ASSIST_WEIGHT, 1),
            ("bert_strength", range::BERT_STRENGTH, 1),
            ("sampling_rate", range::SAMPLING_RATE, 1),
            ("outputSamplingRate", range::SAMPLING_RATE, 1),
            ("volume", range::VOLUME, 1),
            ("leading_silence", range::SILENCE, 1),
            ("trailing_silence", range::SILENCE, 1),
            ("split_interval", range::SILENCE, 1),
            ("sentence_pause", range::PAUSE, 1),
            ("line_pause", range::PAUSE, 1),
            ("length", range::LENGTH_SCALE, 1),
            ("length_scale", range::LENGTH_SCALE, 1),
        ];
        let document = serde_json::to_value(whole()).expect("a document");
        let mut told: Vec<(String, serde_json::Value)> = Vec::new();
        let mut open = vec![&document];
        while let Some(value) = open.pop() {
            match value {
                serde_json::Value::Object(object) => {
                    if let Some(properties) = object.get("properties").and_then(|it| it.as_object())
                    {
                        let all = properties
                            .iter()
                            .map(|(name, it)| (name.clone(), it.clone()));
                        told.extend(all);
                    }
                    if let (Some(name), Some(schema)) = (object.get("name"), object.get("schema")) {
                        let name = name.as_str().unwrap_or_default().to_owned();
                        told.push((name, schema.clone()));
                    }
                    open.extend(object.values());
                }
                serde_json::Value::Array(items) => open.extend(items),
                _ => {}
            }
        }
        for (name, range, least) in table {
            let of_it = told.iter().filter(|(it, _)| it == name);
            let bounded: Vec<_> = of_it
                .filter(|(_, it)| it.get("maximum").is_some())
                .collect();
            assert!(
                bounded.len() >= least,
                "{name} is told {} times",
                bounded.len()
            );
            for (_, schema) in bounded {
                let bound = |of: &str| schema[of].as_f64().map(|it| it as f32);
                let told = (bound("minimum"), bound("maximum"));
                assert_eq!(told, (Some(range.low), Some(range.high)), "{name}");
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = serde_json::to_value(whole()).expect("a document");
        let mut open = vec![&document];
        while let Some(value) = open.pop() {
            match value {
                serde_json::Value::Object(object) => {
                    if let Some(reference) = object.get("$ref").and_then(|it| it.as_str()) {
                        let place = reference.trim_start_matches('#');
                        assert!(document.pointer(place).is_some(), "{reference}");
                    }
                    open.extend(object.values());
                }
                serde_json::Value::Array(items) => open.extend(items),
                _ => {}
            }
        }
    }

    #[test]
    fn what_is_switched_off_is_left_out() {
        let locks = Locks {
            keys: Lock::Open,
            admin: Lock::Locked,
        };
        let document = describe(Parts::core().and(Part::Sbv2), locks);
        let paths = &document.paths.paths;
        assert!(paths.contains_key("/voice") && paths.contains_key("/healthz"));
        assert!(!paths.contains_key("/v1/audio/speech"));
        let components = document.components.expect("schemes");
        let schemes: Vec<_> = components.security_schemes.keys().collect();
        assert_eq!(schemes, [ADMIN, ADMIN_HEADER]);
        assert!(
            !components
                .schemas
                .keys()
                .any(|name| name.starts_with("openai"))
        );
    }

    #[test]
    fn the_committed_document_is_this_one() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
        let committed = std::fs::read_to_string(file).unwrap_or_default();
        let document = whole().to_pretty_json().expect("a document") + "\n";
        assert!(
            committed == document,
            "docs/openapi.json is older than the routes: `cargo run -p koemasu -- openapi > docs/openapi.json`"
        );
    }
}
