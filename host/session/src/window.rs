//! Where the decoder's windows lie. Pure arithmetic over frames.
//!
//! A frame of the latent touches 12.8 frames of sound to each side, so that
//! windows that overlap by 13 give the whole graph's samples. Every window of a
//! longer utterance has the same length but for the last, which has one of a
//! few: the shapes that reach the decoder are soon known, and nothing new is
//! ever allocated.

use std::ops::Range;

/// Frames at a window's edge that are not kept, unless the edge is the
/// utterance's own.
pub const OVERLAP: usize = 13;

/// A stretch of the latent to decode, and which of its frames to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// These frames of the latent are decoded.
    pub frames: Range<usize>,
    /// Of them, those whose samples are kept, counted from the utterance's
    /// start.
    pub keep: Range<usize>,
}

/// What the last window of several is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// As long as it must be, in steps: the least to compute.
    Short,
    /// As long as the others, begun earlier: one length in all. On a GPU a
    /// convolution is planned anew for each other length, which takes longer
    /// than to compute it.
    Full,
}

/// The window that goes on where `kept` frames of `frames` are done, with
/// `size` fresh frames; 0 decodes whole.
pub fn next(frames: usize, kept: usize, size: usize, last: Last) -> Window {
    let length = size + 2 * OVERLAP;
    if size == 0 || frames <= length {
        return Window {
            frames: 0..frames,
            keep: kept..frames,
        };
    }
    let start = kept.saturating_sub(OVERLAP);
    if start + length < frames {
        return Window {
            frames: start..start + length,
            keep: kept..start + length - OVERLAP,
        };
    }
    // The last one ends with the utterance and is only as long as it must be,
    // in steps, so that the decoder still meets a handful of shapes.
    let fresh = (frames - start)
        .saturating_sub(2 * OVERLAP)
        .next_multiple_of(STEP);
    let start = match last {
        Last::Short => frames - (fresh + 2 * OVERLAP).min(length),
        Last::Full => frames - length,
    };
    Window {
        frames: start..frames,
        keep: kept..frames,
    }
}

/// Lengths of a last window differ by this.
const STEP: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(frames: usize, size: usize) -> Vec<Window> {
        windows_until(frames, size, Last::Short)
    }

    fn windows_until(frames: usize, size: usize, last: Last) -> Vec<Window> {
        let next = |frames, kept, size| next(frames, kept, size, last);
        let mut windows: Vec<Window> = Vec::new();
        while windows.last().is_none_or(|last| last.keep.end < frames) {
            let kept = windows.last().map_or(0, |last| last.keep.end);
            windows.push(next(frames, kept, size));
        }
        windows
    }

    #[test]
    fn every_frame_is_kept_once_with_its_surroundings() {
        for size in [1, 2, 16, 64, 128] {
            for frames in 1..700 {
                let windows = windows(frames, size);
                let mut next = 0;
                for window in &windows {
                    assert_eq!(window.keep.start, next);
                    assert!(window.keep.end > next, "progress");
                    next = window.keep.end;
                    let before = window.keep.start - window.frames.start;
                    let after = window.frames.end - window.keep.end;
                    assert!(before >= OVERLAP || window.frames.start == 0);
                    assert!(after >= OVERLAP || window.frames.end == frames);
                }
                assert_eq!(next, frames, "nothing is left out");
                let (last, others) = windows.split_last().expect("one at least");
                let length = size + 2 * OVERLAP;
                assert!(others.iter().all(|w| w.frames.len() == length));
                assert!(last.frames.len() <= length);
                if !others.is_empty() {
                    let fresh = last.frames.len() - 2 * OVERLAP;
                    assert!(fresh.is_multiple_of(STEP) || fresh == size, "few shapes");
                    let needed = last.keep.len() + OVERLAP;
                    assert!(last.frames.len() < needed + OVERLAP + STEP, "no waste");
                }
            }
        }
    }

    #[test]
    fn a_full_last_window_leaves_one_length_and_nothing_out() {
        for size in [16, 128] {
            for frames in 1..700 {
                let windows = windows_until(frames, size, Last::Full);
                let mut next = 0;
                for window in &windows {
                    assert_eq!(window.keep.start, next);
                    assert!(window.keep.start - window.frames.start >= OVERLAP || next == 0);
                    next = window.keep.end;
                    let full = window.frames.len() == size + 2 * OVERLAP;
                    assert!(full || windows.len() == 1);
                }
                assert_eq!(next, frames, "nothing is left out");
            }
        }
    }

    #[test]
    fn the_size_may_shrink_on_the_way() {
        let first = next(1_000, 0, 128, Last::Short);
        let second = next(1_000, first.keep.end, 32, Last::Short);
        assert_eq!(second.keep.start, first.keep.end);
        assert_eq!(second.frames.len(), 32 + 2 * OVERLAP);
        assert!(second.keep.start - second.frames.start >= OVERLAP);
    }

    #[test]
    fn zero_is_one_window_over_everything() {
        let whole = Window {
            frames: 0..1_000,
            keep: 0..1_000,
        };
        assert_eq!(windows(1_000, 0), [whole]);
    }
}
