#!/usr/bin/env python3
"""Records what real clients send, as cases that the tests replay against a real server.

usage: record.py [FOLDER]      (writes openai.json, voicevox.json, sbv2.json, sbv2-api.json; default tests/cases/clients)

Clients are driven against a tiny server on loopback that answers plausibly and notes every request as it came: method,
path with query, the headers that change an answer, the body. `client` names who sent it. Where a dialect has no client
library, curl, requests, aiohttp and fetch send what the dialect's documentation and its well-known callers send.

A case is {name, client, method, path, headers, body, body_base64 (if not text), expect: {status, content_type}, note}. `expect`
is what the dialect's own server answers with its optional features on; content_type is the media type as the whole header
has it (two clients compare it so), null where there is no body or it does not matter. Where our answer is meant to be
another, a `note` says why. No mp3 and no aac, so an absent response_format gives wav, and asking for them gives 400.

Numbers and names of one server are placeholders, in paths and bodies:
  {style_id} {speaker_uuid}   of the voice `demo`, from /speakers
  {audio_query}               the last answer of /audio_query (also in a list)
  {accent_phrases}            the last answer of /accent_phrases
  {word_uuid} {model_uuid}    the last answer of POST /user_dict_word; a key of /aivm_models
Cases stand in the order in which they were sent, and some need the one before (a preset, a word). A request that the same
client sent before is no case of its own, so streaming and plain reading of an answer are one.
"""

import asyncio
import base64
import contextlib
import http.server
import importlib
import importlib.metadata
import io
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import types
import urllib.parse
import wave
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
CASES = HERE.parent / "cases/clients"
TEXT = "こんにちは。今日はいい天気ですね。"

STYLE_ID = 888753760
SPEAKER_UUID = "e756b8e4-b606-4e15-99b1-3f9c6a1b2317"
MODEL_UUID = "a59cb814-0083-4369-8542-f51a29e72af7"
WORD_UUID = "0d57e34c-3b0d-4a6f-8d37-50f1a2a3f8c1"
PRESET_ID = 1001

# Everything else (host, lengths of bodies, versions of the interpreter) differs from run to run and changes no answer.
HEADERS = ("accept accept-encoding access-control-request-headers access-control-request-method authorization "
           "content-type expect origin transfer-encoding user-agent").split()


# --- the stub -------------------------------------------------------------------------------------------------------

def sound():
    made = io.BytesIO()
    with wave.open(made, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(44100)
        out.writeframes(bytes(8820))
    return made.getvalue()


def mora(text, consonant, vowel):
    return {"text": text, "consonant": consonant, "consonant_length": 0.0 if consonant else None, "vowel": vowel,
            "vowel_length": 0.0, "pitch": 0.0}


ACCENT_PHRASES = [{"moras": [mora("コ", "k", "o"), mora("ン", None, "N"), mora("ニ", "n", "i"), mora("チ", "ch", "i"),
                             mora("ワ", "w", "a")],
                   "accent": 5, "pause_mora": None, "is_interrogative": False}]
AUDIO_QUERY = {"accent_phrases": ACCENT_PHRASES, "speedScale": 1.0, "intonationScale": 1.0, "tempoDynamicsScale": 1.0,
               "pitchScale": 0.0, "volumeScale": 1.0, "prePhonemeLength": 0.1, "postPhonemeLength": 0.1,
               "pauseLength": None, "pauseLengthScale": 1.0, "outputSamplingRate": 44100, "outputStereo": False,
               "kana": "こんにちは"}
SPEAKERS = [{"name": "demo", "speaker_uuid": SPEAKER_UUID, "version": "1.0.0",
             "styles": [{"name": "Neutral", "id": STYLE_ID, "type": "talk"}],
             "supported_features": {"permitted_synthesis_morphing": "NOTHING"}}]
PRESET = {"id": PRESET_ID, "name": "速い", "speaker_uuid": SPEAKER_UUID, "style_id": STYLE_ID, "speedScale": 1.2,
          "pitchScale": 0.0, "intonationScale": 1.0, "volumeScale": 1.0, "prePhonemeLength": 0.1, "postPhonemeLength": 0.1,
          "pauseLength": None, "pauseLengthScale": 1.0}
MODELS_INFO = {"0": {"config_path": "model_assets/demo/config.json", "model_path": "model_assets/demo/demo.onnx",
                     "device": "cpu", "spk2id": {"demo": 0, "demo-low": 1}, "id2spk": {"0": "demo", "1": "demo-low"},
                     "style2id": {"Neutral": 0, "Happy": 1, "Sad": 2, "Angry": 3, "Whisper": 4}}}
DICTIONARY = {WORD_UUID: {"surface": "Ｋｏｅｍａｓｕ", "priority": 5, "context_id": 1348, "part_of_speech": "名詞",
                          "part_of_speech_detail_1": "固有名詞", "part_of_speech_detail_2": "一般",
                          "part_of_speech_detail_3": "*", "inflectional_type": "*", "inflectional_form": "*", "stem": "*",
                          "yomi": "コエマス", "pronunciation": "コエマス", "accent_type": 3, "mora_count": 4,
                          "accent_associative_rule": "*"}}


def archive():
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as out:
        out.writestr("001.wav", sound())
        out.writestr("002.wav", sound())
    return made.getvalue()


def events():
    chunk = base64.b64encode(sound()).decode()
    parts = [{"type": "speech.audio.delta", "audio": chunk},
             {"type": "speech.audio.done", "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}}]
    return "".join(f"data: {json.dumps(part)}\n\n" for part in parts).encode()


JSON, WAV = "application/json", "audio/wav"
FORMATS = {None: WAV, "wav": WAV, "pcm": "audio/pcm", "flac": "audio/flac", "opus": "audio/ogg; codecs=opus"}

# Why our answer is another than OpenAI's.
NOTES = {"opus": "Opus comes in Ogg, whose media type players know; audio/opus is that of bare packets in RTP.",
         "mp3": "No encoder is built in unless the operator asks for it: the only good one is LGPL.",
         "aac": "No free encoder; opus is as small.",
         "content-type": "OpenAI gives 400. What is JSON is taken as JSON, whatever it is called."}

# route → (status, content type, body)
ROUTES = {
    ("POST", "/audio_query"): (200, JSON, AUDIO_QUERY),
    ("POST", "/audio_query_from_preset"): (200, JSON, AUDIO_QUERY),
    ("POST", "/accent_phrases"): (200, JSON, ACCENT_PHRASES),
    ("POST", "/mora_data"): (200, JSON, ACCENT_PHRASES),
    ("POST", "/mora_length"): (200, JSON, ACCENT_PHRASES),
    ("POST", "/mora_pitch"): (200, JSON, ACCENT_PHRASES),
    ("POST", "/synthesis"): (200, WAV, sound()),
    ("POST", "/cancellable_synthesis"): (200, WAV, sound()),
    ("POST", "/streaming_synthesis"): (200, WAV, sound()),
    ("POST", "/multi_synthesis"): (200, "application/zip", archive()),
    ("POST", "/connect_waves"): (200, WAV, sound()),
    ("POST", "/validate_kana"): (200, JSON, True),
    ("POST", "/initialize_speaker"): (204, None, None),
    ("GET", "/is_initialized_speaker"): (200, JSON, True),
    ("GET", "/speakers"): (200, JSON, SPEAKERS),
    ("GET", "/speaker_info"): (200, JSON, {"policy": "", "portrait": "", "style_infos": []}),
    ("GET", "/singers"): (200, JSON, []),
    ("GET", "/presets"): (200, JSON, [PRESET]),
    ("POST", "/add_preset"): (200, JSON, PRESET_ID),
    ("POST", "/update_preset"): (200, JSON, PRESET_ID),
    ("POST", "/delete_preset"): (204, None, None),
    ("GET", "/user_dict"): (200, JSON, DICTIONARY),
    ("POST", "/user_dict_word"): (200, JSON, WORD_UUID),
    ("PUT", "/user_dict_word"): (204, None, None),
    ("DELETE", "/user_dict_word"): (204, None, None),
    ("POST", "/import_user_dict"): (204, None, None),
    ("POST", "/morphable_targets"): (200, JSON, [{str(STYLE_ID): {"is_morphable": False}}]),
    ("GET", "/version"): (200, JSON, "0.25.0"),
    ("GET", "/core_versions"): (200, JSON, ["0.16.0"]),
    ("GET", "/supported_devices"): (200, JSON, {"cpu": True, "cuda": False, "dml": False}),
    ("GET", "/engine_manifest"): (200, JSON, {"manifest_version": "0.13.1", "name": "stub", "default_sampling_rate": 44100}),
    ("GET", "/aivm_models"): (200, JSON, {MODEL_UUID: {"is_loaded": True}}),
    ("GET", "/voice"): (200, WAV, sound()),
    ("POST", "/voice"): (200, WAV, sound()),
    ("GET", "/models/info"): (200, JSON, MODELS_INFO),
    ("POST", "/models/refresh"): (200, JSON, MODELS_INFO),
    ("GET", "/status"): (200, JSON, {"devices": ["cpu"], "cpu_percent": 1.0, "memory_total": 1, "memory_available": 1,
                                     "memory_used": 1, "memory_percent": 1.0, "gpu": []}),
    ("POST", "/g2p"): (200, JSON, [["コ", 0], ["ン", 1]]),
    ("GET", "/models"): (200, JSON, ["demo"]),
    ("POST", "/synthesize"): (200, WAV, sound()),
}

REFUSALS = {"openai": {"error": {"message": "refused", "type": "invalid_request_error", "param": None, "code": None}},
            "sbv2": {"detail": [{"type": "invalid_params", "msg": "refused", "loc": ["query", "text"]}]},
            "voicevox": {"detail": "refused"}, "sbv2-api": "refused"}


class Recorder:
    """The stub's memory: which case is being driven, and what was sent."""

    def __init__(self):
        self.cases = {"openai": [], "voicevox": [], "sbv2": [], "sbv2-api": []}
        self.now = None
        self.lock = threading.Lock()

    @contextlib.contextmanager
    def case(self, dialect, name, client, status=None, content_type=None, note=None):
        self.begin(dialect, name, client, status, content_type, note)
        before = len(self.cases[dialect])
        with contextlib.suppress(Refused):
            yield
        if len(self.cases[dialect]) == before and not self.now["sent"]:
            raise SystemExit(f"{client} sent nothing for: {name}")
        self.now = None

    def begin(self, dialect, name, client, status=None, content_type=None, note=None):
        self.now = {"dialect": dialect, "name": name, "client": client, "status": status, "content_type": content_type,
                    "note": note, "sent": 0}

    def answer(self, method, target, headers, body, base):
        """Notes a request; gives the answer as (status, content type, bytes)."""
        with self.lock:
            now = self.now
            now["sent"] += 1
            status, content_type, answer = plausible(method, target, body)
            if now["status"] and now["status"] != status:
                status, content_type, answer = now["status"], now["content_type"], REFUSALS[now["dialect"]]
            self.note(now, method, target, headers, body, base, {"status": status, "content_type": content_type})
        if answer is None:
            return status, None, b""
        data = answer if isinstance(answer, bytes) else json.dumps(answer, ensure_ascii=False).encode()
        return status, content_type, data

    def note(self, now, method, target, headers, body, base, expect):
        cases = self.cases[now["dialect"]]
        kept = {name: value for name, value in sorted((key.lower(), value) for key, value in headers) if name in HEADERS}
        case = {"name": now["name"], "client": now["client"], "method": method, "path": placeholders(target),
                "headers": kept, **recorded_body(body, base), "expect": expect}
        if now["note"]:
            case["note"] = now["note"]
        same = [each for each in cases if {**each, "name": ""} == {**case, "name": ""}]
        if same:
            return
        taken = [each["name"] for each in cases if each["name"].split(": ")[0] == now["name"] and each["client"] == now["client"]]
        if taken:
            case["name"] += ": " + target.split("?")[0]
        cases.append(case)


class Refused(Exception):
    """A client raised its own error for a case whose answer is a refusal."""


def plausible(method, target, body):
    path = urllib.parse.urlsplit(target).path
    if method == "OPTIONS":
        return 200, None, None
    if path == "/v1/audio/speech":
        wanted = json.loads(body or b"{}")
        if wanted.get("stream_format") == "sse":
            return 200, "text/event-stream", events()
        form = wanted.get("response_format")
        if form not in FORMATS:
            return 400, JSON, REFUSALS["openai"]
        return 200, FORMATS[form], sound()
    if path.startswith("/user_dict_word/"):
        path = "/user_dict_word"
    if path.startswith("/aivm_models/"):
        return 200, JSON, {"is_loaded": True}
    return ROUTES.get((method, path), (404, JSON, {"detail": "Not Found"}))


def placeholders(text):
    for value, name in ((str(STYLE_ID), "{style_id}"), (SPEAKER_UUID, "{speaker_uuid}"), (WORD_UUID, "{word_uuid}"),
                        (MODEL_UUID, "{model_uuid}")):
        text = text.replace(value, name)
    return text


def recorded_body(body, base):
    if not body:
        return {"body": None}
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return {"body": None, "body_base64": base64.b64encode(body).decode()}
    with contextlib.suppress(json.JSONDecodeError):
        value = json.loads(text)
        if value == AUDIO_QUERY:
            return {"body": "{audio_query}"}
        if value == ACCENT_PHRASES:
            return {"body": "{accent_phrases}"}
        if isinstance(value, list) and value and all(each == AUDIO_QUERY for each in value):
            return {"body": "[" + ",".join(["{audio_query}"] * len(value)) + "]"}
    return {"body": placeholders(text.replace(base, "http://127.0.0.1:50021"))}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def respond(self):
        body = self.body()
        if self.path == "/__case":
            self.server.recorder.begin(**json.loads(body))
            return self.send(200, JSON, b"{}")
        base = f"http://127.0.0.1:{self.server.server_port}"
        self.send(*self.server.recorder.answer(self.command, self.path, self.headers.items(), body, base))

    do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = respond

    def body(self):
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            made = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                made += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return made
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def send(self, status, content_type, data):
        self.send_response(status)
        if content_type:
            self.send_header("content-type", content_type)
        if self.command == "OPTIONS":
            self.send_header("access-control-allow-origin", self.headers.get("origin", "*"))
        if status != 204:
            self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


# --- the clients ----------------------------------------------------------------------------------------------------

def package(name):
    return f"{name} {importlib.metadata.version(name)}"


def curl_version():
    return "curl " + subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout.split()[1]


def curl(*arguments):
    subprocess.run(["curl", "-sS", "-o", "/dev/null", *arguments], check=True)


def openai_python(recorder, base):
    """The official client, without and with streaming."""
    import openai

    client = openai.OpenAI(base_url=base + "/v1", api_key="sk-test", max_retries=0)
    name = package("openai")
    speech = {"model": "tts-1", "voice": "demo", "input": TEXT}

    def case(title, **options):
        return recorder.case("openai", title, name, **options)

    def create(**more):
        try:
            return client.audio.speech.create(**{**speech, **more}).read()
        except openai.APIStatusError as error:
            raise Refused from error

    with case("plain: no format, so wav"):
        create()
    for form in ("wav", "pcm", "flac", "opus", "mp3", "aac"):
        with case(f"response_format {form}", note=NOTES.get(form)):
            create(response_format=form)
    for speed in (0.25, 1.5, 4.0):
        with case(f"speed {speed}"):
            create(response_format="wav", speed=speed)
    with case("instructions"):
        create(model="gpt-4o-mini-tts", response_format="wav", instructions="Speak in a cheerful tone.")
    with case("voice as an object"):
        create(voice={"id": "demo"}, response_format="wav")
    with case("voice with its speaker"):
        create(voice="demo/demo-low", response_format="wav")
    with case("stream_format audio"):
        create(model="gpt-4o-mini-tts", response_format="wav", stream_format="audio")
    with case("stream_format sse"):
        create(model="gpt-4o-mini-tts", response_format="pcm", stream_format="sse")
    with case("own fields in extra_body"):
        client.audio.speech.create(**speech, response_format="wav", extra_body={"koemasu": {"style": "Happy"}}).read()
    for form in ("wav", "pcm"):
        with case(f"with_streaming_response, {form}"):
            with client.audio.speech.with_streaming_response.create(**speech, response_format=form) as answer:
                for _ in answer.iter_bytes():
                    pass
    with case("with_raw_response"):
        client.audio.speech.with_raw_response.create(**speech, response_format="wav")

    refused = {"status": 400, "content_type": JSON}
    with case("empty input", **refused):
        create(input="")
    with case("too long an input", **refused):
        create(input="あ" * 4097)
    with case("speed out of range", **refused):
        create(speed=9.0)
    with case("unknown voice", **refused):
        create(voice="nobody")
    with case("unknown format", **refused):
        create(response_format="midi")
    client.close()

    async def asynchronous():
        async with openai.AsyncOpenAI(base_url=base + "/v1", api_key="sk-test", max_retries=0) as client:
            async with client.audio.speech.with_streaming_response.create(**speech, response_format="pcm") as answer:
                async for _ in answer.iter_bytes(1024):
                    pass

    with recorder.case("openai", "asynchronous, streaming pcm", name + ", AsyncOpenAI"):
        asyncio.run(asynchronous())


def openai_others(recorder, base):
    speech = json.dumps({"model": "gpt-4o-mini-tts", "input": TEXT, "voice": "demo"}, ensure_ascii=False)
    with recorder.case("openai", "as the documentation shows", curl_version()):
        curl(base + "/v1/audio/speech", "-H", "Authorization: Bearer sk-test", "-H", "Content-Type: application/json",
             "-d", speech)
    with recorder.case("openai", "a body without content-type", curl_version(), note=NOTES["content-type"]):
        curl(base + "/v1/audio/speech", "-H", "Authorization: Bearer sk-test", "-d", speech)

    import aiohttp
    import requests

    with recorder.case("openai", "as chat front ends send it", package("requests")):
        requests.post(base + "/v1/audio/speech", json={"model": "tts-1", "input": TEXT, "voice": "demo", "speed": 1},
                      headers={"Authorization": "Bearer "}).content

    async def asynchronous():
        async with aiohttp.ClientSession() as session:
            body = {"model": "tts-1", "voice": "demo", "input": TEXT, "response_format": "wav", "speed": 1.0}
            async with session.post(base + "/v1/audio/speech", json=body, headers={"Authorization": "Bearer sk-test"}) as answer:
                await answer.read()

    with recorder.case("openai", "as chat front ends send it", package("aiohttp")):
        asyncio.run(asynchronous())


def aiavatar(recorder, base):
    """The speech clients of aiavatar; its package asks for much that they do not use, so its __init__ is stepped over."""
    root = importlib.metadata.distribution("aiavatar").locate_file("aiavatar")
    for name, folder in (("aiavatar", root), ("aiavatar.sts", root / "sts")):
        module = types.ModuleType(name)
        module.__path__ = [str(folder)]
        sys.modules[name] = module
    voicevox = importlib.import_module("aiavatar.sts.tts.voicevox")
    openai = importlib.import_module("aiavatar.sts.tts.openai")

    async def speak(synthesizer):
        await synthesizer.generate(TEXT)
        await synthesizer.http_client.aclose()

    with recorder.case("voicevox", "aiavatar", package("aiavatar")):
        asyncio.run(speak(voicevox.VoicevoxSpeechSynthesizer(base_url=base, speaker=STYLE_ID)))
    with recorder.case("openai", "instructions null", package("aiavatar")):
        asyncio.run(speak(openai.OpenAISpeechSynthesizer(openai_api_key="sk-test", base_url=base + "/v1", speaker="demo")))


def voicevox_client(recorder, base):
    import vvclient
    import vvclient.errors

    name = package("voicevox-client")

    def case(title, **options):
        return recorder.case("voicevox", title, name, **options)

    async def everything():
        async with vvclient.Client(base) as client:
            with case("version"):
                await client.fetch_engine_version()
            with case("core versions"):
                await client.fetch_core_versions()
            with case("initialize a speaker"):
                await client.init_speaker(STYLE_ID)
            with case("initialize a speaker unless done"):
                await client.init_speaker(STYLE_ID, skip_reinit=True)
            with case("is a speaker initialized"):
                await client.is_inited_speaker(STYLE_ID)
            with case("audio query"):
                query = await client.create_audio_query(TEXT, STYLE_ID)
            with case("audio query, English as it is"):
                await client.create_audio_query("Hello、世界。", STYLE_ID, core_version="0.16.0", enable_katakana_english=False)
            with case("synthesis"):
                await query.synthesis(STYLE_ID)
            with case("synthesis, rising questions"):
                await query.synthesis(STYLE_ID, enable_interrogative_upspeak=True, core_version="0.16.0")
            query.data = {**query.data, "speedScale": 1.3, "intonationScale": 1.2, "outputStereo": True,
                          "outputSamplingRate": 24000}
            query.data["accent_phrases"] = [{**ACCENT_PHRASES[0], "accent": 1}]
            with case("synthesis of an edited query"):
                await query.synthesis(STYLE_ID)
            with case("audio query of an unknown style", status=404, content_type=JSON):
                with contextlib.suppress(vvclient.errors.NotFoundError):
                    await client.create_audio_query(TEXT, 4)

    asyncio.run(everything())


def voicevox_py(recorder, base):
    """Sends its query without any content-type."""
    from src.voicevox.Synthesizer import AsyncClient, Client

    name, port = package("voicevox-py"), int(base.rsplit(":", 1)[1])
    with tempfile.TemporaryDirectory() as folder:
        with recorder.case("voicevox", "query without content-type", name):
            with Client(port=port) as client:
                client.generate(TEXT, STYLE_ID, folder + "/a.wav")

        async def asynchronous():
            async with AsyncClient(port=port) as client:
                await client.generate(TEXT, STYLE_ID, folder + "/b.wav")

        with recorder.case("voicevox", "query without content-type, asynchronous", name):
            asyncio.run(asynchronous())


def voicevox_documentation(recorder, base):
    """What the engine's own documentation shows, and routes that no client library has."""
    import requests

    speaker = {"speaker": STYLE_ID}

    with tempfile.TemporaryDirectory() as folder:
        text, query = pathlib.Path(folder, "text.txt"), pathlib.Path(folder, "query.json")
        text.write_text(TEXT)
        query.write_text(json.dumps(AUDIO_QUERY, ensure_ascii=False))
        with recorder.case("voicevox", "audio query by curl", curl_version()):
            curl("-X", "POST", f"{base}/audio_query?speaker={STYLE_ID}", "--get", "--data-urlencode", f"text@{text}")
        with recorder.case("voicevox", "synthesis by curl", curl_version()):
            curl("-H", "Content-Type: application/json", "-X", "POST", "-d", f"@{query}", f"{base}/synthesis?speaker={STYLE_ID}")

    def send(title, method, path, status=None, content_type=JSON, **how):
        with recorder.case("voicevox", title, package("requests"), status=status, content_type=content_type):
            requests.request(method, base + path, **how).content

    send("speakers", "GET", "/speakers")
    send("one speaker", "GET", "/speaker_info", params={"speaker_uuid": SPEAKER_UUID})
    send("one speaker by addresses", "GET", "/speaker_info", params={"speaker_uuid": SPEAKER_UUID, "resource_format": "url"})
    send("an unknown speaker", "GET", "/speaker_info", status=404,
         params={"speaker_uuid": "00000000-0000-0000-0000-000000000000"})
    send("manifest", "GET", "/engine_manifest")
    send("devices", "GET", "/supported_devices")
    send("installed models", "GET", "/aivm_models")
    send("one installed model", "GET", f"/aivm_models/{MODEL_UUID}")

    send("audio query without a text", "POST", "/audio_query", status=422, params=speaker)
    send("accent phrases", "POST", "/accent_phrases", params={"text": TEXT, **speaker})
    send("accent phrases from kana", "POST", "/accent_phrases", params={"text": "コンニチワ'", **speaker, "is_kana": "true"})
    send("accent phrases from bad kana", "POST", "/accent_phrases", status=400,
         params={"text": "コンニチハ", **speaker, "is_kana": True})
    for route in ("mora_data", "mora_length", "mora_pitch"):
        send(route, "POST", "/" + route, params=speaker, json=ACCENT_PHRASES)
    send("kana is right", "POST", "/validate_kana", params={"text": "コンニチワ'"})
    send("kana is wrong", "POST", "/validate_kana", status=400, params={"text": "コンニチハ"})

    send("synthesis, a chunked body", "POST", "/synthesis", params=speaker, data=iter([json.dumps(AUDIO_QUERY).encode()]),
         headers={"Content-Type": "application/json"})
    send("cancellable synthesis", "POST", "/cancellable_synthesis", params=speaker, json=AUDIO_QUERY)
    send("several at once", "POST", "/multi_synthesis", params=speaker, json=[AUDIO_QUERY, AUDIO_QUERY])
    send("none at once", "POST", "/multi_synthesis", status=422, params=speaker, json=[])
    send("an old query, without the newer fields", "POST", "/synthesis", params=speaker,
         json={name: value for name, value in AUDIO_QUERY.items()
               if name not in ("kana", "pauseLength", "pauseLengthScale", "tempoDynamicsScale")})
    send("everything edited", "POST", "/synthesis", params=speaker,
         json={**AUDIO_QUERY, "speedScale": 0.8, "pitchScale": 0.05, "intonationScale": 1.5, "tempoDynamicsScale": 1.5,
               "volumeScale": 0.5, "prePhonemeLength": 0.3, "postPhonemeLength": 0.2, "pauseLength": 0.4,
               "pauseLengthScale": 1.5, "outputSamplingRate": 48000, "outputStereo": True})
    send("accent beyond the moras", "POST", "/synthesis", status=422, params=speaker,
         json={**AUDIO_QUERY, "accent_phrases": [{**ACCENT_PHRASES[0], "accent": 6}]})
    send("a query without phrases", "POST", "/synthesis", status=422, params=speaker, json={"speedScale": 1.0})
    send("waves joined", "POST", "/connect_waves", json=[base64.b64encode(sound()).decode()] * 2)
    send("waves that are none", "POST", "/connect_waves", status=422, json=["AAAA"])

    word = {"surface": "Koemasu", "pronunciation": "コエマス", "accent_type": 3}
    send("user dictionary", "GET", "/user_dict")
    send("a word", "POST", "/user_dict_word", params=word)
    send("a word changed", "PUT", f"/user_dict_word/{WORD_UUID}", params={**word, "word_type": "PROPER_NOUN", "priority": 9})
    send("a word away", "DELETE", f"/user_dict_word/{WORD_UUID}")
    send("a word in full", "POST", "/user_dict_word",
         params={"surface": "担々麺", "pronunciation": "タンタンメン", "accent_type": 0, "word_type": "COMMON_NOUN", "priority": 5})
    send("a word of bad kana", "POST", "/user_dict_word", status=422, params={**word, "pronunciation": "koemasu"})
    send("a word that is not there", "DELETE", "/user_dict_word/00000000-0000-4000-8000-000000000000", status=422)
    send("dictionary imported", "POST", "/import_user_dict", params={"override": "true"}, json=DICTIONARY)

    send("presets", "GET", "/presets")
    send("a preset", "POST", "/add_preset", json=PRESET)
    send("audio query from a preset", "POST", "/audio_query_from_preset", params={"text": TEXT, "preset_id": PRESET_ID})
    send("a preset changed", "POST", "/update_preset", json={**PRESET, "speedScale": 1.5})
    send("a preset away", "POST", "/delete_preset", params={"id": PRESET_ID})
    send("audio query from no preset", "POST", "/audio_query_from_preset", status=422,
         params={"text": TEXT, "preset_id": 424242})

    send("a page asks whether it may", "OPTIONS", f"/synthesis?speaker={STYLE_ID}",
         headers={"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST",
                  "Access-Control-Request-Headers": "content-type"})


def sbv2(recorder, base):
    """Style-Bert-VITS2's server_fastapi: everything in the query, also for POST."""
    import aiohttp
    import requests

    everything = {"text": TEXT, "encoding": "utf-8", "model_id": 0, "speaker_id": 0, "sdp_ratio": 0.2, "noise": 0.6,
                  "noisew": 0.8, "length": 1, "language": "JP", "auto_split": "true", "split_interval": 0.5,
                  "assist_text_weight": 1, "style": "Neutral", "style_weight": 1}
    query = "&".join(f"{name}={value}" for name, value in {**everything, "style_weight": 5}.items())

    def send(title, method="GET", path="/voice", client=None, status=None, content_type=JSON, **how):
        with recorder.case("sbv2", title, client or package("requests"), status=status, content_type=content_type):
            requests.request(method, base + path, **how).content

    def voice(title, method="GET", status=None, **parameters):
        send(title, method, status=status, params={"text": TEXT, **parameters})

    voice("only a text")
    voice("all parameters", **everything)
    voice("POST, everything in the query", "POST", **everything)
    send("as Discord bots write it, weight 5, the text as it is", path="/voice?" + query)
    encoded = urllib.parse.urlencode({**everything, "assist_text": "明るい声で"}, quote_via=urllib.parse.quote)
    with recorder.case("sbv2", "as the interactive documentation shows", curl_version()):
        curl("-X", "GET", f"{base}/voice?{encoded}", "-H", "accept: audio/wav")
    with recorder.case("sbv2", "POST as the interactive documentation shows", curl_version()):
        curl("-X", "POST", f"{base}/voice?{encoded}", "-H", "accept: audio/wav", "-d", "")

    async def bots():
        async with aiohttp.ClientSession() as session:
            with recorder.case("sbv2", "as Discord bots write it, weight 5, the text as it is", package("aiohttp")):
                async with session.get(base + "/voice?" + query) as answer:
                    await answer.read()
            with recorder.case("sbv2", "as a chat plugin does: booleans of Python, a parameter of another server",
                               package("aiohttp")):
                parameters = {"text": TEXT, "model_id": 0, "speaker_id": 0, "language": "JP", "auto_translate": "True",
                              "auto_split": "True"}
                async with session.get(base + "/voice", params=parameters) as answer:
                    await answer.read()
            with recorder.case("sbv2", "models", package("aiohttp")):
                async with session.get(base + "/models/info") as answer:
                    await answer.read()

    asyncio.run(bots())

    voice("model by name", model_name="demo")
    voice("the name wins over the number", model_name="demo", model_id=99)
    voice("speaker by number", speaker_id=1)
    voice("speaker by name", speaker_name="demo-low")
    for style in ("Happy", "Sad", "Angry", "Whisper"):
        voice(f"style {style}", style=style)
    voice("style weight", style="Happy", style_weight=2.5)
    voice("no randomness", sdp_ratio=0, noise=0, noisew=0)
    voice("slow", length=1.5)
    voice("fast", length=0.7)
    voice("lines together", auto_split="false", **{"text": "一行目\n二行目"})
    voice("lines apart", auto_split="true", split_interval=0.2, **{"text": "一行目\n二行目\n\n三行目"})
    voice("assist text", assist_text="とても悲しい出来事でした。", assist_text_weight=0.7)
    voice("assist text empty, as forms send it", assist_text="", assist_text_weight=1)
    voice("signs that queries need escaped", **{"text": "A&B=100%+#1 です？"})
    voice("percent signs, decoded once more as utf-8", encoding="utf-8", **{"text": urllib.parse.quote("こんにちは")})
    voice("percent signs, decoded once more as shift_jis", encoding="shift_jis",
          **{"text": urllib.parse.quote("こんにちは".encode("shift_jis"))})

    send("no text", status=422, params={"model_id": 0})
    for title, wrong in {"empty text": {"text": ""}, "unknown model number": {"model_id": 99},
                         "unknown model name": {"model_name": "nobody"}, "unknown speaker number": {"speaker_id": 99},
                         "unknown speaker name": {"speaker_name": "nobody"}, "unknown style": {"style": "Nonesuch"},
                         "unknown language": {"language": "XX"}, "a number that is none": {"sdp_ratio": "much"},
                         "a boolean that is none": {"auto_split": "perhaps"}}.items():
        voice(title, status=422, **wrong)

    send("models", path="/models/info")
    send("models looked for again, as bots do when they start", "POST", "/models/refresh")
    send("status", path="/status")
    send("kana and tones", "POST", "/g2p", params={"text": "こんにちは"})
    send("a page asks whether it may", "OPTIONS", "/voice", headers={"Origin": "http://localhost:3000",
                                                                     "Access-Control-Request-Method": "GET"})


def sbv2_api(recorder, base):
    import requests

    with recorder.case("sbv2-api", "as its documentation shows", curl_version()):
        curl("-XPOST", "-H", "Content-type: application/json",
             "-d", json.dumps({"text": "こんにちは", "ident": "demo"}, ensure_ascii=False), base + "/synthesize")
    with recorder.case("sbv2-api", "models", curl_version()):
        curl(base + "/models")

    def send(title, body, status=None, **how):
        with recorder.case("sbv2-api", title, package("requests"), status=status, content_type="text/plain; charset=utf-8"):
            requests.post(base + "/synthesize", json=body, **how).content

    send("as its example does", {"text": "おはようございます", "ident": "demo"})
    send("all fields", {"text": TEXT, "ident": "demo", "sdp_ratio": 0.5, "length_scale": 1.2, "style_id": 1, "speaker_id": 1})
    send("whole numbers where fractions stand", {"text": TEXT, "ident": "demo", "sdp_ratio": 0, "length_scale": 1})
    send("several lines", {"text": "一行目\n二行目", "ident": "demo"})
    send("no ident", {"text": TEXT}, status=422)
    send("no text", {"ident": "demo"}, status=422)
    with recorder.case("sbv2-api", "no JSON at all", package("requests"), status=400, content_type="text/plain; charset=utf-8"):
        requests.post(base + "/synthesize", data="{", headers={"content-type": "application/json"}).content
    with recorder.case("sbv2-api", "a form", package("requests"), status=415, content_type="text/plain; charset=utf-8"):
        requests.post(base + "/synthesize", data={"text": TEXT, "ident": "demo"}).content


def javascript(recorder, base):
    """The clients in JavaScript, if node and their packages are there; else their cases stay as they were."""
    if not (shutil.which("node") and (HERE / "node_modules").is_dir()):
        return False
    subprocess.run(["node", HERE / "clients.mjs", base, str(STYLE_ID), SPEAKER_UUID], check=True, timeout=120)
    return True


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else CASES
    folder.mkdir(parents=True, exist_ok=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.recorder = recorder = Recorder()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"

    for drive in (openai_python, openai_others, aiavatar, voicevox_client, voicevox_py, voicevox_documentation, sbv2, sbv2_api):
        drive(recorder, base)
    had_node = javascript(recorder, base)
    server.shutdown()

    for dialect, cases in recorder.cases.items():
        path = folder / f"{dialect}.json"
        if not had_node and path.exists():
            cases += [each for each in json.loads(path.read_text()) if "node" in each["client"]]
        path.write_text(json.dumps(cases, ensure_ascii=False, indent=1) + "\n")
        print(f"{path.name}: {len(cases)} cases by {len({each['client'] for each in cases})} clients")
    if not had_node:
        print("no clients in JavaScript: npm install --no-package-lock --prefix tests/clients")


if __name__ == "__main__":
    main()
