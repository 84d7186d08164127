"""API servers for tests: real ones, or embedded ones over HTTPS or in this process, all with one face."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol

import msgspec

from controller.kube.access import Access
from controller.kube.aiohttp_transport import AiohttpTransport
from controller.kube.credentials import StaticCredentials
from controller.kube.transport import Transport
from tests.real.servers import RealServer, RealServers, real_servers

REAL: Final = ("real",)
EMBEDDED: Final = ("embedded", "embedded-https")


class Server(Protocol):
    """One API server under test."""

    @property
    def admin_token(self) -> str: ...

    def transport(self, token: str | None = None) -> Transport:
        """A new transport, the admin's unless ``token`` says otherwise; its owner closes it."""
        ...

    async def compact(self, resource_version: str) -> None:
        """Make the server forget its history before ``resource_version``."""
        ...


class _Real:
    def __init__(self, world: RealServers, server: RealServer) -> None:
        self._world, self._server = world, server

    @property
    def admin_token(self) -> str:
        return self._server.admin_token

    def transport(self, token: str | None = None) -> Transport:
        access = self._server.access
        if token is not None:
            access = msgspec.structs.replace(access, token=token)
        return AiohttpTransport(StaticCredentials(access))

    async def compact(self, resource_version: str) -> None:
        await self._world.compact(int(resource_version))


@asynccontextmanager
async def servers(kind: str, count: int = 1) -> AsyncIterator[list[Server]]:
    """``count`` servers of one of the kinds above, ready."""
    names = [f"server-{number}" for number in range(1, count + 1)]
    async with real_servers(names) as world:
        yield [_Real(world, server) for server in world.servers]
