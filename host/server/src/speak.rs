//! One speech request, whichever dialect it came in: taken in, spoken, sent
//! as it is made.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use pipeline::{Delivery, Head, Pin, Request, Stream};

use crate::app::App;
use crate::events;
use crate::http::access::Place;
use crate::http::answer::{Answer, Body, Cut, Flow};
use crate::http::fault::Fault;

/// An answer of which the first sound is there. Dropping it ends the work.
pub struct Speech {
    stream: Stream,
    first: Option<Bytes>,
    /// For the whole life of the request.
    _pin: Pin,
    _place: Arc<Place>,
}

/// Begins to speak and waits for the first sound, so that everything that can
/// go wrong before it has a status of its own. `pin` is the generation whose
/// names the request was made of.
pub async fn speak(
    app: &Arc<App>,
    pin: Pin,
    place: Place,
    mut request: Request,
    request_id: &str,
) -> Result<Speech, Fault> {
    let start = Instant::now();
    request.priority = place.priority(request.priority);
    let voice = request.voice.to_string();
    let (performance, mut stream) = pipeline::begin(&pin, request).await?;
    let (id, warnings) = (request_id.to_owned(), stream.head().warnings.len());
    let number = pin.number();
    app.tasks.spawn(async move {
        match performance.run().await {
            Ok(spoken) => events::spoken(&spoken, &voice, number, warnings, &id),
            Err(error) => events::unspoken(&error, &voice, start.elapsed(), &id),
        }
    });
    let place = Arc::new(place);
    if let Some(behind) = stream.behind() {
        let place = Arc::downgrade(&place);
        app.tasks.spawn(async move {
            if let (Ok(()), Some(place)) = (behind.await, place.upgrade()) {
                place.stand_aside();
            }
        });
    }
    let first = match stream.next().await {
        Some(first) => first?,
        None => Bytes::new(),
    };
    Ok(Speech {
        stream,
        first: Some(first),
        _pin: pin,
        _place: place,
    })
}

impl Speech {
    /// What is known of the answer: its first sound is there.
    pub fn head(&self) -> &Head {
        self.stream.head()
    }

    /// The sound itself.
    pub fn answer(self) -> Answer {
        let head = self.head();
        let mut headers = told(head);
        let content_type = HeaderValue::from_static(head.format.content_type());
        headers.insert(CONTENT_TYPE, content_type);
        let mut answer = Response::new(self.body());
        answer.headers_mut().extend(headers);
        answer
    }

    /// The same without its head.
    pub fn body(mut self) -> Body {
        match self.head().delivery {
            Delivery::Whole => Body::Whole(self.first.take().unwrap_or_default()),
            Delivery::Stream => Body::Flow(Box::new(self)),
        }
    }

    /// Everything, once it is there.
    pub async fn collect(mut self) -> Result<Vec<u8>, Fault> {
        let mut bytes = self.first.take().unwrap_or_default().to_vec();
        while let Some(more) = self.stream.next().await {
            bytes.extend(more?);
        }
        Ok(bytes)
    }
}

impl Flow for Speech {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let next = self.stream.poll_next(context);
        next.map(|next| next.map(|next| next.map_err(|error| Cut(error.to_string()))))
    }
}

/// What the headers say of an answer.
pub fn told(head: &Head) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut number = |name, value: u64| headers.insert(name, HeaderValue::from(value));
    number("x-koemasu-generation", head.generation.get());
    number("x-koemasu-sampling-rate", head.sampling_rate.into());
    number("x-koemasu-warnings", head.warnings.len() as u64);
    let loudness = HeaderValue::from_static(head.loudness.name());
    headers.insert("x-koemasu-loudness", loudness);
    for warning in head.warnings.iter().take(16) {
        // Warnings quote the text: percent-encode what a header cannot hold.
        if let Ok(value) = HeaderValue::from_str(&percent_encode(warning)) {
            headers.append("x-koemasu-warning", value);
        }
    }
    headers
}

fn percent_encode(text: &str) -> String {
    /// What is neither printable ASCII nor `%`; other bytes are encoded anyway.
    const UNFIT: &AsciiSet = &CONTROLS.add(b'%');
    utf8_percent_encode(text, UNFIT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_fit_into_a_header() {
        assert_eq!(percent_encode("a 100% é"), "a 100%25 %C3%A9");
    }
}
