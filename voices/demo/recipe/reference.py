"""How some sentences of the shipped voice sound, in features, for the host's regression test.

    python3 reference.py SHIM VOICE.aivmx OUT.json

The way here is not the host's: phones and tones come from the teacher's labels, nothing is padded, there
is no BERT. So the host's whole path is held against it. `tests/it/sound.rs` computes the same features.
"""

import json
import pathlib
import sys

import numpy as np

import data
import voice
from symbols import RATE, SYMBOLS
from teacher import Teacher

HOP, WINDOW = 2_205, 1_024  # 50 ms
EDGES = (100, 400, 800, 1_500, 2_500, 4_000, 6_000, 8_000)  # Hz
FLOOR = -60.0  # dB below the loudest frame
DECIMATION, STRETCH, SHORTEST, LONGEST = 4, 384, 16, 157  # for the pitch: 70 to 690 Hz
PERIODIC, LOUD = 0.75, -30.0

# Read alike by the teacher's dictionary and the host's, accents included.
SENTENCES = (
    ("明日は雨が降るでしょう。", "demo", "Neutral"),
    ("魚と野菜を、駅前の市場で買いました。", "demo", "Neutral"),
    ("本当ですか？", "demo", "Happy"),
    ("先生に手紙を書きました。", "demo", "Sad"),
    ("新しい本を読みました。", "demo", "Angry"),
    ("この部屋は少し寒い。", "demo", "Whisper"),
    ("夜の海は静かです。", "demo-low", "Neutral"),
)


def bands(samples):
    """[frames, 7] dB below the loudest frame of the sentence."""
    bins = np.arange(WINDOW // 2) * RATE / WINDOW
    frames = []
    for middle in range(HOP // 2, len(samples), HOP):
        cut = _cut(samples, middle - WINDOW // 2, WINDOW) * np.hanning(WINDOW + 1)[:-1]
        power = np.abs(np.fft.rfft(cut)[: WINDOW // 2]) ** 2
        frames.append([power[(bins >= low) & (bins < high)].sum() for low, high in zip(EDGES, EDGES[1:])])
    frames = np.array(frames)
    return np.maximum(10 * np.log10(frames / frames.sum(1).max() + 1e-12), FLOOR)


def pitch(samples, levels):
    """Hz of each frame, 0 where it is not periodic or not loud."""
    usable = len(samples) // DECIMATION * DECIMATION
    slow = np.asarray(samples[:usable], np.float64).reshape(-1, DECIMATION).mean(1)
    out = []
    for number, middle in enumerate(range(HOP // 2, len(samples), HOP)):
        start = middle // DECIMATION - (STRETCH + LONGEST) // 2
        here = _cut(slow, start, STRETCH + LONGEST + 1)
        first = here[:STRETCH]
        score = np.array([
            (first * here[lag : lag + STRETCH]).sum()
            / np.sqrt((first**2).sum() * (here[lag : lag + STRETCH] ** 2).sum() + 1e-12)
            for lag in range(SHORTEST, LONGEST)
        ])
        best = score.max()
        loud = 10 * np.log10((10 ** (levels[number] / 10)).sum()) > LOUD
        if best < PERIODIC or not loud:
            out.append(0.0)
            continue
        # The shortest lag that is nearly as good: twice the period is a period too.
        at = next((k for k in range(1, len(score) - 1) if score[k] > 0.9 * best and score[k] == score[k - 1 : k + 2].max()), None)
        if at is None:
            out.append(0.0)
            continue
        a, b, c = score[at - 1 : at + 2]
        shift = 0.5 * (a - c) / (a - 2 * b + c) if a - 2 * b + c else 0.0
        out.append(RATE / DECIMATION / (SHORTEST + at + shift))
    return np.array(out)


def _cut(samples, start, length):
    """With silence where there are no samples."""
    out = np.zeros(length)
    low, high = max(start, 0), min(start + length, len(samples))
    out[low - start : high - start] = samples[low:high]
    return out


def main(shim, path, out):
    teacher, opened, styles = Teacher(shim), voice.session(path), voice.style_vectors()
    cases = []
    for text, speaker, style in SENTENCES:
        made = data.example(teacher, text, "reference")
        samples = voice.speak(
            opened, made.ids, made.tones, sid=list(voice.SPEAKERS).index(speaker),
            style=styles[list(voice.STYLES).index(style)], noise_scale=0.0,
        )
        levels = bands(samples)
        cases.append({
            "text": text, "speaker": speaker, "style": style,
            "phones": " ".join(SYMBOLS[i] for i in made.ids), "tones": "".join(map(str, made.tones)),
            "samples": len(samples), "bands": [[round(float(v)) for v in row] for row in levels],
            "pitch": [round(float(v)) for v in pitch(samples, levels)],
        })
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    pathlib.Path(out).write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
