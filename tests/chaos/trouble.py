"""What operators do to a server that runs, well and badly: a third of the reloads are of something broken."""

import time

import voices
import wire
import world as worlds

RELOAD_MAX = 60.0
POLICIES = [
    "", '[eviction]\norder = "lfu"\n', '[eviction]\norder = "cost"\nchurn_guard = "0s"\n',
    '[eviction]\nplugin = "evict-cost"\n', '[eviction]\npins = ["aoi"]\npriorities = { beni = 5 }\n',
    '[tiers]\nhost = "4MiB"\n', '[watermarks]\nwarn = 0.001\nrelieve = 0.002\n',
    '[watermarks]\nwarn = 0.99\nrelieve = 1.0\n', '[permits]\nwait = "1s"\n', '[renew]\nrequests = 50\n',
]
WRONG_POLICIES = ["[eviction]\norder = 'nonsense'\n", "slots = 0\n", "[watermarks]\nwarn = 2.0\n", "[[[", "budget = 7\n"]
PLUGINS = [worlds.PLAIN, '"ja-words", "ja-emoji", "normalize-sbv2"', '"ja-words", "ja-kanji", "normalize-sbv2"',
           '"ja-markup", "ja-words", "ja-links", "normalize-sbv2"']


class Trouble:
    def __init__(self, server, world, shelf, chance, tell, spare=False):
        """`spare`: files of voices are only ever replaced as a whole."""
        self.server, self.world, self.shelf, self.chance, self.tell = server, world, shelf, chance, tell
        self.ways = [rename_over] if spare else [in_place, truncate_first, rename_over, in_pieces, remove_first]
        self.faults = []
        self.counts = {"good reloads": 0, "broken reloads": 0, "replaced": 0, "policies": 0, "renewals": 0,
                       "plugin swaps": 0}
        self.may_be_lost = lambda begun: False

    def step(self):
        if self.chance.random() < 0.35:
            return self.chance.choice([self.policy, self.policy, self.renew])()
        if self.chance.random() < 1 / 3:
            return self.broken()
        return self.chance.choice([self.replace, self.replace, self.replace, self.swap_plugins, self.reload])()

    # What should succeed.

    def reload(self, good=True):
        """True if it succeeded; what should and does not is a fault."""
        begun = time.monotonic()
        try:
            reply = self.server.admin("POST", "/admin/reload", timeout=RELOAD_MAX)
        except wire.Timeout:
            self.fault("reload hangs", f"no answer in {RELOAD_MAX:.0f} s", begun)
            return False
        except (wire.Refused, wire.Cut) as error:
            self.fault("reload without an answer", repr(error), begun)
            return False
        ended = time.monotonic()
        self.tell({"event": "reload", "good": good, "status": reply.status, "seconds": round(ended - begun, 3),
                   "body": reply.body[:400].decode("utf-8", "replace")})
        self.counts["good reloads" if good else "broken reloads"] += 1
        if reply.status == 200:
            self.shelf.reloaded(begun, ended)
        elif reply.status >= 500 and reply.status != 503:
            self.fault("reload failed", f"{reply.status} {reply.body[:300]!r}", begun)
        elif good:
            self.fault("good reload refused", f"{reply.status} {reply.body[:400].decode('utf-8', 'replace')}", begun)
        return reply.status == 200

    def replace(self):
        """Another version of a voice, in one of the ways in which files are replaced."""
        voice = self.chance.choice(self.world.cast)
        version = self.chance.choice([it for it in voice.files if it != self.shelf.current[voice.name]])
        way = self.chance.choice(self.ways)
        # Only a rename is never seen half done, and only if there is but one file to it.
        torn = way is not rename_over or len(self.changed(voice, version)) > 1
        self.tell({"event": "replace", "voice": voice.name, "version": version, "way": way.__name__})
        self.shelf.begin(voice.name, version, torn)
        for name, data in self.changed(voice, version).items():
            way(self.world.voices / name, data)
        self.shelf.done(voice.name)
        self.counts["replaced"] += 1
        if self.chance.random() < 0.5:
            time.sleep(self.chance.random() * 0.5)
        self.reload()

    def put_back(self):
        """Every voice whose file is another voice's gets one of its own again: then residency can be compared."""
        for voice in self.world.cast:
            if self.shelf.current[voice.name].startswith(voice.name):
                continue
            version = f"{voice.name}0"
            self.shelf.begin(voice.name, version, True)
            for name, data in voice.files[version].items():
                worlds.replace(self.world.voices / name, data)
            self.shelf.done(voice.name)

    def changed(self, voice, version):
        """The files that are not the same already; at least the last one."""
        files = voice.files[version]
        last = list(files)[-1]
        return {name: data for name, data in files.items()
                if name == last or (self.world.voices / name).read_bytes() != data}

    def swap_plugins(self):
        own = [f'"ja-words", {self.world.own_plugin("own", worlds.component("normalize-sbv2"))}']
        self.world.plugins = self.chance.choice(PLUGINS + own)
        self.world.write()
        self.counts["plugin swaps"] += 1
        self.reload()

    def policy(self):
        wrong = self.chance.random() < 1 / 3
        text = self.chance.choice(WRONG_POLICIES if wrong else POLICIES)
        # What is not named is as it is at the start, and would wait for one.
        self.asked("PUT", "/admin/memory/policy", text.encode(), {422} if wrong else {200})
        self.counts["policies"] += 1

    def renew(self):
        self.asked("POST", "/admin/memory/renew", b"", {200})
        self.counts["renewals"] += 1

    def asked(self, method, path, body, right):
        begun = time.monotonic()
        try:
            reply = self.server.admin(method, path, body, timeout=60)
        except (wire.Refused, wire.Cut, wire.Timeout) as error:
            self.fault("admin without an answer", f"{method} {path}: {error!r}", begun)
            return
        self.tell({"event": "admin", "path": path, "status": reply.status, "body": body.decode()})
        if reply.status not in right:
            self.fault("admin refused", f"{method} {path} {body!r}: {reply.status} {reply.body[:300]!r}", begun)

    # What should not.

    def broken(self):
        way = self.chance.choice([self.broken_toml, self.broken_voice, self.broken_voice, self.broken_plugin,
                                  self.missing_file])
        way()
        self.world.write()
        self.reload()

    def refused(self, what):
        self.tell({"event": "break", "what": what})
        if self.reload(good=False):
            self.faults.append(("broken reload succeeded", what))
        # Meanwhile the old generation speaks.
        time.sleep(self.chance.random() * 0.3)

    def broken_toml(self):
        what = self.chance.choice(["[server\n", "[server]\nnonsense = 1\n", "\x00", "[memory]\nslots = -1\n",
                                   '[server]\nlisten = "nowhere"\n'])
        if self.chance.random() < 0.5:
            self.world.config(what)
        else:
            self.world.pipeline(what)
        self.refused(f"TOML {what!r}")

    def broken_plugin(self):
        good = self.world.own_plugin("torn", worlds.component("normalize-sbv2"))
        kind = self.chance.choice(["garbage", "half", "sha256", "nobody"])
        if kind in ("garbage", "half"):
            data = worlds.component("normalize-sbv2")
            entry = self.world.own_plugin("torn", b"\0asm nonsense" if kind == "garbage" else data[:len(data) // 2])
        else:
            entry = '"nobody"' if kind == "nobody" else good.replace('sha256 = "', 'sha256 = "00')[:-4] + '" }'
        self.world.pipeline(worlds.PIPELINE.format(plugins=entry, bucket=self.world.bucket))
        self.refused(f"plugin {kind}")

    def missing_file(self):
        text = self.world.good_config()
        kind = self.chance.choice(["voices", "pipelines", "bert"])
        if kind == "bert":
            text += '[bert.gone]\ngraph = "gone.onnx"\ntokenizer = "gone.json"\n'
            pipeline = worlds.PIPELINE.format(plugins=self.world.plugins, bucket=self.world.bucket)
            self.world.pipeline(pipeline.replace('"embedded"', '"gone"'))
        else:
            text = text.replace(f'folder = "{kind}"', 'folder = "gone"')
        self.world.config(text)
        self.refused(f"missing {kind}")

    def broken_voice(self):
        """The voice may be named and the rest serve, or the reload be refused; nobody else may suffer."""
        voice = self.chance.choice(self.world.cast)
        version = self.shelf.current[voice.name] or f"{voice.name}0"
        path = voice.path(self.world.voices)
        whole = voice.files[version][str(path.relative_to(self.world.voices))]
        kind = self.chance.choice(["empty", "half", "garbage", "end cut", "wrong graph"])
        data = {"empty": b"", "half": whole[:len(whole) // 2], "garbage": self.chance.randbytes(5000),
                "end cut": whole[:-1000], "wrong graph": (voices.FIXTURES / "wrong-rank.onnx").read_bytes()}[kind]
        self.tell({"event": "break", "what": f"voice {voice.name} {kind}"})
        self.shelf.begin(voice.name, None, True)
        if in_place in self.ways:
            path.write_bytes(data)
        else:
            worlds.replace(path, data)
        self.reload(good=False)
        time.sleep(self.chance.random() * 0.5)
        self.shelf.begin(voice.name, version, True)
        for name, data in voice.files[version].items():
            worlds.replace(self.world.voices / name, data)
        self.shelf.done(voice.name)

    def fault(self, name, detail, begun):
        if not self.may_be_lost(begun):
            self.faults.append((name, detail))


def in_place(path, data):
    """As `cp` over a file: the same inode, truncated, then written."""
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(data)


def truncate_first(path, data):
    path.open("wb").close()
    time.sleep(0.15)
    path.write_bytes(data)


def rename_over(path, data):
    worlds.replace(path, data)


def in_pieces(path, data):
    """As `rsync --inplace` and slow links: over the old bytes, a piece at a time."""
    with path.open("r+b", buffering=0) as file:
        step = max(len(data) // 8, 1)
        for at in range(0, len(data), step):
            file.seek(at)
            file.write(data[at:at + step])
            time.sleep(0.04)
        file.truncate(len(data))


def remove_first(path, data):
    path.unlink()
    time.sleep(0.05)
    path.write_bytes(data)


