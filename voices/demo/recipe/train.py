"""Trains the student on one thread.

    python3 train.py DATA.pkl OUT.pt [STEPS]
"""

import math
import random
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

import data
from model import ORDER, Student
from symbols import TONE_OFFSET

STEPS = 7_000
RATE, WARM_UP, LAST_SHARE = 1e-3, 100, 0.02  # of the learning rate
FRAMES_A_BATCH = 1_500
FAR = 1e6  # a boundary that no frame reaches
NAMES = ("mcp", "slope", "lnf0", "voicing", "duration")


class Batch:
    def __init__(self, examples, mean, deviation):
        size = len(examples)
        symbols, frames = max(len(e.ids) for e in examples), max(e.frames for e in examples)
        self.ids, self.tones = torch.zeros(2, size, symbols, dtype=torch.long)
        self.boundaries = torch.full((size, symbols + 1), FAR)
        self.durations, self.symbol_mask = torch.zeros(size, symbols), torch.zeros(size, symbols, 1)
        self.mcp, self.frame_mask = torch.zeros(size, 2 * frames, ORDER), torch.zeros(size, frames, 1)
        self.lnf0, self.voiced = torch.zeros(2, size, 2 * frames)
        self.lengths = torch.tensor([len(e.ids) for e in examples])
        for row, e in enumerate(examples):
            n, f = len(e.ids), e.frames
            self.ids[row, :n] = torch.tensor(e.ids)
            self.tones[row, :n] = torch.tensor(e.tones) + TONE_OFFSET
            self.boundaries[row, :n] = torch.tensor(e.boundaries[:-1])
            self.durations[row, :n] = torch.tensor(np.log(np.maximum(np.diff(e.boundaries), 0.25)))
            self.symbol_mask[row, :n], self.frame_mask[row, :f] = 1, 1
            self.mcp[row, : 2 * f] = torch.tensor((e.mcp - mean[:ORDER]) / deviation[:ORDER])
            self.lnf0[row, : 2 * f] = torch.tensor((e.lnf0 - mean[ORDER]) / deviation[ORDER])
            self.voiced[row, : 2 * f] = torch.tensor(e.voiced)


def losses(student, batch):
    states, durations = student.encode(batch.ids, batch.tones, batch.lengths, batch.symbol_mask)
    mcp, lnf0, voicing = student.decode(states, batch.boundaries, batch.frame_mask.shape[1], batch.frame_mask)
    rows = batch.frame_mask.repeat_interleave(2, 1)[..., 0]
    symbols = batch.symbol_mask[..., 0]
    mean = lambda values, mask: (values * mask).sum() / mask.sum()  # noqa: E731
    # Coefficients of equal weight, and by their variance, which is cepstral distance.
    variance = student.deviation[:ORDER] ** 2
    error = (mcp - batch.mcp) ** 2
    slope = (mcp[:, 1:] - mcp[:, :-1]) - (batch.mcp[:, 1:] - batch.mcp[:, :-1])
    return (
        mean(error.mean(-1) + (error * variance / variance.mean()).mean(-1), rows),
        (slope.pow(2).mean(-1) * rows[:, 1:]).sum() / rows.sum(),
        mean((lnf0 - batch.lnf0) ** 2 * (0.1 + 0.9 * batch.voiced), rows),
        mean(F.binary_cross_entropy_with_logits(voicing, batch.voiced, reduction="none"), rows),
        mean((durations - batch.durations) ** 2, symbols),
    )


def total(parts):
    mcp, slope, lnf0, voicing, duration = parts
    return mcp + slope + lnf0 + 0.5 * voicing + duration


def batches(examples, rng):
    """Of like length, in random order, without end."""
    while True:
        order = sorted(range(len(examples)), key=lambda i: examples[i].frames + rng.random() * 30)
        made, current = [], []
        for index in order:
            if current and examples[index].frames * (len(current) + 1) > FRAMES_A_BATCH:
                made.append(current)
                current = []
            current.append(index)
        made.append(current)
        rng.shuffle(made)
        for indices in made:
            yield [examples[i] for i in indices]


def train(examples, check, steps):
    torch.set_num_threads(1)
    torch.manual_seed(1)
    student, rng = Student(), random.Random(1)
    some = examples[::4]
    student.mean[:] = torch.tensor(_over(some, lambda rows: rows.mean(0)))
    student.deviation[:] = torch.tensor(_over(some, lambda rows: rows.std(0)))
    mean, deviation = student.mean.numpy(), student.deviation.numpy()
    optimizer = torch.optim.AdamW(student.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
    average = {name: value.clone() for name, value in student.state_dict().items()}
    started, recent = time.time(), []
    for step, chosen in zip(range(1, steps + 1), batches(examples, rng)):
        done = step / steps
        share = min(1, step / WARM_UP) * (LAST_SHARE + (1 - LAST_SHARE) * 0.5 * (1 + math.cos(math.pi * done)))
        optimizer.param_groups[0]["lr"] = RATE * share
        student.train()
        parts = losses(student, Batch(chosen, mean, deviation))
        optimizer.zero_grad()
        total(parts).backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 2.0)
        optimizer.step()
        with torch.no_grad():
            keep = min(0.995, step / (step + 50))
            for name, value in student.state_dict().items():
                average[name].lerp_(value, 1 - keep)
        recent.append([part.item() for part in parts])
        if step % 200 == 0 or step == steps:
            report = " ".join(f"{n} {v:.4f}" for n, v in zip(NAMES, np.mean(recent, 0)))
            print(f"{step}/{steps} {time.time() - started:.0f} s: {report}", flush=True)
            recent = []
        if step % 1000 == 0:
            tell_average(student, average, check, mean, deviation)
    student.load_state_dict(average)
    return student.eval()


def tell_average(student, average, check, mean, deviation):
    """Prints the losses of the averaged weights on what is held out."""
    tested = Student()
    tested.load_state_dict(average)
    tested.eval()
    with torch.no_grad():
        values = np.mean([[p.item() for p in losses(tested, Batch([e], mean, deviation))] for e in check], 0)
    print("    held out: " + " ".join(f"{n} {v:.4f}" for n, v in zip(NAMES, values)), flush=True)


def _over(examples, measure):
    mcp = np.concatenate([e.mcp for e in examples]).astype(np.float32)
    lnf0 = np.concatenate([e.lnf0[e.voiced] for e in examples])
    return np.append(measure(mcp), measure(lnf0)).astype(np.float32)


def main(path, out, steps=STEPS):
    made = data.load(path)
    examples = made["train"] + data.by_rule(made["train"])
    student = train(examples, made["held"][::6], int(steps))
    torch.save(student.state_dict(), out)


if __name__ == "__main__":
    main(*sys.argv[1:])
