//! The melody of speech that was already said: its mean height and how far it
//! moves from it. Never changes how long it takes or how loud it is on the
//! whole, and leaves the voice's timbre where it was.
//!
//! The method is the WORLD vocoder (Morise, Yokomori and Ozawa 2016): speech
//! is taken apart into a fundamental frequency (DIO, refined by StoneMask), a
//! spectral envelope (CheapTrick) and the part of noise in it (D4C), and put
//! together with another frequency. What comes out is therefore resynthesised
//! as a whole, unless nothing was to be changed.

use std::ops::Range;

use world_rs::cheaptrick::{cheaptrick, get_f0_floor_for_cheaptrick, initialize_cheaptrick_option};
use world_rs::d4c::{d4c, initialize_d4c_option};
use world_rs::dio::{DioOption, dio, initialize_dio_option};
use world_rs::stonemask::stone_mask;
use world_rs::synthesis::synthesis;

use crate::error::SoundError;
use crate::samples::finite;

/// What becomes of the melody.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Factor of the mean fundamental frequency; 1 leaves it.
    pub pitch: f32,
    /// Factor of the deviation from the mean; 0 is monotone, 1 leaves it.
    pub intonation: f32,
}

impl Default for Change {
    fn default() -> Self {
        Self {
            pitch: 1.0,
            intonation: 1.0,
        }
    }
}

/// As many samples as came in. Sound without any voice is returned as it is.
pub fn change(samples: &[f32], rate: u32, change: Change) -> Result<Vec<f32>, SoundError> {
    change.check()?;
    check_rate(rate)?;
    let fs = f64::from(rate);
    if change == Change::default() || samples.len() < (fs * SHORTEST) as usize {
        return Ok(samples.to_vec());
    }
    let heard: Vec<f64> = samples.iter().map(|x| finite(*x).into()).collect();
    let contour = contour(&heard, fs)?;
    let Some(target) = change.of(&contour, fs) else {
        return Ok(samples.to_vec());
    };
    let mut said = vec![0.0; heard.len()];
    for piece in pieces(&contour) {
        say(&heard, fs, &contour, &target, piece, &mut said)?;
    }
    Ok(as_loud(&said, &heard))
}

/// Seconds between two values of the contour.
const STEP: f64 = 0.005;

/// Seconds in which no melody can be found.
const SHORTEST: f64 = 0.05;

/// The spectra of a piece take about 6 MB a second, so speech is changed in
/// pieces of about this many steps: four seconds.
const PIECE: usize = 800;

/// Steps that a piece hears beyond both ends: longer than any window.
const MARGIN: usize = 20;

/// What a larynx and DIO can do.
const HERTZ: Range<f64> = 71.0..1_000.0;

impl Change {
    fn check(self) -> Result<(), SoundError> {
        if (0.25..=4.0).contains(&self.pitch) && (0.0..=4.0).contains(&self.intonation) {
            return Ok(());
        }
        Err(SoundError::Change(self))
    }

    /// The new contour, or none where there is no voice.
    fn of(self, contour: &[f64], fs: f64) -> Option<Vec<f64>> {
        let voiced = || contour.iter().copied().filter(|f0| *f0 > 0.0);
        let count = voiced().count();
        if count == 0 {
            return None;
        }
        let mean = voiced().sum::<f64>() / count as f64;
        let (pitch, intonation) = (f64::from(self.pitch), f64::from(self.intonation));
        let highest = HERTZ.end.min(fs / 8.0);
        let changed = contour.iter().map(|f0| {
            if *f0 > 0.0 {
                (pitch * mean + intonation * (f0 - mean)).clamp(HERTZ.start, highest)
            } else {
                0.0
            }
        });
        Some(changed.collect())
    }
}

fn check_rate(rate: u32) -> Result<(), SoundError> {
    const LOWEST: u32 = 8_000;
    const HIGHEST: u32 = 96_000;
    if (LOWEST..=HIGHEST).contains(&rate) {
        return Ok(());
    }
    Err(SoundError::Rate {
        rate,
        lowest: LOWEST,
        highest: HIGHEST,
    })
}

/// Hertz at every step; 0 where there is no voice.
///
/// DIO and not Harvest: it takes a seventeenth of the time, and where it
/// hears no voice in the demonstration voice there is a twentieth of the
/// energy. What Harvest hears there are extremes that would move the mean.
fn contour(heard: &[f64], fs: f64) -> Result<Vec<f64>, SoundError> {
    let option = DioOption {
        // Melody lies below 1 kHz: 11 kHz hear the same one, and the tracker
        // holds the whole speech in a third of the memory.
        speed: (fs / 11_000.0).clamp(1.0, 12.0) as i32,
        ..initialize_dio_option()
    };
    let found = dio(heard, fs, &option).map_err(failure)?;
    stone_mask(
        heard,
        heard.len(),
        fs,
        &found.temporal_positions,
        &found.f0,
        found.f0.len(),
    )
    .map_err(failure)
}

/// Steps of the contour, cut where there is no voice if at all possible.
fn pieces(contour: &[f64]) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    while contour.len() - start > PIECE {
        let end = (start + PIECE / 2..start + PIECE)
            .rev()
            .find(|step| contour[*step] == 0.0)
            .unwrap_or(start + PIECE);
        pieces.push(start..end);
        start = end;
    }
    pieces.push(start..contour.len());
    pieces
}

/// Adds one piece with its new contour. Neighbours overlap by one step, in
/// which one fades out while the other fades in.
fn say(
    heard: &[f64],
    fs: f64,
    contour: &[f64],
    target: &[f64],
    piece: Range<usize>,
    said: &mut [f64],
) -> Result<(), SoundError> {
    let sample = |step: usize| ((step as f64 * STEP * fs).round() as usize).min(heard.len());
    let wide = piece.start.saturating_sub(MARGIN)..(piece.end + MARGIN).min(contour.len());
    let last = wide.end == contour.len();
    let around = sample(wide.start)..if last { heard.len() } else { sample(wide.end) };
    let sound = resynthesise(
        &heard[around.clone()],
        fs,
        &contour[wide.clone()],
        &target[wide],
    )?;

    let step = (STEP * fs) as usize;
    let begin = sample(piece.start);
    let end = if piece.end == contour.len() {
        heard.len()
    } else {
        sample(piece.end)
    };
    for at in begin..(end + step).min(around.end) {
        let rise = if begin == 0 { step } else { at - begin };
        let fall = if end == heard.len() {
            step
        } else {
            (end + step) - at
        };
        let gain = rise.min(fall).min(step) as f64 / step as f64;
        said[at] += gain * sound[at - around.start];
    }
    Ok(())
}

fn resynthesise(
    heard: &[f64],
    fs: f64,
    contour: &[f64],
    target: &[f64],
) -> Result<Vec<f64>, SoundError> {
    let at: Vec<f64> = (0..contour.len()).map(|step| step as f64 * STEP).collect();
    let option = initialize_cheaptrick_option(fs);
    let size = option.fft_size;
    let lowest = get_f0_floor_for_cheaptrick(fs, size);
    debug_assert!(lowest <= HERTZ.start, "every voice has an envelope");
    let envelope = cheaptrick(heard, fs, &at, contour, &option).map_err(failure)?;
    let noise = d4c(heard, fs, &at, contour, size, &initialize_d4c_option()).map_err(failure)?;
    synthesis(
        target,
        target.len(),
        &envelope,
        &noise,
        size as usize,
        STEP * 1_000.0,
        fs,
        heard.len(),
    )
    .map_err(failure)
}

/// The vocoder adds a decibel or two, and a higher voice has more pulses.
fn as_loud(said: &[f64], heard: &[f64]) -> Vec<f32> {
    let power = |of: &[f64]| of.iter().map(|x| x * x).sum::<f64>();
    let peak = said.iter().fold(0.0f64, |peak, x| peak.max(x.abs()));
    if peak == 0.0 {
        return vec![0.0; said.len()];
    }
    let gain = (power(heard) / power(said)).sqrt().min(1.0 / peak);
    said.iter().map(|x| (x * gain) as f32).collect()
}

fn failure(error: impl std::fmt::Display) -> SoundError {
    SoundError::Vocoder(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_is_cut_where_nobody_speaks() {
        let mut contour = vec![200.0; 3_000];
        contour[500] = 0.0;
        contour[700] = 0.0;
        assert_eq!(
            pieces(&contour),
            [0..700, 700..1_500, 1_500..2_300, 2_300..3_000]
        );
        assert_eq!(pieces(&contour[..PIECE]).len(), 1);
    }

    #[test]
    fn the_melody_turns_about_its_mean() {
        let change = Change {
            pitch: 1.5,
            intonation: 0.5,
        };
        let contour = [0.0, 100.0, 0.0, 300.0];
        let wanted = [0.0, 250.0, 0.0, 350.0];
        assert_eq!(change.of(&contour, 44_100.0).as_deref(), Some(&wanted[..]));
        assert_eq!(change.of(&[0.0; 9], 44_100.0), None);
    }
}
