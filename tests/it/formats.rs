//! What is made of the samples: formats, rates, channels, levels, silence,
//! pitch.

use std::net::SocketAddr;

use hyper::StatusCode;
use serde_json::{Value, json};
use server::server::Server;

use crate::client::{Reply, speak};
use crate::sound::Sound;
use crate::stand::Folder;

const TEXT: &str = "こんにちは。今日はいい天気ですね。";

/// A server, and what is said to it.
struct Said {
    _folder: Folder,
    server: Server,
}

impl Said {
    async fn new() -> Self {
        let folder = Folder::new();
        let server = folder.serve().await;
        Self {
            _folder: folder,
            server,
        }
    }

    fn to(&self) -> SocketAddr {
        self.server.address()
    }

    async fn reply(&self, format: &str, own: Value) -> Reply {
        let body = json!({"input": TEXT, "response_format": format, "koemasu": own});
        let reply = speak(self.to(), body).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        reply
    }

    async fn wav(&self, format: &str, own: Value) -> Wav {
        let reply = self.reply(format, own).await;
        assert_eq!(reply.header("content-type"), "audio/wav");
        let wav = Wav::of(&reply.body);
        assert_eq!(
            reply.header("x-koemasu-sampling-rate"),
            wav.rate.to_string()
        );
        wav
    }
}

/// A WAV taken apart, by its chunks.
struct Wav {
    /// 1 is whole numbers, 3 floats.
    kind: u16,
    channels: u16,
    rate: u32,
    bits: u16,
    data: Vec<u8>,
}

impl Wav {
    fn of(bytes: &[u8]) -> Self {
        assert_eq!((&bytes[..4], &bytes[8..12]), (&b"RIFF"[..], &b"WAVE"[..]));
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        let (mut at, mut format) = (12, None);
        loop {
            let (name, size) = (&bytes[at..at + 4], u32_at(at + 4) as usize);
            let start = at + 8;
            match name {
                b"fmt " => format = Some(start),
                b"data" => {
                    let format = format.expect("the format comes first");
                    return Self {
                        kind: u16_at(format),
                        channels: u16_at(format + 2),
                        rate: u32_at(format + 4),
                        bits: u16_at(format + 14),
                        // A stream does not know its length beforehand.
                        data: bytes[start..bytes.len().min(start.saturating_add(size))].to_vec(),
                    };
                }
                _ => {}
            }
            at = start + size;
        }
    }

    fn whole_numbers(&self) -> Vec<i16> {
        assert_eq!((self.kind, self.bits), (1, 16));
        let pairs = self.data.chunks_exact(2);
        pairs.map(|it| i16::from_le_bytes([it[0], it[1]])).collect()
    }

    fn floats(&self) -> Vec<f32> {
        assert_eq!((self.kind, self.bits), (3, 32));
        let fours = self.data.chunks_exact(4);
        fours
            .map(|it| f32::from_le_bytes([it[0], it[1], it[2], it[3]]))
            .collect()
    }

    /// Samples of one channel.
    fn len(&self) -> usize {
        self.data.len() / usize::from(self.channels * self.bits / 8)
    }
}

fn peak(samples: &[f32]) -> f32 {
    samples.iter().fold(0.0, |peak, it| peak.max(it.abs()))
}

#[tokio::test(flavor = "multi_thread")]
async fn flac_says_what_the_wav_has() {
    let said = Said::new().await;
    let wav = said.wav("wav", json!({"stream": false})).await;
    // In one piece without being told: many readers want the length.
    let flac = said.reply("flac", json!({})).await;
    assert_eq!(
        flac.header("content-length"),
        flac.body.len().to_string(),
        "in one piece"
    );
    assert_eq!(flac.header("content-type"), "audio/flac");
    let body = &flac.body;
    assert_eq!((&body[..4], body[4] & 0x7f), (&b"fLaC"[..], 0));
    // STREAMINFO: 20 bits of rate, 3 of channels, 5 of bits, 36 of samples.
    let packed = body[18..26]
        .iter()
        .fold(0, |sum, it| sum << 8 | u64::from(*it));
    assert_eq!(packed >> 44, 44_100, "rate");
    assert_eq!(packed >> 41 & 0x7, 0, "mono");
    assert_eq!(packed >> 36 & 0x1f, 15, "16 bits");
    assert_eq!((packed & 0xf_ffff_ffff) as usize, wav.len(), "samples");
    assert!(
        body.len() < wav.data.len(),
        "{} {}",
        body.len(),
        wav.data.len()
    );
    said.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opus_is_an_ogg_stream_as_long_as_the_wav() {
    let said = Said::new().await;
    let wav = said.wav("wav", json!({})).await;
    let opus = said.reply("opus", json!({})).await;
    assert_eq!(opus.header("content-type"), "audio/ogg; codecs=opus");
    let body = &opus.body;
    assert_eq!(
        (&body[..4], &body[28..36]),
        (&b"OggS"[..], &b"OpusHead"[..])
    );
    assert_eq!(body[37], 1, "mono");
    let skipped = u64::from(u16::from_le_bytes([body[38], body[39]]));
    let last = (0..body.len() - 14)
        .rev()
        .find(|at| &body[*at..at + 4] == b"OggS");
    let last = last.expect("a last page");
    assert_eq!(body[last + 5] & 4, 4, "the last page says so");
    let end = body[last + 6..last + 14].try_into().expect("8 bytes");
    let seconds = (u64::from_le_bytes(end) - skipped) as f64 / 48_000.0;
    let wanted = wav.len() as f64 / 44_100.0;
    assert!((seconds - wanted).abs() < 0.001, "{seconds} {wanted}");
    assert!(body.len() * 5 < wav.data.len(), "{} bytes", body.len());
    said.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floats_are_the_whole_numbers_before_rounding() {
    let said = Said::new().await;
    let whole = json!({"loudness": "whole"});
    let rounded = said.wav("wav", whole.clone()).await.whole_numbers();
    let floats = said.wav("wav_float", whole).await.floats();
    assert_eq!(rounded.len(), floats.len());
    let off = rounded
        .iter()
        .zip(&floats)
        .map(|(rounded, float)| (f32::from(*rounded) - float * 32_767.0).abs());
    let off = off.fold(0.0, f32::max);
    assert!(off <= 1.01, "{off} steps");
    said.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stereo_is_the_one_channel_twice() {
    let said = Said::new().await;
    let mono = said.wav("wav", json!({})).await;
    let stereo = said.wav("wav", json!({"channels": 2})).await;
    assert_eq!((mono.channels, stereo.channels), (1, 2));
    let twice: Vec<i16> = mono
        .whole_numbers()
        .iter()
        .flat_map(|sample| [*sample; 2])
        .collect();
    assert!(stereo.whole_numbers() == twice);
    said.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_rate_keeps_what_is_heard() {
    let said = Said::new().await;
    let own = said.wav("wav", json!({})).await;
    let level = |samples: &[i16]| {
        let squares = samples.iter().map(|it| f64::from(*it).powi(2));
        (squares.sum::<f64>() / samples.len() as f64).sqrt()
    };
    for rate in [24_000, 48_000] {
        let other = said.wav("wav", json!({"sampling_rate": rate})).await;
        assert_eq!(other.rate, rate);
        let wanted = own.len() as f64 * f64::from(rate) / 44_100.0;
        let off = (other.len() as f64 - wanted).abs();
        assert!(off <= 1.0, "{rate}: {} {wanted}", other.len());
        // Some of it lies above 12 kHz.
        let ratio = level(&other.whole_numbers()) / level(&own.whole_numbers());
        assert!((0.9..1.02).contains(&ratio), "{rate}: {ratio}");
    }
    said.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn volume_is_a_factor() {
    let said = Said::new().await;
    let level = json!({"loudness": "none"});
    let usual = said.wav("wav_float", level).await.floats();
    let half = json!({"loudness": "none", "volume": 0.5});
    let half = said.wav("wav_float", half).await.floats();
    let wanted: Vec<f32> = usual.iter().map(|it| it * 0.5).collect();
    assert!(half == wanted);
    said.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_before_and_after_is_exact_and_changes_nothing_between() {
    let said = Said::new().await;
    for loudness in ["whole", "running", "none"] {
        let usual = said.wav("wav", json!({"loudness": loudness})).await;
        let quiet = json!({
            "loudness": loudness, "leading_silence": 0.25, "trailing_silence": 0.1,
        });
        let quiet = said.wav("wav", quiet).await.whole_numbers();
        let wanted = [vec![0; 11_025], usual.whole_numbers(), vec![0; 4_410]].concat();
        assert_eq!(quiet.len(), wanted.len(), "{loudness}");
        assert!(quiet == wanted, "{loudness}");
    }
    said.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loudness_is_the_models_own_or_full_scale_at_once_or_so_far() {
    let said = Said::new().await;
    let none = said.reply("wav_float", json!({"loudness": "none"})).await;
    assert_eq!(none.header("x-koemasu-loudness"), "none");
    let raw = Wav::of(&none.body).floats();
    let loudest = peak(&raw);
    assert!((0.001..0.999).contains(&loudest), "{loudest}");

    // As Style-Bert-VITS2 does: over the loudest, times 32767, cut to whole
    // numbers.
    let whole = said.reply("wav", json!({"loudness": "whole"})).await;
    assert_eq!(whole.header("x-koemasu-loudness"), "whole");
    let whole = Wav::of(&whole.body).whole_numbers();
    assert_eq!(whole.iter().map(|it| it.unsigned_abs()).max(), Some(32_767));
    let off = raw
        .iter()
        .zip(&whole)
        .map(|(raw, whole)| (raw / loudest * 32_767.0 - f32::from(*whole)).abs());
    let off = off.fold(0.0, f32::max);
    assert!(whole.len() == raw.len() && off <= 1.01, "{off} steps");

    // The level of a stream follows what was heard, and never goes over.
    let running = said
        .reply("wav_float", json!({"loudness": "running"}))
        .await;
    assert_eq!(running.header("x-koemasu-loudness"), "running");
    let running = Wav::of(&running.body).floats();
    assert_eq!(running.len(), raw.len());
    let top = peak(&running);
    assert!((0.5..=1.0).contains(&top), "{top}");
    let louder = raw.iter().zip(&running);
    let louder = louder.filter(|(raw, run)| run.abs() + 1e-6 < raw.abs());
    assert_eq!(
        louder.count(),
        0,
        "nothing is quieter than the model made it"
    );
    said.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pitch_raises_the_melody_and_keeps_the_length() {
    let said = Said::new().await;
    let usual = said.wav("wav", json!({"loudness": "whole"})).await;
    let high = json!({"loudness": "whole", "pitch": 1.2});
    let high = said.wav("wav", high).await;
    let off = usual.len().abs_diff(high.len()) as f64 / 44_100.0;
    assert!(off < 0.01, "{off} s");
    let usual = Sound::of(&usual.whole_numbers());
    let high = Sound::of(&high.whole_numbers());
    let both = usual.pitch.iter().zip(&high.pitch);
    let mut ratios: Vec<f64> = both
        .filter(|(usual, high)| **usual > 0.0 && **high > 0.0)
        .map(|(usual, high)| high / usual)
        .collect();
    ratios.sort_by(f64::total_cmp);
    assert!(ratios.len() > 5, "{ratios:?}");
    let middle = ratios[ratios.len() / 2];
    assert!((middle - 1.2).abs() < 0.04, "{middle} in {ratios:?}");
    said.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mp3_and_aac_are_refused_with_the_cure() {
    let said = Said::new().await;
    for (format, cure) in [("mp3", "`--features mp3`"), ("aac", "`opus` is as small")] {
        let reply = speak(
            said.to(),
            json!({"input": "はい", "response_format": format}),
        )
        .await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert!(reply.openai_error().contains(cure), "{}", reply.text());
        assert_eq!(reply.json()["error"]["param"], "response_format");
    }
    said.server.stop().await;
}
