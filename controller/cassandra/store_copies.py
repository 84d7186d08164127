"""What there is of the copying of Secrets that pods mount, and what should be, as the control plane shows it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from controller.cassandra import labels
from controller.cassandra.stores import SELECTED, Needs, label_of, replicated_stores, replicated_stores_name
from controller.cassandra.types import K8ssandraCluster
from controller.fleet.cache import Cache
from controller.kube.objects import Object
from controller.kube.resources import SECRETS
from controller.replication.copier import BY_LABEL
from controller.replication.types import REPLICATED_SECRETS


class StoreCopies(msgspec.Struct, frozen=True):
    """``wanted`` and ``live``: the ReplicatedSecret. ``unlabelled``: heads of Secrets that it should select and does
    not, ``released``: of those that it selects although nothing needs them."""

    wanted: dict[str, Any] | None = None
    live: Object | None = None
    unlabelled: tuple[Object, ...] = ()
    released: tuple[Object, ...] = ()


def observe_copies(cluster: K8ssandraCluster, cache: Cache, needs: Needs, kubeconfigs: Collection[str]) -> StoreCopies:
    """``cache``: the control plane's. ``needs``: of the cluster, nothing when it is being deleted.

    ``kubeconfigs``: names of the Secrets beside it that ClientConfigs name, which are never copied.
    """
    key, namespace = label_of(cluster), cluster.namespace
    labelled = {obj.head.name: obj for obj in cache.by_index(SECRETS, BY_LABEL, (namespace, key, SELECTED))}
    present: dict[str, Object] = {}
    for mounted in needs.mounted:
        if (mounted.context, mounted.namespace) == ("", namespace) or mounted.secret in kubeconfigs:
            continue
        found = cache.get(SECRETS, namespace, mounted.secret)
        if found is not None and not _is_copied(cluster, found):
            present[mounted.secret] = found
    return StoreCopies(
        wanted=replicated_stores(cluster, needs.mounted, present) if present else None,
        live=cache.get(REPLICATED_SECRETS, namespace, replicated_stores_name(cluster)),
        unlabelled=tuple(obj for name, obj in present.items() if name not in labelled),
        released=tuple(obj for name, obj in labelled.items() if name not in present),
    )


def _is_copied(cluster: K8ssandraCluster, secret: Object) -> bool:
    """Whether the cluster's own ReplicatedSecret takes it to every datacenter: its user labelled it for that."""
    have = secret.head.labels or {}
    wanted = labels.replicated(cluster.name, cluster.namespace)
    return all(have.get(label) == value for label, value in wanted.items())
