"""Sentences with what the student has to learn of them.

    python3 data.py SHIM OUT.pkl [SENTENCES]

Half of the sentences have their accents drawn at random, so that pitch has to follow the tones and not
the words. What is held out is chosen by the phones: a sentence of the test occurs nowhere in the
training, in no spelling and with no accents.
"""

import hashlib
import pickle
import random
import sys
import time
import unicodedata
from dataclasses import dataclass, replace

import numpy as np
import pyopenjtalk

import prosody
from symbols import FRAME, HALF, ID, RATE, phones_of
from teacher import ORDER, PERIOD, Teacher, symbols
from texts import GREETINGS, UNSEEN, Texts

SENTENCES = 9_000
HELD_ONE_IN = 40
OPENING, CLOSING_MARKS, CLOSING = 0.10, 0.14, 0.12  # seconds of silence left at both ends

_MARKS = str.maketrans("、，・。．！？「」（）", ",,,..!?''''")


@dataclass
class Example:
    text: str
    kind: str  # template, accents, greeting or unseen
    labels: list  # full-context labels
    offset: float  # seconds of the teacher's sound that were cut off at its beginning
    ids: np.ndarray
    tones: np.ndarray
    boundaries: np.ndarray  # [symbols + 1], in frames of 512 samples, not rounded
    mcp: np.ndarray  # [2 * frames, 35], two rows a frame
    lnf0: np.ndarray  # by rule
    teacher_lnf0: np.ndarray
    voiced: np.ndarray

    @property
    def frames(self):
        return len(self.lnf0) // 2


def example(teacher, text, kind, labels=None):
    """None for a text whose punctuation and pauses do not correspond, or that has no voice in it."""
    labels = labels or pyopenjtalk.extract_fullcontext(text)
    written = symbols(normalized(text), labels)
    if written is None or any(symbol.phone not in ID for symbol in written):
        return None
    spoken = teacher.speak(labels)
    voiced = spoken.lnf0 > 0
    if voiced.sum() < 5:
        return None
    seconds = _boundaries(written, spoken.starts)
    if seconds is None:
        return None
    time_of = (np.arange(len(voiced)) + 0.5) * PERIOD
    rule = prosody.lnf0(written, seconds, len(voiced))
    own = np.interp(time_of, time_of[voiced], spoken.lnf0[voiced])
    count = 2 * int(round((seconds[-1] - seconds[0]) * RATE / FRAME))
    at = seconds[0] + (np.arange(count) + 0.5) * HALF / RATE
    line = lambda row: np.interp(at, time_of, row).astype(np.float32)  # noqa: E731
    return Example(
        text, kind, labels, seconds[0],
        np.array([ID[symbol.phone] for symbol in written]), np.array([symbol.tone for symbol in written]),
        (seconds - seconds[0]) * RATE / FRAME,
        np.stack([line(spoken.mcp[:, k]) for k in range(ORDER)], 1).astype(np.float16),
        line(rule), line(own), line(voiced) > 0.5,
    )


def normalized(text):
    """Punctuation as SBV2's normalizer writes it: an ellipsis is three full stops."""
    return unicodedata.normalize("NFKC", text).replace("…", "...").translate(_MARKS)


def _boundaries(written, starts):
    """Seconds at which the symbols begin, and where the last one ends."""
    marks = sum(symbol.label is None for symbol in written)
    silence = starts[-1] - starts[-2]
    out = [max(0.0, starts[1] - OPENING)]
    for symbol in written:
        if symbol.label is None:
            out.append(out[-1] + CLOSING_MARKS / marks)
        elif symbol.label == len(starts) - 2:
            out.append(starts[-2] + min(silence - 0.02, CLOSING + (CLOSING_MARKS if marks else 0)))
        else:
            share = (starts[symbol.label + 1] - starts[symbol.label]) / symbol.share
            out.append(out[-1] + share if symbol.share > 1 else starts[symbol.label + 1])
    out = np.array(out)
    return out if (np.diff(out) > -1e-6).all() else None


def random_accents(text, rng):
    words = pyopenjtalk.run_frontend(text)
    for word in words:
        if word["mora_size"] > 0 and rng.random() < 0.6:
            word["acc"] = rng.randint(0, word["mora_size"])
    return pyopenjtalk.make_label(words)


def is_held(made):
    digest = hashlib.sha256(repr(phones_of(made.ids)).encode()).digest()
    return int.from_bytes(digest[:4], "big") % HELD_ONE_IN == 0


def generate(teacher, count):
    train, held = [], []
    unseen = [example(teacher, text, "unseen") for text in UNSEEN]
    held += [made for made in unseen if made is not None]
    taken = {phones_of(made.ids) for made in held}
    train += [made for text in GREETINGS if (made := example(teacher, text, "greeting"))]
    own, accents = Texts(seed=11), Texts(seed=12, invented=0.5)
    rng = random.Random(13)
    for number in range(count):
        if number % 2:
            text = accents.sentence()
            made = example(teacher, text, "accents", random_accents(text, rng)) if len(text) <= 45 else None
        else:
            text = own.sentence()
            made = example(teacher, text, "template") if len(text) <= 60 else None
        if made is None or made.boundaries[-1] > 1000:
            continue
        if is_held(made):
            held.append(made)
        elif phones_of(made.ids) not in taken:
            train.append(made)
    # By chance a greeting may be drawn for the test by its phones; it was trained on, so it is not tested.
    seen = {phones_of(made.ids) for made in train}
    held = [made for made in held if phones_of(made.ids) not in seen]
    return train, held


def by_rule(train, seed=14):
    """What no text above has: punctuation at the beginning, other marks inside, nothing but punctuation."""
    rng, out = random.Random(seed), []
    marks = [ID[mark] for mark in "!?,.'-"]
    for made in rng.sample(train, min(150, len(train))):
        half = made.boundaries[1] / 2
        out.append(replace(made, ids=np.insert(made.ids, 1, rng.choice(marks)), tones=np.insert(made.tones, 1, 0),
                           boundaries=np.insert(made.boundaries, 1, half)))
    inner = [made for made in train if ID[","] in made.ids[:-3]]
    for made in rng.sample(inner, min(400, len(inner))):
        ids = made.ids.copy()
        ids[:-3][ids[:-3] == ID[","]] = rng.choice(marks)
        out.append(replace(made, ids=ids))
    for made in rng.sample(train, min(30, len(train))):
        count = rng.randint(0, 3)
        ids = np.array([0, *(rng.choice(marks) for _ in range(count)), 0])
        boundaries = np.concatenate([[0, 8.6], 8.6 + 11.4 * np.arange(1, count + 2) / (count + 1)])
        out.append(replace(made, ids=ids, tones=0 * ids, boundaries=boundaries, mcp=made.mcp[:4].repeat(10, 0),
                           lnf0=made.lnf0[:4].repeat(10), voiced=np.zeros(40, bool)))
    return out


def load(path):
    with open(path, "rb") as file:
        return pickle.load(file)


def main(shim, out, count=SENTENCES):
    started = time.time()
    train, held = generate(Teacher(shim), int(count))
    with open(out, "wb") as file:
        pickle.dump({"train": train, "held": held}, file, protocol=5)
    hours = sum(made.frames for made in train) * FRAME / RATE / 3600
    kinds = {kind: sum(made.kind == kind for made in held) for kind in ("template", "accents", "unseen")}
    print(f"{len(train)} sentences to learn from, {hours:.2f} hours; held out {kinds}; {time.time() - started:.0f} s")


if __name__ == "__main__":
    import data  # so that the pickle names this module and not __main__

    data.main(*sys.argv[1:])
