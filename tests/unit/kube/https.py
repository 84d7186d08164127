"""HTTPS servers on loopback that do exactly what a test says, down to the byte."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, NamedTuple

import trustme

from controller.kube.access import Access

Handler = Callable[["Received", asyncio.StreamWriter], Awaitable[None]]


class Received(NamedTuple):
    """One request as it came off the wire; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    client: str  # common name of the client certificate, "" when there was none


@cache
def authority() -> trustme.CA:
    return trustme.CA()


@cache
def server_certificate(*names: str) -> trustme.LeafCert:
    return authority().issue_cert(*names)


class Server:
    """What a running server is and has seen. ``open``: connections that are open now; ``most``: at once, so far."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.seen: list[Received] = []
        self.connections = 0
        self.open = 0
        self.most = 0
        self.port = 0
        self.closed = asyncio.Event()  # set while no connection is open
        self.closed.set()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def access(self, **changes: Any) -> Access:
        defaults = {"server": self.url, "certificate_authority": authority().cert_pem.bytes(), "token": "abc"}
        return Access(**(defaults | changes))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.most = max(self.most, self.open)
        self.closed.clear()
        try:
            while (received := await _receive(reader, writer)) is not None:
                self.seen.append(received)
                await self.handler(received, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(Exception):
                await writer.wait_closed()
            self.open -= 1
            if not self.open:
                self.closed.set()


@asynccontextmanager
async def https(handler: Handler, *, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """A server on 127.0.0.1 with a certificate of ``authority()``; ``context`` for another one."""
    if context is None:
        context = server_context()
    async with listening(handler, context) as server:
        yield server


@asynccontextmanager
async def listening(handler: Handler, context: ssl.SSLContext | None) -> AsyncIterator[Server]:
    server = Server(handler)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(server.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(lambda _: (tasks.discard(task), writer.close()))  # a cancelled one may never begin

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def server_context(certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (certificate or server_certificate("127.0.0.1", "localhost", "api.example")).configure_cert(context)
    return context


async def reply(
    writer: asyncio.StreamWriter, status: int = 200, body: bytes = b"{}", *headers: tuple[str, str]
) -> None:
    """A whole response."""
    await head(writer, status, ("Content-Length", str(len(body))), *headers)
    writer.write(body)
    await writer.drain()


async def head(writer: asyncio.StreamWriter, status: int, *headers: tuple[str, str]) -> None:
    """The beginning of a response."""
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers), "", ""]
    writer.write("\r\n".join(lines).encode())
    await writer.drain()


async def chunk(writer: asyncio.StreamWriter, content: bytes) -> None:
    """A piece of a response with chunked encoding; b"" ends it."""
    writer.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
    await writer.drain()


CHUNKED = ("Transfer-Encoding", "chunked")


async def _receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Received | None:
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    method, target, _ = lines[0].split(" ", 2)
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(method, target, headers, body, _common_name(writer))


def _common_name(writer: asyncio.StreamWriter) -> str:
    peer = writer.get_extra_info("peercert") or {}
    return next((value for part in peer.get("subject", ()) for key, value in part if key == "commonName"), "")
