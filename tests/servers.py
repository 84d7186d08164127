"""API servers for tests: real ones, or embedded ones over HTTPS or in this process, all with one face."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, Protocol

from controller.kube.access import Access
from controller.kube.aiohttp_transport import AiohttpTransport
from controller.kube.credentials import StaticCredentials
from controller.kube.transport import Transport
from controller.sandbox.apiserver import ApiServer, Endpoint, InProcessTransport, serve
from tests.real.servers import RealServer, RealServers, real_servers

REAL: Final = ("real",)
EMBEDDED: Final = ("embedded", "embedded-https")


class Server(Protocol):
    """One API server under test; ``admin_token`` is a user's in the group system:masters."""

    @property
    def admin_token(self) -> str: ...

    @property
    def ca_pem(self) -> bytes: ...

    def transport(self, token: str | None = None) -> Transport:
        """A new transport, the admin's unless ``token`` says otherwise; its owner closes it."""
        ...

    async def compact(self, resource_version: str) -> None:
        """Make the server forget its history before ``resource_version``, now or soon."""
        ...


class RealOne:
    """A kube-apiserver with its kube-controller-manager; ``process`` tells how to crash and pause it."""

    def __init__(self, world: RealServers, process: RealServer) -> None:
        self._world = world
        self.process = process

    @property
    def url(self) -> str:
        return self.process.url

    @property
    def admin_token(self) -> str:
        return self.process.admin_token

    @property
    def ca_pem(self) -> bytes:
        return self.process.ca_pem

    def transport(self, token: str | None = None) -> Transport:
        return _https(self.url, self.ca_pem, self.admin_token if token is None else token)

    async def compact(self, resource_version: str) -> None:
        await self._world.compact(int(resource_version))


class EmbeddedOne:
    """An embedded server, reached in this process; ``server`` has its faults and its record of requests."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server

    @property
    def admin_token(self) -> str:
        return self.server.admin_token

    @property
    def ca_pem(self) -> bytes:
        return self.server.ca_pem

    def transport(self, token: str | None = None) -> Transport:
        return InProcessTransport(self.server, self.admin_token if token is None else token)

    async def compact(self, resource_version: str) -> None:
        assert self.server.compact() >= int(resource_version)


class EmbeddedOverHttps(EmbeddedOne):
    """An embedded server behind its HTTPS front."""

    def __init__(self, server: ApiServer, endpoint: Endpoint) -> None:
        super().__init__(server)
        self.url = endpoint.url

    def transport(self, token: str | None = None) -> Transport:
        return _https(self.url, self.ca_pem, self.admin_token if token is None else token)


@asynccontextmanager
async def servers(kind: str, count: int = 1) -> AsyncIterator[list[Server]]:
    """``count`` servers of one of the kinds above, ready; each has a CA, an admin and objects of its own."""
    names = [f"server-{number}" for number in range(1, count + 1)]
    async with AsyncExitStack() as stack:
        match kind:
            case "real":
                world = await stack.enter_async_context(real_servers(names))
                yield [RealOne(world, process) for process in world.servers]
            case "embedded":
                yield [EmbeddedOne(ApiServer(name=name, rbac=True)) for name in names]
            case "embedded-https":
                found: list[Server] = []
                for name in names:
                    server = ApiServer(name=name, rbac=True)
                    found.append(EmbeddedOverHttps(server, await stack.enter_async_context(serve(server))))
                yield found
            case _:
                raise ValueError(f"no kind of server is called {kind!r}")


def _https(url: str, ca_pem: bytes, token: str) -> Transport:
    access = Access(server=url, certificate_authority=ca_pem, token=token)
    return AiohttpTransport(StaticCredentials(access))
