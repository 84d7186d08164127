"""A pool whose caches a test fills by hand: no server, no connection."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

import msgspec

from controller.cassandra import watches
from controller.engine.chance import Chance
from controller.fleet.cluster import Cluster
from controller.fleet.pool import Pool
from controller.fleet.state import ClusterState, Reason
from controller.kube.client import Client
from controller.kube.credentials import Credentials
from controller.kube.objects import Object, parse
from controller.kube.resources import Resource
from controller.replication import reconcile as replication

UP = ClusterState(True, Reason.CONNECTED, "connected")
DOWN = ClusterState(False, Reason.UNREACHABLE, "connection refused")


def stored(obj: dict[str, Any], version: int = 5, **metadata: Any) -> Object:
    """An object as a cache has it."""
    head = {"namespace": "ns", "uid": f"uid-{obj['metadata']['name']}", "resourceVersion": str(version)}
    return parse(msgspec.json.encode({**obj, "metadata": {**head, **obj["metadata"], **metadata}}))


def bare(resource: Resource, name: str, labels: dict[str, str] | None = None, **content: Any) -> dict[str, Any]:
    metadata = {"name": name, "labels": labels or {}}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **content}


class Fleet:
    """A pool of the control plane and some contexts, all connected and with empty caches."""

    def __init__(self, *contexts: str, namespaces: tuple[str, ...] = ()) -> None:
        self._namespaces = namespaces
        local = self._cluster(
            "", [*watches.LOCAL_WATCHES, *replication.LOCAL_WATCHES, *watches.REMOTE_WATCHES, *watches.CONTACT_WATCHES]
        )
        self.pool = Pool(local, self._remote, _no_client, Chance(Random(0)), ())
        self.pool.build([_config(context) for context in contexts])
        for cluster in self.pool:
            cluster.update(UP)
            cluster.queue.resume()
            for resource in cluster.cache.stores:
                self.put(cluster.context, resource, [])

    def put(self, context: str, resource: Resource, objects: Iterable[Object], version: int = 9) -> None:
        """A list of everything of a kind has come in."""
        cluster = self.pool.get(context)
        assert cluster is not None
        for store in cluster.cache.stores[resource].values():
            store.replace(list(objects), str(version))

    def cluster(self, context: str) -> Cluster:
        found = self.pool.get(context)
        assert found is not None
        return found

    def _remote(self, context: str) -> Cluster:
        return self._cluster(context, [*watches.REMOTE_WATCHES, *replication.REMOTE_WATCHES])

    def _cluster(self, context: str, specs: list[Any]) -> Cluster:
        return Cluster(context, specs, self._namespaces, Random(0))


def _config(context: str) -> Object:
    spec = {"contextName": context, "kubeConfigSecret": {"name": "kubeconfig"}}
    return parse(msgspec.json.encode({"metadata": {"name": context, "namespace": "ns", "uid": context}, "spec": spec}))


def _no_client(credentials: Credentials, context: str) -> Client:
    raise AssertionError("nobody connects here")
