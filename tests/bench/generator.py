"""A process that serves streams, lists and objects over TLS from bytes that were built before anybody asked.

It is no API server: blocking sockets, one thread a connection, so that what is measured is the reader. The plural
that is asked for says what comes: ``burst<n>`` n changes as fast as they go, ``paced<n>`` n changes at ``PACE`` a
second, ``listed<n>`` a streaming list, ``paged<n>`` pages (streaming lists are refused), ``call`` one object.
"""

from __future__ import annotations

import re
import socket
import ssl
import sys
import threading
import time
from contextlib import suppress
from functools import cache
from typing import Final
from urllib.parse import parse_qs, urlsplit

import trustme

from tests.bench import corpus
from tests.bench.child import answer

PACE: Final = 500.0  # single events a second
SETTLE: Final = 0.3  # s from the end of the list to the first change: the reader has come to rest
SLAB: Final = 2**18  # bytes handed to TLS at once; one call for each event would measure the generator

_JSON_HEAD: Final = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_STREAM_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
_REFUSED: Final = b'{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}'


def chunk(line: bytes) -> bytes:
    """One HTTP chunk for each event, as kube-apiserver sends them."""
    return b"%x\r\n%s\r\n" % (len(line), line)


@cache
def changes(count: int) -> list[bytes]:
    """``count`` MODIFIED events over ``NAMES`` objects."""
    first = corpus.FIRST_VERSION + corpus.NAMES
    return [chunk(corpus.event("MODIFIED", corpus.widget(n % corpus.NAMES, first + n))) for n in range(count)]


@cache
def slabs(count: int) -> list[bytes]:
    """The same in large pieces."""
    at_once = max(1, SLAB // corpus.SIZE)
    lines = changes(count)
    return [b"".join(lines[n : n + at_once]) for n in range(0, count, at_once)]


@cache
def initial(count: int) -> list[bytes]:
    """A streaming list of ``count`` objects and its end, in large pieces."""
    lines = [chunk(corpus.event("ADDED", corpus.widget(n, corpus.FIRST_VERSION + n))) for n in range(count)]
    lines.append(chunk(corpus.bookmark(corpus.FIRST_VERSION + count, end=True)))
    at_once = max(1, SLAB // corpus.SIZE)
    return [b"".join(lines[n : n + at_once]) for n in range(0, len(lines), at_once)]


@cache
def page(first: int, limit: int, total: int) -> bytes:
    return corpus.page(first, limit or total, total)


@cache
def single() -> bytes:
    body = corpus.widget(1, corpus.FIRST_VERSION)
    return _JSON_HEAD % (200, len(body)) + body


class _Connection:
    """Answers the requests of one client, one after the other."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._sock = sock
        self._rest = b""

    def serve(self) -> None:
        with self._sock, suppress(OSError):
            while request := self._request():
                self._answer(request)

    def _request(self) -> str:
        """Method and target of the next request, its body read; "" when the client is gone."""
        data = self._rest
        while b"\r\n\r\n" not in data:
            more = self._sock.recv(65536)
            if not more:
                return ""
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        needed = int(length[1]) if length else 0
        while len(rest) < needed:
            rest += self._sock.recv(65536)
        self._rest = rest[needed:]
        return head.split(b"\r\n", 1)[0].decode().rpartition(" ")[0]

    def _answer(self, request: str) -> None:
        target = urlsplit(request.partition(" ")[2])
        query = {key: values[0] for key, values in parse_qs(target.query).items()}
        segments = target.path.strip("/").split("/")
        plural = next(part for part in segments if re.fullmatch(r"(burst|paced|listed|paged)\d+|call", part))
        if plural == "call":
            self._sock.sendall(single())
            return
        count = int(re.sub(r"\D", "", plural))
        if query.get("watch", "").lower() != "true":
            self._json(200, page(int(query.get("continue", "0")), int(query.get("limit", "0")), count))
        elif plural.startswith("paged") and "sendInitialEvents" in query:
            self._json(422, _REFUSED)
        else:
            self._stream(plural, count, listing="sendInitialEvents" in query)

    def _json(self, status: int, body: bytes) -> None:
        self._sock.sendall(_JSON_HEAD % (status, len(body)))
        self._sock.sendall(body)

    def _stream(self, plural: str, count: int, *, listing: bool) -> None:
        changing = plural.startswith(("burst", "paced"))
        begun = initial(corpus.NAMES if changing else count) if listing else []
        paced = changes(count) if plural.startswith("paced") else []
        burst = slabs(count) if plural.startswith("burst") else []
        self._sock.sendall(_STREAM_HEAD)
        for piece in begun:
            self._sock.sendall(piece)
        if changing:
            time.sleep(SETTLE)
        for piece in burst:
            self._sock.sendall(piece)
        started = time.monotonic()
        for number, piece in enumerate(paced):
            if (early := started + number / PACE - time.monotonic()) > 0:
                time.sleep(early)
            self._sock.sendall(piece)
        self._sock.recv(1)  # the stream stays open until the reader has had enough


def _listen(context: ssl.SSLContext) -> int:
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def accept() -> None:
        while True:
            raw, _ = listener.accept()
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=greet, args=(raw,), daemon=True).start()

    def greet(raw: socket.socket) -> None:
        with suppress(OSError):
            _Connection(context.wrap_socket(raw, server_side=True)).serve()

    threading.Thread(target=accept, daemon=True).start()
    port: int = listener.getsockname()[1]
    return port


def main() -> None:
    """Say where it listens; build what a line on stdin names; end with stdin."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    port = _listen(context)
    answer({"server": f"https://127.0.0.1:{port}", "authority": authority.cert_pem.bytes().decode()})
    for line in sys.stdin:
        word, _, number = line.strip().partition(" ")
        count = int(number or 0)
        match word:
            case "burst":
                slabs(count)
                initial(corpus.NAMES)
            case "paced":
                changes(count)
            case "listed":
                initial(count)
            case "paged":
                for first in range(0, count, 500):
                    page(first, 500, count)
        answer({})


if __name__ == "__main__":
    main()
