"""Every fault of the proxy, as a client sees it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.remotes.proxy import Proxy, proxy
from tests.remotes.trouble import Mode

PATIENCE = 0.3  # s in which loopback would have answered for long


class Visitor:
    """A client of the proxy; what it asks is echoed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, text: bytes = b"hello") -> bytes:
        self.writer.write(text)
        return await self.reader.readexactly(len(text))

    async def is_silent(self, text: bytes = b"hello") -> bool:
        """Whether nothing comes back for a while."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self.ask(text)
        except TimeoutError:
            return True
        return False


@pytest_asyncio.fixture
async def one() -> AsyncIterator[Proxy]:
    """A proxy to a server that echoes."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, proxy("https://127.0.0.1:%d" % server.sockets[0].getsockname()[1]) as made:  # noqa: UP031
        yield made


@asynccontextmanager
async def visitor(one: Proxy, *, within: float = 5.0) -> AsyncIterator[Visitor]:
    async with asyncio.timeout(within):
        reader, writer = await asyncio.open_connection("127.0.0.1", port(one))
    try:
        yield Visitor(reader, writer)
    finally:
        writer.transport.abort()


def port(one: Proxy) -> int:
    found = urlsplit(one.url).port
    assert found is not None
    return found


async def test_a_healthy_proxy_passes_what_is_said_and_counts(one: Proxy) -> None:
    async with visitor(one) as somebody:
        assert await somebody.ask(b"x" * 300_000) == b"x" * 300_000
        assert (one.accepted, one.open) == (1, 1)


async def test_a_refused_port_resets_what_is_open_and_comes_back_under_the_same_number(one: Proxy) -> None:
    async with visitor(one) as somebody:
        await somebody.ask()
        one.refuse()
        with pytest.raises(ConnectionResetError):
            await somebody.ask()
    with pytest.raises(ConnectionRefusedError):
        async with visitor(one):
            pass
    one.heal()
    async with visitor(one) as another:
        assert await another.ask() == b"hello"


async def test_a_reset_is_rst_in_the_middle_of_a_stream_and_at_every_new_connection(one: Proxy) -> None:
    async with visitor(one) as somebody:
        await somebody.ask()
        one.reset()
        with pytest.raises(ConnectionResetError):
            await somebody.ask()
    with pytest.raises(ConnectionResetError):
        async with visitor(one) as another:
            await another.ask()


async def test_a_cut_resets_once_and_takes_new_connections(one: Proxy) -> None:
    async with visitor(one) as somebody:
        await somebody.ask()
        one.cut()
        with pytest.raises(ConnectionResetError):
            await somebody.ask()
    async with visitor(one) as another:
        assert await another.ask() == b"hello"


async def test_a_black_hole_answers_nobody_and_forgets_nothing_that_is_sent_again(one: Proxy) -> None:
    async with visitor(one) as somebody:
        await somebody.ask()
        one.black_hole()
        assert await somebody.is_silent(b"kept")
        with pytest.raises(TimeoutError):
            async with visitor(one, within=PATIENCE):
                pass
        one.heal()
        async with asyncio.timeout(10):
            assert await somebody.reader.readexactly(4) == b"kept"
    async with visitor(one) as another:
        assert await another.ask() == b"hello"


async def test_a_black_hole_takes_no_connection_where_packets_cannot_be_made_to_vanish(
    one: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.remotes.packets.lose", lambda sock, share: False)
    async with visitor(one) as somebody:
        await somebody.ask()
        one.black_hole()
        assert await somebody.is_silent()
        with pytest.raises(TimeoutError):
            async with visitor(one, within=PATIENCE):
                pass
        one.heal()
        assert await somebody.reader.readexactly(5) == b"hello"
    async with visitor(one) as another:
        assert await another.ask() == b"hello"


async def test_in_a_black_hole_not_even_the_kernel_acknowledges(one: Proxy) -> None:
    async with visitor(one) as somebody:
        await somebody.ask()
        sock = somebody.writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 300)
        one.black_hole()
        somebody.writer.write(b"hello")
        # Where the kernel does not let packets vanish, it acknowledges, and the connection stays.
        expected: type[BaseException] = ConnectionResetError if one.packets_vanish else TimeoutError
        with pytest.raises((expected, OSError)) as failure:
            async with asyncio.timeout(10 if one.packets_vanish else PATIENCE):
                await somebody.reader.read(1)
        vanished = isinstance(failure.value, OSError) and failure.value.errno == errno.ETIMEDOUT
        assert vanished is one.packets_vanish


async def test_a_frozen_server_accepts_and_answers_nothing_until_it_thaws(one: Proxy) -> None:
    async with visitor(one) as old:
        await old.ask()
        one.freeze()
        assert await old.is_silent()
        async with visitor(one) as new:
            assert await new.is_silent()
            one.heal()
            assert await new.reader.readexactly(5) == await old.reader.readexactly(5) == b"hello"


async def test_half_open_is_only_what_was_open(one: Proxy) -> None:
    async with visitor(one) as old:
        await old.ask()
        one.half_open()
        assert await old.is_silent()
        async with visitor(one) as new:
            assert await new.ask() == b"hello"


async def test_a_hanging_handshake_is_only_of_new_connections(one: Proxy) -> None:
    async with visitor(one) as old:
        await old.ask()
        one.hang_handshakes()
        async with visitor(one) as new:
            assert await new.is_silent()
            assert await old.ask() == b"hello"
            one.heal()
            assert await new.reader.readexactly(5) == b"hello"


async def test_a_trickle_lets_so_many_bytes_through_in_a_second(one: Proxy) -> None:
    loop = asyncio.get_running_loop()
    one.trickle(1000)
    async with visitor(one) as somebody:
        began = loop.time()
        assert await somebody.ask(b"x" * 200) == b"x" * 200  # there and back, at the same time after the first portion
        assert 0.15 < loop.time() - began < 2.0


async def test_an_idle_connection_is_cut_and_a_busy_one_is_not(one: Proxy) -> None:
    one.cut_idle(0.3)
    async with visitor(one) as idle, visitor(one) as busy:
        await idle.ask()
        for _ in range(6):
            await asyncio.sleep(0.1)
            assert await busy.ask() == b"hello"
        assert await idle.reader.read() == b""


async def test_a_buffering_proxy_holds_back_until_it_is_enough_or_late(one: Proxy) -> None:
    one.buffer(100, wait=0.6)
    async with visitor(one) as somebody:
        assert await somebody.is_silent(b"x" * 60)
        somebody.writer.write(b"y" * 40)
        async with asyncio.timeout(0.25):
            assert await somebody.reader.readexactly(100) == b"x" * 60 + b"y" * 40
        somebody.writer.write(b"z")
        async with asyncio.timeout(5):
            assert await somebody.reader.readexactly(1) == b"z"


async def test_with_loss_everything_arrives_later(one: Proxy) -> None:
    async with visitor(one) as somebody:
        one.lose(0.3)
        async with asyncio.timeout(30):
            for _ in range(5):
                assert await somebody.ask() == b"hello"
    assert one.trouble.mode is Mode.LOSS


async def test_nothing_is_left_of_a_proxy_whatever_it_was_doing(one: Proxy) -> None:
    async with visitor(one) as somebody:
        await somebody.ask()
        before = len(os.listdir("/proc/self/fd"))
        async with proxy(one.url) as outer:
            for begin in (outer.black_hole, outer.freeze, outer.hang_handshakes, outer.refuse, outer.heal):
                async with visitor(outer, within=1.0) if outer.trouble.mode is Mode.HEALTHY else visitor(one):
                    begin()
        await asyncio.sleep(0)
        while len(os.listdir("/proc/self/fd")) > before:  # the timeout of every test ends this
            await asyncio.sleep(0.01)
        assert outer.open == 0
