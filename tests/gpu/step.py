#!/usr/bin/env python3
"""One step, in a process of its own so that its time can be bounded. What it found goes to OUT/STEP.json, and in one line
to standard output.

usage: step.py PLACE.json STEP SECONDS
"""

import array
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import threading
import time
import wave

import place as places
import stage
from stage import Stage, together, voices_of
from texts import text

MIB = 1 << 20


def said(line):
    print("said: " + line, flush=True)


def run(command, seconds, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          timeout=seconds, **more)


def small(place):
    path = pathlib.Path(place.work) / "small.toml"
    path.write_text(f'[models]\ndevice = "{place.device}"\n[memory]\nbudget = "1GiB"\n')
    return str(path)


def found(place, seconds):
    """As set-up leaves it: CUDA's libraries beside ONNX Runtime's, and nothing that tells the linker so."""
    environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    if "KIT_DRIVER" in os.environ:
        environment["LD_LIBRARY_PATH"] = os.environ["KIT_DRIVER"]
    ended = run([place.koemasu, "check", "--config", small(place)], seconds, env=environment)
    print(ended.stdout)
    if ended.returncode or "voice      demo" not in ended.stdout:
        raise SystemExit(f"check ends with {ended.returncode}: {ended.stdout.strip().splitlines()[-1:]}")
    lines = [line for line in ended.stdout.splitlines() if line.startswith(("device", "prepared"))]
    if place.device not in lines[0]:
        raise SystemExit(f"it takes another device: {lines}")
    said("; ".join(" ".join(line.split()) for line in lines))


def speech(place, seconds):
    target = pathlib.Path(place.out) / "hello.wav"
    began = time.perf_counter()
    ended = run([place.koemasu, "say", "こんにちは。今日はいい天気です。", "-o", str(target), "--config", small(place)], seconds)
    took = time.perf_counter() - began
    print(ended.stdout)
    if ended.returncode:
        raise SystemExit(f"say ends with {ended.returncode}: {ended.stdout.strip()[-300:]}")
    with wave.open(str(target)) as sound:
        length = sound.getnframes() / sound.getframerate()
        samples = array.array("h", sound.readframes(sound.getnframes()))
    loud = (sum(value * value for value in samples) / max(len(samples), 1)) ** 0.5
    if length < 0.5 or loud < 100:
        raise SystemExit(f"{length:.2f} s of sound, {loud:.0f} loud: that is no speech")
    said(f"{length:.2f} s of sound in {took:.1f} s, start and all")


def of_tests(name):
    def step(place, seconds):
        environment = dict(os.environ)
        if place.device == "cpu":
            environment["KOEMASU_TEST_DEVICE"] = "cpu"
        if place.short:
            environment["KOEMASU_TEST_RUNS"] = "100"
        if place.models:
            environment["KOEMASU_TEST_VOICE"] = str(pathlib.Path(place.models) / "micro/micro.aivmx")
        else:
            environment["KOEMASU_TEST_VOICE"] = str(fixture(place))
        ended = run([place.tests, "--exact", name, "--nocapture"], seconds, env=environment)
        print(ended.stdout)
        lines = [line for line in ended.stdout.splitlines() if re.match("slab|verdict|outside|refused", line)]
        if ended.returncode or "1 passed" not in ended.stdout or "skipped:" in ended.stdout:
            panic = re.search("panicked at.*\n.*", ended.stdout)
            raise SystemExit(panic[0] if panic else f"it ends with {ended.returncode}: {ended.stdout[-300:]}")
        said(lines[-1][:300] if lines else "passed")
    return step


def fixture(place):
    """A voice of the repository's own that has a decoder to cut off."""
    folder = place.folder("fixture")
    source = places.REPOSITORY / "tests/fixtures"
    for name in ("config.json", "style_vectors.npy"):
        (folder / name).write_bytes((source / name).read_bytes())
    (folder / "voice.onnx").write_bytes((source / "decoded.onnx").read_bytes())
    return folder


def latency(room, rng, rounds, until):
    rows = []
    for characters, count in rounds:
        cold = room.ask("v0", text(characters, rng))
        firsts, wholes, audio, before = [], [], 0.0, room.kinds("koemasu_session_run_seconds")
        for _ in range(count):
            if time.monotonic() > until:
                break
            first, whole, sound, _ = room.ask("v0", text(characters, rng))
            firsts.append(first), wholes.append(whole)
            audio += sound
        if not firsts:
            break
        after, none = room.kinds("koemasu_session_run_seconds"), {"sum": 0, "count": 0}
        part = {kind: {key: (value[key] - before.get(kind, none)[key]) / len(firsts) for key in value}
                for kind, value in after.items()}
        rows.append({"characters": characters, "n": len(firsts), "cold_first_s": cold[0],
                     "first_p50_s": statistics.median(firsts), "first_max_s": max(firsts),
                     "whole_p50_s": statistics.median(wholes), "audio_s": audio / len(firsts),
                     "x_realtime": audio / sum(wholes), "inside_ort_s": part})
    return rows


SENTENCES = ["今日は朝から雨が降っています。", "図書館で古い地図を見つけました、電車が遅れているようです。"]


def speed(place, seconds):
    """Latency, throughput, how near two runs and the processor's are, and what settings change; the most valuable
    first, and each written as soon as it is known."""
    end = time.monotonic() + seconds
    rng, result = random.Random(1), {"left_out": []}
    rounds = [(10, 1)] if place.short else [(10, 12), (50, 8), (200, 4)]
    voices = voices_of(place, 1)

    def left(needs, name):
        if time.monotonic() + needs < end:
            return True
        result["left_out"].append(name)
        return False

    with Stage(place, "speed", voices, bert=True) as room:
        result["ready_s"] = room.ready_s
        ours = [room.samples("v0", words) for words in SENTENCES]
        again = [room.samples("v0", words) for words in SENTENCES]
        result["same_again"] = [stage.difference(a, b) for a, b in zip(again, ours)]
        result["latency"] = latency(room, rng, rounds, end - 20)
        place.tell("speed", result)
        result["together"] = []
        for at in (2,) if place.short else (1, 4, 16):
            if left(3, f"{at} at a time"):
                result["together"].append(together(room, rng, at, 4 if place.short else 64, 20, min(8, end - time.monotonic())))
                place.tell("speed", result)
        result["memory"] = room.server.memory()["outside"]
        place.tell("speed", result)
    if place.device == "cuda" and left(25, "against the processor"):
        with Stage(place, "speed-cpu", voices, memory='budget = "6GiB"\n', device="cpu", bert=True) as room:
            cpu = [room.samples("v0", words) for words in SENTENCES]
        result["against_cpu"] = [stage.difference(a, b) for a, b in zip(ours, cpu)]
        place.tell("speed", result)
    variants = [("convolutions as they are", {"models": 'pointwise = "conv"\n'}), ("tf32", {"models": "tf32 = true\n"}),
                ("arena", {"memory": 'mode = "arena"\n'}), ("cublas workspace 32 MiB", {"environment": {
                    "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}}), ("lanes 2", {"models": "lanes = 2\n"}),
                ("modules loaded at start", {"environment": {"CUDA_MODULE_LOADING": "EAGER"}})]
    for name, how in variants if place.device == "cuda" else []:
        if left(15, name):
            with Stage(place, "speed-variant", voices, bert=True, **how) as room:
                result[name] = {"latency": latency(room, rng, rounds[:2], end),
                                "together": together(room, rng, 4, 48, 20, 5), "memory": room.server.memory()["outside"]}
            place.tell("speed", result)
    if any(row["failed"] for row in result["together"]):
        raise SystemExit(f"requests failed: {result['together']}")
    said("; ".join(f"{row['characters']} characters: first {row['first_p50_s']:.3f} s, whole {row['whole_p50_s']:.3f} s, "
                   f"{row['x_realtime']:.1f} x real time" for row in result["latency"]) + "; " +
         ", ".join(f"{row['at']} at a time: {row['audio_s_per_wall_s']:.1f} x" for row in result["together"]))


def forty(place, seconds):
    """Many voices within one budget: nothing fails, nobody has to go, and memory at rest stays what it was."""
    end = time.monotonic() + seconds
    count, budget = (6, "1GiB") if place.short else (40, "14GiB") if place.device == "cuda" else (6, "6GiB")
    voices, rng = voices_of(place, count), random.Random(2)
    memory = f'budget = "{budget}"\n'
    failed, rest = 0, []
    with Stage(place, "forty", voices, memory=memory, bert=True) as room:
        for turn in range(3):
            for name in voices:
                if time.monotonic() > end:
                    raise SystemExit(f"only {turn} rounds in {seconds} s")
                failed += room.speak(name, text(10, rng))[3] != 200
            report = room.server.memory()
            rest.append(report["slab"]["in_use"])
        evicted = room.counted("koemasu_voice_evictions_total")
        figures = {"voices": count, "budget": budget, "ready_s": room.ready_s, "failed": failed, "evictions": evicted,
                   "in_use_at_rest": rest, "high_water": report["slab"]["high_water"], "outside": report["outside"],
                   "templates": [template["verdict"] for template in report["templates"]]}
        place.tell("forty", figures)
    if failed or evicted or rest[1] != rest[2]:
        raise SystemExit(f"{failed} failed, {evicted:.0f} evicted, at rest {rest}")
    said(f"{count} voices in {budget}: 0 failed, 0 evicted, at rest {rest[-1]:,} bytes twice, high water "
         f"{report['slab']['high_water'] // MIB} MiB; beyond the slab {report['outside']['beyond_slab'] // MIB} MiB")


def activation(place, seconds):
    """How long a voice change takes, from the device, from host memory, from the file."""
    rng, figures = random.Random(3), {}
    voices = voices_of(place, 3)
    ways = ("device", "host", "file")
    budget, host = "6GiB" if place.has_real() else "256MiB", "0B"
    for way in ways:
        memory = (f'budget = "{budget}"\nslots = 1\n'
                  f'[memory.tiers]\nhost = "{host}"\n[memory.eviction]\nchurn_guard = "0s"\n')
        with Stage(place, f"activation-{way}", voices, memory=memory) as room:
            for turn in range(4 if place.short else 12):
                room.ask(f"v{turn % 3}", text(5, rng))
            kinds = room.kinds("koemasu_voice_activation_seconds")
            if way == "device":
                # What lies there now says what to take away, so that one voice in its slot has room beside one
                # that waits.
                report = room.server.memory()
                voice = report["templates"][0]["voice_bytes"]
                zones = {zone["zone"]: zone for zone in report["slab"]["zones"]}
                beside = zones["activations"]["bytes"] + zones["reserve"]["bytes"]
                models = report["slab"]["models"]
                tight = beside + models["bert"] + models["slots"] + voice * 3 // 2
                budget = f"{tight // 1024}KiB"
        host = f"{3 * voice // 1024}KiB" if way == "device" else "0B"
        figures[way] = {kind: {"n": value["count"], "mean_s": value["sum"] / value["count"]}
                        for kind, value in kinds.items() if value["count"]}
        place.tell("activation", figures)
    if not all(way in figures[way] for way in ways):
        raise SystemExit(f"a voice did not come from where it should: {figures}")
    said("; ".join(f"{way} {figures[way][way]['mean_s'] * 1000:.2f} ms (n {figures[way][way]['n']:.0f})" for way in ways))


def soak(place, seconds):
    """The slab against an arena, as the driver counts it where there is one."""
    figures, lines = {}, []
    plan = {"slab": (60, 0.9)} if place.short else {"slab": (1200, 0.6), "arena": (60, 0.35)}
    for mode, (requests, part) in plan.items():
        target = pathlib.Path(place.out) / f"soak-{mode}.json"
        command = [place.koemasu, "soak", "--mode", mode, "--config", small(place), "--voices", "6" if place.short else "40",
                   "--requests", str(requests), "--characters", "60", "--json", str(target)]
        voice = places.REPOSITORY / "voices" / "demo" / "demo.aivmx"
        command += ["--models", str(pathlib.Path(place.models) / "micro" if place.models else voice)]
        if mode == "slab" and not place.short:
            command += ["--png", str(pathlib.Path(place.out) / "soak.png")]
        try:
            ended = run(command, seconds * part, cwd=place.work)
        except subprocess.TimeoutExpired:
            if mode == "slab":
                raise SystemExit(f"{requests} requests took more than {seconds * part:.0f} s") from None
            lines.append(f"arena: no {requests} requests in {seconds * part:.0f} s")
            continue
        print(ended.stdout)
        verdict = [line for line in ended.stdout.splitlines() if line.startswith("soak:")]
        table = [line for line in ended.stdout.splitlines() if re.match("slope|… on the GPU|peak|requests", line)]
        figures[mode] = {"exit": ended.returncode, "verdict": verdict[-1:], "table": table}
        place.tell("soak", figures)
        lines.append(f"{mode}: " + ", ".join(re.sub(" +", " ", line) for line in table))
        if mode == "slab" and ended.returncode:
            raise SystemExit((verdict or [ended.stdout.strip()[-300:]])[-1])
    said("; ".join(lines))


class Hog:
    """Another process that takes memory of the device."""

    def __init__(self, place, size):
        program = HOG_CUDA if place.device == "cuda" else HOG_HOST
        self.process = subprocess.Popen([sys.executable, "-c", program, str(size)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.said = self.process.stdout.readline().strip()
        if not self.said.startswith("holds"):
            raise SystemExit(f"the other process got no memory: {self.said}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(20)


HOG_HOST = """
import mmap, sys
size = int(sys.argv[1])
held = mmap.mmap(-1, size)
for at in range(0, size, 4096): held[at] = 1
print("holds", size, flush=True)
sys.stdin.read()
"""
HOG_CUDA = """
import ctypes, sys
cuda = ctypes.CDLL("libcudart.so.13")
pointer, left, held = ctypes.c_void_p(), int(sys.argv[1]), 0
while left > 0:
    piece = min(left, 1 << 30)
    if cuda.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(piece)): break
    held, left = held + piece, left - piece
print("holds" if left <= 0 else "only", held, flush=True)
sys.stdin.read()
"""


def watermarks(place, seconds):
    """Another process takes memory until the marks are passed: idle voices go and speech goes on."""
    end = time.monotonic() + seconds
    rng, voices = random.Random(4), voices_of(place, 4)
    memory = 'budget = "8GiB"\n' if place.has_real() and place.device == "cuda" else 'budget = "5GiB"\n' if place.has_real() else 'budget = "512MiB"\n'
    with Stage(place, "watermarks", voices, memory=memory) as room:
        for name in voices:
            room.ask(name, text(8, rng))

        def reading():
            outside = room.server.memory()["outside"]
            return outside["taken"], outside["limit"]

        taken, limit = reading()
        marks = (0.90, 0.95)
        if place.device == "cpu":
            # Nobody fills a whole machine for a test: the marks come to where it is.
            marks = (taken / limit + 0.03, taken / limit + 0.05)
            policy = f'{stage.common(place)}{memory}[watermarks]\nwarn = {marks[0]}\nrelieve = {marks[1]}\n'.encode()
            reply = room.server.admin("PUT", "/admin/memory/policy", policy, headers=[("content-type", "application/toml")])
            if reply.status not in (200, 204):
                raise SystemExit(f"the policy is refused: {reply.body[:300]!r}")
        before = room.counted("koemasu_voice_evictions_total")
        figures = {"limit": limit, "taken": taken, "marks": marks, "shares": []}
        size = int(limit * (marks[1] + 0.015)) - taken
        with Hog(place, max(size, MIB)) as hog:
            figures["other"] = hog.said
            while time.monotonic() < end - 8:
                room.ask("v0", text(8, rng))
                share = room.counted("koemasu_memory_limit_share")
                evicted = room.counted("koemasu_voice_evictions_total") - before
                figures["shares"].append(round(share, 4))
                if share >= marks[1] and evicted:
                    break
                time.sleep(0.5)
        figures["evicted"] = evicted
        while time.monotonic() < end - 1 and room.counted("koemasu_memory_limit_share") >= marks[0]:
            time.sleep(0.5)
        figures["after"] = room.counted("koemasu_memory_limit_share")
        room.ask("v3", text(8, rng))
        place.tell("watermarks", figures)
    if max(figures["shares"]) < marks[1] or not evicted:
        raise SystemExit(f"the marks {marks} did not act: {figures}")
    if figures["after"] >= marks[0]:
        raise SystemExit(f"no calm after the other has gone: {figures['after']:.3f}")
    said(f"{hog.said.split()[1]} bytes of another process: {max(figures['shares']):.3f} of {limit // MIB} MiB, "
         f"{evicted:.0f} idle voices went, 0 requests failed, then {figures['after']:.3f}")


def reload(place, seconds):
    """Voices come and go, and the policy changes, under load: no request is lost."""
    end = time.monotonic() + seconds - 4
    rng, voices = random.Random(5), voices_of(place, 3)
    rows, stop, times = [], threading.Event(), []
    memory = 'budget = "5GiB"\n' if place.has_real() else 'budget = "512MiB"\n'
    with Stage(place, "reload", dict(list(voices.items())[:2]), memory=memory) as room:
        def client(number):
            own = random.Random(number)
            while not stop.is_set():
                rows.append(room.speak(f"v{number % 2}", text(12, own))[3])

        clients = [threading.Thread(target=client, args=(number,)) for number in range(2 if place.short else 4)]
        [it.start() for it in clients]
        turns = 2 if place.short else 6
        for turn in range(turns):
            if time.monotonic() > end:
                break
            extra = {f"extra{turn}": list(voices.values())[2]}
            room.add(extra)
            began = time.perf_counter()
            reply = room.server.admin("POST", "/admin/reload")
            times.append(time.perf_counter() - began)
            if reply.status != 200:
                stop.set()
                raise SystemExit(f"reload answers {reply.status}: {reply.body[:300]!r}")
            room.ask(f"extra{turn}", text(6, rng))
        stop.set()
        [it.join() for it in clients]
        figures = {"reloads": len(times), "reload_s": times, "requests": len(rows),
                   "failed": sum(status != 200 for status in rows), "in_use": room.server.memory()["slab"]["in_use"]}
        place.tell("reload", figures)
    if figures["failed"] or not rows or not times:
        raise SystemExit(f"{figures}")
    said(f"{len(times)} reloads in {statistics.median(times):.2f} s each, {len(rows)} requests meanwhile, 0 failed")


STEPS = {
    "found": found,
    "speech": speech,
    "tensors": of_tests("tensors_on_the_gpu_lie_in_the_slab"),
    "swap": of_tests("voices_swap_in_place_on_the_gpu"),
    "budget": of_tests("the_budget_is_hard_on_the_gpu_too"),
    "speed": speed,
    "forty": forty,
    "activation": activation,
    "soak": soak,
    "watermarks": watermarks,
    "reload": reload,
    "outside": of_tests("what_lies_outside_the_slab_stays_constant_after_warm_up"),
}


if __name__ == "__main__":
    STEPS[sys.argv[2]](places.Place.load(sys.argv[1]), float(sys.argv[3]))
