#!/usr/bin/env python3
"""An hour of everything at once against the real server, and an oracle that says whether all went right.

    python3 tests/chaos/run.py --minutes 60 --seed 1 --server target/release/koemasu
    python3 tests/chaos/run.py --self-test

Clients of every dialect ask for several voices, hang up, read slowly and send nonsense, while voices' files are
replaced in every way, configuration, pipelines, plugins and voices break and are mended, words and presets are edited,
and memory policies change; every ten minutes (`--kill-every`) the process is killed or told to stop, and starts again.

Between kills every request has one end: a whole answer, whose samples are those of a version of its voice that was
installed then (a second, undisturbed server says how each version sounds), or a typed error in its dialect's shape.
At rest all is as before, to the byte; memory does not rise; no acknowledged word is lost by a kill. `--self-test`
gives the oracle wrong answers, and fails unless it finds each.

One JSON record of each event goes to `events.jsonl` in `--out`, the server's own log beside it. Exit code 0: no
violation. Standard library only; Python 3.11. Modules: `voices` (what speaks), `world` (the folder), `load` (clients),
`trouble` (operators), `words` (editors), `shelf` and `oracle` (what is right), `rest` (what stays), `control` (the
self-test).
"""

import argparse
import collections
import contextlib
import json
import pathlib
import random
import tempfile
import threading
import time

import control
import load
import rest
import samples
import server as servers
import trouble
import voices
import wire
import words
import world as worlds
from oracle import Downtimes, Oracle
from shelf import Shelf

CLIENTS = 4
# Seconds that all clients together may need to come to their ends.
QUIET_MAX = 150.0


class Gate:
    """Whoever works passes through it; closed, it waits until nobody does."""

    def __init__(self):
        self.condition, self.open, self.inside = threading.Condition(), False, 0

    @contextlib.contextmanager
    def turn(self):
        with self.condition:
            self.condition.wait_for(lambda: self.open)
            self.inside += 1
        try:
            yield
        finally:
            with self.condition:
                self.inside -= 1
                self.condition.notify_all()

    def let(self):
        with self.condition:
            self.open = True
            self.condition.notify_all()

    def close(self, patience=QUIET_MAX):
        with self.condition:
            self.open = False
            return self.condition.wait_for(lambda: self.inside == 0, patience)


class Chaos:
    def __init__(self, options, out):
        self.options, self.out = options, out
        self.events, self.events_lock = (out / "events.jsonl").open("w"), threading.Lock()
        self.start = time.monotonic()
        self.cast = voices.cast(options.seed)
        self.names = [voice.name for voice in self.cast]
        self.world = worlds.World(out / "world", self.cast)
        self.shelf = Shelf()
        for voice in self.cast:
            self.world.install(voice, f"{voice.name}0")
            self.shelf.place(voice.name, f"{voice.name}0")
        program = str(pathlib.Path(options.server).resolve())
        self.server = servers.Server(program, self.world.folder, out / "server.log")
        self.calm = servers.Server(program, worlds.references(out / "calm", self.cast).folder, out / "calm.log")
        self.references, self.asking = samples.References(), threading.Lock()
        self.down = Downtimes()
        self.oracle = Oracle(self.shelf, self.down, self.whose)
        chance = lambda name: random.Random(f"{options.seed}/{name}")
        self.editor = words.Editor(self.server, self.world, chance("words"), self.tell)
        self.trouble = trouble.Trouble(self.server, self.world, self.shelf, chance("trouble"), self.tell,
                                       options.spare_files)
        self.editor.may_be_lost = self.trouble.may_be_lost = \
            lambda begun: bool(self.down.of(begun - 1.0, time.monotonic()))
        self.gate, self.over = Gate(), threading.Event()
        self.numbers, self.asked = load.Counter(), load.Counter()
        self.lives, self.rests, self.starts = [], [], []
        self.kills = collections.Counter()
        self.chance = chance("kills")
        self.at_rest = None

    def tell(self, event):
        with self.events_lock:
            self.events.write(json.dumps({"t": round(time.monotonic() - self.start, 3), **event},
                                         ensure_ascii=False) + "\n")

    # Who is who.

    def whose(self, form, text, heard, right):
        """References are asked for when they are needed: those that would be right first, then all."""
        for versions in (right, worlds.versions(self.cast)):
            for version in versions:
                self.reference(form, text, version)
            whose = self.references.whose(form, text, heard)
            if whose is not None:
                return whose, ""
        return None, self.references.parts(form, text, heard)

    def reference(self, form, text, version):
        with self.asking:
            if version in self.references.samples.get((form, text), {}):
                return
            dialect, decoder, _ = load.FORMS[form]
            request = load.Request(self.numbers.next(), form, dialect, decoder, version, text)
            load.perform(self.calm, request, self.chance, self.calm_ids)
            reply = request.outcome
            if not isinstance(reply, wire.Reply) or reply.status != 200:
                told = reply.body[:300] if isinstance(reply, wire.Reply) else repr(reply)
                raise SystemExit(f"the undisturbed server does not speak {version} by {form}: {told}")
            self.references.add(form, text, version, samples.DECODERS[decoder](reply.body))

    def learn(self):
        """That versions can be told apart, and that the same text sounds the same again."""
        self.calm.start()
        self.calm_ids = load.ids(self.calm)
        for form in load.FORMS:
            for version in worlds.versions(self.cast):
                self.reference(form, load.TEXTS[0], version)
        if near := self.references.check():
            raise SystemExit(f"versions that sound alike: {near}")
        again = samples.References()
        first, self.references = self.references, again
        for form in load.FORMS:
            self.reference(form, load.TEXTS[0], "aoi0")
            heard = again.samples[form, load.TEXTS[0]]["aoi0"]
            if first.whose(form, load.TEXTS[0], heard) != "aoi0":
                raise SystemExit(f"by {form} the same request sounds otherwise the second time")
        self.references = first

    # Life and death.

    def begin(self):
        ready = self.server.start()
        self.starts.append(ready)
        now = time.monotonic()
        self.shelf.reloaded(now - ready, now)
        self.ids = load.ids(self.server)
        self.lives.append([])
        self.at_rest = None
        self.asked.value = 0
        self.tell({"event": "start", "seconds": round(ready, 2), "pid": self.server.process.pid})

    def end(self, kind):
        """The server goes in the middle of everything; then all that waits comes to its end."""
        now = time.monotonic()
        self.down.begin(kind, now, worlds.DRAIN)
        self.tell({"event": kind})
        self.kills[kind] += 1
        if kind == "kill":
            self.server.kill()
        else:
            code, seconds = self.server.terminate(worlds.DRAIN + 15)
            self.tell({"event": "ended", "code": code, "seconds": round(seconds, 2)})
            if code is None:
                self.oracle.violate("does not end", f"{worlds.DRAIN + 15:.0f} s after SIGTERM")
            elif code != 0 and seconds < worlds.DRAIN:
                self.oracle.violate("exit code", f"{code} after {seconds:.1f} s")
        self.quiet()
        for name, detail in self.editor.check_files():
            self.oracle.violate(name, f"after {kind}: {detail}")
        self.world.write()
        self.restart()
        self.down.end(time.monotonic())

    def restart(self):
        """A voice that lies broken is mended by the one who broke it, who is through by now."""
        self.world.watch = not self.world.watch
        self.world.write()
        try:
            self.begin()
        except servers.Died as error:
            self.oracle.violate("does not start", str(error))
            raise

    def quiet(self):
        if not self.gate.close():
            self.oracle.violate("requests without an end", f"{self.gate.inside} after {QUIET_MAX:.0f} s")

    # At rest.

    def rest(self):
        """Everything ends, what it needs is put back, every voice speaks in turn; then nothing may have changed."""
        self.quiet()
        self.world.plugins = worlds.PLAIN
        self.world.write()
        self.trouble.put_back()
        self.trouble.reload()
        wrong = []
        for _ in range(2):
            for name in self.names:
                body = {"input": load.TEXTS[0], "voice": name, "response_format": "wav"}
                reply = self.server.admin("POST", "/v1/audio/speech", body)
                if reply.status != 200:
                    wrong.append(f"{name}: {reply.status} {reply.body[:200]!r}")
        if wrong:
            self.oracle.violate("does not speak at rest", "; ".join(wrong))
        deadline, before = time.monotonic() + 20, None
        while True:
            now = rest.snapshot(self.server.memory(), self.server.metrics(), self.server.generations(),
                                self.server.descriptors())
            moving = rest.restless(now)
            # Connections of the moment before are still being closed.
            known = self.at_rest if self.at_rest and rest.comparable(self.at_rest, now) else before
            still = known is not None and not rest.differences(known, now)
            before = now
            if (not moving and still) or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        record = {"event": "rest", "moving": moving, "rss": round(self.server.rss(), 1), "snapshot": now}
        if moving:
            self.oracle.violate("not at rest", "; ".join(moving))
        if self.at_rest is None:
            self.at_rest = now
        else:
            comparable = rest.comparable(self.at_rest, now)
            differences = rest.differences(self.at_rest, now) if comparable else []
            self.rests.append((comparable, differences))
            record.update(comparable=comparable, differences=differences)
            if differences:
                self.oracle.violate("not as before at rest", "; ".join(differences))
        self.tell(record)

    # Everybody.

    def client(self, number):
        chance = random.Random(f"{self.options.seed}/client {number}")
        while not self.over.is_set():
            with self.gate.turn():
                if self.over.is_set():
                    return
                request, how = load.draw(chance, self.names, self.numbers.next())
                self.oracle.issue(request)
                load.perform(self.server, request, chance, self.ids, **how)
                request.outlived = not self.server.alive()
                name, detail = self.oracle.judge(request)
                self.asked.next()
                self.tell(load.describe(request, name, detail))
            time.sleep(chance.random() * 0.02)

    def worker(self, step, pause, chance):
        while not self.over.is_set():
            with self.gate.turn():
                if self.over.is_set():
                    return
                try:
                    step()
                except Exception as error:  # noqa: BLE001 - the harness must not lose a thread without a word
                    if not self.trouble.may_be_lost(time.monotonic() - 5):
                        self.oracle.violate("of the harness", repr(error))
            time.sleep(pause * (0.5 + chance.random()))

    def run(self):
        options = self.options
        seconds = options.minutes * 60
        life = options.kill_every * 60 if options.kill_every else min(600.0, seconds / 3)
        self.learn()
        self.server.start()
        self.world.calibrate(self.server.memory())
        self.server.terminate(30)
        self.begin()
        chance = random.Random(f"{options.seed}/pauses")
        threads = [threading.Thread(target=self.client, args=(number,), daemon=True) for number in range(CLIENTS)]
        threads.append(threading.Thread(target=self.worker, args=(self.trouble.step, 0.4, chance), daemon=True))
        threads.append(threading.Thread(target=self.worker, args=(self.editor.step, 1.0, chance), daemon=True))
        for thread in threads:
            thread.start()
        begun = time.monotonic()
        try:
            self.live(begun, begun + seconds, life)
        except servers.Died as error:
            self.tell({"event": "died", "detail": str(error)})
        self.finish(threads)
        return self.report(time.monotonic() - begun)

    def live(self, begun, until, life):
        deaths = 1
        rests = 4
        # The first ones are warm-up: then a life has a figure to be compared with.
        next_rest = begun + life / rests
        self.gate.let()
        while (now := time.monotonic()) < until:
            if not self.server.alive():
                self.oracle.violate("died by itself", f"exit code {self.server.process.returncode}; "
                                                      f"{self.server.tail(600)}")
                self.down.begin("kill", now)
                self.quiet()
                self.restart()
                self.down.end(time.monotonic())
                self.gate.let()
            self.lives[-1].append((self.asked.value, self.server.rss()))
            if now >= next_rest:
                next_rest = now + life / rests
                self.rest_or_die()
                self.gate.let()
            elif now >= begun + deaths * life and until - now > life / 2:
                self.end("kill" if deaths % 2 else "term")
                deaths += 1
                next_rest = time.monotonic() + life / rests
                self.gate.let()
            time.sleep(0.5)
        self.rest_or_die()

    def rest_or_die(self):
        """Whoever dies while it is looked at is found by the next look."""
        try:
            self.rest()
        except (wire.Refused, wire.Cut, wire.Timeout) as error:
            self.oracle.violate("no answer at rest", repr(error))

    def finish(self, threads):
        self.over.set()
        self.gate.let()
        for thread in threads:
            thread.join(30)
        if self.server.alive():
            code, seconds = self.server.terminate(worlds.DRAIN + 15)
            if code != 0:
                self.oracle.violate("exit code at the end", f"{code} after {seconds:.1f} s")
        else:
            self.oracle.violate("died by itself", f"exit code {self.server.process.returncode}: {self.server.tail(600)}")
        if self.calm.process:
            self.calm.terminate(30)
        self.oracle.close()
        for name, detail in self.editor.faults + self.trouble.faults + self.editor.check_files():
            self.oracle.violate(name, detail)
        for line in servers.of_log(self.out / "server.log"):
            self.oracle.violate("in the log", line)
        if creep := rest.creeps(self.lives):
            self.oracle.violate("memory", creep)

    def report(self, seconds):
        """The table, and whether all is well."""
        oracle, slope = self.oracle, rest.slope(self.lives)
        requests = len(oracle.issued)
        whole = oracle.outcomes["whole answer"]
        if whole < requests / 3:
            oracle.violate("hardly an answer", f"{whole} of {requests}: nothing was shown")
        compared = [differences for comparable, differences in self.rests if comparable]
        print(f"\nseed {self.options.seed}, {seconds:.0f} s, {requests} requests")
        for name, count in sorted(oracle.outcomes.items(), key=lambda it: -it[1]):
            print(f"  {count:7}  {name}")
        print("\nwhole answers by dialect: "
              + ", ".join(f"{dialect} {count}" for (dialect, name), count in sorted(oracle.by_dialect.items())
                          if name == "whole answer"))
        print("trouble: " + ", ".join(f"{name} {count}" for name, count in self.trouble.counts.items()))
        print(f"edits: {self.editor.edits}, acknowledged {self.editor.acknowledged}")
        print(f"ends: {dict(self.kills)}; starts {len(self.starts)}, slowest {max(self.starts, default=0):.1f} s")
        print(f"RSS: {slope[0]:+.2f} MiB in 1,000 requests over {slope[1]:.0f} after warm-up"
              + ("" if slope[1] >= rest.REQUESTS_MIN else " (too few to judge)"))
        print(f"at rest: {len(self.rests)} looked at, {len(compared)} of equal residency, "
              f"{sum(map(bool, compared))} with differences")
        print(f"violations: {len(oracle.violations)}")
        for name, count in collections.Counter(name for name, _ in oracle.violations).items():
            print(f"  {count} {name}")
            for detail in [detail for known, detail in oracle.violations if known == name][:5]:
                print(f"      {detail[:600]}")
        for name, detail in oracle.violations:
            self.tell({"event": "violation", "name": name, "detail": detail})
        self.events.close()
        return not oracle.violations


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--kill-every", type=float, default=None, help="minutes; 10, or a third of a short run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--server", default="target/debug/koemasu")
    parser.add_argument("--out", default=None, help="folder of events and logs; a temporary one without it")
    parser.add_argument("--spare-files", action="store_true",
                        help="replace voices' files by renaming alone, never in place or in pieces")
    parser.add_argument("--self-test", action="store_true", help="give the oracle wrong answers, which it must find")
    options = parser.parse_args()
    if options.self_test:
        raise SystemExit(0 if control.run() else 1)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        out = pathlib.Path(options.out or folder).resolve()
        worlds.clear(out)
        chaos = Chaos(options, out)
        try:
            good = chaos.run()
        finally:
            for child in (chaos.server, chaos.calm):
                if child.alive():
                    child.kill()
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
