#!/usr/bin/env python3
"""Measures a speech server from outside, over HTTP: koemasu, or any peer (stdlib only, bounded in count and time).

usage: http_load.py --base http://127.0.0.1:8080 --path /v1/audio/speech --body '{"input": {text}, "voice": {voice}}'
                    [--query 'text={utext}&model_name={uvoice}'] [--method POST] [--header 'authorization: Bearer …']
                    [--before '/audio_query?text={utext}&speaker=1']   (its answer is the body; for two-step dialects)
                    [--pid PID] [--health /healthz,/v1/audio/voices] [--out f.jsonl] [--markdown f.md] PHASE [PHASE ...]
       http_load.py --selftest

PHASE  first[:CHARS,CHARS[:N]]            one at a time: headers, first byte of audio, all of it   (10,50,200:20)
       together[:AT,AT[:CHARS[:N]]]       AT at a time; and the worst answer of --health routes    (1,4,32:20:96)
       overload[:CHARS[:SECONDS[:K,K]]]   the peak, then K times its request rate, open loop       (20:20:2,5,10)
       all                                the three with these defaults

{text} {voice} are JSON strings, {utext} {uvoice} percent-encoded. Every text is different, so that no cache helps.

What the times are. "First byte of audio" is the first byte after a WAV header (of anything else, of the body), from the
moment the connection is asked for. A refusal (429, 503) is timed from just before its request is written until the first
byte of its answer is read, on a fresh connection, with the clock read before anything is parsed; requests are made up
before a run. So that a busy client is not taken for a slow server, a timer on the same event loop notes how late it is
called: `client_lag_ms` bounds what the client itself may have added to any time in that run, `late_arrivals_ms` says how
far arrivals were behind their plan, and `client_cpu_s` is what the client took from the cores it shares with the server.
--nice 5 gives the server the right of way (times include waiting for the client's turn), --nice -5 (root) the client
(exact times, a little less for the server); for refusals a negative one is right, since there the client is what waits.

Goodput is audio seconds of answers that were complete within the window, per second of it; `ratio` is to the peak, counted
the same way in a closed loop at the best of several concurrencies. Answers after the window are `late`, answers that break
off are `cut`.
"""

import argparse
import asyncio
import json
import os
import pathlib
import random
import re
import resource
import sys
import threading
import time
import urllib.parse

from bench import text

TICKS = os.sysconf("SC_CLK_TCK")
REFUSALS = (429, 503)


# --- one request ----------------------------------------------------------------------------------------------------

class Exchange(asyncio.Protocol):
    """One HTTP/1.1 request on its own connection. Keeps times and counts, and the first bytes only."""

    def __init__(self, request, finished, keep=4096):
        self.request, self.finished, self.keep = request, finished, keep
        self.sent = self.first = self.audio = self.done = None
        self.status, self.type, self.length, self.chunked = None, "", None, False
        self.raw, self.head, self.count, self.left, self.whole = bytearray(), bytearray(), 0, 0, False
        self.retry_after = False

    def connection_made(self, transport):
        self.transport = transport
        self.sent = time.perf_counter()
        transport.write(self.request)

    def data_received(self, data):
        now = time.perf_counter()
        if self.first is None:
            self.first = now
        if self.status is None:
            self.raw += data
            end = self.raw.find(b"\r\n\r\n")
            if end < 0:
                return
            self.headers(self.raw[:end].decode("latin-1"))
            data = bytes(self.raw[end + 4:])
            self.raw = bytearray()
        self.body(data)
        if self.audio is None and self.beyond_header():
            self.audio = now
        if self.whole:
            self.done = now
            self.transport.close()

    def headers(self, text):
        first, *lines = text.split("\r\n")
        self.status = int(first.split()[1])
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.type = fields.get("content-type", "")
        self.chunked = "chunked" in fields.get("transfer-encoding", "")
        self.retry_after = "retry-after" in fields
        if "content-length" in fields:
            self.length = int(fields["content-length"])
        self.whole = self.length == 0 or self.status == 204

    def body(self, data):
        if not self.chunked:
            self.payload(data)
            self.whole = self.whole or (self.length is not None and self.count >= self.length)
            return
        self.raw += data
        while self.raw:
            if self.left == 0:
                end = self.raw.find(b"\r\n")
                if end < 0:
                    return
                size = int(self.raw[:end].split(b";")[0], 16)
                del self.raw[:end + 2]
                if size == 0:
                    self.whole = True
                    return
                self.left = size + 2    # with its line end
            take = min(self.left, len(self.raw))
            self.payload(bytes(self.raw[:min(take, max(0, self.left - 2))]))
            del self.raw[:take]
            self.left -= take

    def payload(self, data):
        self.count += len(data)
        if len(self.head) < self.keep:
            self.head += data

    def beyond_header(self):
        if self.status != 200 or self.count < 4:
            return False
        if self.head[:4] != b"RIFF":
            return True
        at = self.head.find(b"data")
        return at >= 0 and self.count > at + 8

    def connection_lost(self, _):
        if self.status is not None and self.length is None and not self.chunked and self.done is None:
            self.whole, self.done = True, time.perf_counter()
        if not self.finished.done():
            self.finished.set_result(self)

    def seconds(self):
        """Of audio. Compressed formats are not measured: 0."""
        if self.head[:4] == b"RIFF":
            at, data = self.head.find(b"fmt "), self.head.find(b"data")
            number = lambda offset, size: int.from_bytes(self.head[at + offset:at + offset + size], "little")
            return (self.count - data - 8) / (number(12, 4) * number(10, 2) * number(22, 2) / 8)
        if "pcm" in self.type or "L16" in self.type:
            rate = re.search(r"rate=(\d+)", self.type)
            return self.count / 2 / (int(rate[1]) if rate else 44100)
        return 0.0


class Target:
    """What is asked, and where."""

    def __init__(self, options):
        parts = urllib.parse.urlsplit(options.base)
        self.host, self.port, self.prefix = parts.hostname, parts.port or 80, parts.path.rstrip("/")
        self.options = options

    def request(self, method, target, body=None):
        lines = [f"{method} {self.prefix}{target} HTTP/1.1", f"host: {self.host}:{self.port}", "connection: close",
                 "user-agent: http_load", *self.options.header]
        if body is not None:
            lines += ["content-type: application/json"]
        if method != "GET":
            lines += [f"content-length: {len(body or b'')}"]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")

    def speech(self, words):
        """The requests for one utterance, as (bytes of the first, path of the second or None)."""
        options = self.options
        fill = lambda template: (template.replace("{text}", json.dumps(words, ensure_ascii=False))
                                 .replace("{voice}", json.dumps(options.voice))
                                 .replace("{utext}", urllib.parse.quote(words))
                                 .replace("{uvoice}", urllib.parse.quote(options.voice)))
        path = options.path + ("?" + fill(options.query) if options.query else "")
        if options.before:
            return self.request("POST", fill(options.before)), path
        return self.request(options.method, path, fill(options.body).encode() if options.body else None), None

    async def exchange(self, request, keep=4096):
        loop = asyncio.get_running_loop()
        finished = loop.create_future()
        transport, _ = await loop.create_connection(lambda: Exchange(request, finished, keep), self.host, self.port)
        try:
            return await finished
        finally:
            transport.abort() if not finished.done() or finished.cancelled() else transport.close()

    async def speak(self, prepared):
        """One utterance, as a dictionary of times from its start; never raises."""
        request, second = prepared
        began, made = time.perf_counter(), {"began": time.perf_counter()}
        try:
            async with asyncio.timeout(self.options.timeout):
                answer = await self.exchange(request, 1 << 24 if second else 4096)
                if second and answer.status == 200:
                    answer = await self.exchange(self.request("POST", second, bytes(answer.head)))
        except TimeoutError:
            return {**made, "error": "timeout", "done": time.perf_counter()}
        except OSError as error:
            return {**made, "error": f"{type(error).__name__} {error.errno}", "done": time.perf_counter()}
        made["done"] = answer.done or time.perf_counter()
        made["status"] = answer.status
        if answer.status in REFUSALS:
            return {**made, "refused_s": answer.first - answer.sent, "retry_after": answer.retry_after}
        if answer.status != 200:
            return {**made, "error": f"status {answer.status}" if answer.status else "closed without an answer"}
        if not answer.whole:
            return {**made, "error": "cut"}
        return {**made, "ok": True, "headers_s": answer.first - began, "audio_s": (answer.audio or answer.done) - began,
                "wall_s": answer.done - began, "seconds": answer.seconds()}


# --- what is watched beside -----------------------------------------------------------------------------------------

def processes(pid):
    found = [pid]
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if int(open(f"/proc/{name}/stat").read().rsplit(")", 1)[1].split()[1]) == pid:
                    found.append(int(name))
            except OSError:
                pass
    return found


def cpu_s(pid):
    total = 0
    for each in processes(pid) if pid else []:
        try:
            fields = open(f"/proc/{each}/stat").read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return total / TICKS


def memory_mib(pid):
    sums = {"VmRSS": 0, "RssAnon": 0, "VmHWM": 0}
    for each in processes(pid) if pid else []:
        try:
            for line in open(f"/proc/{each}/status"):
                name = line.split(":")[0]
                if name in sums:
                    sums[name] += int(line.split()[1])
        except OSError:
            pass
    return {f"{name}_mib": round(value / 1024, 1) for name, value in sums.items()} if pid else {}


class Watch:
    """Polls other routes, notes how late the client's own event loop is, and adds up CPU, for the time of a `with`."""

    def __init__(self, target, paths):
        self.target, self.paths = target, paths
        self.lags, self.health = [], {path: [] for path in paths}

    async def __aenter__(self):
        self.tasks = [asyncio.create_task(self.lag()), *(asyncio.create_task(self.poll(path)) for path in self.paths)]
        await asyncio.sleep(0.2 if self.paths else 0)
        self.client, self.server, self.began = time.process_time(), cpu_s(self.target.options.pid), time.perf_counter()
        return self

    async def __aexit__(self, *_):
        self.wall = time.perf_counter() - self.began
        self.client = time.process_time() - self.client
        self.server = cpu_s(self.target.options.pid) - self.server
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def lag(self):
        while True:
            due = time.perf_counter() + 0.01
            await asyncio.sleep(0.01)
            self.lags.append(time.perf_counter() - due)

    async def poll(self, path):
        request = self.target.request("GET", path)
        while True:
            began = time.perf_counter()
            try:
                async with asyncio.timeout(self.target.options.timeout):
                    answer = await self.target.exchange(request)
                self.health[path].append((answer.status, (answer.first or time.perf_counter()) - began))
            except (OSError, TimeoutError) as error:
                self.health[path].append((type(error).__name__, time.perf_counter() - began))
            await asyncio.sleep(max(0, 0.05 - (time.perf_counter() - began)))

    def summary(self):
        made = {"wall_s": self.wall, "server_cpu_s": self.server, "client_cpu_s": self.client,
                "client_lag_ms": {"p95": ms(percentile(self.lags, 95)), "max": ms(max(self.lags, default=0))}}
        if any(self.health.values()):
            made["health"] = {path: {"n": len(polls), "ok": sum(status == 200 for status, _ in polls),
                                     "p50_ms": ms(percentile([took for _, took in polls], 50)),
                                     "max_ms": ms(max(took for _, took in polls))}
                              for path, polls in self.health.items() if polls}
        return made


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, max(0, -(-share * len(values) // 100) - 1))] if values else None


def ms(seconds):
    return None if seconds is None else round(1e3 * seconds, 2)


def spread(answers, name):
    values = [each[name] for each in answers if name in each]
    return {f"{name}_p50": percentile(values, 50), f"{name}_p95": percentile(values, 95), f"{name}_max": max(values)} if values else {}


def tally(answers):
    counts = {}
    for each in answers:
        if "error" in each:
            counts[each["error"]] = counts.get(each["error"], 0) + 1
    return {"errors": counts} if counts else {}


# --- the phases -----------------------------------------------------------------------------------------------------

async def closed(target, prepared, concurrency, until=None):
    """Answers to `prepared`, `concurrency` at a time, none begun after `until`."""
    waiting, answers = list(reversed(prepared)), []

    async def worker():
        while waiting and (until is None or time.perf_counter() < until):
            answers.append(await target.speak(waiting.pop()))

    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return answers


async def first(target, rng, lengths="10,50,200", count="20"):
    for characters in map(int, lengths.split(",")):
        prepared = [target.speech(text(characters, rng)) for _ in range(int(count) + 1)]
        await target.speak(prepared.pop())      # opens what is opened once
        async with Watch(target, []) as watch:
            answers = await closed(target, prepared, 1)
        good = [each for each in answers if "ok" in each]
        yield {"phase": "first", "characters": characters, "n": len(answers), "ok": len(good),
               "audio_seconds": sum(each["seconds"] for each in good) / max(1, len(good)), **spread(good, "headers_s"),
               **spread(good, "audio_s"), **spread(good, "wall_s"), **tally(answers), **watch.summary()}


async def together(target, rng, concurrencies="1,4,32", characters="20", count="96"):
    for concurrency in map(int, concurrencies.split(",")):
        prepared = [target.speech(text(int(characters), rng)) for _ in range(int(count))]
        async with Watch(target, target.options.health) as watch:
            answers = await closed(target, prepared, concurrency)
        good = [each for each in answers if "ok" in each]
        seconds = sum(each["seconds"] for each in good)
        yield {"phase": "together", "concurrency": concurrency, "characters": int(characters), "n": len(answers),
               "ok": len(good), "refused": sum("refused_s" in each for each in answers),
               "audio_per_wall": seconds / watch.wall, "requests_per_s": len(good) / watch.wall, **spread(good, "audio_s"),
               **spread(good, "wall_s"), **spread(answers, "refused_s"), **tally(answers), **watch.summary()}


async def overload(target, rng, characters="20", window="20", factors="2,5,10"):
    options, window = target.options, float(window)
    peak = None
    for concurrency in options.peak_at:
        # More texts than a peak run can use; it ends by time.
        prepared = [target.speech(text(int(characters), rng)) for _ in range(options.max_arrivals)]
        async with Watch(target, []) as watch:
            end = time.perf_counter() + options.peak_s
            answers = await closed(target, prepared, concurrency, until=end)
        good = [each for each in answers if "ok" in each and each["done"] <= end]
        made = {"phase": "peak", "concurrency": concurrency, "characters": int(characters), "ok": len(good),
                "goodput": sum(each["seconds"] for each in good) / options.peak_s,
                "requests_per_s": len(good) / options.peak_s, **spread(good, "wall_s"), **tally(answers), **watch.summary()}
        yield made
        if peak is None or (made["goodput"], made["requests_per_s"]) > (peak["goodput"], peak["requests_per_s"]):
            peak = made
    if not peak["ok"]:
        raise SystemExit("no answer was complete, so there is no peak")
    for factor in map(float, factors.split(",")):
        async with asyncio.timeout(window + options.timeout + 30):
            yield await offered(target, rng, int(characters), window, factor, peak)
        await asyncio.sleep(2)


async def offered(target, rng, characters, window, factor, peak):
    """Poisson arrivals at `factor` times the peak's request rate, whatever becomes of those before."""
    options = target.options
    plan, at = [], 0.0
    while len(plan) < options.max_arrivals:
        at += rng.expovariate(factor * peak["requests_per_s"])
        if at > window:
            break
        plan.append((at, target.speech(text(characters, rng))))
    late, tasks, unsent = [], set(), 0
    answers = []

    def finished(task):
        tasks.discard(task)
        answers.append(task.result())

    async with Watch(target, options.health) as watch:
        began = time.perf_counter()
        for at, prepared in plan:
            ahead = began + at - time.perf_counter()
            if ahead > 0:
                await asyncio.sleep(ahead)
            late.append(max(0.0, time.perf_counter() - began - at))
            if len(tasks) >= options.max_open:
                unsent += 1
                continue
            task = asyncio.create_task(target.speak(prepared))
            tasks.add(task)
            task.add_done_callback(finished)
        remaining = began + window - time.perf_counter()
        if remaining > 0:
            await asyncio.sleep(remaining)
        in_flight = len(tasks)
        if tasks:
            await asyncio.wait(set(tasks))
        await asyncio.sleep(0)
    good = [each for each in answers if "ok" in each]
    timely = [each for each in good if each["done"] <= began + window]
    refused = [each for each in answers if "refused_s" in each]
    goodput = sum(each["seconds"] for each in timely) / window
    return {"phase": "overload", "factor": factor, "characters": characters, "window_s": window, "arrivals": len(plan),
            "offered_per_s": len(plan) / window, "not_sent": unsent, "ok": len(timely), "late": len(good) - len(timely),
            "in_flight_at_end": in_flight, "goodput": goodput,
            "ratio": goodput / peak["goodput"] if peak["goodput"] else None,
            "request_ratio": len(timely) / window / peak["requests_per_s"], "refused": len(refused),
            "refused_with_retry_after": sum(each["retry_after"] for each in refused), **spread(refused, "refused_s"),
            **spread(good, "audio_s"), **spread(good, "wall_s"), **tally(answers),
            "late_arrivals_ms": {"p95": ms(percentile(late, 95)), "max": ms(max(late, default=0))}, **watch.summary()}


PHASES = {"first": first, "together": together, "overload": overload}


# --- reports --------------------------------------------------------------------------------------------------------

def rounded(value):
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def figure(value, digits=3):
    return "–" if value is None else f"{value:.{digits}f}"


def markdown(rows, label):
    """Tables for BENCHMARKS.md, one for each kind of phase that ran."""
    made = []
    pick = lambda phase: [each for each in rows if each["phase"] == phase]
    pair = lambda row, name, digits=3: f"{figure(row.get(name + '_p50'), digits)} / {figure(row.get(name + '_p95'), digits)}"
    worst = lambda row: ", ".join(f"{path} {each['max_ms']}" for path, each in row.get("health", {}).items()) or "–"
    if pick("first"):
        made += [f"| {label}, one at a time | n | audio s | headers s, p50 / p95 | first audio s, p50 / p95 | all s, p50 / p95 | CPU s a request |",
                 "|---|---|---|---|---|---|---|"]
        made += [f"| {row['characters']} characters | {row['ok']} of {row['n']} | {row['audio_seconds']:.1f} | {pair(row, 'headers_s')} "
                 f"| {pair(row, 'audio_s')} | {pair(row, 'wall_s')} | {figure(row['server_cpu_s'] / max(1, row['n']))} |"
                 for row in pick("first")] + [""]
    if pick("together"):
        made += [f"| {label}, at a time | ok / refused / of | first audio s, p50 / p95 | all s, p50 / p95 | audio s per wall s | other routes, worst ms | client lag, worst ms |",
                 "|---|---|---|---|---|---|---|"]
        made += [f"| {row['concurrency']} ({row['characters']} characters) | {row['ok']} / {row['refused']} / {row['n']} "
                 f"| {pair(row, 'audio_s')} | {pair(row, 'wall_s')} | {row['audio_per_wall']:.2f} "
                 f"| {worst(row)} "
                 f"| {row['client_lag_ms']['max']} |" for row in pick("together")] + [""]
    if pick("overload"):
        best = max(pick("peak"), key=lambda row: (row["goodput"], row["requests_per_s"]))
        made += [f"Peak: {best['goodput']:.2f} audio s per wall s, {best['requests_per_s']:.1f} requests a second, {best['concurrency']} at a time.", "",
                 f"| {label}, offered | arrivals a second | goodput, of peak | in time / late / refused / other | refusal ms, p50 / p95 / max | other routes, worst ms | client: CPU s, lag p95 / max ms |",
                 "|---|---|---|---|---|---|---|"]
        for row in pick("overload"):
            refusal = " / ".join(figure(ms(row.get(f"refused_s_{name}")), 1) for name in ("p50", "p95", "max"))
            made.append(f"| {row['factor']:g} times | {row['offered_per_s']:.1f} | {row['goodput']:.2f}, {100 * (row['ratio'] or row['request_ratio']):.0f} % "
                        f"| {row['ok']} / {row['late']} / {row['refused']} / {sum(row.get('errors', {}).values()) + row['not_sent']} | {refusal} "
                        f"| {worst(row)} | {row['client_cpu_s']:.1f}, {row['client_lag_ms']['p95']} / {row['client_lag_ms']['max']} |")
        made.append("")
    return "\n".join(made)


async def measure(options):
    target, rng, rows = Target(options), random.Random(options.seed), []
    phases = ["first", "together", "overload"] if options.phases == ["all"] else options.phases
    for phase in phases:
        name, *arguments = phase.split(":")
        async for row in PHASES[name](target, rng, *arguments):
            row = rounded({"label": options.label, **row, **memory_mib(options.pid), "load": os.getloadavg()[0]})
            rows.append(row)
            line = json.dumps(row, ensure_ascii=False)
            print(line, flush=True)
            if options.out:
                with open(options.out, "a") as out:
                    out.write(line + "\n")
    tables = markdown(rows, options.label or "server")
    print("\n" + tables)
    if options.markdown:
        pathlib.Path(options.markdown).write_text(tables)
    return rows


# --- a server to test the script with -------------------------------------------------------------------------------

class Stub:
    """Two at a time, eight waiting, the rest refused; 50 ms an answer, its audio in three pieces."""

    def __init__(self):
        self.slots, self.inside, self.ready = asyncio.Semaphore(2), 0, threading.Event()

    async def serve(self):
        server = await asyncio.start_server(self.client, "127.0.0.1", 0, backlog=2048)
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        async with server:
            await server.serve_forever()

    async def client(self, reader, writer):
        try:
            line = await reader.readline()
            length = 0
            while (header := await reader.readline()) not in (b"\r\n", b""):
                if header.lower().startswith(b"content-length:"):
                    length = int(header.split(b":")[1])
            await reader.readexactly(length)
            await (self.speak(writer) if line.startswith(b"POST") else self.answer(writer, b"200 OK", b"ok"))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def answer(self, writer, status, body, more=b""):
        writer.write(b"HTTP/1.1 " + status + b"\r\n" + more + b"content-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    async def speak(self, writer):
        if self.inside >= 10:
            return await self.answer(writer, b"503 Service Unavailable", b"{}", b"retry-after: 1\r\n")
        self.inside += 1
        try:
            async with self.slots:
                chunk = lambda data: b"%x\r\n" % len(data) + data + b"\r\n"
                wav = (b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0" + (44100).to_bytes(4, "little") +
                       (88200).to_bytes(4, "little") + b"\x02\0\x10\0data\xff\xff\xff\xff")
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: audio/wav\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(wav))
                for piece in range(3):
                    await asyncio.sleep(0.05 / 3)
                    writer.write(chunk(bytes(29400)))
                writer.write(b"0\r\n\r\n")
                await writer.drain()
        finally:
            self.inside -= 1


def selftest():
    stub = Stub()
    threading.Thread(target=lambda: asyncio.run(stub.serve()), daemon=True).start()
    stub.ready.wait()
    options = arguments(["--base", f"http://127.0.0.1:{stub.port}", "--path", "/v1/audio/speech", "--label", "stub",
                         "--body", '{"input": {text}, "voice": {voice}}', "--pid", str(os.getpid()), "--peak-s", "2",
                         "--peak-at", "1,2,4", "first:10:5", "together:1,4:20:24", "overload:20:3:2,5"])
    rows = asyncio.run(measure(options))
    one = rows[0]
    assert one["ok"] == 5 and abs(one["audio_seconds"] - 1.0) < 1e-6, one
    assert one["headers_s_p50"] < one["audio_s_p50"] < one["wall_s_p50"], "pieces are told apart"
    assert all(row["ok"] == row["n"] == 24 and row["health"]["/healthz"]["ok"] for row in rows if row["phase"] == "together")
    for row in (row for row in rows if row["phase"] == "overload"):
        assert row["refused"] and row["refused"] == row["refused_with_retry_after"], row
        assert row["ratio"] > 0.7 and row["refused_s_p50"] < 0.05 and "errors" not in row, row
        assert row["ok"] + row["late"] + row["refused"] + row["not_sent"] == row["arrivals"], "every arrival has an end"
    print("selftest passed")


def arguments(given):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--base", required=True)
    add("--path", default="/v1/audio/speech")
    add("--body", default=None)
    add("--query", default=None)
    add("--before", default=None, help="a POST whose answer becomes the body")
    add("--method", default="POST")
    add("--header", action="append", default=[], help="'name: value', may be repeated")
    add("--voice", default="demo")
    add("--pid", type=int, default=None, help="CPU and memory of this process and its children")
    add("--health", default="/healthz", type=lambda value: [each for each in value.split(",") if each])
    add("--label", default="")
    add("--out", help="JSON lines are added here")
    add("--markdown", help="tables are written here")
    add("--seed", type=int, default=1)
    add("--timeout", type=float, default=120, help="seconds for one request")
    add("--peak-s", type=float, default=10, help="seconds for each concurrency tried for the peak")
    add("--peak-at", default="1,2,4,8", type=lambda value: [int(each) for each in value.split(",")])
    add("--max-arrivals", type=int, default=10000, help="for each step of an overload")
    add("--max-open", type=int, default=4000, help="requests in flight; arrivals beyond are counted, not sent")
    add("--nice", type=int, default=0, help="of this client, see above")
    add("phases", nargs="+", metavar="PHASE")
    options = parser.parse_args(given)
    unknown = [phase for phase in options.phases if phase.split(":")[0] not in PHASES and options.phases != ["all"]]
    if unknown:
        parser.error(f"unknown phase: {unknown[0]}")
    host = urllib.parse.urlsplit(options.base).hostname
    if host not in ("localhost", "::1") and not str(host).startswith("127."):
        parser.error("this loads a server on this machine only")
    return options


def main():
    if sys.argv[1:] == ["--selftest"]:
        return selftest()
    options = arguments(sys.argv[1:])
    if options.nice:
        os.nice(options.nice)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(measure(options))


if __name__ == "__main__":
    main()
