"""HayaKoe behind HTTP, on its standard library alone: what peers.py runs in HayaKoe's own virtual environment.

usage: peer_hayakoe.py PORT ROOT VOICE [VOICE ...]

POST /tts     {"text", "voice"}   the whole answer as WAV
POST /stream  the same, sentence by sentence as HayaKoe's own stream gives it; the connection's end is the answer's
GET  /ready
One voice is loaded at the start, others when they are first asked for, and then kept: HayaKoe has no eviction.
"""

import asyncio
import http.server
import json
import sys
import threading

import hayakoe.logging
from hayakoe import TTS

hayakoe.logging.logger.remove()
port, root, voices = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
tts = TTS(device="cpu", bert_source=root, cache_dir=root + "-cache")
tts.load(voices[0], source=root).prepare()
loading = threading.Lock()


def speaker(name):
    with loading:
        if name not in tts.speakers:
            tts.load(name, source=root).prepare()
        return tts.speakers[name]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(b"ready")

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        voice = speaker(asked["voice"])
        if self.path == "/tts":
            self.answer(voice.generate(asked["text"], sdp_ratio=0.0).to_bytes())
            return
        self.send_response(200)
        self.end_headers()

        async def stream():
            async for piece in voice.astream_wav(asked["text"], sdp_ratio=0.0):
                self.wfile.write(piece)
                self.wfile.flush()

        asyncio.run(stream())

    def answer(self, body):
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
