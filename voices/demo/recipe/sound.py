"""What can be measured in samples: pitch, band levels, and how much it buzzes."""

import numpy as np
from scipy.signal import butter, hilbert, sosfiltfilt

from symbols import HALF, RATE

LOWEST, HIGHEST = 70.0, 700.0  # Hz
WINDOW = 1_536  # samples to either side of which the pitch is looked for


def pitch(samples, hop=HALF):
    """Hz and periodicity (0 to 1) for each `hop` samples, by normalized autocorrelation below 1.2 kHz."""
    low = sosfiltfilt(butter(4, 1_200, fs=RATE, output="sos"), samples)
    shortest, longest = int(RATE / HIGHEST), int(RATE / LOWEST)
    padded = np.pad(low, (WINDOW // 2, WINDOW // 2 + longest))
    hertz, periodicity = [], []
    for start in range(0, len(samples), hop):
        here = padded[start : start + WINDOW + longest]
        first = here[:WINDOW]
        energy = np.concatenate([[0], np.cumsum(here**2)])
        lags = np.arange(shortest, longest)
        products = np.correlate(here, first, "valid")[lags] if len(here) >= WINDOW + longest else np.zeros(len(lags))
        norm = np.sqrt(max(energy[WINDOW], 1e-9) * np.maximum(energy[lags + WINDOW] - energy[lags], 1e-9))
        score = products / norm
        best = score.max()
        # The shortest lag that is nearly as good: a multiple of the period is a period too.
        peaks = np.flatnonzero((score[1:-1] >= score[:-2]) & (score[1:-1] >= score[2:]) & (score[1:-1] > 0.92 * best)) + 1
        at = peaks[0] if len(peaks) else int(score.argmax())
        shift = 0.0
        if 0 < at < len(score) - 1:
            a, b, c = score[at - 1 : at + 2]
            shift = 0.5 * (a - c) / (a - 2 * b + c) if a - 2 * b + c else 0.0
        hertz.append(RATE / (shortest + at + shift))
        periodicity.append(best)
    return np.array(hertz), np.array(periodicity)


def level(samples, hop=HALF, window=1024):
    """dB of each hop."""
    padded = np.pad(samples, (window // 2, window))
    cut = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop][: -(-len(samples) // hop)]
    return 10 * np.log10((cut**2).mean(1) + 1e-10)


def voiced(samples):
    """Mask of the hops that are periodic and loud, with their pitch."""
    hertz, periodicity = pitch(samples)
    loud = level(samples)
    return (periodicity > 0.75) & (loud > loud.max() - 30), hertz


def centroid(samples, window=1024):
    """Hz, weighted by amplitude, over the loud frames."""
    cut = np.lib.stride_tricks.sliding_window_view(samples, window)[::HALF]
    spectrum = np.abs(np.fft.rfft(cut * np.hanning(window)))
    energy = spectrum.sum(1)
    loud = spectrum[energy > 0.1 * energy.max()]
    return float((loud * np.arange(window // 2 + 1)).sum() / loud.sum() * RATE / window)


def buzz(samples, frame=1_764):
    """Of the voiced frames of 40 ms: crest factor in dB, and periodicity of the envelope of 3 to 8 kHz.

    A pulse train has a high crest, and its high band beats with the pitch; a voice's breath does not.
    """
    mask, hertz = voiced(samples)
    high = np.abs(hilbert(sosfiltfilt(butter(4, (3_000, 8_000), "band", fs=RATE, output="sos"), samples)))
    crests, beats = [], []
    for start in range(0, len(samples) - frame, frame // 2):
        hops = slice(start // HALF, (start + frame) // HALF)
        if not mask[hops].all():
            continue
        cut, envelope = samples[start : start + frame], high[start : start + frame]
        crests.append(20 * np.log10(np.abs(cut).max() / np.sqrt((cut**2).mean() + 1e-12)))
        lag, envelope = int(round(RATE / np.median(hertz[hops]))), envelope - envelope.mean()
        around = [np.dot(envelope[:-k], envelope[k:]) for k in range(lag - 4, lag + 5)]
        beats.append(max(around) / (np.dot(envelope, envelope) + 1e-12))
    return float(np.mean(crests)), float(np.mean(beats))


def log_spectrum(samples, window=1024):
    padded = np.pad(samples, window // 2)
    cut = np.lib.stride_tricks.sliding_window_view(padded, window)[::HALF] * np.hanning(window)
    return 20 * np.log10(np.abs(np.fft.rfft(cut)) + 1e-4)
