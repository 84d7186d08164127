"""Gathers the snapshot of a K8ssandraCluster from the caches of every cluster it touches; no I/O."""

from __future__ import annotations

from typing import Final

import msgspec

from controller.cassandra import labels, names
from controller.cassandra.render import Facts, Rendered, RenderedDatacenter, render, superuser_secret_name
from controller.cassandra.resources import CASSANDRA_DATACENTERS
from controller.cassandra.snapshot import DatacenterView, Leftover, Snapshot
from controller.cassandra.system_replication import initial_system_replication, parse_replication
from controller.cassandra.types import CassandraDatacenter, K8ssandraCluster
from controller.cassandra.watches import OWNER, RING
from controller.fleet.cluster import Cluster
from controller.fleet.pool import Pool
from controller.kube.errors import Malformed
from controller.kube.objects import Object
from controller.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, PODS, SECRETS
from controller.replication.copies import mark
from controller.replication.types import REPLICATED_FROM, REPLICATED_SECRETS

NEEDED: Final = (CASSANDRA_DATACENTERS, CONFIG_MAPS, ENDPOINT_SLICES, PODS, SECRETS)
MEMO_SIZE: Final = 1024  # renderings kept


class _PodStatus(msgspec.Struct, frozen=True):
    pod_ip: str = msgspec.field(default="", name="podIP")


class _Pod(msgspec.Struct, frozen=True):
    status: _PodStatus = _PodStatus()


class Renderings:
    """Renderings by UID, generation and the annotations that they use: one for all contexts of a cluster."""

    def __init__(self) -> None:
        self._memo: dict[tuple[str, int, str], Rendered] = {}

    def get(self, cluster: K8ssandraCluster) -> Rendered:
        annotation = cluster.metadata.annotations.get(labels.INITIAL_SYSTEM_REPLICATION, "")
        key = (cluster.metadata.uid, cluster.metadata.generation, annotation)
        rendered = self._memo.get(key)
        if rendered is None:
            replication = parse_replication(annotation) if annotation else None
            facts = Facts(initial_system_replication=replication or initial_system_replication(cluster))
            rendered = render(cluster, facts)
            if len(self._memo) >= MEMO_SIZE:
                del self._memo[next(iter(self._memo))]
            self._memo[key] = rendered
        return rendered


def observe(pool: Pool, found: Object, renderings: Renderings, absent: tuple[str, ...]) -> Snapshot:
    """The snapshot of one K8ssandraCluster; raises ``Malformed`` when it cannot be read.

    ``absent``: contexts where live reads found nothing of it left.
    """
    cluster = found.decode(K8ssandraCluster)
    rendered = renderings.get(cluster)
    local = pool.local.cache
    owner = (cluster.namespace, cluster.name)
    sources = [
        secret.head.name
        for secret in local.objects(SECRETS, cluster.namespace)
        if (secret.head.labels or {}).get(labels.REPLICATED_BY) == labels.CLUSTER_CONTROLLER
        and labels.owned_by(secret.head.labels, cluster.name, cluster.namespace)
    ]
    live = {
        (member.context, obj.head.namespace, obj.head.name): obj
        for member in pool
        for obj in member.cache.by_index(CASSANDRA_DATACENTERS, OWNER, owner)
    }
    views = tuple(_view(pool, cluster, entry, live, sources) for entry in rendered.datacenters)
    return Snapshot(
        cluster=cluster,
        object=found,
        rendered=rendered,
        views=views,
        superuser=local.get(SECRETS, cluster.namespace, superuser_secret_name(cluster)),
        replicated=local.get(REPLICATED_SECRETS, cluster.namespace, cluster.name),
        datacenters=tuple(Leftover(context, obj) for (context, _, _), obj in live.items()),
        away=tuple((context, why) for context in contexts(cluster) if (why := away(pool, context))),
        absent=absent,
        settling=any(member.settling for context in contexts(cluster) if (member := pool.get(context)) is not None),
    )


def contexts(cluster: K8ssandraCluster) -> list[str]:
    """The contexts that a K8ssandraCluster names, in its specification and in its status."""
    template = cluster.spec.cassandra
    found = [entry.k8s_context for entry in template.datacenters] if template is not None else []
    found += [status.context_name for status in cluster.status.datacenters.values()]
    return list(dict.fromkeys(found))


def away(pool: Pool, context: str) -> str:
    """Why a context cannot be used now; "" when it can."""
    cluster = pool.get(context)
    if cluster is None:
        return f"no ClientConfig names context {context}; register the cluster, or correct k8sContext"
    if not cluster.state.usable:
        return f"context {context} is not connected: {cluster.state.message}"
    untold = [str(resource) for resource, _ in cluster.untold() if resource in NEEDED]
    if untold:
        place = f"context {context}" if context else "the control plane's cluster"
        return f"{place} does not serve {', '.join(dict.fromkeys(untold))}, or does not allow to watch it"
    return ""


def known(cluster: Cluster | None) -> bool:
    """Whether the caches of a cluster have been filled once."""
    return cluster is not None and all(cluster.cache.synced(resource) for resource in NEEDED)


def _view(
    pool: Pool,
    cluster: K8ssandraCluster,
    entry: RenderedDatacenter,
    live: dict[tuple[str, str, str], Object],
    sources: list[str],
) -> DatacenterView:
    reason = away(pool, entry.context)
    member = pool.get(entry.context)
    if member is None:
        return DatacenterView(entry, reason, known=False)
    cache = member.cache
    if not reason and not cache.covers(entry.namespace):
        reason = f"namespace {entry.namespace} is not watched; add it to WATCH_NAMESPACE"
    found = live.get((entry.context, entry.namespace, entry.name))
    owner = (cluster.namespace, cluster.name)
    ring = (entry.namespace, names.label_value(cluster.cass_name), names.label_value(entry.name))
    return DatacenterView(
        entry,
        reason,
        known=known(member),
        live=found,
        decoded=_decode(found),
        config_maps=_in(cache.by_index(CONFIG_MAPS, OWNER, owner), entry.namespace),
        slices=tuple(
            slice_
            for slice_ in _in(cache.by_index(ENDPOINT_SLICES, OWNER, owner), entry.namespace)
            if (slice_.head.labels or {}).get(labels.CASS_DATACENTER) == ring[2]
        ),
        seeds=tuple(address for pod in cache.by_index(PODS, RING, ring) if (address := _address(pod))),
        secrets_ready=cluster.external_secrets or _secrets_ready(pool, member, cluster, entry.namespace, sources),
    )


def _secrets_ready(pool: Pool, member: Cluster, cluster: K8ssandraCluster, namespace: str, sources: list[str]) -> bool:
    """Whether every Secret of the cluster, and the superuser's for certain, is where the pods look for it."""
    if superuser_secret_name(cluster) not in sources:
        return False
    if member is pool.local and namespace == cluster.namespace:
        return True
    label = mark(cluster.namespace, cluster.name)
    return all(
        (copy := member.cache.get(SECRETS, namespace, name)) is not None
        and (copy.head.labels or {}).get(REPLICATED_FROM) == label
        for name in sources
    )


def _decode(found: Object | None) -> CassandraDatacenter | None:
    if found is None:
        return None
    try:
        return found.decode(CassandraDatacenter)
    except Malformed:
        # What a cluster reports is not to be trusted to be well-formed; without its status it is not Ready.
        return CassandraDatacenter()


def _in(objects: list[Object], namespace: str) -> tuple[Object, ...]:
    return tuple(obj for obj in objects if obj.head.namespace == namespace)


def _address(pod: Object) -> str:
    try:
        return pod.decode(_Pod).status.pod_ip
    except Malformed:
        return ""
