"""The pitch of the demo voice, by rule.

The teacher lets the pitch fall one mora late, so that accents are hard to tell apart. These rules say
where it rises and falls instead: a target in semitones for each mora, a smooth line through them,
a slow fall over the breath, and what consonants do to the pitch. Everything depends on what the
student is told too (phones, tones, punctuation), up to boundaries of phrases it has to infer.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d

from symbols import NUCLEI, PAD
from teacher import PERIOD

BASE = np.log(245.0)  # the pitch of a low mora early in a breath
PEAK, LEAST_PEAK = 6.0, 4.0  # semitones of high over low, and what downstep leaves of them
DOWNSTEP = 0.82  # of the peak, after each fall within a breath
DECLINATION, LOWEST = 0.9, -2.2  # semitones a second, and where it ends
SENTENCE_FALL, QUESTION_RISE = 1.5, 6.0  # semitones over the last mora
QUESTION_SECONDS = 0.18
SMOOTHING = 0.012  # seconds

VOICED = frozenset("b by d dy g gy j v z zy".split())
VOICELESS = frozenset("ch f h hy k ky p py s sh t ts ty".split())


@dataclass
class Spoken:
    """A mora with its place in time, in seconds."""

    start: float
    centre: float  # of its vowel
    end: float
    place: int
    accent: int
    length: int
    tone: int

    @property
    def falls(self):
        """Whether the pitch falls after this mora."""
        return self.place == self.accent < self.length


def lnf0(symbols, boundaries, frames):
    """ln Hz for frames of the teacher's period. `boundaries`: seconds, one more than symbols."""
    breaths = _breaths(symbols, boundaries)
    time = (np.arange(frames) + 0.5) * PERIOD
    if not breaths:
        return np.full(frames, BASE)
    curve = np.zeros(frames)
    for number, (breath, following) in enumerate(zip(breaths, [*breaths[1:], None])):
        first, last = breath[0].start, breath[-1].end
        until = (last + following[0].start) / 2 if following else np.inf
        since = -np.inf if number == 0 else (breaths[number - 1][-1].end + first) / 2
        inside = (time >= since) & (time < until)
        slope = np.maximum(LOWEST, -DECLINATION * np.clip(time[inside] - first, 0, None)) - 0.4 * min(number, 3)
        curve[inside] = _line(breath)(np.clip(time[inside], first, last)) + slope
    curve = gaussian_filter1d(curve, SMOOTHING / PERIOD)
    curve += _ending(symbols, breaths[-1][-1], time)
    curve += _consonants(symbols, boundaries, time)
    return BASE + curve * np.log(2) / 12


def _breaths(symbols, boundaries):
    """The morae between pauses."""
    breaths, current, first = [], [], None
    for index, symbol in enumerate(symbols):
        if symbol.mora is None:
            if current:
                breaths.append(current)
            current = []
            continue
        first = index if first is None else first
        if symbol.phone in NUCLEI:
            start, end = boundaries[first], boundaries[index + 1]
            centre = (boundaries[index] + end) / 2
            mora = symbol.mora
            current.append(Spoken(start, centre, end, mora.place, mora.accent, mora.length, mora.tone))
            first = None
    return [*breaths, current] if current else breaths


def _line(breath):
    """The melody of a breath through one point a mora, and two where it falls."""
    levels = _levels(breath)
    points = [(breath[0].start, levels[0] - 0.8)]
    for mora, level, following in zip(breath, levels, [*levels[1:], None]):
        points.append((mora.centre, level))
        if mora.falls and following is not None:
            # Most of the fall is left to the next mora, which is low at the centre of its vowel.
            points.append((mora.end, level - 0.25 * (level - following)))
    points.append((breath[-1].end, levels[-1] - 0.3))
    time, level = np.array(points).T
    keep = np.concatenate([[True], np.diff(time) > 1e-4])
    return PchipInterpolator(time[keep], level[keep])


def _levels(breath):
    levels, peak, since_fall, before = [], PEAK, None, None
    for mora in breath:
        if mora.place == 1:
            since_fall = None
        if mora.tone:
            level = peak - 0.2 * min(max(mora.place - 2, 0), 5)
        elif since_fall is not None:
            level = -0.15 * min(since_fall, 5)
            since_fall += 1
        elif before is None:
            level = 1.0
        else:
            # The low beginning of a phrase is no accent: after high morae it only dips.
            level = 0.45 * peak if before > 2.0 else 0.8
        if mora.falls:
            since_fall = 0
            peak = max(LEAST_PEAK, peak * DOWNSTEP)
        levels.append(level)
        before = level
    return levels


def _ending(symbols, last, time):
    closing = []
    for symbol in reversed(symbols[:-1] if symbols[-1].phone == PAD else symbols):
        if symbol.mora is not None:
            break
        closing.append(symbol.phone)
    if "?" in closing:
        vowel = 2 * (last.end - last.centre)
        start = last.end - min(vowel, QUESTION_SECONDS)
        return QUESTION_RISE * np.clip((time - start) / (last.end - start), 0, 1)
    if closing and closing[-1] in ",'-":
        return np.zeros_like(time)
    return -SENTENCE_FALL * np.clip((time - last.start) / (last.end - last.start), 0, 1) ** 2


def _consonants(symbols, boundaries, time):
    """Voiced obstruents lower the pitch a little; after voiceless ones it starts higher."""
    change = np.zeros_like(time)
    for symbol, start, end in zip(symbols, boundaries, boundaries[1:]):
        if symbol.phone in VOICED:
            width = max(0.015, (end - start) / 2.5)
            change -= 0.7 * np.exp(-0.5 * ((time - (start + end) / 2) / width) ** 2)
        elif symbol.phone in VOICELESS:
            change += np.where(time >= end, 0.5 * np.exp(-(time - end) / 0.03), 0) * (time < end + 0.15)
    return change
