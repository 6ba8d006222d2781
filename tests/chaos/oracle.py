"""What each request came to: right, or a violation. Decides on records and touches no server.

Between kills every request that was taken in gets exactly one whole answer of the right voice, or one typed error in its
dialect's shape. What is nobody's fault is counted by its own name: hung up by us, killed by us, refused by time.
"""

import collections
import dataclasses
import json
import threading

import samples
import wire

PROBLEM = "application/problem+json"
WITH_RETRY = {503, 504, 429}


@dataclasses.dataclass
class Request:
    number: int
    form: str            # of samples.References
    dialect: str
    decoder: str         # of samples.DECODERS
    voice: str
    text: str
    wrong: bool = False  # an error is what it asks for
    hangs_up: bool = False
    outlived: bool = False   # the server had died by itself, which is a violation of its own
    begun: float = 0.0
    ended: float = 0.0
    outcome: object = None   # a wire.Reply, or what was raised

    @property
    def id(self):
        return f"chaos-{self.number}"


class Downtimes:
    """When the server was made to go: (from, until, kind, drained until)."""

    def __init__(self):
        self.spans = []

    def begin(self, kind, at, drain=0.0):
        self.spans.append([at, float("inf"), kind, at + drain])

    def end(self, at):
        self.spans[-1][1] = at

    def of(self, begun, ended):
        return [span for span in self.spans if span[0] <= ended and begun <= span[1]]


class Oracle:
    def __init__(self, shelf, downtimes, whose):
        """`whose(form, text, samples, versions)`: the version whose sound it is or None, and what it is made of."""
        self.shelf, self.downtimes, self.whose = shelf, downtimes, whose
        self.lock = threading.Lock()
        self.outcomes = collections.Counter()
        self.by_dialect = collections.Counter()
        self.violations = []
        self.issued, self.judged = {}, {}

    def issue(self, request):
        with self.lock:
            self.issued[request.number] = request

    def judge(self, request):
        """The outcome's name; a violation begins with `VIOLATION`."""
        name, detail = self.decide(request)
        with self.lock:
            seen = self.judged.get(request.number, 0)
            self.judged[request.number] = seen + 1
            if seen:
                name, detail = "VIOLATION answered twice", request.id
            self.outcomes[name] += 1
            self.by_dialect[request.dialect, name] += 1
            if name.startswith("VIOLATION"):
                self.violations.append((name, f"{request.id} {request.dialect} {request.form} {request.voice} "
                                              f"`{request.text}`: {detail}"))
        return name, detail

    def violate(self, name, detail):
        with self.lock:
            self.outcomes[f"VIOLATION {name}"] += 1
            self.violations.append((f"VIOLATION {name}", detail))

    def close(self):
        """Every request that was sent has come to one end."""
        for number, request in self.issued.items():
            if number not in self.judged:
                self.violate("no outcome", f"{request.id} was sent and came to nothing")

    def decide(self, request):
        outcome = request.outcome
        down = self.downtimes.of(request.begun, request.ended)
        killed = any(kind == "kill" for _, _, kind, _ in down)
        if isinstance(outcome, wire.Gone):
            return "hung up by us", ""
        if isinstance(outcome, wire.Reply):
            return self.reply(request, outcome)
        if killed:
            return "killed by us", ""
        # While it stops, a connection may lie in the queue that nobody accepts from any more.
        near = self.downtimes.of(request.begun - 1.0, request.ended)
        if request.outlived and not near and isinstance(outcome, (wire.Refused, wire.Cut)):
            return "the server had died", ""
        if isinstance(outcome, wire.Refused):
            return ("not taken in: stopping", "") if near else ("VIOLATION not taken in", str(outcome))
        if isinstance(outcome, wire.Cut):
            if any(kind == "term" and request.ended >= drained for _, _, kind, drained in down):
                return "cut: drain is over", ""
            if self.shelf.was_unsound(request.voice, request.begun, request.ended):
                return "cut: its file was in pieces", str(outcome)
            return "VIOLATION cut", str(outcome)
        if isinstance(outcome, wire.Timeout):
            return "VIOLATION no answer in time", f"{request.ended - request.begun:.0f} s"
        return "VIOLATION of the harness", repr(outcome)

    def reply(self, request, reply):
        if reply.surplus:
            return "VIOLATION more than one answer", f"{len(reply.surplus)} bytes follow: {reply.surplus[:80]!r}"
        told = reply.headers.get("x-request-id")
        if told != request.id:
            return "VIOLATION another's answer", f"it is that of `{told}`"
        if reply.status == 200:
            if request.wrong:
                return "VIOLATION nonsense was answered", f"{len(reply.body)} bytes"
            return self.sound(request, reply)
        fault = untyped(request.dialect, reply)
        if fault:
            return "VIOLATION untyped error", f"{reply.status} {fault}: {reply.body[:200]!r}"
        if request.wrong and 400 <= reply.status < 500:
            return "error on purpose", ""
        if reply.status in WITH_RETRY:
            return f"refused by time: {reply.status}", ""
        if self.shelf.was_unsound(request.voice, request.begun, request.ended):
            return f"refused: its file was in pieces: {reply.status}", ""
        return "VIOLATION error without a cause", f"{reply.status} {reply.body[:300].decode('utf-8', 'replace')}"

    def sound(self, request, reply):
        try:
            heard = samples.DECODERS[request.decoder](reply.body)
        except (ValueError, KeyError, json.JSONDecodeError) as error:
            return "VIOLATION broken sound", str(error)
        right = self.shelf.versions(request.voice, request.begun, request.ended)
        version, parts = self.whose(request.form, request.text, heard, right)
        if version in right:
            return "whole answer", version
        if version is not None:
            return "VIOLATION another voice", f"it is {version}, right would be {sorted(right)}"
        return "VIOLATION nobody's sound", f"{parts}; right would be {sorted(right)}"


def untyped(dialect, reply):
    """Why it is no error of this dialect; empty if it is one."""
    kind = reply.headers.get("content-type", "")
    if reply.status in WITH_RETRY and not reply.headers.get("retry-after", "").isdigit():
        return "without Retry-After"
    if dialect == "sbv2-api":
        return "" if kind.startswith("text/plain") and reply.body.strip() else f"is `{kind}`"
    try:
        body = reply.json()
    except ValueError:
        return f"is no JSON but `{kind}`"
    if dialect == "openai":
        error = body.get("error")
        good = isinstance(error, dict) and error.get("message") and error.get("type")
    elif dialect in ("sbv2", "voicevox"):
        good = bool(body.get("detail"))
    else:
        good = kind == PROBLEM and body.get("who_can_act") in ("caller", "time", "operator") and body.get("detail")
    return "" if good else f"lacks the fields of {dialect}"
