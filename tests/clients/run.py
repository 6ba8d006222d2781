#!/usr/bin/env python3
"""Drives real clients against a running server and checks what they get. Prints a table; exits with 1 if anything failed.

usage: run.py --base http://127.0.0.1:8080 [--api-key KEY] [--limited-key KEY] [--only openai,voicevox,sbv2,sbv2-api]
              [--voice demo] [--speaker demo-low] [--burst 64] [--match WORDS]

The server serves the voice `demo` with its speakers and styles, all four dialects at --base, and may refuse under load.
--limited-key is a key with a small allowance, to see that it ends in RateLimitError. What this server or this machine
cannot show is skipped, with the reason. Some checks are slow clients on purpose; all are bounded.
"""

import argparse
import asyncio
import base64
import concurrent.futures
import contextlib
import io
import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import traceback
import urllib.parse
import zipfile

import numpy
import openai
import requests
import soundfile
import vvclient
import vvclient.errors

HERE = pathlib.Path(__file__).resolve().parent
TEXT = "こんにちは。今日はいい天気ですね。"
LINES = ("今朝は早く目が覚めました。", "窓を開けると涼しい風が入ってきます。", "駅までの道には金木犀が咲いていました。",
         "電車の中で昨日の本を読み終えました。", "昼ご飯は友人と蕎麦を食べました。", "午後の会議は思ったより短く済みました。",
         "帰りに図書館へ寄って地図を借りました。", "夕焼けがとてもきれいな一日でした。")
LONG = "".join(LINES)
MODEL = "gpt-4o-mini-tts"


class Skip(Exception):
    pass


CHECKS = []


def check(dialect, name):
    def keep(function):
        CHECKS.append((dialect, name, function))
        return function
    return keep


class Site:
    """The server under test, by each client."""

    def __init__(self, options):
        self.base, self.key, self.options = options.base.rstrip("/"), options.api_key, options
        self.http = requests.Session()
        if self.key:
            self.http.headers["Authorization"] = f"Bearer {self.key}"

    def openai(self, key=None, kind=openai.OpenAI, **more):
        return kind(base_url=self.base + "/v1", api_key=key or self.key or "none", max_retries=0, timeout=120, **more)

    def speech(self, client=None, **fields):
        fields = {"model": MODEL, "voice": self.options.voice, "input": TEXT, **fields}
        return (client or self.openai()).audio.speech.create(**fields)

    def get(self, route, /, **parameters):
        return self.http.get(self.base + route, params=parameters, timeout=120)

    def post(self, route, body=None, /, **parameters):
        return self.http.post(self.base + route, params=parameters, json=body, timeout=120)

    def voice(self, method="GET", **parameters):
        """SBV2's /voice as samples; noise off, so that two answers can be compared."""
        parameters = {"text": TEXT, "model_name": self.options.voice, "sdp_ratio": 0, "noise": 0, "noisew": 0, **parameters}
        answer = self.http.request(method, self.base + "/voice", params=parameters, timeout=120)
        expect(answer.status_code == 200, f"{answer.status_code} {answer.text[:200]}")
        expect(answer.headers["content-type"] == "audio/wav", answer.headers["content-type"])
        return samples(answer.content)

    def metric(self, name, labels=""):
        """The sum of a metric over its labels, None if there is none."""
        answer = self.http.get(self.base + "/metrics", timeout=10)
        if answer.status_code != 200:
            return None
        lines = [line for line in answer.text.splitlines() if re.match(rf"{name}[ {{]", line) and labels in line]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines) if lines else None

    def idle(self, within=10):
        """Waits until no request but this one is inside; seconds it took, None if that cannot be seen."""
        began = time.perf_counter()
        while time.perf_counter() - began < within:
            inside = self.metric("koemasu_requests_in_flight")
            if inside is None:
                return None
            if inside <= 1:
                return time.perf_counter() - began
            time.sleep(0.05)
        raise AssertionError(f"still busy after {within} s")

    @contextlib.contextmanager
    def voicevox(self):
        """voicevox-client's own object, driven from plain code."""
        loop = asyncio.new_event_loop()

        async def connect():
            client = vvclient.Client(self.base)
            if self.key:
                client.http._session.headers["Authorization"] = f"Bearer {self.key}"
            return client

        client = loop.run_until_complete(connect())
        try:
            yield client, loop.run_until_complete
        finally:
            loop.run_until_complete(client.close())
            loop.close()

    def style(self, speaker=None, name=None):
        """(style id, speaker's uuid), of the first style unless named."""
        speakers = self.get("/speakers").json()
        for each in speakers:
            for style in each["styles"]:
                if (speaker is None or speaker in each["name"]) and (name is None or style["name"] == name):
                    return style["id"], each["speaker_uuid"]
        raise AssertionError(f"no style {name} of {speaker} in {json.dumps(speakers, ensure_ascii=False)[:300]}")

    def query(self, text=TEXT, style=None):
        answer = self.post("/audio_query", text=text, speaker=style or self.style()[0])
        expect(answer.status_code == 200, f"{answer.status_code} {answer.text[:200]}")
        return answer.json()

    def synthesis(self, query, style=None, route="/synthesis"):
        answer = self.post(route, query, speaker=style or self.style()[0])
        expect(answer.status_code == 200, f"{answer.status_code} {answer.text[:200]}")
        return samples(answer.content)


def expect(true, what):
    if not true:
        raise AssertionError(what)


class Samples:
    def __init__(self, data, rate):
        self.data, self.rate = data, rate
        self.channels = 1 if data.ndim == 1 else data.shape[1]
        self.seconds = len(data) / rate
        self.level = float(numpy.sqrt(numpy.mean(numpy.square(data)))) if len(data) else 0.0

    def same(self, other):
        return self.data.shape == other.data.shape and bool(numpy.allclose(self.data, other.data, atol=1e-3))

    def __str__(self):
        return f"{self.seconds:.2f} s, {self.rate} Hz, level {self.level:.3f}"


def samples(data):
    made = Samples(*soundfile.read(io.BytesIO(data), dtype="float32"))
    expect(made.level > 1e-4, f"silence: {made}")
    return made


def plausible(sound, text=TEXT):
    """Japanese is spoken at some 4 to 12 characters a second; a wrong rate or a torn file is far off."""
    per_character = sound.seconds / len(text)
    expect(0.05 < per_character < 0.6, f"{sound} for {len(text)} characters")
    return str(sound)


# --- OpenAI ---------------------------------------------------------------------------------------------------------

@check("openai", "plain create gives a WAV")
def _(site):
    answer = site.speech()
    expect(answer.response.headers["content-type"] == "audio/wav", answer.response.headers["content-type"])
    return plausible(samples(answer.read()))


@check("openai", "every format that is offered decodes, and lasts as long")
def _(site):
    whole = samples(site.speech(response_format="wav").read()).seconds
    seen = []
    for form in ("flac", "opus"):
        try:
            sound = samples(site.speech(response_format=form).read())
        except openai.BadRequestError:
            seen.append(f"{form} not offered")
            continue
        expect(0.6 < sound.seconds / whole < 1.6, f"{form}: {sound.seconds:.2f} s, wav {whole:.2f} s")
        seen.append(f"{form} {sound.seconds:.2f} s at {sound.rate}")
    answer = site.speech(response_format="pcm")
    data = answer.read()
    expect(len(data) % 2 == 0 and data[:4] != b"RIFF", "pcm has whole samples and no header")
    rates = [rate for rate in (24000, 44100, 48000) if 0.75 < len(data) / 2 / rate / whole < 1.35]
    expect(rates, f"pcm of {len(data)} bytes beside {whole:.2f} s of wav")
    return ", ".join([*seen, f"pcm {answer.response.headers['content-type']}, near {rates}"])


@check("openai", "mp3 and aac end in BadRequestError that names response_format")
def _(site):
    for form in ("mp3", "aac"):
        error = refused(site, openai.BadRequestError, response_format=form)
        expect(error.param == "response_format", f"param {error.param}")
    return error.body["message"][:60]


def refused(site, kind, **fields):
    """The client's own exception, with OpenAI's body in it."""
    try:
        site.speech(**fields).read()
    except openai.APIStatusError as error:
        expect(isinstance(error, kind), f"{type(error).__name__} {error.status_code}")
        expect(isinstance(error.body, dict) and {"message", "type", "param", "code"} <= set(error.body), f"body {error.body}")
        return error
    raise AssertionError("no error")


@check("openai", "wrong requests end in BadRequestError")
def _(site):
    seen = {}
    for name, fields in {"empty input": {"input": ""}, "input of 4097": {"input": "あ" * 4097}, "speed 9": {"speed": 9.0},
                         "speed 0.1": {"speed": 0.1}, "format midi": {"response_format": "midi"},
                         "no such voice": {"voice": "nobody"}}.items():
        kinds = (openai.BadRequestError, openai.NotFoundError) if "voice" in name else openai.BadRequestError
        seen[name] = refused(site, kinds, **fields).param
    return ", ".join(f"{name}: {param}" for name, param in seen.items())


@check("openai", "speed changes how long it lasts")
def _(site):
    slow, fast = (samples(site.speech(response_format="wav", speed=speed).read()).seconds for speed in (0.5, 2.0))
    expect(2.0 < slow / fast < 6.5, f"{slow:.2f} s and {fast:.2f} s")
    return f"0.5: {slow:.2f} s, 2.0: {fast:.2f} s"


@check("openai", "voice as an object, a speaker, instructions, own fields")
def _(site):
    voice = site.options.voice
    plausible(samples(site.speech(voice={"id": voice}).read()))
    plausible(samples(site.speech(voice=f"{voice}/{site.options.speaker}").read()))
    plausible(samples(site.speech(instructions="Speak cheerfully.").read()))
    still = {"noise": 0, "noise_w": 0, "sdp_ratio": 0}
    one, other = (samples(site.speech(extra_body={"koemasu": {"style": style, **still}}).read()) for style in ("Neutral", "Sad"))
    expect(not one.same(other), "a style changed nothing")
    return f"Neutral {one.seconds:.2f} s, Sad {other.seconds:.2f} s"


def streamed(site, **fields):
    """[(seconds since the request, bytes)] as the official client hands them out."""
    began = time.perf_counter()
    fields = {"model": MODEL, "voice": site.options.voice, "input": LONG, **fields}
    with site.openai().audio.speech.with_streaming_response.create(**fields) as answer:
        return [(time.perf_counter() - began, chunk) for chunk in answer.iter_bytes()], answer.headers


def judged(pieces):
    first, last = pieces[0][0], pieces[-1][0]
    expect(len(pieces) > 1 and first < 0.7 * last, f"first of {len(pieces)} pieces after {first:.3f} s, last after {last:.3f} s")
    return f"{len(pieces)} pieces, first {first:.3f} s, last {last:.3f} s"


for form in ("pcm", "wav"):
    @check("openai", f"with_streaming_response streams {form}")
    def _(site, form=form):
        pieces, _ = streamed(site, response_format=form, stream_format="audio")
        data = b"".join(chunk for _, chunk in pieces)
        if form == "wav":
            plausible(samples(data), LONG)
            # The header alone is no sound: judge by what comes after it.
            pieces = [(at, chunk) for at, chunk in pieces if len(chunk) > 44]
        return judged(pieces)


@check("openai", "stream_format sse: deltas, then done")
def _(site):
    began, events = time.perf_counter(), []
    fields = {"model": MODEL, "voice": site.options.voice, "input": LONG, "response_format": "pcm", "stream_format": "sse"}
    with site.openai().audio.speech.with_streaming_response.create(**fields) as answer:
        expect(answer.headers["content-type"].split(";")[0] == "text/event-stream", answer.headers["content-type"])
        for line in answer.iter_lines():
            if line.startswith("data:") and "[DONE]" not in line:
                events.append((time.perf_counter() - began, json.loads(line[5:])))
    kinds = [event["type"] for _, event in events]
    expect(kinds[-1] == "speech.audio.done" and set(kinds[:-1]) == {"speech.audio.delta"}, f"{kinds[:3]} … {kinds[-3:]}")
    expect({"input_tokens", "output_tokens", "total_tokens"} <= set(events[-1][1].get("usage", {})), f"usage: {events[-1][1]}")
    sound = b"".join(base64.b64decode(event["audio"], validate=True) for _, event in events[:-1])
    whole = len(streamed(site, response_format="pcm")[0])
    expect(len(sound) > 40000 and len(sound) % 2 == 0 and whole, f"{len(sound)} bytes of pcm")
    return judged([(at, b"") for at, _ in events])


@check("openai", "asynchronous client, eight at once")
def _(site):
    async def all_of_them():
        async with site.openai(kind=openai.AsyncOpenAI) as client:
            speak = lambda line: client.audio.speech.create(model=MODEL, voice=site.options.voice, input=line, response_format="wav")
            return await asyncio.gather(*(speak(line) for line in LINES))

    sounds = [samples(answer.content) for answer in asyncio.run(all_of_them())]
    for sound, line in zip(sounds, LINES):
        plausible(sound, line)
    return f"{sum(sound.seconds for sound in sounds):.1f} s of audio"


@check("openai", "a stream that is closed early leaves the server idle")
def _(site):
    with site.openai().audio.speech.with_streaming_response.create(
            model=MODEL, voice=site.options.voice, input=LONG * 7, response_format="pcm") as answer:
        next(answer.iter_bytes())
    took = site.idle(5)
    if took is None:
        raise Skip("no koemasu_requests_in_flight in /metrics")
    return f"idle after {took:.2f} s"


@check("openai", "a wrong key ends in AuthenticationError")
def _(site):
    if not site.key:
        raise Skip("no --api-key")
    told = ""
    for key in ("wrong", site.key + "x"):
        try:
            site.speech(site.openai(key=key)).read()
        except openai.AuthenticationError as error:
            expect(isinstance(error.body, dict) and "message" in error.body, f"body {error.body}")
            told = error.body["message"]
        else:
            raise AssertionError(f"{key} was let in")
    return told[:60]


@check("openai", "a key's allowance ends in RateLimitError")
def _(site):
    if not site.options.limited_key:
        raise Skip("no --limited-key")
    client = site.openai(key=site.options.limited_key)
    for count in range(300):
        try:
            site.speech(client, input="はい。").read()
        except openai.RateLimitError as error:
            expect("retry-after" in error.response.headers, "no retry-after")
            return f"after {count}, retry-after {error.response.headers['retry-after']}"
    raise AssertionError("never refused in 300 requests")


@check("openai", "under a burst, answers are whole or typed refusals with retry-after")
def _(site):
    count, gate = site.options.burst, threading.Barrier(site.options.burst)
    client = site.openai()

    def speak(index):
        gate.wait(30)
        began = time.perf_counter()
        try:
            samples(site.speech(client, input=f"{index}番。" + LONG, response_format="wav").read())
            return "ok", time.perf_counter() - began
        except (openai.RateLimitError, openai.InternalServerError) as error:
            expect(error.status_code in (429, 503), f"status {error.status_code}")
            expect("retry-after" in error.response.headers, "no retry-after")
            return f"{type(error).__name__} {error.status_code}", time.perf_counter() - began

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        ends = list(pool.map(speak, range(count)))
    seen = {kind: sum(each == kind for each, _ in ends) for kind, _ in ends}
    expect(seen.get("ok"), f"nothing was answered: {seen}")
    slowest = max((took for kind, took in ends if kind != "ok"), default=None)
    return f"{seen}" + (f", slowest refusal {slowest:.2f} s" if slowest else ", nothing refused")


# --- Style-Bert-VITS2 -----------------------------------------------------------------------------------------------

@check("sbv2", "GET and POST, everything in the query")
def _(site):
    one, other = site.voice(), site.voice("POST")
    expect(one.same(other), f"{one} and {other}")
    return plausible(one)


@check("sbv2", "only a text: the first model, the defaults")
def _(site):
    answer = site.get("/voice", text=TEXT)
    expect(answer.status_code == 200 and answer.headers["content-type"] == "audio/wav", f"{answer.status_code} {answer.headers}")
    kind = soundfile.info(io.BytesIO(answer.content)).subtype
    expect(kind == "PCM_16", kind)
    return plausible(samples(answer.content))


@check("sbv2", "the same request twice without noise is the same sound")
def _(site):
    expect(site.voice().same(site.voice()), "it differs")


@check("sbv2", "model, speaker: by name and by number; the name wins")
def _(site):
    info = site.get("/models/info").json()
    number = next(number for number, model in info.items() if site.options.speaker in model["spk2id"])
    speaker = info[number]["spk2id"][site.options.speaker]
    base = site.voice()
    expect(base.same(site.voice(model_name=None, model_id=number)), "model_id")
    expect(base.same(site.voice(model_id=99)), "the name wins over a wrong number")
    by_name, by_number = site.voice(speaker_name=site.options.speaker), site.voice(speaker_id=speaker)
    expect(by_name.same(by_number), "speaker by name and by number")
    expect(not by_name.same(base), "the speaker changed nothing")
    expect(by_name.same(site.voice(speaker_name=site.options.speaker, speaker_id=0)), "the name wins over the number")


@check("sbv2", "style and style_weight (bots send 5)")
def _(site):
    base = site.voice()
    styles = {style: site.voice(style=style) for style in ("Happy", "Sad", "Angry", "Whisper")}
    expect(not any(sound.same(base) for sound in styles.values()), "a style changed nothing")
    expect(not styles["Happy"].same(site.voice(style="Happy", style_weight=0.3)), "style_weight changed nothing")
    site.voice(style="Neutral", style_weight=5)
    return ", ".join(f"{style} {sound.seconds:.2f} s" for style, sound in styles.items())


@check("sbv2", "length: larger is slower")
def _(site):
    fast, slow = site.voice(length=0.7), site.voice(length=1.5)
    expect(1.5 < slow.seconds / fast.seconds < 3, f"{fast} and {slow}")
    return f"0.7: {fast.seconds:.2f} s, 1.5: {slow.seconds:.2f} s"


@check("sbv2", "sdp_ratio, noise, noisew are heard")
def _(site):
    base, changed = site.voice(), []
    for name in ("sdp_ratio", "noise", "noisew"):
        # noisew moves only what the stochastic durations move.
        other = site.voice(**{"sdp_ratio": 1 if name == "noisew" else 0, name: 0.8})
        if not base.same(other):
            changed.append(name)
    expect({"sdp_ratio", "noise"} & set(changed), "none of them changed anything")
    return "heard: " + ", ".join(changed)


@check("sbv2", "auto_split and split_interval")
def _(site):
    text = "一行目です。\n二行目です。\n三行目です。"
    short, long = (site.voice(text=text, auto_split="true", split_interval=interval).seconds for interval in (0, 1))
    expect(1.7 < long - short < 2.3, f"two pauses of 1 s make {long - short:.2f} s")
    together = site.voice(text=text, auto_split="false")
    return f"0: {short:.2f} s, 1: {long:.2f} s, not split: {together.seconds:.2f} s"


@check("sbv2", "booleans as FastAPI reads them")
def _(site):
    for value in ("true", "True", "1", "on", "yes", "false", "False", "0", "off", "no"):
        site.voice(auto_split=value)


@check("sbv2", "assist_text; empty is none")
def _(site):
    base = site.voice()
    expect(base.same(site.voice(assist_text="")), "an empty one changed the sound")
    moved = not base.same(site.voice(assist_text="とても悲しい出来事でした。", assist_text_weight=1))
    return "heard" if moved else "not heard: this voice may have no BERT"


@check("sbv2", "encoding decodes the text once more")
def _(site):
    base = site.voice()
    for name in ("utf-8", "shift_jis", "euc_jp"):
        expect(base.same(site.voice(text=urllib.parse.quote(TEXT.encode(name)), encoding=name)), name)


@check("sbv2", "language JP; others as the voice has them")
def _(site):
    expect(site.voice().same(site.voice(language="JP")), "JP is the default")
    expect(site.get("/voice", text=TEXT, language="XX").status_code == 422, "XX")


@check("sbv2", "parameters of other servers are passed over")
def _(site):
    site.voice(auto_translate="True", emotion="", post_filter="false")


@check("sbv2", "wrong parameters: 422 with detail as FastAPI has it")
def _(site):
    for wrong in ({"text": None}, {"text": ""}, {"model_id": 99}, {"model_name": "nobody"}, {"speaker_id": 99},
                  {"speaker_name": "nobody"}, {"style": "Nonesuch"}, {"language": "XX"}, {"noise": "much"},
                  {"auto_split": "perhaps"}):
        answer = site.get("/voice", **{"text": TEXT, **wrong})
        expect(answer.status_code == 422, f"{wrong}: {answer.status_code}")
        detail = answer.json()["detail"]
        expect(detail and {"type", "msg", "loc"} <= set(detail[0]), f"{wrong}: {detail}")
        expect(detail[0]["loc"] == ["query", next(iter(wrong))], f"{wrong}: {detail[0]['loc']}")


@check("sbv2", "a file on the server is not read for a caller")
def _(site):
    answer = site.get("/voice", text="はい。", reference_audio_path="/etc/hostname")
    expect(answer.status_code in (200, 400, 403, 422, 501), answer.status_code)
    expect("hostname" not in answer.text[:300], answer.text[:300])
    expect(site.get("/tools/get_audio", path="/etc/hostname").status_code >= 400, "/tools/get_audio")
    return f"{answer.status_code}"


@check("sbv2", "/models/info as bots read it, /models/refresh, /status")
def _(site):
    info = site.get("/models/info").json()
    expect(list(info) == [str(number) for number in range(len(info))], f"keys {list(info)}")
    model = next(model for model in info.values() if site.options.speaker in model["spk2id"])
    # A bot takes the second part of config_path for the model's name.
    expect(model["config_path"].replace("\\", "/").split("/")[1] == site.options.voice, model["config_path"])
    expect({"Neutral", "Happy"} <= set(model["style2id"]), model["style2id"])
    expect(model["id2spk"] == {str(number): name for name, number in model["spk2id"].items()}, "id2spk turns spk2id round")
    refreshed = site.post("/models/refresh")
    expect(refreshed.status_code == 200 and refreshed.json().keys() == info.keys(), refreshed.text[:200])
    status = site.get("/status").json()
    expect({"devices", "cpu_percent", "memory_total", "gpu"} <= set(status), status)
    return ", ".join(model["spk2id"])


@check("sbv2", "/g2p: kana and tones")
def _(site):
    pairs = site.post("/g2p", text="こんにちは").json()
    expect(pairs and all(isinstance(kana, str) and tone in (0, 1) for kana, tone in pairs), pairs)
    return "".join(kana for kana, _ in pairs)


# --- VOICEVOX -------------------------------------------------------------------------------------------------------

@check("voicevox", "voicevox-client: versions, initialize, query, synthesis")
def _(site):
    style, _ = site.style()
    with site.voicevox() as (client, run):
        version = run(client.fetch_engine_version())
        expect(isinstance(version, str) and re.match(r"\d+\.\d+", version), repr(version))
        expect(isinstance(run(client.fetch_core_versions()), list), "core versions")
        run(client.init_speaker(style))
        run(client.init_speaker(style, skip_reinit=True))
        expect(run(client.is_inited_speaker(style)) is True, "initialized")
        query = run(client.create_audio_query(TEXT, style))
        expect(isinstance(query.data, dict), "the content-type must be application/json, bare, for this client to parse it")
        sound = samples(run(query.synthesis(style)))
        query = run(client.create_audio_query(TEXT, style, enable_katakana_english=False))
        try:
            run(client.create_audio_query(TEXT, 4))
        except (vvclient.errors.NotFoundError, vvclient.errors.HTTPException) as error:
            unknown = f"{type(error).__name__} {error.status_code}"
        else:
            raise AssertionError("an unknown style was taken")
    return f"{version}, {plausible(sound)}, unknown style: {unknown}"


@check("voicevox", "voicevox-py: a query without content-type")
def _(site):
    if site.key:
        raise Skip("this client sends no key")
    try:
        from src.voicevox.Synthesizer import Client
    except ImportError:
        raise Skip("voicevox-py is not installed") from None
    import tempfile
    import warnings
    place, style = urllib.parse.urlsplit(site.base), site.style()[0]
    with tempfile.NamedTemporaryFile(suffix=".wav") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Client(host=place.hostname, port=place.port) as client:
            client.generate(TEXT, style, file.name)
        return plausible(samples(open(file.name, "rb").read()))


@check("voicevox", "speakers, speaker_info, manifest")
def _(site):
    answer = site.get("/speakers")
    expect(answer.headers["content-type"] == "application/json", answer.headers["content-type"])
    styles = [style for speaker in answer.json() for style in speaker["styles"]]
    numbers = [style["id"] for style in styles]
    expect(len(set(numbers)) == len(numbers) >= 10, f"{len(numbers)} styles, {len(set(numbers))} numbers")
    expect(all(isinstance(number, int) and -2**31 <= number < 2**31 for number in numbers), "numbers fit int32")
    for speaker in answer.json():
        info = site.get("/speaker_info", speaker_uuid=speaker["speaker_uuid"]).json()
        expect({"policy", "portrait", "style_infos"} <= set(info), list(info))
        expect({style["id"] for style in info["style_infos"]} == {style["id"] for style in speaker["styles"]}, "style_infos")
    expect(site.get("/speaker_info", speaker_uuid="00000000-0000-0000-0000-000000000000").status_code == 404, "unknown speaker")
    manifest = site.get("/engine_manifest").json()
    expect({"name", "uuid", "default_sampling_rate", "supported_features"} <= set(manifest), list(manifest))
    expect({"cpu", "cuda", "dml"} <= set(site.get("/supported_devices").json()), "devices")
    return f"{len(styles)} styles, {manifest['name']}"


@check("voicevox", "an audio query has every field, and moras that spell the text")
def _(site):
    query = site.query("こんにちは、世界。")
    names = {"accent_phrases", "speedScale", "pitchScale", "intonationScale", "volumeScale", "prePhonemeLength",
             "postPhonemeLength", "pauseLength", "pauseLengthScale", "outputSamplingRate", "outputStereo", "kana"}
    expect(names <= set(query), f"missing: {names - set(query)}")
    for phrase in query["accent_phrases"]:
        expect({"moras", "accent", "pause_mora", "is_interrogative"} <= set(phrase), list(phrase))
        expect(1 <= phrase["accent"] <= len(phrase["moras"]), f"accent {phrase['accent']} of {len(phrase['moras'])}")
        for mora in phrase["moras"]:
            expect({"text", "consonant", "consonant_length", "vowel", "vowel_length", "pitch"} <= set(mora), list(mora))
    spelt = "".join(mora["text"] for phrase in query["accent_phrases"] for mora in phrase["moras"])
    expect("コンニチワ" in spelt and "セカイ" in spelt, spelt)
    return spelt


@check("voicevox", "speakers → query → edited speed, volume, silence, rate, stereo → synthesis")
def _(site):
    query = site.query()
    base = site.synthesis(query)
    fast = site.synthesis({**query, "speedScale": 2.0})
    expect(1.4 < base.seconds / fast.seconds < 2.6, f"speed 2: {base.seconds:.2f} → {fast.seconds:.2f} s")
    quiet = site.synthesis({**query, "volumeScale": 0.25})
    expect(2.5 < base.level / quiet.level < 6, f"volume 0.25: {base.level:.3f} → {quiet.level:.3f}")
    longer = site.synthesis({**query, "prePhonemeLength": 1.1, "postPhonemeLength": 0.6})
    expect(1.0 < longer.seconds - base.seconds < 2.0, f"1.5 s of silence: {longer.seconds - base.seconds:.2f} s")
    other = site.synthesis({**query, "outputSamplingRate": 24000, "outputStereo": True})
    expect(other.rate == 24000 and other.channels == 2, f"{other.rate} Hz, {other.channels} channels")
    expect(abs(other.seconds - base.seconds) < 0.35 * base.seconds, f"{other} beside {base}")
    return f"{plausible(base)}; speed 2: {fast.seconds:.2f} s"


@check("voicevox", "an edited accent and edited moras are heard")
def _(site):
    query = {**site.query("橋と箸の話です。"), "kana": None}
    base = site.synthesis(query)
    phrases = json.loads(json.dumps(query["accent_phrases"]))
    phrase = max(phrases, key=lambda each: len(each["moras"]))
    phrase["accent"] = 1 if phrase["accent"] != 1 else len(phrase["moras"])
    accented = site.synthesis({**query, "accent_phrases": phrases})
    expect(not base.same(accented), "the accent changed nothing")
    cut = site.synthesis({**query, "accent_phrases": phrases[:1]})
    expect(cut.seconds < base.seconds, f"one phrase {cut}, all {base}")
    return f"{base.seconds:.2f} s, one phrase {cut.seconds:.2f} s"


@check("voicevox", "styles differ")
def _(site):
    speakers = site.get("/speakers").json()
    query = site.query("そうですか。")
    levels = [site.synthesis(query, style["id"]) for style in speakers[0]["styles"]]
    expect(not all(levels[0].same(each) for each in levels[1:]), "all styles sound the same")
    return ", ".join(f"{style['name']} {sound.seconds:.2f} s" for style, sound in zip(speakers[0]["styles"], levels))


@check("voicevox", "multi_synthesis: a zip of WAVs; none is 422")
def _(site):
    style = site.style()[0]
    queries = [site.query(line) for line in LINES[:3]]
    answer = site.post("/multi_synthesis", queries, speaker=style)
    expect(answer.status_code == 200 and answer.headers["content-type"] == "application/zip", f"{answer.status_code} {answer.headers}")
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    expect(archive.namelist() == ["001.wav", "002.wav", "003.wav"], archive.namelist())
    for name, line in zip(archive.namelist(), LINES):
        plausible(samples(archive.read(name)), line)
    expect(site.post("/multi_synthesis", [], speaker=style).status_code == 422, "none at once")
    return f"{len(answer.content)} bytes"


@check("voicevox", "connect_waves")
def _(site):
    style, parts = site.style()[0], []
    for line in LINES[:2]:
        parts.append(site.post("/synthesis", site.query(line), speaker=style).content)
    joined = site.post("/connect_waves", [base64.b64encode(part).decode() for part in parts])
    expect(joined.status_code == 200, joined.text[:200])
    total, sound = sum(samples(part).seconds for part in parts), samples(joined.content)
    expect(abs(sound.seconds - total) < 0.05, f"{sound.seconds:.2f} of {total:.2f} s")
    expect(site.post("/connect_waves", ["AAAA"]).status_code == 422, "waves that are none")


@check("voicevox", "accent phrases, from text and from kana; mora data; validate_kana")
def _(site):
    style = site.style()[0]
    phrases = site.post("/accent_phrases", text=TEXT, speaker=style).json()
    kana = site.post("/accent_phrases", text="コンニチワ'", speaker=style, is_kana="true").json()
    expect(kana[0]["accent"] == 5 and len(kana[0]["moras"]) == 5, kana)
    bad = site.post("/accent_phrases", text="コンニチハ", speaker=style, is_kana="true")
    expect(bad.status_code == 400, bad.status_code)
    for route in ("/mora_data", "/mora_length", "/mora_pitch"):
        answer = site.post(route, phrases, speaker=style)
        expect(answer.status_code == 200 and len(answer.json()) == len(phrases), f"{route}: {answer.status_code}")
    expect(site.post("/validate_kana", text="コンニチワ'").json() is True, "kana is right")
    expect(site.post("/validate_kana", text="コンニチハ").status_code == 400, "kana is wrong")
    return f"{len(phrases)} phrases; bad kana: {bad.text[:60]}"


@check("voicevox", "presets: added, used, changed, deleted")
def _(site):
    style, uuid = site.style()
    preset = {"id": 987654, "name": "検査", "speaker_uuid": uuid, "style_id": style, "speedScale": 1.7, "pitchScale": 0.0,
              "intonationScale": 1.0, "volumeScale": 1.0, "prePhonemeLength": 0.1, "postPhonemeLength": 0.1}
    added = site.post("/add_preset", preset)
    expect(added.status_code == 200, added.text[:200])
    number = added.json()
    try:
        expect(any(each["id"] == number for each in site.get("/presets").json()), "not in /presets")
        query = site.post("/audio_query_from_preset", text=TEXT, preset_id=number).json()
        expect(query["speedScale"] == 1.7, query["speedScale"])
        expect(site.post("/update_preset", {**preset, "id": number, "speedScale": 0.7}).json() == number, "changed")
        query = site.post("/audio_query_from_preset", text=TEXT, preset_id=number).json()
        expect(query["speedScale"] == 0.7, query["speedScale"])
    finally:
        gone = site.post("/delete_preset", id=number)
    expect(gone.status_code == 204, gone.status_code)
    expect(site.post("/audio_query_from_preset", text=TEXT, preset_id=number).status_code == 422, "it is gone")


@check("voicevox", "user dictionary: a word changes the reading, and is deleted")
def _(site):
    spelt = lambda: "".join(mora["text"] for phrase in site.query("音枡です。")["accent_phrases"] for mora in phrase["moras"])
    before = spelt()
    answer = site.post("/user_dict_word", surface="音枡", pronunciation="コエマス", accent_type=3, priority=9)
    expect(answer.status_code == 200, answer.text[:200])
    word = answer.json()
    try:
        expect(word in site.get("/user_dict").json(), "not in /user_dict")
        expect(until(lambda: "コエマス" in spelt()), f"read {spelt()}")
        changed = site.http.put(f"{site.base}/user_dict_word/{word}", params={
            "surface": "音枡", "pronunciation": "セイショウ", "accent_type": 0, "word_type": "PROPER_NOUN", "priority": 9})
        expect(changed.status_code == 204, changed.text[:200])
        expect(until(lambda: "セイショ" in spelt()), f"read {spelt()}")
    finally:
        gone = site.http.delete(f"{site.base}/user_dict_word/{word}")
    expect(gone.status_code == 204, gone.status_code)
    expect(until(lambda: spelt() == before), f"read {spelt()}, before {before}")
    expect(site.post("/user_dict_word", surface="x", pronunciation="x", accent_type=0).status_code == 422, "bad kana")
    return f"{before} → コエマス → セイショウ"


def until(true, within=5):
    """A dictionary may take a moment to be obeyed."""
    end = time.perf_counter() + within
    while not true():
        if time.perf_counter() > end:
            return False
        time.sleep(0.1)
    return True


@check("voicevox", "cancellable_synthesis stops when the connection drops")
def _(site):
    style = site.style()[0]
    query = site.query(LONG * 4)
    runs = lambda: site.metric("koemasu_session_run_seconds_sum")
    if runs() is None:
        raise Skip("no koemasu_session_run_seconds in /metrics")
    place, body = urllib.parse.urlsplit(site.base), json.dumps(query).encode()
    head = (f"POST /cancellable_synthesis?speaker={style} HTTP/1.1\r\nhost: {place.netloc}\r\ncontent-type: application/json\r\n"
            + (f"authorization: Bearer {site.key}\r\n" if site.key else "") + f"content-length: {len(body)}\r\n\r\n")
    site.idle()
    before = runs()
    with socket.create_connection((place.hostname, place.port or 80)) as connection:
        connection.sendall(head.encode() + body)
        received, end = 0, time.perf_counter() + 0.1
        while (left := end - time.perf_counter()) > 0:
            connection.settimeout(left)
            with contextlib.suppress(TimeoutError):
                received += len(connection.recv(65536))
    idle = site.idle()
    dropped = runs() - before
    before = runs()
    whole = site.synthesis(query, style, "/cancellable_synthesis")
    full = runs() - before
    if received >= whole.data.size * 2:
        raise Skip("it was answered before the connection could drop")
    expect(dropped < 0.7 * full, f"{dropped:.2f} of {full:.2f} s were computed after the drop")
    return f"{dropped:.2f} of {full:.2f} s computed, idle {idle:.2f} s after; whole: {whole.seconds:.1f} s"


@check("voicevox", "wrong requests: 422 with detail")
def _(site):
    style, query = site.style()[0], site.query("はい。")
    phrase = query["accent_phrases"][0]
    wrong = {"no text": site.post("/audio_query", speaker=style), "no style": site.post("/audio_query", text=TEXT),
             "no phrases": site.post("/synthesis", {"speedScale": 1.0}, speaker=style),
             "accent 0": site.post("/synthesis", {**query, "accent_phrases": [{**phrase, "accent": 0}]}, speaker=style),
             "speed 0": site.post("/synthesis", {**query, "speedScale": 0}, speaker=style),
             "rate 0": site.post("/synthesis", {**query, "outputSamplingRate": 0}, speaker=style)}
    for name, answer in wrong.items():
        expect(answer.status_code == 422 and "detail" in answer.json(), f"{name}: {answer.status_code} {answer.text[:100]}")
    unknown = site.post("/synthesis", query, speaker=4)
    expect(unknown.status_code in (404, 422), f"unknown style: {unknown.status_code}")
    return f"unknown style: {unknown.status_code}"


@check("voicevox", "a page of this machine may ask (CORS)")
def _(site):
    answer = site.http.options(site.base + "/synthesis", headers={
        "Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"})
    allowed = answer.headers.get("access-control-allow-origin")
    if allowed is None:
        raise Skip(f"not allowed here ({answer.status_code})")
    expect(answer.status_code in (200, 204) and allowed in ("*", "http://localhost:3000"), f"{answer.status_code} {allowed}")
    return allowed


@check("voicevox", "the clients in JavaScript")
def _(site):
    if site.key:
        raise Skip("these clients send no key")
    if not (shutil.which("node") and (HERE / "node_modules").is_dir()):
        raise Skip("npm install --no-package-lock --prefix tests/clients")
    style, uuid = site.style()
    done = subprocess.run(["node", HERE / "clients.mjs", site.base, str(style), uuid], capture_output=True, text=True, timeout=120)
    for word, entry in site.get("/user_dict").json().items():
        if entry["surface"] == "里志":
            site.http.delete(f"{site.base}/user_dict_word/{word}")
    expect(done.returncode == 0, done.stderr[-300:])


# --- sbv2-api -------------------------------------------------------------------------------------------------------

@check("sbv2-api", "models, synthesize")
def _(site):
    models = site.get("/models").json()
    expect(site.options.voice in models and all(isinstance(name, str) for name in models), models)
    answer = site.post("/synthesize", {"text": TEXT, "ident": site.options.voice})
    expect(answer.status_code == 200 and answer.headers["content-type"] == "audio/wav", f"{answer.status_code} {answer.text[:200]}")
    return plausible(samples(answer.content))


@check("sbv2-api", "every field is obeyed")
def _(site):
    def speak(**fields):
        answer = site.post("/synthesize", {"text": TEXT, "ident": site.options.voice, **fields})
        expect(answer.status_code == 200, answer.text[:200])
        return samples(answer.content)

    fast, slow = speak(length_scale=0.7), speak(length_scale=1.5)
    expect(1.5 < slow.seconds / fast.seconds < 3, f"{fast} and {slow}")
    for fields in ({"sdp_ratio": 1}, {"style_id": 2}, {"speaker_id": 1}, {"sdp_ratio": 0.5, "style_id": 1, "speaker_id": 1}):
        plausible(speak(**fields))
    return f"0.7: {fast.seconds:.2f} s, 1.5: {slow.seconds:.2f} s"


@check("sbv2-api", "wrong requests are refused")
def _(site):
    seen = {}
    for name, body in {"no ident": {"text": TEXT}, "no text": {"ident": site.options.voice},
                       "unknown": {"text": TEXT, "ident": "nobody"}}.items():
        answer = site.post("/synthesize", body)
        expect(400 <= answer.status_code < 600 and answer.text, f"{name}: {answer.status_code}")
        seen[name] = answer.status_code
    return str(seen)


# --- the run --------------------------------------------------------------------------------------------------------

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--base", required=True)
    add("--api-key")
    add("--limited-key")
    add("--only", default="openai,sbv2,voicevox,sbv2-api")
    add("--match", default="", help="only checks whose name has these words")
    add("--voice", default="demo")
    add("--speaker", default="demo-low", help="another speaker of the voice")
    add("--burst", type=int, default=64, help="requests at once that may be refused")
    add("--trace", action="store_true", help="where a check failed")
    options = parser.parse_args()
    if urllib.parse.urlsplit(options.base).hostname not in ("127.0.0.1", "localhost", "::1"):
        parser.error("this puts load on a server of this machine only")

    site, ends = Site(options), {"ok": 0, "FAILED": 0, "skipped": 0}
    print(f"{'':8} {'':10} {'check':72} {'s':>6}  what was seen")
    for dialect, name, function in CHECKS:
        if dialect not in options.only.split(",") or options.match not in name:
            continue
        began = time.perf_counter()
        try:
            end, seen = "ok", function(site) or ""
        except Skip as reason:
            end, seen = "skipped", reason
        except Exception as error:
            end, seen = "FAILED", f"{type(error).__name__}: {error}" if not isinstance(error, AssertionError) else error
            if options.trace:
                traceback.print_exc()
        ends[end] += 1
        print(f"{end:8} {dialect:10} {name:72} {time.perf_counter() - began:6.2f}  {str(seen)[:240]}", flush=True)
    print(", ".join(f"{count} {end}" for end, count in ends.items()))
    sys.exit(1 if ends["FAILED"] or not ends["ok"] else 0)


if __name__ == "__main__":
    main()
