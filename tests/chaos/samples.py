"""Samples out of answers, and whose they are: the fingerprint of a voice is what it said when nothing disturbed it."""

import array
import base64
import hashlib
import json
import struct

# Of full scale of 16 bits: what runs of other shapes may differ in the last bit, after rounding.
TOLERANCE = 3
# Two references nearer than this could not be told apart; most of their samples differ by far more.
APART = 12 * TOLERANCE


def of_wav(data):
    """Samples in steps of 16 bits."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError("it is no WAV file")
    at, kind, samples = 12, None, None
    while at + 8 <= len(data):
        name, size = data[at:at + 4], struct.unpack_from("<I", data, at + 4)[0]
        # A stream does not know its length beforehand.
        body = data[at + 8:] if size == 0xFFFFFFFF else data[at + 8:at + 8 + size]
        if size != 0xFFFFFFFF and len(body) != size:
            raise ValueError(f"its `{name.decode('latin-1')}` says {size} bytes and has {len(body)}")
        if name == b"fmt ":
            kind = struct.unpack_from("<HHIIHH", body)
        elif name == b"data":
            samples = body
        at += 8 + len(body) + (len(body) & 1)
    if kind is None or samples is None:
        raise ValueError("it has no format or no data")
    return floats(samples) if kind[5] == 32 else integers(samples)


def integers(data):
    if len(data) % 2:
        raise ValueError("half a sample")
    return array.array("h", data)


def floats(data):
    if len(data) % 4:
        raise ValueError("a part of a sample")
    values = array.array("f", data)
    if any(not -8.0 < it < 8.0 for it in values):
        raise ValueError("a sample that is no sound")
    return array.array("i", (round(it * 32767) for it in values))


def of_events(data):
    """Server-sent events of OpenAI's kind: whole only with its last event."""
    sound, done = b"", False
    for line in data.split(b"\n"):
        if not line.startswith(b"data:"):
            continue
        event = json.loads(line[5:])
        if event["type"] == "speech.audio.delta":
            sound += base64.b64decode(event["audio"])
        elif event["type"] == "speech.audio.done":
            done = True
        else:
            raise ValueError(f"an event `{event['type']}`")
    if not done:
        raise ValueError("the events end without `speech.audio.done`")
    return of_wav(sound)


DECODERS = {"wav": of_wav, "pcm": integers, "events": of_events}


def distance(one, other):
    """The largest difference of a sample; None if they are not of one length."""
    if len(one) != len(other):
        return None
    if one == other:
        return 0
    return max(map(abs, map(int.__sub__, one, other)), default=0)


def same(one, other):
    apart = distance(one, other)
    return apart is not None and apart <= TOLERANCE


def run(one, other):
    """For how many samples from the start they agree."""
    for place, (a, b) in enumerate(zip(one, other)):
        if abs(a - b) > TOLERANCE:
            return place
    return min(len(one), len(other))


class References:
    """(form, text, version) → samples. A form is a dialect's way to ask: each has its own loudness and silence."""

    def __init__(self):
        self.samples = {}
        self.by_digest = {}

    def add(self, form, text, version, samples):
        self.samples.setdefault((form, text), {})[version] = samples
        digest = hashlib.sha256(samples.tobytes()).digest()
        self.by_digest.setdefault((form, text, digest), version)

    def check(self):
        """Versions that could be taken for each other; and there must be none."""
        near = []
        for key, versions in self.samples.items():
            names = sorted(versions)
            for number, one in enumerate(names):
                for other in names[number + 1:]:
                    apart = distance(versions[one], versions[other])
                    if apart is not None and apart < APART:
                        near.append((*key, one, other, apart))
        return near

    def whose(self, form, text, samples):
        """The version whose sound it is, or None."""
        known = self.by_digest.get((form, text, hashlib.sha256(samples.tobytes()).digest()))
        if known is not None:
            return known
        for version, reference in self.samples[form, text].items():
            if same(samples, reference):
                return version
        return None

    def parts(self, form, text, samples):
        """What an unknown sound is made of: the version its beginning agrees with longest, and the one of its end."""
        versions = self.samples[form, text].items()
        head = max(versions, key=lambda it: run(samples, it[1]))
        backwards = samples[::-1]
        tail = max(versions, key=lambda it: run(backwards, it[1][::-1]))
        return (f"{len(samples)} samples; {run(samples, head[1])} from the start are {head[0]}'s, "
                f"{run(backwards, tail[1][::-1])} at the end {tail[0]}'s")
