"""HTTP/1.1 as a suspicious client reads it: an answer is whole only if its own framing says so, and nothing follows it."""

import json
import socket
import time


class Refused(Exception):
    """The server took no request: nobody listens, or the connection went before one byte of an answer."""


class Cut(Exception):
    """The answer began and did not end."""


class Timeout(Exception):
    pass


class Gone(Exception):
    """We hung up, on purpose."""


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        self.surplus = b""

    def json(self):
        return json.loads(self.body)


class Reader:
    """Bytes of a socket in lines and pieces. `pace` seconds are slept after each piece of a slow reader's answer."""

    def __init__(self, sock, deadline, pace=0.0, piece=65536, hang_up_after=None):
        self.sock, self.deadline, self.pace, self.piece = sock, deadline, pace, piece
        self.hang_up_after, self.taken, self.buffer = hang_up_after, 0, b""

    def fill(self):
        if self.hang_up_after is not None and self.taken >= self.hang_up_after:
            raise Gone()
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise Timeout()
        self.sock.settimeout(left)
        try:
            more = self.sock.recv(self.piece)
        except socket.timeout:
            raise Timeout() from None
        except OSError as error:
            raise (Cut if self.taken else Refused)(str(error)) from None
        if self.taken and self.pace:
            time.sleep(self.pace)
        self.taken += len(more)
        self.buffer += more
        return bool(more)

    def line(self):
        while b"\r\n" not in self.buffer:
            if len(self.buffer) > 65536:
                raise Cut("a line without end")
            if not self.fill():
                raise (Cut if self.taken else Refused)("the connection ended in a line")
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def exactly(self, count):
        while len(self.buffer) < count:
            if not self.fill():
                raise Cut(f"{count - len(self.buffer)} bytes are missing")
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def rest(self):
        while self.fill():
            pass
        data, self.buffer = self.buffer, b""
        return data


def read_reply(reader):
    status = reader.line().split(b" ", 2)
    if len(status) < 2 or status[0] != b"HTTP/1.1" or not status[1].isdigit():
        raise Cut(f"this is no status line: {status!r}")
    headers = {}
    while line := reader.line():
        name, _, value = line.partition(b":")
        headers[name.strip().lower().decode("latin-1")] = value.strip().decode("latin-1")
    code = int(status[1])
    if code == 204:
        body = b""
    elif "chunked" in headers.get("transfer-encoding", ""):
        pieces = []
        while True:
            size = int(reader.line().split(b";")[0], 16)
            if size == 0:
                break
            pieces.append(reader.exactly(size))
            if reader.exactly(2) != b"\r\n":
                raise Cut("a chunk does not end where it says")
        while reader.line():
            pass
        body = b"".join(pieces)
    elif "content-length" in headers:
        body = reader.exactly(int(headers["content-length"]))
    else:
        raise Cut("the answer does not say where it ends")
    return Reply(code, headers, body)


def ask(port, method, path, body=None, headers=(), timeout=60.0, pace=0.0, piece=65536, hang_up_after=None,
        hang_up_at=None):
    """One request on a connection of its own. `hang_up_after` bytes, or when `hang_up_at` seconds have passed, we go."""
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
        headers = [("content-type", "application/json"), *headers]
    body = body or b""
    head = [f"{method} {path} HTTP/1.1", f"host: 127.0.0.1:{port}", "connection: close"]
    head += [f"{name}: {value}" for name, value in headers]
    if body or method in ("POST", "PUT"):
        head.append(f"content-length: {len(body)}")
    request = "\r\n".join(head).encode() + b"\r\n\r\n" + body
    deadline = time.monotonic() + timeout
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if pace:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    try:
        sock.settimeout(min(timeout, 10.0))
        try:
            sock.connect(("127.0.0.1", port))
            sock.sendall(request)
        except OSError as error:
            raise Refused(str(error)) from None
        if hang_up_at is not None:
            time.sleep(hang_up_at)
            raise Gone()
        reader = Reader(sock, deadline, pace, piece, hang_up_after)
        reply = read_reply(reader)
        # We asked for the connection's end; what comes before it is a second answer.
        try:
            reply.surplus = reader.rest()
        except (Cut, Refused):
            pass
        return reply
    finally:
        sock.close()
