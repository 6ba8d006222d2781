//! What can go wrong with sound, and who can act.

use crate::format::Format;
use crate::prosody::Change;

/// What cannot be done with samples.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum SoundError {
    /// The operator can act where a voice says such a rate, the caller where a
    /// request does.
    #[error("a sampling rate of {rate} Hz is outside {lowest} to {highest} Hz")]
    Rate {
        /// In Hz, as it was asked for.
        rate: u32,
        /// In Hz, inclusive.
        lowest: u32,
        /// In Hz, inclusive.
        highest: u32,
    },
    /// Ours to mend: [`Format::rate_for`] was not asked.
    #[error("{} cannot carry {rate} Hz: resample to {wanted} Hz first", .format.name())]
    FormatRate {
        /// The format that was asked for.
        format: Format,
        /// In Hz, as the samples are.
        rate: u32,
        /// In Hz, as the format can carry them.
        wanted: u32,
    },
    /// The caller can act: another format; or the operator: another build.
    #[error("{} is not built in: build with the feature `{}`", .0.name(), .0.name())]
    NotOffered(Format),
    /// Ours to mend: a header was written for another number of samples.
    #[error("{promised} samples were promised to the encoder, {given} were given")]
    Length { promised: u64, given: u64 },
    /// The library that encodes gave up, in its own words.
    #[error("the {} encoder failed: {reason}", .format.name())]
    Encoder { format: Format, reason: String },
    /// The caller can act: a smaller change of pitch or intonation.
    #[error(
        "a pitch of {} and an intonation of {} are out of reach: pitch is 0.25 to 4, intonation 0 to 4", .0.pitch, .0.intonation
    )]
    Change(Change),
    /// WORLD refused its parameters, in its own words.
    #[error("the vocoder failed: {0}")]
    Vocoder(String),
    /// Whoever has the file can act: it is something else, or cut short.
    #[error("not a WAV file: {0}")]
    NotWav(&'static str),
    /// Whoever has the file can act: its samples are stored in a way that few
    /// files have.
    #[error(
        "WAV encoding {tag:#06x} with {bits} bits is not read: save the file as 16-bit PCM or 32-bit float"
    )]
    WavEncoding { tag: u16, bits: u16 },
}
