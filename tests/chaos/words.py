"""The user's words and presets, as clients edit them: what was acknowledged is kept, what was refused is not there."""

import json
import time
import tomllib
import urllib.parse

import wire

READINGS = ["テスト", "コエマス", "ヨミカタ", "カクニン"]
PRESET = {"id": -1, "speaker_uuid": "u", "style_id": 1, "speedScale": 1, "intonationScale": 1,
          "tempoDynamicsScale": 1, "pitchScale": 0, "volumeScale": 1, "prePhonemeLength": 0.1,
          "postPhonemeLength": 0.1}
WORDS_MAX = 40


class Kept:
    """A set of names with values, where the last edits may or may not have happened."""

    def __init__(self):
        self.sure, self.open = {}, {}

    def edit(self, name, value, outcome):
        """`value` None is a removal. `outcome`: True done, False refused, None nobody knows."""
        if outcome is None:
            self.open[name] = {self.sure.get(name), value}
        elif outcome and value is None:
            self.sure.pop(name, None)
        elif outcome:
            self.sure[name] = value

    def compare(self, found):
        """What is wrong with what was found. Afterwards what was open is known."""
        wrong = []
        for name in sorted({*self.sure, *found, *self.open}):
            allowed = self.open.get(name, {self.sure.get(name)})
            if found.get(name) not in allowed:
                wrong.append(f"`{name}` is {found.get(name)!r}, right would be {sorted(map(repr, allowed))}")
        for name in self.open:
            if name in found:
                self.sure[name] = found[name]
            else:
                self.sure.pop(name, None)
        self.open = {}
        return wrong


class Editor:
    def __init__(self, server, world, chance, tell):
        self.server, self.world, self.chance, self.tell = server, world, chance, tell
        self.words, self.presets = Kept(), Kept()
        self.edits = self.acknowledged = self.count = 0
        # Set by whoever ends the server: an edit without an answer is then nobody's fault.
        self.may_be_lost = lambda begun: False
        self.faults = []

    def step(self):
        kind = self.chance.random()
        if kind < 0.35:
            self.add_preset() if kind < 0.25 or not self.presets.sure else self.remove_preset()
        elif len(self.words.sure) >= WORDS_MAX or (self.words.sure and kind < 0.55):
            self.remove_word()
        elif kind < 0.8:
            self.add_word()
        else:
            self.put_word()

    def add_word(self):
        self.count += 1
        surface, reading = f"語彙{self.count}番", self.chance.choice(READINGS)
        word = {"surface": surface, "reading": reading, "accent": 1}
        done = self.send("POST", "/admin/dictionary/ja", word)
        self.words.edit(surface, reading, done)

    def put_word(self):
        """By VOICEVOX's route, which keeps surfaces in wide forms of its own: kanji stay as they are."""
        self.count += 1
        names = "零一二三四五六七八九"
        surface = "辞書" + "".join(names[int(digit)] for digit in str(self.count)) + "項"
        reading = self.chance.choice(READINGS)
        query = urllib.parse.urlencode({"surface": surface, "pronunciation": reading, "accent_type": 1})
        done = self.send("POST", f"/user_dict_word?{query}", b"")
        self.words.edit(surface, reading, done)

    def remove_word(self):
        surface = self.chance.choice(sorted(self.words.sure))
        done = self.send("DELETE", "/admin/dictionary/ja", {"surface": surface})
        self.words.edit(surface, None, done)

    def add_preset(self):
        self.count += 1
        name = f"preset {self.count}"
        done = self.send("POST", "/add_preset", {**PRESET, "name": name})
        self.presets.edit(name, 1.0, done)

    def remove_preset(self):
        name = self.chance.choice(sorted(self.presets.sure))
        try:
            listed = self.server.admin("GET", "/presets").json()
        except (wire.Refused, wire.Cut, wire.Timeout, ValueError):
            return
        number = next((it["id"] for it in listed if it["name"] == name), None)
        if number is not None:
            self.presets.edit(name, None, self.send("POST", f"/delete_preset?id={number}", b""))

    def send(self, method, path, body):
        begun = time.monotonic()
        self.edits += 1
        try:
            reply = self.server.admin(method, path, body, timeout=60)
        except wire.Refused as error:
            # A kill may lie between the edit and the first byte of its answer.
            if not self.may_be_lost(begun):
                self.faults.append(("edit not taken in", f"{method} {path}: {error}"))
            self.tell({"event": "edit", "path": path, "outcome": "refused"})
            return None
        except (wire.Cut, wire.Timeout) as error:
            if not self.may_be_lost(begun):
                self.faults.append(("edit without an answer", f"{method} {path}: {error!r}"))
            self.tell({"event": "edit", "path": path, "outcome": repr(error)})
            return None
        self.tell({"event": "edit", "path": path, "outcome": reply.status})
        if reply.status >= 500 and reply.status != 503:
            self.faults.append(("edit failed", f"{method} {path}: {reply.status} {reply.body[:200]!r}"))
        self.acknowledged += 200 <= reply.status < 300
        return 200 <= reply.status < 300

    def check_files(self):
        """What lies on the disk, as after a kill: whole, and with every acknowledged word."""
        faults = []
        for file, table, kept, key, value in (
                ("words.toml", "word", self.words, "surface", "reading"),
                ("presets.toml", "preset", self.presets, "name", "speedScale")):
            path = self.world.folder / file
            try:
                rows = tomllib.loads(path.read_text()).get(table, []) if path.exists() else []
                found = {row[key]: row[value] for row in rows}
            except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError) as error:
                faults.append(("file broken", f"{file}: {error!r}"))
                continue
            if len(found) != len(rows):
                faults.append(("row twice", f"{file}: {len(rows)} rows, {len(found)} names"))
            faults += [("row lost or made up", f"{file}: {wrong}") for wrong in kept.compare(found)]
        return faults

    def __repr__(self):
        return json.dumps({"edits": self.edits, "acknowledged": self.acknowledged})
