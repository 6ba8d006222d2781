//! Where the decoder's windows lie. Pure arithmetic over frames.
//!
//! A frame of the latent touches 12.8 frames of sound to each side, so that
//! windows that overlap by 13 give the whole graph's samples. Windows of one
//! utterance need nothing of each other: as many are decoded at a time as there
//! are sessions for it, and so they are all of one length, as near as may be,
//! and as many as fill the last turn.

use std::ops::Range;

/// Frames at a window's edge that are not kept, unless the edge is the
/// utterance's own.
pub const OVERLAP: usize = 13;

/// Smaller windows are nearly all overlap.
pub const SMALLEST: usize = 16;

/// An utterance is not divided further only to fill a turn: half as much again
/// is computed for the overlap of these.
const DIVIDED: usize = 48;

/// A stretch of the latent to decode, and which of its frames to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// These frames of the latent are decoded.
    pub frames: Range<usize>,
    /// Of them, those whose samples are kept, counted from the utterance's
    /// start.
    pub keep: Range<usize>,
}

/// How the decoder's windows follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// All of one length: the least work.
    #[default]
    Even,
    /// The first turn short: somebody waits, and others wait for the cores.
    First,
    /// The first turns short, each longer than the one before it, so that there
    /// is sound soon, and no pause in it.
    Soon,
}

/// The windows of an utterance of `frames` frames with at most `size` fresh
/// ones each, of which `side` are decoded at a time; 0 decodes whole.
pub fn side_by_side(frames: usize, size: usize, side: usize, pace: Pace) -> Vec<Window> {
    if size == 0 {
        return vec![around(0..frames, frames)];
    }
    let mut windows = Vec::new();
    let mut kept = 0;
    // Each turn is done before what the turn before it gave was heard.
    let turns: &[usize] = match (pace, side) {
        (Pace::Even, _) => &[],
        (Pace::First, 1) => &[8],
        (Pace::Soon, 1) => &[8, 16],
        (Pace::First, _) => &[4],
        (Pace::Soon, _) => &[4, 7, 14],
    };
    for share in turns {
        let fresh = (size * share / 32).max(SMALLEST).min(size);
        // What would be left is not worth a window.
        if kept + side * fresh + SMALLEST > frames {
            break;
        }
        for _ in 0..side {
            windows.push(around(kept..kept + fresh, frames));
            kept += fresh;
        }
    }
    let rest = frames - kept;
    let turns = rest.div_ceil(size).div_ceil(side);
    let most = (rest / DIVIDED).max(rest.div_ceil(size)).max(1);
    let count = (turns * side).min(most);
    for number in 0..count {
        let edge = |number: usize| kept + rest * number / count;
        windows.push(around(edge(number)..edge(number + 1), frames));
    }
    windows.retain(|window| !window.keep.is_empty());
    windows
}

/// The same where each length costs a plan of its own, as convolutions on a GPU
/// do: all of one length, the last one begun earlier.
pub fn of_one_length(frames: usize, size: usize) -> Vec<Window> {
    let length = size + 2 * OVERLAP;
    if size == 0 || frames <= length {
        return vec![around(0..frames, frames)];
    }
    let mut windows = Vec::new();
    let mut kept = 0;
    while kept < frames {
        let start = kept.saturating_sub(OVERLAP).min(frames - length);
        let end = start + length;
        let keep = match end == frames {
            true => kept..frames,
            false => kept..end - OVERLAP,
        };
        kept = keep.end;
        windows.push(Window {
            frames: start..end,
            keep,
        });
    }
    windows
}

/// These frames and their surroundings, of an utterance of `frames`.
pub fn around(keep: Range<usize>, frames: usize) -> Window {
    let start = keep.start.saturating_sub(OVERLAP);
    let end = (keep.end + OVERLAP).min(frames);
    Window {
        frames: start..end,
        keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every frame is kept once, in order, with its surroundings.
    fn check(windows: &[Window], frames: usize) {
        let mut next = 0;
        for window in windows {
            assert_eq!(window.keep.start, next);
            assert!(window.keep.end > next, "progress");
            next = window.keep.end;
            let before = window.keep.start - window.frames.start;
            let after = window.frames.end - window.keep.end;
            assert!(before >= OVERLAP || window.frames.start == 0);
            assert!(after >= OVERLAP || window.frames.end == frames);
            assert!(window.frames.end <= frames);
        }
        assert_eq!(next, frames, "nothing is left out");
    }

    #[test]
    fn every_frame_is_kept_once_with_its_surroundings() {
        for pace in [Pace::Even, Pace::First, Pace::Soon] {
            for size in [1, 16, 64, 128] {
                for side in [1, 2, 3, 8] {
                    for frames in 1..700 {
                        let windows = side_by_side(frames, size, side, pace);
                        check(&windows, frames);
                        let longest = windows.iter().map(|it| it.keep.len()).max();
                        assert!(longest.is_some_and(|it| it <= size.max(1)));
                    }
                }
            }
        }
    }

    #[test]
    fn a_turn_is_full_and_its_windows_alike() {
        for side in [2, 3, 8] {
            for frames in (DIVIDED * side)..2_000 {
                let windows = side_by_side(frames, 128, side, Pace::Even);
                assert!(windows.len().is_multiple_of(side), "{frames} {side}");
                let lengths = windows.iter().map(|it| it.keep.len());
                let (least, most) = (lengths.clone().min(), lengths.max());
                assert!(most.unwrap_or(0) - least.unwrap_or(0) <= 1);
            }
        }
        // Not divided for that alone.
        assert_eq!(side_by_side(60, 128, 8, Pace::Even).len(), 1);
        assert_eq!(side_by_side(100, 128, 8, Pace::Even).len(), 2);
    }

    #[test]
    fn who_waits_gets_a_short_window_first() {
        let lengths = |side| {
            let windows = side_by_side(1_000, 128, side, Pace::Soon);
            windows.iter().map(|it| it.keep.len()).collect::<Vec<_>>()
        };
        assert_eq!(lengths(1)[..2], [32, 64]);
        assert_eq!(lengths(2)[..6], [16, 16, 28, 28, 56, 56]);
        assert!(lengths(2)[6..].iter().all(|it| (90..=128).contains(it)));
        assert_eq!(lengths(4)[..4], [16; 4]);
        let windows = side_by_side(1_000, 128, 2, Pace::First);
        let lengths: Vec<_> = windows.iter().map(|it| it.keep.len()).collect();
        assert_eq!(lengths[..2], [16, 16]);
        assert!(lengths[2..].iter().all(|it| (100..=128).contains(it)));
    }

    #[test]
    fn windows_of_one_length_leave_nothing_out() {
        for size in [16, 128] {
            for frames in 1..700 {
                let windows = of_one_length(frames, size);
                check(&windows, frames);
                let full = |it: &Window| it.frames.len() == size + 2 * OVERLAP;
                assert!(windows.len() == 1 || windows.iter().all(full));
            }
        }
    }

    #[test]
    fn zero_is_one_window_over_everything() {
        let whole = Window {
            frames: 0..1_000,
            keep: 0..1_000,
        };
        let windows = side_by_side(1_000, 0, 4, Pace::Soon);
        assert_eq!(windows, std::slice::from_ref(&whole));
        assert_eq!(of_one_length(1_000, 0), [whole]);
    }
}
