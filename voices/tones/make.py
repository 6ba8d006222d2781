#!/usr/bin/env python3
"""Makes the voice inside the program: tones.aivmx, bert.onnx, tokenizer.json.

    pip install -r requirements.txt && python3 make.py

Seeds are fixed; the same versions write the same bytes.
"""

import base64
import io
import json
import pathlib

import numpy as np

import graph

HERE = pathlib.Path(__file__).parent
SPEAKERS = {"low": 0, "high": 1}
STYLES = {"Neutral": 0, "Raised": 1, "Lowered": 2}
MARKS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]


def style_vectors():
    """Row 0 is the mean, as in every Style-Bert-VITS2 voice."""
    rng = np.random.default_rng(3)
    direction = rng.normal(0, 0.3, graph.STYLE).astype(np.float32)
    return np.stack([np.zeros(graph.STYLE, np.float32), direction, -direction])


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def config(version="2.7.0-JP-Extra", speakers=SPEAKERS, styles=STYLES):
    return {
        "model_name": "tones", "version": version,
        "data": {"sampling_rate": graph.RATE, "hop_length": graph.HOP, "add_blank": True,
                 "use_jp_extra": version.endswith("JP-Extra"), "n_speakers": len(speakers), "spk2id": speakers,
                 "num_styles": len(styles), "style2id": styles},
    }


def manifest():
    return {
        "manifest_version": "1.0", "name": "tones",
        "description": "Tones, not speech: shows that everything works before there is a voice.",
        "creators": ["koemasu"], "license": "MIT OR Apache-2.0",
        "model_architecture": "Style-Bert-VITS2 (JP-Extra)", "model_format": "ONNX",
        "training_epochs": None, "training_steps": None,
        "uuid": "6f1f2d5c-8f0e-4c57-9a55-6d0b1f8f6c01", "version": "1.0.0",
        "speakers": [
            {"name": name, "icon": None, "supported_languages": ["ja"],
             "uuid": f"6f1f2d5c-8f0e-4c57-9a55-6d0b1f8f6c1{number}", "local_id": number,
             "styles": [{"name": style, "icon": None, "local_id": row, "voice_samples": []}
                        for style, row in STYLES.items()]}
            for name, number in SPEAKERS.items()
        ],
    }


def characters():
    """Kana, letters and marks; a kanji is [UNK]: this BERT knows nothing anyway."""
    ranges = [(0x3041, 0x3096), (0x30A1, 0x30FA), (0x30FC, 0x30FC), (0x3005, 0x3005), (0x21, 0x7E),
              (0xFF10, 0xFF19), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A)]
    return [chr(code) for first, last in ranges for code in range(first, last + 1)] + ["…"]


def tokenizer(vocabulary):
    def special(token):
        return {"id": vocabulary[token], "content": token, "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": False, "special": True}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [special(token) for token in MARKS],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": False,
                       "strip_accents": False, "lowercase": False},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": False},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": vocabulary},
    }


def main():
    voice = graph.voice(len(SPEAKERS))
    for key, value in [("aivm_manifest", json.dumps(manifest())),
                       ("aivm_hyper_parameters", json.dumps(config())),
                       ("aivm_style_vectors", base64.b64encode(npy(style_vectors())).decode())]:
        entry = voice.metadata_props.add()
        entry.key, entry.value = key, value
    vocabulary = {token: number for number, token in enumerate(MARKS + characters())}
    (HERE / "tones.aivmx").write_bytes(voice.SerializeToString(deterministic=True))
    (HERE / "bert.onnx").write_bytes(graph.bert(len(vocabulary)).SerializeToString(deterministic=True))
    (HERE / "tokenizer.json").write_text(json.dumps(tokenizer(vocabulary), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
