#!/usr/bin/env python3
"""koemasu beside HayaKoe (PyPI), interleaved in one run, with the same weights and texts.

usage: peers.py MODELS WORK [PHASE ...]      (Python 3, a release build of koemasu)

MODELS  folder with real-size/ (graphs of the real architecture and make_weights.py)
WORK    a folder for weights, HayaKoe's virtual environment and configuration; what is there is used again
PHASE   latency together switching memory start (default: all)

HayaKoe is installed from PyPI at one version, unpatched, with ONNX Runtime of koemasu's version, and gets the same
graphs: inputs renamed as it wants them, its BERT in 8 bits as it ships it (`quantize_dynamic`). It fails where HayaKoe
cannot be installed, does not start, or says nothing, and where others use the machine: before, or during a phase.

In each round the two speak the same new text, one after the other, in turns who is first. A ratio is koemasu's
figure by HayaKoe's of the same round; what is printed is the median of the rounds and, in brackets, the least and the
greatest. Below 1 koemasu takes less. CPU seconds are the process's, times the client's.
"""

import http.client
import json
import os
import pathlib
import random
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time

from bench import TICKS, Server
from texts import text

HERE = pathlib.Path(__file__).resolve().parent
HAYAKOE, RUNTIME = "hayakoe==1.3.1", "onnxruntime==1.32.0"
VOICES = ["v1", "v2", "v3", "v4"]
# Others may take so much of the machine.
QUIET = 0.08

PREPARE = r'''
import json, os, pathlib, shutil, sys
import onnx
from onnx import helper, TensorProto
from onnxruntime.quantization import QuantType, quantize_dynamic
weights, root, voices = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3:]
names = {"x_tst": "x", "x_tst_lengths": "x_lengths", "tones": "tone", "output": "audio"}
def rename(nodes):
    for node in nodes:
        for values in (node.input, node.output):
            for place, value in enumerate(values):
                values[place] = names.get(value, value)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                rename(attribute.g.node)
for voice in voices:
    folder = root / "onnx/speakers" / voice
    folder.mkdir(parents=True, exist_ok=True)
    model = onnx.load(weights / voice / "voice.onnx", load_external_data=False)
    rename(model.graph.node)
    for port in [*model.graph.input, *model.graph.value_info, *model.graph.output]:
        port.name = names.get(port.name, port.name)
    for port in model.graph.input:
        if port.name in ("length_scale", "sdp_ratio", "noise_scale", "noise_scale_w"):
            port.type.tensor_type.shape.dim.add().dim_value = 1
    kept = [port for port in model.graph.output if port.name == "audio"]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    onnx.save(model, folder / "synthesizer.onnx")
    for name in ("voice.weights", "config.json", "style_vectors.npy"):
        if not (folder / name).exists():
            os.link(weights / voice / name, folder / name)
model = onnx.load(weights / "bert/bert.onnx", load_external_data=False)
graph = model.graph
last = next(node for node in graph.node if "output" in node.output)
source = last.input[0]
graph.node.remove(last)
graph.node.append(helper.make_node("Identity", [source], ["output"]))
del graph.output[:]
graph.output.append(helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", "length", 1024]))
onnx.save(model, weights / "bert/batch.onnx")
folder = root / "onnx/bert/q8"
folder.mkdir(parents=True, exist_ok=True)
quantize_dynamic(weights / "bert/batch.onnx", folder / "bert_q8.onnx", weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"])
folder = root / "bert/tokenizer"
folder.mkdir(parents=True, exist_ok=True)
tokenizer = json.loads((weights / "bert/tokenizer.json").read_text())
# A token for each character, as the tokenizer it ships gives.
tokenizer["pre_tokenizer"] = {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False}
(folder / "tokenizer.json").write_text(json.dumps(tokenizer))
special = {f"{name.lower()}_token": f"[{name}]" for name in ("CLS", "SEP", "PAD", "UNK", "MASK")}
(folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **special}))
'''


def machine():
    """Busy and all ticks of the machine so far."""
    fields = [int(field) for field in open("/proc/stat").readline().split()[1:9]]
    idle = fields[3] + fields[4]
    return sum(fields) - idle, sum(fields)


class Quiet:
    """Ends the run if others than `servers` and this client used the machine meanwhile."""

    def __init__(self, *servers):
        self.servers = servers

    def ours(self):
        return sum(server.cpu_s() for server in self.servers) + sum(os.times()[:2])

    def __enter__(self):
        self.before = machine(), self.ours()

    def __exit__(self, kind, *_):
        if kind is None:
            (busy, total), ours = self.before
            now = machine()
            others = (now[0] - busy) / TICKS - (self.ours() - ours)
            share = others / ((now[1] - total) / TICKS)
            if share > QUIET:
                raise SystemExit(f"the machine was disturbed: others took {100 * share:.0f} % of it. Nothing was measured.")


class HayaKoe:
    def __init__(self, work, root, voices=VOICES[:1]):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = free.getsockname()
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [work / "venv/bin/python", HERE / "peer_hayakoe.py", str(self.address[1]), root, *voices],
            stdout=subprocess.DEVNULL, stderr=open(work / "hayakoe.log", "w"))
        while self.process.poll() is None and time.perf_counter() - began < 300:
            try:
                connection = http.client.HTTPConnection(*self.address, timeout=5)
                connection.request("GET", "/ready")
                connection.getresponse().read()
                break
            except OSError:
                time.sleep(0.05)
        else:
            raise SystemExit(f"HayaKoe does not start: see {work / 'hayakoe.log'}")
        self.ready_s = time.perf_counter() - began

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    cpu_s, rss_mib = Server.cpu_s, Server.rss_mib


def seconds(data):
    """Of a WAV of 16 bits, whatever its head says of lengths that were not known."""
    assert data[:4] == b"RIFF", data[:80]
    place = data.index(b"data") + 8
    at = data.index(b"fmt ") + 8
    channels, rate = struct.unpack("<HI", data[at + 2:at + 8])
    return (len(data) - place) / (2 * channels * rate)


def ask(server, words, voice="v1", stream=False):
    """(first sample s, wall s, audio s)"""
    if isinstance(server, HayaKoe):
        path, body = ("/stream" if stream else "/tts"), {"text": words, "voice": voice}
    else:
        path, body = "/v1/audio/speech", {"input": words, "voice": voice, "response_format": "wav", "koemasu": {"stream": stream}}
    began = time.perf_counter()
    connection = http.client.HTTPConnection(*server.address, timeout=900)
    connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise SystemExit(f"{type(server).__name__}: {answer.status} {answer.read()[:300]}")
    data, first = bytearray(), None
    while piece := answer.read1(1 << 16):
        data += piece
        if first is None and len(data) > 200:
            first = time.perf_counter() - began
    return first, time.perf_counter() - began, seconds(bytes(data))


def ratio(ours, theirs):
    ratios = [one / other for one, other in zip(ours, theirs)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def row(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def in_turns(number, koemasu, hayakoe):
    return [koemasu, hayakoe] if number % 2 == 0 else [hayakoe, koemasu]


def latency(koemasu, hayakoe, rng):
    print("\n**One at a time.** koemasu / HayaKoe in seconds (medians), and the ratios round by round.\n")
    row("characters", "answer", "rounds", "first s", "wall s", "CPU s per audio s", "first", "wall", "CPU per audio")
    row(*["---"] * 9)
    for characters, rounds in [(10, 8), (50, 5), (200, 3)]:
        for stream in (True, False):
            found = {koemasu: [], hayakoe: []}
            with Quiet(koemasu, hayakoe):
                for number in range(rounds):
                    words = text(characters, rng)
                    for server in in_turns(number, koemasu, hayakoe):
                        cpu = server.cpu_s()
                        first, wall, audio = ask(server, words, stream=stream)
                        found[server].append((first, wall, (server.cpu_s() - cpu) / audio))
            ours, theirs = zip(*found[koemasu]), zip(*found[hayakoe])
            both = list(zip(ours, theirs))
            middle = [f"{statistics.median(one):.2f} / {statistics.median(other):.2f}" for one, other in both]
            row(characters, "stream" if stream else "whole", rounds, *middle, *[ratio(*pair) for pair in both])


def crowd(server, texts, at_a_time, stream):
    waiting, found, lock = list(texts), [], threading.Lock()

    def work():
        while True:
            with lock:
                if not waiting:
                    return
                words = waiting.pop()
            heard = ask(server, words, stream=stream)
            with lock:
                found.append(heard)

    began, cpu = time.perf_counter(), server.cpu_s()
    workers = [threading.Thread(target=work) for _ in range(at_a_time)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert len(found) == len(texts), "an answer is missing"
    audio = sum(it[2] for it in found)
    last = lambda values: sorted(values)[min(len(values) - 1, round(0.95 * len(values)))]
    firsts, walls = [it[0] for it in found], [it[1] for it in found]
    return {"audio s per wall s": audio / (time.perf_counter() - began), "first p50 s": statistics.median(firsts),
            "first p95 s": last(firsts), "wall p50 s": statistics.median(walls), "wall p95 s": last(walls),
            "CPU s per audio s": (server.cpu_s() - cpu) / audio}


def together(koemasu, hayakoe, rng):
    print("\n**Several at a time**, streamed. koemasu / HayaKoe (medians of the rounds), and their ratio round by round.\n")
    row("at a time", "characters", "requests", "rounds", "figure", "koemasu / HayaKoe", "ratio")
    row(*["---"] * 7)
    for at_a_time, characters, count, rounds in [(4, 20, 12, 3), (4, 50, 8, 2), (16, 10, 32, 2)]:
        found = {koemasu: [], hayakoe: []}
        with Quiet(koemasu, hayakoe):
            for number in range(rounds):
                texts = [text(characters, rng) for _ in range(count)]
                for server in in_turns(number, koemasu, hayakoe):
                    found[server].append(crowd(server, texts, at_a_time, True))
        for figure in found[koemasu][0]:
            ours, theirs = ([it[figure] for it in found[server]] for server in (koemasu, hayakoe))
            row(at_a_time, characters, count, rounds, figure, f"{statistics.median(ours):.2f} / {statistics.median(theirs):.2f}", ratio(ours, theirs))


def switching(koemasu, hayakoe, rng):
    """Four voices in turn, each of them loaded before: what a change of voice costs over staying with one."""
    print("\n**Changing voices**: CPU s per audio s of requests of 10 characters, with one voice and with four in turn.\n")
    for server in (koemasu, hayakoe):
        for voice in VOICES:
            ask(server, text(10, rng), voice)
    row("server", "requests", "one voice", "in turn")
    row(*["---"] * 4)
    for server in (koemasu, hayakoe):
        with Quiet(koemasu, hayakoe):
            texts, took = [text(10, rng) for _ in range(12)], []
            for voices in (VOICES[:1], VOICES):
                cpu = server.cpu_s()
                audio = sum(ask(server, words, voices[number % len(voices)])[2] for number, words in enumerate(texts))
                took.append((server.cpu_s() - cpu) / audio)
                texts = [text(10, rng) for _ in range(12)]
        row("koemasu" if server is koemasu else "HayaKoe", 12, *[f"{it:.3f}" for it in took])


def rest(koemasu, hayakoe, rng, phases):
    """Starts, and what is held after one text and after a long one."""
    for names in (VOICES[:1], VOICES):
        with koemasu(names) as ours, hayakoe(names) as theirs:
            count = f"{len(names)} voice" + "s" * (len(names) > 1)
            if "start" in phases:
                print(f"start, {count}, CPU s until ready: koemasu {ours.cpu_s():.1f}, HayaKoe {theirs.cpu_s():.1f}: {ours.cpu_s() / theirs.cpu_s():.2f}")
            if "memory" not in phases:
                continue
            for characters, figure, what in [(20, "VmRSS", "at rest after a short text to each"), (200, "VmHWM", "at most, to a text of 200 characters"), (20, "VmRSS", "at rest after that")]:
                for name in names:
                    words = text(characters, rng)
                    for server in (ours, theirs):
                        ask(server, words, name)
                held = [server.rss_mib(figure) for server in (ours, theirs)]
                print(f"{count}, MiB {what}: koemasu {held[0]:.0f}, HayaKoe {held[1]:.0f}: {held[0] / held[1]:.2f}", flush=True)


def prepare(models, work):
    weights, root = work / "weights", work / "hayakoe"
    if not (work / "venv/ready").exists():
        subprocess.run([sys.executable, "-m", "venv", work / "venv"], check=True)
        subprocess.run([work / "venv/bin/pip", "install", "--quiet", HAYAKOE, RUNTIME, "onnx"], check=True)
        (work / "venv/ready").touch()
    python = work / "venv/bin/python"
    if not (weights / "bert/bert.weights").exists():
        for number, name in enumerate([*VOICES, "bert"], 1):
            what = "bert" if name == "bert" else "voice"
            subprocess.run([python, models / "real-size/make_weights.py", what, str(number), weights / name], check=True, stdout=subprocess.DEVNULL)
            for beside in ("tokenizer.json",) if name == "bert" else ("config.json", "style_vectors.npy"):
                shutil.copy(models / "real-size" / beside, weights / name)
    if not (root / "bert/tokenizer/tokenizer_config.json").exists():
        subprocess.run([python, "-c", PREPARE, weights, root, *VOICES], check=True)
    return weights, root


def main():
    models, work = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    phases = sys.argv[3:] or ["latency", "together", "switching", "memory", "start"]
    weights, root = prepare(models, work)
    with Quiet():
        time.sleep(3)
    bert = (weights / "bert/bert.onnx", weights / "bert/tokenizer.json")
    voices = {name: weights / name for name in VOICES}
    # As HayaKoe ships its own.
    site, models = work / "site", os.environ.get("KOEMASU_MODELS", 'bert_precision = "int8"\n')
    rng = random.Random(int(os.environ.get("SEED", "1")))
    # What a first start finds out about files is found out before.
    with Server(site, voices, bert, models):
        pass
    if {"start", "memory"} & set(phases):
        rest(lambda names: Server(site, {name: voices[name] for name in names}, bert, models), lambda names: HayaKoe(work, root, names), rng, phases)
    if not {"latency", "together", "switching"} & set(phases):
        return
    with Server(site, voices, bert, models) as koemasu, HayaKoe(work, root) as hayakoe:
        for server in (koemasu, hayakoe):
            ask(server, text(20, rng))
        for name, phase in [("latency", latency), ("together", together), ("switching", switching)]:
            if name in phases:
                phase(koemasu, hayakoe, rng)


if __name__ == "__main__":
    main()
