//! Samples become an answer's bytes: formats, rates, levels and melody.
//!
//! In go mono `f32` samples within ±1, out come bytes or samples, chunk by
//! chunk: what comes out never depends on how the input was cut. No HTTP, no
//! async, no files, no models. A sample that is not a number counts as 0.
//!
//! The feature `mp3` links LAME, which is under the LGPL; everything else here
//! is permissive. Without it [`Format::Mp3`] is known and not offered.

pub mod prosody;
pub mod wav;

mod encode;
mod error;
mod format;
mod level;
mod resample;
mod samples;

pub use encode::Encoder;
pub use error::SoundError;
pub use format::{Channels, Format, Shape};
pub use level::Leveller;
pub use resample::Resampler;
pub use samples::{normalize_peak, normalize_to, peak, quietest, silence, trim};

#[cfg(test)]
mod tests {
    #[test]
    fn everything_may_move_between_threads() {
        fn moves<T: Send>() {}
        moves::<super::Encoder>();
        moves::<super::Resampler>();
        moves::<super::Leveller>();
    }
}
