//! What a route is, and one request as its handler gets it.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::HeaderMap;
use hyper::{Method, Request};

use crate::app::App;
use crate::http::access::{Caller, Place};
use crate::http::answer::Answer;
use crate::http::fault::Fault;
use crate::http::parts::{Part, Parts, Who};
use crate::http::shares::{Owner, Share};

/// One way to ask something.
pub struct Route {
    pub method: Method,
    /// `{name}` stands for one segment.
    pub path: &'static str,
    /// In metrics and logs.
    pub name: &'static str,
    pub part: Part,
    pub who: Who,
    /// Most bytes of its body, where that is not `server.body_max`.
    pub(crate) body_max: Option<usize>,
    pub(crate) serve: Serve,
}

impl Route {
    /// Whatever can be got has a head. hyper leaves out the body.
    pub(crate) fn has_head(&self) -> bool {
        self.method == Method::GET
    }
}

pub(crate) type Served = Pin<Box<dyn Future<Output = Result<Answer, Fault>> + Send>>;
pub(crate) type Serve = fn(Call) -> Served;

/// One request, as its handler gets it: whole. No handler can wait for its
/// caller, whatever it holds.
pub struct Call {
    pub app: Arc<App>,
    pub id: String,
    /// What this port answers for.
    pub parts: Parts,
    pub caller: Caller,
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

    pub fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    pub fn query(&self) -> &str {
        self.request.uri().query().unwrap_or_default()
    }

    pub fn segment(&self, place: usize) -> &str {
        self.segments.get(place).map_or("", String::as_str)
    }
}

macro_rules! routes {
    ($($method:ident $path:literal $name:literal $who:ident $part:expr => $serve:path $(, $most:expr)?;)*) => {
        vec![$($crate::http::route::Route {
            method: hyper::Method::$method,
            path: $path,
            name: $name,
            part: $part,
            who: crate::http::parts::Who::$who,
            body_max: [$(Some($most),)? None][0],
            serve: |call| Box::pin($serve(call)),
        }),*]
    };
}
pub(crate) use routes;
