//! What each step costs: CPU time per second of audio.
//!
//! `cargo run --release -p sound --example cost -- speech.wav`

#![expect(clippy::print_stdout, reason = "it is run to be read")]

use std::time::Instant;

use sound::prosody::{self, Change};
use sound::{Channels, Encoder, Format, Leveller, Resampler, Shape, SoundError, wav};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("which WAV file?")?;
    let speech = wav::read(&std::fs::read(path)?)?;
    if speech.channels != 1 {
        return Err("one channel is enough here".into());
    }
    let (samples, rate) = (&speech.samples, speech.rate);
    let seconds = samples.len() as f64 / f64::from(rate);
    println!("{seconds:.2} s at {rate} Hz; ms of CPU per second of audio");

    for format in Format::ALL.into_iter().filter(|format| format.offered()) {
        let fit = resample(samples, rate, format.rate_for(rate))?;
        let mut bytes = Vec::new();
        let cost = cost(seconds, || {
            bytes = encode(format, format.rate_for(rate), &fit)?;
            Ok(())
        })?;
        let kilobits = bytes.len() as f64 * 8.0 / seconds / 1_000.0;
        println!("{:12}{cost:8.3}   {kilobits:.0} kb/s", format.name());
    }
    for to in [24_000, 48_000] {
        let cost = cost(seconds, || resample(samples, rate, to).map(drop))?;
        println!("to {to:<9}{cost:8.3}");
    }
    let level = cost(seconds, || {
        let mut leveller = Leveller::new(rate);
        let mut out = Vec::new();
        chunks(samples).for_each(|chunk| leveller.push(chunk, &mut out));
        leveller.finish(&mut out);
        Ok(())
    })?;
    println!("{:12}{level:8.3}", "leveller");
    let change = Change {
        pitch: 1.1,
        intonation: 1.2,
    };
    let prosody = cost(seconds, || prosody::change(samples, rate, change).map(drop))?;
    println!("{:12}{prosody:8.3}", "prosody");
    Ok(())
}

/// The best of five: others use this machine too. Everything runs on one
/// thread, so elapsed time is CPU time.
fn cost(seconds: f64, mut step: impl FnMut() -> Result<(), SoundError>) -> Result<f64, SoundError> {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        step()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best / seconds * 1_000.0)
}

fn resample(samples: &[f32], from: u32, to: u32) -> Result<Vec<f32>, SoundError> {
    let mut resampler = Resampler::new(from, to)?;
    let mut out = Vec::new();
    chunks(samples).for_each(|chunk| resampler.push(chunk, &mut out));
    resampler.finish(&mut out);
    Ok(out)
}

fn encode(format: Format, rate: u32, samples: &[f32]) -> Result<Vec<u8>, SoundError> {
    let shape = Shape {
        rate,
        channels: Channels::Mono,
    };
    let mut encoder = Encoder::new(format, shape, None)?;
    let mut bytes = Vec::new();
    for chunk in chunks(samples) {
        encoder.push(chunk, &mut bytes)?;
    }
    encoder.finish(&mut bytes)?;
    Ok(bytes)
}

fn chunks(samples: &[f32]) -> impl Iterator<Item = &[f32]> {
    samples.chunks(4_096)
}
