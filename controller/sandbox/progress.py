"""What becomes of the K8ssandraClusters of a world: followed through the API, shown as a table or as lines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from random import Random
from typing import Final

import msgspec

from controller.cassandra.resources import K8SSANDRA_CLUSTERS
from controller.cassandra.types import DatacenterStatus, K8ssandraCluster
from controller.engine.reflector import Reflector
from controller.engine.source import ResourceSource
from controller.engine.store import Delta, Store
from controller.kube import errors
from controller.kube.client import Client

READY: Final = "Ready"
WAITING: Final = "waiting"


class Row(msgspec.Struct, frozen=True):
    """One datacenter of one cluster. ``state`` is one of waiting, being made, Updating, Ready, and others."""

    cluster: str
    datacenter: str
    context: str
    state: str
    nodes: str
    detail: str


class Progress:
    """Follows every K8ssandraCluster of a control plane."""

    def __init__(self, client: Client, rng: Random, on_change: Callable[[], None]) -> None:
        self._store = Store(K8SSANDRA_CLUSTERS.name)
        source = ResourceSource(lambda: client, K8SSANDRA_CLUSTERS)
        self._reflector = Reflector(source, self._store, rng=rng)
        self._on_change = on_change
        self._store.subscribe(self._changed)

    async def run(self) -> None:
        """Follow until cancelled."""
        await self._reflector.run()

    def clusters(self) -> list[K8ssandraCluster]:
        found = []
        for obj in self._store.list():
            try:
                found.append(obj.decode(K8ssandraCluster))
            except errors.Malformed:
                continue  # the controller says so on the object
        return found

    def ready(self, wanted: Iterable[tuple[str, str]]) -> bool:
        """Whether every cluster of ``wanted`` (namespace, name) is Ready at its present generation."""
        states = {(cluster.namespace, cluster.name): is_ready(cluster) for cluster in self.clusters()}
        return all(states.get(key, False) for key in wanted)

    def rows(self) -> list[Row]:
        return [row for cluster in self.clusters() for row in _rows(cluster)]

    def _changed(self, _: list[Delta]) -> None:
        self._on_change()


def is_ready(cluster: K8ssandraCluster) -> bool:
    return any(
        entry.type == READY and entry.status == "True" and entry.observed_generation == cluster.metadata.generation
        for entry in cluster.status.conditions
    )


def _rows(cluster: K8ssandraCluster) -> list[Row]:
    template = cluster.spec.cassandra
    conditions = {entry.type: entry for entry in cluster.status.conditions}
    rows = []
    for entry in template.datacenters if template is not None else ():
        status = cluster.status.datacenters.get(entry.name, DatacenterStatus())
        seen = status.cassandra
        own = conditions.get(f"DatacenterReady.{entry.name}")
        settled = own is not None and own.status == "True"
        if settled:
            state = READY
        elif seen is None:
            state = WAITING
        else:
            state = seen.cassandra_operator_progress or "being made"
        nodes = f"{len(seen.node_statuses) if seen is not None else 0}/{entry.size}"
        detail = "" if settled or own is None else own.message
        rows.append(Row(cluster.name, entry.name, entry.k8s_context, state, nodes, detail))
    return rows


class Change:
    """An awaitable that something changed since it was last awaited."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()
        self._event.clear()
