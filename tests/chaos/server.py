"""`koemasu serve` as a child, and what the system says about it."""

import collections
import json
import os
import pathlib
import signal
import subprocess
import time

import wire


class Died(Exception):
    pass


class Server:
    """A process that is started, ended and started again over one folder. The port is the system's choice each time."""

    def __init__(self, program, folder, log, environment=None):
        self.program, self.folder, self.log = program, folder, log
        self.environment = {**os.environ, "KOEMASU_DATA": str(folder / "data"), **(environment or {})}
        self.process, self.port = None, None

    def start(self, patience=120.0):
        """Seconds until it is ready."""
        begun = time.monotonic()
        with self.log.open("ab") as log:
            place = log.tell()
            self.process = subprocess.Popen(
                [self.program, "serve", "--config", str(self.folder / "koemasu.toml"), "--listen", "127.0.0.1:0"],
                stdout=log, stderr=log, cwd=self.folder, env=self.environment)
        while True:
            if self.process.poll() is not None:
                raise Died(f"exit code {self.process.returncode} at the start: {self.tail()}")
            port = self.said_port(place)
            if port:
                self.port = port
                try:
                    if wire.ask(port, "GET", "/readyz", timeout=5).status == 200:
                        return time.monotonic() - begun
                except (wire.Refused, wire.Cut, wire.Timeout):
                    pass
            if time.monotonic() - begun > patience:
                raise Died(f"not ready after {patience:.0f} s: {self.tail()}")
            time.sleep(0.05)

    def said_port(self, place):
        with self.log.open("rb") as log:
            log.seek(place)
            said = log.read()
        _, found, rest = said.partition(b"koemasu serves on http://127.0.0.1:")
        return int(rest.split()[0]) if found and b"\n" in rest else None

    def tail(self, size=1500):
        data = self.log.read_bytes()
        return data[-size:].decode("utf-8", "replace")

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        return self.process.wait(30)

    def terminate(self, patience):
        """Exit code and seconds; None if it had to be killed."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(patience), time.monotonic() - begun
        except subprocess.TimeoutExpired:
            self.kill()
            return None, time.monotonic() - begun

    def admin(self, method, path, body=None, timeout=90.0, headers=()):
        return wire.ask(self.port, method, path, body, headers=headers, timeout=timeout)

    def memory(self):
        return self.admin("GET", "/admin/memory").json()["memory"]

    def metrics(self):
        """Sums over labels, by name."""
        sums = collections.Counter()
        for line in self.admin("GET", "/metrics").body.decode().splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                sums[name.partition("{")[0]] += float(value)
        return sums

    def generations(self):
        return self.admin("GET", "/admin/generations").json()["living"]

    def rss(self):
        """MiB."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        raise Died("it has no memory any more")

    def descriptors(self):
        """What the open ones are, without the numbers of sockets and pipes."""
        folder = pathlib.Path(f"/proc/{self.process.pid}/fd")
        found = collections.Counter()
        for entry in folder.iterdir():
            try:
                target = os.readlink(entry)
            except OSError:
                continue
            target = target.split(":[")[0].removesuffix(" (deleted)")
            # Named by its content, which is another with each version of a voice.
            if "/unpacked/" in target:
                target = "an unpacked archive"
            found[target] += 1
        return dict(sorted(found.items()))


def of_log(path):
    """Lines that no log of ours may have."""
    bad = []
    with path.open("r", errors="replace") as log:
        for line in log:
            if "panicked at" in line or "SIGSEGV" in line or "AddressSanitizer" in line:
                bad.append(line.strip()[:300])
    return bad


def tell(value):
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
