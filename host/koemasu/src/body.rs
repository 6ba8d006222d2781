//! A request's body, whole, bounded in bytes and time.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::Incoming;

use crate::fault::Fault;

pub(crate) async fn body(
    incoming: &mut Incoming,
    most: usize,
    limit: Duration,
) -> Result<Bytes, Fault> {
    let whole = Limited::new(incoming, most).collect();
    match tokio::time::timeout(limit, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Fault::caller(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body has more than {most} bytes"),
        )),
        Ok(Err(error)) => Err(Fault::caller(
            StatusCode::BAD_REQUEST,
            format!("the body broke off: {error}"),
        )),
        Err(_) => Err(Fault::caller(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not arrive within {limit:?}"),
        )),
    }
}
