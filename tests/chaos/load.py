"""What clients ask: every dialect, several voices, errors on purpose, hanging up, reading slowly."""

import json
import threading
import time
import urllib.parse

import wire
from oracle import Request

# None of them holds a word of the dictionary that chaos writes, or anything that one set of plugins reads otherwise.
TEXTS = ["こんにちは。", "雨です。", "今日はいい天気ですね。", "はい。そうです。", "明日も晴れるでしょう。"]
LONG = "今日はいい天気ですね。明日も晴れるでしょう。こんにちは。"
STILL = {"sdp_ratio": 0, "noise": 0, "noise_w": 0, "loudness": "none"}
PATIENCE = 90.0
QUOTE = urllib.parse.quote


def openai(call, stream, response_format, events=False):
    body = {"input": call.text, "voice": call.voice, "response_format": response_format,
            "koemasu": {**STILL, "stream": stream}}
    if events:
        body["stream_format"] = "sse"
    if call.request.wrong:
        body = call.chance.choice([{**body, "input": ""}, {**body, "voice": "nobody"}, {**body, "speed": 99},
                                   {**body, "koemasu": {"nonsense": 1}}, {**body, "response_format": "midi"}])
    return call.send("POST", "/v1/audio/speech", body)


def sbv2(call):
    style = call.styles.get(call.voice, "Neutral")
    query = {"text": call.text, "model_name": call.voice, "sdp_ratio": 0, "noise": 0, "noisew": 0, "style": style}
    if call.request.wrong:
        query[call.chance.choice(["style", "model_name", "speaker_name", "language"])] = "nonsense"
    return call.send(call.chance.choice(["GET", "POST"]), "/voice?" + urllib.parse.urlencode(query))


def sbv2_api(call):
    body = {"text": call.text, "ident": call.voice}
    if call.request.wrong:
        body = call.chance.choice([{**body, "ident": "nobody"}, {**body, "style_id": 77}, {"text": call.text}])
    return call.send("POST", "/synthesize", body)


def voicevox(call, path):
    style = call.style_ids[call.voice]
    if call.request.wrong:
        return call.send("POST", f"{path}?speaker={call.chance.choice([1, -5, 'x'])}", b"{}")
    asked = call.send("POST", f"/audio_query?speaker={style}&text={QUOTE(call.text)}", hang_up=False)
    if asked.status != 200:
        return asked
    query = {**asked.json(), "tempoDynamicsScale": 0}
    return call.send("POST", f"{path}?speaker={style}", query)


# Form → dialect, decoder, and how it asks.
FORMS = {
    "stream": ("openai", "wav", lambda call: openai(call, True, "wav")),
    "whole": ("openai", "wav", lambda call: openai(call, False, "wav")),
    "float": ("openai", "wav", lambda call: openai(call, True, "wav_float")),
    "pcm": ("openai", "pcm", lambda call: openai(call, True, "pcm")),
    "events": ("openai", "events", lambda call: openai(call, True, "wav", events=True)),
    "voice": ("sbv2", "wav", sbv2),
    "synthesize": ("sbv2-api", "wav", sbv2_api),
    "synthesis": ("voicevox", "wav", lambda call: voicevox(call, "/synthesis")),
    "streaming": ("voicevox", "wav", lambda call: voicevox(call, "/streaming_synthesis")),
}


class Call:
    """One request on its way: what its dialect needs to put it together."""

    def __init__(self, server, request, chance, ids, **how):
        self.server, self.request, self.chance, self.how = server, request, chance, how
        self.voice, self.text = request.voice, request.text
        self.style_ids, self.styles = ids

    def send(self, method, path, body=None, hang_up=True):
        how = self.how if hang_up else {}
        return wire.ask(self.server.port, method, path, body, headers=[("x-request-id", self.request.id)],
                        timeout=PATIENCE, **how)


def perform(server, request, chance, ids, **how):
    """Sends it, and notes what came of it."""
    request.begun = time.monotonic()
    try:
        request.outcome = FORMS[request.form][2](Call(server, request, chance, ids, **how))
    except (wire.Refused, wire.Cut, wire.Timeout, wire.Gone) as outcome:
        request.outcome = outcome
    except Exception as error:  # noqa: BLE001 - whatever it is, the request has to come to an end
        request.outcome = error
    request.ended = time.monotonic()


def ids(server):
    """The numbers by which clients of VOICEVOX name voices, and the styles that have other names."""
    models = server.admin("GET", "/aivm_models").json()
    numbers = {}
    for model in models.values():
        manifest = model["manifest"]
        numbers[manifest["name"]] = model["speakers"][0]["speaker"]["styles"][0]["id"]
    listed = server.admin("GET", "/v1/audio/voices").json()["voices"]
    return numbers, {voice["name"]: voice["styles"][0] for voice in listed}


class Counter:
    def __init__(self):
        self.lock, self.value = threading.Lock(), 0

    def next(self):
        with self.lock:
            self.value += 1
            return self.value


def draw(chance, voices, number):
    """One request, and how it is read."""
    form = chance.choice(list(FORMS))
    dialect, decoder, _ = FORMS[form]
    kind = chance.random()
    text = chance.choice(TEXTS) if form != "stream" or chance.random() < 0.7 else LONG
    request = Request(number, form, dialect, decoder, chance.choice(voices), text)
    how = {}
    if kind < 0.10:
        request.wrong = True
    elif kind < 0.18:
        request.hangs_up = True
        if chance.random() < 0.5:
            how["hang_up_at"] = chance.random() * 0.1
        else:
            how["hang_up_after"] = chance.choice([1, 500, 20_000, 60_000])
            how["piece"] = 4096
    elif kind < 0.24:
        how = {"pace": 0.02, "piece": 4096}
    return request, how


def describe(request, name, detail):
    told = {"event": "request", "id": request.id, "dialect": request.dialect, "form": request.form,
            "voice": request.voice, "text": request.text, "at": round(request.begun, 3),
            "seconds": round(request.ended - request.begun, 3), "outcome": name}
    if detail:
        told["detail"] = detail if isinstance(detail, str) else json.dumps(detail)
    return told
