"""A server of the step's own."""

import array
import http.client
import json
import re
import shutil
import statistics
import threading
import time

import place as _place  # noqa: F401 - finds the modules below
import server
from texts import PIPELINE, text


def voices_of(place, count):
    """Packages by name: real-size ones if there are, else copies of the voice inside the program. Folders may be given
    several times under other names: each is a voice of its own."""
    if place.has_real():
        made = sorted(path for path in place.real.glob("voice*") if path.is_dir())
    else:
        made = [_place.REPOSITORY / "voices/demo/demo.aivmx"]
    return {f"v{number}": made[number % len(made)] for number in range(count)}


def work_mib(place):
    return 96 if not place.has_real() else 2048 if place.device == "cuda" else 1024


def common(place):
    """The same for all stages: what was proven of a voice holds for as much room as it was proven in."""
    return f'workspace = "{work_mib(place)}MiB"\nreserve = "{128 if place.has_real() else 16}MiB"\n'


class Stage:
    """One server over a folder of its own; used as a context."""

    def __init__(self, place, name, voices, models="", memory="", environment=None, device=None, bert=False):
        self.folder = place.folder(f"stage-{name}")
        shutil.rmtree(self.folder)
        for part in ("pipelines", "voices", "data"):
            (self.folder / part).mkdir(parents=True)
        self.add(voices)
        known, model = "embedded", ""
        if bert and place.has_real():
            known = "real"
            model = (f'[bert.real]\ngraph = "{place.real / "bert/bert.onnx"}"\n'
                     f'tokenizer = "{place.real / "bert/tokenizer.json"}"\n')
        (self.folder / "pipelines/ja.toml").write_text(PIPELINE.format(bert=known))
        (self.folder / "koemasu.toml").write_text(
            f'[server]\nwatch = false\n[pipelines]\nfolder = "pipelines"\n[voices]\nfolder = "voices"\n{model}'
            f'[models]\ndevice = "{device or place.device}"\nqueue = "120s"\n{models}[memory]\n{common(place)}{memory}')
        self.server = server.Server(place.koemasu, self.folder, self.folder / "log",
                                    {"KOEMASU_LOG": "info", "KOEMASU_DATA": str(self.folder / "data"), **(environment or {})})

    def add(self, voices):
        for name, source in voices.items():
            target = self.folder / "voices" / (name + source.suffix)
            if source.is_dir():
                target.symlink_to(source.resolve())
            else:
                shutil.copyfile(source, target)

    def __enter__(self):
        self.ready_s = self.server.start(patience=300)
        return self

    def __exit__(self, *_):
        if self.server.alive():
            self.server.terminate(15)

    def speak(self, voice, words, **more):
        """Seconds to the first sample, to the last; audio seconds; status."""
        body = json.dumps({"input": words, "voice": voice, "response_format": "wav", **more})
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=120)
        began = time.perf_counter()
        connection.request("POST", "/v1/audio/speech", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        head = answer.read(45)
        first = time.perf_counter() - began
        data = head + answer.read()
        whole = time.perf_counter() - began
        connection.close()
        return first, whole, (len(data) - 44) / 2 / 44100, answer.status

    def ask(self, voice, words, **more):
        """Like `speak`; anything but a whole answer is an error."""
        got = self.speak(voice, words, **more)
        if got[3] != 200 or got[2] <= 0:
            raise SystemExit(f"{voice} answers {got[3]} with {got[2]:.2f} s of sound; {self.server.tail()}")
        return got

    def samples(self, voice, words):
        """Floats without noise, always from the same dice."""
        reply = self.server.admin("POST", "/v1/audio/speech", {
            "input": words, "voice": voice, "response_format": "pcm_float",
            "koemasu": {"stream": False, "loudness": "none", "noise": 0, "noise_w": 0, "sdp_ratio": 0, "seed": 1}})
        if reply.status != 200:
            raise SystemExit(reply.body[:300].decode(errors="replace"))
        return array.array("f", reply.body)

    def kinds(self, name):
        """Of a histogram: sum and count by its one label."""
        found = {}
        lines = self.server.admin("GET", "/metrics").body.decode().splitlines()
        for line in lines:
            hit = re.match(name + r'_(sum|count)\{[^}]*="([^"]+)"[^}]*\} (\S+)', line)
            if hit:
                found.setdefault(hit[2], {"sum": 0.0, "count": 0.0})[hit[1]] += float(hit[3])
        return found

    def counted(self, name):
        return self.server.metrics()[name]


def together(stage, rng, at, count, characters, seconds, voices=("v0",)):
    """`at` requests at a time, `count` of them or as many as `seconds` allow."""
    words = [(voices[number % len(voices)], text(characters, rng)) for number in range(count)]
    rows, lock, stop = [], threading.Lock(), time.monotonic() + seconds

    def worker():
        while time.monotonic() < stop:
            with lock:
                if not words:
                    return
                voice, mine = words.pop()
            try:
                got = stage.speak(voice, mine)
            except OSError as error:
                got = (0, 0, 0, str(error))
            with lock:
                rows.append(got)

    began = time.perf_counter()
    threads = [threading.Thread(target=worker) for _ in range(at)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    took = time.perf_counter() - began
    good = [row for row in rows if row[3] == 200]
    return {"at": at, "n": len(rows), "failed": len(rows) - len(good),
            "audio_s_per_wall_s": sum(row[2] for row in good) / took,
            "first_p50_s": statistics.median([row[0] for row in good] or [0]),
            "whole_p50_s": statistics.median([row[1] for row in good] or [0])}


def difference(one, two):
    """Largest and relative difference of two sounds; None if they are not as long."""
    if len(one) != len(two):
        return {"lengths": [len(one), len(two)]}
    power = sum(value * value for value in two) or 1.0
    apart = [abs(a - b) for a, b in zip(one, two)]
    return {"max": max(apart, default=0.0), "relative": (sum(value * value for value in apart) / power) ** 0.5}
