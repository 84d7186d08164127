"""What is watched for K8ssandraClusters, and the indexes by which a cluster's objects are found again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from controller.cassandra import labels
from controller.cassandra.resources import CASSANDRA_DATACENTERS, CONTACT_SLICES, K8SSANDRA_CLUSTERS
from controller.fleet.cache import WatchSpec
from controller.kube.objects import Head, Object
from controller.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, PODS, SERVICES

OWNER: Final = "owner"  # index by (namespace, name) of the K8ssandraCluster
RING: Final = "ring"  # index of seed pods and slices by (namespace, cluster label, datacenter label)


def owner_of(head: Head) -> tuple[str, str] | None:
    """(namespace, name) of the K8ssandraCluster that an object's labels name; None when they name none."""
    have = head.labels or {}
    name, namespace = have.get(labels.CLUSTER_NAME), have.get(labels.CLUSTER_NAMESPACE)
    return (namespace, name) if name and namespace else None


def ring_of(head: Head) -> tuple[str, str, str] | None:
    """Which datacenter's a seed pod or slice is."""
    have = head.labels or {}
    cluster, datacenter = have.get(labels.CASS_CLUSTER), have.get(labels.CASS_DATACENTER)
    return (head.namespace, cluster, datacenter) if cluster and datacenter else None


def _by_owner(obj: Object) -> Iterable[tuple[str, str]]:
    owner = owner_of(obj.head)
    return (owner,) if owner else ()


def _by_ring(obj: Object) -> Iterable[tuple[str, str, str]]:
    ring = ring_of(obj.head)
    return (ring,) if ring else ()


def _has(key: str, value: str | None = None) -> Callable[[Head], bool]:
    def selects(head: Head) -> bool:
        have = head.labels or {}
        return key in have if value is None else have.get(key) == value

    return selects


# In every cluster that holds datacenters, the control plane's own among them.
REMOTE_WATCHES: Final = (
    WatchSpec(
        CASSANDRA_DATACENTERS,
        label_selector=labels.CLUSTER_NAME,
        selects=_has(labels.CLUSTER_NAME),
        indexers={OWNER: _by_owner},
    ),
    WatchSpec(
        CONFIG_MAPS,
        label_selector=labels.CLUSTER_NAME,
        selects=_has(labels.CLUSTER_NAME),
        indexers={OWNER: _by_owner},
    ),
    WatchSpec(
        ENDPOINT_SLICES,
        label_selector=labels.CASS_CLUSTER,
        selects=_has(labels.CASS_CLUSTER),
        indexers={OWNER: _by_owner, RING: _by_ring},
    ),
    WatchSpec(
        PODS,
        label_selector=f"{labels.SEED_NODE}=true",
        selects=_has(labels.SEED_NODE, "true"),
        indexers={RING: _by_ring},
    ),
)
LOCAL_WATCHES: Final = (WatchSpec(K8SSANDRA_CLUSTERS),)
# In the control plane only; without the right to watch them there are no contact points, and all else works.
CONTACT_WATCHES: Final = tuple(
    WatchSpec(
        resource,
        label_selector=labels.CLUSTER_NAME,
        selects=_has(labels.CLUSTER_NAME),
        indexers={OWNER: _by_owner},
    )
    for resource in (SERVICES, CONTACT_SLICES)
)
