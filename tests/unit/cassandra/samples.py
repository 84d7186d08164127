"""K8ssandraClusters to start from; a test changes one thing."""

from __future__ import annotations

from typing import Any

import msgspec

from controller.cassandra.render import Facts, Rendered, render
from controller.cassandra.system_replication import initial_system_replication
from controller.cassandra.types import K8ssandraCluster
from controller.kube.objects import decode

STORAGE: dict[str, Any] = {
    "cassandraDataVolumeClaimSpec": {
        "storageClassName": "standard",
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "5Gi"}},
    }
}


def datacenter(name: str = "dc1", **fields: Any) -> dict[str, Any]:
    """A datacenter of three nodes in the cluster ``kind-<name>``."""
    metadata = {"name": name, **fields.pop("metadata", {})}
    return {"metadata": metadata, "k8sContext": f"kind-{name}", "size": 3, **fields}


def manifest(*datacenters: dict[str, Any], spec: dict[str, Any] | None = None, **cassandra: Any) -> dict[str, Any]:
    """A K8ssandraCluster ``ns/demo`` of Cassandra 4.0.17 as JSON; one plain datacenter when none is given."""
    return {
        "apiVersion": "k8ssandra.io/v1alpha1",
        "kind": "K8ssandraCluster",
        "metadata": {"name": "demo", "namespace": "ns", "uid": "uid-1", "generation": 1},
        "spec": {
            "cassandra": {
                "serverVersion": "4.0.17",
                "storageConfig": STORAGE,
                "datacenters": list(datacenters) or [datacenter()],
                **cassandra,
            },
            **(spec or {}),
        },
    }


def cluster(*datacenters: dict[str, Any], spec: dict[str, Any] | None = None, **cassandra: Any) -> K8ssandraCluster:
    """The same, typed."""
    return typed(manifest(*datacenters, spec=spec, **cassandra))


def typed(obj: dict[str, Any]) -> K8ssandraCluster:
    """A manifest as a reconciler reads it."""
    return decode(msgspec.json.encode(obj), K8ssandraCluster)


def rendered(given: K8ssandraCluster, **facts: Any) -> Rendered:
    """What it means, with the replication that its first pass writes down."""
    return render(given, Facts(**{"initial_system_replication": initial_system_replication(given), **facts}))


def only(given: K8ssandraCluster, **facts: Any) -> dict[str, Any]:
    """The CassandraDatacenter of a cluster with one datacenter and nothing wrong."""
    result = rendered(given, **facts)
    assert result.errors == ()
    (entry,) = result.datacenters
    return entry.object


def spec_of(given: K8ssandraCluster, **facts: Any) -> dict[str, Any]:
    """Its specification."""
    spec: dict[str, Any] = only(given, **facts)["spec"]
    return spec
