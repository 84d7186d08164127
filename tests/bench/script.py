"""A process that only writes: the objects of many K8ssandraClusters, in the controller's order, with its client.

It decides nothing. What it writes was read from a world in which the controller had converged; it waits for one
datacenter to be Ready before it writes the next, and shows each in the status, as the controller has to.
"""

from __future__ import annotations

import asyncio
import base64
import sys
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from controller.cassandra.resources import CASSANDRA_DATACENTERS, K8SSANDRA_CLUSTERS
from controller.engine.reflector import Reflector
from controller.engine.source import ResourceSource
from controller.engine.store import Delta, Store
from controller.kube.access import Access
from controller.kube.aiohttp_transport import AiohttpTransport
from controller.kube.client import Client
from controller.kube.credentials import StaticCredentials
from controller.kube.resources import Resource
from tests.bench.child import Json, cpu_seconds, serve

PLACEHOLDER: Final = "bench-template"  # the name of the K8ssandraCluster whose objects are written
MANAGER: Final = "bench"


class Written(msgspec.Struct):
    """One object to create, as JSON in which ``PLACEHOLDER`` stands for the name of the K8ssandraCluster."""

    resource: Resource
    manifest: str


class Recipe(msgspec.Struct):
    """All objects of one K8ssandraCluster: in the control plane, then context by context."""

    namespace: str
    control: list[Written]
    planes: dict[str, list[Written]]
    datacenters: dict[str, str]  # by context
    status: str


class Work(msgspec.Struct):
    """What the process is told: servers by context, tokens in base64 so that no log shows them by accident."""

    accesses: dict[str, tuple[str, str, str]]
    recipe: Recipe


class Script:
    def __init__(self, work: Work) -> None:
        self._recipe = work.recipe
        self._clients = {
            context: Client(
                AiohttpTransport(
                    StaticCredentials(
                        Access(
                            server=server,
                            certificate_authority=authority.encode(),
                            token=base64.b64decode(token).decode(),
                        )
                    ),
                    user_agent="k8ssandra-bench-script",
                )
            )
            for context, (server, authority, token) in work.accesses.items()
        }
        self._ready: dict[tuple[str, str], asyncio.Event] = {}
        self._synced: list[Store] = []

    async def watch(self, group: asyncio.TaskGroup) -> None:
        """One watch of the datacenters in each data plane."""
        for context in self._recipe.planes:
            store = Store(context)

            def changed(deltas: list[Delta], context: str = context) -> None:
                for delta in deltas:
                    status = delta.object.decode(dict).get("status") or {}
                    if status.get("cassandraOperatorProgress") == "Ready":
                        self._event(context, delta.object.head.name).set()

            store.subscribe(changed)
            source = ResourceSource(
                lambda context=context: self._clients[context], CASSANDRA_DATACENTERS, self._recipe.namespace
            )  # type: ignore[misc]
            group.create_task(Reflector(source, store, rng=Random(1)).run())
            await store.wait_synced()

    async def build(self, name: str) -> None:
        """Write everything of one K8ssandraCluster."""
        recipe, control = self._recipe, self._clients[""]
        finalizer = {"metadata": {"finalizers": ["k8ssandracluster.k8ssandra.io/finalizer"]}}
        await control.patch(K8SSANDRA_CLUSTERS, recipe.namespace, name, finalizer, kind="merge", field_manager=MANAGER)
        for written in recipe.control:
            await self._create("", written, name)
        for context, objects in recipe.planes.items():
            for written in objects:
                await self._create(context, written, name)
            await self._event(context, recipe.datacenters[context].replace(PLACEHOLDER, name)).wait()
        status = {"status": msgspec.json.decode(recipe.status.replace(PLACEHOLDER, name))}
        await control.patch(
            K8SSANDRA_CLUSTERS,
            recipe.namespace,
            name,
            status,
            kind="merge",
            subresource="status",
            field_manager=MANAGER,
        )

    async def _create(self, context: str, written: Written, name: str) -> None:
        manifest: Json = msgspec.json.decode(written.manifest.replace(PLACEHOLDER, name))
        namespace = manifest["metadata"]["namespace"]
        await self._clients[context].create(written.resource, namespace, manifest, field_manager=MANAGER)

    def _event(self, context: str, name: str) -> asyncio.Event:
        return self._ready.setdefault((context, name), asyncio.Event())

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()


async def main() -> None:
    script = Script(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Work))

    async def handle(question: Json) -> Json:
        before = cpu_seconds()
        async with asyncio.TaskGroup() as group:
            for name in question["names"]:
                group.create_task(script.build(name))
        return {"cpu": cpu_seconds() - before}

    async with asyncio.TaskGroup() as watches:
        await script.watch(watches)
        try:
            await serve(handle)
        finally:
            await script.close()


if __name__ == "__main__":
    asyncio.run(main())
