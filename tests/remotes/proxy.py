"""A TCP proxy on loopback that leads to one server and can break connections in all the ways that networks know."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from tests.remotes import packets
from tests.remotes.pair import Pair
from tests.remotes.trouble import HEALTHY, Mode, Trouble

BACKLOG: Final = 512


class Proxy:
    """``url`` leads to ``target`` (host, port). ``accepted``: connections so far; ``open``: those there are now."""

    def __init__(self, target: str, host: str = "127.0.0.1") -> None:
        self.target = _address(target)
        self.accepted = 0
        self.trouble = HEALTHY
        self.packets_vanish = True  # False: the kernel does not let us, and it still acknowledges in a black hole
        self._listener, port = _bound(host)
        self.url: Final = f"https://{host}:{port}"
        self._crowd: packets.Crowd | None = None
        self._pairs: set[Pair] = set()
        self._listen()

    @property
    def open(self) -> int:
        """Connections from clients that have not ended."""
        return len(self._pairs)

    # ── faults ──────────────────────────────────────────────────────────────────────────────────────

    def heal(self) -> None:
        """All is well; connections that have survived go on."""
        was, self.trouble = self.trouble, HEALTHY
        if was.mode is Mode.HEALTHY:
            return
        packets.keep(self._listener)
        if self._crowd is not None:
            self._crowd.leave()
            self._crowd = None
        for pair in list(self._pairs):
            pair.heal()
        self._listen()

    def refuse(self) -> None:
        self._begin(Trouble(Mode.REFUSED))
        self._deaf()
        self._listener.shutdown(socket.SHUT_RDWR)  # it keeps its port
        self._reset_all()

    def reset(self) -> None:
        self._begin(Trouble(Mode.RESET))
        self._reset_all()

    def black_hole(self) -> None:
        self._begin(Trouble(Mode.BLACK_HOLE))
        self._deaf()
        self.packets_vanish = packets.lose(self._listener, 1)
        if not self.packets_vanish:
            self._crowd = packets.Crowd(self._listener)
        for pair in self._pairs:
            pair.swallow()
            pair.lose(1)

    def freeze(self) -> None:
        self._begin(Trouble(Mode.FROZEN))
        for pair in self._pairs:
            pair.swallow()

    def half_open(self) -> None:
        self._begin(Trouble(Mode.HALF_OPEN))
        for pair in self._pairs:
            pair.swallow()
            self.packets_vanish = pair.lose(1)

    def hang_handshakes(self) -> None:
        self._begin(Trouble(Mode.HANDSHAKE_HANG))

    def trickle(self, bytes_per_second: float) -> None:
        self._begin(Trouble(Mode.TRICKLE, bytes_per_second))

    def cut_idle(self, seconds: float) -> None:
        self._begin(Trouble(Mode.IDLE_CUT, seconds))
        for pair in self._pairs:
            pair.watch_idleness()

    def buffer(self, size: float = 16_384, wait: float = 1.0) -> None:
        """Hold what the server says until it is ``size`` bytes, or the first of them has waited ``wait`` seconds."""
        self._begin(Trouble(Mode.BUFFERING, size, wait))

    def lose(self, share: float) -> None:
        """Lose this share of the packets; TCP sends them again."""
        self._begin(Trouble(Mode.LOSS, share))
        self.packets_vanish = packets.lose(self._listener, share)
        for pair in self._pairs:
            pair.lose(share)

    def cut(self) -> None:
        """Reset what is open, once; new connections work as before."""
        self._reset_all()

    # ── connections ─────────────────────────────────────────────────────────────────────────────────

    async def close(self) -> None:
        self._deaf()
        if self._crowd is not None:
            self._crowd.leave()
        self._listener.close()
        tasks = [pair.task for pair in self._pairs if pair.task is not None]
        self._reset_all()
        await asyncio.gather(*tasks, return_exceptions=True)

    def forget(self, pair: Pair) -> None:
        self._pairs.discard(pair)

    def _begin(self, trouble: Trouble) -> None:
        self.heal()
        self.trouble = trouble

    def _listen(self) -> None:
        self._listener.listen(BACKLOG)
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _deaf(self) -> None:
        asyncio.get_running_loop().remove_reader(self._listener)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:  # nobody any more, or somebody who has gone away already
                return
            self.accepted += 1
            if self.trouble.mode is Mode.RESET:
                packets.reset_on_close(sock)
                sock.close()
                continue
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = Pair(self, sock)
            self._pairs.add(pair)
            pair.task = asyncio.get_running_loop().create_task(pair.connect())

    def _reset_all(self) -> None:
        for pair in list(self._pairs):
            pair.reset()


@asynccontextmanager
async def proxy(target: str) -> AsyncIterator[Proxy]:
    """A proxy to the URL ``target``; nothing of it is left afterwards."""
    one = Proxy(target)
    try:
        yield one
    finally:
        await one.close()


def _bound(host: str) -> tuple[socket.socket, int]:
    """A socket at a free port that stays its own when it stops to listen: only a port that was asked for does."""
    with socket.socket() as probe:
        listener = socket.socket()
        for sock in (probe, listener):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        listener.bind((host, port))
    listener.setblocking(False)
    return listener, port


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 443
