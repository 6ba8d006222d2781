//! What went wrong → what the caller is told: status, Retry-After and
//! problem+json (RFC 9457), in one match. A dialect may tell it in its own
//! shape.

use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

use serde::Serialize;
use utoipa::ToSchema;

use crate::http::answer::{self, Answer};

/// Who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Who {
    /// Send something else.
    Caller,
    /// Send the same again later.
    Time,
    /// Look at the server.
    Operator,
}

/// RFC 9457, with who can mend it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Problem<'a> {
    /// `about:blank`: the status says what kind it is.
    r#type: &'a str,
    /// The status in words.
    title: &'a str,
    status: u16,
    /// What went wrong, and the cure if there is one.
    detail: &'a str,
    who_can_act: Who,
    /// As in the header and in the log.
    request_id: &'a str,
}

/// A failed request, ready to be told.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The HTTP status of the answer.
    pub status: StatusCode,
    /// Who can mend it, for the answer and the log.
    pub who: Who,
    /// What went wrong, and the cure if there is one.
    pub detail: String,
    /// Seconds after which another try makes sense.
    pub retry_after: Option<u32>,
    /// The field or parameter that is wrong.
    pub field: Option<String>,
    /// Methods that would do.
    pub allow: Option<String>,
    /// What a dialect tells in place of the detail.
    pub told: Option<Box<serde_json::Value>>,
}

impl Fault {
    /// The same request would fail again: something else has to be sent.
    pub fn caller(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            who: Who::Caller,
            detail: detail.into(),
            retry_after: None,
            field: None,
            allow: None,
            told: None,
        }
    }

    /// The same request may do after so many seconds; 503.
    pub fn later(detail: impl Into<String>, seconds: u32) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            who: Who::Time,
            detail: detail.into(),
            retry_after: Some(seconds),
            field: None,
            allow: None,
            told: None,
        }
    }

    /// More than this caller may ask.
    pub fn too_many(detail: impl Into<String>, seconds: u32) -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            ..Self::later(detail, seconds)
        }
    }

    /// A field of the request is wrong.
    pub fn field(status: StatusCode, field: &str, detail: impl Into<String>) -> Self {
        Self {
            field: Some(field.to_owned()),
            ..Self::caller(status, detail)
        }
    }

    /// Nothing that is sent would do until somebody looks at the server.
    pub fn operator(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            who: Who::Operator,
            detail: detail.into(),
            retry_after: None,
            field: None,
            allow: None,
            told: None,
        }
    }

    /// As our own routes tell it.
    pub fn problem(&self, request_id: &str) -> Answer {
        let problem = Problem {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            who_can_act: self.who,
            request_id,
        };
        self.dress(answer::json_as("application/problem+json", &problem))
    }

    /// Gives an answer the status and the headers of this failure.
    pub fn dress(&self, mut answer: Answer) -> Answer {
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = &self.allow
            && let Ok(allow) = HeaderValue::from_str(allow)
        {
            headers.insert(ALLOW, allow);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        answer
    }
}

impl From<pipeline::Error> for Fault {
    fn from(error: pipeline::Error) -> Self {
        use pipeline::Error;
        let detail = error.to_string();
        match error {
            Error::Request(_) => Self::caller(StatusCode::BAD_REQUEST, detail),
            Error::Text(_) => Self::field(StatusCode::BAD_REQUEST, "text", detail),
            Error::TooLarge(_) => Self::caller(StatusCode::PAYLOAD_TOO_LARGE, detail),
            Error::Unknown { kind, .. } => Self::field(StatusCode::NOT_FOUND, kind, detail),
            Error::Busy { waited } => Self::later(
                detail,
                u32::try_from(waited.as_secs()).unwrap_or(60).clamp(1, 60),
            ),
            Error::Full { after } => {
                let seconds = after.as_secs_f64().ceil() as u32;
                Self::later(detail, seconds.clamp(1, 600))
            }
            // Runs end in seconds, and with them what they hold.
            Error::NoRoom { .. } => Self::later(detail, 2),
            Error::Deadline { .. } => Self {
                status: StatusCode::GATEWAY_TIMEOUT,
                ..Self::later(detail, 10)
            },
            // Once it is mended it is read within a second, where files are
            // watched.
            Error::Broken { .. } => Self {
                retry_after: Some(5),
                ..Self::operator(StatusCode::SERVICE_UNAVAILABLE, detail)
            },
            Error::Plugin { .. } => Self::operator(StatusCode::BAD_GATEWAY, detail),
            Error::Model { .. } | Error::Gone | Error::Lost(_) => {
                Self::operator(StatusCode::INTERNAL_SERVER_ERROR, detail)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_failure_says_who_can_act() {
        use pipeline::Error;
        let wait = Duration::from_secs(3);
        let (what, cause) = (|| "x".to_owned(), || "c".to_owned());
        let unknown = |kind| Error::Unknown {
            kind,
            name: what(),
            known: Vec::new(),
        };
        let table = [
            // What failed, its status, who can act, when, and what is wrong.
            (Error::Request(what()), 400, Who::Caller, None, None),
            (Error::Text(what()), 400, Who::Caller, None, Some("text")),
            (Error::TooLarge(what()), 413, Who::Caller, None, None),
            (unknown("voice"), 404, Who::Caller, None, Some("voice")),
            (unknown("style"), 404, Who::Caller, None, Some("style")),
            (Error::Busy { waited: wait }, 503, Who::Time, Some(3), None),
            (Error::Full { after: wait }, 503, Who::Time, Some(3), None),
            (
                Error::NoRoom {
                    cause: cause(),
                    waited: wait,
                },
                503,
                Who::Time,
                Some(2),
                None,
            ),
            (
                Error::Deadline { limit: wait },
                504,
                Who::Time,
                Some(10),
                None,
            ),
            (
                Error::Broken {
                    kind: "voice",
                    name: what(),
                    cause: cause(),
                },
                503,
                Who::Operator,
                Some(5),
                None,
            ),
            (
                Error::Plugin {
                    plugin: what(),
                    cause: cause(),
                },
                502,
                Who::Operator,
                None,
                None,
            ),
            (
                Error::Model {
                    model: what(),
                    cause: cause(),
                },
                500,
                Who::Operator,
                None,
                None,
            ),
            (Error::Lost(what()), 500, Who::Operator, None, None),
        ];
        for (error, status, who, retry_after, field) in table {
            let named = format!("{error:?}");
            let fault = Fault::from(error);
            assert_eq!(
                (
                    fault.status.as_u16(),
                    fault.who,
                    fault.retry_after,
                    fault.field.as_deref()
                ),
                (status, who, retry_after, field),
                "{named}"
            );
        }
    }
}
