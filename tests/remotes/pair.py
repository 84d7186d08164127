"""One connection through the proxy: two sockets, and what becomes of the bytes between them."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any, Final, Protocol

from tests.remotes import packets
from tests.remotes.trouble import Mode, Trouble

TICK: Final = 0.05  # s between two portions of a trickle


class Way(Protocol):
    """What a connection has to know of its proxy."""

    target: tuple[str, int]
    trouble: Trouble

    def forget(self, pair: Pair) -> None: ...


class Pair:
    """One connection from a client, and the one that it leads to."""

    def __init__(self, proxy: Way, sock: socket.socket) -> None:
        self.proxy = proxy
        self.task: asyncio.Task[None] | None = None
        self._sock = sock
        self._client: _End | None = None
        self._server: _End | None = None
        self._heard = 0.0
        self._idle: asyncio.TimerHandle | None = None
        self._ended = False
        self._swallowing = proxy.trouble.mode in (Mode.FROZEN, Mode.HANDSHAKE_HANG)
        self._may_go = asyncio.Event()
        if not self._swallowing:
            self._may_go.set()

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        client: _End | None = None
        server: _End | None = None
        try:
            await self._may_go.wait()
            _, server = await loop.create_connection(lambda: _End(self), *self.proxy.target)
            _, client = await loop.connect_accepted_socket(lambda: _End(self), self._sock)
        except OSError:
            self._close(server)
            self.reset()
            return
        except asyncio.CancelledError:
            self._close(server)
            self._close(client)
            raise
        self._client, self._server = client, server
        client.peer, server.peer = server, client
        client.from_server = False
        if self._ended:
            self.reset()
            return
        self._heard = loop.time()
        trouble = self.proxy.trouble
        if trouble.mode is Mode.LOSS:
            self.lose(trouble.measure)  # the client's side has inherited it
        if self._swallowing:
            self.swallow()
        else:
            for end in (client, server):
                end.go()
        self.watch_idleness()

    def heal(self) -> None:
        self._swallowing = False
        self._may_go.set()
        for end in self._ends():
            packets.keep(end.sock)
            end.flush()
            end.go()

    def swallow(self) -> None:
        """Take in nothing more, from neither side."""
        self._swallowing = True
        for end in self._ends():
            end.stop()

    def lose(self, share: float) -> bool:
        if self._client is None:
            return packets.lose(self._sock, share)
        lost = [packets.lose(end.sock, share) for end in self._ends() if share < 1 or end is self._client]
        return all(lost)

    def reset(self) -> None:
        """End both sides, the client's with RST."""
        self._over()
        if self._client is None:
            if self.task is not None:
                self.task.cancel()
            if self._sock.fileno() >= 0:
                packets.reset_on_close(self._sock)
                self._sock.close()
            return
        for end in self._ends():
            if not end.transport.is_closing():
                packets.reset_on_close(end.sock)
            end.transport.abort()

    def ended(self, end: _End) -> None:
        """One side has ended: so does the other, after what is still to be said."""
        self._over()
        if end.peer is not None:
            end.flush()
            end.peer.transport.close()

    def heard(self) -> None:
        self._heard = asyncio.get_running_loop().time()

    def watch_idleness(self) -> None:
        trouble = self.proxy.trouble
        if trouble.mode is not Mode.IDLE_CUT or self._ended or self._client is None:
            return
        loop = asyncio.get_running_loop()
        silent = loop.time() - self._heard
        if silent >= trouble.measure:
            self._over()
            for end in self._ends():
                end.transport.close()
        else:
            self._idle = loop.call_later(trouble.measure - silent, self.watch_idleness)

    def _over(self) -> None:
        self._ended = True
        if self._idle is not None:
            self._idle.cancel()
        self.proxy.forget(self)

    def _ends(self) -> list[_End]:
        return [end for end in (self._client, self._server) if end is not None]

    @staticmethod
    def _close(end: _End | None) -> None:
        if end is not None:
            end.transport.abort()


class _End(asyncio.Protocol):
    """One socket of a pair: what it hears goes to its peer, as the trouble of the moment has it."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.peer: _End | None = None
        self.from_server = True
        self.transport: asyncio.Transport
        self._held = bytearray()  # heard, and not yet said to the peer
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = True  # until both sides are there
        self._full = False  # the peer's buffer

    @property
    def sock(self) -> Any:
        return self.transport.get_extra_info("socket")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.pause_reading()
        with suppress(OSError):
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self.pair.heard()
        assert self.peer is not None
        trouble = self.pair.proxy.trouble
        if trouble.mode is Mode.TRICKLE:
            self._held += data
            self.stop()
            self._drip(trouble.measure)
        elif trouble.mode is Mode.BUFFERING and self.from_server:
            self._held += data
            if len(self._held) >= trouble.measure:
                self.flush()
            elif self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(trouble.wait, self.flush)
        else:
            self.peer.transport.write(data)

    def flush(self) -> None:
        """Say what was held."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._held and self.peer is not None:
            self.peer.transport.write(bytes(self._held))
            self._held.clear()

    def go(self) -> None:
        self._stopped = False
        self._balance()

    def stop(self) -> None:
        self._stopped = True
        self._balance()

    def pause_writing(self) -> None:
        if self.peer is not None:
            self.peer._full = True
            self.peer._balance()

    def resume_writing(self) -> None:
        if self.peer is not None:
            self.peer._full = False
            self.peer._balance()

    def connection_lost(self, exc: Exception | None) -> None:
        self.pair.ended(self)

    def _balance(self) -> None:
        if self.transport.is_closing():
            return
        if self._stopped or self._full:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def _drip(self, rate: float) -> None:
        self._timer = None
        if self.peer is None or self.peer.transport.is_closing():
            return
        portion = max(1, int(rate * TICK))
        self.peer.transport.write(bytes(self._held[:portion]))
        del self._held[:portion]
        if self._held:
            self._timer = asyncio.get_running_loop().call_later(TICK, self._drip, rate)
        else:
            self.go()
