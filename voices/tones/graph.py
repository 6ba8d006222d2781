"""Graphs with the inputs and outputs of Style-Bert-VITS2 that make tones.

Nothing here is learned. Each phoneme lasts some frames and sounds as a few
harmonics; pitch follows the accent, the speaker and the style; the BERT
features colour the loudness a little, so that a feature at the wrong phoneme
can be heard and measured. Positions past `x_tst_lengths` give no frame.
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

RATE, HOP, HARMONICS = 44100, 512, 12
FEATURE, STYLE = 1024, 256
F32, I64 = TensorProto.FLOAT, TensorProto.INT64

ZH = ("E En a ai an ang ao b c ch d e ei en eng er f g h i i0 ia ian iang iao ie in ing iong ir iu j k l m n o "
      "ong ou p q r s sh t u ua uai uan uang ui un uo v van ve vn w x y z zh AA EE OO").split()
JP = ("N a a: b by ch d dy e e: f g gy h hy i i: j k ky m my n ny o o: p py q r ry s sh t ts ty u u: v w y z zy").split()
EN = ("aa ae ah ao aw ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th uh uw V w y z zh").split()
SYMBOLS = ["_"] + sorted(set(ZH + JP + EN)) + ["!", "?", "…", ",", ".", "'", "-", "SP", "UNK"]
assert len(SYMBOLS) == 112, len(SYMBOLS)

# The first two formants of the five vowels, in Hz: rough textbook values.
FORMANTS = {"a": (800, 1300), "i": (300, 2300), "u": (350, 1300), "e": (500, 1900), "o": (500, 900)}
NOISY = {"s", "sh", "ts", "ch", "h", "hy", "f", "k", "ky", "t", "p", "py", "z", "j"}
SILENT = {"!", "?", "…", ",", ".", "'", "-", "q", "SP"}


def tables():
    """Frames, loudness, breath and harmonics of each symbol."""
    frames = np.full(112, 5.0, np.float32)
    loud = np.full(112, 0.35, np.float32)
    breath = np.zeros(112, np.float32)
    shape = np.zeros((112, HARMONICS), np.float32)
    for number, symbol in enumerate(SYMBOLS):
        vowel = symbol[0].lower() if symbol.rstrip(":").lower() in FORMANTS else None
        centre = FORMANTS.get(vowel, (300, 1000))
        for harmonic in range(HARMONICS):
            hertz = 180.0 * (harmonic + 1)
            near = sum(gain * np.exp(-(((hertz - f) / 220.0) ** 2)) for f, gain in zip(centre, (1.0, 0.5)))
            shape[number, harmonic] = (near + 0.15) / (harmonic + 1) ** 0.5
        if vowel:
            frames[number], loud[number] = 9.0, 1.0
        if symbol in NOISY:
            breath[number], loud[number] = 1.0, 0.15
        if symbol in SILENT:
            frames[number], loud[number] = 12.0, 0.0
        if symbol == "_":
            frames[number], loud[number] = 1.0, 0.4
    return frames, loud, breath, shape


class Graph:
    """Collects nodes and constants under running names."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, value, dtype):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def f(self, value):
        return self.constant(value, np.float32)

    def i(self, value):
        return self.constant(value, np.int64)

    def __call__(self, op, *inputs, to=None, **attributes):
        to = to or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [to], **attributes))
        return to

    def cast(self, value, to):
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node("Cast", [value], [name], to=to))
        return name


def voice(speakers=2, multilingual=False, seed=1):
    """The synthesis graph: JP-Extra with 11 inputs, or multilingual with 13."""
    rng = np.random.default_rng(seed)
    g = Graph()
    frames, loud, breath, shape = tables()

    tokens = g("Squeeze", "x_tst", g.i([0]))
    count = g("Squeeze", g("Shape", tokens), g.i([0]))
    places = g("Range", g.i(0), count, g.i(1))
    real = g.cast(g("Less", places, "x_tst_lengths"), F32)

    # Frames of each token; the noise of durations is that of SBV2: only as
    # loud as noise_scale_w, and only the stochastic predictor's share.
    base = g("Mul", g("Gather", g.f(frames), tokens), "length_scale")
    dice = g("RandomNormalLike", base, dtype=F32)
    sway = g("Exp", g("Mul", g("Mul", dice, g.f(0.25)), g("Mul", "noise_scale_w", "sdp_ratio")))
    length = g("Max", g("Ceil", g("Mul", base, sway)), g.f(1.0))
    length = g("Mul", length, real)
    ends = g("CumSum", length, g.i(0))
    total = g("Max", g("ReduceSum", length, keepdims=0), g.f(1.0))
    frame = g.cast(g("Range", g.i(0), g.cast(total, I64), g.i(1)), F32)
    past = g.cast(g("GreaterOrEqual", g("Unsqueeze", frame, g.i([1])), g("Unsqueeze", ends, g.i([0]))), I64)
    token = g("Min", g("ReduceSum", past, g.i([1]), keepdims=0), g("Sub", count, g.i(1)))
    symbol = g("Gather", tokens, token)

    def smooth(row, width):
        """Average over neighbouring frames, [F] → [F]."""
        pooled = g("AveragePool", g("Unsqueeze", row, g.i([0, 1])), kernel_shape=[width],
                   pads=[width // 2, width // 2], count_include_pad=0)
        return g("Squeeze", pooled, g.i([0, 1]))

    # Pitch in semitones over the speaker's own: accent, style, and a slow fall.
    accent = np.full(12, 1.5, np.float32)
    accent[6], accent[7] = 0.0, 4.0
    tone = g("Gather", g("Gather", g.f(accent), g("Squeeze", "tones", g.i([0]))), token)
    by_style = g("MatMul", "style_vec", g.f(rng.normal(0, 0.5, (STYLE, 1))))
    semitones = g("Add", smooth(tone, 9), g("Squeeze", by_style, g.i([0, 1])))
    own = g("Gather", g.f(130.0 * 1.45 ** np.arange(speakers)), g("Squeeze", "sid", g.i([0])))
    pitch = g("Mul", own, g("Pow", g.f(2.0), g("Div", semitones, g.f(12.0))))

    # Loudness: the symbol's own, coloured by the features.
    features = ["bert", "ja_bert", "en_bert"] if multilingual else ["bert"]
    colour = None
    for name in features:
        weight = g.f(rng.normal(0, 1.0 / np.sqrt(FEATURE), (1, FEATURE)))
        part = g("Squeeze", g("MatMul", weight, g("Squeeze", name, g.i([0]))), g.i([0]))
        colour = part if colour is None else g("Add", colour, part)
    colour = g("Add", g("Mul", g("Tanh", colour), g.f(0.25)), g.f(1.0))
    gain = g("Mul", g("Gather", g.f(loud), symbol), g("Gather", colour, token))
    gain = smooth(gain, 5)

    # Phase in cycles: whole frames in double precision, then within a frame.
    turn = g("Mul", g.cast(pitch, TensorProto.DOUBLE), g.constant(HOP / RATE, np.float64))
    before = g("CumSum", turn, g.i(0), exclusive=1)
    before = g("Mod", before, g.constant(1.0, np.float64), fmod=1)
    before = g.cast(before, F32)
    ramp = g.f(np.arange(HOP, dtype=np.float32)[None, :] / RATE)
    phase = g("Add", g("Unsqueeze", before, g.i([1])), g("Mul", g("Unsqueeze", pitch, g.i([1])), ramp))

    by_harmonic = g("Gather", g.f(shape), symbol)
    pooled = g("AveragePool", g("Unsqueeze", g("Transpose", by_harmonic, perm=[1, 0]), g.i([0])),
               kernel_shape=[5], pads=[2, 2], count_include_pad=0)
    by_harmonic = g("Squeeze", pooled, g.i([0]))  # [harmonics, F]
    wave = None
    for harmonic in range(HARMONICS):
        part = g("Sin", g("Mul", phase, g.f(2 * np.pi * (harmonic + 1))))
        part = g("Mul", part, g("Unsqueeze", g("Gather", by_harmonic, g.i(harmonic)), g.i([1])))
        wave = part if wave is None else g("Add", wave, part)
    wave = g("Mul", wave, g("Unsqueeze", gain, g.i([1])))
    hiss = g("RandomNormalLike", wave, dtype=F32)
    breathy = g("Mul", g("Add", smooth(g("Gather", g.f(breath), symbol), 3), g.f(0.02)), "noise_scale")
    wave = g("Add", wave, g("Mul", hiss, g("Mul", g("Unsqueeze", breathy, g.i([1])), g.f(0.08))))
    g("Reshape", g("Tanh", g("Mul", wave, g.f(0.5))), g.i([1, 1, -1]), to="output")

    ids = ["batch_size", "x_tst_max_length"]
    feature = ["batch_size", FEATURE, "x_tst_max_length"]
    info = helper.make_tensor_value_info
    inputs = [info("x_tst", I64, ids), info("x_tst_lengths", I64, ["batch_size"]), info("sid", I64, ["batch_size"]),
              info("tones", I64, ids), info("language", I64, ids)]
    inputs += [info(name, F32, feature) for name in features]
    inputs += [info("style_vec", F32, ["batch_size", STYLE])]
    inputs += [info(name, F32, []) for name in ("length_scale", "sdp_ratio", "noise_scale", "noise_scale_w")]
    return model(g, "tones", inputs, [info("output", F32, ["batch_size", 1, "samples"])])


def bert(vocabulary, width=16, seed=2):
    """Features of characters and their neighbours, blind to padding."""
    rng = np.random.default_rng(seed)
    g = Graph()
    rows = g("Gather", g.f(rng.normal(0, 1, (vocabulary, width))), g("Squeeze", "input_ids", g.i([0])))
    mask = g.cast(g("Squeeze", "attention_mask", g.i([0])), F32)
    rows = g("Mul", rows, g("Unsqueeze", mask, g.i([1])))
    kernel = g.f(rng.normal(0, 1.0 / np.sqrt(3 * width), (width, width, 3)))
    mixed = g("Conv", g("Unsqueeze", g("Transpose", rows, perm=[1, 0]), g.i([0])), kernel, pads=[1, 1])
    mixed = g("Transpose", g("Squeeze", g("Tanh", mixed), g.i([0])), perm=[1, 0])
    g("MatMul", mixed, g.f(rng.normal(0, 1, (width, FEATURE))), to="output")
    info = helper.make_tensor_value_info
    ids = ["batch_size", "sequence_length"]
    inputs = [info("input_ids", I64, ids), info("attention_mask", I64, ids)]
    return model(g, "character-features", inputs, [info("output", F32, ["sequence_length", FEATURE])])


def model(g, name, inputs, outputs):
    graph = helper.make_graph(g.nodes, name, inputs, outputs, g.constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="koemasu")
    made.ir_version = 8
    return made
