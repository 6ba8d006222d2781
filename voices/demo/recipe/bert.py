"""A stand-in for the Japanese BERT: random numbers for a character and its neighbours.

    python3 bert.py GRAPH.onnx TOKENIZER.json

It knows nothing of the language. It has the inputs, the output and the width of the real one
([characters, 1024]), so that a text takes the same path through the host.
"""

import json
import pathlib
import sys

import numpy as np
from onnx import TensorProto, helper, numpy_helper

FEATURE, WIDTH = 1024, 16
SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
I64, F32 = TensorProto.INT64, TensorProto.FLOAT


def graph(vocabulary, seed=2):
    """Features of characters and their neighbours, blind to padding."""
    rng = np.random.default_rng(seed)
    weights = {
        "characters": rng.normal(0, 1, (vocabulary, WIDTH)),
        "neighbours": rng.normal(0, 1 / np.sqrt(3 * WIDTH), (WIDTH, WIDTH, 3)),
        "widening": rng.normal(0, 1, (WIDTH, FEATURE)),
    }
    constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    constants += [numpy_helper.from_array(np.array([axis]), f"axis_{axis}") for axis in (0, 1)]
    node = helper.make_node
    nodes = [
        node("Squeeze", ["input_ids", "axis_0"], ["ids"]),
        node("Gather", ["characters", "ids"], ["rows"]),
        node("Cast", ["attention_mask"], ["mask_float"], to=F32),
        node("Squeeze", ["mask_float", "axis_0"], ["mask_row"]),
        node("Unsqueeze", ["mask_row", "axis_1"], ["mask"]),
        node("Mul", ["rows", "mask"], ["masked"]),
        node("Transpose", ["masked"], ["columns"], perm=[1, 0]),
        node("Unsqueeze", ["columns", "axis_0"], ["batch"]),
        node("Conv", ["batch", "neighbours"], ["mixed"], pads=[1, 1]),
        node("Tanh", ["mixed"], ["bent"]),
        node("Squeeze", ["bent", "axis_0"], ["bent_columns"]),
        node("Transpose", ["bent_columns"], ["bent_rows"], perm=[1, 0]),
        node("MatMul", ["bent_rows", "widening"], ["output"]),
    ]
    info, ids = helper.make_tensor_value_info, ["batch_size", "sequence_length"]
    made = helper.make_model(
        helper.make_graph(
            nodes, "character-features", [info("input_ids", I64, ids), info("attention_mask", I64, ids)],
            [info("output", F32, ["sequence_length", FEATURE])], constants,
        ),
        opset_imports=[helper.make_opsetid("", 17)], producer_name="koemasu",
    )
    made.ir_version = 8
    return made


def characters():
    """Kana, letters and marks; a kanji is [UNK]."""
    ranges = [
        (0x3041, 0x3096), (0x30A1, 0x30FA), (0x30FC, 0x30FC), (0x3005, 0x3005),
        (0x21, 0x7E), (0xFF10, 0xFF19), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A),
    ]
    return [chr(code) for first, last in ranges for code in range(first, last + 1)] + ["…"]


def tokenizer(vocabulary):
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": vocabulary[token], "content": token, **special} for token in SPECIAL],
        "normalizer": {
            "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": False,
            "strip_accents": False, "lowercase": False,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": False},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary,
        },
    }


def main(graph_path, tokenizer_path):
    vocabulary = {token: number for number, token in enumerate(SPECIAL + characters())}
    pathlib.Path(graph_path).write_bytes(graph(len(vocabulary)).SerializeToString(deterministic=True))
    text = json.dumps(tokenizer(vocabulary), ensure_ascii=False) + "\n"
    pathlib.Path(tokenizer_path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
