"""What lay under each voice's name, and when: which versions a server may rightly speak with at a time.

Reloads are asked for by hand, so a version is right from the moment its bytes begin to be written until a reload has
succeeded that began when its successor was whole. While a file is in pieces its voice may also be refused.
"""

import threading
import time

FOREVER = float("inf")


class Shelf:
    def __init__(self):
        self.lock = threading.Lock()
        self.right = {}
        self.unsound = {}
        self.current = {}
        self.whole_since = {}

    def place(self, voice, version):
        """Before any server runs."""
        self.right[voice] = [[version, 0.0, FOREVER]]
        self.unsound[voice] = []
        self.current[voice] = version
        self.whole_since[voice] = 0.0

    def begin(self, voice, version, torn):
        """The bytes of `version` begin to be written; None is of no voice. `torn`: others may see it half done."""
        now = time.monotonic()
        with self.lock:
            if version is not None:
                self.right[voice].append([version, now, FOREVER])
            if (torn or version is None) and (not self.unsound[voice] or self.unsound[voice][-1][1] != FOREVER):
                self.unsound[voice].append([now, FOREVER])
            self.current[voice] = version
            self.whole_since[voice] = FOREVER

    def done(self, voice):
        with self.lock:
            if self.current[voice] is not None:
                self.whole_since[voice] = time.monotonic()

    def reloaded(self, begun, ended):
        """A reload, or a start, has succeeded."""
        with self.lock:
            for voice, since in self.whole_since.items():
                if since > begun:
                    continue
                for known in self.right[voice][:-1]:
                    known[2] = min(known[2], ended)
                for torn in self.unsound[voice]:
                    torn[1] = min(torn[1], ended)

    def all_whole(self):
        with self.lock:
            return all(since < FOREVER for since in self.whole_since.values())

    def versions(self, voice, begun, ended):
        with self.lock:
            return {version for version, since, until in self.right[voice] if since <= ended and begun <= until}

    def was_unsound(self, voice, begun, ended):
        with self.lock:
            return any(since <= ended and begun <= until for since, until in self.unsound[voice])
