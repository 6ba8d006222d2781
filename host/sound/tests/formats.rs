//! Every format, from samples to bytes and back.

use proptest::prelude::*;
use sound::{Channels, Encoder, Format, Shape, SoundError};

fn encode(
    format: Format,
    shape: Shape,
    length: Option<u64>,
    chunks: &[&[f32]],
) -> Result<Vec<u8>, SoundError> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(format, shape, length)?;
    for chunk in chunks {
        encoder.push(chunk, &mut bytes)?;
    }
    encoder.finish(&mut bytes)?;
    Ok(bytes)
}

fn offered() -> impl Iterator<Item = Format> {
    Format::ALL.into_iter().filter(|format| format.offered())
}

fn shape(format: Format, channels: Channels) -> Shape {
    Shape {
        rate: format.rate_for(24_000),
        channels,
    }
}

fn s16(sample: f32) -> i32 {
    if sample.is_finite() {
        (sample * 32_767.0).clamp(-32_767.0, 32_767.0) as i32
    } else {
        0
    }
}

/// Long enough for several frames of every format, the last one short.
fn tone() -> Vec<f32> {
    (0..20_001)
        .map(|index| (index as f32 * 0.05).sin() * 0.7)
        .collect()
}

#[test]
fn flac_gives_back_every_sample() {
    for channels in [Channels::Mono, Channels::Stereo] {
        for length in [None, Some(20_001)] {
            let shape = shape(Format::Flac, channels);
            let bytes = encode(Format::Flac, shape, length, &[&tone()]).expect("bytes");
            assert!(bytes.len() < tone().len(), "it is smaller");
            let mut reader = claxon::FlacReader::new(&bytes[..]).expect("a stream");
            let info = reader.streaminfo();
            assert_eq!(info.samples, length);
            assert_eq!(info.sample_rate, 24_000);
            assert_eq!(info.channels, u32::from(channels.count()));
            let heard: Vec<_> = reader
                .samples()
                .map(|sample| sample.expect("a sample"))
                .collect();
            let wanted: Vec<_> = tone()
                .into_iter()
                .flat_map(|sample| vec![s16(sample); usize::from(channels.count())])
                .collect();
            assert_eq!(heard, wanted);
        }
    }
}

#[test]
fn flac_takes_every_length_and_rate() {
    for rate in [1_000, 8_000, 22_050, 44_100, 65_537, 96_000] {
        for length in [0, 1, 2, 15, 16, 31, 63, 64, 65, 4_095, 4_096, 4_097] {
            let shape = Shape {
                rate,
                channels: Channels::Stereo,
            };
            let samples = &tone()[..length];
            let bytes = encode(Format::Flac, shape, None, &[samples]).expect("bytes");
            let mut reader = claxon::FlacReader::new(&bytes[..]).expect("a stream");
            let heard: Vec<_> = reader
                .samples()
                .map(|sample| sample.expect("a sample"))
                .collect();
            let wanted: Vec<_> = samples
                .iter()
                .flat_map(|sample| [s16(*sample); 2])
                .collect();
            assert_eq!(heard, wanted, "{length} samples at {rate} Hz");
        }
    }
}

#[test]
fn the_first_bytes_come_before_the_end() {
    for format in offered() {
        let mut bytes = Vec::new();
        let shape = shape(format, Channels::Mono);
        let mut encoder = Encoder::new(format, shape, None).expect("an encoder");
        // Less than half a second, however high the rate.
        encoder.push(&tone()[..20_000], &mut bytes).expect("bytes");
        assert!(
            bytes.len() > 300,
            "{}: {} bytes",
            format.name(),
            bytes.len()
        );
    }
}

#[test]
fn a_broken_promise_is_said() {
    for format in offered() {
        for given in [9, 11] {
            let shape = shape(format, Channels::Mono);
            let error =
                encode(format, shape, Some(10), &[&tone()[..given]]).expect_err("a refusal");
            let promised = 10;
            let given = given as u64;
            assert_eq!(error, SoundError::Length { promised, given });
        }
    }
}

#[test]
fn rates_that_do_not_fit_are_refused() {
    let at = |rate| Shape {
        rate,
        channels: Channels::Mono,
    };
    for format in offered() {
        assert!(Encoder::new(format, at(0), None).is_err());
        assert!(Encoder::new(format, at(u32::MAX), None).is_err());
    }
    let error = Encoder::new(Format::Flac, at(192_000), None).err();
    assert_eq!(
        error.map(|error| error.to_string()).as_deref(),
        Some("flac cannot carry 192000 Hz: resample to 96000 Hz first")
    );
}

#[test]
fn opus_gives_back_the_sound_as_long_as_it_was() {
    for channels in [Channels::Mono, Channels::Stereo] {
        for length in [0, 1, 959, 960, 20_001] {
            let samples = &tone()[..length];
            let bytes = encode(
                Format::Opus,
                shape(Format::Opus, channels),
                None,
                &[samples],
            )
            .expect("bytes");
            let count = usize::from(channels.count());
            let heard = decode_opus(&bytes, count);
            assert_eq!(heard.len(), length * count);
            if length > 10_000 {
                let noise: f32 = heard
                    .chunks(count)
                    .zip(samples)
                    .map(|(heard, sample)| (heard[0] - sample).powi(2))
                    .sum();
                let sound: f32 = samples.iter().map(|sample| sample.powi(2)).sum();
                assert!(noise < sound / 100.0, "{noise} of {sound}");
                assert!(
                    heard
                        .chunks(count)
                        .all(|heard| heard[0] == heard[count - 1])
                );
            }
        }
    }
}

#[test]
fn a_page_of_opus_is_at_most_200_ms() {
    let shape = shape(Format::Opus, Channels::Mono);
    // Silence makes the smallest packets.
    let bytes = encode(Format::Opus, shape, None, &[&[0.0; 48_000 * 5]]).expect("bytes");
    let mut before = 0;
    for (at, _) in bytes
        .windows(4)
        .enumerate()
        .filter(|(_, at)| *at == b"OggS")
    {
        let granule: [u8; 8] = bytes[at + 6..at + 14].try_into().expect("a header");
        let granule = u64::from_le_bytes(granule);
        assert!(granule - before <= 9_600);
        before = granule;
    }
    assert_eq!(before, 48_000 * 5 + 312);
}

#[cfg(feature = "mp3")]
#[test]
fn mp3_is_a_chain_of_whole_frames() {
    for rate in [
        8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000,
    ] {
        for channels in [Channels::Mono, Channels::Stereo] {
            let bytes =
                encode(Format::Mp3, Shape { rate, channels }, None, &[&tone()]).expect("bytes");
            let (mut at, mut samples) = (0, 0);
            while at < bytes.len() {
                assert_eq!((bytes[at], bytes[at + 1] >> 5), (0xFF, 7), "a frame begins");
                let first = bytes[at + 1] & 0b1000 != 0;
                let bits = match bytes[at + 2] >> 4 {
                    4 if !first => 32_000,
                    8 if !first => 64_000,
                    7 if first => 96_000,
                    other => panic!("bit rate {other} at {rate} Hz"),
                };
                let of_a_frame = if rate >= 32_000 { 1_152 } else { 576 };
                let padding = usize::from(bytes[at + 2] & 2 != 0);
                at += of_a_frame / 8 * bits / rate as usize + padding;
                samples += of_a_frame;
            }
            assert_eq!(at, bytes.len());
            assert!(
                (tone().len()..tone().len() + 4_000).contains(&samples),
                "{samples}"
            );
        }
    }
}

fn decode_opus(bytes: &[u8], channels: usize) -> Vec<f32> {
    let mut reader = opus_pure::OggOpusReader::new(bytes).expect("a stream");
    assert_eq!(usize::from(reader.head().channel_count), channels);
    let mut decoder = reader.head().decoder(48_000).expect("a decoder");
    let mut trim = opus_pure::Trim::new(reader.head(), 48_000, channels).expect("a trim");
    let mut block = vec![0.0; opus_pure::MAX_PACKET_SAMPLES * channels];
    let mut heard = Vec::new();
    for packet in reader.packets() {
        let packet = packet.expect("a packet");
        let samples = decoder
            .decode(&packet.data, opus_pure::MAX_PACKET_SAMPLES, &mut block)
            .expect("a frame");
        heard.extend(trim.keep(&packet, &block[..samples * channels]));
    }
    heard
}

#[test]
fn what_is_not_built_in_says_how_to_get_it() {
    for format in Format::ALL.into_iter().filter(|format| !format.offered()) {
        let error = Encoder::new(format, shape(format, Channels::Mono), None).err();
        assert_eq!(
            error.map(|error| error.to_string()).as_deref(),
            Some("mp3 is not built in: build with the feature `mp3`")
        );
    }
}

fn sample() -> impl Strategy<Value = f32> {
    prop_oneof![
        20 => -1.0f32..1.0,
        1 => -1e30f32..1e30,
        1 => Just(f32::NAN),
        1 => Just(f32::NEG_INFINITY),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_cut_changes_no_byte(
        samples in prop::collection::vec(sample(), 0..9_000),
        cuts in (0.0f64..=1.0, 0.0f64..=1.0),
        stereo in any::<bool>(),
        known in any::<bool>(),
    ) {
        let at = |cut: f64| (samples.len() as f64 * cut) as usize;
        let (low, high) = (at(cuts.0.min(cuts.1)), at(cuts.0.max(cuts.1)));
        let chunks = [&samples[..low], &[], &samples[low..high], &samples[high..]];
        let channels = if stereo { Channels::Stereo } else { Channels::Mono };
        let length = known.then_some(samples.len() as u64);
        for format in offered() {
            let shape = shape(format, channels);
            let whole = encode(format, shape, length, &[&samples]).expect("bytes");
            let cut = encode(format, shape, length, &chunks).expect("bytes");
            prop_assert!(whole == cut, "{}", format.name());
        }
    }
}
