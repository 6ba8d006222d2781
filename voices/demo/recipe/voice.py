"""The demo voice as a graph with the inputs and the output of a Style-Bert-VITS2 JP-Extra voice.

    python3 voice.py STUDENT.pt OUT.onnx
"""

import math
import sys
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn as nn
from onnx import TensorProto, helper, numpy_helper

import model
from symbols import LANGUAGE, TONE_OFFSET
from vocoder import BINS, FFT, Vocoder, soft_low_pass

INPUTS = (
    "x_tst x_tst_lengths sid tones language bert style_vec length_scale sdp_ratio noise_scale noise_scale_w"
).split()
FEATURE, STYLE = 1024, 256

# ln pitch, ln range of pitch, ln tempo, ln formants, breath, brightness.
CONTROLS = 6
LARGEST = (0.6, 0.9, 0.5, 0.22, 1.0, 0.5)  # a style vector goes through tanh, then times these
SPEAKERS = {
    "demo": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    # Formants lower than this cost more than another voice is worth: at 0.90 the phone error trebles.
    "demo-low": (-7.0 / 12 * math.log(2), 0.1, -0.05, math.log(0.92), 0.0, -0.2),
}
STYLES = {
    "Neutral": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "Happy": (0.30, 0.40, 0.15, 0.10, 0.0, 0.20),
    "Sad": (-0.25, -0.70, -0.40, 0.0, 0.15, -0.30),
    "Angry": (0.05, 0.60, 0.30, 0.0, 0.0, 0.50),
    "Whisper": (0.0, 0.0, -0.20, 0.0, 4.0, 0.10),
}
JITTER_OF_DURATION, JITTER_OF_PITCH = 0.15, 0.008  # in ln, at a scale of 1
LOWEST, HIGHEST = 55.0, 900.0  # Hz
KEPT_WHOLE = 8_192  # bytes: larger weights are stored in float16


class Voice(nn.Module):
    def __init__(self, student):
        super().__init__()
        self.student, self.vocoder = student, Vocoder(soft_low_pass)
        self.register_buffer("speakers", torch.tensor(list(SPEAKERS.values())))
        self.register_buffer("largest", torch.tensor(LARGEST))

    def forward(self, x_tst, x_tst_lengths, sid, tones, language, bert, style_vec,
                length_scale, sdp_ratio, noise_scale, noise_scale_w):
        # What is at even places are blanks; what is past the length is padding. The guard at the end
        # lasts no time and keeps an empty text from being an empty tensor.
        length, guard = x_tst_lengths[0], torch.zeros(1, 1, dtype=torch.int64)
        ids = torch.cat([x_tst[:, :length][:, 1::2], guard], 1)
        tones_ = torch.cat([tones[:, :length][:, 1::2], guard + TONE_OFFSET], 1)
        control = torch.tanh(style_vec[0, :CONTROLS]) * self.largest + self.speakers[sid][0]
        pitch, spread, tempo, formant, breath, bright = (control[k] for k in range(CONTROLS))

        states, durations = self.student.encode(ids, tones_)
        durations = durations + torch.randn_like(durations) * (sdp_ratio * noise_scale_w * JITTER_OF_DURATION)
        durations = torch.exp(torch.clamp(durations, min=-3.0, max=4.5) - tempo) * length_scale
        durations = torch.cat([durations[:, :-1], durations[:, -1:] * 0], 1)
        boundaries = torch.cat([torch.zeros(1, 1), torch.cumsum(durations, 1)], 1)
        frames = torch.clamp(torch.ceil(boundaries[0, -1]), min=1.0).to(torch.int64)
        mcp, lnf0, voiced = self.student.decode(states, boundaries, frames)
        mcp, lnf0 = self.student.in_units(mcp[0], lnf0[0])

        middle = self.student.mean[model.ORDER]
        lnf0 = middle + (lnf0 - middle) * torch.exp(spread) + pitch
        lnf0 = lnf0 + torch.randn_like(lnf0) * (noise_scale * JITTER_OF_PITCH)
        lnf0 = torch.clamp(lnf0, min=math.log(LOWEST), max=math.log(HIGHEST))
        # Less of c1 is a brighter spectrum; c0 makes up for the energy.
        mcp = torch.cat([mcp[:, :1] + 0.6 * bright, mcp[:, 1:2] - bright, mcp[:, 2:]], 1)
        samples = self.vocoder(mcp, lnf0, torch.sigmoid(4 * voiced[0]), torch.exp(formant), torch.clamp(breath, 0.0, 1.0))
        # No influence, but their lengths have to agree as in a real voice.
        unused = ((x_tst + language).to(torch.float32) + bert[:, 0, :]).sum() * 0.0
        return torch.tanh(samples + unused)[None, None]


def inputs(ids, tones, sid=0, style=None, length_scale=1.0, sdp_ratio=0.0, noise_scale=0.6, noise_scale_w=0.8):
    """Arrays as a host gives them, blanks included; `ids` and `tones` without."""
    positions = 2 * len(ids) + 1
    row = lambda values: np.stack([np.zeros(len(ids), np.int64), values], 1).reshape(1, -1)  # noqa: E731
    row_ = lambda values: np.concatenate([row(values), np.zeros((1, 1), np.int64)], 1)  # noqa: E731
    scalar = lambda value: np.array(value, np.float32)  # noqa: E731
    return dict(zip(INPUTS, (
        row_(ids), np.array([positions]), np.array([sid]), row_(np.asarray(tones) + TONE_OFFSET),
        row_(np.full(len(ids), LANGUAGE)), np.zeros((1, FEATURE, positions), np.float32),
        np.zeros((1, STYLE), np.float32) if style is None else np.asarray(style, np.float32).reshape(1, STYLE),
        scalar(length_scale), scalar(sdp_ratio), scalar(noise_scale), scalar(noise_scale_w),
    )))


def style_vectors():
    """Row 0 is all zeros: the mean that a style's weight counts from."""
    rows = np.zeros((len(STYLES), STYLE), np.float32)
    rows[:, :CONTROLS] = list(STYLES.values())
    return rows


def session(path_or_bytes):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = 1, 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path_or_bytes, options, providers=["CPUExecutionProvider"])


def speak(opened, ids, tones, **controls):
    return opened.run(["output"], inputs(ids, tones, **controls))[0][0, 0]


def export(student, path):
    batch, positions = {0: "batch_size"}, {0: "batch_size", 1: "x_tst_max_length"}
    axes = {
        "x_tst": positions, "x_tst_lengths": batch, "sid": batch, "tones": positions, "language": positions,
        "bert": {0: "batch_size", 2: "x_tst_max_length"}, "style_vec": batch, "output": {2: "samples"},
    }
    rng = np.random.default_rng(0)
    example = inputs(rng.integers(8, 80, 20), np.zeros(20, np.int64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Voice(student).eval(), tuple(torch.tensor(value) for value in example.values()), path,
            input_names=INPUTS, output_names=["output"], dynamic_axes=axes, opset_version=17,
            do_constant_folding=False, dynamo=False,
        )
    made = onnx.load(path)
    _make_tables_at_load(made)
    _store_halves(made)
    del made.metadata_props[:]
    made.producer_name, made.producer_version, made.graph.name = "koemasu", "", "demo"
    onnx.checker.check_model(made)
    onnx.save(made, path)


def _make_tables_at_load(made):
    """Index tables k * n mod FFT, 6 MB as constants, become nodes that ONNX Runtime folds."""
    nodes, out = [], {}

    def constant(name, value):
        nodes.append(helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(value, np.int64))))

    for name, value in {"zero": 0, "one": 1, "fft": FFT, "first": [0], "second": [1]}.items():
        constant(f"table_{name}", value)
    for kept, array in _constants(made):
        if array.dtype != np.int64 or array.ndim != 2 or array.size < 100_000:
            continue
        rows, columns = array.shape
        assert BINS in (rows, columns)
        assert (array == np.arange(rows)[:, None] * np.arange(columns)[None] % FFT).all()
        side = {}
        for name, count, axis in (("rows", rows, "second"), ("columns", columns, "first")):
            prefix = f"table{len(out)}_{name}"
            constant(f"{prefix}_count", count)
            nodes.append(helper.make_node("Range", ["table_zero", f"{prefix}_count", "table_one"], [f"{prefix}_range"]))
            nodes.append(helper.make_node("Unsqueeze", [f"{prefix}_range", f"table_{axis}"], [prefix]))
            side[name] = prefix
        product, name = f"table{len(out)}_product", f"table{len(out)}"
        nodes.append(helper.make_node("Mul", [side["rows"], side["columns"]], [product]))
        nodes.append(helper.make_node("Mod", [product, "table_fft"], [name]))
        out[kept] = name
    assert len(out) == 2, out
    _drop(made, out)
    for node in made.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = out.get(name, name)
    for node in reversed(nodes):
        made.graph.node.insert(0, node)


def _store_halves(made):
    """Weights in float16, cast once at load: half the file, the same sound."""
    for weight in list(made.graph.initializer):
        array = numpy_helper.to_array(weight)
        if array.dtype != np.float32 or array.nbytes <= KEPT_WHOLE:
            continue
        half = numpy_helper.from_array(array.astype(np.float16), f"{weight.name}_half")
        made.graph.initializer.remove(weight)
        made.graph.initializer.append(half)
        made.graph.node.insert(0, helper.make_node("Cast", [half.name], [weight.name], to=TensorProto.FLOAT))


def _constants(made):
    for weight in made.graph.initializer:
        yield weight.name, numpy_helper.to_array(weight)
    for node in made.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            yield node.output[0], numpy_helper.to_array(node.attribute[0].t)


def _drop(made, names):
    for listed, name_of in ((made.graph.initializer, lambda w: w.name), (made.graph.node, lambda n: n.output[0])):
        for item in [item for item in listed if name_of(item) in names]:
            listed.remove(item)


if __name__ == "__main__":
    torch.set_num_threads(1)
    export(model.load(sys.argv[1]), sys.argv[2])
