//! What a route is, and one request as its handler gets it.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::HeaderMap;
use hyper::{Method, Request};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{Components, OpenApi};

use crate::app::App;
use crate::http::access::{Caller, Place};
use crate::http::answer::Answer;
use crate::http::fault::Fault;
use crate::http::parts::{Part, Parts, Who};
use crate::http::shares::{Owner, Share};

/// One way to ask something.
pub struct Route {
    /// One route has one; HEAD goes with GET.
    pub method: Method,
    /// `{name}` stands for one segment.
    pub path: String,
    /// In metrics and logs.
    pub name: &'static str,
    /// It is on the ports that answer for this part.
    pub part: Part,
    /// Checked before the body is read.
    pub who: Who,
    /// Most bytes of its body, where that is not `server.body_max`.
    pub(crate) body_max: Option<usize>,
    pub(crate) serve: Serve,
    document: fn() -> OpenApi,
}

impl Route {
    /// Whatever can be got has a head. hyper leaves out the body.
    pub(crate) fn has_head(&self) -> bool {
        self.method == Method::GET
    }

    /// What it takes and answers, and the shapes in that.
    pub(crate) fn operation(&self) -> (Option<Operation>, Components) {
        let mut document = (self.document)();
        let item = document.paths.paths.values_mut().next();
        let found = item.and_then(|item| {
            let mut all = operations(item);
            let (_, operation) = all.next()?;
            Some(std::mem::take(operation))
        });
        (found, document.components.unwrap_or_default())
    }
}

pub(crate) type Served = Pin<Box<dyn Future<Output = Result<Answer, Fault>> + Send>>;
pub(crate) type Serve = fn(Call) -> Served;

/// One request, as its handler gets it: whole. No handler can wait for its
/// caller, whatever it holds.
pub struct Call {
    /// Everything that requests share.
    pub app: Arc<App>,
    /// Of this request, as in the answer's header and in the log.
    pub id: String,
    /// What this port answers for.
    pub parts: Parts,
    /// Whose key was shown.
    pub caller: Caller,
    /// The head alone; what the body was is had by `body()`.
    pub request: Request<()>,
    /// What stands for the `{…}` of the path, decoded.
    pub segments: Vec<String>,
    pub(crate) body: Bytes,
    /// Of the bytes that all bodies may have together.
    pub(crate) _share: Share,
    pub(crate) owner: Owner,
}

impl Call {
    /// The whole body; whoever takes it has it alone.
    pub fn body(&mut self) -> Bytes {
        std::mem::take(&mut self.body)
    }

    /// A place among those who are spoken for.
    pub fn enter(&self) -> Result<Place, Fault> {
        self.caller.enter(&self.app.admission, self.owner)
    }

    /// All of them, as they came.
    pub fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// As it came, not decoded; empty if there is none.
    pub fn query(&self) -> &str {
        self.request.uri().query().unwrap_or_default()
    }

    /// The `{…}` at this place, counted from 0; empty if the path has fewer.
    pub fn segment(&self, place: usize) -> &str {
        self.segments.get(place).map_or("", String::as_str)
    }
}

/// What one or more routes have in common.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) part: Part,
    pub(crate) who: Who,
    pub(crate) body_max: Option<usize>,
    pub(crate) serve: Serve,
    /// The document of the handler alone.
    pub(crate) document: fn() -> OpenApi,
}

impl Kind {
    /// A route for each method of the handler's document, and for each other
    /// place where the same is answered.
    pub(crate) fn routes(&self, also: &[(Method, &str)]) -> Vec<Route> {
        let mut document = (self.document)();
        let paths = document.paths.paths.iter_mut();
        let places = paths.flat_map(|(path, item)| {
            let methods = operations(item).map(|(method, _)| method);
            methods
                .map(|method| (method, path.clone()))
                .collect::<Vec<_>>()
        });
        let also = also
            .iter()
            .map(|(method, path)| (method.clone(), (*path).to_owned()));
        places
            .chain(also)
            .map(|(method, path)| self.route(method, path))
            .collect()
    }

    fn route(&self, method: Method, path: String) -> Route {
        Route {
            method,
            path,
            name: self.name,
            part: self.part,
            who: self.who,
            body_max: self.body_max,
            serve: self.serve,
            document: self.document,
        }
    }
}

/// What a path answers, by method.
pub(crate) fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let all = [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::DELETE, &mut item.delete),
        (Method::OPTIONS, &mut item.options),
        (Method::HEAD, &mut item.head),
        (Method::PATCH, &mut item.patch),
        (Method::TRACE, &mut item.trace),
    ];
    all.into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Routes, a line for each handler: who may ask, its name in metrics and logs,
/// the handler, the most bytes of its body where that is not
/// `server.body_max`, and where else the same is answered. Method and path
/// stand in the description beside the handler, `#[utoipa::path]`.
macro_rules! routes {
    ($part:expr; $($who:ident $name:literal => $module:ident::$handler:ident
        $([$most:expr])? $(also $($method:ident $path:literal),+)?;)*) => {{
        let mut routes = Vec::new();
        $({
            #[derive(utoipa::OpenApi)]
            #[openapi(paths($module::$handler))]
            struct Document;

            let kind = $crate::http::route::Kind {
                name: $name,
                part: $part,
                who: $crate::http::parts::Who::$who,
                body_max: [$(Some($most),)? None][0],
                serve: |call| Box::pin($module::$handler(call)),
                document: <Document as utoipa::OpenApi>::openapi,
            };
            routes.extend(kind.routes(&[$($((hyper::Method::$method, $path)),+)?]));
        })*
        routes
    }};
}
pub(crate) use routes;
