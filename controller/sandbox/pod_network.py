"""The network between the pods of a sandbox: who answers at which address, without any socket."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol
from weakref import WeakKeyDictionary

from controller.kube.transport import Request, Response


class Unreachable(Exception):
    """Nothing answers at that address; the text is Go's for it."""


class Listener(Protocol):
    """What answers at one address and port."""

    async def answer(self, request: Request) -> Response:
        """The answer to an HTTP request; ``path`` is that of the pod, without the server's prefix."""
        ...


class PodNetwork:
    """Listeners by IP address and port."""

    def __init__(self) -> None:
        self._listeners: dict[tuple[str, int], Listener] = {}

    def attach(self, address: str, port: int, listener: Listener) -> None:
        """From now on ``listener`` answers there; who did before is gone."""
        self._listeners[address, port] = listener

    def detach(self, address: str, port: int) -> None:
        """Nothing answers there any more."""
        self._listeners.pop((address, port), None)

    async def call(self, address: str, port: int, request: Request) -> Response:
        """The answer of whoever listens there; raises ``Unreachable``."""
        listener = self._listeners.get((address, port))
        if listener is None:
            raise Unreachable(f"dial tcp {address}:{port}: connect: connection refused")
        return await listener.answer(request)


_NETWORKS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, PodNetwork]] = WeakKeyDictionary()


def pod_network() -> PodNetwork:
    """The network of the running event loop: everything simulated in one loop shares it, as it shares the loopback."""
    return _NETWORKS.setdefault(asyncio.get_running_loop(), PodNetwork())
