"""Negative controls: what a broken server would answer, given to the oracle. Each must be found, and each good one pass.

Nothing is started here: answers are made of references that are made up.
"""

import array
import struct

import rest
import samples
import wire
import words
from oracle import Downtimes, Oracle, Request
from shelf import Shelf

TEXT = "雨です。"


def tone(version):
    step = {"a0": 37, "a1": 53, "b0": 71}[version]
    return array.array("h", ((place * step * 97) % 20011 - 10005 for place in range(4000)))


def wav(sound):
    data = sound.tobytes()
    return (b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt "
            + struct.pack("<IHHIIHH", 16, 1, 1, 44100, 88200, 2, 16) + b"data" + struct.pack("<I", len(data)) + data)


def stand():
    """Voice `a` with version a0, and b with b0, beside references of all."""
    shelf, down, references = Shelf(), Downtimes(), samples.References()
    for voice, version in (("a", "a0"), ("b", "b0")):
        shelf.place(voice, version)
    for version in ("a0", "a1", "b0"):
        references.add("stream", TEXT, version, tone(version))

    def whose(form, text, heard, _right):
        return references.whose(form, text, heard), references.parts(form, text, heard)

    return shelf, down, Oracle(shelf, down, whose)


def asked(oracle, outcome, begun=10.0, ended=11.0, wrong=False, number=1):
    request = Request(number, "stream", "openai", "wav", "a", TEXT, wrong=wrong, begun=begun, ended=ended)
    if isinstance(outcome, wire.Reply):
        outcome.headers.setdefault("x-request-id", request.id)
    request.outcome = outcome
    oracle.issue(request)
    return request


def ok(body):
    return wire.Reply(200, {"content-type": "audio/wav"}, body)


def fault(status, body=b'{"error": {"message": "m", "type": "t"}}', **headers):
    kind = {"content-type": "application/json"}
    return wire.Reply(status, {**kind, **{name.replace("_", "-"): value for name, value in headers.items()}}, body)


def with_surplus():
    reply = ok(wav(tone("a0")))
    reply.surplus = b"HTTP/1.1 200 OK\r\n"
    return reply


def mixed():
    return array.array("h", tone("a0")[:2000] + tone("b0")[2000:])


def one_page_off():
    """As much as one page of weights may do to the sound."""
    return array.array("h", (it + (20 if 1000 < place < 1400 else 0) for place, it in enumerate(tone("a0"))))


# What is answered, and what the oracle has to say of it.
ANSWERS = [
    ("a right answer", lambda: ok(wav(tone("a0"))), {}, "whole answer"),
    ("another voice's", lambda: ok(wav(tone("b0"))), {}, "VIOLATION another voice"),
    ("a version that is not installed", lambda: ok(wav(tone("a1"))), {}, "VIOLATION another voice"),
    ("half one voice's, half another's", lambda: ok(wav(mixed())), {}, "VIOLATION nobody's sound"),
    ("a page that is another's", lambda: ok(wav(one_page_off())), {}, "VIOLATION nobody's sound"),
    ("an answer that lacks its end", lambda: ok(wav(tone("a0")[:3999])), {}, "VIOLATION nobody's sound"),
    ("a file that lacks its end", lambda: ok(wav(tone("a0"))[:-100]), {}, "VIOLATION broken sound"),
    ("nothing at all", lambda: ok(b""), {}, "VIOLATION broken sound"),
    ("a second answer behind the first", with_surplus, {}, "VIOLATION more than one answer"),
    ("somebody else's", lambda: wire.Reply(200, {"x-request-id": "chaos-9"}, wav(tone("a0"))), {},
     "VIOLATION another's answer"),
    ("a cut", lambda: wire.Cut("x"), {}, "VIOLATION cut"),
    ("silence", lambda: wire.Timeout(), {}, "VIOLATION no answer in time"),
    ("a closed door", lambda: wire.Refused("x"), {}, "VIOLATION not taken in"),
    ("we went", lambda: wire.Gone(), {}, "hung up by us"),
    ("an overload", lambda: fault(503, retry_after="2"), {}, "refused by time: 503"),
    ("an overload without an end", lambda: fault(503), {}, "VIOLATION untyped error"),
    ("an error of another shape", lambda: fault(400, b'{"detail": "x"}'), {"wrong": True}, "VIOLATION untyped error"),
    ("an error that is no JSON", lambda: fault(400, b"oh"), {"wrong": True}, "VIOLATION untyped error"),
    ("an error on purpose", lambda: fault(400), {"wrong": True}, "error on purpose"),
    ("an answer to nonsense", lambda: ok(wav(tone("a0"))), {"wrong": True}, "VIOLATION nonsense was answered"),
    ("an error without a cause", lambda: fault(404), {}, "VIOLATION error without a cause"),
    ("a failure", lambda: fault(500), {}, "VIOLATION error without a cause"),
]


def run():
    wrong = []

    def check(what, found, right):
        if found != right:
            wrong.append(f"{what}: {found!r} instead of {right!r}")

    for what, answer, how, right in ANSWERS:
        _, _, oracle = stand()
        check(what, oracle.judge(asked(oracle, answer(), **how))[0], right)
    check_time(check)
    check_counts(check)
    check_rest(check)
    check_words(check)
    for line in wrong:
        print(f"NOT FOUND {line}")
    print(f"self-test: {len(ANSWERS)} answers, and time, counts, rest and words: {len(wrong)} wrong")
    return not wrong


def check_time(check):
    """Versions are right for a while, and a kill excuses what it cut and nothing else."""
    shelf, down, oracle = stand()
    a1 = lambda begun, ended, number: oracle.judge(
        asked(oracle, ok(wav(tone("a1"))), begun, ended, number=number))[0]
    a0 = lambda begun, ended, number: oracle.judge(
        asked(oracle, ok(wav(tone("a0"))), begun, ended, number=number))[0]
    shelf.right["a"].append(["a1", 20.0, float("inf")])
    shelf.current["a"], shelf.whole_since["a"] = "a1", 21.0
    shelf.unsound["a"].append([20.0, float("inf")])
    check("before it was written", a1(10, 11, 1), "VIOLATION another voice")
    check("while it is written", a1(20.5, 20.6, 2), "whole answer")
    check("the old one meanwhile", a0(20.5, 20.6, 3), "whole answer")
    mixture = asked(oracle, ok(wav(mixed())), 20.5, 20.6, number=4)
    check("a mixture even then", oracle.judge(mixture)[0], "VIOLATION nobody's sound")
    check("an error meanwhile", oracle.judge(asked(oracle, fault(500), 20.5, 20.6, number=5))[0],
          "refused: its file was in pieces: 500")
    shelf.reloaded(20.5, 22.0)
    check("a reload that began too early changes nothing", a0(23, 24, 6), "whole answer")
    shelf.reloaded(21.5, 25.0)
    check("the old one after a reload", a0(26, 27, 7), "VIOLATION another voice")
    check("the old one over a reload", a0(24.5, 27, 8), "whole answer")
    check("an error after it", oracle.judge(asked(oracle, fault(500), 26, 27, number=9))[0],
          "VIOLATION error without a cause")
    down.begin("kill", 30.0)
    down.end(35.0)
    cut = lambda begun, ended, number: oracle.judge(asked(oracle, wire.Cut("x"), begun, ended, number=number))[0]
    check("killed", cut(29, 30.5, 10), "killed by us")
    check("before the kill", cut(28, 29, 11), "VIOLATION cut")
    check("after the kill", cut(36, 37, 12), "VIOLATION cut")
    down.begin("term", 40.0, 10.0)
    down.end(55.0)
    check("cut while it drains", cut(39, 45, 13), "VIOLATION cut")
    check("cut after it drained", cut(39, 51, 14), "cut: drain is over")
    other = asked(oracle, ok(wav(tone("b0"))), 29, 30.5, number=15)
    check("another voice in a kill", oracle.judge(other)[0], "VIOLATION another voice")


def check_counts(check):
    _, _, oracle = stand()
    request = asked(oracle, ok(wav(tone("a0"))))
    oracle.judge(request)
    check("answered twice", oracle.judge(request)[0], "VIOLATION answered twice")
    asked(oracle, None, number=2)
    oracle.close()
    check("a request that came to nothing", [name for name, _ in oracle.violations],
          ["VIOLATION answered twice", "VIOLATION no outcome"])


def check_rest(check):
    zone = lambda name, in_use: {"zone": name, "in_use": in_use, "blocks": 1 if in_use else 0}
    voice = {"name": "a", "template": "t", "tier": "device", "in_flight": 0}
    memory = lambda activations=0, library=512, free=64: {
        "slab": {"zones": [zone("activations", activations), zone("models", library)],
                 "owners": [{"owner": "voice a", "in_use": library}]},
        "library": {"voices": [voice]}, "templates": [], "workspace": {"bytes": 64, "free": free}}
    still = {"koemasu_requests_in_flight": 0.0}
    snapshot = lambda memory, flight=0.0, generations=1, descriptors=(("socket", 3),): rest.snapshot(
        memory, {**still, "koemasu_requests_in_flight": flight}, [{}] * generations, dict(descriptors))
    before = snapshot(memory())
    check("at rest", (rest.restless(before), rest.differences(before, snapshot(memory()))), ([], []))
    check("activations", rest.restless(snapshot(memory(activations=1))), ["activations 1"])
    check("workspace", rest.restless(snapshot(memory(free=60))), ["workspace taken 4"])
    check("a request in flight", rest.restless(snapshot(memory(), flight=1.0)), ["in flight 1.0"])
    check("a generation too many", rest.restless(snapshot(memory(), generations=2)), ["generations 2"])
    leaked = rest.differences(before, snapshot(memory(library=576)))
    check("64 bytes of the slab", leaked, ["zones: models [512, 1] -> [576, 1]", "owners: voice a 512 -> 576"])
    check("a descriptor", rest.differences(before, snapshot(memory(), descriptors=(("socket", 4),))),
          ["descriptors: socket 3 -> 4"])
    wave = lambda requests: 3.0 * ((requests // 40) % 5 - 2)
    flat = [[(requests, 150 + wave(requests)) for requests in range(0, 4000, 20)] for _ in range(2)]
    rising = [[(requests, 150 + wave(requests) + 0.0015 * requests) for requests in range(0, 4000, 20)]
              for _ in range(2)]
    check("no slope", rest.creeps(flat), "")
    check("1.5 MiB in 1,000 requests", rest.creeps(rising)[:13], "RSS rises by ")
    check("too few requests to judge", rest.creeps([life[:20] for life in rising]), "")


def check_words(check):
    kept = words.Kept()
    kept.edit("x", "1", True)
    kept.edit("y", "2", False)
    kept.edit("z", "3", None)
    check("as acknowledged", kept.compare({"x": "1"}), [])
    check("an acknowledged word that is lost", len(kept.compare({})), 1)
    check("a refused word that is there", len(kept.compare({"x": "1", "y": "2"})), 1)
    kept.edit("x", None, None)
    check("nobody knows whether it went", kept.compare({}), [])
    check("and now it is known", len(kept.compare({"x": "1"})), 1)
