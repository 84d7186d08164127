"""Servers on loopback beside a command, which is called without a loop and has one of its own."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import yaml

from controller.definitions import definitions
from controller.kube.client import Client
from controller.kube.resources import NAMESPACES
from controller.sandbox.apiserver import ApiServer, InProcessTransport, serve
from controller.sandbox.apiserver import kubeconfig as admin_kubeconfig
from tests.unit.cassandra.samples import datacenter, manifest

PATIENCE: Final = 20  # s for anything that the servers are asked

T = TypeVar("T")


class Beside(ABC):
    """Runs what ``serving`` serves in a loop and a thread of its own, from entry to exit."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._ready, self._over = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    @abstractmethod
    def serving(self) -> AbstractAsyncContextManager[None]:
        """Within it everything is served."""

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(PATIENCE)
        self._loop.close()

    def ask(self, wanted: Coroutine[Any, Any, T]) -> T:
        """The result of ``wanted``, which runs in the servers' loop."""
        return asyncio.run_coroutine_threadsafe(wanted, self._loop).result(PATIENCE)

    async def _serve(self) -> None:
        async with self.serving():
            self._ready.set()
            await self._over.wait()


def client(server: ApiServer) -> Client:
    """An administrator's."""
    return Client(InProcessTransport(server, server.admin_token))


class ControlPlane(Beside):
    """A control plane with every definition, a namespace ``ns`` and nothing in it."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.kubeconfig = directory / "kubeconfig"
        self.server = ApiServer(name="control-plane")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        for crd in definitions().values():
            self.server.apply_manifest(crd)
        async with serve(self.server) as endpoint:
            self.kubeconfig.write_text(yaml.safe_dump(admin_kubeconfig(endpoint, "control-plane")))
            await client(self.server).create(NAMESPACES, "", {"metadata": {"name": "ns"}})
            yield


def cluster() -> dict[str, Any]:
    """A K8ssandraCluster whose datacenters are in clusters that nobody registered."""
    found = manifest(datacenter("dc1"), datacenter("dc2"))
    found["metadata"] = {"name": "demo", "namespace": "ns"}
    return found
