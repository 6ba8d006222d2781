//! What stands before the samples in a WAV file.

use super::raw::Depth;
use crate::format::Shape;

/// The size of a stream that has no size yet. SoX, libsndfile, SciPy and
/// Python's `wave` then read until the end, as ffmpeg writes it into a pipe;
/// 0 would be an empty file to some of them and no WAV file to others. SoX and
/// SciPy warn that the file ends early, which no size avoids for both.
const UNKNOWN: u32 = u32::MAX;

pub(super) fn header(shape: Shape, depth: Depth, length: Option<u64>) -> Vec<u8> {
    let channels = shape.channels.count();
    let frame = channels * depth.bytes();
    let format = chunk(*b"fmt ", &description(shape, depth));
    // Only PCM does without the number of samples.
    let fact = match depth {
        Depth::S16 => Vec::new(),
        Depth::F32 => chunk(*b"fact", &number(length).to_le_bytes()),
    };
    let before = 4 + format.len() as u64 + fact.len() as u64 + 8;
    let data = length.and_then(|length| length.checked_mul(u64::from(frame)));
    // A file beyond 4 GiB cannot say its size; it is read like a stream.
    let sizes = data.and_then(|data| {
        let whole = u32::try_from(data.checked_add(before)?).ok()?;
        Some((whole, data as u32))
    });
    let (whole, data) = sizes.unwrap_or((UNKNOWN, UNKNOWN));

    let mut header = Vec::new();
    header.extend(b"RIFF");
    header.extend(whole.to_le_bytes());
    header.extend(b"WAVE");
    header.extend(format);
    header.extend(fact);
    header.extend(b"data");
    header.extend(data.to_le_bytes());
    header
}

fn description(shape: Shape, depth: Depth) -> Vec<u8> {
    let channels = shape.channels.count();
    let frame = channels * depth.bytes();
    let tag: u16 = match depth {
        Depth::S16 => 1,
        Depth::F32 => 3,
    };
    let mut bytes = Vec::new();
    bytes.extend(tag.to_le_bytes());
    bytes.extend(channels.to_le_bytes());
    bytes.extend(shape.rate.to_le_bytes());
    bytes.extend((shape.rate * u32::from(frame)).to_le_bytes());
    bytes.extend(frame.to_le_bytes());
    bytes.extend((depth.bytes() * 8).to_le_bytes());
    if depth == Depth::F32 {
        bytes.extend(0u16.to_le_bytes()); // no extension follows
    }
    bytes
}

fn number(length: Option<u64>) -> u32 {
    length
        .and_then(|length| u32::try_from(length).ok())
        .unwrap_or(UNKNOWN)
}

fn chunk(name: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = name.to_vec();
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.extend(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Channels;

    const SHAPE: Shape = Shape {
        rate: 44_100,
        channels: Channels::Mono,
    };

    #[test]
    fn a_header_counts_the_bytes() {
        let header = header(SHAPE, Depth::S16, Some(2));
        assert_eq!(header.len(), 44);
        assert_eq!(header[4..8], 40u32.to_le_bytes());
        assert_eq!(header[24..28], 44_100u32.to_le_bytes());
        assert_eq!(header[28..32], 88_200u32.to_le_bytes());
        assert_eq!(header[40..44], 4u32.to_le_bytes());
    }

    #[test]
    fn floats_come_with_their_number() {
        let shape = Shape {
            channels: Channels::Stereo,
            ..SHAPE
        };
        let header = header(shape, Depth::F32, Some(2));
        assert_eq!(header.len(), 58);
        assert_eq!(header[4..8], (50u32 + 16).to_le_bytes());
        assert_eq!(header[20..22], 3u16.to_le_bytes());
        assert_eq!(header[38..50], *b"fact\x04\0\0\0\x02\0\0\0");
        assert_eq!(header[54..58], 16u32.to_le_bytes());
    }

    #[test]
    fn what_cannot_be_said_is_unknown() {
        for length in [None, Some(u64::MAX), Some(u64::from(u32::MAX / 2))] {
            let header = header(SHAPE, Depth::S16, length);
            assert_eq!(header[4..8], [0xFF; 4], "{length:?}");
            assert_eq!(header[40..44], [0xFF; 4], "{length:?}");
        }
    }
}
