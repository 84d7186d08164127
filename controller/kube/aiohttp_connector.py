"""Connections as they are made and ended: deadlines, keepalive, and which addresses are connected to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.tracing import Trace

from controller.kube import tls_buffers
from controller.kube.addresses import RESOLVE_DEADLINE

CONNECT_DEADLINE: Final = 3.0  # s for TCP and TLS together; the resolver has a deadline of its own
ABORT_TURNS: Final = 20  # of the loop, in which an aborted connection closes its socket; it takes three or four

# A peer that vanished is noticed after 15 + 3·5 s when idle and after 30 s with data under way; aiohttp sets neither.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}


class Connector(aiohttp.TCPConnector):
    """Connections to one API server, made within ``CONNECT_DEADLINE`` each.

    Can end those, too, that were closed and wait for the peer to take its leave of TLS (30 s). ``check`` raises for an
    address that is not to be connected to.
    """

    def __init__(self, check: Callable[[str], None], **options: Any) -> None:
        self._sockets: WeakSet[socket.socket] = WeakSet()

        def make(addr_info: aiohttp.AddrInfoType) -> socket.socket:
            made = _socket(check, addr_info)
            self._sockets.add(made)
            return made

        super().__init__(
            use_dns_cache=False,  # the resolver keeps the last good address itself
            socket_factory=make,
            **options,
        )

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        # ``sock_connect`` is for one address, and aiohttp begins again with the next one: a name with four addresses
        # in a black hole would take four times as long.
        async with asyncio.timeout(RESOLVE_DEADLINE + CONNECT_DEADLINE):
            made = await super()._create_connection(req, traces, timeout)
        if made.transport is not None:
            tls_buffers.share(made.transport)
        return made

    async def abort(self) -> None:
        """Break every connection that is left, and see the sockets closed."""
        left = [sock for sock in self._sockets if sock.fileno() != -1]
        for sock in left:
            # Not ``transport.abort()``: that does nothing for a TLS transport that was closed twice.
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for _ in range(ABORT_TURNS):
            await asyncio.sleep(0)
            if all(sock.fileno() == -1 for sock in left):
                return


def _socket(check: Callable[[str], None], addr_info: aiohttp.AddrInfoType) -> socket.socket:
    """A socket towards one address: judged here, because here is the address that is really used."""
    family, kind, protocol, _, address = addr_info
    check(str(address[0]))
    sock = socket.socket(family=family, type=kind, proto=protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if (option := getattr(socket, name, None)) is not None:  # Linux has all, others some
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
    except OSError:
        sock.close()
        raise
    return sock
