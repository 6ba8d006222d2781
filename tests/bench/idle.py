#!/usr/bin/env python3
"""What callers feel beside thousands of connections that say nothing, or speak a byte at a time (stdlib only, bounded).

usage: idle.py --server target/release/koemasu [--held 2000] [--rounds 6] [--seconds 10] [--renew 1] [--connections 1024]

Starts the server with the voice inside the program on a loopback port and measures, in turns within one run, so that the
machine's other load falls on both alike: `alone`, then `held`, as often as `--rounds` says. While held, a third of the
connections say nothing, a third send a request's head a byte a second, a third its body; what the server closes is
opened again `--renew` seconds later. They are held by a process of their own, so that a busy client is not taken for a
slow server. Asked all the time: /healthz on new connections every 20 ms, and one short speech request after the other.
Reported: the 50th and 99th hundredth and the worst of /healthz, of both; the same of speech, and the ratio of the two;
what was refused. Ends with 1 if a request got no answer, or /healthz took more than 20 ms in 99 of 100.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import time

HEAD = b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n"


async def hold(port, kind, stop, counts, renew):
    """One connection that is opened again whenever it is closed."""
    while not stop.is_set():
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 10)
        except (OSError, asyncio.TimeoutError):
            counts["unopened"] += 1
            await asyncio.sleep(0.5)
            continue
        counts["open"] += 1
        said = HEAD if kind == "head" else HEAD + b"\r\n" + b"{" * 1000 if kind == "body" else b""
        if kind == "body":
            writer.write(said[: len(HEAD) + 2])
            said = said[len(HEAD) + 2 :]
        closed = asyncio.ensure_future(reader.read(1))
        try:
            while not stop.is_set():
                done, _ = await asyncio.wait({closed}, timeout=1.0)
                if done:
                    break
                if said:
                    writer.write(said[:1])
                    said = said[1:]
        except OSError:
            pass
        counts["open"] -= 1
        counts["closed"] += 1
        closed.cancel()
        writer.close()
        await asyncio.gather(closed, return_exceptions=True)
        await asyncio.sleep(renew)


def holder(port, held, renew, orders, told):
    """Holds whenever it is told to, until it is told to stop; says how it went. The server has the right of way."""
    os.nice(19)

    async def while_told():
        counts = {"open": 0, "closed": 0, "unopened": 0, "most": 0}
        while await asyncio.to_thread(orders.get):
            stop = asyncio.Event()
            tasks = [asyncio.ensure_future(hold(port, ("idle", "head", "body")[i % 3], stop, counts, renew)) for i in range(held)]
            await asyncio.sleep(3)
            told.put("held")
            ended = asyncio.ensure_future(asyncio.to_thread(orders.get))
            while not ended.done():
                counts["most"] = max(counts["most"], counts["open"])
                await asyncio.sleep(0.2)
            stop.set()
            await asyncio.gather(*tasks, return_exceptions=True)
            told.put("gone")
        told.put({**counts, "cpu": sum(os.times()[:2])})

    asyncio.run(while_told())


async def ask(port, request, limit):
    """Seconds from before the connection until the whole answer, and its status; (None, why) without one."""
    start = time.perf_counter()
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), limit)
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(), limit)
        writer.close()
        return time.perf_counter() - start, int(answer.split(b" ", 2)[1])
    except (OSError, ValueError, IndexError, asyncio.TimeoutError) as error:
        return None, repr(error)


def speech(number):
    body = json.dumps({"input": f"{number}番です。", "voice": "demo", "response_format": "wav"}).encode()
    head = (
        "POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def measure(port, seconds, health, spoken):
    end = time.monotonic() + seconds

    async def knock():
        request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        while time.monotonic() < end:
            health.append(await ask(port, request, 10))
            await asyncio.sleep(0.02)

    async def speak():
        while time.monotonic() < end:
            spoken.append(await ask(port, speech(len(spoken) + 1), 30))

    await asyncio.gather(knock(), speak())


def hundredth(times, part):
    return sorted(times)[min(len(times) - 1, int(len(times) * part))] if times else float("nan")


async def run(port, options):
    result = {"alone": ([], []), "held": ([], [])}
    orders, told = multiprocessing.Queue(), multiprocessing.Queue()
    process = multiprocessing.Process(target=holder, args=(port, options.held, options.renew, orders, told), daemon=True)
    process.start()
    await measure(port, 2, [], [])
    for _ in range(options.rounds):
        await measure(port, options.seconds, *result["alone"])
        orders.put(True)
        await asyncio.to_thread(told.get)
        await measure(port, options.seconds, *result["held"])
        orders.put(True)
        await asyncio.to_thread(told.get)
        await asyncio.sleep(1)
    orders.put(False)
    counts = await asyncio.to_thread(told.get)
    process.join(10)
    return result, counts


def report(result, counts, options):
    bad = 0
    tell = {}
    for when, (health, spoken) in result.items():
        for what, asked in (("healthz", health), ("speech", spoken)):
            well = [seconds for seconds, status in asked if status == 200]
            other = [status for _, status in asked if status != 200]
            bad += len(other)
            tell[when, what] = (len(asked), [hundredth(well, part) * 1000 for part in (0.5, 0.99, 1)], other)
            p50, p99, worst = tell[when, what][1]
            print(f"{when:6} {what:8} n={len(asked):5} p50={p50:8.1f} ms p99={p99:8.1f} ms worst={worst:8.1f} ms refused={other[:5]}")
    ratio = tell["held", "speech"][1][0] / tell["alone", "speech"][1][0]
    print(f"speech beside them / alone: p50 {ratio:.3f}, p99 {tell['held', 'speech'][1][1] / tell['alone', 'speech'][1][1]:.3f}")
    print(f"held at once: {counts['most']} of {options.held}; closed by the server or at a round's end: {counts['closed']}, not opened: {counts['unopened']}; processor time of their own process: {counts['cpu']:.0f} s")
    return bad == 0 and tell["held", "healthz"][1][1] <= 20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True)
    parser.add_argument("--held", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--renew", type=float, default=1)
    parser.add_argument("--connections", type=int, default=1024, help="connections_max of the server")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "koemasu.toml").write_text(f"[server]\nconnections_max = {options.connections}\n")
        log = open(pathlib.Path(folder, "log"), "w+")
        server = subprocess.Popen(
            [os.path.abspath(options.server), "serve", "--listen", "127.0.0.1:0"], cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            port = None
            for _ in range(600):
                time.sleep(0.1)
                told = pathlib.Path(folder, "log").read_text()
                if "koemasu serves on http://127.0.0.1:" in told:
                    port = int(told.rsplit("serves on http://127.0.0.1:", 1)[1].split("\n")[0].split()[0].strip("\"'/,"))
                    break
                if server.poll() is not None:
                    sys.exit(f"the server has ended: {told}")
            if port is None:
                sys.exit("the server is not ready")
            result, counts = asyncio.run(run(port, options))
            fine = report(result, counts, options)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
