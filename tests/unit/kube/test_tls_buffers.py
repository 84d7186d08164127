from __future__ import annotations

import asyncio
import gc
import tracemalloc
from asyncio import sslproto
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import pytest

from controller.kube import tls_buffers
from controller.kube.aiohttp_transport import AiohttpTransport
from controller.kube.credentials import StaticCredentials
from controller.kube.transport import LineStream, Request, Response
from tests.unit.kube.https import CHUNKED, Received, Server, chunk, head, https

STREAMS = 30


@pytest.fixture(autouse=True)
def _shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sslproto.SSLProtocol, "max_size", sslproto.SSLProtocol.max_size)  # as it was, afterwards
    tls_buffers.shrink()


async def quiet(received: Received, writer: asyncio.StreamWriter) -> None:
    """A stream that says one line and no more."""
    await head(writer, 200, CHUNKED)
    await chunk(writer, b"hello\n")
    await asyncio.Event().wait()


@asynccontextmanager
async def streams(server: Server, count: int) -> AsyncIterator[list[LineStream]]:
    transport = AiohttpTransport(StaticCredentials(server.access()))
    opened: list[LineStream] = []
    for _ in range(count):
        one = await transport.stream(Request(method="GET", path="/watch"), silence=90)
        assert not isinstance(one, Response)
        opened.append(one)
    try:
        yield opened
    finally:
        await transport.close()


def protocols() -> list[sslproto.SSLProtocol]:
    return [one for one in gc.get_objects() if isinstance(one, sslproto.SSLProtocol)]


async def test_an_idle_stream_takes_little_memory() -> None:
    """Both ends are in this process: what is measured is twice what a stream takes, and a bound on it."""
    async with https(quiet) as server, AsyncExitStack() as stack:
        await stack.enter_async_context(streams(server, 2))  # everything is loaded
        tracemalloc.start()
        stack.callback(tracemalloc.stop)
        for stream in await stack.enter_async_context(streams(server, STREAMS)):
            assert await stream.read() == [b"hello"]
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    assert taken / STREAMS < 100 * 2**10  # bytes; over 500 KiB with asyncio's own buffers


async def test_connections_read_into_one_buffer() -> None:
    async with https(quiet) as server:
        before = set(map(id, protocols()))
        async with streams(server, 3):
            sizes = [len(one._ssl_buffer) for one in protocols() if id(one) not in before]
            shared = {id(one._ssl_buffer) for one in protocols() if len(one._ssl_buffer) == tls_buffers.SHARED}
    assert sorted(sizes) == [tls_buffers.RECORD] * 3 + [tls_buffers.SHARED] * 3  # the server's ends, and ours
    assert len(shared) == 1


async def test_what_comes_on_many_streams_at_once_is_not_mixed_up() -> None:
    texts = [Random(number).randbytes(300_000).hex().encode() for number in range(8)]

    async def send(received: Received, writer: asyncio.StreamWriter) -> None:
        text = texts[int(received.target.rpartition("/")[2])]
        await head(writer, 200, CHUNKED)
        chance = Random(text[:8])
        begin = 0
        while begin < len(text):
            end = begin + chance.randint(1, 200_000)
            await chunk(writer, text[begin:end])
            await asyncio.sleep(0)
            begin = end
        await chunk(writer, b"\n")
        await chunk(writer, b"")

    async def receive(transport: AiohttpTransport, number: int) -> bytes:
        stream = await transport.stream(Request(method="GET", path=f"/{number}"), silence=90)
        assert not isinstance(stream, Response)
        [line] = await stream.read()
        return line

    async with https(send) as server:
        transport = AiohttpTransport(StaticCredentials(server.access()))
        found = await asyncio.gather(*(receive(transport, number) for number in range(8)))
        await transport.close()
    assert found == texts


async def test_without_the_private_parts_connections_work_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_buffers, "_PRIVATE", ("_no_such_thing",))
    async with https(quiet) as server, streams(server, 1) as [stream]:
        assert await stream.read() == [b"hello"]


async def test_what_is_no_tls_connection_is_left_alone() -> None:
    plain = asyncio.Transport()
    tls_buffers.share(plain)
    assert not hasattr(plain, "_ssl_buffer")


def test_the_lever_is_where_it_was() -> None:
    assert sslproto.SSLProtocol.max_size == tls_buffers.RECORD
    made = sslproto.SSLProtocol.__init__.__code__.co_names
    assert {"max_size", *tls_buffers._PRIVATE} <= set(made)
