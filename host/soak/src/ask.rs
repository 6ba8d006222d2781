//! One request as a server takes it, by a reader of its kind.

use std::time::Duration;

use pipeline::{Delivery, Error, Format, Pin, Request, Sound, Stream, VoiceRef, begin, synthesize};

use crate::plan::Reader;

/// What became of a request that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Whole,
    Streamed,
    Slowly,
    /// Its reader went and the work was ended.
    Left,
}

/// A slow reader sleeps so long before each piece; a piece is 1.5 s of sound,
/// and a processor makes it in less.
const NAP: Duration = Duration::from_millis(80);

pub(crate) async fn ask(
    pin: Pin,
    voice: String,
    text: String,
    reader: Reader,
) -> Result<Taken, Error> {
    let request = Request {
        text,
        voice: VoiceRef::named(voice),
        delivery: match reader {
            Reader::Whole => Delivery::Whole,
            Reader::Stream | Reader::Slow | Reader::Vanishing => Delivery::Stream,
        },
        sound: Sound {
            format: Format::Pcm,
            ..Sound::default()
        },
        ..Request::default()
    };
    if reader == Reader::Whole {
        return synthesize(&pin, request).await.map(|_| Taken::Whole);
    }
    let (performance, stream) = begin(&pin, request).await?;
    let (spoken, read) = tokio::join!(performance.run(), read(stream, reader));
    match (reader, spoken, read) {
        (Reader::Vanishing, Err(Error::Gone), Ok(())) => Ok(Taken::Left),
        (_, Err(error), _) | (_, _, Err(error)) => Err(error),
        (Reader::Slow, Ok(_), Ok(())) => Ok(Taken::Slowly),
        // A word may be said before its reader is gone.
        (_, Ok(_), Ok(())) => Ok(Taken::Streamed),
    }
}

async fn read(mut stream: Stream, reader: Reader) -> Result<(), Error> {
    loop {
        if reader == Reader::Slow {
            tokio::time::sleep(NAP).await;
        }
        match stream.next().await {
            Some(Ok(_)) if reader == Reader::Vanishing => return Ok(()),
            Some(piece) => drop(piece?),
            None => return Ok(()),
        }
    }
}
