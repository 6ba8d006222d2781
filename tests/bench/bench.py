#!/usr/bin/env python3
"""Measures a release build of koemasu and prints what BENCHMARKS.md records.

usage: bench.py MODELS WORK [PHASE ...]      (Python 3, numpy for real-size weights)

MODELS  folder with tiny/, bert-tiny/ and real-size/ (graphs of the real architecture, random weights)
WORK    an empty folder for configuration and weights
PHASE   tiny real lanes start reload (default: all)

Every text is different, so that no cache helps; sdp_ratio is 0, as in the peers' baselines. CPU seconds are those of
the server's process; "outside" is the share of a request that is not spent inside ONNX Runtime's runs.
"""

import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time

from texts import PIPELINE, text

HERE = pathlib.Path(__file__).resolve().parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent.parent / "target"))
BINARY = os.environ.get("KOEMASU_BINARY", TARGET / "release/koemasu")
TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    def __init__(self, work, voice, bert, models=""):
        shutil.rmtree(work, ignore_errors=True)
        (work / "pipelines").mkdir(parents=True)
        (work / "voices").mkdir()
        for name, folder in (voice if isinstance(voice, dict) else {"v": voice}).items():
            (work / "voices" / name).symlink_to(folder)
        (work / "pipelines/ja.toml").write_text(PIPELINE.format(bert="bench"))
        (work / "koemasu.toml").write_text(
            f'[server]\nwatch = false\nlisten = "127.0.0.1:0"\n[pipelines]\nfolder = "pipelines"\n[voices]\nfolder = "voices"\n'
            f'[bert.bench]\ngraph = "{bert[0]}"\ntokenizer = "{bert[1]}"\n[models]\ndevice = "cpu"\n{models}')
        began = time.perf_counter()
        self.process = subprocess.Popen([BINARY, "serve", "--config", work / "koemasu.toml"], stderr=subprocess.PIPE,
                                        env={**os.environ, "KOEMASU_LOG": "error"})
        for line in self.process.stderr:
            if b"serves on" in line:
                host, port = line.decode().strip().rsplit("/", 1)[1].split(":")
                self.address = (host, int(port))
                break
        else:
            raise SystemExit("the server ended")
        self.ready_s = time.perf_counter() - began
        self.work = work

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection(*self.address, timeout=600)
        connection.request(method, path, body and json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, data

    def speak(self, words):
        status, data = self.ask("POST", "/v1/audio/speech", {"input": words, "voice": "v"})
        assert status == 200, data[:300]
        return (len(data) - 44) / 2 / 44100

    def cpu_s(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss_mib(self, figure="VmRSS"):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith(figure):
                return int(line.split()[1]) / 1024

    def sums(self):
        """Seconds in speech requests, and inside ONNX Runtime."""
        metrics = self.ask("GET", "/metrics")[1].decode().splitlines()
        total = lambda start: sum(float(line.rsplit(" ", 1)[1]) for line in metrics if line.startswith(start))
        return total('koemasu_http_request_seconds_sum{route="speech"'), total("koemasu_session_run_seconds_sum")


def latency(server, rng, rounds):
    for characters, count in rounds:
        server.speak(text(characters, rng))
        walls, audio, cpu, (requests, runs) = [], 0, server.cpu_s(), server.sums()
        for _ in range(count):
            began = time.perf_counter()
            audio += server.speak(text(characters, rng))
            walls.append(time.perf_counter() - began)
        cpu = (server.cpu_s() - cpu) / count
        more = server.sums()
        outside = 1 - (more[1] - runs) / (more[0] - requests)
        print(f"  {characters:4} characters, n {count}: wall p50 {statistics.median(walls):.3f} s, CPU {cpu:.2f} s, "
              f"audio {audio / count:.1f} s, outside {100 * outside:.2f} %", flush=True)


def together(server, rng, concurrency, count, characters=10):
    """`count` requests, `concurrency` at a time; and how long /healthz takes meanwhile."""
    words = [text(characters, rng) for _ in range(count)]
    audio, walls, lock, done = [], [], threading.Lock(), threading.Event()

    def worker():
        while True:
            with lock:
                if not words:
                    return
                mine = words.pop()
            began = time.perf_counter()
            seconds = server.speak(mine)
            with lock:
                audio.append(seconds)
                walls.append(time.perf_counter() - began)

    health = []

    def poll():
        while not done.is_set():
            began = time.perf_counter()
            server.ask("GET", "/healthz")
            health.append(time.perf_counter() - began)
            time.sleep(0.05)

    poller = threading.Thread(target=poll)
    poller.start()
    began = time.perf_counter()
    workers = [threading.Thread(target=worker) for _ in range(concurrency)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    took = time.perf_counter() - began
    done.set()
    poller.join()
    print(f"  {count} requests of {characters} characters, {concurrency} at a time: {sum(audio) / took:.2f} audio s per wall s, "
          f"wall p50 {statistics.median(walls):.2f} s, max {max(walls):.2f} s; /healthz n {len(health)}, "
          f"p50 {1e3 * statistics.median(health):.1f} ms, max {1e3 * max(health):.1f} ms", flush=True)


def starts(work, voice, bert):
    """The first start opens files for the first time; the others find them in the system's cache."""
    for name in ("first", "second", "third"):
        with Server(work, voice, bert) as server:
            print(f"  {name} start: ready in {server.ready_s:.2f} s, {server.rss_mib():.0f} MiB", flush=True)


def reloads(server, count=50):
    swaps, prepares = [], []
    for number in range(count):
        speed = 1.0 + 0.01 * (number % 2)
        (server.work / "pipelines/ja.toml").write_text(PIPELINE.format(bert="bench") + f"speed = {speed}\n")
        status, data = server.ask("POST", "/admin/reload")
        assert status == 200, data
        told = json.loads(data)
        swaps.append(told["swapped_in_seconds"])
        prepares.append(told["prepared_in_seconds"])
    print(f"  {count} reloads of an edited pipeline: swap p50 {1e6 * statistics.median(swaps):.1f} us, max {1e6 * max(swaps):.1f} us; "
          f"prepare with rehearsal p50 {1e3 * statistics.median(prepares):.0f} ms", flush=True)


def main():
    models, work = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    phases = sys.argv[3:] or ["tiny", "real", "lanes", "start", "reload"]
    rng = random.Random(1)
    tiny = (models / "tiny", (models / "bert-tiny/model.onnx", models / "bert-tiny/tokenizer.json"))
    real = work / "weights"
    if {"real", "lanes", "start"} & set(phases) and not (real / "bert/bert.weights").exists():
        source = models / "real-size"
        for name in ("voice", "bert"):
            subprocess.run([sys.executable, source / "make_weights.py", name, "1", real / name], check=True, stdout=subprocess.DEVNULL)
        for name in ("config.json", "style_vectors.npy"):
            shutil.copy(source / name, real / "voice" / name)
        shutil.copy(source / "tokenizer.json", real / "bert")
    real = (real / "voice", (real / "bert/bert.onnx", real / "bert/tokenizer.json"))
    site = work / "site"
    if "tiny" in phases:
        print("tiny voice and BERT")
        with Server(site, *tiny) as server:
            latency(server, rng, [(10, 20), (50, 10), (200, 5)])
            for concurrency in (1, 4):
                together(server, rng, concurrency, 24)
            together(server, rng, 32, 32)
    if "real" in phases:
        print("real-size voice and BERT")
        with Server(site, *real) as server:
            latency(server, rng, [(10, 6), (50, 3), (200, 2)])
            for concurrency in (1, 4):
                together(server, rng, concurrency, 8)
            together(server, rng, 32, 32, 5)
            print(f"  {server.rss_mib():.0f} MiB at the end")
    if "lanes" in phases:
        for models in ("lanes = 1\nthreads = 2\n", "lanes = 2\nthreads = 1\n", "lanes = 2\nthreads = 2\n"):
            print("real-size, " + models.replace("\n", " "))
            with Server(site, *real, models) as server:
                latency(server, rng, [(10, 4), (50, 2)])
                together(server, rng, 4, 12)
                print(f"  {server.rss_mib():.0f} MiB at the end")
    if "start" in phases:
        print("starts, tiny")
        starts(site, *tiny)
        print("starts, real-size")
        starts(site, *real)
    if "reload" in phases:
        print("reloads, tiny")
        with Server(site, *tiny) as server:
            reloads(server)


if __name__ == "__main__":
    main()
