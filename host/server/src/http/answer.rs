//! Answers: small ones in one piece, sound as it is made.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

/// Every handler answers with one.
pub type Answer = Response<Body>;

/// The bytes of an answer.
pub enum Body {
    /// The length is known, and told in the head.
    Whole(Bytes),
    /// The length is not known; over HTTP/1.1 it comes in chunks.
    Flow(Box<dyn Flow>),
}

/// Bytes that come over time. Dropped as soon as the client has gone.
pub trait Flow: Send + Unpin {
    /// None after the last bytes; an error cuts the connection, so that nobody
    /// takes what came for all there is.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>>;
}

/// Why an answer ends before its end.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the answer was cut off: {0}")]
pub struct Cut(pub String);

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut *self {
            Self::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::Flow(flow) => {
                let bytes = flow.poll_next(context);
                bytes.map(|bytes| bytes.map(|bytes| bytes.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Flow(_) => SizeHint::default(),
        }
    }
}

/// With status 200, as `application/json`; what JSON cannot say is a 500.
pub fn json(value: &impl serde::Serialize) -> Answer {
    json_as("application/json", value)
}

/// The same as another media type, such as `application/problem+json`.
pub fn json_as(content_type: &'static str, value: &impl serde::Serialize) -> Answer {
    match serde_json::to_string(value) {
        Ok(text) => with_type(content_type, text),
        // Maps with keys that are no strings; none of ours are.
        Err(error) => status(StatusCode::INTERNAL_SERVER_ERROR, text(error.to_string())),
    }
}

/// With status 200, as `text/plain` in UTF-8.
pub fn text(body: impl Into<Bytes>) -> Answer {
    with_type("text/plain; charset=utf-8", body)
}

/// With status 200; the media type is in the head as it is given.
pub fn with_type(content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Body::Whole(body.into()));
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// Nothing to say but that it is done.
pub fn no_content() -> Answer {
    status(
        StatusCode::NO_CONTENT,
        Response::new(Body::Whole(Bytes::new())),
    )
}

/// The same answer with another status.
pub fn status(status: StatusCode, mut answer: Answer) -> Answer {
    *answer.status_mut() = status;
    answer
}
