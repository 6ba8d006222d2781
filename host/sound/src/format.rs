//! The formats of an answer, by name.

use crate::error::SoundError;

/// How an answer's samples are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// RIFF, 16 bit.
    #[default]
    Wav,
    /// RIFF, 32-bit float: nothing is clipped.
    WavFloat,
    /// 16-bit little-endian samples and nothing else.
    Pcm,
    /// 32-bit little-endian floats and nothing else.
    PcmFloat,
    /// Lossless, 16 bit.
    Flac,
    /// Opus in Ogg.
    Opus,
    /// Only where the program was built with the feature `mp3`.
    Mp3,
}

/// How many channels an answer has. Voices speak in one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channels {
    /// One channel, as voices speak.
    #[default]
    Mono,
    /// The one channel twice, for players that want two.
    Stereo,
}

/// What the samples of an answer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Samples per second and channel.
    pub rate: u32,
    /// All of them carry the same samples.
    pub channels: Channels,
}

impl Format {
    /// Those that this build cannot write are among them; see
    /// [`offered`](Self::offered).
    pub const ALL: [Self; 7] = [
        Self::Wav,
        Self::WavFloat,
        Self::Pcm,
        Self::PcmFloat,
        Self::Flac,
        Self::Opus,
        Self::Mp3,
    ];

    /// Requests and configuration call it so, such as `wav_float`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::WavFloat => "wav_float",
            Self::Pcm => "pcm",
            Self::PcmFloat => "pcm_float",
            Self::Flac => "flac",
            Self::Opus => "opus",
            Self::Mp3 => "mp3",
        }
    }

    /// Bytes of one sample as it is written; 0 where samples are packed, and
    /// nobody knows beforehand.
    pub fn sample_bytes(self) -> u64 {
        match self {
            Self::Wav | Self::Pcm => 2,
            Self::WavFloat | Self::PcmFloat => 4,
            Self::Flac | Self::Opus | Self::Mp3 => 0,
        }
    }

    /// Of a file name, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Wav | Self::WavFloat => "wav",
            Self::Pcm | Self::PcmFloat => "pcm",
            Self::Flac | Self::Opus | Self::Mp3 => self.name(),
        }
    }

    /// The media type of an answer, for `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Wav | Self::WavFloat => "audio/wav",
            // Not audio/L16, which is big-endian.
            Self::Pcm | Self::PcmFloat => "audio/pcm",
            Self::Flac => "audio/flac",
            Self::Opus => "audio/ogg; codecs=opus",
            Self::Mp3 => "audio/mpeg",
        }
    }

    /// Whether this build can write it.
    pub fn offered(self) -> bool {
        self != Self::Mp3 || cfg!(feature = "mp3")
    }

    /// The rate to which samples of this rate are brought before they are
    /// encoded.
    pub fn rate_for(self, rate: u32) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::Mp3 => nearest(&MP3_RATES, rate),
            Self::Flac => rate.min(FLAC_HIGHEST),
            Self::Wav | Self::WavFloat | Self::Pcm | Self::PcmFloat => rate,
        }
    }
}

impl Channels {
    /// Samples of one frame.
    pub fn count(self) -> u16 {
        match self {
            Self::Mono => 1,
            Self::Stereo => 2,
        }
    }
}

/// Refuses the rates that nobody means: sizes of tables follow from a rate.
pub(crate) fn check_rate(rate: u32) -> Result<(), SoundError> {
    if (LOWEST..=HIGHEST).contains(&rate) {
        return Ok(());
    }
    Err(SoundError::Rate {
        rate,
        lowest: LOWEST,
        highest: HIGHEST,
    })
}

const LOWEST: u32 = 1_000;
const HIGHEST: u32 = 192_000;

/// What the FLAC encoder accepts.
const FLAC_HIGHEST: u32 = 96_000;

/// MPEG 1, 2 and 2.5, layer 3.
const MP3_RATES: [u32; 9] = [
    8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000,
];

fn nearest(rates: &[u32], rate: u32) -> u32 {
    let distance = |of: &&u32| of.abs_diff(rate);
    rates.iter().min_by_key(distance).copied().unwrap_or(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_says_at_which_rate_it_wants_samples() {
        assert_eq!(Format::Opus.rate_for(44_100), 48_000);
        assert_eq!(Format::Mp3.rate_for(44_100), 44_100);
        assert_eq!(Format::Mp3.rate_for(40_000), 44_100);
        assert_eq!(Format::Mp3.rate_for(96_000), 48_000);
        assert_eq!(Format::Mp3.rate_for(1_000), 8_000);
        assert_eq!(Format::Flac.rate_for(24_000), 24_000);
        assert_eq!(Format::Wav.rate_for(96_000), 96_000);
    }

    #[test]
    fn mp3_is_offered_only_where_it_is_built_in() {
        for format in Format::ALL {
            let built_in = format != Format::Mp3 || cfg!(feature = "mp3");
            assert_eq!(format.offered(), built_in, "{}", format.name());
        }
    }
}
