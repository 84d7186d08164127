"""What hostile and broken API servers do (R) with a request, and what is to be said of each."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from typing import Any, NamedTuple

from controller.sandbox.apiserver import ApiServer
from tests.hardening import traps
from tests.hardening.hostile import Twist, Writer, honest, is_page, is_stream, is_version, no_streaming_lists
from tests.unit.kube.https import CHUNKED, Received, chunk, head, reply

MEBIBYTE = 2**20
JSON = ("Content-Type", "application/json")
LIST = b'{"kind":"CassandraDatacenterList","apiVersion":"cassandra.datastax.com/v1beta1","metadata":{%s},"items":[]}'


def is_copy(received: Received) -> bool:
    """Whether it creates a Secret."""
    return received.method == "POST" and received.target.partition("?")[0].endswith("/secrets")


class Behaviour(NamedTuple):
    """What a server does, and what is to be said of it. ``watch``: what is to be said of its watch instead."""

    sentence: str
    twist: Twist
    reason: str = "Connected"
    says: str = ""
    watch: str = ""


def when(matches: Callable[[Received], bool], answer: Callable[[Writer], Any]) -> Twist:
    async def twist(server: ApiServer, received: Received, writer: Writer) -> bool:
        if not matches(received):
            return False
        await answer(writer)
        return True

    return twist


def always(answer: Callable[[Writer], Any]) -> Twist:
    return when(lambda _: True, answer)


def paged(answer: Callable[[Writer], Any]) -> Twist:
    async def twist(server: ApiServer, received: Received, writer: Writer) -> bool:
        if await no_streaming_lists(server, received, writer):
            return True
        if not is_page(received):
            return False
        await answer(writer)
        return True

    return twist


def redirect(status: int) -> Twist:
    return always(lambda writer: reply(writer, status, b"", ("Location", f"https://127.0.0.1:{trap_port()}/stolen")))


trap: list[traps.Listener] = []  # where redirects lead to, while a test runs


def trap_port() -> int:
    return trap[0].port


def body(content: bytes, *headers: tuple[str, str]) -> Callable[[Writer], Any]:
    return lambda writer: reply(writer, 200, content, *(headers or (JSON,)))


async def endless(writer: Writer) -> None:
    await head(writer, 200, JSON, CHUNKED)
    while not writer.is_closing():
        await chunk(writer, b" " * 65536)
        await asyncio.sleep(0)  # or nobody would learn that the other side is gone


async def drip(writer: Writer) -> None:
    await head(writer, 200, JSON, ("Content-Length", "1000"))
    while not writer.is_closing():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(1.0)


async def short(writer: Writer) -> None:
    await head(writer, 200, JSON, ("Content-Length", "1000"))
    writer.write(b"{")
    await writer.drain()
    writer.transport.abort()


async def stuffed(writer: Writer) -> None:
    """More than was declared: a second response that nobody asked for."""
    await reply(writer, 200, b'{"gitVersion":"v1.36.0"}', JSON)
    writer.write(b'HTTP/1.1 200 X\r\nContent-Length: 23\r\n\r\n{"gitVersion":"canary"}')
    await writer.drain()


async def goaway(writer: Writer) -> None:
    writer.write(
        b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    )
    await writer.drain()
    writer.close()


async def reset(writer: Writer) -> None:
    writer.transport.abort()


async def headers_without_end(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 X\r\n")
    while not writer.is_closing():
        writer.write(b"x-canary: canary\r\n" * 1000)
        await writer.drain()
        await asyncio.sleep(0)


_counter = iter(range(10**9))


def next_page() -> bytes:
    return LIST % b'"resourceVersion":"1","continue":"%d"' % next(_counter)


async def page_without_end(writer: Writer) -> None:
    await reply(writer, 200, next_page(), JSON)


def event(content: bytes, kind: bytes = b"ADDED") -> bytes:
    return b'{"type":"%s","object":%s}\n' % (kind, content)


def datacenter(name: bytes, **fields: bytes) -> bytes:
    more = b"".join(b',"%s":%s' % (key.encode(), value) for key, value in fields.items())
    metadata = b'{"name":"%s","namespace":"k8ssandra-operator","uid":"%s","resourceVersion":"7"}' % (name, name)
    return b'{"apiVersion":"cassandra.datastax.com/v1beta1","kind":"CassandraDatacenter","metadata":%s%s}' % (
        metadata,
        more,
    )


END = event(
    b'{"metadata":{"resourceVersion":"9","annotations":{"k8s.io/initial-events-end":"true"}}}', kind=b"BOOKMARK"
)


def lines(*content: bytes) -> Twist:
    """These lines instead of a watch, which then stays open and silent."""

    async def answer(writer: Writer) -> None:
        await head(writer, 200, JSON, CHUNKED)
        for line in content:
            await chunk(writer, line)
        await asyncio.sleep(3600)

    return when(is_stream, answer)


async def flood(writer: Writer) -> None:
    """The same object again and again, and never an end of the list."""
    await head(writer, 200, JSON, CHUNKED)
    line = event(datacenter(b"dc")) * 100
    while not writer.is_closing():
        await chunk(writer, line)
        await asyncio.sleep(0.02)


def beside(*extra: tuple[str, str]) -> Twist:
    async def twist(server: ApiServer, received: Received, writer: Writer) -> bool:
        await honest(server, received, writer, *extra)
        return True

    return twist


async def hints(_: ApiServer, received: Received, writer: Writer) -> bool:
    writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </canary>; rel=preload\r\n\r\n")
    return False


async def close_each(server: ApiServer, received: Received, writer: Writer) -> bool:
    await honest(server, received, writer, ("Connection", "close"))
    writer.close()
    return True


BOMB = gzip.compress(bytes(256 * MEBIBYTE), 9)  # 256 KiB
DEEP = 100_000

BEHAVIOURS: dict[str, Behaviour] = {
    **{
        f"R01-{status}": Behaviour("a redirect is not followed", redirect(status), "Unreachable", str(status))
        for status in (301, 302, 303, 307, 308)
    },
    "R01-post": Behaviour(
        "a body is not carried on",
        when(
            is_copy,
            lambda w: reply(w, 307, b"", ("Location", f"https://127.0.0.1:{trap_port()}/api/v1/secrets")),
        ),
    ),
    "R02-401": Behaviour(
        "no other way of proving who we are is tried",
        always(lambda w: reply(w, 401, b"{}", ("WWW-Authenticate", "Negotiate"), ("Set-Cookie", "a=canary"))),
        "Unauthorized",
        "401",
    ),
    "R02-407": Behaviour(
        "no proxy is spoken to",
        always(lambda w: reply(w, 407, b"{}", ("Proxy-Authenticate", 'Basic realm="canary"'))),
        "Unreachable",
        "407",
    ),
    "R02-cookie": Behaviour("cookies are dropped", beside(("Set-Cookie", "session=canary; Path=/"))),
    "R03-url": Behaviour(
        "a continue token is no address",
        paged(
            lambda w: reply(
                w, 200, LIST % b'"resourceVersion":"1","continue":"https://127.0.0.1:%d/"' % trap_port(), JSON
            )
        ),
        watch="circles",
    ),
    "R03-mebibyte": Behaviour(
        "a continue token has a length",
        paged(body(LIST % (b'"resourceVersion":"1","continue":"%s"' % (b"x" * MEBIBYTE)))),
        watch="continue token is over",
    ),
    "R04-gzip": Behaviour(
        "a bomb is not unpacked",
        when(is_version, body(BOMB, JSON, ("Content-Encoding", "gzip"))),
        "Unreachable",
        "compressed",
    ),
    "R04-gzip-list": Behaviour(
        "a bomb is not unpacked where a list should be",
        paged(body(BOMB, JSON, ("Content-Encoding", "gzip"))),
        watch="compressed",
    ),
    "R04-deflate-stream": Behaviour(
        "a bomb is not unpacked where a watch should be",
        when(is_stream, body(BOMB, JSON, ("Content-Encoding", "deflate"))),
        watch="compressed",
    ),
    "R04-endless": Behaviour("an answer has an end", when(is_version, endless), "Unreachable", "4194304 bytes"),
    "R04-declared": Behaviour(
        "an answer that is declared too large is not read",
        when(is_version, lambda w: head(w, 200, JSON, ("Content-Length", str(10**12)))),
        "Unreachable",
        "4194304 bytes",
    ),
    "R04-short": Behaviour("an answer that is shorter than declared is none", when(is_version, short), "Unreachable"),
    "R04-long": Behaviour("what comes after an answer belongs to no other", when(is_version, stuffed)),
    "R05-pages": Behaviour("a list that never ends does", paged(page_without_end), watch="has not ended after"),
    "R05-stream": Behaviour("a stream that never ends its list is given up for pages", when(is_stream, flood)),
    "R14": Behaviour("a byte a second is no answer", when(is_version, drip), "Unreachable", "within"),
    "R16-close": Behaviour("every answer may close its connection", close_each),
    "R16-hints": Behaviour("early hints are skipped", hints),
    "R16-goaway": Behaviour("another protocol is none", always(goaway), "Unreachable"),
    "R16-reset": Behaviour("a connection may be reset each time", always(reset), "Unreachable"),
    "R16-html": Behaviour(
        "a page for people is no answer",
        always(body(b"<html>canary</html>", ("Content-Type", "text/html"))),
        "Unreachable",
        "not what an API server answers",
    ),
    "R16-headers": Behaviour(
        "a header has a length",
        always(lambda w: reply(w, 200, b"{}", ("x-canary", "canary" * MEBIBYTE))),
        "Unreachable",
        "not HTTP",
    ),
    "R16-endless-headers": Behaviour("headers have an end", always(headers_without_end), "Unreachable"),
    "R16-deep-version": Behaviour(
        "a hundred thousand lists in each other are no version",
        when(is_version, body(b"[" * DEEP + b"]" * DEEP)),
        "Unreachable",
        "not what an API server answers",
    ),
    "R16-deep-object": Behaviour(
        "an object may be nested without end",
        lines(event(datacenter(b"dc", status=b'{"a":' * DEEP + b"1" + b"}" * DEEP)), END),
    ),
    "R16-deep-line": Behaviour("a line of brackets is no event", lines(b"[" * DEEP + b"\n"), watch="not an event"),
    "R16-garbage-line": Behaviour("a line is an event", lines(b"\x00canary\xff\n"), watch="not an event"),
    "R16-three-mebibytes": Behaviour(
        "a line of three mebibytes is taken",
        lines(event(datacenter(b"dc", spec=b'{"x":"%s"}' % (b"x" * 3 * MEBIBYTE))), END),
    ),
    "R16-nine-mebibytes": Behaviour(
        "a line of nine mebibytes is not",
        lines(b'{"type":"ADDED","object":{"x":"' + b"x" * 9 * MEBIBYTE),
        watch="a line of the stream is over",
    ),
    "R16-endless-error": Behaviour(
        "what a server says of an error is cut and escaped",
        always(lambda w: reply(w, 500, b'{"reason":"x\\u001b[31m","message":"%s"}' % (b"y\\n" * 100_000), JSON)),
        "Unreachable",
        "500",
    ),
}  # fmt: skip
