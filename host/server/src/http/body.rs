//! A request's body, whole, bounded in bytes and time, before anything else is
//! done for it: nobody holds a place while it is waited for.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body as _, Incoming};
use tokio::time::Instant;

use crate::config::Server;
use crate::http::fault::Fault;
use crate::http::shares::{Share, Short};

/// A body of no interest is read so far and so long, to keep the connection.
const PASSED_OVER: u64 = 64 << 10;
const PASSING: Duration = Duration::from_secs(1);

/// What is there is counted in `share`.
pub(crate) async fn read(
    incoming: &mut Incoming,
    most: usize,
    settings: &Server,
    share: &mut Share,
) -> Result<Bytes, Fault> {
    // Told before it is sent, and before it is invited by a 100.
    if incoming.size_hint().lower() > most as u64 {
        return Err(too_large(most));
    }
    let start = Instant::now();
    let (limit, rate) = (settings.body_timeout.0, settings.body_rate.0.max(1));
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    loop {
        let read = first.len() + all.len();
        // A large body may take its time, but not as long as it likes.
        let allowed = limit + Duration::from_secs_f64(read as f64 / rate as f64);
        let frame = tokio::time::timeout_at(start + allowed, incoming.frame());
        let frame = match frame.await {
            Ok(None) if all.is_empty() => return Ok(first),
            Ok(None) => return Ok(all.freeze()),
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                let detail = format!("the body broke off: {error}");
                return Err(Fault::caller(StatusCode::BAD_REQUEST, detail));
            }
            Err(_) => {
                let detail = format!("the body did not arrive within {allowed:?}");
                return Err(Fault::caller(StatusCode::REQUEST_TIMEOUT, detail));
            }
        };
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        if piece.len() > most - read {
            return Err(too_large(most));
        }
        share.grow(piece.len()).map_err(short)?;
        if read == 0 {
            first = piece;
        } else {
            // Pieces may be small and their buffers large.
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&piece);
        }
    }
}

/// Whether all of it is read, and the connection fit for the next request.
pub(crate) async fn pass_over(incoming: &mut Incoming, invited: bool) -> bool {
    if incoming.is_end_stream() {
        return true;
    }
    let known = incoming.size_hint().exact();
    if invited || known.is_some_and(|bytes| bytes > PASSED_OVER) {
        return false;
    }
    // In chunks nobody knows how much is to come, not even whether it is the end.
    let rest = async {
        let mut passed = 0;
        while let Some(frame) = incoming.frame().await {
            let Ok(frame) = frame else {
                return false;
            };
            passed += frame.data_ref().map_or(0, Bytes::len) as u64;
            if passed > PASSED_OVER {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(PASSING, rest).await.unwrap_or(false)
}

fn too_large(most: usize) -> Fault {
    let detail = format!("the body has more than {most} bytes");
    Fault::caller(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

fn short(short: Short) -> Fault {
    match short {
        Short::All(most) => Fault::later(
            format!("requests of {most} bytes together are taken in already"),
            2,
        ),
        Short::Address(most) => Fault::too_many(
            format!("this address has requests of {most} bytes under way, the most there may be"),
            2,
        ),
    }
}
