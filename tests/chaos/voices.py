"""Voices of chaos: some ten of them out of the fixtures, each with several versions that sound unlike each other.

Their dice are taken from them, so that a text always sounds the same, and they get a megabyte of weights that can be
heard: where only a part of a file is another voice's, the sound is neither's. A version is the sound; a name is who
speaks, and keeps its ids whatever bytes lie under it.
"""

import array
import base64
import io
import json
import pathlib
import random
import struct
import tarfile
import uuid

import onnx

FIXTURES = pathlib.Path(__file__).resolve().parents[1] / "fixtures"
FEATURE = 1024

# Graph, rows of the weight that colours by the text's features, and its config.
ARCHITECTURES = {
    "tones": ("jp-extra.onnx", 256, "config.json"),
    "decoded": ("decoded.onnx", 256, "config.json"),
    "multilingual": ("multilingual.onnx", 96, "config-multilingual.json"),
}
# Name, architecture and packing of each voice.
CAST = [
    ("aoi", "tones", "folder"),
    ("beni", "tones", "aivmx"),
    ("chiyo", "tones", "folder"),
    ("dan", "decoded", "folder"),
    ("emi", "decoded", "aivmx"),
    ("fuku", "multilingual", "folder"),
    ("gen", "multilingual", "aivmx"),
    ("hana", "tones", "sbv2"),
]
VERSIONS = 3


def graph(architecture, seed):
    """The model of one version: `onnx.Model`."""
    file, rows, _ = ARCHITECTURES[architecture]
    model = onnx.Model((FIXTURES / file).read_bytes())
    chance = random.Random(seed)
    if not onnx.silence_dice(model):
        raise SystemExit(f"{file}: its dice are not where they were")
    colour(model, rows, chance)
    for place, fields in model.initializers():
        shape = onnx.dims(fields)
        values = floats(fields)
        if values is None or len(shape) == 0 or rows in shape:
            continue
        if shape == [2]:
            # The speakers' own pitch.
            scale = 0.7 + 0.5 * chance.random()
            values = array.array("f", (it * scale for it in values))
        elif shape != [112]:
            # Frames and loudness of symbols stay; harmonics, styles and convolutions differ.
            values = array.array("f", (it * (0.6 + 0.8 * chance.random()) for it in values))
        for field in fields:
            if field[0] == onnx.TENSOR_RAW:
                field[1] = values.tobytes()
        model.set(place, fields)
    return model


def floats(fields):
    raw = onnx.first(fields, onnx.TENSOR_RAW)
    if onnx.first(fields, onnx.TENSOR_TYPE, 0) != onnx.FLOAT or not raw:
        return None
    return array.array("f", raw)


def colour(model, rows, chance):
    """The row that colours loudness by the features becomes the mean of many rows."""
    wide = {onnx.first(fields, onnx.TENSOR_NAME): place for place, fields in model.initializers()
            if onnx.dims(fields) == [1, FEATURE]}
    for name, place in wide.items():
        row = [chance.gauss(0, 1.5 / FEATURE ** 0.5) for _ in range(FEATURE)]
        raw = bytearray()
        for _ in range(rows):
            by = 0.5 + chance.random()
            raw += array.array("f", (it * by for it in row)).tobytes()
        model.graph[place][1] = onnx.tensor(name, [rows, FEATURE], bytes(raw))
    for place, fields in reversed(model.nodes()):
        if onnx.first(fields, onnx.NODE_OP) == b"MatMul" and onnx.first(fields, onnx.NODE_INPUT) in wide:
            output = onnx.first(fields, onnx.NODE_OUTPUT)
            for field in fields:
                if field[0] == onnx.NODE_OUTPUT:
                    field[1] = b"wide_" + output
            model.set(place, fields)
            attributes = [onnx.ints(b"axes", [0]), onnx.integer(b"keepdims", 1)]
            model.insert(place + 1, onnx.node(b"ReduceMean", [b"wide_" + output], [output], attributes=attributes))
    if not wide:
        raise SystemExit("the fixtures have no weight of [1, 1024] any more")


def manifest(name, config):
    """An AIVM manifest whose ids are the name's alone."""
    named = lambda what: str(uuid.uuid3(uuid.NAMESPACE_URL, f"chaos/{what}"))
    styles = [{"name": style, "local_id": number} for style, number in config["data"]["style2id"].items()]
    return {
        "manifest_version": "1.0", "name": name, "uuid": named(name), "version": "1.0.0",
        "model_architecture": "Style-Bert-VITS2 (JP-Extra)", "model_format": "ONNX",
        "speakers": [{"name": speaker, "uuid": named(f"{name}/{speaker}"), "local_id": number, "icon": "",
                      "supported_languages": ["ja"], "styles": styles}
                     for speaker, number in config["data"]["spk2id"].items()],
    }


def packed(name, architecture, packing, model):
    """The files of a voice, by their path below the voices' folder; the one with the weights comes last."""
    config = json.loads((FIXTURES / ARCHITECTURES[architecture][2]).read_text())
    config["model_name"] = name
    vectors = (FIXTURES / "style_vectors.npy").read_bytes()
    if packing == "folder":
        return {f"{name}/config.json": json.dumps(config).encode(), f"{name}/style_vectors.npy": vectors,
                f"{name}/model.onnx": model.bytes()}
    if packing == "aivmx":
        metadata = {"aivm_manifest": json.dumps(manifest(name, config)),
                    "aivm_hyper_parameters": json.dumps(config),
                    "aivm_style_vectors": base64.b64encode(vectors).decode()}
        return {f"{name}.aivmx": model.bytes(metadata)}
    return {f"{name}.sbv2": archive(model.bytes(), vectors)}


def archive(model, npy):
    """A tar in zstd frames whose blocks are stored as they are: Python 3.11 has no zstd."""
    length = struct.unpack_from("<H", npy, 8)[0]
    rows = array.array("f", npy[10 + length:])
    data = [list(rows[at:at + 256]) for at in range(0, len(rows), 256)]
    style = json.dumps({"data": data, "shape": [len(data), 256]}).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for entry, content in (("version.txt", b"1"), ("model.onnx", model), ("style_vectors.json", style)):
            info = tarfile.TarInfo(entry)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stored_zstd(buffer.getvalue())


def stored_zstd(data):
    """One frame: magic, one segment with a content size of 8 bytes, raw blocks."""
    block = 1 << 17
    out = bytearray(b"\x28\xb5\x2f\xfd" + bytes([0b11100000]) + struct.pack("<Q", len(data)))
    for at in range(0, len(data), block):
        piece = data[at:at + block]
        last = at + block >= len(data)
        out += struct.pack("<I", len(piece) << 3 | last)[:3] + piece
    return bytes(out)


class Voice:
    """A name, and the versions that may lie under it."""

    def __init__(self, name, architecture, packing, seed):
        self.name, self.architecture, self.packing = name, architecture, packing
        self.files, self.models = {}, {}
        for number in range(VERSIONS):
            self.add(f"{name}{number}", graph(architecture, f"{seed}/{name}/{number}"), architecture)

    def add(self, version, model, architecture):
        self.models[version] = (architecture, model)
        self.files[version] = packed(self.name, architecture, self.packing, model)

    def alone(self, version):
        """The files of a voice that is called as its version is."""
        architecture, model = self.models[version]
        return packed(version, architecture, self.packing, model)

    def path(self, folder):
        """The file with its weights."""
        return folder / list(next(iter(self.files.values())))[-1]


def cast(seed, count=len(CAST)):
    """All voices, each with versions of its own, and one that is another voice's bytes."""
    voices = [Voice(name, architecture, packing, seed) for name, architecture, packing in CAST[:count]]
    for number, voice in enumerate(voices):
        other = voices[(number + 1) % len(voices)]
        version = f"{other.name}0"
        voice.add(version, graph(other.architecture, f"{seed}/{other.name}/0"), other.architecture)
    return voices
