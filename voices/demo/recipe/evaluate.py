"""Measures the voice on what it has never seen and writes the report.

    python3 evaluate.py SHIM DATA.pkl STUDENT.pt RECOGNIZER.pt VOICE.aivmx REPORT.md
"""

import hashlib
import math
import os
import pathlib
import random
import statistics
import sys
import time

import numpy as np
import pyopenjtalk
import torch

import data
import model
import sound
import voice
from recognizer import Recognizer, teacher_sound
from symbols import FRAME, RATE, SILENT, SYMBOLS, TONE_OFFSET
from teacher import Teacher
from vocoder import Vocoder, soft_low_pass, teacher_low_pass

GROUPS = {"template": "patterns", "unseen": "unseen words", "accents": "random accents"}
DECIBEL = 10 * math.sqrt(2) / math.log(10)  # of a mel-cepstral distance
CENTS = 1200 / math.log(2)


def main(shim, path, student_path, recognizer_path, voice_path, out):
    torch.set_num_threads(1)
    held = data.load(path)["held"]
    teacher, student = Teacher(shim), model.load(student_path)
    recognizer, opened = Recognizer.open(recognizer_path), voice.session(voice_path)
    plain = [made for made in held if made.kind != "accents"]
    sounds = [teacher_sound(teacher, made) for made in plain]
    digest = hashlib.sha256(pathlib.Path(voice_path).read_bytes()).hexdigest()
    parts = [
        HEAD + f"\nThe file: `demo.aivmx`, sha256 `{digest}`.\n",
        parameters(student, held),
        intelligibility(recognizer, opened, plain, sounds),
        accents(teacher, student, opened),
        differences(opened, plain[::3]),
        buzz(recognizer, plain[:40], sounds[:40]),
        cost(voice_path, opened, plain),
        interface(voice_path, opened, student, plain),
    ]
    pathlib.Path(out).write_text("\n".join(parts), encoding="utf-8")


HEAD = """\
# What the demo voice was measured to be

Written by `make report` (`recipe/evaluate.py`); not edited. One CPU thread.

The test sentences occur nowhere in the training, in no spelling (held out by phone sequence): sentences of
the training's patterns, hand-written sentences with words the patterns do not have, and sentences whose
accents were drawn at random. Spectrum, durations and voicing are compared with the teacher; pitch is
compared with the rule it was trained on (`recipe/prosody.py`), since the voice does not imitate the
teacher's pitch. Nobody listened: what is said of intelligibility is a recognizer's.
"""


def table(columns, rows):
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


# Parameters, with the teacher's durations.


def parameters(student, held):
    columns = [_errors(student, [made for made in held if made.kind == kind]) for kind in GROUPS]
    rows = [[name, *(column[name] for column in columns)] for name in columns[0]]
    return "## Against the teacher\n\n" + table(["measure", *GROUPS.values()], rows)


def _errors(student, examples):
    spectral, lnf0, flat, correlation, to_teacher, rule_to_teacher = [], [], [], [], [], []
    voicing, guessed, true, lengths = [], [], [], []
    for made in examples:
        with torch.no_grad():
            ids, tones = torch.tensor(made.ids)[None], torch.tensor(made.tones)[None] + TONE_OFFSET
            states, durations = student.encode(ids, tones)
            boundaries = torch.tensor(made.boundaries, dtype=torch.float32)[None]
            mcp, pitch, voiced = student.decode(states, boundaries, made.frames)
            mcp, pitch = (value.numpy() for value in student.in_units(mcp[0], pitch[0]))
        voiced, silent = voiced[0].numpy() > 0, np.isin(made.ids, list(SILENT))
        middle = np.arange(len(pitch)) / 2 + 0.25
        owner = np.minimum(np.searchsorted(made.boundaries[1:], middle, side="right"), len(made.ids) - 1)
        speech, both = ~silent[owner], voiced & made.voiced
        distance = DECIBEL * np.sqrt(((mcp - made.mcp) ** 2)[:, 1:].sum(1))
        spectral += list(distance[speech])
        lnf0 += list((pitch - made.lnf0)[both])
        flat += list(made.lnf0[made.voiced] - made.lnf0[made.voiced].mean())
        voicing += list((voiced != made.voiced)[speech])
        if both.sum() > 20:
            agree = lambda a, b: np.corrcoef(a[both], b[both])[0, 1]  # noqa: E731
            correlation.append(agree(pitch, made.lnf0))
            to_teacher.append(agree(pitch, made.teacher_lnf0))
            rule_to_teacher.append(agree(made.lnf0, made.teacher_lnf0))
        own, given = np.exp(durations[0].numpy()) * 1000 * FRAME / RATE, np.diff(made.boundaries) * 1000 * FRAME / RATE
        guessed, true = guessed + list(own[~silent]), true + list(given[~silent])
        lengths.append(own.sum() / given.sum() - 1)
    guessed, true, lengths = map(np.array, (guessed, true, lengths))
    root = lambda values: float(np.sqrt(np.mean(np.square(values))))  # noqa: E731
    seconds = sum(made.frames for made in examples) * FRAME / RATE
    return {
        "sentences (seconds)": f"{len(examples)} ({seconds:.0f})",
        "mel-cepstral distortion c1-c34, teacher's durations: mean":
            f"{np.mean(spectral):.2f} dB",
        "... median, 95th percentile": f"{np.median(spectral):.2f}, {np.percentile(spectral, 95):.2f} dB",
        "F0 RMSE against the rule": f"{CENTS * root(lnf0):.0f} cents",
        "... of a flat contour": f"{CENTS * root(flat):.0f} cents",
        "F0 correlation with the rule, mean of sentences": f"{np.mean(correlation):.3f}",
        "F0 correlation with the teacher (the rule's own)": f"{np.mean(to_teacher):.3f} ({np.mean(rule_to_teacher):.3f})",
        "voicing error": f"{100 * np.mean(voicing):.2f} %",
        "phone duration RMSE, MAE": f"{root(guessed - true):.1f}, {np.abs(guessed - true).mean():.1f} ms",
        "... correlation; mean duration": f"{np.corrcoef(guessed, true)[0, 1]:.3f}; {true.mean():.1f} ms",
        "sentence length error, mean and absolute":
            f"{100 * lengths.mean():+.1f}, {100 * np.abs(lengths).mean():.1f} %",
    }


# Intelligibility, of the file as it is shipped.


def intelligibility(recognizer, opened, examples, sounds):
    rate = lambda pairs: "{:.1f} %".format(100 * np.sum(pairs, 0)[0] / np.sum(pairs, 0)[1])  # noqa: E731
    by_kind = lambda pairs: [  # noqa: E731
        rate([pair for pair, made in zip(pairs, examples) if made.kind == kind]) for kind in ("template", "unseen")
    ]
    rows = []

    def add(name, pairs):
        rows.append([name, rate(pairs), *by_kind(pairs)])

    add("teacher's own waveform", [recognizer.errors(s, made.ids) for s, made in zip(sounds, examples)])
    styles = voice.style_vectors()
    said = lambda **controls: [  # noqa: E731
        recognizer.errors(voice.speak(opened, made.ids, made.tones, **controls), made.ids) for made in examples
    ]
    for speaker, name in enumerate(voice.SPEAKERS):
        for row, style in enumerate(voice.STYLES):
            add(f"`{name}`, {style}", said(sid=speaker, style=styles[row]))
    add("`demo`, no noise", said(noise_scale=0.0))
    add("`demo`, `sdp_ratio` 0.2", said(sdp_ratio=0.2))
    add("`demo`, 1.25 times as fast", said(length_scale=0.8))
    add("`demo`, 1.5 times as slow", said(length_scale=1.5))
    rng, shuffled = random.Random(5), []
    for sound_, made in zip(sounds, examples):
        ids = list(made.ids)
        rng.shuffle(ids)
        shuffled.append(recognizer.errors(sound_, np.array(ids)))
    add("control: teacher's waveform, phones shuffled", shuffled)
    return (
        "## Phone error rate of a recognizer that knows the teacher only\n\n"
        "A small convolutional recognizer (`recipe/recognizer.py`), trained on 500 of the teacher's own\n"
        "waveforms and on nothing of this voice; its one speaker speaks in one manner, so other pitch, tempo and\n"
        "formants are held against the voice. Samples of the shipped file, its own durations, noise 0.6 unless said.\n\n"
        + table(["speech", f"all {len(examples)}", "patterns", "unseen words"], rows)
    )


# Accents.


def accents(teacher, student, opened):
    text = "## Accents\n\nF0 at the centre of each vowel, in semitones above that of the first, measured in the samples of\n"
    text += "the shipped file (in brackets: the rule). Tones of the first phrase are set to each accent in turn.\n\n"
    for sentence, count in (("さかながみえます。", 7), ("さかなが。", 4)):
        rows = []
        for accent in range(5):
            made, tones = _with_accent(teacher, sentence, accent)
            vowels = [place for place, i in enumerate(made.ids) if SYMBOLS[i] in "aiueo"][:count]
            measured, wanted = _at_vowels(student, opened, made, vowels)
            cell = lambda got, rule: f"{got - measured[0]:+.1f} ({rule - wanted[0]:+.1f})"  # noqa: E731
            rows.append([str(accent), tones, *map(cell, measured, wanted)])
        morae = "sa ka na ga mi e ma".split()[:count]
        text += f"{sentence}\n\n" + table(["accent", "tones", *morae], rows) + "\n"
    text += "Accents 4 and 0 are the same tones: the phrase has four morae.\n"
    return text


def _with_accent(teacher, sentence, accent):
    words = pyopenjtalk.run_frontend(sentence)
    phrase, rest = words[0], words[1:]
    # One phrase of four morae, however the dictionary cuts it.
    while phrase["mora_size"] < 4:
        following = rest.pop(0)
        phrase = {**phrase, "mora_size": phrase["mora_size"] + following["mora_size"],
                  "pron": phrase["pron"] + following["pron"], "read": phrase["read"] + following["read"],
                  "string": phrase["string"] + following["string"], "orig": phrase["orig"] + following["orig"]}
    words = [{**phrase, "acc": accent, "chain_flag": -1}, *rest]
    made = data.example(teacher, sentence, "accent", pyopenjtalk.make_label(words))
    vowels = [tone for i, tone in zip(made.ids, made.tones) if SYMBOLS[i] in "aiueo"]
    return made, "".join("LH"[tone] for tone in vowels[:4])


def _at_vowels(student, opened, made, vowels):
    """Semitones in the samples, and by the rule."""
    with torch.no_grad():
        _, durations = student.encode(torch.tensor(made.ids)[None], torch.tensor(made.tones)[None] + TONE_OFFSET)
    own = np.concatenate([[0], np.cumsum(np.exp(durations[0].numpy()))])
    hertz, _ = sound.pitch(voice.speak(opened, made.ids, made.tones, noise_scale=0.0))
    centre = lambda bounds, place: int(bounds[place] + bounds[place + 1])  # noqa: E731  rows are half frames
    measured = [12 * math.log2(np.median(hertz[max(0, centre(own, v) - 1) : centre(own, v) + 2])) for v in vowels]
    wanted = [made.lnf0[centre(made.boundaries, v)] * 12 / math.log(2) for v in vowels]
    return measured, wanted


# Styles and speakers.


def differences(opened, examples):
    styles, rows, first = voice.style_vectors(), [], None
    for speaker, name in enumerate(voice.SPEAKERS):
        for row, style in enumerate(voice.STYLES):
            measured = []
            for made in examples:
                samples = voice.speak(opened, made.ids, made.tones, sid=speaker, style=styles[row])
                mask, hertz = sound.voiced(samples)
                pitch = 12 * np.log2(hertz[mask]) if mask.any() else np.zeros(1)
                measured.append((
                    np.median(pitch), np.percentile(pitch, 90) - np.percentile(pitch, 10), len(samples) / RATE,
                    sound.centroid(samples), mask.mean(), 20 * math.log10(np.sqrt((samples**2).mean())),
                ))
            pitch, spread, seconds, centre, share, loud = np.mean(measured, 0)
            first = first or (pitch, seconds)
            periodic = f"{2 ** (pitch / 12):.0f} Hz ({pitch - first[0]:+.1f})", f"{spread:.1f}"
            rows.append([
                f"`{name}`, {style}", *(periodic if share > 0.05 else ("none", "none")),
                f"{100 * seconds / first[1]:.0f} %", f"{centre:.0f} Hz", f"{100 * share:.0f} %", f"{loud:.1f} dB",
            ])
    columns = ["", "median F0 (semitones)", "10 to 90 % of F0, semitones", "length", "spectral centroid", "periodic", "level"]
    return (
        f"## What styles and speakers change\n\nMeasured in the samples, mean of {len(examples)} sentences.\n\n"
        + table(columns, rows)
    )


# Buzz.


def buzz(recognizer, examples, sounds):
    variants = {
        "the teacher's mix of pulses and noise": Vocoder(teacher_low_pass),
        "a soft crossover (this voice)": Vocoder(soft_low_pass),
    }
    rows = [_buzz_row("teacher's own waveform", sounds, recognizer, examples, sounds)]
    tensor = lambda values: torch.tensor(values.astype(np.float32))  # noqa: E731
    for name, vocoder in variants.items():
        with torch.no_grad():
            made = [
                vocoder(tensor(e.mcp), tensor(e.teacher_lnf0), tensor(e.voiced), torch.tensor(1.0), torch.tensor(0.0)).numpy()
                for e in examples
            ]
        rows.append(_buzz_row(name, made, recognizer, examples, sounds))
    return (
        "## Buzz\n\nTeacher's parameters (and its pitch) through two vocoders that differ in one thing.\n\n"
        + table(["", "crest factor, voiced 40 ms", "beat of the 3-8 kHz envelope with the pitch (0 to 1)",
                 "distance to the teacher's log spectrum", "phone error"], rows)
    )


def _buzz_row(name, samples, recognizer, examples, sounds):
    crest, beat = np.mean([sound.buzz(one) for one in samples], 0)
    wrong, phones = np.sum([recognizer.errors(one, made.ids) for one, made in zip(samples, examples)], 0)
    distances = []
    for one, other in zip(samples, sounds):
        length = min(len(one), len(other))
        a, b = sound.log_spectrum(one[:length]), sound.log_spectrum(other[:length])
        distances.append(np.abs(a - b)[b.mean(1) > -30].mean())
    return [name, f"{crest:.1f} dB", f"{beat:.2f}", f"{np.mean(distances):.1f} dB", f"{100 * wrong / phones:.1f} %"]


# What it costs.


def cost(path, opened, examples):
    def timed(action):
        started = time.perf_counter()
        made = action()
        return time.perf_counter() - started, made

    loads = [timed(lambda: voice.session(path))[0] for _ in range(7)]
    fresh = voice.session(path)
    long = examples[0]
    first, _ = timed(lambda: voice.speak(fresh, long.ids, long.tones))
    runs = [timed(lambda made=made: voice.speak(opened, made.ids, made.tones)) for made in examples]
    seconds = sum(len(samples) for _, samples in runs) / RATE
    middle = statistics.median(spent / (len(samples) / RATE) for spent, samples in runs)
    rows = [
        ["file", f"{os.path.getsize(path):,} bytes"],
        ["session load, median and best of 7", f"{statistics.median(loads):.2f}, {min(loads):.2f} s"],
        ["first run after load", f"{1000 * first:.0f} ms"],
        ["real-time factor over all sentences", f"{sum(spent for spent, _ in runs) / seconds:.4f}"],
        ["... median and best of the sentences",
         f"{middle:.4f}, {min(spent / (len(samples) / RATE) for spent, samples in runs):.4f}"],
    ]
    return "## What it costs\n\nONNX Runtime in Python, one thread. Never to be taken for the cost of a real voice.\n\n" + table(["", ""], rows)


# The interface.


def interface(path, opened, student, examples):
    made = max(examples, key=lambda e: len(e.ids))
    quiet = {"noise_scale": 0.0, "sdp_ratio": 0.0}
    once, again = (voice.speak(opened, made.ids, made.tones, **quiet) for _ in range(2))
    padded = voice.inputs(made.ids, made.tones, **quiet)
    for name in ("x_tst", "tones", "language", "bert"):
        value = padded[name]
        padded[name] = np.concatenate([value, np.zeros((*value.shape[:-1], 37), value.dtype)], -1)
    in_bucket = opened.run(["output"], padded)[0][0, 0]
    pytorch = _pytorch(student, made, **quiet)
    rounded = _pytorch(_stored(student), made, **quiet)
    rng = np.random.default_rng(0)
    wild = [voice.speak(opened, made.ids, made.tones, style=rng.normal(0, 30, 256)) for _ in range(3)]
    wild += [voice.speak(opened, made.ids, made.tones, length_scale=scale) for scale in (0.1, 4.0)]
    wild += [voice.speak(opened, np.arange(112), np.zeros(112, np.int64))]
    wild += [voice.speak(opened, np.zeros(count, np.int64), np.zeros(count, np.int64)) for count in range(4)]
    short = voice.inputs(made.ids, made.tones)
    short["bert"] = short["bert"][..., :-2]
    vector = voice.inputs(made.ids, made.tones, **quiet)
    for name in voice.INPUTS[-4:]:
        vector[name] = vector[name].reshape(1)
    names = [one.name for one in opened.get_inputs()]
    equal = lambda a, b: a.shape == b.shape and float(np.abs(a - b).max())  # noqa: E731
    rows = [
        ["names and order of the inputs are those of JP-Extra", str(names == list(voice.INPUTS))],
        ["a whole number of frames of 512 samples", str(len(once) % FRAME == 0)],
        ["twice the same without noise: largest difference", f"{equal(once, again):.0e}"],
        ["padded by 37 positions: largest difference", f"{equal(once, in_bucket):.0e}"],
        ["scalars of shape [1] for scalars: largest difference", f"{equal(once, opened.run(['output'], vector)[0][0, 0]):.0e}"],
        ["PyTorch with weights rounded as in the file: largest difference", f"{equal(once, rounded):.3f}"],
        ["PyTorch with weights not rounded: mean difference of the log spectra", f"{_spectral(once, pytorch):.2f} dB"],
        ["wild styles, lengths, symbols and empty texts: finite and within 1",
         str(all(np.isfinite(one).all() and np.abs(one).max() <= 1 for one in wild))],
        ["a speaker that is not there is an error", str(_fails(opened, voice.inputs(made.ids, made.tones, sid=2)))],
        ["features of the wrong length are an error", str(_fails(opened, short))],
    ]
    return "## The interface\n\n" + table(["", ""], rows)


def _pytorch(student, made, **controls):
    given = map(torch.tensor, voice.inputs(made.ids, made.tones, **controls).values())
    with torch.no_grad():
        return voice.Voice(student).eval()(*given).numpy()[0, 0]


def _stored(student):
    other = model.Student().eval()
    other.load_state_dict({
        name: value.half().float() if value.nbytes > voice.KEPT_WHOLE else value
        for name, value in student.state_dict().items()
    })
    return other


def _spectral(a, b):
    length = min(len(a), len(b))
    return np.abs(sound.log_spectrum(a[:length]) - sound.log_spectrum(b[:length])).mean()


def _fails(opened, given):
    try:
        opened.run(["output"], given)
    except Exception:  # noqa: BLE001  ONNX Runtime has no common class of its errors
        return True
    return False


if __name__ == "__main__":
    main(*sys.argv[1:])
