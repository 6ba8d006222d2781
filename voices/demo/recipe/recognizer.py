"""Intelligibility by machine: a small phone recognizer that has heard the teacher only.

    python3 recognizer.py SHIM DATA.pkl OUT.pt

It learns from the teacher's own waveforms, in the one voice and manner the teacher has. What it makes
of the student's sound says whether the phones are as far apart there; nothing is adapted to speakers
or styles.
"""

import random
import sys
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from scipy.signal import resample_poly

import data
from symbols import FRAME, RATE, SILENT
from teacher import RATE as TEACHER_RATE
from teacher import Teacher

SENTENCES, EPOCHS = 500, 24
BANDS, LOW, HIGH, WINDOW = 40, 80.0, 11_000.0, 1024
# Of the Viterbi search: fixed beforehand, tuned on nothing.
BIGRAM, CHANGE, STAY = 1.5, -2.0, -0.2


def features(samples):
    """Log-mel bands [frames, 40], a row for 512 samples, centred in it."""
    frames = -(-len(samples) // FRAME)
    padded = np.pad(samples, (WINDOW // 4, 2 * WINDOW))
    cut = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::FRAME][:frames]
    return np.log(np.abs(np.fft.rfft(cut * np.hanning(WINDOW))) @ _FILTERS.T + 1e-3).astype(np.float32)


def _filters():
    mel = lambda f: 2595 * np.log10(1 + f / 700)  # noqa: E731
    edges = 700 * (10 ** (np.linspace(mel(LOW), mel(HIGH), BANDS + 2) / 2595) - 1)
    hertz = np.arange(WINDOW // 2 + 1) * RATE / WINDOW
    up = (hertz[None] - edges[:-2, None]) / np.diff(edges)[:-1, None]
    down = (edges[2:, None] - hertz[None]) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(up, down))


_FILTERS = _filters()


def teacher_sound(teacher, made):
    """The teacher's own waveform of an example, at our rate, cut as the example is."""
    wave = resample_poly(teacher.speak(made.labels, wave=True).wave, RATE, TEACHER_RATE)
    start = int(made.offset * RATE)
    return wave[start : start + made.frames * FRAME].astype(np.float32)


class Net(nn.Module):
    def __init__(self, classes, width=160):
        super().__init__()
        self.layers = nn.ModuleList([
            nn.Conv1d(BANDS, width, 5, padding=2), nn.Conv1d(width, width, 5, padding=2),
            nn.Conv1d(width, width, 3, padding=2, dilation=2),
        ])
        self.out = nn.Conv1d(width, classes, 1)

    def forward(self, x):
        for layer in self.layers:
            x = F.dropout(F.relu(layer(x)), 0.1, self.training)
        return self.out(x)


class Recognizer:
    def __init__(self, state):
        self.classes, self.mean, self.deviation = state["classes"], state["mean"], state["deviation"]
        self.net = Net(len(self.classes) + 1)
        self.net.load_state_dict(state["net"])
        self.net.eval()
        self.bigram = np.log(state["bigram"] / state["bigram"].sum(1, keepdims=True))

    @classmethod
    def open(cls, path):
        return cls(torch.load(path, weights_only=False))

    def labels(self, ids):
        """Class of each symbol; 0 is silence."""
        return np.array([self.classes.get(int(i), 0) for i in ids])

    def posteriors(self, samples):
        with torch.no_grad():
            x = torch.tensor((features(samples) - self.mean) / self.deviation).T[None]
            return F.log_softmax(self.net(x)[0].T, -1).numpy()

    def errors(self, samples, ids):
        """Phones wrong, missing or too many, and phones there are."""
        there = _runs(self.labels(ids))
        return edits(there, self._heard(self.posteriors(samples))), len(there)

    def frame_hits(self, samples, ids, boundaries):
        posteriors = self.posteriors(samples)
        wanted = frame_labels(self.labels(ids), boundaries, len(posteriors))
        speech = wanted > 0
        return int((posteriors.argmax(1) == wanted)[speech].sum()), int(speech.sum())

    def _heard(self, posteriors):
        step = BIGRAM * self.bigram + CHANGE
        np.fill_diagonal(step, STAY)
        score, back = posteriors[0].copy(), []
        score[1:] -= 5
        for row in posteriors[1:]:
            reached = score[:, None] + step
            best = reached.argmax(0)
            back.append(best)
            score = reached[best, np.arange(len(best))] + row
        path = [int(score.argmax())]
        for best in reversed(back):
            path.append(int(best[path[-1]]))
        return _runs(path[::-1])


def _runs(classes):
    """Silence left out, then a repeated phone (a long vowel) once: frames cannot tell how often."""
    spoken = [c for c in classes if c > 0]
    return [c for place, c in enumerate(spoken) if place == 0 or c != spoken[place - 1]]


def edits(a, b):
    row = np.arange(len(b) + 1)
    for i, x in enumerate(a):
        following = row + 1
        following[0] = i + 1
        for j, y in enumerate(b):
            following[j + 1] = min(row[j + 1] + 1, following[j] + 1, row[j] + (x != y))
        row = following
    return int(row[-1])


def frame_labels(labels, boundaries, frames):
    owner = np.searchsorted(boundaries[1:], np.arange(frames) + 0.5, side="right")
    return labels[np.minimum(owner, len(labels) - 1)]


def train(teacher, examples):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rng = random.Random(3)
    phones = sorted({int(i) for made in examples for i in made.ids if int(i) not in SILENT})
    classes = {phone: number for number, phone in enumerate(phones, 1)}
    label = lambda made: np.array([classes.get(int(i), 0) for i in made.ids])  # noqa: E731
    heard = []
    for made in rng.sample(examples, min(SENTENCES, len(examples))):
        x = features(teacher_sound(teacher, made))
        heard.append((x, frame_labels(label(made), made.boundaries, len(x))))
    everything = np.concatenate([x for x, _ in heard])
    mean, deviation = everything.mean(0), everything.std(0)
    bigram = np.full((len(classes) + 1,) * 2, 0.3)
    for made in examples:
        symbols = label(made)
        symbols = symbols[np.insert(np.diff(symbols) != 0, 0, True) | (symbols > 0)]
        np.add.at(bigram, (symbols[:-1], symbols[1:]), 1)
    net = Net(len(classes) + 1)
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    for epoch in range(EPOCHS):
        rng.shuffle(heard)
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - epoch / EPOCHS)
        for first in range(0, len(heard) - 3, 4):
            x = torch.tensor(np.concatenate([(x - mean) / deviation for x, _ in heard[first : first + 4]])).T[None]
            y = torch.tensor(np.concatenate([y for _, y in heard[first : first + 4]]))
            x = x + 0.15 * torch.randn_like(x) + 0.3 * torch.randn(1, 1, 1)  # noise, and loudness
            loss = F.cross_entropy(net(x)[0].T, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: {loss.item():.3f}", flush=True)
    return {"net": net.state_dict(), "classes": classes, "mean": mean, "deviation": deviation, "bigram": bigram}


def main(shim, path, out):
    started = time.time()
    torch.save(train(Teacher(shim), data.load(path)["train"]), out)
    print(f"{time.time() - started:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
