"""Mel-cepstra, pitch and voicing to samples, in operations that ONNX has.

The filter is the teacher's own: a mel-cepstrum gives the minimum-phase response at any frequency,
    log|H| = sum c_m cos(m w~),  arg H = -sum c_m sin(m w~),
so that teacher parameters sound like the teacher. Excitation is a band-limited pulse train below and
noise above, mixed for each half-frame and overlap-added.
"""

import math

import numpy as np
import torch
import torch.nn as nn

from model import ORDER
from symbols import HALF, RATE

ALPHA, TEACHER_RATE = 0.55, 48_000
FFT = 1024
BINS = FFT // 2 + 1
HIGHEST = 9_000.0  # Hz, of the pulse train's harmonics: above, all is noise
NOISE = 8_191, 8_179  # lengths of two tables; their sum repeats after minutes

# The teacher's low-pass between pulses and noise, the same for all its sounds: first half, centre last.
_HALF_LOW_PASS = (
    -0.0055, -0.0098, -0.0087, -0.0004, 0.012, 0.0208, 0.0178, 0.0,
    -0.026, -0.045, -0.0392, 0.0022, 0.0749, 0.1592, 0.2266, 0.2523,
)


def teacher_low_pass(hertz):
    """What is kept of the pulses, and what is taken from the noise, where there is voice."""
    taps = np.array(_HALF_LOW_PASS + _HALF_LOW_PASS[:-1][::-1])
    response = np.cos(2 * np.pi / TEACHER_RATE * hertz[:, None] * (np.arange(31) - 15)) @ taps
    low = np.clip(response / taps.sum(), 0, 1)
    return low, low


def soft_low_pass(hertz, middle=4_500.0, octaves=0.9):
    """Falls as a raised cosine over `octaves` to both sides of `middle`; power stays what it was."""
    place = np.clip(np.log2(np.maximum(hertz, 1) / middle) / octaves, -1, 1)
    low = 0.5 - 0.5 * np.sin(0.5 * np.pi * place)
    return low, 1 - np.sqrt(1 - low**2)


class Vocoder(nn.Module):
    def __init__(self, low_pass, seed=7):
        super().__init__()
        rng = np.random.RandomState(seed)
        hertz = np.arange(BINS) * RATE / FFT
        low, taken = low_pass(hertz)
        constants = {
            "noise_a": rng.randn(NOISE[0]) / math.sqrt(2), "noise_b": rng.randn(NOISE[1]) / math.sqrt(2),
            "cosine": np.cos(2 * np.pi * np.arange(FFT) / FFT), "sine": np.sin(2 * np.pi * np.arange(FFT) / FFT),
            "window": np.hanning(2 * HALF + 1)[:-1],
            "low": low, "taken": taken,
        }
        for name, value in constants.items():
            self.register_buffer(name, torch.tensor(value, dtype=torch.float32))

    def forward(self, mcp, lnf0, voiced, formant, breath):
        """mcp [rows, 35], lnf0 and voiced (0 to 1) [rows], one row for 256 samples; two scalars."""
        rows = mcp.shape[0]
        pulses = self._frames(self._pulses(lnf0, voiced) * (1 - breath))
        at = torch.arange(rows * HALF + HALF)
        noise = self._frames((self.noise_a[at % NOISE[0]] + self.noise_b[at % NOISE[1]]).reshape(-1, HALF))
        bins = torch.arange(BINS)
        turn = (torch.arange(2 * HALF)[:, None] * bins[None]) % FFT
        transform = torch.cat([self.cosine[turn], -self.sine[turn]], 1)
        pulses, noise = pulses @ transform, noise @ transform
        share = 1 - voiced[:, None] * (1 - breath) * self.taken
        re = pulses[:, :BINS] * self.low + noise[:, :BINS] * share
        im = pulses[:, BINS:] * self.low + noise[:, BINS:] * share
        gain, angle = self._filter(mcp, formant, bins)
        h_re, h_im = gain * torch.cos(angle), gain * torch.sin(angle)  # H is its conjugate
        return self._samples(re * h_re + im * h_im, im * h_re - re * h_im, bins, rows)

    def _pulses(self, lnf0, voiced):
        """[rows + 1, 256] samples: the sum of all harmonics in closed form (the Dirichlet kernel)."""
        inside = torch.arange(HALF, dtype=torch.float32)
        hertz = torch.exp(torch.cat([lnf0[:1], lnf0, lnf0[-1:]]))
        start, end = hertz[:-1, None], hertz[1:, None]
        # In double precision: over a long text a float32 sum of cycles would be heard as jitter.
        cycles = ((start + end)[:, 0] * (0.5 * HALF / RATE)).to(torch.float64)
        before = torch.cumsum(cycles, 0) - cycles
        before = (before - torch.floor(before)).to(torch.float32)[:, None]
        turn = before + start * inside / RATE + (end - start) * inside**2 * (0.5 / HALF / RATE)
        half = math.pi * (turn - torch.round(turn))
        harmonics = torch.floor(HIGHEST / start)
        sine = torch.sin(half)
        near = sine.abs() < 1e-3
        safe = torch.where(near, torch.ones_like(sine), 2 * sine)
        kernel = torch.where(near, harmonics.expand_as(sine), torch.sin((2 * harmonics + 1) * half) / safe - 0.5)
        gate = torch.cat([voiced[:1], voiced, voiced[-1:]])
        gate = gate[:-1, None] + (gate[1:] - gate[:-1])[:, None] * (inside / HALF)
        pitch = start + (end - start) * (inside / HALF)
        return 2.0 * torch.sqrt(pitch / RATE) * kernel * gate

    def _frames(self, samples):
        return torch.cat([samples[:-1], samples[1:]], 1) * self.window

    def _filter(self, mcp, formant, bins):
        angle = torch.clamp(bins.to(torch.float32) * (2 * math.pi * RATE / FFT / TEACHER_RATE) / formant, max=math.pi)
        warped = angle + 2 * torch.atan(ALPHA * torch.sin(angle) / (1 - ALPHA * torch.cos(angle)))
        turns = torch.arange(ORDER, dtype=torch.float32)[:, None] * warped[None]
        return torch.exp(torch.clamp(mcp @ torch.cos(turns), max=3.0)), mcp @ torch.sin(turns)

    def _samples(self, re, im, bins, rows):
        turn = (bins[:, None] * torch.arange(FFT)[None]) % FFT
        weight = torch.where((bins == 0) | (bins == BINS - 1), 1.0, 2.0)[:, None] / FFT
        frames = torch.cat([re, im], 1) @ torch.cat([self.cosine[turn] * weight, -self.sine[turn] * weight], 0)
        parts, none, total = FFT // HALF, torch.zeros(FFT // HALF - 1, HALF), 0
        for part in range(parts):
            piece = frames[:, part * HALF : (part + 1) * HALF]
            total = total + torch.cat([none[:part], piece, none[: parts - 1 - part]], 0)
        return total.reshape(-1)[HALF // 2 : HALF // 2 + rows * HALF]
