#!/usr/bin/env python3
"""Runs the steps, the most valuable first, each within its own time and all within one; see on-device.sh and run.sh.

usage: on_device.py kit [FOLDER]                    (what `cargo xtask gpu-kit` packed)
       on_device.py here KOEMASU TESTS [MODELS]     (built and set up on this machine)
"""

import concurrent.futures
import glob
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time

import archive
import place as places

SHORT = os.environ.get("KIT_SHORT") == "1"
# Seconds each may take, in the order of their worth.
LIMITS = {"found": 20, "speech": 40, "tensors": 30, "swap": 40, "budget": 30, "speed": 130, "forty": 60, "activation": 50,
          "watermarks": 40, "reload": 40, "soak": 70, "outside": 60}
SHORT_LIMIT = 90
# Slower machines get more of both.
SCALE = float(os.environ.get("KIT_SCALE", 1))
# Without one of these there is no point in the rest.
NEEDED = {"found", "speech"}


class Table:
    """Rows as they come; whoever is cut off has those."""

    def __init__(self, out):
        self.path, self.failed = out / "table.md", []
        self.path.write_text("| step | outcome | s | found |\n|---|---|---|---|\n")

    def row(self, step, outcome, seconds, found):
        line = f"| {step} | {outcome} | {seconds:.0f} | {' '.join(str(found).replace('|', '/').split())[:500]} |\n"
        with self.path.open("a") as table:
            table.write(line)
        print(line, end="", flush=True)
        if outcome not in ("pass", "left out"):
            self.failed.append(step)


def unpack(kit, root):
    """The two archives and the dictionary, side by side."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        dictionary = next(places.REPOSITORY.glob("dictionary/*.tar.zst"))
        jobs = [pool.submit(archive.unpack, kit / "ort.tar.xz", root / "ort"),
                pool.submit(archive.unpack, kit / "rest.tar.xz", root / "rest"),
                pool.submit(archive.unpack_dictionary, dictionary, root / "dictionary")]
        [job.result() for job in jobs]
    archive.put_back(root / "rest", places.REPOSITORY)


def link_cuda(ort):
    """CUDA's libraries are wanted beside ONNX Runtime's, as set-up leaves them; links do, since `$ORIGIN` in them is the
    folder they were opened from."""
    bases = {*sys.path, sysconfig.get_paths()["purelib"]}
    linked = 0
    for base in bases:
        for library in glob.glob(os.path.join(base, "nvidia/*/lib/lib*.so*")):
            link = ort / os.path.basename(library)
            if not os.path.lexists(link):
                link.symlink_to(library)
                linked += 1
    return linked


def driver():
    """The folder of libcuda, of which the linker may not know."""
    known = subprocess.run(["ldconfig", "-p"], stdout=subprocess.PIPE, text=True).stdout
    hits = re.findall(r"=> (/\S*libcuda\.so\.1)$", known, re.M)
    if not hits:
        # Links are not followed: some lead in circles.
        hits = [os.path.join(folder, "libcuda.so.1") for top in ("/usr/lib", "/usr/lib64", "/usr/local", "/opt", "/lib")
                for folder, _, files in os.walk(top) if "libcuda.so.1" in files]
    hits = [hit for hit in hits if "stubs" not in hit and "compat" not in hit]
    return os.path.dirname(hits[0]) if hits else ""


def of_kit(kit, root, out):
    unpack(kit, root)
    told = json.loads((root / "rest/kit.json").read_text())
    home = root / "home"
    home.mkdir(parents=True, exist_ok=True)
    library = root / "ort/libonnxruntime.so"
    (home / "setup.toml").write_text(
        f'[onnxruntime]\nlibrary = "{library}"\nflavour = "{told["device"]}"\nversion = "{told["onnxruntime"]}"\n'
        f'[dictionary]\nfolder = "{root / "dictionary"}"\n[plugins]\nfolder = "{root / "rest/plugins"}"\n')
    environment = {"KOEMASU_HOME": str(home), "KOEMASU_DATA": str(root / "data"), "KOEMASU_ONNXRUNTIME": str(library)}
    if told["device"] == "cuda":
        told["linked"] = link_cuda(library.parent)
        environment["KIT_DRIVER"] = driver()
        environment["LD_LIBRARY_PATH"] = ":".join(filter(None, [
            str(library.parent), environment["KIT_DRIVER"], os.environ.get("LD_LIBRARY_PATH")]))
    models = root / "rest/models"
    return told, places.Place(
        device=told["device"], koemasu=str(root / "rest/bin/koemasu"), tests=str(root / "rest/bin/gpu"),
        models=str(models) if models.is_dir() else "", work=str(root / "work"), out=str(out), short=SHORT,
        environment=environment)


def of_here(koemasu, tests, models, root, out):
    return {"device": "cuda"}, places.Place(
        device=os.environ.get("KIT_DEVICE", "cuda"), koemasu=os.path.abspath(koemasu), tests=os.path.abspath(tests),
        models=models and os.path.abspath(models), work=str(root / "work"), out=str(out), short=SHORT, environment={})


def facts(told, place):
    """The machine, in figures."""
    def ask(*command):
        try:
            return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20).stdout.strip()
        except OSError as error:
            return str(error)
    told = {**told, "cores": os.cpu_count(), "kernel": os.uname().release, "load": os.getloadavg(),
            "memory": pathlib.Path("/proc/meminfo").read_text().splitlines()[0]}
    if place.device == "cuda":
        told["gpu"] = ask("nvidia-smi", "--query-gpu=name,memory.total,memory.used,driver_version", "--format=csv,noheader")
        told["packages"] = [line for line in ask(sys.executable, "-m", "pip", "list").splitlines()
                            if re.match("nvidia|torch|onnx|numpy", line)]
        provider = pathlib.Path(place.environment.get("KOEMASU_ONNXRUNTIME", "/")).with_name(
            "libonnxruntime_providers_cuda.so")
        told["missing"] = [line.strip() for line in ask("ldd", str(provider)).splitlines() if "not found" in line]
    place.tell("facts", told)
    return told


def make_weights(place):
    """Random weights of the real sizes, beside the first steps."""
    source = pathlib.Path(place.models) / "real-size"
    program = f"""
import pathlib, shutil, subprocess, sys
source, real = pathlib.Path({str(source)!r}), pathlib.Path({str(place.real)!r})
def make(name, seed, folder):
    subprocess.run([sys.executable, str(source / "make_weights.py"), name, str(seed), str(folder)], check=True)
made = [("voice", 1, "voice1"), ("bert", 1, "bert"), ("voice", 2, "voice2"), ("voice", 3, "voice3")]
for name, seed, folder in made:
    make(name, seed, real / ("part-" + folder))
    for extra in ("config.json", "style_vectors.npy") if name == "voice" else ("tokenizer.json",):
        shutil.copy(source / extra, real / ("part-" + folder) / extra)
    (real / ("part-" + folder)).rename(real / folder)
"""
    place.real.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def run_step(place_file, name, seconds, log):
    """Outcome, what it said, seconds. Its whole process group ends with it."""
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, str(places.HERE / "step.py"), str(place_file), name, str(seconds - 3)],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                               start_new_session=True)
    try:
        text, _ = process.communicate(timeout=seconds)
        outcome = "pass" if process.returncode == 0 else "FAIL"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        text, _ = process.communicate()
        outcome = f"OVER {seconds:.0f} s"
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    with log.open("a") as file:
        file.write(f"=== {name}: {outcome}\n{text[-60000:]}\n")
    said = [line[6:] for line in text.splitlines() if line.startswith("said: ")]
    lines = text.strip().splitlines() or [""]
    return outcome, said[-1] if said and outcome == "pass" else " ".join(lines[-3:]), time.monotonic() - began


def main():
    out = pathlib.Path(os.environ.get("OUT") or tempfile.mkdtemp(prefix="koemasu-gpu-")).resolve()
    out.mkdir(parents=True, exist_ok=True)
    root = pathlib.Path(os.environ.get("KIT_ROOT") or tempfile.mkdtemp(prefix="koemasu-kit-")).resolve()
    end = time.monotonic() + float(os.environ.get("KIT_SECONDS", 900 if SHORT else 390 * SCALE))
    table, log = Table(out), out / "log.txt"
    log.write_text("")
    began = time.monotonic()
    if sys.argv[1] == "kit":
        kit = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else "gpu-kit").resolve()
        told, place = of_kit(kit, root, out)
        table.row("unpack", "pass", time.monotonic() - began, f"kit of {told['commit'][:8]}, ONNX Runtime {told['onnxruntime']}")
    else:
        told, place = of_here(sys.argv[2], sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else "", root, out)
    pathlib.Path(place.work).mkdir(parents=True, exist_ok=True)
    told = facts(told, place)
    missing = told.get("missing", [])
    table.row("machine", "FAIL" if missing else "pass", 0, f"{told.get('gpu', place.device)}; {told['cores']} cores; {missing or ''}")
    place_file = pathlib.Path(place.work) / "place.json"
    place.save(place_file)
    monitor = None
    if place.device == "cuda" and not shutil.which("nvidia-smi"):
        raise SystemExit("no NVIDIA driver answers here: nothing was checked")
    if place.device == "cuda":
        smi = (out / "smi.csv").open("w")
        monitor = subprocess.Popen(["nvidia-smi", "--query-gpu=timestamp,memory.used,utilization.gpu,power.draw",
                                    "--format=csv,noheader,nounits", "-lms", "200"], stdout=smi, stderr=subprocess.STDOUT)
    weights = make_weights(place) if place.has_real() else None
    wanted = os.environ.get("KIT_STEPS", "").split() or list(LIMITS)
    try:
        for name, limit in LIMITS.items():
            if name not in wanted:
                continue
            if weights and name == "speed":
                errors = weights.communicate(timeout=max(end - time.monotonic(), 1))[1]
                if weights.returncode:
                    table.row("weights", "FAIL", 0, errors[-300:])
                    break
            left = end - time.monotonic()
            seconds = min(SHORT_LIMIT if SHORT else limit * SCALE, left)
            if seconds < 6:
                table.row(name, "no time", 0, "")
                continue
            outcome, said, took = run_step(place_file, name, seconds, log)
            table.row(name, outcome, took, said)
            if outcome != "pass" and name in NEEDED:
                break
    finally:
        for process in filter(None, (monitor, weights)):
            process.kill()
    print(f"\n{time.monotonic() - began:.0f} s in all; everything is in {out}")
    sys.exit(1 if table.failed else 0)


if __name__ == "__main__":
    main()
