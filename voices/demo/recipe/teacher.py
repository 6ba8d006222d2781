"""The teacher: an HTS voice, asked through its engine for parameters instead of sound."""

import ctypes
import os
import re
from dataclasses import dataclass

import numpy as np
import pyopenjtalk

from symbols import PUNCTUATION

VOICE = os.path.join(os.path.dirname(pyopenjtalk.__file__), "htsvoice", "mei_normal.htsvoice")
PERIOD = 0.005  # seconds of a frame
RATE = 48_000
ORDER = 35  # mel-cepstral coefficients, c0 first, alpha 0.55


@dataclass
class Parameters:
    mcp: np.ndarray  # [frames, ORDER], c0 relative to full scale 1
    lnf0: np.ndarray  # [frames], 0 where unvoiced
    starts: np.ndarray  # [labels + 1] seconds
    wave: np.ndarray | None  # at RATE


class Teacher:
    def __init__(self, shim):
        self.lib = ctypes.CDLL(os.path.abspath(shim))
        if not self.lib.teacher_load(VOICE.encode()):
            raise RuntimeError(f"the engine cannot load {VOICE}")

    def speak(self, labels, wave=False):
        lib = self.lib
        array = (ctypes.c_char_p * len(labels))(*(label.encode() for label in labels))
        if not lib.teacher_parameters(array, len(labels)):
            raise RuntimeError("the engine refuses these labels")
        frames, states = lib.teacher_frames(), lib.teacher_states()
        durations = np.zeros(states, np.int32)
        lib.teacher_durations(durations.ctypes.data_as(ctypes.c_void_p))
        durations = durations.reshape(-1, lib.teacher_states_per_phone()).sum(1)
        mcp, lnf0 = self._stream(0, frames, ORDER), self._stream(1, frames, 1)[:, 0]
        mcp[:, 0] -= np.log(32768.0)  # the engine's scale is that of 16-bit samples
        samples = None
        if wave:
            if not lib.teacher_waveform():
                raise RuntimeError("the engine cannot synthesize")
            samples = np.zeros(lib.teacher_samples(), np.float32)
            lib.teacher_samples_copy(samples.ctypes.data_as(ctypes.c_void_p))
        starts = np.concatenate([[0], np.cumsum(durations)]) * PERIOD
        return Parameters(mcp, lnf0, starts, samples)

    def _stream(self, index, frames, width):
        out = np.zeros((frames, width), np.float32)
        self.lib.teacher_stream(index, width, out.ctypes.data_as(ctypes.c_void_p))
        return out


@dataclass
class Mora:
    place: int  # in its accent phrase, from 1
    accent: int  # place of the last high mora; equal to `length` where nothing falls
    length: int  # morae of the phrase

    @property
    def tone(self):
        """High or low, by the rules of Tokyo Japanese."""
        if self.length == 1:
            return 0
        if self.place == 1:
            return int(self.accent == 1)
        return int(self.place <= self.accent)


@dataclass
class Symbol:
    phone: str
    mora: Mora | None  # None for silence and punctuation
    label: int | None  # index of the label it is spoken in; None in the closing punctuation
    share: int = 1  # how many symbols divide that label among them

    @property
    def tone(self):
        return self.mora.tone if self.mora else 0


_RUN = re.compile("[" + re.escape(PUNCTUATION) + "]+")
_FIELDS = re.compile(r"\-([^\+]+)\+.*/A:([^\+]+)\+([^\+]+)\+([^/]+)/.*/F:([^_]+)_")


def symbols(text, labels):
    """Phones and tones as SBV2 writes them, taken from the labels so that they agree with the sound.

    `text` is normalized text: only its punctuation is read. None where the pauses of the labels and
    the runs of punctuation do not correspond.
    """
    inner = _RUN.findall(text)
    if not labels or _RUN.match(text):
        return None
    closing = inner.pop() if inner and text.endswith(inner[-1]) else ""
    out, pauses = [Symbol("_", None, 0)], 0
    for index, label in enumerate(labels[1:-1], 1):
        phone, a1, a2, _, f1 = _FIELDS.search(label).groups()
        if phone == "pau":
            if pauses == len(inner):
                return None
            run = inner[pauses]
            pauses += 1
            out += [Symbol(mark, None, index, len(run)) for mark in run]
            continue
        phone = {"cl": "q"}.get(phone, phone.lower() if phone in "AIUEO" else phone)
        out.append(Symbol(phone, Mora(int(a2), int(a2) - int(a1), int(f1)), index))
    if pauses != len(inner):
        return None
    out += [Symbol(mark, None, None, len(closing)) for mark in closing]
    return [*out, Symbol("_", None, len(labels) - 1)]
