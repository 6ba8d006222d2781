"""The folder that a server serves from: configuration, pipelines, voices, dictionary, presets, and their whole state."""

import hashlib
import os
import pathlib
import shutil
import tomllib

DRAIN = 10.0

# One lane: with two a voice that has sessions of its own opens a second one when it happens to be asked twice at once,
# and what is held at rest is then another figure for a good reason.
CONFIG = """[server]
watch = {watch}
drain = "10s"
[admin]
[pipelines]
folder = "pipelines"
[voices]
folder = "voices"
[dialects.voicevox]
presets = "presets.toml"
[models]
lanes = 1
threads = 1
[cache]
features = "1MiB"
[memory]
budget = "{budget}"
workspace = "{workspace}"
reserve = "4MiB"
slots = 1
"""

PIPELINE = """language = "ja"
[normalize]
plugins = [{plugins}]
[dictionary]
file = "../words.toml"
[bert]
model = "embedded"
[bucket]
plugin = {bucket}
[encode]
loudness = "none"
"""
PLAIN = '"ja-words", "normalize-sbv2"'
MIB = 1 << 20
WORKSPACE = 64 * MIB
RESERVE = 4 * MIB
# What the library may hold of the voices: fewer than there are.
VOICES_RESIDENT = 5


class World:
    def __init__(self, folder, cast, watch=False):
        self.folder, self.cast, self.watch = folder, cast, watch
        self.voices = folder / "voices"
        for part in ("pipelines", "voices", "data", "own"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        self.budget = 400 * MIB
        self.plugins, self.bucket = PLAIN, '"bucket-ladder"'
        self.write()

    def write(self):
        """Configuration and pipeline as they should be."""
        self.config(self.good_config())
        self.pipeline(PIPELINE.format(plugins=self.plugins, bucket=self.bucket))

    def good_config(self):
        size = lambda bytes: f"{bytes // 1024}KiB"
        return CONFIG.format(watch=str(self.watch).lower(), budget=size(self.budget), workspace=size(WORKSPACE))

    def config(self, text):
        replace(self.folder / "koemasu.toml", text.encode())

    def pipeline(self, text):
        replace(self.folder / "pipelines" / "ja.toml", text.encode())

    def install(self, voice, version):
        for name, data in voice.files[version].items():
            path = self.voices / name
            path.parent.mkdir(exist_ok=True)
            replace(path, data)

    def own_plugin(self, name, data):
        """A component of one's own, as a pipeline names it."""
        path = self.folder / "own" / f"{name}.wasm"
        replace(path, data)
        return f'{{ path = "../own/{name}.wasm", sha256 = "{hashlib.sha256(data).hexdigest()}" }}'

    def calibrate(self, memory):
        """A budget in which not all voices fit, out of what a start with plenty has taken."""
        models = memory["slab"]["models"]
        voice = max(template["voice_bytes"] for template in memory["templates"])
        fixed = models["bert"] + models["slots"] + WORKSPACE + RESERVE
        self.budget = fixed + VOICES_RESIDENT * (voice + 64 * 1024)
        self.write()


def replace(path, data):
    part = path.with_name(path.name + ".chaos")
    part.write_bytes(data)
    os.replace(part, path)


def component(name):
    """A first-party plugin's bytes, from where set-up put it."""
    home = pathlib.Path(os.environ.get("KOEMASU_HOME") or pathlib.Path.home() / ".cache" / "koemasu")
    setup = tomllib.loads((home / "setup.toml").read_text())
    return (pathlib.Path(setup["plugins"]["folder"]) / f"{name}.wasm").read_bytes()


def references(folder, cast):
    """Another folder, where every version is a voice and nothing ever happens."""
    world = World(folder, cast)
    for version, voice in versions(cast).items():
        for name, data in voice.alone(version).items():
            path = world.voices / name
            path.parent.mkdir(exist_ok=True)
            replace(path, data)
    return world


def versions(cast):
    """Version → the voice whose own it is."""
    return {version: voice for voice in cast for version in voice.files if version.startswith(voice.name)}


def clear(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
