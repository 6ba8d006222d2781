//! What can go wrong with sound, and who can act.

use crate::format::Format;
use crate::prosody::Change;

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum SoundError {
    #[error("a sampling rate of {rate} Hz is outside {lowest} to {highest} Hz")]
    Rate {
        rate: u32,
        lowest: u32,
        highest: u32,
    },
    #[error("{} cannot carry {rate} Hz: resample to {wanted} Hz first", .format.name())]
    FormatRate {
        format: Format,
        rate: u32,
        wanted: u32,
    },
    #[error("{} is not built in: build with the feature `{}`", .0.name(), .0.name())]
    NotOffered(Format),
    #[error("{promised} samples were promised to the encoder, {given} were given")]
    Length { promised: u64, given: u64 },
    #[error("the {} encoder failed: {reason}", .format.name())]
    Encoder { format: Format, reason: String },
    #[error(
        "a pitch of {} and an intonation of {} are out of reach: pitch is 0.25 to 4, intonation 0 to 4", .0.pitch, .0.intonation
    )]
    Change(Change),
    #[error("the vocoder failed: {0}")]
    Vocoder(String),
    #[error("not a WAV file: {0}")]
    NotWav(&'static str),
    #[error(
        "WAV encoding {tag:#06x} with {bits} bits is not read: save the file as 16-bit PCM or 32-bit float"
    )]
    WavEncoding { tag: u16, bits: u16 },
}
