"""Puts the names, the styles and the licence into the graph: an .aivmx, and its hash beside it.

    python3 package.py VOICE.onnx NOTICE OUT.aivmx
"""

import base64
import hashlib
import io
import json
import pathlib
import sys

import numpy as np
import onnx
from PIL import Image, ImageDraw

from symbols import FRAME, RATE
from voice import SPEAKERS, STYLES, style_vectors

VERSION = "1.0.0"
# Drawn once; an id says that a voice is the same voice, so a retrained file keeps them.
VOICE_ID = "5a5cd51a-190f-4e74-810b-87f529fccc92"
SPEAKER_IDS = {"demo": "f44c8bd7-c770-4d2e-851e-47a6623be534", "demo-low": "f3461bd2-f37c-4923-bc5f-c9614de9635e"}
COLOURS = {"demo": "#2f6f8f", "demo-low": "#8f5a2f"}


def hyper_parameters():
    return {
        "model_name": "demo", "version": "2.7.0-JP-Extra",
        "data": {
            "use_jp_extra": True, "sampling_rate": RATE, "hop_length": FRAME, "add_blank": True,
            "n_speakers": len(SPEAKERS), "spk2id": {name: number for number, name in enumerate(SPEAKERS)},
            "num_styles": len(STYLES), "style2id": {name: row for row, name in enumerate(STYLES)},
        },
        "model": {"gin_channels": 512, "upsample_rates": [8, 8, 2, 2, 2]},
    }


def manifest(notice):
    styles = [{"name": name, "icon": None, "local_id": row, "voice_samples": []} for row, name in enumerate(STYLES)]
    return {
        "manifest_version": "1.0", "name": "demo",
        "description": "A small synthetic voice to hear that everything works, and to test with. Not a showcase of quality.",
        "creators": ["koemasu"], "license": notice,
        "model_architecture": "Style-Bert-VITS2 (JP-Extra)", "model_format": "ONNX",
        "training_epochs": None, "training_steps": None, "uuid": VOICE_ID, "version": VERSION,
        "speakers": [
            {"name": name, "icon": icon(COLOURS[name]), "supported_languages": ["ja"], "uuid": SPEAKER_IDS[name],
             "local_id": number, "styles": styles}
            for number, name in enumerate(SPEAKERS)
        ],
    }


def icon(colour, side=96):
    """A waveform, as a data URL."""
    picture = Image.new("P", (side, side))
    picture.putpalette([255, 255, 255, *bytes.fromhex(colour[1:])])
    draw = ImageDraw.Draw(picture)
    for bar, height in enumerate((0.2, 0.45, 0.8, 0.55, 0.95, 0.6, 0.3)):
        left = 9 + bar * 12
        draw.rectangle((left, side * (1 - height) / 2, left + 5, side * (1 + height) / 2), fill=1)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def package(graph, notice):
    vectors = io.BytesIO()
    np.save(vectors, style_vectors())
    made = onnx.load(graph)
    for key, value in {
        "aivm_manifest": json.dumps(manifest(notice), ensure_ascii=False),
        "aivm_hyper_parameters": json.dumps(hyper_parameters()),
        "aivm_style_vectors": base64.b64encode(vectors.getvalue()).decode(),
    }.items():
        entry = made.metadata_props.add()
        entry.key, entry.value = key, value
    return made.SerializeToString(deterministic=True)


def main(graph, notice, out):
    data, out = package(graph, pathlib.Path(notice).read_text(encoding="utf-8")), pathlib.Path(out)
    out.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    out.with_name(out.name + ".sha256").write_text(f"{digest}  {out.name}\n")
    print(f"{out.name}: {len(data)} bytes, sha256 {digest}")


if __name__ == "__main__":
    main(*sys.argv[1:])
